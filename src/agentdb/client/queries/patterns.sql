-- fragment: pattern
p.id::text AS id, p.agent_id, p.pattern_type, p.name, p.content, p.trials, p.successes, p.scope::text AS scope,
    p.status::text AS status, p.created_at, p.updated_at

-- name: record
-- Record a pattern; when a write with the same key has recorded it already, it is returned as it is now.
INSERT INTO learning_patterns AS p (organization_id, id, agent_id, pattern_type, name, content, scope)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::pattern_scope)
ON CONFLICT (organization_id, id) DO UPDATE SET trials = p.trials
RETURNING {{pattern}}

-- name: outcome
-- Count how a pattern did.
UPDATE learning_patterns AS p
SET trials = p.trials + 1, successes = p.successes + $3::integer, updated_at = now()
WHERE p.organization_id = $1 AND p.id = $2
RETURNING {{pattern}}

-- name: list
-- Active patterns of an agent, and those of the organization when asked for, most confident first. Confidence is the
-- lower bound of the Wilson interval at z = 1.96.
SELECT {{pattern}}, w.confidence
FROM learning_patterns AS p CROSS JOIN LATERAL (
    SELECT CASE WHEN p.trials = 0 THEN 0.0 ELSE greatest(0.0, (
        p.successes + 1.9208 - 1.96 * sqrt(p.successes::float8 * (p.trials - p.successes) / p.trials + 0.9604)
    ) / (p.trials + 3.8416)) END AS confidence
) AS w
WHERE p.organization_id = $1 AND (p.agent_id = $2 OR $3 AND p.scope = 'organization') AND p.status = 'active'
    AND ($4::text IS NULL OR p.pattern_type = $4) AND w.confidence >= $5
ORDER BY w.confidence DESC, p.created_at DESC, p.id DESC LIMIT $6
