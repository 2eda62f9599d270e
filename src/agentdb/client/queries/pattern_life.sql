-- uses: patterns

-- fragment: change
c.id::text AS id, c.pattern_id::text AS pattern_id, p.name AS pattern_name, c.change, c.reason,
    c.reverts_id::text AS reverts_id, c.old_scope::text AS old_scope, c.new_scope::text AS new_scope,
    c.old_status::text AS old_status, c.new_status::text AS new_status, c.trials, c.successes, c.at

-- name: change
-- Give a pattern another scope ($6) or status ($7), if it is in one of the states $8 and has the evidence $9 and $10,
-- and note it; else it is returned as it is.
WITH before AS (
    SELECT * FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.id = $2 FOR NO KEY UPDATE
), judged AS (
    SELECT p.id, p.scope, p.status, w.trials, w.successes, coalesce($6::text::pattern_scope, p.scope) AS new_scope,
        coalesce($7::text::pattern_status, p.status) AS new_status
    FROM before AS p CROSS JOIN LATERAL ({{bounds}}) AS w
    WHERE p.status::text = ANY ($8::text[]) AND w.trials >= $9::float8 AND w.lower >= $10::float8
), changed AS (
    UPDATE learning_patterns AS p
    SET scope = judged.new_scope, status = judged.new_status, updated_at = statement_timestamp()
    FROM judged
    WHERE p.organization_id = $1 AND p.id = judged.id
        AND (judged.new_scope, judged.new_status) <> (judged.scope, judged.status)
    RETURNING {{pattern}}
), noted AS (
    INSERT INTO learning_pattern_changes AS c (organization_id, id, pattern_id, change, reason, old_scope, new_scope,
        old_status, new_status, trials, successes, at)
    SELECT $1, $3, judged.id, $4, $5, judged.scope, judged.new_scope, judged.status, judged.new_status, judged.trials,
        judged.successes, clock_timestamp()
    FROM judged WHERE EXISTS (SELECT FROM changed)
)
SELECT changed.*, true AS is_changed FROM changed
UNION ALL
SELECT {{pattern}}, false FROM before AS p WHERE NOT EXISTS (SELECT FROM changed)

-- name: revert
-- Undo the latest change of a pattern that is not undone yet, and note it. Not if the pattern is not as that change
-- left it: then another change came at this moment, or somebody changed it past the history.
WITH before AS (
    SELECT * FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.id = $2 FOR NO KEY UPDATE
), latest AS (
    SELECT c.* FROM learning_pattern_changes AS c
    WHERE c.organization_id = $1 AND c.pattern_id = $2 AND c.change <> 'reverted' AND NOT EXISTS (
        SELECT FROM learning_pattern_changes AS r WHERE r.organization_id = $1 AND r.reverts_id = c.id
    )
    ORDER BY c.at DESC, c.id DESC LIMIT 1
), judged AS (
    SELECT p.id, p.scope, p.status, latest.id AS change_id, latest.old_scope, latest.old_status, w.trials, w.successes
    FROM before AS p CROSS JOIN latest CROSS JOIN LATERAL ({{bounds}}) AS w
    WHERE (p.scope, p.status) = (latest.new_scope, latest.new_status)
), changed AS (
    UPDATE learning_patterns AS p
    SET scope = judged.old_scope, status = judged.old_status, updated_at = statement_timestamp()
    FROM judged WHERE p.organization_id = $1 AND p.id = judged.id
    RETURNING {{pattern}}
), noted AS (
    INSERT INTO learning_pattern_changes AS c (organization_id, id, pattern_id, change, reason, reverts_id, old_scope,
        new_scope, old_status, new_status, trials, successes, at)
    SELECT $1, $3, judged.id, 'reverted', $4, judged.change_id, judged.scope, judged.old_scope, judged.status,
        judged.old_status, judged.trials, judged.successes, clock_timestamp()
    FROM judged
)
SELECT changed.*, true AS is_changed, true AS has_change FROM changed
UNION ALL
SELECT {{pattern}}, false, EXISTS (SELECT FROM latest) FROM before AS p WHERE NOT EXISTS (SELECT FROM changed)

-- name: history
-- What was done to a pattern, newest first; says whether there is such a pattern.
SELECT {{change}} FROM learning_patterns AS p LEFT JOIN (
    SELECT * FROM learning_pattern_changes AS c WHERE c.organization_id = $1 AND c.pattern_id = $2
) AS c ON true
WHERE p.organization_id = $1 AND p.id = $2
ORDER BY c.at DESC, c.id DESC LIMIT $3

-- name: review
-- Promote what has proven itself and quarantine what has not: all of an agent or of the organization, as far as nobody
-- else is at it. $8: only say what would be done. What `recognize` found is judged by the data alone.
WITH judged AS (
    SELECT p.id, p.name, p.scope, p.status, w.trials, w.successes, w.upper < $6::float8 AS is_bad,
        clock_timestamp() AS judged_at, gen_random_uuid() AS change_id
    FROM learning_patterns AS p CROSS JOIN LATERAL ({{bounds}}) AS w
    WHERE p.organization_id = $1 AND ($2::text IS NULL OR p.agent_id = $2) AND ($3::text IS NULL OR p.pattern_type = $3)
        AND p.status = 'active' AND p.pattern_type <> 'recognized'
        AND (w.upper < $6::float8 OR p.scope = 'agent' AND w.trials >= $4::float8 AND w.lower >= $5::float8)
    FOR NO KEY UPDATE OF p SKIP LOCKED
), c AS (
    SELECT judged.change_id AS id, judged.id AS pattern_id,
        CASE WHEN judged.is_bad THEN 'quarantined' ELSE 'promoted' END AS change,
        $7::text AS reason, NULL::uuid AS reverts_id, judged.scope AS old_scope,
        CASE WHEN judged.is_bad THEN judged.scope ELSE 'organization' END AS new_scope, judged.status AS old_status,
        CASE WHEN judged.is_bad THEN 'quarantined' ELSE judged.status END AS new_status, judged.trials,
        judged.successes, judged.judged_at AS at, judged.name
    FROM judged
), changed AS (
    UPDATE learning_patterns AS p SET scope = c.new_scope, status = c.new_status, updated_at = statement_timestamp()
    FROM c WHERE p.organization_id = $1 AND p.id = c.pattern_id AND NOT $8::boolean
), noted AS (
    INSERT INTO learning_pattern_changes AS l (organization_id, id, pattern_id, change, reason, old_scope, new_scope,
        old_status, new_status, trials, successes, at)
    SELECT $1, c.id, c.pattern_id, c.change, c.reason, c.old_scope, c.new_scope, c.old_status, c.new_status, c.trials,
        c.successes, c.at
    FROM c WHERE NOT $8::boolean
)
SELECT {{change}} FROM c CROSS JOIN LATERAL (SELECT c.name) AS p ORDER BY c.change, c.trials DESC, c.id
