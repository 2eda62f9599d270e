-- The tables of schema.prisma, and what Prisma's language cannot say: CHECKs, partial indexes, row-level security, grants.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

-- What belongs to more than this schema: the extension pgvector, which is the database's, and agentdb_app, the role that
-- applications act as, which is the server's. Who owns the schema need not be allowed to make them; then the error says
-- what an administrator has to run. Applications log in as a member of agentdb_app, or as agentdb_app itself.
DO $$
DECLARE
    needed text[] := '{}';
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS vector;
    EXCEPTION WHEN insufficient_privilege THEN
        needed := needed || text 'CREATE EXTENSION vector;';
    END;
    BEGIN
        IF to_regrole('agentdb_app') IS NULL THEN
            CREATE ROLE agentdb_app NOLOGIN;
        END IF;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN
            NULL; -- a migration of another database made it at this moment
        WHEN insufficient_privilege THEN
            needed := needed || text 'CREATE ROLE agentdb_app NOLOGIN; GRANT agentdb_app TO <login role of the application>;';
    END;
    IF cardinality(needed) > 0 THEN
        RAISE EXCEPTION 'an administrator has to prepare the database %: %', current_database(), array_to_string(needed, ' ')
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('Run this in %I as a superuser, then migrate again: %s', current_database(), array_to_string(needed, ' '));
    END IF;
END
$$;

-- `?schema=x` leaves only x in the search path, and the extension may be in another schema.
SELECT set_config('search_path', format('%I, %I', current_schema(), nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';


-- Types

CREATE TYPE agent_category AS ENUM ('STRATEGIC', 'OPERATIONAL', 'SUPPORT');
CREATE TYPE agent_status AS ENUM ('active', 'inactive');
CREATE TYPE memory_visibility AS ENUM ('agent', 'organization');
CREATE TYPE tool_status AS ENUM ('active', 'deprecated');
CREATE TYPE execution_status AS ENUM ('running', 'completed', 'failed', 'cancelled', 'abandoned');
CREATE TYPE pattern_scope AS ENUM ('agent', 'organization');
CREATE TYPE pattern_status AS ENUM ('active', 'quarantined', 'retired');


-- Tables. In PostgreSQL NaN is greater than every number, so an upper bound keeps it out and a lower bound does not.

CREATE TABLE agents (
    organization_id text NOT NULL,
    id              text NOT NULL,
    name            text NOT NULL,
    version         text NOT NULL DEFAULT '1.0.0',
    category        agent_category NOT NULL,
    description     text NOT NULL DEFAULT '',
    capabilities    text[] NOT NULL DEFAULT ARRAY[]::text[],
    data_sources    text[] NOT NULL DEFAULT ARRAY[]::text[],
    metadata        jsonb NOT NULL DEFAULT '{}',
    status          agent_status NOT NULL DEFAULT 'active',
    created_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_seen_at    timestamptz(6),

    CONSTRAINT agents_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT agents_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agents_id_check CHECK (char_length(id) BETWEEN 1 AND 255),
    CONSTRAINT agents_name_check CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT agents_version_check CHECK (char_length(version) BETWEEN 1 AND 100),
    CONSTRAINT agents_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE TABLE agent_memories (
    organization_id  text NOT NULL,
    id               uuid NOT NULL,
    agent_id         text NOT NULL,
    content          text NOT NULL,
    content_hash     bytea NOT NULL,
    metadata         jsonb NOT NULL DEFAULT '{}',
    importance       double precision NOT NULL DEFAULT 0.5,
    memory_type      text NOT NULL DEFAULT 'general',
    visibility       memory_visibility NOT NULL DEFAULT 'agent',
    sensitive        boolean NOT NULL DEFAULT false,
    pinned           boolean NOT NULL DEFAULT false,
    embedding        vector,
    embedding_model  text,
    -- a tsvector holds 1 MB; a longer text is searchable by its beginning
    content_tsv      tsvector GENERATED ALWAYS AS (to_tsvector('english'::regconfig, left(content, 200000))) STORED,
    execution_id     uuid,
    store_count      integer NOT NULL DEFAULT 1,
    access_count     integer NOT NULL DEFAULT 0,
    last_accessed_at timestamptz(6),
    occurred_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at       timestamptz(6),
    superseded_by_id uuid,
    superseded_at    timestamptz(6),
    created_at       timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at       timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT agent_memories_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT agent_memories_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_memories_content_hash_check CHECK (octet_length(content_hash) = 32),
    CONSTRAINT agent_memories_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT agent_memories_importance_check CHECK (importance BETWEEN 0 AND 1),
    CONSTRAINT agent_memories_memory_type_check CHECK (char_length(memory_type) BETWEEN 1 AND 100),
    -- the type itself sees to 1 to 16,000 finite numbers; all zero has no direction to compare
    CONSTRAINT agent_memories_embedding_check CHECK (vector_norm(embedding) > 0),
    CONSTRAINT agent_memories_embedding_model_check CHECK (char_length(embedding_model) BETWEEN 1 AND 255),
    CONSTRAINT agent_memories_embedding_has_model_check CHECK (embedding IS NULL OR embedding_model IS NOT NULL),
    CONSTRAINT agent_memories_store_count_check CHECK (store_count >= 1),
    CONSTRAINT agent_memories_access_count_check CHECK (access_count >= 0),
    CONSTRAINT agent_memories_superseded_check CHECK ((superseded_at IS NULL) = (superseded_by_id IS NULL)),
    CONSTRAINT agent_memories_superseded_by_id_check CHECK (superseded_by_id <> id)
);

CREATE TABLE agent_tools (
    organization_id   text NOT NULL,
    id                uuid NOT NULL,
    name              text NOT NULL,
    version           integer NOT NULL DEFAULT 1,
    description       text NOT NULL DEFAULT '',
    parameters        jsonb NOT NULL DEFAULT '{}',
    status            tool_status NOT NULL DEFAULT 'active',
    owner_agent_id    text,
    call_count        bigint NOT NULL DEFAULT 0,
    success_count     bigint NOT NULL DEFAULT 0,
    total_duration_ms double precision NOT NULL DEFAULT 0,
    last_used_at      timestamptz(6),
    created_at        timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at        timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT agent_tools_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT agent_tools_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_tools_name_check CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT agent_tools_version_check CHECK (version >= 1),
    CONSTRAINT agent_tools_parameters_check CHECK (jsonb_typeof(parameters) = 'object'),
    CONSTRAINT agent_tools_success_count_check CHECK (success_count BETWEEN 0 AND call_count),
    CONSTRAINT agent_tools_total_duration_ms_check CHECK (total_duration_ms >= 0 AND total_duration_ms < 'Infinity')
);

CREATE TABLE agent_executions (
    organization_id     text NOT NULL,
    id                  uuid NOT NULL,
    agent_id            text NOT NULL,
    parent_id           uuid,
    task                jsonb NOT NULL,
    result              jsonb,
    status              execution_status NOT NULL DEFAULT 'running',
    error               text,
    error_type          text,
    traceback           text,
    model               text,
    input_tokens        bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    cache_write_tokens  bigint NOT NULL DEFAULT 0,
    output_tokens       bigint NOT NULL DEFAULT 0,
    reasoning_tokens    bigint NOT NULL DEFAULT 0,
    cost                decimal(20, 10),
    started_at          timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    heartbeat_at        timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    finished_at         timestamptz(6),

    CONSTRAINT agent_executions_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT agent_executions_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_executions_parent_id_check CHECK (parent_id <> id),
    CONSTRAINT agent_executions_input_tokens_check CHECK (input_tokens >= 0),
    CONSTRAINT agent_executions_cached_input_tokens_check CHECK (cached_input_tokens >= 0),
    CONSTRAINT agent_executions_cache_write_tokens_check CHECK (cache_write_tokens >= 0),
    CONSTRAINT agent_executions_output_tokens_check CHECK (output_tokens >= 0),
    CONSTRAINT agent_executions_reasoning_tokens_check CHECK (reasoning_tokens BETWEEN 0 AND output_tokens),
    CONSTRAINT agent_executions_cost_check CHECK (cost >= 0 AND cost <> 'NaN'),
    -- not finished_at >= started_at: the two may come from clocks that differ
    CONSTRAINT agent_executions_finished_at_check CHECK ((status = 'running') = (finished_at IS NULL))
);

CREATE TABLE agent_metrics (
    organization_id text NOT NULL,
    id              uuid NOT NULL,
    agent_id        text NOT NULL,
    name            text NOT NULL,
    value           double precision NOT NULL,
    unit            text NOT NULL DEFAULT '',
    labels          jsonb NOT NULL DEFAULT '{}',
    recorded_at     timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT agent_metrics_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT agent_metrics_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT agent_metrics_name_check CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT agent_metrics_value_check CHECK (value > '-Infinity' AND value < 'Infinity'),
    CONSTRAINT agent_metrics_unit_check CHECK (char_length(unit) <= 100),
    CONSTRAINT agent_metrics_labels_check CHECK (jsonb_typeof(labels) = 'object')
);

CREATE TABLE learning_patterns (
    organization_id text NOT NULL,
    id              uuid NOT NULL,
    agent_id        text NOT NULL,
    pattern_type    text NOT NULL,
    name            text NOT NULL DEFAULT '',
    content         jsonb NOT NULL,
    trials          bigint NOT NULL DEFAULT 0,
    successes       bigint NOT NULL DEFAULT 0,
    scope           pattern_scope NOT NULL DEFAULT 'agent',
    status          pattern_status NOT NULL DEFAULT 'active',
    created_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at      timestamptz(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT learning_patterns_pkey PRIMARY KEY (organization_id, id),
    CONSTRAINT learning_patterns_organization_id_check CHECK (char_length(organization_id) BETWEEN 1 AND 255),
    CONSTRAINT learning_patterns_pattern_type_check CHECK (char_length(pattern_type) BETWEEN 1 AND 100),
    CONSTRAINT learning_patterns_name_check CHECK (char_length(name) <= 255),
    CONSTRAINT learning_patterns_successes_check CHECK (successes BETWEEN 0 AND trials)
);


-- Indexes that schema.prisma names

CREATE UNIQUE INDEX agents_organization_id_name_key ON agents (organization_id, name);
CREATE INDEX agent_memories_organization_id_agent_id_created_at_idx ON agent_memories (organization_id, agent_id, created_at DESC);
CREATE INDEX agent_memories_organization_id_agent_id_importance_idx ON agent_memories (organization_id, agent_id, importance DESC);
CREATE INDEX agent_tools_organization_id_owner_agent_id_idx ON agent_tools (organization_id, owner_agent_id);
CREATE UNIQUE INDEX agent_tools_organization_id_name_key ON agent_tools (organization_id, name);
CREATE INDEX agent_executions_organization_id_agent_id_started_at_idx ON agent_executions (organization_id, agent_id, started_at DESC);
CREATE INDEX agent_executions_organization_id_parent_id_idx ON agent_executions (organization_id, parent_id);
CREATE INDEX agent_metrics_organization_id_agent_id_name_recorded_at_val_idx ON agent_metrics (organization_id, agent_id, name, recorded_at, value);
CREATE INDEX learning_patterns_organization_id_agent_id_pattern_type_idx ON learning_patterns (organization_id, agent_id, pattern_type);


-- Partial indexes, which schema.prisma cannot name

-- A living memory is stored once; a superseded one may come back.
CREATE UNIQUE INDEX agent_memories_living_content_key ON agent_memories (organization_id, agent_id, content_hash) WHERE superseded_at IS NULL;
-- Memories that agents share, newest first.
CREATE INDEX agent_memories_shared_idx ON agent_memories (organization_id, created_at DESC) WHERE visibility = 'organization';
-- What a sweep looks for: memories to expire, executions that no longer report.
CREATE INDEX agent_memories_expires_at_idx ON agent_memories (organization_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX agent_executions_running_idx ON agent_executions (organization_id, heartbeat_at) WHERE status = 'running';
-- Deleting a memory looks for those that it supersedes.
CREATE INDEX agent_memories_superseded_by_id_idx ON agent_memories (organization_id, superseded_by_id) WHERE superseded_by_id IS NOT NULL;


-- Foreign keys. Each starts with organization_id, so no row refers to another organization's. NO ACTION is checked at the
-- end of a statement, so that deleting an agent may take rows that refer to each other.

ALTER TABLE agent_memories
    ADD CONSTRAINT agent_memories_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE,
    ADD CONSTRAINT agent_memories_organization_id_superseded_by_id_fkey FOREIGN KEY (organization_id, superseded_by_id)
        REFERENCES agent_memories (organization_id, id) ON DELETE NO ACTION ON UPDATE NO ACTION;

ALTER TABLE agent_tools
    ADD CONSTRAINT agent_tools_organization_id_owner_agent_id_fkey FOREIGN KEY (organization_id, owner_agent_id)
        REFERENCES agents (organization_id, id) ON DELETE NO ACTION ON UPDATE NO ACTION;

ALTER TABLE agent_executions
    ADD CONSTRAINT agent_executions_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE,
    ADD CONSTRAINT agent_executions_organization_id_parent_id_fkey FOREIGN KEY (organization_id, parent_id)
        REFERENCES agent_executions (organization_id, id) ON DELETE NO ACTION ON UPDATE NO ACTION;

ALTER TABLE agent_metrics
    ADD CONSTRAINT agent_metrics_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE learning_patterns
    ADD CONSTRAINT learning_patterns_organization_id_agent_id_fkey FOREIGN KEY (organization_id, agent_id)
        REFERENCES agents (organization_id, id) ON DELETE CASCADE ON UPDATE CASCADE;


-- Row-level security: agentdb_app and its members see and write the rows of the organization that the connection's
-- setting names, and none when it names none. The owner of the tables is not bound (no FORCE): the admin application's role.

ALTER TABLE agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_memories ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_tools ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_executions ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE learning_patterns ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_isolation ON agents FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON agent_memories FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON agent_tools FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON agent_executions FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON agent_metrics FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));

CREATE POLICY tenant_isolation ON learning_patterns FOR ALL TO agentdb_app
    USING (organization_id = current_setting('agentdb.organization_id', true))
    WITH CHECK (organization_id = current_setting('agentdb.organization_id', true));


-- Grants

GRANT SELECT, INSERT, UPDATE, DELETE
    ON agents, agent_memories, agent_tools, agent_executions, agent_metrics, learning_patterns
    TO agentdb_app;

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO agentdb_app', current_schema());
    -- The client compares the version of the database with its own. The table is there when a migration tool runs this.
    IF to_regclass('_prisma_migrations') IS NOT NULL THEN
        GRANT SELECT ON _prisma_migrations TO agentdb_app;
    END IF;
END
$$;
