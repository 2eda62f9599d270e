-- A change of keys: the application may seal what it has written, or seal it anew, where it may change nothing else.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

-- Steps and versions of tools are never changed. Sealing one leaves it a sealed one, so that no plain text becomes another;
-- and what was not sealed with a key of the client's does not open, which is seen when it is read.
GRANT UPDATE (message, data, sealed) ON agent_steps TO agentdb_app;
GRANT UPDATE (parameters, sealed) ON agent_tool_versions TO agentdb_app;

CREATE POLICY only_sealed ON agent_steps AS RESTRICTIVE FOR UPDATE TO agentdb_app
    USING (true) WITH CHECK (sealed IS NOT NULL);
CREATE POLICY only_sealed ON agent_tool_versions AS RESTRICTIVE FOR UPDATE TO agentdb_app
    USING (true) WITH CHECK (sealed IS NOT NULL);
