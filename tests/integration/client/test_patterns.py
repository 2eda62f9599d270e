"""`client.patterns`: what is recorded, and the evidence for it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import asyncpg
import pytest

from agentdb import Agent, AgentConfig, ConflictError, InvalidInputError, NotFoundError, PrismaAgentClient
from agentdb.client.evidence import wilson_interval, wilson_lower_bound
from agentdb.client.queries import load_queries

pytestmark = pytest.mark.postgres

UNKNOWN = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"


async def _count(client: PrismaAgentClient, table: str) -> int:
    return int((await client.driver.fetch(f"SELECT count(*) FROM {table}"))[0][0])


async def _age(admin_url: str, pattern_id: str, days: float) -> None:
    """Let what was counted of a pattern be *days* older."""
    connection = await asyncpg.connect(admin_url)
    try:
        sql = "UPDATE learning_patterns SET decayed_at = decayed_at - $2 * interval '1 day' WHERE id = $1"
        await connection.execute(sql, pattern_id, days)
    finally:
        await connection.close()


# Confidence


async def test_confidence_comes_from_evidence(client: PrismaAgentClient, agent: Agent) -> None:
    """No trial, no confidence; SQL and Python compute the same."""
    pattern = await client.store_learning_pattern(agent.id, "prompt", {"text": "be brief"}, name="brief")
    assert (pattern.trials, pattern.confidence, pattern.status) == (0, 0.0, "active")

    for success in [True] * 8 + [False] * 2:
        pattern = await client.patterns.outcome(pattern.id, success)
        exactly = pattern.confidence
        assert pattern in await client.patterns.list(agent.id, min_confidence=max(0.0, exactly - 1e-12))
        assert pattern not in await client.patterns.list(agent.id, min_confidence=exactly + 1e-12)

    assert (pattern.trials, pattern.successes) == (10, 8)
    assert pattern.confidence == pytest.approx(0.49016, abs=1e-5)
    assert await client.get_learning_patterns(agent.id, min_confidence=0.7) == []


async def test_sql_and_python_have_one_formula(client: PrismaAgentClient, agent: Agent) -> None:
    """The bounds of the fragment, for every count up to 30 and some large ones, are those of `wilson_interval`."""
    assert "1.9208" in load_queries("patterns")["list"]
    bounds = load_queries("patterns")["list"].partition("LATERAL (")[2].partition(") AS w\n")[0]
    evidence = [(s, n) for n in range(31) for s in range(n + 1)] + [(0, 10**9), (10**9, 10**9), (10**9 - 1, 10**9)]

    rows = await client.driver.fetch(
        f"""
        SELECT w.lower, w.upper FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS e (successes, trials, place),
            LATERAL (SELECT e.successes, e.trials, NULL::float8 AS half_life_days, 0::float8 AS decayed_trials,
                0::float8 AS decayed_successes, now() AS decayed_at) AS p, LATERAL ({bounds}) AS w
        ORDER BY e.place
        """,
        ([s for s, _ in evidence], [n for _, n in evidence]),
    )

    for (successes, trials), row in zip(evidence, rows, strict=True):
        assert (row["lower"], row["upper"]) == pytest.approx(wilson_interval(successes, trials), abs=1e-12)


# Outcomes


async def test_outcomes_are_counted_exactly(client: PrismaAgentClient, agent: Agent) -> None:
    """200 callers lose no trial, of one pattern and of several, and each leaves a row."""
    patterns = [await client.patterns.record(agent.id, "prompt", n) for n in range(3)]
    hot = patterns[0]

    await asyncio.gather(
        *(client.patterns.outcome(hot.id, n % 2 == 0) for n in range(200)),
        *(client.patterns.outcome(patterns[n % 3].id, True) for n in range(30)),
    )

    counted = {pattern.id: pattern for pattern in await client.patterns.list(agent.id)}
    assert [(counted[p.id].trials, counted[p.id].successes) for p in patterns] == [(210, 110), (10, 10), (10, 10)]
    assert await _count(client, "learning_outcomes") == 230


async def test_a_retried_outcome_counts_once(client: PrismaAgentClient, agent: Agent) -> None:
    """Also when the retries come at the same time; another outcome under its key is refused and not counted."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    other = await client.patterns.record(agent.id, "prompt", "y")

    await asyncio.gather(*(client.patterns.outcome(pattern.id, True, idempotency_key="k") for _ in range(20)))
    await client.patterns.outcome(other.id, False, idempotency_key="k")  # a key belongs to its pattern
    with pytest.raises(ConflictError, match="idempotency key"):
        await client.patterns.outcome(pattern.id, False, idempotency_key="k")

    assert [
        (p.trials, p.successes) for p in (await client.patterns.get(pattern.id), await client.patterns.get(other.id))
    ] == [
        (1, 1),
        (1, 0),
    ]
    assert await _count(client, "learning_outcomes") == 2


async def test_an_outcome_belongs_to_the_running_execution(client: PrismaAgentClient, agent: Agent) -> None:
    """To another one when it is named, to none outside of one."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    other = await client.executions.start(agent.id, "other task")
    await client.patterns.outcome(pattern.id, True)
    async with client.executions.track(agent.id, "task") as execution:
        await client.patterns.outcome(pattern.id, True)
        await client.patterns.outcome(pattern.id, True, execution_id=other.id)

    rows = await client.driver.fetch("SELECT execution_id::text FROM learning_outcomes ORDER BY at, id")
    assert [row[0] for row in rows] == [None, execution.id, other.id]


async def test_an_outcome_of_no_execution_counts_nothing(client: PrismaAgentClient, agent: Agent) -> None:
    """Neither of an unknown nor of another organization's."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    neighbour = client.for_organization("neighbour")
    await neighbour.agents.register(AgentConfig(id=agent.id, name="same", category="SUPPORT"))
    foreign = await neighbour.executions.start(agent.id, "task")

    for id in (UNKNOWN, foreign.id, "none"):
        with pytest.raises(NotFoundError, match=f"No execution '{id}'"):
            await client.patterns.outcome(pattern.id, True, execution_id=id)
    assert (await client.patterns.get(pattern.id)).trials == 0
    assert await _count(client, "learning_outcomes") == 0


@pytest.mark.parametrize("success", [None, 1, "false", float("nan"), []])
async def test_an_outcome_is_true_or_false(client: PrismaAgentClient, agent: Agent, success: Any) -> None:
    """What may mean either is refused: "false" would count as a success."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    with pytest.raises(InvalidInputError) as caught:
        await client.patterns.outcome(pattern.id, success)
    assert caught.value.field == "success"
    assert (await client.patterns.get(pattern.id)).trials == 0


async def test_an_outcome_of_a_pattern_that_is_just_deleted(client: PrismaAgentClient, agent: Agent) -> None:
    """It is not found, by its id."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    async with client.transaction() as tx:
        await tx.agents.delete(agent.id)
        outcome = asyncio.create_task(client.patterns.outcome(pattern.id, True))
        await asyncio.sleep(0.1)
    with pytest.raises(NotFoundError, match=pattern.id):
        await outcome


async def test_an_outcome_that_fails_counts_nothing(client: PrismaAgentClient, agent: Agent) -> None:
    """In a transaction that is rolled back."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    with pytest.raises(RuntimeError):
        async with client.transaction() as tx:
            await tx.patterns.outcome(pattern.id, True)
            raise RuntimeError

    assert (await client.patterns.get(pattern.id)).trials == 0
    assert await _count(client, "learning_outcomes") == 0


async def test_outcomes_cannot_be_changed(client: PrismaAgentClient, agent: Agent) -> None:
    """The application may add evidence, not alter it."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    await client.patterns.outcome(pattern.id, False)
    with pytest.raises(Exception, match="permission denied"):
        await client.driver.execute("UPDATE learning_outcomes SET success = true")


# Priors and fading


async def test_a_prior_is_no_evidence(client: PrismaAgentClient, agent: Agent) -> None:
    """It is shown as what it is, and confidence knows nothing of it."""
    pattern = await client.patterns.record(agent.id, "prompt", "x", prior=0.8)
    weighed = await client.patterns.record(agent.id, "prompt", "y", prior=0.9, prior_weight=50)

    assert (pattern.prior, pattern.prior_weight, pattern.trials, pattern.confidence) == (0.8, 2.0, 0, 0.0)
    assert (weighed.prior, weighed.prior_weight, weighed.confidence) == (0.9, 50.0, 0.0)
    counted = await client.patterns.outcome(weighed.id, True)
    assert counted.confidence == wilson_lower_bound(1, 1)


async def test_evidence_fades(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """It halves every half-life, when it is read and when more is counted; the whole numbers stay."""
    pattern = await client.patterns.record(agent.id, "prompt", "x", half_life_days=7)
    for success in (True, True, True, False):
        await client.patterns.outcome(pattern.id, success)
    await _age(admin_url, pattern.id, 7)

    faded = await client.patterns.get(pattern.id)
    assert (faded.trials, faded.successes) == pytest.approx((2.0, 1.5), abs=1e-4)
    assert (faded.total_trials, faded.total_successes) == (4, 3)
    assert faded.confidence == wilson_lower_bound(faded.successes, faded.trials)
    assert (await client.patterns.list(agent.id, min_confidence=faded.confidence - 1e-6))[0].id == pattern.id
    assert await client.patterns.list(agent.id, min_confidence=faded.confidence + 1e-6) == []

    counted = await client.patterns.outcome(pattern.id, True)
    assert (counted.trials, counted.successes) == pytest.approx((3.0, 2.5), abs=1e-4)
    await _age(admin_url, pattern.id, 14)
    again = await client.patterns.get(pattern.id)
    assert (again.trials, again.successes) == pytest.approx((0.75, 0.625), abs=1e-4)
    assert (again.total_trials, again.total_successes) == (5, 4)


async def test_evidence_fades_to_nothing(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """However old it is and however often that happens, no number becomes too small."""
    pattern = await client.patterns.record(agent.id, "prompt", "x", half_life_days=0.001)
    for success in (True, False, False, False, False):
        pattern = await client.patterns.outcome(pattern.id, success)
        await _age(admin_url, pattern.id, 36_500)

    faded = await client.patterns.get(pattern.id)
    assert faded.trials < 1e-80
    assert faded.confidence < 1e-6
    assert [p.id for p in await client.patterns.list(agent.id)] == [pattern.id]
    assert faded.total_trials == 5


async def test_faded_outcomes_are_counted_exactly(client: PrismaAgentClient, agent: Agent) -> None:
    """Whoever counts later at the same moment finds what the others counted."""
    pattern = await client.patterns.record(agent.id, "prompt", "x", half_life_days=36_500)

    await asyncio.gather(*(client.patterns.outcome(pattern.id, n % 4 == 0) for n in range(200)))

    counted = await client.patterns.get(pattern.id)
    assert (counted.trials, counted.successes) == pytest.approx((200.0, 50.0), abs=1e-3)
    assert (counted.total_trials, counted.total_successes) == (200, 50)


# Recording


async def test_patterns_are_the_agents_or_the_organizations(client: PrismaAgentClient, agent: Agent) -> None:
    """Most confident first."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    own = await client.patterns.record(agent.id, "prompt", 1)
    await client.patterns.record(other.id, "prompt", 2)
    shared = await client.patterns.record(other.id, "setting", 3, scope="organization")
    shared = await client.patterns.outcome(shared.id, True)

    assert await client.patterns.list(agent.id) == [shared, own]
    assert await client.patterns.list(agent.id, pattern_type="prompt") == [own]
    assert await client.patterns.list(agent.id, include_shared=False, limit=1) == [own]
    assert await client.patterns.list("nobody", include_shared=False) == []
    assert await client.patterns.get(shared.id) == shared


async def test_a_retried_pattern_is_recorded_once(client: PrismaAgentClient, agent: Agent) -> None:
    """Another one under its key is refused."""
    pattern = await client.patterns.record(agent.id, "prompt", {"n": 1}, idempotency_key="k")

    assert await client.patterns.record(agent.id, "prompt", {"n": 1}, idempotency_key="k") == pattern
    for kind, content in (("prompt", {"n": 2}), ("prompt", {"n": True}), ("setting", {"n": 1})):
        with pytest.raises(ConflictError, match="idempotency key"):
            await client.patterns.record(agent.id, kind, content, idempotency_key="k")


async def test_a_name_stands_for_one_pattern(client: PrismaAgentClient, agent: Agent) -> None:
    """Recorded again it is the same, with all that became of it; another content is refused."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    first = await client.patterns.record(agent.id, "prompt", {"a": 1, "b": 2}, name="brief", prior=0.5)
    await client.patterns.outcome(first.id, True)
    quarantined = await client.patterns.quarantine(first.id, "rude")

    again = await client.patterns.record(agent.id, "prompt", {"b": 2, "a": 1.0}, name="brief", idempotency_key="k")
    assert again == quarantined
    with pytest.raises(ConflictError, match="another content") as caught:
        await client.patterns.record(agent.id, "prompt", {"a": 1}, name="brief")
    assert caught.value.constraint == "learning_patterns_name_key"

    elsewhere = [
        await client.patterns.record(agent.id, "prompt", {"a": 1}, name="long"),
        await client.patterns.record(agent.id, "tone", {"a": 1}, name="brief"),
        await client.patterns.record(other.id, "prompt", {"a": 1}, name="brief"),
        await client.patterns.record(agent.id, "prompt", {"a": 1}),
        await client.patterns.record(agent.id, "prompt", {"a": 1}),
    ]
    assert len({pattern.id for pattern in elsewhere}) == 5


async def test_many_record_one_name_at_once(client: PrismaAgentClient, agent: Agent) -> None:
    """They all get the one."""
    made = await asyncio.gather(*(client.patterns.record(agent.id, "prompt", "x", name="one") for _ in range(30)))

    assert len({pattern.id for pattern in made}) == 1
    assert await _count(client, "learning_patterns") == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"scope": "all"}, "scope"),
        ({"name": "x" * 256}, "name"),
        ({"prior": 1.1}, "prior"),
        ({"prior": math.nan}, "prior"),
        ({"prior": 0.5, "prior_weight": -1}, "prior_weight"),
        ({"prior": 0.5, "prior_weight": math.inf}, "prior_weight"),
        ({"prior_weight": 3}, "prior_weight"),
        ({"half_life_days": 0}, "half_life_days"),
        ({"half_life_days": math.inf}, "half_life_days"),
        ({"half_life_days": "7"}, "half_life_days"),
    ],
)
async def test_what_no_pattern_is(client: PrismaAgentClient, agent: Agent, options: dict[str, Any], field: str) -> None:
    """Refused before anything is written, by an error that names what is wrong."""
    with pytest.raises(InvalidInputError) as caught:
        await client.patterns.record(agent.id, "prompt", 1, **options)
    assert caught.value.field == field
    assert await client.patterns.list(agent.id) == []


async def test_what_cannot_be_recorded(client: PrismaAgentClient, agent: Agent) -> None:
    """An agent that is not there, what is no JSON, the type that is kept."""
    with pytest.raises(NotFoundError, match="register"):
        await client.patterns.record("nobody", "prompt", 1)
    with pytest.raises(InvalidInputError, match="content"):
        await client.patterns.record(agent.id, "prompt", object())
    with pytest.raises(InvalidInputError, match="recognized"):
        await client.patterns.record(agent.id, "recognized", 1)
    with pytest.raises(InvalidInputError, match="min_confidence"):
        await client.patterns.list(agent.id, min_confidence=math.nan)


async def test_what_is_unknown_or_foreign_is_not_found(client: PrismaAgentClient, agent: Agent) -> None:
    """In the same words, by every method that takes an id, and nothing is done to it."""
    pattern = await client.patterns.record(agent.id, "prompt", 1)
    foreign = client.for_organization("other")
    for patterns, id in ((client.patterns, UNKNOWN), (client.patterns, "none"), (foreign.patterns, pattern.id)):
        for call in (
            patterns.get(id),
            patterns.outcome(id, True),
            patterns.promote(id, min_trials=0, min_confidence=0),
            patterns.quarantine(id, "reason"),
            patterns.retire(id),
            patterns.revert(id),
            patterns.history(id),
        ):
            with pytest.raises(NotFoundError, match="No pattern"):
                await call
    assert await client.patterns.get(pattern.id) == pattern
    assert await foreign.patterns.list(agent.id) == []
    assert await foreign.patterns.review(min_trials=0, min_confidence=0, quarantine_below=0) == []


async def test_patterns_go_with_their_agent(client: PrismaAgentClient, agent: Agent) -> None:
    """And with them their outcomes and their history."""
    pattern = await client.patterns.record(agent.id, "prompt", 1)
    await client.patterns.outcome(pattern.id, True)
    await client.patterns.retire(pattern.id)

    await client.agents.delete(agent.id)

    for table in ("learning_patterns", "learning_outcomes", "learning_pattern_changes"):
        assert await _count(client, table) == 0
