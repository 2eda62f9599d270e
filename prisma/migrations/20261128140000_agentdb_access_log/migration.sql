-- The access log: who did what, when, to which rows and with what outcome; never what the rows say.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.
--
-- An entry is written with what it tells of and, a moment later, chained to the one before it, by `access_log_chain`: digest is
-- the SHA-256 of the entry, chain that of the chain before, the position and the digest. Not by a trigger when it is written:
-- chaining takes a lock, for which nobody's transaction shall wait, nor keep it. No foreign key: it outlives what it tells of.

-- pg_temp comes last, by name, for the function below keeps this path: no temporary table may stand in the place of one of ours.
SELECT set_config('search_path', concat_ws(', ', quote_ident(current_schema()), 'pg_temp'), true);


CREATE TABLE access_log (
    organization_id text NOT NULL,
    id              uuid NOT NULL,
    at              timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    agent_id        text,
    user_name       text,
    operation       text NOT NULL,
    table_names     text[] NOT NULL DEFAULT '{}',
    row_ids         text[] NOT NULL DEFAULT '{}',
    row_count       bigint,
    duration_ms     double precision,
    outcome         text NOT NULL,
    position        bigint,
    digest          bytea,
    chain           bytea,

    CONSTRAINT access_log_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT access_log_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT access_log_at_check CHECK (isfinite(at)),
    CONSTRAINT access_log_agent_id_check CHECK (char_length(agent_id) BETWEEN 1 AND 255),
    CONSTRAINT access_log_user_name_check CHECK (char_length(user_name) BETWEEN 1 AND 255),
    CONSTRAINT access_log_operation_check CHECK (char_length(operation) BETWEEN 1 AND 255),
    CONSTRAINT access_log_row_ids_check CHECK (cardinality(row_ids) <= 20),
    CONSTRAINT access_log_row_count_check CHECK (row_count >= 0),
    CONSTRAINT access_log_duration_ms_check CHECK (duration_ms >= 0 AND duration_ms < 'Infinity'),
    CONSTRAINT access_log_outcome_check CHECK (char_length(outcome) BETWEEN 1 AND 255),
    CONSTRAINT access_log_chain_check CHECK (
        position IS NULL AND digest IS NULL AND chain IS NULL
        OR position >= 1 AND digest IS NOT NULL AND octet_length(digest) = 32 AND chain IS NOT NULL AND octet_length(chain) = 32
    )
);

CREATE INDEX access_log_organization_id_at_idx ON access_log (organization_id, at DESC);
-- No two entries have one place.
CREATE UNIQUE INDEX access_log_position_key ON access_log (organization_id, position) WHERE position IS NOT NULL;
-- What is to be chained.
CREATE INDEX access_log_unchained_idx ON access_log (organization_id, id) WHERE position IS NULL;


-- The SHA-256 of an entry's canonical form, which is a JSON array. agentdb.security.access_log has the same.
CREATE FUNCTION access_log_digest(entry access_log) RETURNS bytea LANGUAGE sql STABLE
RETURN sha256(convert_to(jsonb_build_array(
    'agentdb access log 1', entry.organization_id, entry.id, (extract(epoch FROM entry.at) * 1000000)::bigint,
    entry.agent_id, entry.user_name, entry.operation, entry.table_names, entry.row_ids, entry.row_count,
    encode(float8send(entry.duration_ms), 'hex'), entry.outcome
)::text, 'UTF8'));

-- Chain at most *most* entries that are not chained yet, in the order of their ids, and return how many there were and where the
-- chain ends. No row when somebody else is chaining: it waits for nobody, and so is in no deadlock.
--
-- Runs as the owner of the table, for the application may change no entry. It keeps to the organization that the connection's
-- setting names, as the policy does.
CREATE FUNCTION access_log_chain(organization text, most integer)
RETURNS TABLE (chained integer, "position" bigint, chain bytea)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    entry access_log;
    entry_digest bytea;
    head_position bigint;
    head_chain bytea;
    ids uuid[] := '{}';
    digests bytea[] := '{}';
    chains bytea[] := '{}';
BEGIN
    IF organization IS DISTINCT FROM current_setting('agentdb.organization_id', true) THEN
        RETURN;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('agentdb access log ' || organization, 0)) THEN
        RETURN;
    END IF;
    -- A statement of its own, so that it sees what the last holder of the lock has committed.
    SELECT l.position, l.chain INTO head_position, head_chain FROM access_log AS l
    WHERE l.organization_id = organization AND l.position IS NOT NULL ORDER BY l.position DESC LIMIT 1;
    head_position := coalesce(head_position, 0);
    head_chain := coalesce(head_chain, '');
    FOR entry IN
        SELECT l.* FROM access_log AS l
        WHERE l.organization_id = organization AND l.position IS NULL ORDER BY l.id LIMIT most
    LOOP
        head_position := head_position + 1;
        entry_digest := access_log_digest(entry);
        head_chain := sha256(head_chain || int8send(head_position) || entry_digest);
        ids := ids || entry.id;
        digests := digests || entry_digest;
        chains := chains || head_chain;
    END LOOP;
    UPDATE access_log AS l
    SET position = head_position - cardinality(ids) + e.place, digest = e.digest, chain = e.chain
    FROM unnest(ids, digests, chains) WITH ORDINALITY AS e (id, digest, chain, place)
    WHERE l.organization_id = organization AND l.id = e.id AND l.position IS NULL;
    RETURN QUERY SELECT cardinality(ids), head_position, head_chain;
END
$$;


-- Row-level security, as for the tables before

ALTER TABLE access_log ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON access_log FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));


-- Grants: entries are added and read, nothing else, and nobody chooses their place

GRANT SELECT, INSERT (
    organization_id, id, at, agent_id, user_name, operation, table_names, row_ids, row_count, duration_ms, outcome
) ON access_log TO agentdb_app;

REVOKE EXECUTE ON FUNCTION access_log_chain(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION access_log_chain(text, integer) TO agentdb_app;
