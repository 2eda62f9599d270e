-- fragment: ended
-- Executions that came to an end since $3, of one agent or of all; the kind that nobody said is ''. Only what was
-- completed has a time: what fails does so early or late. A cancellation says nothing of what it cancelled. Those of one
-- agent and kind have a number, the task: numbers are sorted several times as fast as names.
SELECT x.id, x.agent_id, coalesce(x.kind, '') AS kind, x.model, x.settings, x.status = 'completed' AS success,
    CASE WHEN x.status = 'completed' THEN extract(epoch FROM x.finished_at - x.started_at)::float8 * 1000 END AS ms,
    x.cost::float8 AS cost, dense_rank() OVER (ORDER BY x.agent_id, coalesce(x.kind, '')) AS task
FROM agent_executions AS x
WHERE x.organization_id = $1 AND ($2::text IS NULL OR x.agent_id = $2) AND x.started_at >= $3::timestamptz
    AND x.status IN ('completed', 'failed', 'abandoned')

-- fragment: keys
-- A number for the name of each setting, from 2; 0 stands for tools, 1 for the model.
SELECT jsonb_object_agg(k.key, k.number) AS numbers FROM (
    SELECT key, row_number() OVER () + 1 AS number
    FROM (SELECT DISTINCT jsonb_object_keys(settings) AS key FROM ended) AS distinct_keys
) AS k

-- fragment: pool
-- Each execution once for its tools, once for its model and once for each setting, in the pool of those to compare it
-- with; its number is made of the task and of what is compared. A setting's value can be equal to another if it is a
-- text, a number or a truth, and no long text; 2.0 is 2. There is no join: PostgreSQL expects a row or two where there
-- are thousands, and would compare each with each.
SELECT task << 32 AS pool, NULL::text AS value, ARRAY(
    SELECT DISTINCT s.name FROM agent_steps AS s
    WHERE s.organization_id = $1 AND s.execution_id = ended.id AND s.kind = 'tool'
) AS tools, success, ms, cost
FROM ended
UNION ALL
SELECT (task << 32) + 1, to_jsonb(model)::text, NULL, success, ms, cost FROM ended WHERE model IS NOT NULL
UNION ALL
SELECT (task << 32) + ((SELECT numbers FROM keys) -> s.key)::bigint, CASE jsonb_typeof(s.value)
    WHEN 'number' THEN trim_scale(s.value::numeric)::text ELSE s.value::text END, NULL, success, ms, cost
FROM ended CROSS JOIN LATERAL jsonb_each(settings) AS s
WHERE jsonb_typeof(s.value) IN ('string', 'number', 'boolean') AND octet_length(s.value::text) <= 255

-- name: compare
-- What there is to compare: each factor's executions, and the rest of its pool: those of the same agent and kind that
-- have a model, or the setting; for a tool, all. Ranks are among the pool, equal values share the mean of theirs.
WITH ended AS MATERIALIZED ({{ended}}), keys AS MATERIALIZED ({{keys}}), ranked AS MATERIALIZED (
    -- Up to a value there are those before it and its equals.
    SELECT p.*, rank() OVER by_ms AS ms_rank, count(*) OVER by_ms AS ms_upto, rank() OVER by_cost AS cost_rank,
        count(*) OVER by_cost AS cost_upto
    FROM ({{pool}}) AS p
    WINDOW by_ms AS (PARTITION BY pool ORDER BY ms), by_cost AS (PARTITION BY pool ORDER BY cost)
), held AS (
    SELECT pool, value, success, ms, ms_rank, ms_upto, cost, cost_rank, cost_upto FROM ranked WHERE value IS NOT NULL
    UNION ALL
    SELECT pool, tool, success, ms, ms_rank, ms_upto, cost, cost_rank, cost_upto
    FROM ranked CROSS JOIN LATERAL unnest(tools) AS tool WHERE value IS NULL
), counted AS (
    SELECT pool, value, count(*) AS trials, count(*) FILTER (WHERE success) AS successes, count(ms) AS timed,
        count(cost) AS priced, sum((ms_rank + ms_upto) / 2.0::float8) FILTER (WHERE ms IS NOT NULL) AS ms_ranks,
        sum((cost_rank + cost_upto) / 2.0::float8) FILTER (WHERE cost IS NOT NULL) AS cost_ranks,
        NULL::float8 AS ms_ties, NULL::float8 AS cost_ties
    FROM held GROUP BY pool, value HAVING count(*) >= $4::bigint
    UNION ALL
    SELECT pool, NULL, count(*), count(*) FILTER (WHERE success), count(ms), count(cost), NULL, NULL,
        sum((ms_upto - ms_rank + 1)::float8 ^ 2 - 1) FILTER (WHERE ms IS NOT NULL),
        sum((cost_upto - cost_rank + 1)::float8 ^ 2 - 1) FILTER (WHERE cost IS NOT NULL)
    FROM ranked GROUP BY pool
), compared AS (
    SELECT pool >> 32 AS task, pool & 4294967295 AS number, value, trials, successes, timed, priced, ms_ranks, cost_ranks,
        max(trials) OVER whole - trials AS other_trials,
        max(successes) FILTER (WHERE value IS NULL) OVER whole - successes AS other_successes,
        max(timed) FILTER (WHERE value IS NULL) OVER whole - timed AS other_timed,
        max(priced) FILTER (WHERE value IS NULL) OVER whole - priced AS other_priced,
        max(ms_ties) OVER whole AS ms_ties, max(cost_ties) OVER whole AS cost_ties
    FROM counted WINDOW whole AS (PARTITION BY pool)
)
SELECT t.agent_id, t.kind, CASE number WHEN 0 THEN 'tool' WHEN 1 THEN 'model' ELSE 'setting' END AS factor,
    CASE number WHEN 0 THEN c.value WHEN 1 THEN 'model' ELSE k.key END AS name, CASE WHEN number > 0 THEN c.value END AS value,
    trials, successes, timed, priced, ms_ranks, cost_ranks, other_trials, other_successes, other_timed, other_priced,
    ms_ties, cost_ties
FROM compared AS c
    JOIN (SELECT DISTINCT task, agent_id, kind FROM ended) AS t USING (task)
    LEFT JOIN (SELECT e.key, e.value::bigint AS number FROM keys CROSS JOIN LATERAL jsonb_each(numbers) AS e) AS k USING (number)
WHERE c.value IS NOT NULL AND other_trials >= $4::bigint

-- name: medians
-- Median time and cost with and without each factor, by its place in the arrays. However many factors a pool has, it is
-- sorted once: what has the factor knows its place among all and among its own, and so how many others come before it;
-- that tells where in the pool the middle one of the others is.
WITH ended AS MATERIALIZED ({{ended}}), keys AS MATERIALIZED ({{keys}}), wanted AS MATERIALIZED (
    SELECT w.place, CASE w.factor WHEN 'tool' THEN w.name ELSE w.value END AS value, (t.task << 32) + CASE w.factor
        WHEN 'tool' THEN 0 WHEN 'model' THEN 1 ELSE ((SELECT numbers FROM keys) -> w.name)::bigint END AS pool
    FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
            AS w (agent_id, kind, factor, name, value, place)
        JOIN (SELECT DISTINCT task, agent_id, kind FROM ended) AS t USING (agent_id, kind)
), pool AS MATERIALIZED (
    SELECT p.* FROM ({{pool}}) AS p WHERE p.pool = ANY ((SELECT array_agg(DISTINCT w.pool) FROM wanted AS w)::bigint[])
), placed AS MATERIALIZED (
    SELECT pool, is_cost, value, tools, amount, row_number() OVER (measure ORDER BY amount) AS place,
        count(*) OVER measure AS size
    FROM pool CROSS JOIN LATERAL (VALUES (false, ms), (true, cost)) AS m (is_cost, amount) WHERE amount IS NOT NULL
    WINDOW measure AS (PARTITION BY pool, is_cost)
), held AS (
    SELECT pool, is_cost, value, amount, place, size FROM placed WHERE value IS NOT NULL
    UNION ALL
    SELECT pool, is_cost, tool, amount, place, size FROM placed CROSS JOIN LATERAL unnest(tools) AS tool WHERE value IS NULL
), own AS (
    SELECT held.*, place - row_number() OVER (factor ORDER BY place) AS before, size - count(*) OVER factor AS others
    FROM held WHERE value = ANY ((SELECT array_agg(DISTINCT w.value) FROM wanted AS w)::text[])
    WINDOW factor AS (PARTITION BY pool, is_cost, value)
), middle AS (
    SELECT pool, is_cost, value, percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) AS median,
        (others + 1) / 2 + count(*) FILTER (WHERE before < (others + 1) / 2) AS lower_place,
        others / 2 + 1 + count(*) FILTER (WHERE before < others / 2 + 1) AS upper_place
    FROM own WHERE others > 0 GROUP BY pool, is_cost, value, others
), sorted AS (
    SELECT pool, is_cost, array_agg(amount ORDER BY place) AS amounts FROM placed GROUP BY pool, is_cost
)
SELECT w.place - 1 AS place, m.is_cost, m.median,
    s.amounts[m.lower_place] + 0.5 * (s.amounts[m.upper_place] - s.amounts[m.lower_place]) AS other_median
FROM sorted AS s JOIN middle AS m USING (pool, is_cost) JOIN wanted AS w USING (pool, value)

-- name: record_findings
-- Record what was recognized, one pattern per element of the arrays; one that is there already gets the new numbers.
INSERT INTO learning_patterns AS p (organization_id, id, agent_id, pattern_type, name, content, trials, successes)
SELECT $1, e.id, e.agent_id, 'recognized', e.name, e.content::jsonb, e.trials, e.successes
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
    AS e (id, agent_id, name, content, trials, successes)
ON CONFLICT (organization_id, id) DO UPDATE
SET name = EXCLUDED.name, content = EXCLUDED.content, trials = EXCLUDED.trials, successes = EXCLUDED.successes,
    updated_at = statement_timestamp()
