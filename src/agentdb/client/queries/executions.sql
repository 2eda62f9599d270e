-- fragment: execution
x.id::text AS id, x.agent_id, x.parent_id::text AS parent_id, x.task, x.result, x.status::text AS status, x.error,
    x.error_type, x.traceback, x.model, x.input_tokens, x.cached_input_tokens, x.cache_write_tokens, x.output_tokens,
    x.reasoning_tokens, x.cost, x.started_at, x.finished_at

-- name: start
-- Begin an execution; when a write with the same key has begun it already, it is returned as it is now.
INSERT INTO agent_executions AS x (organization_id, id, agent_id, parent_id, task, model, started_at, heartbeat_at)
VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp(), clock_timestamp())
ON CONFLICT (organization_id, id) DO UPDATE SET heartbeat_at = x.heartbeat_at
RETURNING {{execution}}

-- name: finish
-- End a running execution; no row when it is unknown or has ended.
UPDATE agent_executions AS x
SET status = $3::text::execution_status, result = $4, error = $5, error_type = $6, traceback = $7,
    model = coalesce($8, x.model), cost = $9, input_tokens = $10, cached_input_tokens = $11, cache_write_tokens = $12,
    output_tokens = $13, reasoning_tokens = $14, finished_at = clock_timestamp(), heartbeat_at = clock_timestamp()
WHERE x.organization_id = $1 AND x.id = $2 AND x.status = 'running'
RETURNING {{execution}}

-- name: get
-- One execution by its id.
SELECT {{execution}} FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = $2

-- name: list
-- Executions, newest first: of one agent, parent and status or of all.
SELECT {{execution}} FROM agent_executions AS x
WHERE x.organization_id = $1 AND ($2::text IS NULL OR x.agent_id = $2) AND ($3::uuid IS NULL OR x.parent_id = $3)
    AND ($4::text IS NULL OR x.status = $4::text::execution_status)
    AND ($5::timestamptz IS NULL OR x.started_at >= $5)
ORDER BY x.started_at DESC, x.id DESC LIMIT $6

-- name: tree
-- An execution and all that it called, callers before those they called, oldest first.
WITH RECURSIVE tree (id, depth) AS (
    SELECT x.id, 0 FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = $2
    UNION ALL
    SELECT x.id, tree.depth + 1 FROM agent_executions AS x JOIN tree ON x.parent_id = tree.id WHERE x.organization_id = $1
)
SELECT {{execution}} FROM agent_executions AS x JOIN tree USING (id)
WHERE x.organization_id = $1 ORDER BY tree.depth, x.started_at, x.id
