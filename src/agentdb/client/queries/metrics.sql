-- fragment: average
-- avg() squares the values, which overflows from 1e154 on. Values that large are scaled down for their sum, by a power of
-- two, which costs no digit; beside them those below 1e100 do not count.
CASE WHEN greatest(max(m.value), -min(m.value)) < '1e140'::float8
    THEN avg(m.value) FILTER (WHERE abs(m.value) < '1e140'::float8)
    ELSE sum(m.value / 1099511627776) FILTER (WHERE abs(m.value) > '1e100'::float8) / count(*) * 1099511627776 END

-- fragment: figures
-- What the points m say together.
count(*) AS count, {{average}} AS avg, min(m.value) AS min, max(m.value) AS max,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY m.value) AS percentiles

-- fragment: bin_key
-- The bin of a value, as in metric/bins.py.
CASE WHEN abs(m.value) < '1e-300'::float8 THEN 0
    ELSE sign(m.value)::integer * (40000 + ceil(ln(abs(m.value)) / '0.0198'::float8)::integer) END

-- fragment: retried
-- The same key with the same point is a retry. With another point the value breaks its CHECK, which undoes the whole
-- statement: no point is dropped silently.
ON CONFLICT (organization_id, id) DO UPDATE SET value = CASE
    WHEN (m.agent_id, m.name, m.value, m.unit) = (EXCLUDED.agent_id, EXCLUDED.name, EXCLUDED.value, EXCLUDED.unit)
    THEN m.value ELSE 'NaN' END

-- fragment: points_given
-- Points, one per element of the arrays.
INSERT INTO agent_metrics AS m (organization_id, id, agent_id, name, value, unit, labels, recorded_at)
SELECT $1, e.id, e.agent_id, e.name, e.value, e.unit, e.labels::jsonb, coalesce(e.recorded_at, now())
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::float8[], $6::text[], $7::text[], $8::timestamptz[])
    AS e (id, agent_id, name, value, unit, labels, recorded_at)

-- name: record
-- Record one point.
INSERT INTO agent_metrics AS m (organization_id, id, agent_id, name, value, unit, labels, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, now()))
{{retried}}

-- name: record_new
-- Record one point whose id nobody else can have.
INSERT INTO agent_metrics AS m (organization_id, id, agent_id, name, value, unit, labels, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, now()))

-- name: record_many
-- Record points.
{{points_given}}
{{retried}}

-- name: record_gathered
-- Record points whose ids nobody else can have; those that are there were sent before.
{{points_given}}
ON CONFLICT (organization_id, id) DO NOTHING
