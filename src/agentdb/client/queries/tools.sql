-- uses: steps
-- fragment: tool
t.id::text AS id, t.name, t.version, t.description, t.parameters, t.sealed, t.status::text AS status, t.owner_agent_id,
    t.call_count AS calls, t.success_count AS successes, t.total_duration_ms, t.last_used_at, t.created_at, t.updated_at

-- fragment: offered
-- The tools of $3, a JSON array. What is sealed of them travels as Base64.
offered AS (
    SELECT e.id, e.name, e.description, e.parameters::jsonb AS parameters, decode(e.sealed, 'base64') AS sealed,
        decode(e.lookup, 'base64') AS lookup, decode(e.sealed_version, 'base64') AS sealed_version
    FROM jsonb_to_recordset($3::jsonb) AS e (id uuid, name text, description text, parameters text, sealed text,
        lookup text, sealed_version text)
)

-- fragment: registering
-- Of a tool that is there; other parameters make it a new version, of which two never get the same number: the row is locked.
-- Sealed ones are the same when their hash is among $4, those that the offered ones have under any key.
ON CONFLICT (organization_id, name) DO UPDATE
SET version = t.version + CASE WHEN t.sealed IS NOT NULL THEN t.lookup <> ALL($4::bytea[])
        ELSE EXCLUDED.sealed IS NOT NULL OR t.parameters <> EXCLUDED.parameters END::integer,
    description = EXCLUDED.description, parameters = EXCLUDED.parameters, sealed = EXCLUDED.sealed,
    lookup = EXCLUDED.lookup, owner_agent_id = EXCLUDED.owner_agent_id, is_method = EXCLUDED.is_method,
    status = 'active', updated_at = now()
RETURNING t.*

-- fragment: versioned
-- A version is kept as it was when it came to be.
versioned AS (
    INSERT INTO agent_tool_versions AS v (organization_id, tool_id, version, description, parameters, sealed)
    SELECT $1, r.id, r.version, r.description, r.parameters, o.sealed_version
    FROM registered AS r JOIN offered AS o ON o.name = r.name
    ON CONFLICT (organization_id, tool_id, version) DO NOTHING
)

-- name: register
-- Insert a tool of agent $2 or of nobody, or update the one of that name.
WITH {{offered}}, registered AS (
    INSERT INTO agent_tools AS t (organization_id, id, name, description, parameters, sealed, lookup, owner_agent_id)
    SELECT $1, o.id, o.name, o.description, o.parameters, o.sealed, o.lookup, $2 FROM offered AS o
    {{registering}}
), {{versioned}}
SELECT {{tool}} FROM registered AS t

-- name: register_all
-- Make the tools of $3, a JSON array in the order of their names, the methods of agent $2; those that it had before and has
-- no longer are deprecated. Tools that are there are locked first and as `steps_written` does, new ones come in the order
-- of their names, so that two of these do not wait for each other.
WITH {{offered}}, locked AS (
    SELECT t.id FROM agent_tools AS t
    WHERE t.organization_id = $1
        AND (t.is_method AND t.owner_agent_id = $2 OR t.name IN (SELECT o.name FROM offered AS o))
    ORDER BY t.id FOR NO KEY UPDATE
), registered AS (
    INSERT INTO agent_tools AS t (organization_id, id, name, description, parameters, sealed, lookup, owner_agent_id,
        is_method)
    SELECT $1, o.id, o.name, o.description, o.parameters, o.sealed, o.lookup, $2, true FROM offered AS o
    WHERE (SELECT count(*) FROM locked) >= 0
    ORDER BY o.id
    {{registering}}
), {{versioned}}, gone AS (
    UPDATE agent_tools AS t SET status = 'deprecated', updated_at = now()
    WHERE t.organization_id = $1 AND t.id IN (SELECT l.id FROM locked AS l)
        AND t.is_method AND t.owner_agent_id = $2 AND t.status = 'active'
        AND t.name NOT IN (SELECT o.name FROM offered AS o)
)
SELECT {{tool}} FROM registered AS t

-- name: plain
-- The parameters of those of these tools that are not sealed.
SELECT t.name, t.parameters FROM agent_tools AS t WHERE t.organization_id = $1 AND t.name = ANY($2) AND t.sealed IS NULL

-- name: seal_plain
-- Seal parameters that are what they were when they were read, of tools and of the versions that they have; locked as
-- `steps_written` does.
WITH plain AS (
    SELECT e.* FROM unnest($2::text[], $3::jsonb[], $4::bytea[], $5::bytea[], $6::bytea[])
        AS e (name, parameters, sealed, lookup, sealed_version)
), locked AS (
    SELECT t.id, t.name, t.version FROM agent_tools AS t
    WHERE t.organization_id = $1 AND t.name = ANY($2) ORDER BY t.id FOR NO KEY UPDATE
), versions AS (
    UPDATE agent_tool_versions AS v SET parameters = '{}', sealed = p.sealed_version
    FROM locked AS l JOIN plain AS p ON p.name = l.name
    WHERE v.organization_id = $1 AND v.tool_id = l.id AND v.version = l.version AND v.sealed IS NULL
        AND v.parameters = p.parameters
)
UPDATE agent_tools AS t SET parameters = '{}', sealed = p.sealed, lookup = p.lookup
FROM locked AS l JOIN plain AS p ON p.name = l.name
WHERE t.organization_id = $1 AND t.id = l.id AND t.sealed IS NULL AND t.parameters = p.parameters

-- name: deprecate
-- Say that a tool should no longer be used.
UPDATE agent_tools AS t
SET status = 'deprecated', updated_at = CASE WHEN t.status = 'active' THEN now() ELSE t.updated_at END
WHERE t.organization_id = $1 AND t.name = $2
RETURNING {{tool}}

-- name: get
-- One tool by its name.
SELECT {{tool}} FROM agent_tools AS t WHERE t.organization_id = $1 AND t.name = $2

-- name: versions
-- A tool's versions, newest first; one row without a version when none was kept, none when there is no such tool.
SELECT t.name, v.version, v.description, v.parameters, v.sealed, v.created_at
FROM agent_tools AS t
    LEFT JOIN agent_tool_versions AS v ON v.organization_id = $1 AND v.tool_id = t.id
WHERE t.organization_id = $1 AND t.name = $2
ORDER BY v.version DESC

-- name: list
-- Tools by name: those of one agent or of all.
SELECT {{tool}} FROM agent_tools AS t
WHERE t.organization_id = $1 AND ($2::text IS NULL OR t.owner_agent_id = $2) AND ($3 OR t.status = 'active')
ORDER BY t.name LIMIT $4

-- name: catalogue
-- Tools by name: those of these names, or all active ones; of one agent or of all.
SELECT {{tool}} FROM agent_tools AS t
WHERE t.organization_id = $1 AND ($2::text[] IS NULL AND t.status = 'active' OR t.name = ANY($2))
    AND ($3::text IS NULL OR t.owner_agent_id = $3)
ORDER BY t.name

-- name: search
-- Active tools that share a word with $2, best first: words of a name count more than those of a description, and are
-- found by their beginnings; a tool of just that name, $3, is first. Stop words find nothing.
WITH asked AS (
    SELECT replace(a.words, ' & ', ' | ')::tsquery || replace(a.words || ':*A', ' & ', ':*A | ')::tsquery AS query
    FROM (SELECT nullif(plainto_tsquery('english', $2)::text, '') AS words) AS a
)
SELECT {{tool}}
FROM agent_tools AS t CROSS JOIN asked AS a CROSS JOIN LATERAL (
    SELECT setweight(to_tsvector('english', translate(t.name, '-_./:', '     ') || ' ' || regexp_replace(regexp_replace(
            translate(t.name, '-_./:', '     '), '([[:lower:][:digit:]])([[:upper:]])', '\1 \2', 'g'),
            '([[:upper:]])([[:upper:]][[:lower:]])', '\1 \2', 'g')), 'A')
        || setweight(to_tsvector('english', t.description), 'B') AS words
    -- kept apart, so that the words are read once for both finding and ranking: 50 ms for a thousand tools, not 92
    OFFSET 0
) AS d
WHERE t.organization_id = $1 AND t.status = 'active' AND (d.words @@ a.query OR lower(t.name) = lower($3))
ORDER BY lower(t.name) = lower($3) DESC, ts_rank(d.words, a.query) DESC NULLS LAST, t.name LIMIT $4

-- name: record_call
-- Write one call of a tool: $2 holds the step, its id is $3. Says which of tool $4, agent $5 and execution $6 is known, and
-- when the step was there already, whether it is the same: with success $7 and duration $8.
WITH {{steps_written}}
SELECT EXISTS (SELECT FROM agents AS a WHERE a.organization_id = $1 AND a.id = $5) AS agent_known,
    EXISTS (SELECT FROM agent_tools AS t WHERE t.organization_id = $1 AND t.name = $4) AS tool_known,
    $6::uuid IS NULL OR EXISTS (
        SELECT FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = $6
    ) AS execution_known, (
        SELECT (s.kind, s.name, s.agent_id, s.success, s.duration_ms) = ('tool', $4, $5, $7::boolean, $8::float8)
            AND s.execution_id IS NOT DISTINCT FROM $6
        FROM agent_steps AS s WHERE s.organization_id = $1 AND s.id = $3::uuid
    ) AS is_same

-- name: stats
-- What the recorded calls of tools say, with the totals that the catalogue keeps: of those of these names, or of all, active
-- or not. A row for each agent that called, and one without an agent for all of them together.
SELECT t.name, t.call_count, t.success_count, t.last_used_at AS last_ever_at, c.agent_id, c.calls, c.successes,
    c.percentiles[1] AS p50_ms, c.percentiles[2] AS p95_ms, c.last_used_at
FROM agent_tools AS t CROSS JOIN LATERAL (
    SELECT s.agent_id, count(*) AS calls, count(*) FILTER (WHERE s.success) AS successes, max(s.at) AS last_used_at,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY s.duration_ms) AS percentiles
    FROM agent_steps AS s
    WHERE s.organization_id = $1 AND s.tool_id = t.id AND ($3::text IS NULL OR s.agent_id = $3)
        AND ($4::timestamptz IS NULL OR s.at >= $4)
    GROUP BY GROUPING SETS ((s.agent_id), ())
) AS c
WHERE t.organization_id = $1 AND ($2::text[] IS NULL OR t.name = ANY($2)) AND ($5 OR t.status = 'active')
ORDER BY t.name, c.agent_id NULLS FIRST
