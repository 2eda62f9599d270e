-- What finding memories takes: scoped full text, the dimension of embeddings, candidates by words and by metadata.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

-- Searches take pgvector's half-precision vectors and its iterative index scans, which 0.8 brought.
DO $$
DECLARE
    installed text := (SELECT extversion FROM pg_extension WHERE extname = 'vector');
BEGIN
    IF string_to_array(installed, '.')::integer[] < ARRAY[0, 8] THEN
        RAISE EXCEPTION 'pgvector % is too old: agentdb needs 0.8 or later', installed
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Install a newer pgvector on the server, run ALTER EXTENSION vector UPDATE; as its owner, then migrate again.';
    END IF;
END
$$;

-- `?schema=x` leaves only x in the search path, and pgvector may be in another schema. pg_temp comes last, by name, for the
-- functions below keep this path: no temporary table may stand in the place of one of ours.
SELECT set_config('search_path', concat_ws(', ', quote_ident(current_schema()), quote_ident(nspname), 'pg_temp'), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';


-- Agents

ALTER TABLE agents
    ADD COLUMN max_memories integer,
    ADD CONSTRAINT agents_max_memories_check CHECK (max_memories >= 1);


-- Memories

-- The full text holds, beside the words, lexemes that no text can have, for they start with a space: one for the organization,
-- one for the agent, and one for whether it is shared. "This word in this scope" is then one look-up in one index, which skips
-- through the longer of two lists; without them a word would be looked up among everybody's memories.
ALTER TABLE agent_memories
    DROP COLUMN content_tsv,
    ADD COLUMN content_tsv tsvector GENERATED ALWAYS AS (
        to_tsvector('english'::regconfig, left(content, 200000)) || array_to_tsvector(ARRAY[
            ' o' || to_hex(hashtextextended(organization_id, 0)),
            ' a' || to_hex(hashtextextended(agent_id, hashtextextended(organization_id, 0))),
            ' ' || (visibility = 'organization')::text || to_hex(hashtextextended(organization_id, 0))
        ])
    ) STORED,
    ADD COLUMN embedding_dimensions integer GENERATED ALWAYS AS (vector_dims(embedding)) STORED,
    -- A boolean, because row-level security lets the planner see statistics of one; those of an enum are kept from it, and it
    -- then takes every memory for a shared one.
    ADD COLUMN is_shared boolean GENERATED ALWAYS AS (visibility = 'organization') STORED,
    -- why there is no embedding though there should be one
    ADD COLUMN embedding_error text,
    ADD CONSTRAINT agent_memories_embedding_error_check CHECK (
        embedding_error IS NULL OR embedding IS NULL AND char_length(embedding_error) BETWEEN 1 AND 255
    ),
    -- pgvector adds up cosines as 32-bit floats, which squares of shorter or longer vectors leave
    DROP CONSTRAINT agent_memories_embedding_check,
    ADD CONSTRAINT agent_memories_embedding_check CHECK (vector_norm(embedding) BETWEEN 1e-12 AND 1e12),
    -- An import meets a memory before the one that superseded it.
    ALTER CONSTRAINT agent_memories_organization_id_superseded_by_id_fkey DEFERRABLE INITIALLY IMMEDIATE,
    -- Counting an access changes no indexed column: with some room on its page, no index has to hear of it.
    SET (fillfactor = 90);

CREATE INDEX agent_memories_organization_id_agent_id_occurred_at_idx ON agent_memories (organization_id, agent_id, occurred_at DESC);
DROP INDEX agent_memories_shared_idx;
CREATE INDEX agent_memories_shared_idx ON agent_memories (organization_id, created_at DESC) WHERE is_shared;
CREATE INDEX agent_memories_shared_occurred_at_idx ON agent_memories (organization_id, occurred_at DESC) WHERE is_shared;

-- New rows wait in a list that every search has to read; 128 kB keep it short. Partial, because schema.prisma cannot name it:
-- a partial index is one that Prisma leaves alone.
CREATE INDEX agent_memories_words_idx ON agent_memories USING gin (content_tsv, metadata jsonb_path_ops)
    WITH (gin_pending_list_limit = 128) WHERE content_tsv IS NOT NULL;


-- Candidates
--
-- Under row-level security PostgreSQL uses an index only for operators that it knows to leak nothing, and `@@` is not one of
-- them. These functions run as the owner of the table and keep to the organization themselves: to the one that the
-- connection's setting names, as the policies do, and to the one that the caller names, which has to be the same. What they
-- return is read again by the caller, under the policies.
--
-- Operands have the exact types of the operators, and no argument is converted: whoever may create in a schema of the search
-- path could otherwise offer an operator or a function that fits better, and have the owner run it.

CREATE FUNCTION agent_memories_scope(organization text, agent text, with_shared boolean) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN agent IS NULL THEN ''' o'::text || to_hex(hashtextextended(organization, 0::bigint)) || ''''::text
    WHEN with_shared THEN ''' a'::text || to_hex(hashtextextended(agent, hashtextextended(organization, 0::bigint)))
        || ''' | '' true'::text || to_hex(hashtextextended(organization, 0::bigint)) || ''''::text
    ELSE ''' a'::text || to_hex(hashtextextended(agent, hashtextextended(organization, 0::bigint))) || ''''::text
END::tsquery;

-- The memories in scope that hold *terms*, which the scope is a part of. PostgreSQL writes this into the query that calls it.
-- OFFSET 0 keeps it from reading the whole organization by another index for each of the words.
CREATE FUNCTION agent_memories_in_scope(
    terms tsquery, organization text, agent text, with_shared boolean, kind text, least_importance double precision,
    since timestamptz, until timestamptz, as_of timestamptz, condition jsonpath
)
RETURNS SETOF agent_memories LANGUAGE sql STABLE
AS $$
    SELECT m.* FROM (SELECT * FROM agent_memories WHERE content_tsv @@ terms OFFSET 0) AS m
    WHERE m.organization_id = organization AND (m.agent_id = agent OR with_shared AND m.is_shared)
        AND CASE WHEN as_of IS NULL THEN m.superseded_at IS NULL
            ELSE m.created_at <= as_of AND (m.superseded_at IS NULL OR m.superseded_at > as_of) END
        AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
        AND (kind IS NULL OR m.memory_type = kind) AND (least_importance IS NULL OR m.importance >= least_importance)
        AND (since IS NULL OR m.occurred_at >= since) AND (until IS NULL OR m.occurred_at < until)
        AND (condition IS NULL OR m.metadata @@ condition);
$$;

-- The memories that hold any of the words, ranked by BM25 (Robertson and Zaragoza 2009) with k1 = 0.64 and b = 0.3.
--
-- ts_rank of one word at n places is 0.1 (1 + 1/4 + ... + 1/n^2) / (pi^2/6): it saturates as BM25 does with k1 = 0.64, which is
-- pi^2/6 - 1. The length divides outside of it, where 0.12 does what b = 0.3 does inside. N, the number of memories in scope, is
-- taken as five times those that hold any of the words: counting them would take as long as the search, and the order hardly
-- depends on it.
--
-- A word that more than 5,000 memories hold is looked up in 5,000 of them, and where several words are so frequent, in as many
-- that hold them all: a search then takes hardly longer in a larger scope. is_cut says so.
--
-- Returns what is at least *floor* times as relevant as the *most*-th, and what was found of *also*; relevance is in (0, 1], 1 for
-- the best.
CREATE FUNCTION agent_memories_by_words(
    organization text, agent text, with_shared boolean, kind text, least_importance double precision,
    since timestamptz, until timestamptz, as_of timestamptz, condition jsonpath, words text, most integer, floor double precision, also uuid[]
)
RETURNS TABLE (
    id uuid, relevance double precision, importance double precision, memory_type text, occurred_at timestamptz, pinned boolean,
    is_cut boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_nestloop = off -- the planner takes each step for a row or two, and would join thousands one by one
AS $$
#variable_conflict use_column
DECLARE
    enough CONSTANT integer := 5000;
    most_words CONSTANT integer := 64;
    scope CONSTANT tsquery := agent_memories_scope(organization, agent, with_shared);
BEGIN
    IF organization IS DISTINCT FROM current_setting('agentdb.organization_id', true) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH terms AS MATERIALIZED (
        SELECT row_number() OVER () AS place, chosen.term FROM (
            SELECT array_to_tsvector(ARRAY[lexeme])::text::tsquery AS term
            FROM unnest(to_tsvector('english'::regconfig, words)) ORDER BY length(lexeme) DESC LIMIT most_words
        ) AS chosen
    ),
    postings AS MATERIALIZED (
        SELECT terms.place, found.* FROM terms, LATERAL (
            SELECT m.id, ts_rank(m.content_tsv, terms.term)::float8 AS frequency, length(m.content_tsv)::float8 AS length,
                m.importance, m.memory_type, m.occurred_at, m.pinned
            FROM agent_memories_in_scope(
                scope && terms.term, organization, agent, with_shared, kind, least_importance, since, until, as_of, condition
            ) AS m
            LIMIT enough
        ) AS found
    ),
    holders AS MATERIALIZED (
        SELECT terms.place, terms.term, counted.number::float8 AS number, counted.number >= enough AS is_frequent
        FROM terms JOIN (SELECT p.place, count(*) AS number FROM postings AS p GROUP BY p.place) AS counted USING (place)
    ),
    together AS MATERIALIZED (
        SELECT found.* FROM (
            SELECT string_agg(term::text, ' & '::text)::tsquery AS terms FROM holders WHERE is_frequent HAVING count(*) > 1
        ) AS frequent, LATERAL (
            SELECT m.id, m.content_tsv, m.importance, m.memory_type, m.occurred_at, m.pinned
            FROM agent_memories_in_scope(
                scope && frequent.terms, organization, agent, with_shared, kind, least_importance, since, until, as_of, condition
            ) AS m
            LIMIT enough
        ) AS found
    ),
    all_postings AS (
        SELECT * FROM postings
        UNION ALL
        SELECT holders.place, m.id, ts_rank(m.content_tsv, holders.term)::float8, length(m.content_tsv)::float8,
            m.importance, m.memory_type, m.occurred_at, m.pinned
        FROM together AS m, holders
        WHERE is_frequent AND NOT EXISTS (SELECT FROM postings AS p WHERE p.place = holders.place AND p.id = m.id)
    ),
    facts AS MATERIALIZED (
        SELECT 5::float8 * count(DISTINCT p.id)::float8 AS memories, avg(p.length) AS length FROM postings AS p
    ),
    scored AS MATERIALIZED (
        SELECT p.id, min(p.importance) AS importance, min(p.memory_type) AS memory_type, min(p.occurred_at) AS occurred_at,
            bool_or(p.pinned) AS pinned,
            sum(ln(1::float8 + (facts.memories - holders.number + 0.5::float8) / (holders.number + 0.5::float8)) * p.frequency
                / (0.88::float8 + 0.12::float8 * p.length / facts.length)) AS score
        FROM all_postings AS p JOIN holders USING (place) CROSS JOIN facts
        GROUP BY p.id
    ),
    marks AS MATERIALIZED (
        SELECT max(s.score) AS best, floor * (SELECT n.score FROM scored AS n ORDER BY n.score DESC OFFSET most - 1 LIMIT 1) AS least
        FROM scored AS s
    )
    SELECT s.id, s.score / marks.best, s.importance, s.memory_type, s.occurred_at, s.pinned,
        (SELECT bool_or(is_frequent) FROM holders)
    FROM scored AS s CROSS JOIN marks
    WHERE s.score >= marks.least OR marks.least IS NULL OR s.id = ANY (also);
END
$$;

-- The memories of a scope whose metadata a condition fits, at most *most* of them, for conditions that the index can serve; of the
-- whole organization when *agent* is NULL. Superseded and expired ones too.
CREATE FUNCTION agent_memories_by_metadata(
    organization text, agent text, with_shared boolean, condition jsonpath, most integer
)
RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 500
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    scope CONSTANT tsquery := agent_memories_scope(organization, agent, with_shared);
BEGIN
    IF organization IS DISTINCT FROM current_setting('agentdb.organization_id', true) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.id FROM (SELECT * FROM agent_memories WHERE content_tsv @@ scope AND metadata @@ condition OFFSET 0) AS m
    WHERE m.organization_id = organization
        AND (agent IS NULL OR m.agent_id = agent OR with_shared AND m.is_shared)
    LIMIT most;
END
$$;

REVOKE EXECUTE ON FUNCTION
    agent_memories_by_words(
        text, text, boolean, text, double precision, timestamptz, timestamptz, timestamptz, jsonpath, text, integer, double precision, uuid[]
    ),
    agent_memories_by_metadata(text, text, boolean, jsonpath, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    agent_memories_by_words(
        text, text, boolean, text, double precision, timestamptz, timestamptz, timestamptz, jsonpath, text, integer, double precision, uuid[]
    ),
    agent_memories_by_metadata(text, text, boolean, jsonpath, integer)
    TO agentdb_app;
