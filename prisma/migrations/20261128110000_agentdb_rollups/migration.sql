-- What reading months of metrics takes: each hour's figures, and which hours have changed since they were made.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

-- pg_temp comes last, by name, for the functions below keep this path: no temporary table may stand in the place of one of ours.
SELECT set_config('search_path', concat_ws(', ', quote_ident(current_schema()), 'pg_temp'), true);


-- Tables

CREATE TABLE agent_metric_rollups (
    organization_id text NOT NULL,
    agent_id        text NOT NULL,
    name            text NOT NULL,
    starts_at       timestamptz(6) NOT NULL,
    unit            text NOT NULL,
    count           bigint NOT NULL,
    avg             double precision NOT NULL,
    min             double precision NOT NULL,
    max             double precision NOT NULL,
    p50             double precision NOT NULL,
    p95             double precision NOT NULL,
    p99             double precision NOT NULL,
    last            double precision NOT NULL,
    last_at         timestamptz(6) NOT NULL,
    bin_keys        integer[] NOT NULL,
    bin_counts      integer[] NOT NULL,
    is_exact        boolean NOT NULL DEFAULT true,
    is_pruned       boolean NOT NULL DEFAULT false,

    CONSTRAINT agent_metric_rollups_pkey PRIMARY KEY (organization_id, agent_id, name, starts_at),
    CONSTRAINT agent_metric_rollups_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_metric_rollups_starts_at_check CHECK (starts_at = date_trunc('hour', starts_at, 'UTC')),
    CONSTRAINT agent_metric_rollups_count_check CHECK (count >= 1),
    CONSTRAINT agent_metric_rollups_bin_counts_check CHECK (cardinality(bin_counts) = cardinality(bin_keys)),
    CONSTRAINT agent_metric_rollups_is_exact_check CHECK (is_exact OR is_pruned)
);

-- One row for each transaction that changed points of an hour after it had ended. Not a mark on the rollup's row: two
-- transactions would wait for each other there, and in one that brings many such points each would be a new version of the row.
CREATE TABLE agent_metric_late_hours (
    organization_id text NOT NULL,
    agent_id        text NOT NULL,
    name            text NOT NULL,
    starts_at       timestamptz(6) NOT NULL,
    transaction_id  bigint NOT NULL,

    CONSTRAINT agent_metric_late_hours_pkey PRIMARY KEY (organization_id, agent_id, name, starts_at, transaction_id),
    CONSTRAINT agent_metric_late_hours_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255)
);

-- What retention looks for: hours whose points are still there.
CREATE INDEX agent_metric_rollups_kept_idx ON agent_metric_rollups (organization_id, starts_at) WHERE NOT is_pruned;

ALTER TABLE agent_metric_rollups
    ADD CONSTRAINT agent_metric_rollups_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE agent_metric_late_hours
    ADD CONSTRAINT agent_metric_late_hours_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE;


-- Late points: whoever writes them, the hour is noted, to be rolled up again. A point of the running hour, or of one to come,
-- costs a comparison and no more.
--
-- The agent may be gone: it is being deleted, and its points with it.

CREATE FUNCTION agent_metrics_note_late() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO agent_metric_late_hours (organization_id, agent_id, name, starts_at, transaction_id)
    SELECT NEW.organization_id, NEW.agent_id, NEW.name, date_trunc('hour', NEW.recorded_at, 'UTC'),
        pg_current_xact_id()::text::bigint
    WHERE isfinite(NEW.recorded_at)
    ON CONFLICT DO NOTHING;
    IF TG_OP = 'UPDATE' AND isfinite(OLD.recorded_at) THEN
        INSERT INTO agent_metric_late_hours (organization_id, agent_id, name, starts_at, transaction_id)
        SELECT OLD.organization_id, OLD.agent_id, OLD.name, date_trunc('hour', OLD.recorded_at, 'UTC'),
            pg_current_xact_id()::text::bigint
        WHERE EXISTS (SELECT FROM agents AS a WHERE a.organization_id = OLD.organization_id AND a.id = OLD.agent_id)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

-- Per statement, for retention and deleting an agent take many points at once. An hour whose points retention deletes keeps its
-- figures.
CREATE FUNCTION agent_metrics_note_deleted() RETURNS trigger LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    INSERT INTO agent_metric_late_hours (organization_id, agent_id, name, starts_at, transaction_id)
    SELECT d.organization_id, d.agent_id, d.name, d.starts_at, pg_current_xact_id()::text::bigint
    FROM (
        SELECT DISTINCT organization_id, agent_id, name, date_trunc('hour', recorded_at, 'UTC') AS starts_at FROM deleted
        WHERE isfinite(recorded_at) AND recorded_at < date_trunc('hour', clock_timestamp(), 'UTC')
    ) AS d
    WHERE EXISTS (SELECT FROM agents AS a WHERE a.organization_id = d.organization_id AND a.id = d.agent_id)
        AND NOT EXISTS (
            SELECT FROM agent_metric_rollups AS r
            WHERE r.organization_id = d.organization_id AND r.agent_id = d.agent_id AND r.name = d.name
                AND r.starts_at = d.starts_at AND r.is_pruned
        )
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER agent_metrics_late_insert AFTER INSERT ON agent_metrics
    FOR EACH ROW WHEN (NEW.recorded_at < date_trunc('hour', clock_timestamp(), 'UTC'))
    EXECUTE FUNCTION agent_metrics_note_late();

CREATE TRIGGER agent_metrics_late_update AFTER UPDATE ON agent_metrics
    FOR EACH ROW WHEN (
        least(OLD.recorded_at, NEW.recorded_at) < date_trunc('hour', clock_timestamp(), 'UTC')
        AND (OLD.organization_id, OLD.agent_id, OLD.name, OLD.recorded_at, OLD.value, OLD.unit)
            IS DISTINCT FROM (NEW.organization_id, NEW.agent_id, NEW.name, NEW.recorded_at, NEW.value, NEW.unit)
    )
    EXECUTE FUNCTION agent_metrics_note_late();

CREATE TRIGGER agent_metrics_late_delete AFTER DELETE ON agent_metrics
    REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT
    EXECUTE FUNCTION agent_metrics_note_deleted();


-- Row-level security and grants, as for the tables of the first migration

ALTER TABLE agent_metric_rollups ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_metric_late_hours ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON agent_metric_rollups FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON agent_metric_late_hours FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

GRANT SELECT, INSERT, UPDATE, DELETE ON agent_metric_rollups, agent_metric_late_hours TO agentdb_app;
