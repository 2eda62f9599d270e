-- uses: metrics
-- Under row-level security an index is used for what is compared with a value that is there, not with one that is computed
-- from another table's columns: so the ends of spans are columns of CTEs. OFFSET 0 has a span's points read by themselves,
-- where the planner, who takes each for a third of all, would read all of the agent's.
--
-- Labels are compared twice: of one that is a list or an object, @> is content with a part.

-- fragment: series_of
-- The metric that a series is of; what is recorded ahead of now does not count yet.
m.organization_id = $1 AND m.agent_id = $2 AND m.name = $3 AND m.recorded_at <= statement_timestamp()

-- fragment: hour_figures
-- What an hour's row says, as `figures` does.
r.count, r.avg, r.min, r.max, ARRAY[r.p50, r.p95, r.p99] AS percentiles

-- fragment: sent_bins
-- As metric/parts.py takes them.
array_send(array_agg(b.key ORDER BY b.key)) AS keys, array_send(array_agg(b.number ORDER BY b.key)) AS counts

-- fragment: parts
-- The parts of a series, from `points` and `hours`. Where they meet in a bucket their bins come with them, to be added up.
-- The unit is the newest point's, or that of the newest hour whose points were deleted.
latest AS MATERIALIZED (
    SELECT m.unit, m.recorded_at, date_trunc('hour', m.recorded_at, 'UTC') AS hour FROM agent_metrics AS m
    WHERE {{series_of}} ORDER BY m.recorded_at DESC, m.value DESC LIMIT 1
),
newest AS MATERIALIZED (
    SELECT found.unit FROM (
        SELECT latest.unit, latest.recorded_at FROM latest
        UNION ALL
        (SELECT r.unit, r.last_at FROM agent_metric_rollups AS r
         WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = $3 AND r.is_pruned
            AND r.starts_at >= coalesce((SELECT latest.hour FROM latest), '-infinity')
         ORDER BY r.starts_at DESC LIMIT 1)
    ) AS found
    ORDER BY found.recorded_at DESC LIMIT 1
),
shared AS MATERIALIZED (
    SELECT found.bucket, ($4::timestamptz[])[found.bucket + 1] AS since,
        coalesce(($4::timestamptz[])[found.bucket + 2], $5) AS until
    FROM (SELECT p.bucket FROM points AS p UNION ALL SELECT h.bucket FROM hours AS h) AS found
    GROUP BY found.bucket HAVING count(*) > 1
)
SELECT p.bucket, p.count, p.avg, p.min, p.max, p.percentiles, true AS is_exact, false AS is_hour, bins.keys, bins.counts,
    (SELECT newest.unit FROM newest) AS unit
FROM points AS p LEFT JOIN (
    SELECT b.bucket, {{sent_bins}} FROM (
        SELECT s.bucket, {{bin_key}} AS key, count(*)::integer AS number FROM shared AS s, spans, LATERAL (
            SELECT m.value FROM agent_metrics AS m
            WHERE {{series_of}} AND m.recorded_at >= s.since AND m.recorded_at < s.until
                AND m.recorded_at >= spans.since AND m.recorded_at < spans.until
            OFFSET 0
        ) AS m
        WHERE spans.since < s.until AND spans.until > s.since
        GROUP BY s.bucket, key
    ) AS b
    GROUP BY b.bucket
) AS bins USING (bucket)
UNION ALL
SELECT h.bucket, h.count, h.avg, h.min, h.max, h.percentiles, h.is_exact, true,
    CASE WHEN s.bucket IS NOT NULL THEN array_send(h.keys) END,
    CASE WHEN s.bucket IS NOT NULL THEN array_send(h.counts) END,
    (SELECT newest.unit FROM newest)
FROM hours AS h LEFT JOIN shared AS s USING (bucket)

-- name: series_labelled
-- The points that have the labels $6, by buckets: $4 holds their starts in order, $5 is where the last one ends. Empty ones
-- have no row.
SELECT width_bucket(m.recorded_at, $4::timestamptz[]) - 1 AS bucket, {{figures}}, true AS is_exact, false AS is_hour,
    NULL::bytea AS keys, NULL::bytea AS counts,
    (SELECT m.unit FROM agent_metrics AS m
     WHERE {{series_of}} AND m.recorded_at >= ($4::timestamptz[])[1] AND m.labels @> $6::jsonb AND m.labels || $6::jsonb = m.labels
     ORDER BY m.recorded_at DESC, m.value DESC LIMIT 1) AS unit
FROM agent_metrics AS m
WHERE {{series_of}} AND m.recorded_at >= ($4::timestamptz[])[1] AND m.recorded_at < $5 AND m.labels @> $6::jsonb AND m.labels || $6::jsonb = m.labels
GROUP BY bucket

-- name: series_points
-- One metric by buckets as in `series_labelled`, from its points, and from hours whose points were deleted.
WITH spans AS MATERIALIZED (SELECT ($4::timestamptz[])[1] AS since, $5::timestamptz AS until),
points AS (
    SELECT width_bucket(m.recorded_at, $4::timestamptz[]) - 1 AS bucket, {{figures}}
    FROM agent_metrics AS m
    WHERE {{series_of}} AND m.recorded_at >= ($4::timestamptz[])[1] AND m.recorded_at < $5
    GROUP BY bucket
),
hours AS (
    SELECT width_bucket(r.starts_at, $4::timestamptz[]) - 1 AS bucket, {{hour_figures}}, r.is_exact,
        r.bin_keys AS keys, r.bin_counts AS counts
    FROM agent_metric_rollups AS r
    WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = $3 AND r.is_pruned
        AND r.starts_at >= ($4::timestamptz[])[1] AND r.starts_at < $5
),
{{parts}}

-- name: series_rolled
-- The same from hours that are rolled up, and from points where they are not, or have changed since. Buckets are full hours.
WITH rolled AS MATERIALIZED (
    SELECT coalesce(max(r.starts_at) + interval '1 hour', '-infinity') AS until FROM agent_metric_rollups AS r
    WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = $3
),
late AS MATERIALIZED (
    SELECT DISTINCT l.starts_at FROM agent_metric_late_hours AS l, rolled
    WHERE l.organization_id = $1 AND l.agent_id = $2 AND l.name = $3
        AND l.starts_at >= ($4::timestamptz[])[1] AND l.starts_at < $5 AND l.starts_at < rolled.until
),
spans AS MATERIALIZED (
    SELECT greatest(rolled.until, ($4::timestamptz[])[1]) AS since, $5::timestamptz AS until FROM rolled
    UNION ALL
    SELECT late.starts_at, late.starts_at + interval '1 hour' FROM late
),
points AS (
    SELECT width_bucket(m.recorded_at, $4::timestamptz[]) - 1 AS bucket, {{figures}}
    FROM spans, LATERAL (
        SELECT m.recorded_at, m.value FROM agent_metrics AS m
        WHERE {{series_of}} AND m.recorded_at >= spans.since AND m.recorded_at < spans.until
        OFFSET 0
    ) AS m
    GROUP BY bucket
),
hours AS (
    SELECT width_bucket(r.starts_at, $4::timestamptz[]) - 1 AS bucket, {{hour_figures}}, r.is_exact,
        r.bin_keys AS keys, r.bin_counts AS counts
    FROM agent_metric_rollups AS r
    WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = $3
        AND r.starts_at >= ($4::timestamptz[])[1] AND r.starts_at < $5
        AND (r.is_pruned OR NOT EXISTS (SELECT FROM late WHERE late.starts_at = r.starts_at))
),
{{parts}}

-- fragment: newest
-- The newest point of each metric that has a part, or the newest hour whose points were deleted: one before the point's is
-- not looked for, there may be a year of hours that have theirs.
latest AS MATERIALIZED (
    SELECT n.name, m.*, coalesce(date_trunc('hour', m.recorded_at, 'UTC'), '-infinity') AS hour
    FROM (SELECT DISTINCT p.name FROM parts AS p) AS n LEFT JOIN LATERAL (
        SELECT m.unit, m.value, m.recorded_at FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name = n.name AND m.recorded_at <= statement_timestamp()
        ORDER BY m.recorded_at DESC, m.value DESC LIMIT 1
    ) AS m ON true
),
newest AS MATERIALIZED (
    SELECT latest.name, found.unit, found.value AS last FROM latest CROSS JOIN LATERAL (
        (SELECT latest.unit, latest.value, latest.recorded_at WHERE latest.recorded_at IS NOT NULL)
        UNION ALL
        (SELECT r.unit, r.last, r.last_at FROM agent_metric_rollups AS r
         WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = latest.name AND r.is_pruned
            AND r.starts_at >= latest.hour
         ORDER BY r.starts_at DESC LIMIT 1)
        ORDER BY recorded_at DESC, value DESC LIMIT 1
    ) AS found
)
SELECT p.*, newest.unit, newest.last FROM parts AS p JOIN newest USING (name)
ORDER BY p.name

-- name: summary_labelled
-- Every metric of an agent in the last hours, up to now, of points that have the labels $4.
WITH points AS (
    SELECT m.name, {{figures}} FROM agent_metrics AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.recorded_at <= statement_timestamp()
        AND m.recorded_at > statement_timestamp() - $3::float8 * interval '1 hour' AND m.labels @> $4::jsonb AND m.labels || $4::jsonb = m.labels
    GROUP BY m.name
)
SELECT p.*, true AS is_exact, NULL::bytea AS keys, NULL::bytea AS counts, newest.unit, newest.last
FROM points AS p CROSS JOIN LATERAL (
    SELECT m.unit, m.value AS last FROM agent_metrics AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name = p.name AND m.recorded_at <= statement_timestamp()
        AND m.labels @> $4::jsonb AND m.labels || $4::jsonb = m.labels
    ORDER BY m.recorded_at DESC, m.value DESC LIMIT 1
) AS newest
ORDER BY p.name

-- name: summary_points
-- Every metric of an agent in the last hours, up to now; hours whose points were deleted are parts of their own.
WITH hours AS MATERIALIZED (
    SELECT r.name, {{hour_figures}}, r.is_exact, array_send(r.bin_keys) AS keys, array_send(r.bin_counts) AS counts
    FROM agent_metric_rollups AS r
    WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.is_pruned AND r.starts_at <= statement_timestamp()
        AND r.starts_at > statement_timestamp() - $3::float8 * interval '1 hour'
),
points AS (
    SELECT m.name, {{figures}} FROM agent_metrics AS m
    WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.recorded_at <= statement_timestamp()
        AND m.recorded_at > statement_timestamp() - $3::float8 * interval '1 hour'
    GROUP BY m.name
),
parts AS MATERIALIZED (
    SELECT p.name, p.count, p.avg, p.min, p.max, p.percentiles, true AS is_exact, bins.keys, bins.counts
    FROM points AS p LEFT JOIN (
        SELECT b.name, {{sent_bins}} FROM (
            SELECT h.name, {{bin_key}} AS key, count(*)::integer AS number
            FROM (SELECT DISTINCT h.name FROM hours AS h) AS h, LATERAL (
                SELECT m.value FROM agent_metrics AS m
                WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name = h.name
                    AND m.recorded_at <= statement_timestamp()
                    AND m.recorded_at > statement_timestamp() - $3::float8 * interval '1 hour'
                OFFSET 0
            ) AS m
            GROUP BY h.name, key
        ) AS b
        GROUP BY b.name
    ) AS bins USING (name)
    UNION ALL
    SELECT h.name, h.count, h.avg, h.min, h.max, h.percentiles, h.is_exact, h.keys, h.counts FROM hours AS h
),
{{newest}}

-- name: summary_rolled
-- The same from hours that are rolled up, and from points where they are not, have changed since, or the window cuts an hour.
WITH RECURSIVE pointed AS (
    (SELECT m.name FROM agent_metrics AS m WHERE m.organization_id = $1 AND m.agent_id = $2 ORDER BY m.name LIMIT 1)
    UNION ALL
    SELECT next.name FROM pointed CROSS JOIN LATERAL (
        SELECT m.name FROM agent_metrics AS m WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name > pointed.name
        ORDER BY m.name LIMIT 1
    ) AS next
),
houred AS (
    (SELECT r.name FROM agent_metric_rollups AS r WHERE r.organization_id = $1 AND r.agent_id = $2 ORDER BY r.name LIMIT 1)
    UNION ALL
    SELECT next.name FROM houred CROSS JOIN LATERAL (
        SELECT r.name FROM agent_metric_rollups AS r
        WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name > houred.name ORDER BY r.name LIMIT 1
    ) AS next
),
edges AS MATERIALIZED (
    SELECT e.since, date_trunc('hour', e.since, 'UTC') + interval '1 hour' AS first_hour
    FROM (SELECT statement_timestamp() - $3::float8 * interval '1 hour' AS since) AS e
),
rolled AS MATERIALIZED (
    SELECT n.name, greatest(newest.until, edges.first_hour) AS until, edges.since, edges.first_hour
    FROM (SELECT pointed.name FROM pointed UNION SELECT houred.name FROM houred) AS n CROSS JOIN edges
    CROSS JOIN LATERAL (
        SELECT max(r.starts_at) + interval '1 hour' AS until FROM agent_metric_rollups AS r
        WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = n.name
    ) AS newest
),
late AS MATERIALIZED (
    SELECT DISTINCT l.name, l.starts_at FROM rolled CROSS JOIN LATERAL (
        SELECT l.name, l.starts_at FROM agent_metric_late_hours AS l
        WHERE l.organization_id = $1 AND l.agent_id = $2 AND l.name = rolled.name
            AND l.starts_at >= rolled.first_hour AND l.starts_at < rolled.until
        OFFSET 0
    ) AS l
),
spans AS MATERIALIZED (
    SELECT rolled.name, rolled.since + interval '1 microsecond' AS since, rolled.first_hour AS until FROM rolled
    UNION ALL SELECT rolled.name, rolled.until, 'infinity' FROM rolled
    UNION ALL SELECT late.name, late.starts_at, late.starts_at + interval '1 hour' FROM late
),
near AS MATERIALIZED (
    SELECT spans.name, m.value FROM spans CROSS JOIN LATERAL (
        SELECT m.value FROM agent_metrics AS m
        WHERE m.organization_id = $1 AND m.agent_id = $2 AND m.name = spans.name AND m.recorded_at >= spans.since
            AND m.recorded_at < spans.until AND m.recorded_at <= statement_timestamp()
        OFFSET 0
    ) AS m
),
parts AS MATERIALIZED (
    SELECT figures.*, true AS is_exact, bins.keys, bins.counts
    FROM (SELECT m.name, {{figures}} FROM near AS m GROUP BY m.name) AS figures
    JOIN (
        SELECT b.name, {{sent_bins}}
        FROM (
            SELECT m.name, {{bin_key}} AS key, count(*)::integer AS number FROM near AS m GROUP BY m.name, key
        ) AS b
        GROUP BY b.name
    ) AS bins USING (name)
    UNION ALL
    SELECT r.name, {{hour_figures}}, r.is_exact, array_send(r.bin_keys), array_send(r.bin_counts) FROM rolled CROSS JOIN LATERAL (
        SELECT r.* FROM agent_metric_rollups AS r
        WHERE r.organization_id = $1 AND r.agent_id = $2 AND r.name = rolled.name AND r.starts_at >= rolled.first_hour
            AND r.starts_at <= statement_timestamp()
        OFFSET 0
    ) AS r
    WHERE r.is_pruned OR NOT EXISTS (SELECT FROM late WHERE late.name = r.name AND late.starts_at = r.starts_at)
),
{{newest}}
