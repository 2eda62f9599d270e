-- What the key of a sealed value is called stands behind its first two bytes, see security/encryption.py. A batch is of those
-- rows after $2 that begin otherwise than $3, what the newest key has sealed; with $5, of those too that are not sealed at all.

-- fragment: in_one_go
-- Of the rows found as many as one answer should hold: some 16 MB, and one row at least.
SELECT f.* FROM (SELECT found.*, sum(found.size) OVER (ORDER BY found.id) - found.size AS before FROM found) AS f
WHERE f.before < 16000000 ORDER BY f.id

-- fragment: plain_task
x.sealed_task IS NULL AND x.task <> 'null'

-- fragment: plain_result
-- The words of an execution that was abandoned are always the same: there is nothing to seal.
x.sealed_result IS NULL AND x.status <> 'abandoned'
    AND (x.result IS NOT NULL OR x.error IS NOT NULL OR x.traceback IS NOT NULL)

-- fragment: plain_step
s.sealed IS NULL AND (s.message IS NOT NULL OR s.data <> '{}')

-- name: memories_next
-- The next batch of memories.
WITH found AS (
    SELECT m.id, m.xmin::text AS version, m.sealed, m.memory_type, m.content, m.metadata,
        octet_length(m.content) + coalesce(octet_length(m.sealed), 0) AS size
    FROM agent_memories AS m
    WHERE m.organization_id = $1 AND m.id > $2::uuid AND (
        m.sealed IS NOT NULL AND substring(m.sealed FROM 1 FOR octet_length($3::bytea)) <> $3
        OR $5 AND m.sealed IS NULL AND m.sensitive
    )
    ORDER BY m.id LIMIT $4
)
{{in_one_go}}

-- name: memories_write
-- Write those that are what they were when they were read, and that nobody else is writing. One that was plain loses its
-- embedding, which tells of what it says, unless that is allowed ($7). With $8 they get a hash that no equal one has: the one
-- that they have may be of the plain text, or tell those of it who have the old key.
WITH mine AS (
    SELECT n.* FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::text[])
        AS n (id, version, sealed, content_hash, lookups)
        JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = n.id AND m.xmin::text = n.version
    FOR NO KEY UPDATE OF m SKIP LOCKED
)
UPDATE agent_memories AS m
SET content = '', metadata = '{}', sealed = n.sealed, lookups = n.lookups::bytea[],
    content_hash = CASE WHEN $8 THEN sha256(n.content_hash || uuid_send(m.id)) ELSE n.content_hash END,
    embedding = CASE WHEN m.sealed IS NOT NULL OR $7 THEN m.embedding END,
    embedding_model = CASE WHEN m.sealed IS NOT NULL OR $7 THEN m.embedding_model END,
    embedding_error = CASE WHEN m.sealed IS NOT NULL OR $7 THEN m.embedding_error END
FROM mine AS n
WHERE m.organization_id = $1 AND m.id = n.id

-- name: executions_next
-- The next batch of executions.
WITH found AS (
    SELECT x.id, x.xmin::text AS version, x.sealed_task, x.sealed_result, x.task, x.result, x.error, x.traceback,
        $5 AND {{plain_task}} AS is_task_plain, $5 AND {{plain_result}} AS is_result_plain,
        pg_column_size(x.task) + coalesce(pg_column_size(x.result), 0) + coalesce(octet_length(x.sealed_task), 0)
            + coalesce(octet_length(x.sealed_result), 0) AS size
    FROM agent_executions AS x
    WHERE x.organization_id = $1 AND x.id > $2::uuid AND (
        (x.sealed_task IS NOT NULL OR x.sealed_result IS NOT NULL) AND (
            substring(x.sealed_task FROM 1 FOR octet_length($3::bytea)) <> $3
            OR substring(x.sealed_result FROM 1 FOR octet_length($3)) <> $3
        )
        OR $5 AND ({{plain_task}} OR {{plain_result}})
    )
    ORDER BY x.id LIMIT $4
)
{{in_one_go}}

-- name: executions_write
-- Write those that are what they were when they were read, and that nobody else is writing.
WITH mine AS (
    SELECT n.* FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[])
        AS n (id, version, sealed_task, sealed_result)
        JOIN agent_executions AS x ON x.organization_id = $1 AND x.id = n.id AND x.xmin::text = n.version
    FOR NO KEY UPDATE OF x SKIP LOCKED
)
UPDATE agent_executions AS x
SET task = CASE WHEN n.sealed_task IS NULL THEN x.task ELSE 'null' END, sealed_task = n.sealed_task,
    result = CASE WHEN n.sealed_result IS NULL THEN x.result END,
    error = CASE WHEN n.sealed_result IS NULL THEN x.error END,
    traceback = CASE WHEN n.sealed_result IS NULL THEN x.traceback END, sealed_result = n.sealed_result
FROM mine AS n
WHERE x.organization_id = $1 AND x.id = n.id

-- name: steps_next
-- The next batch of steps.
WITH found AS (
    SELECT s.id, s.xmin::text AS version, s.sealed, s.message, s.data,
        pg_column_size(s.data) + coalesce(octet_length(s.sealed), 0) AS size
    FROM agent_steps AS s
    WHERE s.organization_id = $1 AND s.id > $2::uuid AND (
        s.sealed IS NOT NULL AND substring(s.sealed FROM 1 FOR octet_length($3::bytea)) <> $3
        OR $5 AND {{plain_step}}
    )
    ORDER BY s.id LIMIT $4
)
{{in_one_go}}

-- name: steps_write
-- Write those that are what they were when they were read, and that nobody else is writing.
WITH mine AS (
    SELECT n.* FROM unnest($2::uuid[], $3::text[], $4::bytea[]) AS n (id, version, sealed)
        JOIN agent_steps AS s ON s.organization_id = $1 AND s.id = n.id AND s.xmin::text = n.version
    FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE agent_steps AS s SET message = NULL, data = '{}', sealed = n.sealed
FROM mine AS n
WHERE s.organization_id = $1 AND s.id = n.id

-- name: tools_next
-- The next batch of tools.
SELECT t.id, t.name, t.sealed, t.parameters FROM agent_tools AS t
WHERE t.organization_id = $1 AND t.id > $2::uuid AND (
    t.sealed IS NOT NULL AND substring(t.sealed FROM 1 FOR octet_length($3::bytea)) <> $3
    OR $5 AND t.sealed IS NULL
)
ORDER BY t.id LIMIT $4

-- name: tools_write
-- Write those whose parameters are what they were when they were read, and that nobody else is writing. Their totals may have
-- changed: of a tool that is called all the time the row never stays the same.
WITH mine AS (
    SELECT n.* FROM unnest($2::uuid[], $3::bytea[], $4::jsonb[], $5::bytea[], $6::bytea[])
        AS n (id, old, parameters, sealed, lookup)
        JOIN agent_tools AS t ON t.organization_id = $1 AND t.id = n.id AND t.sealed IS NOT DISTINCT FROM n.old
            AND t.parameters = n.parameters
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE agent_tools AS t SET parameters = '{}', sealed = n.sealed, lookup = n.lookup
FROM mine AS n
WHERE t.organization_id = $1 AND t.id = n.id

-- name: versions_next
-- The next batch of versions of tools: after version $6 of tool $2.
SELECT v.tool_id, v.version, v.xmin::text AS row_version, v.sealed, v.parameters, t.name
FROM agent_tool_versions AS v JOIN agent_tools AS t ON t.organization_id = $1 AND t.id = v.tool_id
WHERE v.organization_id = $1 AND (v.tool_id, v.version) > ($2::uuid, $6::integer) AND (
    v.sealed IS NOT NULL AND substring(v.sealed FROM 1 FOR octet_length($3::bytea)) <> $3
    OR $5 AND v.sealed IS NULL
)
ORDER BY v.tool_id, v.version LIMIT $4

-- name: versions_write
-- Write those that are what they were when they were read, and that nobody else is writing.
WITH mine AS (
    SELECT n.* FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::bytea[])
        AS n (tool_id, version, row_version, sealed)
        JOIN agent_tool_versions AS v ON v.organization_id = $1 AND v.tool_id = n.tool_id AND v.version = n.version
            AND v.xmin::text = n.row_version
    FOR NO KEY UPDATE OF v SKIP LOCKED
)
UPDATE agent_tool_versions AS v SET parameters = '{}', sealed = n.sealed
FROM mine AS n
WHERE v.organization_id = $1 AND v.tool_id = n.tool_id AND v.version = n.version

-- fragment: key
CASE WHEN octet_length(h.header) > 2 THEN substring(h.header FROM 3 FOR get_byte(h.header, 1)) END AS key

-- name: keys_in_use
-- Of how many rows of each table each key has sealed something; NULL for what is no sealed value. Only the beginning of a value
-- is read.
WITH found AS (
    SELECT 'agent_memories' AS name, {{key}}
    FROM agent_memories AS m CROSS JOIN LATERAL (SELECT substring(m.sealed FROM 1 FOR 34) AS header) AS h
    WHERE m.organization_id = $1 AND m.sealed IS NOT NULL
    UNION ALL
    SELECT 'agent_executions', e.key
    FROM agent_executions AS x CROSS JOIN LATERAL (
        SELECT DISTINCT {{key}}
        FROM (VALUES (substring(x.sealed_task FROM 1 FOR 34)), (substring(x.sealed_result FROM 1 FOR 34))) AS h (header)
        WHERE h.header IS NOT NULL
    ) AS e
    WHERE x.organization_id = $1 AND (x.sealed_task IS NOT NULL OR x.sealed_result IS NOT NULL)
    UNION ALL
    SELECT 'agent_steps', {{key}}
    FROM agent_steps AS s CROSS JOIN LATERAL (SELECT substring(s.sealed FROM 1 FOR 34) AS header) AS h
    WHERE s.organization_id = $1 AND s.sealed IS NOT NULL
    UNION ALL
    SELECT 'agent_tools', {{key}}
    FROM agent_tools AS t CROSS JOIN LATERAL (SELECT substring(t.sealed FROM 1 FOR 34) AS header) AS h
    WHERE t.organization_id = $1 AND t.sealed IS NOT NULL
    UNION ALL
    SELECT 'agent_tool_versions', {{key}}
    FROM agent_tool_versions AS v CROSS JOIN LATERAL (SELECT substring(v.sealed FROM 1 FOR 34) AS header) AS h
    WHERE v.organization_id = $1 AND v.sealed IS NOT NULL
)
SELECT f.name, f.key, count(*) AS count FROM found AS f GROUP BY f.name, f.key ORDER BY f.name, f.key

-- name: plain
-- How many rows of each table are not sealed and could be.
SELECT 'agent_memories' AS name, count(*) AS count
FROM agent_memories AS m WHERE m.organization_id = $1 AND m.sensitive AND m.sealed IS NULL
UNION ALL
SELECT 'agent_executions', count(*)
FROM agent_executions AS x
WHERE x.organization_id = $1 AND ({{plain_task}} OR {{plain_result}})
UNION ALL
SELECT 'agent_steps', count(*)
FROM agent_steps AS s WHERE s.organization_id = $1 AND {{plain_step}}
UNION ALL
SELECT 'agent_tools', count(*) FROM agent_tools AS t WHERE t.organization_id = $1 AND t.sealed IS NULL
UNION ALL
SELECT 'agent_tool_versions', count(*)
FROM agent_tool_versions AS v WHERE v.organization_id = $1 AND v.sealed IS NULL
