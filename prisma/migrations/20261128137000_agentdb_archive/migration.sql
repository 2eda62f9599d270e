-- Moving whole organizations.
--
-- Runs whole, in one transaction, in the schema that the connection's search_path names first.

ALTER TABLE agent_executions
    -- An import may meet an execution before the one that started it.
    ALTER CONSTRAINT agent_executions_organization_id_parent_id_fkey DEFERRABLE INITIALLY IMMEDIATE;
