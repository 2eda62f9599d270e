-- uses: prices, steps
-- fragment: execution
x.id::text AS id, x.agent_id, x.parent_id::text AS parent_id, x.kind, x.task, x.result, x.settings,
    x.status::text AS status, x.error, x.error_type, x.traceback, x.model, x.input_tokens, x.cached_input_tokens,
    x.cache_write_tokens, x.output_tokens, x.reasoning_tokens, x.cost, x.started_at, x.finished_at, x.sealed_task,
    x.sealed_result

-- fragment: cost
-- What the tokens of e cost by the price of the model when the execution started; NULL where that is not known, or
-- where it is more than the column holds. A class without tokens costs nothing, whatever its price.
(
    SELECT CASE WHEN round(c.amount, 10) < 10000000000 THEN c.amount END
    FROM (
        SELECT 0.000001 * (
            CASE WHEN e.input > 0 THEN e.input * p.input ELSE 0 END
            + CASE WHEN e.cached_input > 0 THEN e.cached_input * p.cached_input ELSE 0 END
            + CASE WHEN e.cache_write > 0 THEN e.cache_write * p.cache_write ELSE 0 END
            + CASE WHEN e.output > 0 THEN e.output * p.output ELSE 0 END
        ) AS amount
        FROM (SELECT coalesce(e.model, x.model) AS model, x.started_at AS at) AS q, {{price}}
        WHERE greatest(e.input, e.cached_input, e.cache_write, e.output) > 0
    ) AS c
)

-- fragment: insert_start
INSERT INTO agent_executions AS x (organization_id, id, agent_id, parent_id, kind, task, settings, model, sealed_task,
    started_at, heartbeat_at)
SELECT $1, e.id, e.agent_id, e.parent_id, e.kind, e.task::jsonb, e.settings::jsonb, e.model, e.sealed_task,
    clock_timestamp(), clock_timestamp()

-- fragment: keep_start
ON CONFLICT (organization_id, id) DO UPDATE SET heartbeat_at = x.heartbeat_at
RETURNING {{execution}}

-- fragment: update_end
UPDATE agent_executions AS x
SET status = e.status::execution_status, result = e.result::jsonb, error = e.error, error_type = e.error_type,
    traceback = e.traceback, sealed_result = e.sealed_result, model = coalesce(e.model, x.model), cost = coalesce(e.cost, {{cost}}),
    settings = x.settings || e.settings::jsonb, input_tokens = e.input, cached_input_tokens = e.cached_input,
    cache_write_tokens = e.cache_write, output_tokens = e.output, reasoning_tokens = e.reasoning,
    finished_at = clock_timestamp(), heartbeat_at = clock_timestamp()

-- fragment: where_running
WHERE x.organization_id = $1 AND x.id = e.id AND x.status = 'running'
RETURNING {{execution}}

-- fragment: end_columns
(id, status, result, error, error_type, traceback, model, cost, settings, input, cached_input, cache_write, output,
        reasoning, sealed_result)

-- Of arrays PostgreSQL thinks that they have ten elements, and so that a plan for all calls is dearer than a new one for each:
-- 0.6 ms of planning. One start or end goes without.

-- name: start
-- Begin an execution; when a write with the same key has begun it already, it is returned as it is now.
{{insert_start}}
FROM (VALUES ($2::uuid, $3::text, $4::uuid, $5::text, $6::text, $7::text, $8::text, $9::bytea))
    AS e (id, agent_id, parent_id, kind, task, settings, model, sealed_task)
{{keep_start}}

-- name: start_many
-- The same of several, one per element of the arrays.
{{insert_start}}
FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[])
    AS e (id, agent_id, parent_id, kind, task, settings, model, sealed_task)
{{keep_start}}

-- name: finish
-- End a running execution, and write those of its steps that are not written yet; no row when it is unknown or has ended.
WITH {{steps_written}}, ended AS (
    {{update_end}}
    FROM (VALUES ($3::uuid, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, $10::numeric, $11::text,
            $12::bigint, $13::bigint, $14::bigint, $15::bigint, $16::bigint, $17::bytea))
        AS e {{end_columns}}
    {{where_running}}
)
SELECT * FROM ended

-- name: finish_many
-- The same of several, one per element of the arrays.
WITH {{steps_written}}, ended AS (
    {{update_end}}
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::numeric[],
            $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bytea[])
        AS e {{end_columns}}
    {{where_running}}
)
SELECT * FROM ended

-- name: get
-- One execution by its id.
SELECT {{execution}} FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = $2

-- name: list
-- Executions, newest first: those that fit every condition that is given.
SELECT {{execution}} FROM agent_executions AS x
WHERE x.organization_id = $1 AND ($2::text IS NULL OR x.agent_id = $2) AND ($3::uuid IS NULL OR x.parent_id = $3)
    AND ($4::text IS NULL OR x.status = $4::text::execution_status) AND ($5::text IS NULL OR x.kind = $5)
    AND ($6::text IS NULL OR x.model = $6) AND ($7::text IS NULL OR x.error_type = $7)
    AND ($8::timestamptz IS NULL OR x.started_at >= $8) AND ($9::timestamptz IS NULL OR x.started_at < $9)
ORDER BY x.started_at DESC, x.id DESC LIMIT $10 OFFSET $11

-- name: tree
-- An execution and all that it called, callers before those they called, oldest first, each with its steps: as json,
-- for an array of jsonb holds 256 MB at most.
WITH RECURSIVE tree (id, depth) AS (
    SELECT x.id, 0 FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = $2
    UNION ALL
    SELECT x.id, tree.depth + 1 FROM agent_executions AS x JOIN tree ON x.parent_id = tree.id WHERE x.organization_id = $1
) CYCLE id SET is_cycle USING path
SELECT {{execution}}, (
    SELECT json_agg(json_build_object('id', s.id, 'agent_id', s.agent_id, 'execution_id', s.execution_id, 'kind', s.kind,
        'name', s.name, 'success', s.success, 'duration_ms', s.duration_ms, 'message', s.message,
        'error_type', s.error_type, 'data', s.data, 'at', s.at, 'sealed', encode(s.sealed, 'base64')) ORDER BY s.id)
    FROM agent_steps AS s WHERE s.organization_id = $1 AND s.execution_id = x.id
) AS steps
FROM agent_executions AS x JOIN tree USING (id)
WHERE x.organization_id = $1 AND NOT tree.is_cycle ORDER BY tree.depth, x.started_at, x.id

-- name: beat
-- Say that executions go on; those of them that do. What another one is writing needs no word from here.
WITH mine AS (
    SELECT x.id FROM agent_executions AS x
    WHERE x.organization_id = $1 AND x.id = ANY($2::uuid[]) AND x.status = 'running' FOR NO KEY UPDATE SKIP LOCKED
), told AS (
    UPDATE agent_executions AS x SET heartbeat_at = clock_timestamp() FROM mine
    WHERE x.organization_id = $1 AND x.id = mine.id
)
SELECT x.id::text AS id FROM agent_executions AS x
WHERE x.organization_id = $1 AND x.id = ANY($2::uuid[]) AND x.status = 'running'

-- name: abandon
-- End running executions whose process has not been heard of for that many seconds, at most so many; with the moment that it was heard of last.
WITH gone AS (
    SELECT x.id FROM agent_executions AS x
    WHERE x.organization_id = $1 AND x.status = 'running'
        AND x.heartbeat_at <= clock_timestamp() - $2::float8 * interval '1 second'
    ORDER BY x.heartbeat_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE agent_executions AS x
SET status = 'abandoned', finished_at = x.heartbeat_at, error = 'Its process was not heard of again: it was killed, or lost its database.'
FROM gone WHERE x.organization_id = $1 AND x.id = gone.id

-- name: silent
-- How many running executions have not been heard of for that many seconds.
SELECT count(*) AS silent FROM agent_executions AS x
WHERE x.organization_id = $1 AND x.status = 'running'
    AND x.heartbeat_at <= clock_timestamp() - $2::float8 * interval '1 second'
