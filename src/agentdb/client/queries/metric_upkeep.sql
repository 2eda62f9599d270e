-- uses: metrics
-- The ends of spans are columns of CTEs, and OFFSET 0 has their points read span by span: metric_reads.sql says why.

-- fragment: held
-- The agents of what is `found`, whose deletion has to wait; those that are being deleted are left out. So upkeep waits for
-- nobody who deletes an agent, and neither of them runs into a deadlock.
held AS MATERIALIZED (
    SELECT a.id AS agent_id FROM agents AS a
    WHERE a.organization_id = $1 AND a.id IN (SELECT found.agent_id FROM found)
    FOR KEY SHARE SKIP LOCKED
)

-- fragment: fresh
-- The figures of each hour from `due`: a metric of an agent from since to until.
points AS MATERIALIZED (
    SELECT due.place, date_trunc('hour', m.recorded_at, 'UTC') AS starts_at, m.value FROM due CROSS JOIN LATERAL (
        SELECT m.recorded_at, m.value FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = due.agent_id AND m.name = due.name
            AND m.recorded_at >= due.since AND m.recorded_at < due.until
        OFFSET 0
    ) AS m
),
stats AS MATERIALIZED (
    SELECT m.place, m.starts_at, m.starts_at + interval '1 hour' AS ends_at, {{figures}} FROM points AS m
    GROUP BY m.place, m.starts_at
),
bins AS MATERIALIZED (
    SELECT b.place, b.starts_at, array_agg(b.key ORDER BY b.key) AS keys, array_agg(b.number ORDER BY b.key) AS counts
    FROM (
        SELECT m.place, m.starts_at, {{bin_key}} AS key, count(*)::integer AS number FROM points AS m
        GROUP BY m.place, m.starts_at, key
    ) AS b
    GROUP BY b.place, b.starts_at
),
fresh AS (
    SELECT due.agent_id, due.name, stats.*, bins.keys, bins.counts, newest.unit, newest.value AS last,
        newest.recorded_at AS last_at
    FROM stats JOIN bins USING (place, starts_at) JOIN due USING (place) CROSS JOIN LATERAL (
        SELECT m.unit, m.value, m.recorded_at FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = due.agent_id AND m.name = due.name
            AND m.recorded_at >= stats.starts_at AND m.recorded_at < stats.ends_at
        ORDER BY m.recorded_at DESC, m.value DESC LIMIT 1
    ) AS newest
)

-- fragment: insert_fresh
INSERT INTO agent_metric_rollups AS r (organization_id, agent_id, name, starts_at, unit, count, avg, min, max,
    p50, p95, p99, last, last_at, bin_keys, bin_counts)
SELECT $1, f.agent_id, f.name, f.starts_at, f.unit, f.count, f.avg, f.min, f.max,
    f.percentiles[1], f.percentiles[2], f.percentiles[3], f.last, f.last_at, f.keys, f.counts
FROM fresh AS f

-- name: roll_up
-- Roll up what follows the last rolled hour of the next $6 metrics, after the agent $2 and name $3, that have anything before
-- $4; of each some $5 points, in whole hours. Marks of these hours are settled with them.
WITH RECURSIVE series AS (
    (SELECT m.agent_id, m.name FROM agent_metrics AS m
     WHERE m.organization_id = $1 AND (m.agent_id, m.name) > ($2::text, $3::text) ORDER BY m.agent_id, m.name LIMIT 1)
    UNION ALL
    SELECT next.agent_id, next.name FROM series AS s CROSS JOIN LATERAL (
        SELECT m.agent_id, m.name FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND (m.agent_id, m.name) > (s.agent_id, s.name) ORDER BY m.agent_id, m.name LIMIT 1
    ) AS next
),
found AS MATERIALIZED (
    SELECT row_number() OVER () AS place, d.* FROM (
        SELECT s.agent_id, s.name, first.hour AS since,
            greatest(coalesce(enough.hour, $4::timestamptz), first.hour + interval '1 hour') AS until
        FROM series AS s
        CROSS JOIN LATERAL (
            SELECT coalesce(max(r.starts_at) + interval '1 hour', '0001-01-01 00:00+00') AS hour
            FROM agent_metric_rollups AS r WHERE r.organization_id = $1 AND r.agent_id = s.agent_id AND r.name = s.name
        ) AS after
        CROSS JOIN LATERAL (
            SELECT date_trunc('hour', m.recorded_at, 'UTC') AS hour FROM agent_metrics AS m
            WHERE m.organization_id = $1 AND m.agent_id = s.agent_id AND m.name = s.name
                AND m.recorded_at >= after.hour AND m.recorded_at < $4
            ORDER BY m.recorded_at LIMIT 1
        ) AS first
        LEFT JOIN LATERAL (
            SELECT date_trunc('hour', m.recorded_at, 'UTC') AS hour FROM agent_metrics AS m
            WHERE m.organization_id = $1 AND m.agent_id = s.agent_id AND m.name = s.name
                AND m.recorded_at >= after.hour AND m.recorded_at < $4
            ORDER BY m.recorded_at LIMIT 1 OFFSET $5
        ) AS enough ON true
        LIMIT $6
    ) AS d
),
{{held}},
due AS MATERIALIZED (SELECT found.* FROM found JOIN held USING (agent_id)),
{{fresh}},
rolled AS ({{insert_fresh}} RETURNING 1),
settled AS (
    DELETE FROM agent_metric_late_hours AS l USING due
    WHERE l.organization_id = $1 AND l.agent_id = due.agent_id AND l.name = due.name
        AND l.starts_at >= due.since AND l.starts_at < due.until
)
SELECT found.agent_id, found.name, due.until < $4 AS has_more, (SELECT count(*) FROM rolled) AS hours
FROM found LEFT JOIN due USING (place) ORDER BY place

-- name: roll_up_late
-- Roll up anew $3 hours before $2 whose points have changed since; one without any is rolled up no more.
WITH found AS MATERIALIZED (
    SELECT DISTINCT l.agent_id, l.name, l.starts_at FROM agent_metric_late_hours AS l
    WHERE l.organization_id = $1 AND l.starts_at < $2
        AND NOT EXISTS (
            SELECT FROM agent_metric_rollups AS r
            WHERE r.organization_id = $1 AND r.agent_id = l.agent_id AND r.name = l.name AND r.starts_at = l.starts_at
                AND r.is_pruned
        )
    LIMIT $3
),
{{held}},
due AS MATERIALIZED (
    SELECT row_number() OVER () AS place, found.agent_id, found.name, found.starts_at AS since,
        found.starts_at + interval '1 hour' AS until
    FROM found JOIN held USING (agent_id)
),
{{fresh}},
rolled AS (
    {{insert_fresh}}
    ON CONFLICT (organization_id, agent_id, name, starts_at) DO UPDATE
    SET unit = EXCLUDED.unit, count = EXCLUDED.count, avg = EXCLUDED.avg, min = EXCLUDED.min, max = EXCLUDED.max,
        p50 = EXCLUDED.p50, p95 = EXCLUDED.p95, p99 = EXCLUDED.p99, last = EXCLUDED.last, last_at = EXCLUDED.last_at,
        bin_keys = EXCLUDED.bin_keys, bin_counts = EXCLUDED.bin_counts
),
emptied AS (
    DELETE FROM agent_metric_rollups AS r USING due
    WHERE r.organization_id = $1 AND r.agent_id = due.agent_id AND r.name = due.name AND r.starts_at = due.since
        AND NOT EXISTS (SELECT FROM stats WHERE stats.place = due.place)
),
settled AS (
    DELETE FROM agent_metric_late_hours AS l USING due
    WHERE l.organization_id = $1 AND l.agent_id = due.agent_id AND l.name = due.name AND l.starts_at = due.since
)
SELECT count(*) AS hours FROM due

-- name: prune_points
-- Delete the points of hours before $2 that are rolled up as they are now: some $3 points, in whole hours.
WITH candidates AS (
    SELECT r.agent_id, r.name, r.starts_at, r.count FROM agent_metric_rollups AS r
    WHERE r.organization_id = $1 AND NOT r.is_pruned AND r.starts_at < $2
        AND NOT EXISTS (
            SELECT FROM agent_metric_late_hours AS l
            WHERE l.organization_id = $1 AND l.agent_id = r.agent_id AND l.name = r.name AND l.starts_at = r.starts_at
        )
    ORDER BY r.starts_at LIMIT 1000
),
found AS MATERIALIZED (
    SELECT c.agent_id, c.name, c.starts_at, c.starts_at + interval '1 hour' AS ends_at FROM (
        SELECT c.*, sum(c.count) OVER (ORDER BY c.starts_at, c.agent_id, c.name) - c.count AS before FROM candidates AS c
    ) AS c
    WHERE c.before < $3
),
{{held}},
chosen AS MATERIALIZED (SELECT found.* FROM found JOIN held USING (agent_id)),
pruned AS (
    UPDATE agent_metric_rollups AS r SET is_pruned = true FROM chosen
    WHERE r.organization_id = $1 AND r.agent_id = chosen.agent_id AND r.name = chosen.name
        AND r.starts_at = chosen.starts_at
),
points AS MATERIALIZED (
    SELECT p.id FROM chosen CROSS JOIN LATERAL (
        SELECT m.id FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = chosen.agent_id AND m.name = chosen.name
            AND m.recorded_at >= chosen.starts_at AND m.recorded_at < chosen.ends_at
        OFFSET 0
    ) AS p
),
gone AS (
    DELETE FROM agent_metrics AS m WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT p.id FROM points AS p))
    RETURNING 1
)
SELECT (SELECT count(*) FROM chosen) AS hours, (SELECT count(*) FROM gone) AS points

-- fragment: late_of_pruned
-- Hours whose points were deleted and to which some came since, of agents that nobody is deleting.
found AS MATERIALIZED (
    SELECT DISTINCT l.agent_id, l.name, l.starts_at, l.starts_at + interval '1 hour' AS ends_at
    FROM agent_metric_late_hours AS l JOIN agent_metric_rollups AS r USING (agent_id, name, starts_at)
    WHERE l.organization_id = $1 AND r.organization_id = $1 AND r.is_pruned
),
{{held}},
late AS MATERIALIZED (SELECT found.* FROM found JOIN held USING (agent_id))

-- name: take_late
-- Take $2 points that came after the others of their hour were deleted.
WITH {{late_of_pruned}},
points AS MATERIALIZED (
    SELECT p.id FROM late CROSS JOIN LATERAL (
        SELECT m.id FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = late.agent_id AND m.name = late.name
            AND m.recorded_at >= late.starts_at AND m.recorded_at < late.ends_at
        OFFSET 0
    ) AS p
    LIMIT $2
)
DELETE FROM agent_metrics AS m WHERE m.organization_id = $1 AND m.id = ANY (ARRAY(SELECT p.id FROM points AS p))
RETURNING m.agent_id, m.name, date_trunc('hour', m.recorded_at, 'UTC') AS starts_at, m.value, m.unit, m.recorded_at

-- name: pruned_hour
-- What is known of an hour whose points were deleted.
SELECT r.count, r.avg, r.min, r.max, ARRAY[r.p50, r.p95, r.p99] AS percentiles, r.is_exact,
    array_send(r.bin_keys) AS keys, array_send(r.bin_counts) AS counts, r.unit, r.last, r.last_at
FROM agent_metric_rollups AS r
WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = $3 AND r.starts_at = $4

-- name: keep_late
-- Keep what is known of an hour now that points which came late are added; its percentiles are estimates from now on.
UPDATE agent_metric_rollups AS r
SET count = $5, avg = $6, min = $7, max = $8, p50 = $9, p95 = $10, p99 = $11, is_exact = false, bin_keys = $12,
    bin_counts = $13, unit = $14, last = $15, last_at = $16
WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = $3 AND r.starts_at = $4

-- name: settle_late
-- Forget the marks of hours whose points were deleted, the late ones too.
WITH {{late_of_pruned}},
done AS MATERIALIZED (
    SELECT late.* FROM late LEFT JOIN LATERAL (
        SELECT true AS is_there FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = late.agent_id AND m.name = late.name
            AND m.recorded_at >= late.starts_at AND m.recorded_at < late.ends_at
        LIMIT 1
    ) AS points ON true
    WHERE points.is_there IS NULL
)
DELETE FROM agent_metric_late_hours AS l USING done
WHERE l.organization_id = $1 AND l.agent_id = done.agent_id AND l.name = done.name AND l.starts_at = done.starts_at

-- name: prune_rollups
-- Delete $3 hours before $2 whose points are deleted, unless points have come that are not added yet.
WITH found AS MATERIALIZED (
    SELECT r.agent_id, r.name, r.starts_at FROM agent_metric_rollups AS r
    WHERE r.organization_id = $1 AND r.is_pruned AND r.starts_at < $2
        AND NOT EXISTS (
            SELECT FROM agent_metric_late_hours AS l
            WHERE l.organization_id = $1 AND l.agent_id = r.agent_id AND l.name = r.name AND l.starts_at = r.starts_at
        )
    LIMIT $3
),
{{held}},
chosen AS MATERIALIZED (SELECT found.* FROM found JOIN held USING (agent_id))
DELETE FROM agent_metric_rollups AS r USING chosen
WHERE r.organization_id = $1 AND r.agent_id = chosen.agent_id AND r.name = chosen.name AND r.starts_at = chosen.starts_at

-- name: prunable
-- How many points retention would delete before $2, late ones of deleted hours included, and how many hours before $3.
WITH points AS MATERIALIZED (
    SELECT m.agent_id, m.name, date_trunc('hour', m.recorded_at, 'UTC') AS starts_at, count(*) AS count
    FROM agent_metrics AS m WHERE m.organization_id = $1 AND m.recorded_at < $4
    GROUP BY m.agent_id, m.name, starts_at
),
hours AS (
    SELECT p.agent_id, p.name, p.starts_at, p.count, coalesce(r.is_pruned, false) AS is_pruned
    FROM points AS p LEFT JOIN (SELECT * FROM agent_metric_rollups AS r WHERE r.organization_id = $1) AS r
        USING (agent_id, name, starts_at)
)
SELECT
    (SELECT coalesce(sum(h.count), 0)::bigint FROM hours AS h WHERE h.starts_at < $2 OR h.is_pruned) AS points,
    (SELECT count(*) FROM (
        SELECT r.agent_id, r.name, r.starts_at FROM agent_metric_rollups AS r
        WHERE r.organization_id = $1 AND r.starts_at < $3 AND r.is_pruned
        UNION
        SELECT h.agent_id, h.name, h.starts_at FROM hours AS h WHERE h.starts_at < $3 AND h.starts_at < $2
    ) AS gone) AS rollups
