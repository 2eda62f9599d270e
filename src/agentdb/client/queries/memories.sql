-- fragment: memory
m.id::text AS id, m.agent_id, m.content, m.metadata, m.importance, m.memory_type, m.visibility::text AS visibility,
    m.sensitive, m.pinned, m.embedding_model, m.execution_id::text AS execution_id, m.created_at, m.occurred_at,
    m.expires_at, m.superseded_by_id::text AS superseded_by, m.store_count, m.access_count, m.last_accessed_at

-- fragment: living
m.superseded_at IS NULL AND (m.expires_at IS NULL OR m.expires_at > now())

-- fragment: filters
($4::text IS NULL OR m.memory_type = $4) AND ($5::float8 IS NULL OR m.importance >= $5)
    AND ($6::timestamptz IS NULL OR m.occurred_at >= $6) AND ($7::timestamptz IS NULL OR m.occurred_at < $7)

-- fragment: revived
CASE WHEN m.expires_at <= now() AND m.id <> EXCLUDED.id THEN

-- fragment: on_duplicate
-- An equal memory is there. A living one is counted, unless duplicates are refused ($2): then the count breaks its CHECK,
-- which undoes the whole statement. An expired one becomes the new memory, except when it is the very write that is being
-- retried; it keeps its id when a superseded memory points to it. A write that landed before under its own id, and was
-- superseded since, is not counted again.
ON CONFLICT (organization_id, agent_id, content_hash) WHERE superseded_at IS NULL DO UPDATE
SET id = CASE
        WHEN m.expires_at <= now() AND NOT EXISTS (
            SELECT FROM agent_memories AS older WHERE older.organization_id = $1 AND older.superseded_by_id = m.id
        ) THEN EXCLUDED.id
        ELSE m.id END,
    store_count = CASE
        WHEN m.id = EXCLUDED.id THEN m.store_count
        WHEN m.expires_at <= now() THEN EXCLUDED.store_count
        WHEN EXISTS (
            SELECT FROM agent_memories AS landed WHERE landed.organization_id = $1 AND landed.id = EXCLUDED.id
                AND landed.agent_id = EXCLUDED.agent_id AND landed.content_hash = EXCLUDED.content_hash
        ) THEN m.store_count
        WHEN $2 THEN 0
        ELSE m.store_count + EXCLUDED.store_count END,
    importance = {{revived}} EXCLUDED.importance ELSE m.importance END,
    visibility = {{revived}} EXCLUDED.visibility ELSE m.visibility END,
    sensitive = {{revived}} EXCLUDED.sensitive ELSE m.sensitive END,
    pinned = {{revived}} EXCLUDED.pinned ELSE m.pinned END,
    embedding = {{revived}} EXCLUDED.embedding ELSE m.embedding END,
    embedding_model = {{revived}} EXCLUDED.embedding_model ELSE m.embedding_model END,
    execution_id = {{revived}} EXCLUDED.execution_id ELSE m.execution_id END,
    access_count = {{revived}} 0 ELSE m.access_count END,
    last_accessed_at = {{revived}} NULL ELSE m.last_accessed_at END,
    occurred_at = {{revived}} EXCLUDED.occurred_at ELSE m.occurred_at END,
    expires_at = {{revived}} EXCLUDED.expires_at ELSE m.expires_at END,
    created_at = {{revived}} EXCLUDED.created_at ELSE m.created_at END,
    updated_at = EXCLUDED.updated_at

-- name: store
-- Store one memory; its id is that of the equal one if there is one.
INSERT INTO agent_memories AS m (organization_id, execution_id, id, agent_id, content, content_hash, metadata, importance,
    memory_type, visibility, sensitive, pinned, embedding, embedding_model, occurred_at, expires_at, store_count,
    created_at, updated_at)
VALUES ($1, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::memory_visibility, $12, $13, $14::vector, $15,
    coalesce($16::timestamptz, statement_timestamp()), $17, $18, statement_timestamp(), statement_timestamp())
{{on_duplicate}}
RETURNING m.id::text AS id

-- name: store_many
-- Store memories, one per element of the arrays; the rows that come back are those that were there (a row that was updated
-- has an xmax, one that was inserted has none). 1,000 rows take 2 ms less than with every id, and 3 ms less than with
-- every array: an empty one stands for its column's default, for unnest fills it up with NULL.
WITH stored AS (
INSERT INTO agent_memories AS m (organization_id, execution_id, id, agent_id, content, content_hash, metadata, importance,
    memory_type, visibility, sensitive, pinned, embedding, embedding_model, occurred_at, expires_at, store_count,
    created_at, updated_at)
SELECT $1, $3, e.id, coalesce(e.agent_id, $4), e.content, e.content_hash, coalesce(e.metadata, '{}')::jsonb,
    coalesce(e.importance, 0.5), coalesce(e.memory_type, 'general'), coalesce(e.visibility, 'agent')::memory_visibility,
    coalesce(e.sensitive, false), coalesce(e.pinned, false), e.embedding, e.embedding_model,
    coalesce(e.occurred_at, at.moment), e.expires_at, coalesce(e.store_count, 1), at.moment, at.moment
FROM unnest($5::uuid[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::float8[], $11::text[], $12::text[],
    $13::boolean[], $14::boolean[], $15::vector[], $16::text[], $17::timestamptz[], $18::timestamptz[], $19::integer[],
    $20::integer[])
    AS e (id, agent_id, content, content_hash, metadata, importance, memory_type, visibility, sensitive, pinned,
        embedding, embedding_model, occurred_at, expires_at, store_count, position),
    -- A microsecond apart, in the order given: "newest first" is then answered by the index alone.
    LATERAL (SELECT statement_timestamp() + e.position * interval '1 microsecond') AS at (moment)
{{on_duplicate}}
RETURNING m.id, m.agent_id, m.content_hash, m.xmax <> 0 AS was_there
)
SELECT id::text AS id, agent_id, content_hash FROM stored WHERE was_there

-- name: hashes
-- What the memories of these ids are equal to, for a retried write whose memory has been superseded since.
SELECT m.id::text AS id, m.agent_id, m.content_hash FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])

-- name: get
-- One memory by its id.
SELECT {{memory}} FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.id = $2
    AND ($3 OR m.expires_at IS NULL OR m.expires_at > now()) AND ($4 OR m.superseded_at IS NULL)

-- name: list
-- An agent's own memories, newest first, straight from the index (organization_id, agent_id, created_at DESC).
SELECT {{memory}} FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.agent_id = $2
    AND ($3 OR m.expires_at IS NULL OR m.expires_at > now()) AND ($4 OR m.superseded_at IS NULL)
    AND ($5::text IS NULL OR m.memory_type = $5) AND ($6::float8 IS NULL OR m.importance >= $6)
ORDER BY m.created_at DESC, m.id DESC LIMIT $7 OFFSET $8

-- name: list_with_shared
-- An agent's own memories and those shared with the organization, newest first.
SELECT {{memory}} FROM agent_memories AS m
WHERE m.organization_id = $1 AND (m.agent_id = $2 OR m.visibility = 'organization')
    AND ($3 OR m.expires_at IS NULL OR m.expires_at > now()) AND ($4 OR m.superseded_at IS NULL)
    AND ($5::text IS NULL OR m.memory_type = $5) AND ($6::float8 IS NULL OR m.importance >= $6)
ORDER BY m.created_at DESC, m.id DESC LIMIT $7 OFFSET $8

-- name: count
-- Living memories, of one agent or of the organization.
SELECT count(*) AS count FROM agent_memories AS m
WHERE m.organization_id = $1 AND ($2::text IS NULL OR m.agent_id = $2)
    AND ($3::text IS NULL OR m.memory_type = $3) AND {{living}}

-- name: search
-- Memories that hold any word of the query, ranked by how many of them and how often, as x / (x + 1) (that is the 32).
-- plainto_tsquery strips stop words and joins the rest by '&'; ranked retrieval wants them joined by '|'. Within a word
-- the text ' & ' cannot occur. Of 231 questions about long dialogues, the first ten hits hold 0.60 of the answers by
-- ts_rank, 0.57 by ts_rank_cd, and less by either once it is divided by the length.
WITH query AS (SELECT replace(plainto_tsquery('english', $9)::text, ''' & ''', ''' | ''')::tsquery AS words)
SELECT {{memory}}, ts_rank(m.content_tsv, query.words, 32)::float8 AS relevance
FROM agent_memories AS m, query
WHERE m.organization_id = $1 AND (m.agent_id = $2 OR $3 AND m.visibility = 'organization')
    AND m.content_tsv @@ query.words AND {{living}} AND {{filters}}
ORDER BY relevance DESC, m.created_at DESC, m.id DESC LIMIT $8

-- name: recent
-- The newest memories, for a search without a query.
SELECT {{memory}} FROM agent_memories AS m
WHERE m.organization_id = $1 AND (m.agent_id = $2 OR $3 AND m.visibility = 'organization')
    AND {{living}} AND {{filters}}
ORDER BY m.occurred_at DESC, m.id DESC LIMIT $8

-- name: lock
-- One living memory, locked until the transaction ends.
SELECT {{memory}} FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = $2 AND {{living}} FOR UPDATE

-- name: supersede
-- Let another memory take one's place.
UPDATE agent_memories AS m SET superseded_by_id = $3, superseded_at = now(), updated_at = now()
WHERE m.organization_id = $1 AND m.id = $2

-- name: update
-- Rewrite a memory; another content drops the old one's embedding.
UPDATE agent_memories AS m
SET content = $3, content_hash = $4, metadata = $5, importance = $6, memory_type = $7,
    visibility = $8::text::memory_visibility, sensitive = $9, pinned = $10, occurred_at = $11, expires_at = $12,
    embedding = CASE WHEN m.content = $3 THEN m.embedding END,
    embedding_model = CASE WHEN m.content = $3 THEN m.embedding_model END, updated_at = now()
WHERE m.organization_id = $1 AND m.id = $2 RETURNING {{memory}}

-- name: delete
-- Delete a memory together with the older versions that it superseded.
WITH RECURSIVE history (id) AS (
    SELECT m.id FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = $2
    UNION
    SELECT m.id FROM agent_memories AS m JOIN history ON m.superseded_by_id = history.id WHERE m.organization_id = $1
)
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM history)
