-- What learning takes: an outcome as a row, what is known of a pattern beforehand, evidence that fades, and what was
-- done to a pattern.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.


-- Patterns

ALTER TABLE learning_patterns
    -- what was known before the first trial, and how many trials that is worth; it shapes choices and is no evidence
    ADD COLUMN prior double precision,
    ADD COLUMN prior_weight double precision NOT NULL DEFAULT 0,
    -- evidence that fades: what was counted at decayed_at, of which half is left a half-life later
    ADD COLUMN half_life_days double precision,
    ADD COLUMN decayed_trials double precision NOT NULL DEFAULT 0,
    ADD COLUMN decayed_successes double precision NOT NULL DEFAULT 0,
    ADD COLUMN decayed_at timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    ADD CONSTRAINT learning_patterns_prior_check CHECK (prior BETWEEN 0 AND 1),
    ADD CONSTRAINT learning_patterns_prior_weight_check CHECK (
        prior_weight BETWEEN 0 AND 1e6 AND (prior IS NOT NULL OR prior_weight = 0)
    ),
    ADD CONSTRAINT learning_patterns_half_life_days_check CHECK (half_life_days BETWEEN 0.001 AND 36500),
    ADD CONSTRAINT learning_patterns_decayed_successes_check CHECK (
        decayed_successes >= 0 AND decayed_successes <= decayed_trials AND decayed_trials < 'Infinity'
    ),
    -- Counting a trial changes no indexed column: with some room on its page, no index has to hear of it.
    SET (fillfactor = 70);

-- A name stands for one pattern of an agent and type. Of those that share a name already, the oldest keeps it.
UPDATE learning_patterns AS later SET name = left(later.name, 218) || ' ' || later.id
WHERE later.name <> '' AND EXISTS (
    SELECT FROM learning_patterns AS earlier
    WHERE (earlier.organization_id, earlier.agent_id, earlier.pattern_type, earlier.name)
        = (later.organization_id, later.agent_id, later.pattern_type, later.name)
        AND (earlier.created_at, earlier.id) < (later.created_at, later.id)
);
CREATE UNIQUE INDEX learning_patterns_name_key ON learning_patterns (organization_id, agent_id, pattern_type, name)
    WHERE name <> '';
-- Patterns that agents share. The planner knows nothing of an enum's values under row-level security; as the predicate
-- of an index it needs not.
CREATE INDEX learning_patterns_shared_idx ON learning_patterns (organization_id, pattern_type)
    WHERE scope = 'organization';


-- Outcomes: the evidence, a row for each trial

CREATE TABLE learning_outcomes (
    organization_id text NOT NULL,
    id              uuid NOT NULL,
    pattern_id      uuid NOT NULL,
    success         boolean NOT NULL,
    -- the execution in which it was tried
    execution_id    uuid,
    at              timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT learning_outcomes_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT learning_outcomes_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT learning_outcomes_organization_id_pattern_id_fkey FOREIGN KEY (organization_id, pattern_id)
        REFERENCES learning_patterns (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE INDEX learning_outcomes_organization_id_pattern_id_at_idx ON learning_outcomes (organization_id, pattern_id, at);


-- Changes: what was done to a pattern, why, and by what evidence

CREATE TABLE learning_pattern_changes (
    organization_id text NOT NULL,
    id              uuid NOT NULL,
    pattern_id      uuid NOT NULL,
    change          text NOT NULL,
    reason          text NOT NULL DEFAULT '',
    -- the change that this one undoes
    reverts_id      uuid,
    old_scope       pattern_scope NOT NULL,
    new_scope       pattern_scope NOT NULL,
    old_status      pattern_status NOT NULL,
    new_status      pattern_status NOT NULL,
    -- the evidence at that moment, faded where it fades
    trials          double precision NOT NULL,
    successes       double precision NOT NULL,
    at              timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT learning_pattern_changes_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT learning_pattern_changes_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT learning_pattern_changes_change_check CHECK (
        change IN ('promoted', 'quarantined', 'retired', 'reverted')
    ),
    CONSTRAINT learning_pattern_changes_reverts_id_check CHECK ((change = 'reverted') = (reverts_id IS NOT NULL)),
    CONSTRAINT learning_pattern_changes_successes_check CHECK (
        successes >= 0 AND successes <= trials AND trials < 'Infinity'
    ),
    CONSTRAINT learning_pattern_changes_organization_id_pattern_id_fkey FOREIGN KEY (organization_id, pattern_id)
        REFERENCES learning_patterns (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE INDEX learning_pattern_changes_organization_id_pattern_id_at_idx
    ON learning_pattern_changes (organization_id, pattern_id, at);
-- Two who undo a change at the same moment undo it once.
CREATE UNIQUE INDEX learning_pattern_changes_reverts_id_key ON learning_pattern_changes (organization_id, reverts_id)
    WHERE reverts_id IS NOT NULL;


-- Row-level security, as for the tables before

ALTER TABLE learning_outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE learning_pattern_changes ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON learning_outcomes FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON learning_pattern_changes FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));


-- Grants: what has happened is not changed. Outcomes may be cleared away when they are old; the counters keep what they
-- said.

GRANT SELECT, INSERT, DELETE ON learning_outcomes TO agentdb_app;
GRANT SELECT, INSERT ON learning_pattern_changes TO agentdb_app;
