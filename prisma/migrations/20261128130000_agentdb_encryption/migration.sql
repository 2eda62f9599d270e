-- Encryption at rest: where a sealed text stands in place of a plain one. The keys are the client's; the database sees none.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

ALTER TABLE agent_memories
    -- content and metadata, sealed; they are empty then
    ADD COLUMN sealed bytea,
    -- keyed hashes of the metadata's keys and values, for looking up equal ones
    ADD COLUMN lookups bytea[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT agent_memories_sealed_check CHECK (
        sealed IS NULL AND lookups = '{}' OR sealed IS NOT NULL AND sensitive AND content = '' AND metadata = '{}'
    );

ALTER TABLE agent_executions
    ADD COLUMN sealed_task bytea,
    -- result, error and traceback
    ADD COLUMN sealed_result bytea,
    ADD CONSTRAINT agent_executions_sealed_task_check CHECK (sealed_task IS NULL OR task = 'null'),
    ADD CONSTRAINT agent_executions_sealed_result_check CHECK (
        sealed_result IS NULL OR result IS NULL AND error IS NULL AND traceback IS NULL
    );

ALTER TABLE agent_steps
    -- message and data
    ADD COLUMN sealed bytea,
    ADD CONSTRAINT agent_steps_sealed_check CHECK (sealed IS NULL OR message IS NULL AND data = '{}');

ALTER TABLE agent_tools
    -- the parameters
    ADD COLUMN sealed bytea,
    -- their keyed hash, for telling whether they have changed
    ADD COLUMN lookup bytea,
    ADD CONSTRAINT agent_tools_sealed_check CHECK (
        sealed IS NULL AND lookup IS NULL OR sealed IS NOT NULL AND lookup IS NOT NULL AND parameters = '{}'
    );

ALTER TABLE agent_tool_versions
    ADD COLUMN sealed bytea,
    ADD CONSTRAINT agent_tool_versions_sealed_check CHECK (sealed IS NULL OR parameters = '{}');

-- What a change of keys goes through.
CREATE INDEX agent_memories_sealed_idx ON agent_memories (organization_id, id) WHERE sealed IS NOT NULL;
CREATE INDEX agent_executions_sealed_idx ON agent_executions (organization_id, id)
    WHERE sealed_task IS NOT NULL OR sealed_result IS NOT NULL;
CREATE INDEX agent_steps_sealed_idx ON agent_steps (organization_id, id) WHERE sealed IS NOT NULL;
