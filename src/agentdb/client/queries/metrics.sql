-- fragment: average
-- avg() squares the values, which overflows from 1e154 on. Values that large are scaled down for their sum, by a power of
-- two, which costs no digit; beside them those below 1e100 do not count.
CASE WHEN greatest(max(m.value), -min(m.value)) < '1e140'::float8
    THEN avg(m.value) FILTER (WHERE abs(m.value) < '1e140'::float8)
    ELSE sum(m.value / 1099511627776) FILTER (WHERE abs(m.value) > '1e100'::float8) / count(*) * 1099511627776 END

-- fragment: retried
-- The same key with the same point is a retry. With another point the value breaks its CHECK, which undoes the whole
-- statement: no point is dropped silently.
ON CONFLICT (organization_id, id) DO UPDATE SET value = CASE
    WHEN (m.agent_id, m.name, m.value, m.unit) = (EXCLUDED.agent_id, EXCLUDED.name, EXCLUDED.value, EXCLUDED.unit)
    THEN m.value ELSE 'NaN' END

-- name: record
-- Record one point.
INSERT INTO agent_metrics AS m (organization_id, id, agent_id, name, value, unit, labels, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, now()))
{{retried}}

-- name: record_many
-- Record points, one per element of the arrays.
INSERT INTO agent_metrics AS m (organization_id, id, agent_id, name, value, unit, labels, recorded_at)
SELECT $1, e.id, e.agent_id, e.name, e.value, e.unit, e.labels::jsonb, coalesce(e.recorded_at, now())
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::float8[], $6::text[], $7::text[], $8::timestamptz[])
    AS e (id, agent_id, name, value, unit, labels, recorded_at)
{{retried}}

-- name: summary
-- Every metric of an agent in the last hours, up to now; the unit and the last value are the newest point's.
WITH summary AS (
    SELECT m.name, count(*) AS count, {{average}} AS avg, min(m.value) AS min, max(m.value) AS max,
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY m.value) AS percentiles
    FROM agent_metrics AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.recorded_at <= statement_timestamp()
        AND m.recorded_at > statement_timestamp() - $3::float8 * interval '1 hour'
    GROUP BY m.name
)
SELECT s.name, newest.unit, s.count, s.avg, s.min, s.max, s.percentiles[1] AS p50, s.percentiles[2] AS p95,
    s.percentiles[3] AS p99, newest.value AS last
FROM summary AS s CROSS JOIN LATERAL (
    SELECT m.unit, m.value FROM agent_metrics AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name = s.name AND m.recorded_at <= statement_timestamp()
    ORDER BY m.recorded_at DESC, m.value DESC LIMIT 1
) AS newest
ORDER BY s.name

-- name: series
-- One metric of an agent by buckets: $4 holds their starts in order, $5 is where the last one ends. Empty ones have no row.
-- What is recorded ahead of now does not count yet, as in `summary`.
SELECT width_bucket(m.recorded_at, $4::timestamptz[]) - 1 AS bucket, count(*) AS count, {{average}} AS avg,
    min(m.value) AS min, max(m.value) AS max,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY m.value) AS percentiles,
    (SELECT newest.unit FROM agent_metrics AS newest
     WHERE newest.organization_id = $1 AND newest.agent_id = $2 AND newest.name = $3
        AND newest.recorded_at <= statement_timestamp()
     ORDER BY newest.recorded_at DESC LIMIT 1) AS unit
FROM agent_metrics AS m
WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name = $3
    AND m.recorded_at >= ($4::timestamptz[])[1] AND m.recorded_at < $5 AND m.recorded_at <= statement_timestamp()
GROUP BY bucket
