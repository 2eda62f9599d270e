-- fragment: columns
(organization_id, id, at, agent_id, user_name, operation, table_names, row_ids, row_count, duration_ms, outcome)

-- fragment: entry
l.organization_id, l.id::text AS id, l.at, l.agent_id, l.user_name, l.operation, l.table_names, l.row_ids, l.row_count,
    l.duration_ms, l.outcome, l.position, l.digest, l.chain

-- name: enter
-- Add one entry, of an operation that began $3 milliseconds ago.
INSERT INTO access_log AS l {{columns}}
VALUES ($1, $2, statement_timestamp() - $3::float8 * interval '1 millisecond', $4, $5, $6, $7, $8, $9, $10, $11)

-- name: enter_many
-- Add the entries of $2, a JSON array; one that is there already is left alone, so that what is sent again counts once.
INSERT INTO access_log AS l {{columns}}
SELECT $1, e.id, statement_timestamp() - e.age_ms * interval '1 millisecond', e.agent_id, e.user_name, e.operation,
    e.table_names, e.row_ids, e.row_count, e.duration_ms, e.outcome
FROM jsonb_to_recordset($2::jsonb) AS e (id uuid, age_ms float8, agent_id text, user_name text, operation text,
    table_names text[], row_ids text[], row_count bigint, duration_ms float8, outcome text)
ON CONFLICT (organization_id, id) DO NOTHING

-- name: unchained
-- How many entries are not chained yet.
SELECT count(*) AS count FROM access_log AS l WHERE l.organization_id = $1 AND l.position IS NULL

-- name: chained
-- The chained entries after position $2, in the order of the chain, at most $3.
SELECT {{entry}} FROM access_log AS l
WHERE l.organization_id = $1 AND l.position > $2 ORDER BY l.position LIMIT $3

-- name: list
-- Entries, newest first: those that fit every condition that is given.
SELECT {{entry}} FROM access_log AS l
WHERE l.organization_id = $1 AND ($2::text IS NULL OR l.agent_id = $2) AND ($3::text IS NULL OR l.user_name = $3)
    AND ($4::text IS NULL OR l.operation = $4) AND ($5::timestamptz IS NULL OR l.at >= $5)
    AND ($6::timestamptz IS NULL OR l.at < $6) AND ($7::boolean IS NULL OR (l.outcome <> 'ok') = $7)
ORDER BY l.at DESC, l.id DESC LIMIT $8 OFFSET $9
