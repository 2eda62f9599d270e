-- fragment: listed
-- Prices of well-known models, as their makers published them, in US dollars for a million tokens; as of 2025-11-28.
-- OpenAI: platform.openai.com/docs/pricing, standard tier. It charges nothing for writing to its cache.
-- Anthropic: docs.claude.com/en/docs/about-claude/pricing, prompts up to 200,000 tokens, cache writes for five minutes.
(VALUES
    ('{gpt-4o,gpt-4o-2024-05-13}'::text[], '2024-05-13Z'::timestamptz, 5.0, NULL::numeric, NULL::numeric, 15.0),
    ('{gpt-4o}', '2024-10-02Z', 2.5, 1.25, NULL, 10),
    ('{gpt-4o-2024-08-06}', '2024-08-06Z', 2.5, 1.25, NULL, 10),
    ('{gpt-4o-2024-11-20}', '2024-11-20Z', 2.5, 1.25, NULL, 10),
    ('{gpt-4o-mini,gpt-4o-mini-2024-07-18}', '2024-07-18Z', 0.15, 0.075, NULL, 0.6),
    ('{gpt-4.1,gpt-4.1-2025-04-14}', '2025-04-14Z', 2, 0.5, NULL, 8),
    ('{gpt-4.1-mini,gpt-4.1-mini-2025-04-14}', '2025-04-14Z', 0.4, 0.1, NULL, 1.6),
    ('{gpt-4.1-nano,gpt-4.1-nano-2025-04-14}', '2025-04-14Z', 0.1, 0.025, NULL, 0.4),
    ('{o3,o3-2025-04-16}', '2025-04-16Z', 10, 2.5, NULL, 40),
    ('{o3,o3-2025-04-16}', '2025-06-10Z', 2, 0.5, NULL, 8),
    ('{o4-mini,o4-mini-2025-04-16}', '2025-04-16Z', 1.1, 0.275, NULL, 4.4),
    ('{gpt-5,gpt-5-2025-08-07}', '2025-08-07Z', 1.25, 0.125, NULL, 10),
    ('{gpt-5-mini,gpt-5-mini-2025-08-07}', '2025-08-07Z', 0.25, 0.025, NULL, 2),
    ('{gpt-5-nano,gpt-5-nano-2025-08-07}', '2025-08-07Z', 0.05, 0.005, NULL, 0.4),
    ('{gpt-5.1,gpt-5.1-2025-11-13}', '2025-11-13Z', 1.25, 0.125, NULL, 10),
    ('{text-embedding-3-small}', '2024-01-25Z', 0.02, NULL, NULL, NULL),
    ('{text-embedding-3-large}', '2024-01-25Z', 0.13, NULL, NULL, NULL),
    ('{claude-3-5-haiku-latest,claude-3-5-haiku-20241022}', '2024-12-03Z', 0.8, 0.08, 1, 4),
    ('{claude-3-7-sonnet-latest,claude-3-7-sonnet-20250219}', '2025-02-24Z', 3, 0.3, 3.75, 15),
    ('{claude-sonnet-4-0,claude-sonnet-4-20250514}', '2025-05-22Z', 3, 0.3, 3.75, 15),
    ('{claude-opus-4-0,claude-opus-4-20250514}', '2025-05-22Z', 15, 1.5, 18.75, 75),
    ('{claude-opus-4-1,claude-opus-4-1-20250805}', '2025-08-05Z', 15, 1.5, 18.75, 75),
    ('{claude-sonnet-4-5,claude-sonnet-4-5-20250929}', '2025-09-29Z', 3, 0.3, 3.75, 15),
    ('{claude-haiku-4-5,claude-haiku-4-5-20251001}', '2025-10-15Z', 1, 0.1, 1.25, 5),
    ('{claude-opus-4-5,claude-opus-4-5-20251101}', '2025-11-24Z', 5, 0.5, 6.25, 25)
) AS l (models, valid_from, input, cached_input, cache_write, output)

-- fragment: price
-- What q.model cost at q.at: by the organization's own prices, else by the list.
LATERAL (
    SELECT true AS is_own, m.valid_from, m.input, m.cached_input, m.cache_write, m.output FROM model_prices AS m
    WHERE m.organization_id = $1 AND m.model = q.model AND m.valid_from <= q.at
    UNION ALL
    SELECT false, l.valid_from, l.input, l.cached_input, l.cache_write, l.output FROM {{listed}}
    WHERE q.model = ANY(l.models) AND l.valid_from <= q.at
    ORDER BY is_own DESC, valid_from DESC LIMIT 1
) AS p

-- name: set
-- Set a price of the organization's own from a time on; without one from now on, unless it is what is valid already.
WITH present AS (
    SELECT m.model, m.valid_from, m.input, m.cached_input, m.cache_write, m.output FROM model_prices AS m
    WHERE m.organization_id = $1 AND m.model = $2 AND m.valid_from <= statement_timestamp()
    ORDER BY m.valid_from DESC LIMIT 1
), written AS (
    INSERT INTO model_prices AS m (organization_id, model, valid_from, input, cached_input, cache_write, output)
    SELECT $1, $2, coalesce($3, statement_timestamp()), $4, $5, $6, $7
    WHERE $3::timestamptz IS NOT NULL OR NOT EXISTS (
        SELECT FROM present AS p
        WHERE (p.input, p.cached_input, p.cache_write, p.output)
            IS NOT DISTINCT FROM ($4::numeric, $5::numeric, $6::numeric, $7::numeric)
    )
    ON CONFLICT (organization_id, model, valid_from) DO UPDATE
    SET input = EXCLUDED.input, cached_input = EXCLUDED.cached_input, cache_write = EXCLUDED.cache_write,
        output = EXCLUDED.output
    RETURNING m.model, m.valid_from, m.input, m.cached_input, m.cache_write, m.output
)
SELECT w.*, true AS is_own FROM written AS w
UNION ALL
SELECT p.*, true FROM present AS p WHERE NOT EXISTS (SELECT FROM written)

-- name: get
-- What a model cost at a time, or costs now.
SELECT q.model, p.valid_from, p.input, p.cached_input, p.cache_write, p.output, p.is_own
FROM (SELECT $2::text AS model, coalesce($3::timestamptz, statement_timestamp()) AS at) AS q, {{price}}

-- name: list
-- All prices that there are, of one model or of all: by model, the organization's own first, newest first.
SELECT m.model, m.valid_from, m.input, m.cached_input, m.cache_write, m.output, true AS is_own FROM model_prices AS m
WHERE m.organization_id = $1 AND ($2::text IS NULL OR m.model = $2)
UNION ALL
SELECT name, l.valid_from, l.input, l.cached_input, l.cache_write, l.output, false
FROM {{listed}}, unnest(l.models) AS name
WHERE $2::text IS NULL OR name = $2
ORDER BY model, is_own DESC, valid_from DESC

-- name: delete
-- Delete one price of the organization's own.
DELETE FROM model_prices AS m WHERE m.organization_id = $1 AND m.model = $2 AND m.valid_from = $3
