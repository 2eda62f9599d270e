-- uses: memories

-- fragment: recency
-- How recent a candidate c is, in [0, 1]: 2^(-age / half-life); 1 for what is pinned or yet to come. $17 has half-lives in
-- seconds by memory type, $18 is that of the others.
CASE WHEN c.pinned THEN 1 ELSE exp(greatest(-700, -ln(2::float8) * greatest(0, extract(epoch FROM now() - c.occurred_at)::float8)
        / coalesce(($17::jsonb ->> c.memory_type)::float8, $18::float8))) END

-- fragment: boost
-- What being recent and being important make of a score.
(1 + $15::float8 * ({{recency}} - 0.5)) * (1 + $16::float8 * (c.importance - 0.5))

-- fragment: is_even
-- Whether boosts hardly tell the candidates apart.
max({{boost}}) OVER () - min({{boost}}) OVER () < 0.01

-- name: words
-- The memories that hold any of the words $14, best first; at most $12 of the $13 that are best without boosts. What is sealed
-- has no words, whatever else it could be found by ($10).
WITH best AS (
    SELECT c.id, c.relevance AS lexical, {{recency}} AS recency, c.relevance * {{boost}} AS score, c.is_cut, c.occurred_at
    FROM agent_memories_by_words($1, $2, $3, $5, $6, $7, $8, $11, $9, $14, $13, $19, NULL) AS c
    ORDER BY score DESC, c.occurred_at DESC, c.id DESC LIMIT $12
)
SELECT {{memory}}, best.lexical, NULL::float8 AS semantic, NULL::float8 AS cosine, best.recency, best.score,
    NOT best.is_cut AS is_exact, false AS is_indexed, false AS is_even
FROM best JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = best.id
WHERE NOT $4 AND ($10::jsonpath IS NULL OR m.sealed IS NULL)
ORDER BY best.score DESC, best.occurred_at DESC, best.id DESC

-- fragment: embedded
m.embedding_model = $20 AND m.embedding_dimensions = $21

-- fragment: crossover
-- How many memories a scope has to hold for the index $22 to be quicker than looking at all of them; NULL without the index.
-- Looking at s takes about 3 us each; finding n by an index over t takes about 12 us n t / s: they meet at s = sqrt(4 n t). The
-- index of a table that has just been filled does not know its t yet.
SELECT ceil(sqrt(4.0 * $24 * greatest(c.reltuples, 1000)))::bigint AS rows
    FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid
    WHERE c.oid = to_regclass($22) AND i.indrelid = 'agent_memories'::regclass AND i.indisvalid

-- fragment: is_large
-- Whether the index is used: $23 says that it is known to be worth it.
($23 AND EXISTS ({{crossover}}) OR (
        SELECT rows < (SELECT count(*) FROM (
            SELECT FROM {{memories}} AS m WHERE {{scope}} AND {{living_then}} AND {{embedded}} LIMIT rows + 1
        ) AS counted) FROM ({{crossover}}) AS crossover
    ))

-- fragment: near
-- The candidates by the vector $19: $24 from the index or, where that is of no use or finds fewer, the best $13 of all.
settings AS MATERIALIZED (
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true)
),
indexed AS MATERIALIZED (
    SELECT {{memory}}, 1 - (m.embedding <=> $19::vector) AS cosine FROM agent_memories AS m
    WHERE {{is_large}} AND (SELECT count(*) FROM settings) = 1 AND {{scope}} AND {{living_then}} AND {{embedded}}
    ORDER BY l2_normalize(m.embedding)::halfvec($21) <=> l2_normalize($19::vector)::halfvec($21) LIMIT $24
),
near AS MATERIALIZED (
    SELECT *, true AS is_indexed FROM indexed WHERE (SELECT count(*) FROM indexed) >= $24
    UNION ALL
    SELECT *, false FROM (
        SELECT c.* FROM (
            SELECT {{memory}}, 1 - (m.embedding <=> $19::vector) AS cosine FROM {{memories}} AS m
            WHERE (SELECT count(*) FROM indexed) < $24 AND {{scope}} AND {{living_then}} AND {{embedded}}
        ) AS c
        ORDER BY greatest(c.cosine, 0) * {{boost}} DESC, c.cosine DESC, c.occurred_at DESC, c.id DESC LIMIT $13
    ) AS scanned
)

-- name: near
-- The memories nearest to the vector $19, best first; at most $12 of $13 candidates.
WITH {{near}}
SELECT c.*, NULL::float8 AS lexical, greatest(c.cosine, 0) AS semantic, {{recency}} AS recency,
    greatest(c.cosine, 0) * {{boost}} AS score, NOT c.is_indexed AS is_exact, {{is_even}} AS is_even
FROM near AS c WHERE $14::text IS NULL
ORDER BY score DESC, c.cosine DESC, c.occurred_at DESC, c.id DESC LIMIT $12

-- name: hybrid
-- The memories that fit words $14 and the vector $19 best; at most $12. Each arm proposes $13 (or $24, where reading their
-- embeddings would take as long as all the rest), and each says of the other's what it knows.
WITH {{near}},
known AS MATERIALIZED (
    SELECT array_agg(near.id::uuid) AS ids, CASE WHEN bool_or(is_indexed) THEN $24 ELSE $13 END AS most FROM near
),
worded AS MATERIALIZED (
    SELECT c.* FROM known, agent_memories_by_words(
        $1, $2, $3, $5, $6, $7, $8, $11, $9, $14, known.most, $27, known.ids
    ) AS c
),
proposed AS MATERIALIZED (
    SELECT id, max(lexical) AS lexical, max(cosine) AS cosine, min(importance) AS importance, min(memory_type) AS memory_type,
        min(occurred_at) AS occurred_at, bool_or(pinned) AS pinned
    FROM (
        SELECT id::uuid, NULL::float8 AS lexical, cosine, importance, memory_type, occurred_at, pinned FROM near
        UNION ALL
        SELECT c.id, c.relevance, NULL, c.importance, c.memory_type, c.occurred_at, c.pinned
        FROM worded AS c WHERE c.id IN (SELECT near.id::uuid FROM near)
        UNION ALL
        (SELECT c.id, c.relevance, NULL, c.importance, c.memory_type, c.occurred_at, c.pinned
        FROM worded AS c ORDER BY c.relevance * {{boost}} DESC, c.occurred_at DESC, c.id DESC
        LIMIT (SELECT most FROM known))
    ) AS arms
    GROUP BY id
),
compared AS (
    SELECT p.id, p.importance, p.memory_type, p.occurred_at, p.pinned, coalesce(p.lexical, 0) AS lexical,
        coalesce(p.cosine, 1 - (m.embedding <=> $19::vector)) AS cosine
    FROM proposed AS p LEFT JOIN agent_memories AS m
        ON p.cosine IS NULL AND m.organization_id = $1 AND m.id = p.id AND {{embedded}}
),
c AS (
    SELECT *, CASE WHEN EXISTS (SELECT FROM worded) THEN coalesce(
            (cosine - min(cosine) OVER ()) / nullif(max(cosine) OVER () - min(cosine) OVER (), 0),
            (cosine IS NOT NULL)::int
        ) ELSE greatest(cosine, 0) END AS semantic
    FROM compared
),
best AS (
    SELECT c.*, {{recency}} AS recency, {{is_even}} AS is_even, {{boost}} * CASE
            WHEN NOT EXISTS (SELECT FROM worded) THEN c.semantic
            WHEN NOT EXISTS (SELECT FROM near) THEN c.lexical
            ELSE ($25::float8 * c.lexical + $26::float8 * c.semantic) / ($25::float8 + $26::float8)
        END AS score
    FROM c
    ORDER BY score DESC, c.cosine DESC NULLS LAST, c.occurred_at DESC, c.id DESC LIMIT $12
)
SELECT {{memory}}, best.lexical, best.semantic, best.cosine, best.recency, best.score,
    NOT EXISTS (SELECT FROM near WHERE is_indexed UNION ALL SELECT FROM worded WHERE is_cut) AS is_exact,
    EXISTS (SELECT FROM near WHERE is_indexed) AS is_indexed, best.is_even
FROM best JOIN agent_memories AS m ON m.organization_id = $1 AND m.id = best.id
ORDER BY best.score DESC, best.cosine DESC NULLS LAST, best.occurred_at DESC, best.id DESC
