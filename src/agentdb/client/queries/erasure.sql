-- fragment: says
-- Whether a JSON document d says at its top that it is about $2: under the key $3 stands that text, a number or truth value
-- written so, or an array that holds it.
(d.value ? $3::text AND EXISTS (
    SELECT FROM jsonb_array_elements(
        CASE jsonb_typeof(d.value -> $3::text) WHEN 'array' THEN d.value -> $3::text ELSE jsonb_build_array(d.value -> $3::text) END
    ) AS element WHERE element #>> '{}' = $2 AND jsonb_typeof(element) IN ('string', 'number', 'boolean')
))

-- fragment: versions
-- The memories of $2 and with each the older versions that it superseded.
WITH RECURSIVE doomed (id) AS (
    SELECT m.id FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
    UNION
    SELECT m.id FROM agent_memories AS m JOIN doomed ON m.superseded_by_id = doomed.id WHERE m.organization_id = $1
)

-- name: lock_agent
-- Keep others from storing anything for an agent: their foreign keys wait for this row.
SELECT a.id FROM agents AS a WHERE a.organization_id = $1 AND a.id = $2 FOR UPDATE

-- name: agent_is_there
-- The agent, if there is one of this id.
SELECT a.id FROM agents AS a WHERE a.organization_id = $1 AND a.id = $2

-- fragment: elsewhere
-- What other agents' memories were superseded by this agent's: nothing that the client stores, but no key forbids it.
WITH RECURSIVE elsewhere (id) AS (
    SELECT m.id FROM agent_memories AS newer JOIN agent_memories AS m ON m.superseded_by_id = newer.id
    WHERE newer.organization_id = $1 AND m.organization_id = $1 AND newer.agent_id = $2 AND m.agent_id <> $2
    UNION
    SELECT m.id FROM agent_memories AS m JOIN elsewhere ON m.superseded_by_id = elsewhere.id
    WHERE m.organization_id = $1 AND m.agent_id <> $2
)

-- name: count_agent
-- How many rows hang on an agent, by table: its own, the steps of others in its executions, and what older versions they had.
{{elsewhere}}
SELECT
    (SELECT count(*) FROM agents AS a WHERE a.organization_id = $1 AND a.id = $2) AS agents,
    (SELECT count(*) FROM agent_memories AS m WHERE m.organization_id = $1 AND m.agent_id = $2)
        + (SELECT count(*) FROM elsewhere) AS agent_memories,
    (SELECT count(*) FROM agent_executions AS x WHERE x.organization_id = $1 AND x.agent_id = $2) AS agent_executions,
    (SELECT count(*) FROM agent_steps AS s WHERE s.organization_id = $1 AND s.agent_id = $2)
        + (SELECT count(*) FROM agent_executions AS x JOIN agent_steps AS s ON s.execution_id = x.id
            WHERE x.organization_id = $1 AND s.organization_id = $1 AND x.agent_id = $2 AND s.agent_id <> $2) AS agent_steps,
    (SELECT count(*) FROM agent_metrics AS m WHERE m.organization_id = $1 AND m.agent_id = $2) AS agent_metrics,
    (SELECT count(*) FROM agent_metric_rollups AS r WHERE r.organization_id = $1 AND r.agent_id = $2) AS agent_metric_rollups,
    (SELECT count(*) FROM agent_metric_late_hours AS l WHERE l.organization_id = $1 AND l.agent_id = $2)
        AS agent_metric_late_hours,
    (SELECT count(*) FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.agent_id = $2) AS learning_patterns,
    (SELECT count(*) FROM learning_patterns AS p JOIN learning_outcomes AS o ON o.pattern_id = p.id
        WHERE p.organization_id = $1 AND o.organization_id = $1 AND p.agent_id = $2) AS learning_outcomes,
    (SELECT count(*) FROM learning_patterns AS p JOIN learning_pattern_changes AS c ON c.pattern_id = p.id
        WHERE p.organization_id = $1 AND c.organization_id = $1 AND p.agent_id = $2) AS learning_pattern_changes

-- name: erase_elsewhere
-- Delete what other agents' memories were superseded by this agent's.
{{elsewhere}}
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM elsewhere)

-- name: lock_agents
-- Keep others from storing anything for any agent.
SELECT a.id FROM agents AS a WHERE a.organization_id = $1 ORDER BY a.id FOR UPDATE

-- name: lock_tools
-- Keep others from calling tools, or storing versions of them.
SELECT t.id FROM agent_tools AS t WHERE t.organization_id = $1 ORDER BY t.id FOR UPDATE

-- name: disown_tools
-- Tools have no owners any more.
UPDATE agent_tools SET owner_agent_id = NULL WHERE organization_id = $1 AND owner_agent_id IS NOT NULL

-- name: erase_agents
-- Delete all agents with everything that hangs on them.
DELETE FROM agents WHERE organization_id = $1

-- name: erase_tools
-- Delete the catalogue of tools with all versions; no step names one any more.
DELETE FROM agent_tools WHERE organization_id = $1

-- name: erase_prices
-- Delete the prices of models.
DELETE FROM model_prices WHERE organization_id = $1

-- name: find_memories
-- Memories whose metadata says that they are about $2.
SELECT m.id::text AS id FROM agent_memories AS m CROSS JOIN LATERAL (SELECT m.metadata AS value) AS d
WHERE m.organization_id = $1 AND {{says}}

-- name: find_executions
-- Executions whose task, settings or result say that they are about $2, or one of whose steps does.
SELECT x.id::text AS id FROM agent_executions AS x CROSS JOIN LATERAL (VALUES (x.task), (x.settings), (x.result)) AS d (value)
WHERE x.organization_id = $1 AND {{says}}
UNION
SELECT s.execution_id::text FROM agent_steps AS s CROSS JOIN LATERAL (SELECT s.data AS value) AS d
WHERE s.organization_id = $1 AND s.execution_id IS NOT NULL AND {{says}}

-- name: find_steps
-- Calls of tools outside of executions whose data says that they are about $2.
SELECT s.id::text AS id FROM agent_steps AS s CROSS JOIN LATERAL (SELECT s.data AS value) AS d
WHERE s.organization_id = $1 AND s.execution_id IS NULL AND {{says}}

-- name: find_metrics
-- Points whose labels say that they are about $2.
SELECT m.id::text AS id FROM agent_metrics AS m CROSS JOIN LATERAL (SELECT m.labels AS value) AS d
WHERE m.organization_id = $1 AND {{says}}

-- name: find_patterns
-- Patterns whose content says that they are about $2.
SELECT p.id::text AS id FROM learning_patterns AS p CROSS JOIN LATERAL (SELECT p.content AS value) AS d
WHERE p.organization_id = $1 AND {{says}}

-- name: executions_of_steps
-- Where these steps happened: the execution of each, if there is one.
SELECT s.id::text AS id, s.execution_id::text AS execution_id FROM agent_steps AS s
WHERE s.organization_id = $1 AND s.id = ANY ($2::uuid[])

-- name: some_memories
-- Up to $3 memories of one agent or all ($2).
SELECT m.id::text AS id FROM agent_memories AS m WHERE m.organization_id = $1 AND ($2::text IS NULL OR m.agent_id = $2) LIMIT $3

-- name: some_executions
-- Up to $3 executions, likewise.
SELECT x.id::text AS id FROM agent_executions AS x WHERE x.organization_id = $1 AND ($2::text IS NULL OR x.agent_id = $2) LIMIT $3

-- name: some_steps
-- Up to $3 calls of tools outside of executions, likewise.
SELECT s.id::text AS id FROM agent_steps AS s
WHERE s.organization_id = $1 AND s.execution_id IS NULL AND ($2::text IS NULL OR s.agent_id = $2) LIMIT $3

-- name: some_metrics
-- Up to $3 points, likewise.
SELECT m.id::text AS id FROM agent_metrics AS m WHERE m.organization_id = $1 AND ($2::text IS NULL OR m.agent_id = $2) LIMIT $3

-- name: some_patterns
-- Up to $3 patterns, likewise.
SELECT p.id::text AS id FROM learning_patterns AS p WHERE p.organization_id = $1 AND ($2::text IS NULL OR p.agent_id = $2) LIMIT $3

-- name: lock_executions
-- Keep others from adding steps to executions.
SELECT x.id FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = ANY ($2::uuid[]) ORDER BY x.id FOR UPDATE

-- name: lock_patterns
-- Keep others from adding outcomes to patterns.
SELECT p.id FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.id = ANY ($2::uuid[]) ORDER BY p.id FOR UPDATE

-- name: count_memories
-- How many rows go with these memories.
{{versions}}
SELECT (SELECT count(*) FROM doomed) AS agent_memories

-- name: erase_memories
-- Delete memories with their older versions.
{{versions}}
DELETE FROM agent_memories WHERE organization_id = $1 AND id IN (SELECT id FROM doomed)

-- name: count_executions
-- How many rows go with these executions.
SELECT
    (SELECT count(*) FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = ANY ($2::uuid[])) AS agent_executions,
    (SELECT count(*) FROM agent_steps AS s WHERE s.organization_id = $1 AND s.execution_id = ANY ($2::uuid[])) AS agent_steps

-- name: erase_executions
-- Delete executions with their steps; those that they started stay, and are nobody's children.
WITH orphaned AS (
    UPDATE agent_executions AS child SET parent_id = NULL
    WHERE child.organization_id = $1 AND child.parent_id = ANY ($2::uuid[]) AND child.id <> ALL ($2::uuid[])
)
DELETE FROM agent_executions WHERE organization_id = $1 AND id = ANY ($2::uuid[])

-- name: count_steps
-- How many of these calls of tools there are.
SELECT count(*) AS agent_steps FROM agent_steps WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND execution_id IS NULL

-- name: erase_steps
-- Delete calls of tools.
DELETE FROM agent_steps WHERE organization_id = $1 AND id = ANY ($2::uuid[]) AND execution_id IS NULL

-- name: count_metrics
-- How many of these points there are.
SELECT count(*) AS agent_metrics FROM agent_metrics WHERE organization_id = $1 AND id = ANY ($2::uuid[])

-- name: erase_metrics
-- Delete points; the database marks their hours, to be rolled up anew.
DELETE FROM agent_metrics WHERE organization_id = $1 AND id = ANY ($2::uuid[])

-- name: count_patterns
-- How many rows go with these patterns.
SELECT
    (SELECT count(*) FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.id = ANY ($2::uuid[])) AS learning_patterns,
    (SELECT count(*) FROM learning_outcomes AS o WHERE o.organization_id = $1 AND o.pattern_id = ANY ($2::uuid[]))
        AS learning_outcomes,
    (SELECT count(*) FROM learning_pattern_changes AS c WHERE c.organization_id = $1 AND c.pattern_id = ANY ($2::uuid[]))
        AS learning_pattern_changes

-- name: erase_patterns
-- Delete patterns with their outcomes and changes.
DELETE FROM learning_patterns WHERE organization_id = $1 AND id = ANY ($2::uuid[])

-- name: unmark_hours
-- Take back the marks that this transaction made on hours of one agent or all ($2): nobody rolls them up any more.
DELETE FROM agent_metric_late_hours AS l
WHERE l.organization_id = $1 AND ($2::text IS NULL OR l.agent_id = $2) AND l.transaction_id = pg_current_xact_id()::text::bigint

-- name: erase_rollups
-- Delete up to $3 hours of metrics of one agent or all ($2).
DELETE FROM agent_metric_rollups AS r
WHERE r.organization_id = $1 AND r.ctid = ANY (ARRAY(
    SELECT h.ctid FROM agent_metric_rollups AS h
    WHERE h.organization_id = $1 AND ($2::text IS NULL OR h.agent_id = $2) LIMIT $3
))

-- name: erase_access_log
-- Delete the access log, which only the owner of the tables may.
DELETE FROM access_log WHERE organization_id = $1
