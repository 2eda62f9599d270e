-- What an agent's work leaves behind: the trail of an execution, versions of tools, prices of models.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.


-- Executions

ALTER TABLE agent_executions
    -- what sort of task it is, for comparing like with like
    ADD COLUMN kind text,
    -- what was chosen for it: prompt variant, temperature, …
    ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT agent_executions_kind_check CHECK (char_length(kind) BETWEEN 1 AND 100),
    ADD CONSTRAINT agent_executions_settings_check CHECK (jsonb_typeof(settings) = 'object');

-- The newest of the whole organization.
CREATE INDEX agent_executions_organization_id_started_at_idx ON agent_executions (organization_id, started_at DESC);


-- Tools

ALTER TABLE agent_tools
    -- whether it is a method of its owner: then it is deprecated once the method is gone
    ADD COLUMN is_method boolean NOT NULL DEFAULT false;

CREATE TABLE agent_tool_versions (
    organization_id text NOT NULL,
    tool_id         uuid NOT NULL,
    version         integer NOT NULL,
    description     text NOT NULL DEFAULT '',
    parameters      jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT agent_tool_versions_pkey PRIMARY KEY (organization_id, tool_id, version),
    CONSTRAINT agent_tool_versions_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_tool_versions_version_check CHECK (version >= 1),
    CONSTRAINT agent_tool_versions_parameters_check CHECK (jsonb_typeof(parameters) = 'object'),
    CONSTRAINT agent_tool_versions_organization_id_tool_id_fkey FOREIGN KEY (organization_id, tool_id)
        REFERENCES agent_tools (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE
);

INSERT INTO agent_tool_versions (organization_id, tool_id, version, description, parameters, created_at)
SELECT organization_id, id, version, description, parameters, updated_at FROM agent_tools;


-- Steps: what happened in an execution, and calls of tools outside of one. A step is never changed.

CREATE TABLE agent_steps (
    organization_id text NOT NULL,
    id              uuid NOT NULL,
    agent_id        text NOT NULL,
    execution_id    uuid,
    kind            text NOT NULL,
    name            text NOT NULL,
    tool_id         uuid,
    tool_version    integer,
    success         boolean,
    duration_ms     double precision,
    message         text,
    error_type      text,
    data            jsonb NOT NULL DEFAULT '{}',
    at              timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT agent_steps_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT agent_steps_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_steps_kind_check CHECK (kind IN ('attempt', 'log', 'memory', 'tool')),
    CONSTRAINT agent_steps_name_check CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT agent_steps_tool_check CHECK (
        (kind = 'tool') = (tool_id IS NOT NULL) AND (kind <> 'tool' OR success IS NOT NULL AND duration_ms IS NOT NULL)
    ),
    CONSTRAINT agent_steps_duration_ms_check CHECK (duration_ms >= 0 AND duration_ms < 'Infinity'),
    CONSTRAINT agent_steps_data_check CHECK (jsonb_typeof(data) = 'object'),
    CONSTRAINT agent_steps_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT agent_steps_organization_id_execution_id_fkey FOREIGN KEY (organization_id, execution_id)
        REFERENCES agent_executions (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT agent_steps_organization_id_tool_id_fkey FOREIGN KEY (organization_id, tool_id)
        REFERENCES agent_tools (organization_id, id) ON DELETE NO ACTION ON UPDATE NO ACTION
);

CREATE INDEX agent_steps_organization_id_execution_id_id_idx ON agent_steps (organization_id, execution_id, id);
CREATE INDEX agent_steps_organization_id_tool_id_at_idx ON agent_steps (organization_id, tool_id, at);
CREATE INDEX agent_steps_organization_id_agent_id_at_idx ON agent_steps (organization_id, agent_id, at);


-- Prices of language models, in US dollars for a million tokens. What an organization sets here goes before the list that
-- comes with the client.

CREATE TABLE model_prices (
    organization_id text NOT NULL,
    model           text NOT NULL,
    valid_from      timestamptz(6) NOT NULL,
    input           decimal(20, 10),
    cached_input    decimal(20, 10),
    cache_write     decimal(20, 10),
    output          decimal(20, 10),
    created_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT model_prices_pkey PRIMARY KEY (organization_id, model, valid_from),
    CONSTRAINT model_prices_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT model_prices_model_check CHECK (char_length(model) BETWEEN 1 AND 255),
    CONSTRAINT model_prices_input_check CHECK (input >= 0 AND input <> 'NaN'),
    CONSTRAINT model_prices_cached_input_check CHECK (cached_input >= 0 AND cached_input <> 'NaN'),
    CONSTRAINT model_prices_cache_write_check CHECK (cache_write >= 0 AND cache_write <> 'NaN'),
    CONSTRAINT model_prices_output_check CHECK (output >= 0 AND output <> 'NaN')
);


-- Row-level security, as for the tables before

ALTER TABLE agent_tool_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_prices ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON agent_tool_versions FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON agent_steps FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON model_prices FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

-- The trail of an execution goes with the execution and not before; calls of tools outside of one may be cleared away.
CREATE POLICY trail_is_kept ON agent_steps AS RESTRICTIVE FOR DELETE TO agentdb_app USING (execution_id IS NULL);


-- Grants: what has happened is not changed

GRANT SELECT, INSERT ON agent_tool_versions TO agentdb_app;
GRANT SELECT, INSERT, DELETE ON agent_steps TO agentdb_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON model_prices TO agentdb_app;
