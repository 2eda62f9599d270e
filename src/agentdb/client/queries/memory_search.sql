-- uses: memories

-- fragment: recency
-- How recent a candidate c is, in [0, 1]: 2^(-age / half-life); 1 for what is pinned or yet to come. $22 has half-lives in
-- seconds by memory type, $23 is that of the others.
CASE WHEN c.pinned THEN 1 ELSE exp(greatest(-700, -ln(2::float8) * greatest(0, extract(epoch FROM now() - c.occurred_at)::float8)
        / coalesce(($22::jsonb ->> c.memory_type)::float8, $23::float8))) END

-- fragment: boost
(1 + $20::float8 * ({{recency}} - 0.5)) * (1 + $21::float8 * (c.importance - 0.5))

-- fragment: embedded
m.embedding_model = $14 AND m.embedding_dimensions = $24

-- fragment: candidate
m.id, 1 - (m.embedding <=> $13::vector) AS cosine, m.importance, m.memory_type, m.occurred_at, m.pinned

-- name: search
-- The memories that fit words ($12), a vector ($13) of a model ($14) and length ($24), or both, best first; at most $11.
--
-- Each arm proposes $17 candidates. Those of the vector come from a scan of all that are in scope, or from the index named $15
-- where the scope is so large that the index is quicker: a scan of s memories takes about 3 µs each, and finding n by an index
-- over t about 12 µs n t / s, which meet at s = sqrt(4 n t). $16: it is known to be. An index that finds fewer than are
-- wanted is not believed: then all are scanned. Its settings are set for this statement, before it is read.
WITH settings AS MATERIALIZED (
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true)
),
crossover AS MATERIALIZED (
    SELECT ceil(sqrt(4.0 * $17 * greatest(c.reltuples, 0)))::bigint AS rows
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE $13::vector IS NOT NULL AND i.indexrelid = to_regclass($15) AND i.indisvalid
),
scope AS MATERIALIZED (
    SELECT $16 OR rows < (
        SELECT count(*) FROM (
            SELECT FROM agent_memories AS m WHERE {{scope}} AND {{living_then}} AND {{embedded}} LIMIT (SELECT rows + 1 FROM crossover)
        ) AS few
    ) AS is_large
    FROM crossover
),
near_by_index AS MATERIALIZED (
    SELECT {{candidate}} FROM agent_memories AS m
    WHERE (SELECT is_large FROM scope) AND (SELECT count(*) FROM settings) = 1 AND {{scope}} AND {{living_then}} AND {{embedded}}
    ORDER BY l2_normalize(m.embedding)::halfvec($24) <=> l2_normalize($13::vector)::halfvec($24) LIMIT $17
),
is_indexed AS MATERIALIZED (SELECT count(*) >= $11 AS so FROM near_by_index WHERE (SELECT is_large FROM scope)),
near AS MATERIALIZED (
    SELECT * FROM near_by_index WHERE (SELECT so FROM is_indexed)
    UNION ALL
    SELECT * FROM (
        SELECT c.* FROM (
            SELECT {{candidate}} FROM agent_memories AS m
            WHERE $13::vector IS NOT NULL AND NOT (SELECT so FROM is_indexed) AND {{scope}} AND {{living_then}} AND {{embedded}}
        ) AS c
        ORDER BY greatest(c.cosine, 0) * {{boost}} DESC, c.cosine DESC, c.occurred_at DESC, c.id DESC LIMIT $17
    ) AS scanned
),
worded AS MATERIALIZED (
    SELECT c.* FROM agent_memories_by_words(
        $1, $2, $3, $5, $6, $7, $8, $10, $9, $12, $17, (SELECT array_agg(near.id) FROM near)
    ) AS c
    WHERE $12::text IS NOT NULL
),
proposed AS (
    SELECT id FROM near
    UNION
    SELECT id FROM (SELECT c.id FROM worded AS c ORDER BY c.relevance * {{boost}} DESC, c.occurred_at DESC, c.id DESC LIMIT $17) AS best
),
known AS (
    SELECT id, importance, memory_type, occurred_at, pinned FROM near
    UNION
    SELECT id, importance, memory_type, occurred_at, pinned FROM worded
),
arms AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM near) AS has_near, EXISTS (SELECT FROM worded) AS has_worded,
        NOT (SELECT so FROM is_indexed) AND NOT EXISTS (SELECT FROM worded WHERE is_cut) AS is_exact
),
compared AS (
    SELECT known.*, coalesce(worded.relevance, 0) AS lexical, coalesce(near.cosine, (
            SELECT 1 - (m.embedding <=> $13::vector) FROM agent_memories AS m
            WHERE m.organization_id = $1 AND m.id = proposed.id AND {{embedded}} AND (SELECT has_near FROM arms)
        )) AS cosine
    FROM proposed JOIN known USING (id) LEFT JOIN near USING (id) LEFT JOIN worded USING (id)
),
c AS (
    SELECT compared.*, arms.is_exact, has_near AND has_worded AS is_hybrid,
        CASE
            WHEN has_near AND has_worded THEN coalesce((compared.cosine - min(compared.cosine) OVER ())
                / nullif(max(compared.cosine) OVER () - min(compared.cosine) OVER (), 0), (compared.cosine IS NOT NULL)::int)
            WHEN has_near THEN greatest(compared.cosine, 0)
        END AS semantic
    FROM compared CROSS JOIN arms
),
ranked AS (
    SELECT c.*, {{recency}} AS recency, {{boost}} * CASE
            WHEN is_hybrid THEN ($18::float8 * c.lexical + $19::float8 * c.semantic) / ($18::float8 + $19::float8)
            ELSE coalesce(c.semantic, c.lexical)
        END AS score
    FROM c
    ORDER BY score DESC, c.cosine DESC NULLS LAST, c.occurred_at DESC, c.id DESC LIMIT $11
)
SELECT {{memory}}, ranked.lexical, ranked.semantic, ranked.cosine, ranked.recency, ranked.score, ranked.is_exact
FROM ranked JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = ranked.id
ORDER BY ranked.score DESC, ranked.cosine DESC NULLS LAST, ranked.occurred_at DESC, ranked.id DESC
