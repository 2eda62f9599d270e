-- name: stats
-- Figures of the executions that started in a time, by agent and, without an agent_id, of all together. The conditions
-- are apart because one made of COALESCE would get no index: it may leak, says PostgreSQL.
WITH figures AS (
    SELECT x.agent_id, count(*) AS executions,
        count(*) FILTER (WHERE x.status = 'running') AS running,
        count(*) FILTER (WHERE x.status = 'completed') AS completed,
        count(*) FILTER (WHERE x.status = 'failed') AS failed,
        count(*) FILTER (WHERE x.status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE x.status = 'abandoned') AS abandoned,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
            ORDER BY date_part('epoch', x.finished_at - x.started_at) * 1000
        ) FILTER (WHERE x.status IN ('completed', 'failed')) AS percentiles,
        coalesce(sum(x.input_tokens), 0) AS input, coalesce(sum(x.cached_input_tokens), 0) AS cached_input,
        coalesce(sum(x.cache_write_tokens), 0) AS cache_write, coalesce(sum(x.output_tokens), 0) AS output,
        coalesce(sum(x.reasoning_tokens), 0) AS reasoning,
        sum(x.cost) AS cost,
        count(*) FILTER (
            WHERE x.cost IS NULL AND x.status <> 'running'
                AND greatest(x.input_tokens, x.cached_input_tokens, x.cache_write_tokens, x.output_tokens) > 0
        ) AS unpriced
    FROM agent_executions AS x
    WHERE x.organization_id = $1 AND ($2::text IS NULL OR x.agent_id = $2) AND ($3::text IS NULL OR x.kind = $3)
        AND ($4::timestamptz IS NULL OR x.started_at >= $4) AND ($5::timestamptz IS NULL OR x.started_at < $5)
        AND ($6::float8 IS NULL OR x.started_at >= statement_timestamp() - $6 * interval '1 hour')
    GROUP BY GROUPING SETS ((x.agent_id), ())
)
SELECT f.*, a.name AS agent_name
FROM figures AS f LEFT JOIN agents AS a ON a.organization_id = $1 AND a.id = f.agent_id
ORDER BY f.executions DESC, a.name, f.agent_id

-- fragment: over
-- Trees of executions of which each execution ended before $2 days: those whose first one comes after $3 and $4 in the
-- order of their starts, of $5 at most. OFFSET 0 makes it look children up one by one, by their index: how many there
-- are the planner can only guess, and it guesses that reading the whole table pays.
roots AS MATERIALIZED (
    SELECT x.id, x.started_at, x.finished_at FROM agent_executions AS x
    WHERE x.organization_id = $1 AND x.parent_id IS NULL AND x.status <> 'running'
        AND x.started_at < statement_timestamp() - $2::float8 * interval '24 hours'
        AND (x.started_at, x.id) > ($3::timestamptz, $4::uuid)
    ORDER BY x.started_at, x.id LIMIT $5
), tree (root, id, finished_at) AS (
    SELECT r.id, r.id, r.finished_at FROM roots AS r
    UNION ALL
    SELECT t.root, c.id, c.finished_at
    FROM tree AS t CROSS JOIN LATERAL (
        SELECT x.id, x.finished_at FROM agent_executions AS x
        WHERE x.organization_id = $1 AND x.parent_id = t.id OFFSET 0
    ) AS c
), over AS (
    SELECT t.root FROM tree AS t GROUP BY t.root
    HAVING bool_and(
        t.finished_at IS NOT NULL AND t.finished_at < statement_timestamp() - $2::float8 * interval '24 hours'
    )
)

-- name: clear
-- Delete trees that are over, with their steps; where the next batch begins, and how many executions were deleted. A
-- tree that somebody else is deleting is left to them.
WITH RECURSIVE {{over}}, locked AS (
    SELECT x.id FROM agent_executions AS x
    WHERE x.organization_id = $1 AND x.id = ANY(ARRAY(SELECT o.root FROM over AS o)) FOR UPDATE SKIP LOCKED
), cleared AS (
    DELETE FROM agent_executions AS x
    WHERE x.organization_id = $1 AND x.id = ANY(ARRAY(SELECT t.id FROM tree AS t JOIN locked AS l ON l.id = t.root))
    RETURNING x.id
)
SELECT r.started_at, r.id, (SELECT count(*) FROM roots) AS roots, (SELECT count(*) FROM cleared) AS executions
FROM roots AS r ORDER BY r.started_at DESC, r.id DESC LIMIT 1

-- name: clearable
-- The same, without deleting.
WITH RECURSIVE {{over}}
SELECT r.started_at, r.id, (SELECT count(*) FROM roots) AS roots,
    (SELECT count(*) FROM tree AS t JOIN over AS o ON o.root = t.root) AS executions
FROM roots AS r ORDER BY r.started_at DESC, r.id DESC LIMIT 1

-- name: clear_calls
-- Delete calls of tools outside of executions, made before that many days, at most so many: in the order of the index,
-- and in one order whoever does it.
DELETE FROM agent_steps AS s
WHERE s.organization_id = $1 AND s.id = ANY(ARRAY(
    SELECT c.id FROM agent_steps AS c
    WHERE c.organization_id = $1 AND c.execution_id IS NULL
        AND c.at < statement_timestamp() - $2::float8 * interval '24 hours'
    ORDER BY c.execution_id, c.id LIMIT $3
))

-- name: clearable_calls
-- How many there are.
SELECT count(*) AS calls FROM agent_steps AS s
WHERE s.organization_id = $1 AND s.execution_id IS NULL
    AND s.at < statement_timestamp() - $2::float8 * interval '24 hours'
