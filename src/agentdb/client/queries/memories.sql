-- fragment: memory
m.id::text AS id, m.agent_id, m.content, m.metadata, m.importance, m.memory_type, m.visibility::text AS visibility,
    m.sensitive, m.pinned, m.embedding_model, m.embedding_error, m.execution_id::text AS execution_id, m.created_at, m.occurred_at,
    m.expires_at, m.superseded_by_id::text AS superseded_by, m.store_count, m.access_count, m.last_accessed_at, m.sealed

-- fragment: living
m.superseded_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())

-- fragment: narrowed
-- Whose memories ($2, with $3 also what others share; everybody's if $4), and what narrows them but a filter.
m.organization_id = $1 AND ($4 OR m.agent_id = $2 OR $3 AND m.is_shared)
    AND ($5::text IS NULL OR m.memory_type = $5) AND ($6::float8 IS NULL OR m.importance >= $6)
    AND ($7::timestamptz IS NULL OR m.occurred_at >= $7) AND ($8::timestamptz IS NULL OR m.occurred_at < $8)

-- fragment: scope
-- The same with the filter.
{{narrowed}}
    -- What is sealed has no metadata to look at, but hashes of them ($10, NULL without a key).
    AND ($9::jsonpath IS NULL OR m.sealed IS NULL AND m.metadata @@ $9
        OR m.sealed IS NOT NULL AND agent_memories_lookup_list(m.lookups) @@ $10::jsonpath)

-- fragment: memories
agent_memories

-- fragment: memories_filtered
-- For a filter that the index of metadata serves: those few that it fits or, where these are more than 2,000, all.
(WITH few AS MATERIALIZED (
            SELECT agent_memories_by_metadata($1, $2, $3, $9, 2001) AS id
            UNION ALL
            SELECT agent_memories_by_lookups($1, $2, $3, $10, 2001) WHERE $10::jsonpath IS NOT NULL
        )
        SELECT m.* FROM agent_memories AS m
        WHERE m.organization_id = $1 AND m.id IN (SELECT few.id FROM few) AND (SELECT count(*) FROM few) <= 2000
        UNION ALL
        SELECT m.* FROM agent_memories AS m WHERE m.organization_id = $1 AND (SELECT count(*) FROM few) > 2000)

-- fragment: living_then
-- Living now or, with $11, then: what was superseded since counts, what has expired never does.
CASE WHEN $11::timestamptz IS NULL THEN m.superseded_at IS NULL
        ELSE m.created_at <= $11 AND (m.superseded_at IS NULL OR m.superseded_at > $11) END
    AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())

-- fragment: revived
CASE WHEN m.expires_at <= statement_timestamp() AND m.id <> EXCLUDED.id THEN

-- fragment: takes_the_new_id
m.expires_at <= statement_timestamp() AND NOT EXISTS (
            SELECT FROM agent_memories AS older WHERE older.organization_id = $1 AND older.superseded_by_id = m.id
        )

-- fragment: on_duplicate
-- An equal memory is there. A living one is counted, unless duplicates are refused ($2): then the count breaks its CHECK,
-- which undoes the whole statement. An expired one becomes the new memory, except when it is the very write that is being
-- retried; it keeps its id when a superseded memory points to it. A write that landed before under its own id, and was
-- superseded since, is not counted again. What is sealed opens under one id alone, so it changes with the id. An embedding that
-- the one that is there lacks is added to it. IS NOT DISTINCT FROM leaves only the primary key to look up by: without statistics
-- another index looks as good, which reads all of an agent's.
ON CONFLICT (organization_id, agent_id, content_hash) WHERE superseded_at IS NULL DO UPDATE
SET id = CASE WHEN {{takes_the_new_id}} THEN EXCLUDED.id ELSE m.id END,
    sealed = CASE WHEN {{takes_the_new_id}} THEN EXCLUDED.sealed ELSE m.sealed END,
    lookups = CASE WHEN {{takes_the_new_id}} THEN EXCLUDED.lookups ELSE m.lookups END,
    store_count = CASE
        WHEN m.id = EXCLUDED.id THEN m.store_count
        WHEN m.expires_at <= statement_timestamp() THEN EXCLUDED.store_count
        WHEN EXISTS (
            SELECT FROM agent_memories AS landed WHERE landed.organization_id = $1 AND landed.id = EXCLUDED.id
                AND landed.agent_id IS NOT DISTINCT FROM EXCLUDED.agent_id
                AND landed.content_hash IS NOT DISTINCT FROM EXCLUDED.content_hash
        ) THEN m.store_count
        WHEN $2 THEN 0
        ELSE m.store_count + EXCLUDED.store_count END,
    importance = {{revived}} EXCLUDED.importance ELSE m.importance END,
    visibility = {{revived}} EXCLUDED.visibility ELSE m.visibility END,
    sensitive = {{revived}} EXCLUDED.sensitive ELSE m.sensitive END,
    pinned = {{revived}} EXCLUDED.pinned ELSE m.pinned END,
    embedding = {{revived}} EXCLUDED.embedding ELSE coalesce(m.embedding, EXCLUDED.embedding) END,
    embedding_model = CASE WHEN m.expires_at <= statement_timestamp() AND m.id <> EXCLUDED.id OR m.embedding IS NULL THEN EXCLUDED.embedding_model
        ELSE m.embedding_model END,
    embedding_error = CASE WHEN m.expires_at <= statement_timestamp() AND m.id <> EXCLUDED.id OR m.embedding IS NULL THEN EXCLUDED.embedding_error
        END,
    execution_id = {{revived}} EXCLUDED.execution_id ELSE m.execution_id END,
    access_count = {{revived}} 0 ELSE m.access_count END,
    last_accessed_at = {{revived}} NULL ELSE m.last_accessed_at END,
    occurred_at = {{revived}} EXCLUDED.occurred_at ELSE m.occurred_at END,
    expires_at = {{revived}} EXCLUDED.expires_at ELSE m.expires_at END,
    created_at = {{revived}} EXCLUDED.created_at ELSE m.created_at END,
    updated_at = EXCLUDED.updated_at

-- name: store
-- Store one memory; its id is that of the equal one if there is one.
INSERT INTO agent_memories AS m (organization_id, id, agent_id, content, content_hash, metadata, importance, memory_type,
    visibility, sensitive, pinned, embedding, embedding_model, embedding_error, execution_id, occurred_at, expires_at,
    sealed, lookups, store_count, created_at, updated_at)
VALUES ($1, $3, $4, $5, $6, $7, $8, $9, $10::text::memory_visibility, $11, $12, $13::vector, $14, $15, $16,
    coalesce($17::timestamptz, statement_timestamp()), $18, $19, $20::text::bytea[], $21, statement_timestamp(),
    statement_timestamp())
{{on_duplicate}}
RETURNING m.id::text AS id

-- name: store_many
-- Store memories, one per element of the arrays; the rows that come back are those that were there (a row that was updated
-- has an xmax, one that was inserted has none). 1,000 rows take 2 ms less than with every id, and 3 ms less than with
-- every array: an empty one stands for its column's default, for unnest fills it up with NULL.
WITH stored AS (
INSERT INTO agent_memories AS m (organization_id, id, agent_id, content, content_hash, metadata, importance, memory_type,
    visibility, sensitive, pinned, embedding, embedding_model, embedding_error, execution_id, occurred_at, expires_at,
    sealed, lookups, store_count, created_at, updated_at)
SELECT $1, e.id, coalesce(e.agent_id, $3), e.content, e.content_hash, coalesce(e.metadata, '{}')::jsonb,
    coalesce(e.importance, 0.5), coalesce(e.memory_type, 'general'), coalesce(e.visibility, 'agent')::memory_visibility,
    coalesce(e.sensitive, false), coalesce(e.pinned, false), e.embedding, e.embedding_model, e.embedding_error,
    e.execution_id, coalesce(e.occurred_at, at.moment), e.expires_at, e.sealed, coalesce(e.lookups, '{}')::bytea[],
    coalesce(e.store_count, 1), at.moment, at.moment
FROM unnest($4::uuid[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::float8[], $10::text[], $11::text[],
    $12::boolean[], $13::boolean[], $14::vector[], $15::text[], $16::text[], $17::uuid[], $18::timestamptz[],
    $19::timestamptz[], $20::bytea[], $21::text[], $22::integer[], $23::integer[])
    AS e (id, agent_id, content, content_hash, metadata, importance, memory_type, visibility, sensitive, pinned,
        embedding, embedding_model, embedding_error, execution_id, occurred_at, expires_at, sealed, lookups, store_count,
        position),
    -- A microsecond apart, in the order given: "newest first" is then answered by the index alone.
    LATERAL (SELECT statement_timestamp() + e.position * interval '1 microsecond') AS at (moment)
{{on_duplicate}}
RETURNING m.id, m.agent_id, m.content_hash, m.xmax <> 0 AS was_there
)
SELECT id::text AS id, agent_id, content_hash FROM stored WHERE was_there

-- name: hashes
-- What the memories of these ids are equal to, for a retried write whose memory has been superseded since.
SELECT m.id::text AS id, m.agent_id, m.content_hash FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])

-- name: rekey
-- Give sealed memories that an older key hashed, and that equal new ones, the hash under the newest key: then they are found.
-- What somebody else changes meanwhile keeps what it got.
WITH new AS (SELECT * FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[]) AS e (id, agent_id, older, newest)),
equal AS (
    SELECT * FROM (
        SELECT DISTINCT ON (new.agent_id, new.newest) m.id, new.older, new.newest
        FROM new JOIN agent_memories AS m ON m.organization_id = $1 AND m.agent_id = new.agent_id AND m.content_hash = new.older
            AND m.superseded_at IS NULL
        WHERE NOT EXISTS (
            SELECT FROM agent_memories AS there WHERE there.organization_id = $1 AND there.agent_id = new.agent_id
                AND there.content_hash = new.newest AND there.superseded_at IS NULL
        )
    ) AS living
    UNION
    SELECT m.id, new.older, new.newest
    FROM new JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = new.id AND m.agent_id = new.agent_id
        AND m.content_hash = new.older AND m.superseded_at IS NOT NULL
),
locked AS MATERIALIZED (
    SELECT m.id, equal.older, equal.newest FROM equal JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = equal.id
    ORDER BY m.id FOR NO KEY UPDATE OF m
)
UPDATE agent_memories AS m SET content_hash = locked.newest
FROM locked WHERE m.organization_id = $1 AND m.id = locked.id AND m.content_hash = locked.older

-- name: get
-- One memory by its id.
SELECT {{memory}} FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.id = $2
    AND ($3 OR m.expires_at IS NULL OR m.expires_at > statement_timestamp()) AND ($4 OR m.superseded_at IS NULL)

-- name: history
-- All versions of a memory: those that it superseded, and those that superseded it, oldest first.
WITH RECURSIVE newer (id, next) AS (
    SELECT m.id, m.superseded_by_id FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = $2
    UNION
    SELECT m.id, m.superseded_by_id FROM agent_memories AS m JOIN newer ON m.id = newer.next WHERE m.organization_id = $1
),
older (id) AS (
    SELECT id FROM newer
    UNION
    SELECT m.id FROM agent_memories AS m JOIN older ON m.superseded_by_id = older.id WHERE m.organization_id = $1
)
SELECT {{memory}} FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.id IN (SELECT id FROM older) AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
ORDER BY m.superseded_at NULLS LAST, m.created_at, m.id

-- name: list
-- Memories, newest first, those of one agent straight from the index (organization_id, agent_id, created_at DESC).
SELECT {{memory}} FROM {{memories}} AS m
WHERE {{scope}} AND ($12 OR m.expires_at IS NULL OR m.expires_at > statement_timestamp())
    AND CASE WHEN $11::timestamptz IS NULL THEN $13 OR m.superseded_at IS NULL
        ELSE m.created_at <= $11 AND ($13 OR m.superseded_at IS NULL OR m.superseded_at > $11) END
ORDER BY m.created_at DESC, m.id DESC LIMIT $14 OFFSET $15

-- name: count
-- Living memories.
SELECT count(*) AS count FROM {{memories}} AS m WHERE {{scope}} AND {{living_then}}

-- name: recent
-- The newest memories, or the most important ($12), for a search without a query: the first of one's own and the first of what
-- others share, each straight from an index.
SELECT * FROM (
    (SELECT {{memory}} FROM {{memories}} AS m
    WHERE ($4 OR m.agent_id = $2) AND {{scope}} AND {{living_then}}
    ORDER BY CASE WHEN $12 THEN m.importance END DESC, m.occurred_at DESC, m.id DESC LIMIT $13)
    UNION ALL
    (SELECT {{memory}} FROM {{memories}} AS m
    WHERE $3 AND m.is_shared AND m.agent_id <> $2 AND {{scope}} AND {{living_then}}
    ORDER BY CASE WHEN $12 THEN m.importance END DESC, m.occurred_at DESC, m.id DESC LIMIT $13)
) AS m
ORDER BY CASE WHEN $12 THEN m.importance END DESC, m.occurred_at DESC, m.id DESC LIMIT $13

-- name: lock
-- One living memory, locked until the transaction ends.
SELECT {{memory}} FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = $2 AND {{living}} FOR UPDATE

-- name: supersede
-- Let another memory take one's place, from the moment at which that one was there: at every time one of the two lives.
UPDATE agent_memories AS m SET superseded_by_id = r.id, superseded_at = greatest(now(), m.created_at, r.created_at),
    updated_at = now()
FROM agent_memories AS r WHERE m.organization_id = $1 AND m.id = $2 AND r.organization_id = $1 AND r.id = $3

-- name: update
-- Rewrite a memory; another content takes another embedding, or none, unless it keeps the one that it has ($18).
UPDATE agent_memories AS m
SET content = $3, content_hash = $4, metadata = $5, importance = $6, memory_type = $7,
    visibility = $8::text::memory_visibility, sensitive = $9, pinned = $10, occurred_at = $11, expires_at = $12,
    embedding = CASE WHEN $18 THEN m.embedding ELSE $13::vector END,
    embedding_model = CASE WHEN $18 THEN m.embedding_model ELSE $14 END,
    embedding_error = CASE WHEN $18 THEN m.embedding_error ELSE $15 END,
    sealed = $16, lookups = $17::text::bytea[], updated_at = now()
WHERE m.organization_id = $1 AND m.id = $2 RETURNING {{memory}}

-- name: delete
-- Delete a memory together with the older versions that it superseded.
WITH RECURSIVE history (id) AS (
    SELECT m.id FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = $2
    UNION
    SELECT m.id FROM agent_memories AS m JOIN history ON m.superseded_by_id = history.id WHERE m.organization_id = $1
)
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM history)

-- fragment: closed
-- A sealed memory that was stored in time and that none of the keys $12 has sealed.
m.sealed IS NOT NULL AND ($11::timestamptz IS NULL OR m.created_at < $11)
    AND (octet_length(m.sealed) > 2 AND substring(m.sealed FROM 3 FOR get_byte(m.sealed, 1)) = ANY($12::bytea[])) IS NOT TRUE

-- fragment: forgotten
-- Memories whatever their state. None where nobody can tell without another key whether the filter fits one of them; without $12
-- this is not asked.
{{scope}} AND ($11::timestamptz IS NULL OR m.created_at < $11)
    AND ($12::bytea[] IS NULL OR NOT EXISTS (SELECT FROM agent_memories AS m WHERE {{narrowed}} AND {{closed}}))

-- name: closed
-- One of those memories, for a scope without a filter.
SELECT m.id::text AS id, m.sealed FROM agent_memories AS m WHERE {{scope}} AND {{closed}} LIMIT 1

-- name: forget
-- Delete memories, together with the older versions that they superseded.
WITH RECURSIVE doomed (id) AS (
    SELECT m.id FROM {{memories}} AS m WHERE {{forgotten}}
    UNION
    SELECT m.id FROM agent_memories AS m JOIN doomed ON m.superseded_by_id = doomed.id WHERE m.organization_id = $1
)
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM doomed)

-- name: forgettable
-- How many memories `forget` would delete.
WITH RECURSIVE doomed (id) AS (
    SELECT m.id FROM {{memories}} AS m WHERE {{forgotten}}
    UNION
    SELECT m.id FROM agent_memories AS m JOIN doomed ON m.superseded_by_id = doomed.id WHERE m.organization_id = $1
)
SELECT count(*) AS count FROM doomed

-- fragment: expired
SELECT m.id FROM agent_memories AS m WHERE m.organization_id = $1 AND m.expires_at <= statement_timestamp() AND ($3::text IS NULL OR m.agent_id = $3) LIMIT $2

-- fragment: surplus
-- Of each agent that has a limit, the least valuable of what is too much. Value: half importance, three tenths recency of the
-- last time it was of use (half-life 30 days), two tenths how often.
SELECT id FROM (
        SELECT m.id, m.pinned, a.max_memories, row_number() OVER (PARTITION BY m.agent_id ORDER BY m.pinned DESC,
            0.5 * m.importance + 0.3 * exp(greatest(-700, -ln(2::float8) * greatest(0, extract(epoch FROM now()
                - greatest(m.occurred_at, m.last_accessed_at))::float8) / 2592000)) + 0.2 * m.access_count / (1 + m.access_count)::float8 DESC,
            m.created_at DESC, m.id DESC) AS place
        FROM agents AS a JOIN agent_memories AS m ON m.organization_id = $1 AND m.agent_id = a.id
        WHERE a.organization_id = $1 AND a.max_memories IS NOT NULL AND ($3::text IS NULL OR a.id = $3) AND {{living}}
    ) AS valued
    WHERE place > max_memories AND NOT pinned LIMIT $2

-- name: sweep_expired
-- Delete some of what has expired, together with the older versions that it superseded.
WITH RECURSIVE doomed (id) AS (
    ({{expired}})
    UNION
    SELECT m.id FROM agent_memories AS m JOIN doomed ON m.superseded_by_id = doomed.id WHERE m.organization_id = $1
)
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM doomed)

-- name: sweep_surplus
-- Delete some of what agents have too much of, together with the older versions that it superseded.
WITH RECURSIVE doomed (id) AS (
    ({{surplus}})
    UNION
    SELECT m.id FROM agent_memories AS m JOIN doomed ON m.superseded_by_id = doomed.id WHERE m.organization_id = $1
)
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM doomed)

-- name: sweepable
-- How much a sweep would delete, older versions aside.
SELECT (SELECT count(*) FROM ({{expired}}) AS expired) AS expired, (SELECT count(*) FROM ({{surplus}}) AS surplus) AS surplus

-- name: accessed
-- Count recalls, except of memories that somebody else is writing: nobody waits for counting. Returns the ids of these.
WITH found AS MATERIALIZED (
    SELECT m.id, e.count, e.last_at
    FROM unnest($2::uuid[], $3::integer[], $4::timestamptz[]) AS e (id, count, last_at)
        JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = e.id
    FOR NO KEY UPDATE OF m SKIP LOCKED
),
counted AS (
    UPDATE agent_memories AS m SET access_count = least(m.access_count::bigint + found.count, 2147483647),
        last_accessed_at = greatest(m.last_accessed_at, found.last_at)
    FROM found WHERE m.organization_id = $1 AND m.id = found.id
)
SELECT m.id::text AS id FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[]) AND m.id NOT IN (SELECT found.id FROM found)

-- name: to_embed
-- Memories after $2 whose embedding another model made, or nothing did (these alone, with $6), in the order of their ids; sealed
-- ones only with $7.
SELECT m.id::text AS id, m.content, m.sealed FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.id > $2::uuid AND ($3::text IS NULL OR m.agent_id = $3)
    AND (m.embedding IS NULL OR NOT $6::boolean AND (m.embedding_model <> $4 OR m.embedding_dimensions <> $5))
    AND (m.sealed IS NULL OR $7::boolean)
    AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
ORDER BY m.id LIMIT $8

-- name: to_embed_count
-- How many these are.
SELECT count(*) AS count FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.id > $2::uuid AND ($3::text IS NULL OR m.agent_id = $3)
    AND (m.embedding IS NULL OR NOT $6::boolean AND (m.embedding_model <> $4 OR m.embedding_dimensions <> $5))
    AND (m.sealed IS NULL OR $7::boolean)
    AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())

-- name: embedded
-- Give memories their embeddings, or note why they have none; of those whose content is still what was embedded.
UPDATE agent_memories AS m SET
    embedding = CASE WHEN e.error IS NULL THEN e.embedding ELSE m.embedding END,
    embedding_model = CASE WHEN e.error IS NULL THEN $2 ELSE m.embedding_model END,
    embedding_error = CASE WHEN e.error IS NOT NULL AND m.embedding IS NULL THEN e.error END,
    updated_at = now()
FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::vector[], $7::text[]) AS e (id, content, sealed, embedding, error)
WHERE m.organization_id = $1 AND m.id = e.id AND m.content = e.content AND m.sealed IS NOT DISTINCT FROM e.sealed
