-- fragment: agent
a.id, a.organization_id, a.name, a.version, a.category::text AS category, a.description, a.capabilities, a.data_sources,
    a.metadata, a.max_memories, a.status::text AS status, a.created_at, a.updated_at, a.last_seen_at

-- name: register
-- Insert an agent, or update the one of that name; no row when that one has another id than the one asked for.
INSERT INTO agents AS a (organization_id, id, name, version, category, description, capabilities, data_sources, metadata,
    max_memories, last_seen_at)
VALUES ($1, $2, $3, $4, $5::text::agent_category, $6, $7, $8, $9, $10, now())
ON CONFLICT (organization_id, name) DO UPDATE
SET version = EXCLUDED.version, category = EXCLUDED.category, description = EXCLUDED.description,
    capabilities = EXCLUDED.capabilities, data_sources = EXCLUDED.data_sources, metadata = EXCLUDED.metadata,
    max_memories = EXCLUDED.max_memories, status = 'active', updated_at = now(), last_seen_at = now()
WHERE a.id = EXCLUDED.id OR NOT $11
RETURNING {{agent}}

-- name: get
-- One agent by its id.
SELECT {{agent}} FROM agents AS a WHERE a.organization_id = $1 AND a.id = $2

-- name: find
-- One agent by its name.
SELECT {{agent}} FROM agents AS a WHERE a.organization_id = $1 AND a.name = $2

-- name: list
-- Agents by name, of one category and status or of all.
SELECT {{agent}} FROM agents AS a
WHERE a.organization_id = $1
    AND ($2::text IS NULL OR a.category = $2::text::agent_category)
    AND ($3::text IS NULL OR a.status = $3::text::agent_status)
ORDER BY a.name LIMIT $4 OFFSET $5

-- name: missing
-- Which of these ids name no agent.
SELECT wanted.id FROM unnest($2::text[]) AS wanted (id)
WHERE NOT EXISTS (SELECT FROM agents AS a WHERE a.organization_id = $1 AND a.id = wanted.id)

-- name: heartbeat
-- Say that an agent is alive.
UPDATE agents AS a SET last_seen_at = now() WHERE a.organization_id = $1 AND a.id = $2 RETURNING {{agent}}

-- name: deactivate
-- Mark an agent as no longer in use; what it stored stays.
UPDATE agents AS a SET status = 'inactive', updated_at = now() WHERE a.organization_id = $1 AND a.id = $2 RETURNING {{agent}}

-- name: delete
-- Delete an agent with its memories, executions, metrics and patterns. What other agents' executions and the catalogue of
-- tools say of it is cleared first: those rows are not its own. Its methods nobody offers any more, so they are deprecated.
WITH orphaned AS (
    UPDATE agent_executions AS child SET parent_id = NULL
    FROM agent_executions AS parent
    WHERE parent.organization_id = $1 AND parent.agent_id = $2
        AND child.organization_id = $1 AND child.parent_id = parent.id AND child.agent_id <> $2
), disowned AS (
    UPDATE agent_tools
    SET owner_agent_id = NULL, status = CASE WHEN is_method THEN 'deprecated' ELSE status END
    WHERE organization_id = $1 AND owner_agent_id = $2
)
DELETE FROM agents WHERE organization_id = $1 AND id = $2
