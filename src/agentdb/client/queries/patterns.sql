-- fragment: weight
-- What is left now of a trial that was counted at decayed_at. Beyond 2^-300 nothing is: a power too small is an error.
CASE WHEN p.half_life_days IS NULL THEN 1 ELSE 0.5::float8 ^ least(300,
    greatest(0, extract(epoch FROM statement_timestamp() - p.decayed_at)::float8) / 86400 / p.half_life_days
) END

-- fragment: trials
CASE WHEN p.half_life_days IS NULL THEN p.trials ELSE p.decayed_trials * {{weight}} END

-- fragment: successes
-- Next to nothing is taken for nothing, for a product too small is an error as well.
CASE WHEN p.half_life_days IS NULL THEN p.successes
    WHEN p.decayed_successes < 1e-100 THEN 0 ELSE p.decayed_successes * {{weight}} END

-- fragment: pattern
p.id::text AS id, p.agent_id, p.pattern_type, p.name, p.content, p.trials AS total_trials,
    p.successes AS total_successes, {{trials}} AS shown_trials, {{successes}} AS shown_successes, p.prior,
    p.prior_weight, p.half_life_days, p.scope::text AS scope, p.status::text AS status, p.created_at, p.updated_at

-- fragment: bounds
-- The Wilson interval at z = 1.96 of what is shown; `agentdb.client.pattern.evidence` has the same formula.
SELECT shown.trials, shown.successes,
    CASE WHEN shown.trials = 0 THEN 0 ELSE
        greatest(0, (shown.successes + 1.9208 - spread.width) / (shown.trials + 3.8416)) END AS lower,
    CASE WHEN shown.trials = 0 THEN 1 ELSE
        least(1, (shown.successes + 1.9208 + spread.width) / (shown.trials + 3.8416)) END AS upper
FROM (SELECT ({{trials}})::float8 AS trials, ({{successes}})::float8 AS successes) AS shown CROSS JOIN LATERAL (
    SELECT 1.96::float8 * sqrt(
        shown.successes * ((shown.trials - shown.successes) / nullif(shown.trials, 0)) + 0.9604
    ) AS width
) AS spread

-- name: record
-- Record a pattern. What has its id, or its name, already is returned as it is; no row when that came at this moment.
WITH recorded AS (
    INSERT INTO learning_patterns AS p (organization_id, id, agent_id, pattern_type, name, content, scope, prior,
        prior_weight, half_life_days)
    VALUES ($1, $2, $3, $4, $5, $6, $7::text::pattern_scope, $8, $9, $10)
    ON CONFLICT DO NOTHING
    RETURNING {{pattern}}
)
SELECT recorded.*, true AS is_same FROM recorded
UNION ALL
SELECT {{pattern}}, p.agent_id = $3 AND p.pattern_type = $4 AND p.name = $5 AND p.content = $6
FROM learning_patterns AS p
WHERE p.organization_id = $1 AND (p.id = $2 OR $5 <> '' AND p.agent_id = $3 AND p.pattern_type = $4 AND p.name = $5)

-- name: outcome
-- Count how a pattern did, once per id; `recorded` is what an earlier write with this id said. If the execution $5 has to
-- be there, $6, and is not, nothing is counted.
WITH named AS (
    SELECT NOT $6::boolean OR EXISTS (
        SELECT FROM agent_executions AS x WHERE x.organization_id = $1 AND x.id = $5
    ) AS is_known
), tried AS (
    INSERT INTO learning_outcomes AS o (organization_id, id, pattern_id, success, execution_id)
    SELECT $1, $3, p.id, $4::boolean, $5 FROM learning_patterns AS p
    WHERE p.organization_id = $1 AND p.id = $2 AND (SELECT is_known FROM named)
    ON CONFLICT (organization_id, id) DO NOTHING
    RETURNING o.id
), counted AS (
    UPDATE learning_patterns AS p
    SET trials = p.trials + 1, successes = p.successes + $4::boolean::integer,
        decayed_trials = CASE WHEN p.half_life_days IS NULL THEN 0 ELSE {{trials}} + 1 END,
        decayed_successes = CASE WHEN p.half_life_days IS NULL THEN 0 ELSE {{successes}} + $4::boolean::integer END,
        decayed_at = greatest(p.decayed_at, statement_timestamp()), updated_at = statement_timestamp()
    WHERE p.organization_id = $1 AND p.id = $2 AND EXISTS (SELECT FROM tried)
    RETURNING {{pattern}}
)
SELECT counted.*, true AS execution_known, NULL::boolean AS recorded FROM counted
UNION ALL
SELECT {{pattern}}, (SELECT is_known FROM named), (SELECT o.success FROM learning_outcomes AS o WHERE o.organization_id = $1 AND o.id = $3)
FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.id = $2 AND NOT EXISTS (SELECT FROM tried)

-- name: get
-- One pattern by its id.
SELECT {{pattern}} FROM learning_patterns AS p WHERE p.organization_id = $1 AND p.id = $2

-- name: list
-- Patterns of an agent, and those of the organization when asked for, most confident first; active ones, or all.
SELECT {{pattern}} FROM learning_patterns AS p CROSS JOIN LATERAL ({{bounds}}) AS w
WHERE p.organization_id = $1 AND (p.agent_id = $2 OR $3 AND p.scope = 'organization') AND (p.status = 'active' OR $7)
    AND ($4::text IS NULL OR p.pattern_type = $4) AND w.lower >= $5
ORDER BY w.lower DESC, p.created_at DESC, p.id DESC LIMIT $6

-- name: variants
-- The active patterns of an agent and type, and those that other agents share.
SELECT {{pattern}} FROM learning_patterns AS p
WHERE p.organization_id = $1 AND p.agent_id = $2 AND p.pattern_type = $3 AND p.status = 'active'
UNION ALL
SELECT {{pattern}} FROM learning_patterns AS p
WHERE p.organization_id = $1 AND p.scope = 'organization' AND p.pattern_type = $3 AND p.status = 'active'
    AND p.agent_id <> $2
ORDER BY created_at, id
