-- fragment: tool
t.id::text AS id, t.name, t.version, t.description, t.parameters, t.status::text AS status, t.owner_agent_id,
    t.call_count AS calls, t.success_count AS successes, t.total_duration_ms, t.last_used_at, t.created_at, t.updated_at

-- name: register
-- Insert a tool, or update the one of that name; other parameters make it a new version.
INSERT INTO agent_tools AS t (organization_id, id, name, description, parameters, owner_agent_id)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (organization_id, name) DO UPDATE
SET version = t.version + (t.parameters <> EXCLUDED.parameters)::integer, description = EXCLUDED.description,
    parameters = EXCLUDED.parameters, owner_agent_id = EXCLUDED.owner_agent_id, status = 'active', updated_at = now()
RETURNING {{tool}}

-- name: get
-- One tool by its name.
SELECT {{tool}} FROM agent_tools AS t WHERE t.organization_id = $1 AND t.name = $2

-- name: list
-- Tools by name: those of one agent or of all.
SELECT {{tool}} FROM agent_tools AS t
WHERE t.organization_id = $1 AND ($2::text IS NULL OR t.owner_agent_id = $2) AND ($3 OR t.status = 'active')
ORDER BY t.name LIMIT $4

-- name: record_call
-- Count a call; says whether the agent and the tool are known.
WITH agent AS (
    SELECT FROM agents AS a WHERE a.organization_id = $1 AND a.id = $3
), called AS (
    UPDATE agent_tools AS t
    SET call_count = t.call_count + 1, success_count = t.success_count + $4::integer,
        total_duration_ms = t.total_duration_ms + $5, last_used_at = clock_timestamp()
    WHERE t.organization_id = $1 AND t.name = $2 AND EXISTS (SELECT FROM agent)
    RETURNING t.id
)
SELECT EXISTS (SELECT FROM agent) AS agent_known, EXISTS (SELECT FROM called) AS counted
