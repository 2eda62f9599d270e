-- The access log: who did what, when, to which rows and with what outcome; never what the rows say.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.
--
-- An entry is written with what it tells of, and digest, the SHA-256 of it, with the entry, by a trigger. A moment later it is
-- chained to the one before it, by `access_log_chain`: chain is the SHA-256 of the chain before, the position and the digest. Not
-- when it is written: chaining takes a lock, for which nobody's transaction shall wait, nor keep it.
--
-- No foreign key: it outlives what it tells of. No checks: a statement with an entry took 40 us longer with ten of them, for the
-- server reads each one anew for every statement. What holds no entry of ours can be added by the application alone, to its own.

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
    digest          bytea NOT NULL,
    chain           bytea,

    CONSTRAINT access_log_pkey PRIMARY KEY (organization_id, id)
);

CREATE INDEX access_log_organization_id_at_idx ON access_log (organization_id, at DESC);
-- No two entries have one place.
CREATE UNIQUE INDEX access_log_position_key ON access_log (organization_id, position) WHERE position IS NOT NULL;
-- What is to be chained.
CREATE INDEX access_log_unchained_idx ON access_log (organization_id, id) WHERE position IS NULL;


-- The SHA-256 of an entry's canonical form, which is a JSON array. agentdb.security.access_log has the same.
CREATE FUNCTION access_log_set_digest() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    NEW.digest := sha256(convert_to(jsonb_build_array(
        'agentdb access log 1', NEW.organization_id, NEW.id, (extract(epoch FROM NEW.at) * 1000000)::bigint,
        NEW.agent_id, NEW.user_name, NEW.operation, NEW.table_names, NEW.row_ids, NEW.row_count,
        encode(float8send(NEW.duration_ms), 'hex'), NEW.outcome
    )::text, 'UTF8'));
    RETURN NEW;
END
$$;

-- Whatever whoever inserts says.
CREATE TRIGGER access_log_set_digest BEFORE INSERT ON access_log FOR EACH ROW EXECUTE FUNCTION access_log_set_digest();

-- Chain at most *most* entries that are not chained yet, in the order of their ids, and return how many there were and where the
-- chain ends. No row when somebody else is chaining: it waits for nobody, and so is in no deadlock. No row either in a transaction
-- that does not see what others have committed meanwhile: it would give their places again.
--
-- An entry is chained by the digest that it was written with, so that an edit before does not pass for the original.
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
    entry_id uuid;
    entry_digest bytea;
    head_position bigint;
    head_chain bytea;
    ids uuid[] := '{}';
    chains bytea[] := '{}';
BEGIN
    IF organization IS DISTINCT FROM current_setting('agentdb.organization_id', true)
        OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')
    THEN
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
    FOR entry_id, entry_digest IN
        SELECT l.id, l.digest FROM access_log AS l
        WHERE l.organization_id = organization AND l.position IS NULL ORDER BY l.id LIMIT most
    LOOP
        head_position := head_position + 1;
        head_chain := sha256(head_chain || int8send(head_position) || entry_digest);
        ids := ids || entry_id;
        chains := chains || head_chain;
    END LOOP;
    IF cardinality(ids) > 0 THEN
        UPDATE access_log AS l
        SET position = head_position - cardinality(ids) + e.place, chain = e.chain
        FROM unnest(ids, chains) WITH ORDINALITY AS e (id, chain, place)
        WHERE l.organization_id = organization AND l.id = e.id AND l.position IS NULL;
    END IF;
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
