-- name: agent_there
-- Whether there is an agent of this id.
SELECT EXISTS (SELECT FROM agents AS a WHERE a.organization_id = $1 AND a.id = $2) AS is_there

-- name: agents_there
-- Which of these ids belong to an agent.
SELECT a.id FROM agents AS a WHERE a.organization_id = $1 AND a.id = ANY ($2::text[])

-- name: tools_there
-- The ids of the tools of these names.
SELECT t.id::text AS id, t.name FROM agent_tools AS t WHERE t.organization_id = $1 AND t.name = ANY ($2::text[])

-- name: arrived_calls
-- The calls of tools $3 among the steps $2.
SELECT s.tool_id::text AS tool_id, count(*) AS calls, count(*) FILTER (WHERE s.success) AS successes,
    sum(s.duration_ms) AS duration_ms, to_char(max(s.at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS last_used_at
FROM agent_steps AS s
WHERE s.organization_id = $1 AND s.id = ANY ($2::uuid[]) AND s.tool_id = ANY ($3::uuid[])
GROUP BY s.tool_id

-- name: add_calls
-- Add calls that have arrived, a JSON array, to the totals of their tools: locked in a fixed order, as `steps_written` does.
WITH locked AS (
    SELECT t.id FROM agent_tools AS t
    WHERE t.organization_id = $1 AND t.id IN (SELECT e.id FROM jsonb_to_recordset($2::jsonb) AS e (id uuid))
    ORDER BY t.id FOR NO KEY UPDATE
)
UPDATE agent_tools AS t
SET call_count = t.call_count + e.calls, success_count = t.success_count + e.successes,
    total_duration_ms = t.total_duration_ms + e.duration_ms, last_used_at = greatest(t.last_used_at, e.last_used_at)
FROM jsonb_to_recordset($2::jsonb) AS e (id uuid, calls bigint, successes bigint, duration_ms float8, last_used_at timestamptz)
    JOIN locked ON locked.id = e.id
WHERE t.organization_id = $1 AND t.id = e.id
