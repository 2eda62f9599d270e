-- fragment: ended
-- Executions that came to an end since $3, of one agent or of all; the kind that nobody said is ''. Only what was
-- completed has a time: what fails does so early or late. A cancellation says nothing of what it cancelled.
SELECT x.id, x.agent_id, coalesce(x.kind, '') AS kind, x.model, x.settings, x.status = 'completed' AS success,
    CASE WHEN x.status = 'completed' THEN extract(epoch FROM x.finished_at - x.started_at)::float8 * 1000 END AS ms,
    x.cost::float8 AS cost
FROM agent_executions AS x
WHERE x.organization_id = $1 AND ($2::text IS NULL OR x.agent_id = $2) AND x.started_at >= $3::timestamptz
    AND x.status IN ('completed', 'failed', 'abandoned')

-- fragment: is_comparable
-- A value that can be equal to another: a text, a number or a truth, and no long text.
jsonb_typeof(setting.value) IN ('string', 'number', 'boolean') AND octet_length(setting.value::text) <= 255

-- name: compare
-- What there is to compare: each factor's executions, and the rest of its pool: those of the same agent and kind that
-- have a model, or the setting; for a tool, all. Ranks are among the pool, equal values share the mean of theirs. There
-- is no join: PostgreSQL expects a row or two where there are thousands, and would compare each with each.
WITH ended AS MATERIALIZED ({{ended}}), pool AS (
    SELECT agent_id, kind, 'tool' AS factor, '' AS name, NULL::jsonb AS value, (
        SELECT array_agg(DISTINCT s.name) FROM agent_steps AS s
        WHERE s.organization_id = $1 AND s.execution_id = ended.id AND s.kind = 'tool'
    ) AS tools, success, ms, cost
    FROM ended
    UNION ALL
    SELECT agent_id, kind, 'model', 'model', to_jsonb(model), NULL, success, ms, cost FROM ended WHERE model IS NOT NULL
    UNION ALL
    SELECT agent_id, kind, 'setting', setting.key, setting.value, NULL, success, ms, cost
    FROM ended CROSS JOIN LATERAL jsonb_each(settings) AS setting WHERE {{is_comparable}}
), ranked AS MATERIALIZED (
    SELECT pool.*,
        rank() OVER (PARTITION BY agent_id, kind, factor, name ORDER BY ms) AS ms_rank,
        count(*) OVER (PARTITION BY agent_id, kind, factor, name, ms) AS ms_equal,
        rank() OVER (PARTITION BY agent_id, kind, factor, name ORDER BY cost) AS cost_rank,
        count(*) OVER (PARTITION BY agent_id, kind, factor, name, cost) AS cost_equal
    FROM pool
), held AS (
    SELECT agent_id, kind, factor, name, name AS shown_name, value, success, ms, ms_rank, ms_equal, cost, cost_rank,
        cost_equal
    FROM ranked WHERE factor <> 'tool'
    UNION ALL
    SELECT agent_id, kind, factor, name, tool, NULL, success, ms, ms_rank, ms_equal, cost, cost_rank, cost_equal
    FROM ranked CROSS JOIN LATERAL unnest(tools) AS tool WHERE factor = 'tool'
), counted AS (
    SELECT agent_id, kind, factor, name, shown_name, value::text AS value, count(*) AS trials,
        count(*) FILTER (WHERE success) AS successes, count(ms) AS timed, count(cost) AS priced,
        sum(ms_rank + (ms_equal - 1) / 2.0::float8) FILTER (WHERE ms IS NOT NULL) AS ms_ranks,
        sum(cost_rank + (cost_equal - 1) / 2.0::float8) FILTER (WHERE cost IS NOT NULL) AS cost_ranks,
        NULL::float8 AS ms_ties, NULL::float8 AS cost_ties
    FROM held GROUP BY agent_id, kind, factor, name, shown_name, held.value HAVING count(*) >= $4::bigint
    UNION ALL
    SELECT agent_id, kind, factor, name, NULL, NULL, count(*), count(*) FILTER (WHERE success), count(ms), count(cost),
        NULL, NULL, sum(ms_equal::float8 ^ 2 - 1) FILTER (WHERE ms IS NOT NULL),
        sum(cost_equal::float8 ^ 2 - 1) FILTER (WHERE cost IS NOT NULL)
    FROM ranked GROUP BY agent_id, kind, factor, name
), compared AS (
    SELECT agent_id, kind, factor, shown_name AS name, value, trials, successes, timed, priced, ms_ranks, cost_ranks,
        max(trials) OVER whole - trials AS other_trials,
        max(successes) FILTER (WHERE shown_name IS NULL) OVER whole - successes AS other_successes,
        max(timed) FILTER (WHERE shown_name IS NULL) OVER whole - timed AS other_timed,
        max(priced) FILTER (WHERE shown_name IS NULL) OVER whole - priced AS other_priced,
        max(ms_ties) OVER whole AS ms_ties, max(cost_ties) OVER whole AS cost_ties
    FROM counted WINDOW whole AS (PARTITION BY agent_id, kind, factor, counted.name)
)
SELECT * FROM compared WHERE name IS NOT NULL AND other_trials >= $4::bigint

-- name: medians
-- Median time and cost with and without each factor, by its place in the arrays.
WITH ended AS MATERIALIZED ({{ended}}), compared AS (
    SELECT w.place, ended.ms, ended.cost, CASE w.factor
        WHEN 'tool' THEN EXISTS (
            SELECT FROM agent_steps AS s
            WHERE s.organization_id = $1 AND s.execution_id = ended.id AND s.kind = 'tool' AND s.name = w.name
        )
        WHEN 'model' THEN to_jsonb(ended.model) = w.value::jsonb
        ELSE (
            SELECT setting.value = w.value::jsonb FROM (SELECT ended.settings -> w.name AS value) AS setting
            WHERE {{is_comparable}}
        )
    END AS has_it
    FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
        AS w (agent_id, kind, factor, name, value, place)
    JOIN ended USING (agent_id, kind)
)
SELECT place - 1 AS place, has_it, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS ms,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY cost) AS cost
FROM compared WHERE has_it IS NOT NULL GROUP BY place, has_it

-- name: record_findings
-- Record what was recognized, one pattern per element of the arrays; one that is there already gets the new numbers.
INSERT INTO learning_patterns AS p (organization_id, id, agent_id, pattern_type, name, content, trials, successes)
SELECT $1, e.id, e.agent_id, 'recognized', e.name, e.content::jsonb, e.trials, e.successes
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
    AS e (id, agent_id, name, content, trials, successes)
ON CONFLICT (organization_id, id) DO UPDATE
SET name = EXCLUDED.name, content = EXCLUDED.content, trials = EXCLUDED.trials, successes = EXCLUDED.successes,
    updated_at = statement_timestamp()
