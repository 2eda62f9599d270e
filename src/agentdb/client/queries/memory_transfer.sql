-- name: export_agents
-- The agents that have memories, or one agent ($2).
SELECT a.id, a.name, a.version, a.category::text AS category, a.description, a.capabilities, a.data_sources, a.metadata,
    a.max_memories
FROM agents AS a
WHERE a.organization_id = $1 AND CASE WHEN $2::text IS NOT NULL THEN a.id = $2
    ELSE EXISTS (SELECT FROM agent_memories AS m WHERE m.organization_id = $1 AND m.agent_id = a.id) END
ORDER BY a.id

-- name: export_sealed
-- Whether there are sealed memories to export, of one agent or all ($2).
SELECT EXISTS (
    SELECT FROM agent_memories AS m WHERE m.organization_id = $1 AND m.sealed IS NOT NULL
        AND ($2::text IS NULL OR m.agent_id = $2) AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
) AS has_sealed

-- name: export_left_out
-- The older versions of what has expired, of one agent or all ($2): a sweep deletes them with it, so an export leaves them out.
-- With $3 those of what is sealed too: an import would look for what superseded them.
WITH RECURSIVE older (id) AS (
    SELECT m.id FROM agent_memories AS gone JOIN agent_memories AS m ON m.organization_id = $1 AND m.superseded_by_id = gone.id
    WHERE gone.organization_id = $1 AND (gone.expires_at <= statement_timestamp() OR $3::boolean AND gone.sealed IS NOT NULL)
        AND ($2::text IS NULL OR gone.agent_id = $2)
    UNION
    SELECT m.id FROM agent_memories AS m JOIN older ON m.superseded_by_id = older.id WHERE m.organization_id = $1
)
SELECT id::text AS id FROM older

-- name: export_page
-- The memories after $2, of one agent or all ($3), in the order of their ids; at most $4, and not more than about $5 bytes
-- unless it is one.
SELECT m.id::text AS id, m.agent_id, m.content, m.metadata, m.sealed, m.importance, m.memory_type, m.visibility::text AS visibility,
    m.sensitive, m.pinned, vector_send(m.embedding) AS embedding, m.embedding_model, m.embedding_error,
    m.execution_id::text AS execution_id, m.superseded_by_id::text AS superseded_by, m.superseded_at, m.store_count,
    m.access_count, m.last_accessed_at, m.occurred_at, m.expires_at, m.created_at, m.updated_at
FROM (
    SELECT sized.*, sum(size) OVER (ORDER BY id) AS total FROM (
        SELECT m.*, octet_length(m.content) + octet_length(m.metadata::text) + coalesce(octet_length(m.sealed), 0)
            + coalesce(4 * m.embedding_dimensions, 0) AS size
        FROM agent_memories AS m
        WHERE m.organization_id = $1 AND m.id > $2::uuid AND ($3::text IS NULL OR m.agent_id = $3)
            AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
        ORDER BY m.id LIMIT $4
    ) AS sized
) AS m
WHERE m.total - m.size < $5
ORDER BY m.id

-- name: agents_there
-- The agents that have one of these ids or names.
SELECT a.id, a.name FROM agents AS a WHERE a.organization_id = $1 AND (a.id = ANY ($2::text[]) OR a.name = ANY ($3::text[]))

-- name: bring_agents
-- Register those of a JSON list of agents that collide with none.
INSERT INTO agents AS a (organization_id, id, name, version, category, description, capabilities, data_sources, metadata,
    max_memories)
SELECT $1, e.id, e.name, e.version, e.category::agent_category, e.description, e.capabilities, e.data_sources, e.metadata,
    e.max_memories
FROM jsonb_to_recordset($2::jsonb) AS e (id text, name text, version text, category text, description text,
    capabilities text[], data_sources text[], metadata jsonb, max_memories integer)
ON CONFLICT DO NOTHING

-- fragment: is_in_the_way
-- What has expired is there for nobody, and gives way to what has not.
(m.expires_at <= statement_timestamp() AND (e.expires_at IS NULL OR e.expires_at > statement_timestamp())) IS TRUE AS is_in_the_way

-- name: same
-- What has the id of a memory on its way in, of ids from $5 to $6; where its hash is another, what it was made of.
SELECT e.id::text AS id, m.id::text AS there, m.agent_id, m.content_hash, {{is_in_the_way}}, m.memory_type,
    CASE WHEN m.content_hash <> e.content_hash THEN m.content END AS content,
    CASE WHEN m.content_hash <> e.content_hash THEN m.metadata END AS metadata,
    CASE WHEN m.content_hash <> e.content_hash THEN m.sealed END AS sealed
FROM unnest($2::uuid[], $3::bytea[], $4::timestamptz[]) AS e (id, content_hash, expires_at)
    JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = e.id
WHERE m.id BETWEEN $5::uuid AND $6::uuid

-- name: equal
-- The living memory that equals one on its way in.
SELECT e.id::text AS id, m.id::text AS there, {{is_in_the_way}}
FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[]) AS e (id, agent_id, content_hash, expires_at)
    JOIN agent_memories AS m ON m.organization_id = $1 AND m.agent_id = e.agent_id AND m.content_hash = e.content_hash
        AND m.superseded_at IS NULL

-- name: arrive
-- Store memories as they were exported; those that came back are new.
INSERT INTO agent_memories AS m (organization_id, id, agent_id, content, content_hash, metadata, importance, memory_type,
    visibility, sensitive, pinned, embedding, embedding_model, embedding_error, execution_id, superseded_by_id, superseded_at,
    store_count, access_count, last_accessed_at, occurred_at, expires_at, created_at, updated_at, sealed, lookups)
SELECT $1, e.id, e.agent_id, e.content, e.content_hash, e.metadata::jsonb, e.importance, e.memory_type,
    e.visibility::memory_visibility, e.sensitive, e.pinned, e.embedding, e.embedding_model, e.embedding_error, e.execution_id,
    e.superseded_by, e.superseded_at, e.store_count, e.access_count, e.last_accessed_at, e.occurred_at, e.expires_at,
    e.created_at, e.updated_at, e.sealed, e.lookups::bytea[]
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::float8[], $8::text[], $9::text[],
    $10::boolean[], $11::boolean[], $12::vector[], $13::text[], $14::text[], $15::uuid[], $16::uuid[], $17::timestamptz[],
    $18::integer[], $19::integer[], $20::timestamptz[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[],
    $24::timestamptz[], $25::bytea[], $26::text[])
    AS e (id, agent_id, content, content_hash, metadata, importance, memory_type, visibility, sensitive, pinned, embedding,
        embedding_model, embedding_error, execution_id, superseded_by, superseded_at, store_count, access_count,
        last_accessed_at, occurred_at, expires_at, created_at, updated_at, sealed, lookups)
ON CONFLICT DO NOTHING
RETURNING m.id::text AS id

-- name: make_room
-- Delete memories that have expired; what they superseded is taken over by `redirect`.
DELETE FROM agent_memories WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND expires_at <= statement_timestamp()

-- name: redirect
-- Let what was superseded by memories of these ids be superseded by others.
UPDATE agent_memories AS m SET superseded_by_id = e.there
FROM unnest($2::uuid[], $3::uuid[]) AS e (id, there)
WHERE m.organization_id = $1 AND m.superseded_by_id = e.id AND m.id <> e.there

-- name: dangling
-- A memory whose newer version is not there.
SELECT m.id::text AS id, m.superseded_by_id::text AS newer FROM agent_memories AS m
WHERE m.organization_id = $1 AND m.superseded_by_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM agent_memories AS newer WHERE newer.organization_id = $1 AND newer.id = m.superseded_by_id)
LIMIT 1
