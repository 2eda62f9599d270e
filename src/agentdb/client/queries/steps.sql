-- fragment: steps_written
-- CTEs that write the steps of $2, a JSON array, and count the calls of tools among them. A step that is there already is
-- left alone, so that what is sent again counts once; one whose agent, execution or tool is gone has nothing to belong to.
-- The tools are locked in a fixed order, so that two of these never wait for each other.
locked AS (
    SELECT t.id, t.name, t.version FROM agent_tools AS t
    WHERE t.organization_id = $1 AND t.name IN (
        SELECT e.name FROM jsonb_to_recordset($2::jsonb) AS e (kind text, name text) WHERE e.kind = 'tool'
    )
    ORDER BY t.id FOR NO KEY UPDATE
), written AS (
    INSERT INTO agent_steps AS s (organization_id, id, agent_id, execution_id, kind, name, tool_id, tool_version, success,
        duration_ms, message, error_type, data, sealed, at)
    SELECT $1, e.id, coalesce(e.agent_id, p.agent_id), e.execution_id, e.kind, e.name, l.id, l.version, e.success, e.duration_ms, e.message,
        e.error_type, e.data::jsonb, decode(e.sealed, 'base64'), e.at
    FROM jsonb_to_recordset($2::jsonb) AS e (id uuid, agent_id text, execution_id uuid, kind text, name text,
            success boolean, duration_ms float8, message text, error_type text, data text, sealed text,
            at timestamptz)
        LEFT JOIN locked AS l ON e.kind = 'tool' AND l.name = e.name
        LEFT JOIN agent_executions AS p ON p.organization_id = $1 AND p.id = e.execution_id
    WHERE (e.kind <> 'tool' OR l.id IS NOT NULL) AND (e.execution_id IS NULL OR p.id IS NOT NULL)
        AND EXISTS (SELECT FROM agents AS a WHERE a.organization_id = $1 AND a.id = coalesce(e.agent_id, p.agent_id))
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING s.tool_id, s.success, s.duration_ms, s.at
), counted AS (
    UPDATE agent_tools AS t
    SET call_count = t.call_count + c.calls, success_count = t.success_count + c.successes,
        total_duration_ms = t.total_duration_ms + c.duration_ms, last_used_at = greatest(t.last_used_at, c.last_used_at)
    FROM (
        SELECT w.tool_id, count(*) AS calls, count(*) FILTER (WHERE w.success) AS successes,
            sum(w.duration_ms) AS duration_ms, max(w.at) AS last_used_at
        FROM written AS w WHERE w.tool_id IS NOT NULL GROUP BY w.tool_id
    ) AS c
    WHERE t.organization_id = $1 AND t.id = c.tool_id
)

-- name: write
-- Write steps; how many of them are new.
WITH {{steps_written}}
SELECT count(*) AS written FROM written
