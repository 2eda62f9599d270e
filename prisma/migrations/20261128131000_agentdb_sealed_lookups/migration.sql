-- Finding sealed memories by their metadata: an index over the keyed hashes of its entries.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

-- pg_temp comes last, by name, for the function below keeps this path: no temporary table may stand in the place of one of ours.
SELECT set_config('search_path', concat_ws(', ', quote_ident(current_schema()), 'pg_temp'), true);

-- The hashes as the JSON list that a jsonpath can be asked of, each as \x and hexadecimal digits whatever the session would write.
CREATE FUNCTION agent_memories_lookup_list(lookups bytea[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET bytea_output = hex
AS $$
BEGIN
    RETURN pg_catalog.to_jsonb(lookups);
END
$$;

CREATE INDEX agent_memories_lookups_idx ON agent_memories USING gin (agent_memories_lookup_list(lookups) jsonb_path_ops)
    WHERE sealed IS NOT NULL;

-- What `agent_memories_by_metadata` is to plain memories: the ids of at most *most* sealed ones whose hashes fit. It runs as the
-- owner of the table, for the same reason and within the same bounds.
CREATE FUNCTION agent_memories_by_lookups(
    organization text, agent text, with_shared boolean, condition jsonpath, most integer
)
RETURNS SETOF uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 500
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF organization IS DISTINCT FROM current_setting('agentdb.organization_id', true) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.id FROM (
        SELECT * FROM agent_memories WHERE sealed IS NOT NULL AND agent_memories_lookup_list(lookups) @@ condition OFFSET 0
    ) AS m
    WHERE m.organization_id = organization
        AND (agent IS NULL OR m.agent_id = agent OR with_shared AND m.is_shared)
    LIMIT most;
END
$$;

REVOKE EXECUTE ON FUNCTION agent_memories_by_lookups(text, text, boolean, jsonpath, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION agent_memories_by_lookups(text, text, boolean, jsonpath, integer) TO agentdb_app;
