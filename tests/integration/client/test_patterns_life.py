"""`client.patterns`: promoted, quarantined, retired, and all of it undone."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    InsufficientEvidenceError,
    InvalidInputError,
    LearningPattern,
    PrismaAgentClient,
)
from agentdb.client.evidence import wilson_interval, wilson_lower_bound

pytestmark = pytest.mark.postgres


async def _tried(
    client: PrismaAgentClient, agent: Agent, successes: int, trials: int, name: str = "", pattern_type: str = "prompt"
) -> LearningPattern:
    pattern = await client.patterns.record(agent.id, pattern_type, name, name=name)
    for place in range(trials):
        pattern = await client.patterns.outcome(pattern.id, place < successes)
    return pattern


async def test_evidence_promotes(client: PrismaAgentClient, agent: Agent) -> None:
    """What has proven itself is every agent's from then on."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    pattern = await _tried(client, agent, 19, 20)

    promoted = await client.patterns.promote(pattern.id, reason="works")

    assert (promoted.scope, promoted.status, promoted.trials) == ("organization", "active", 20)
    assert await client.patterns.list(other.id) == [promoted]
    assert await client.patterns.promote(pattern.id) == promoted
    (change,) = await client.patterns.history(pattern.id)
    assert (change.change, change.reason, change.old_scope, change.new_scope) == (
        "promoted", "works", "agent", "organization"
    )  # fmt: skip
    assert (change.trials, change.successes, change.confidence) == (20, 19, wilson_lower_bound(19, 20))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (19, 19), (14, 20)])
async def test_without_evidence_nothing_is_promoted(
    client: PrismaAgentClient, agent: Agent, successes: int, trials: int
) -> None:
    """The error says what there is and what it takes; a prior is no help."""
    pattern = await client.patterns.record(agent.id, "prompt", 1, prior=1.0, prior_weight=1000)
    for place in range(trials):
        await client.patterns.outcome(pattern.id, place < successes)

    with pytest.raises(InsufficientEvidenceError) as caught:
        await client.patterns.promote(pattern.id)

    error = caught.value
    assert (error.trials, error.min_trials, error.min_confidence) == (trials, 20, 0.6)
    assert error.confidence == wilson_lower_bound(successes, trials)
    assert f"{trials} trials" in str(error)
    assert (await client.patterns.get(pattern.id)).scope == "agent"
    assert await client.patterns.history(pattern.id) == []


async def test_quarantined_patterns_are_out_of_use(client: PrismaAgentClient, agent: Agent) -> None:
    """Not listed by default, not promoted; outcomes that were on their way still count."""
    pattern = await _tried(client, agent, 2, 2)

    quarantined = await client.patterns.quarantine(pattern.id, "leaks a name")

    assert quarantined.status == "quarantined"
    assert await client.patterns.quarantine(pattern.id, "again") == quarantined
    assert await client.patterns.list(agent.id) == []
    assert await client.patterns.list(agent.id, include_inactive=True) == [quarantined]
    with pytest.raises(ConflictError, match="is quarantined"):
        await client.patterns.promote(pattern.id, min_trials=0, min_confidence=0)
    assert (await client.patterns.outcome(pattern.id, True)).trials == 3
    assert [change.reason for change in await client.patterns.history(pattern.id)] == ["leaks a name"]


async def test_changes_are_undone_one_by_one(client: PrismaAgentClient, agent: Agent) -> None:
    """The latest first; the history keeps both, and the evidence of each moment."""
    pattern = await _tried(client, agent, 3, 3)
    await client.patterns.promote(pattern.id, min_trials=1, min_confidence=0.1)
    await client.patterns.quarantine(pattern.id, "hm")
    await client.patterns.retire(pattern.id, "old")

    states = []
    for _ in range(3):
        reverted = await client.patterns.revert(pattern.id, "no")
        states.append((reverted.scope, reverted.status))
        await client.patterns.outcome(pattern.id, False)

    assert states == [("organization", "quarantined"), ("organization", "active"), ("agent", "active")]
    with pytest.raises(ConflictError, match="could be undone"):
        await client.patterns.revert(pattern.id)
    history = await client.patterns.history(pattern.id)
    assert [change.change for change in history] == [*["reverted"] * 3, "retired", "quarantined", "promoted"]
    assert [change.trials for change in history] == [5, 4, 3, 3, 3, 3]
    assert [change.reverts_id for change in history[:3]] == [history[5].id, history[4].id, history[3].id]
    assert await client.patterns.history(pattern.id, limit=1) == history[:1]

    again = await client.patterns.quarantine(pattern.id, "once more")
    assert again.status == "quarantined"
    assert (await client.patterns.revert(pattern.id)).status == "active"


async def test_retired_patterns_stay_retired(client: PrismaAgentClient, agent: Agent) -> None:
    """Recording them again does not bring them back, and nothing but `revert` does."""
    pattern = await client.patterns.record(agent.id, "prompt", "x", name="old")
    retired = await client.patterns.retire(pattern.id)

    assert await client.patterns.record(agent.id, "prompt", "x", name="old") == retired
    assert await client.patterns.retire(pattern.id) == retired
    with pytest.raises(ConflictError, match="retired"):
        await client.patterns.quarantine(pattern.id, "why not")
    with pytest.raises(ConflictError, match="is retired"):
        await client.patterns.promote(pattern.id, min_trials=0, min_confidence=0)
    assert len(await client.patterns.history(pattern.id)) == 1


async def test_one_change_is_undone_once(client: PrismaAgentClient, agent: Agent) -> None:
    """However many try at the same moment."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    await client.patterns.quarantine(pattern.id, "hm")

    done = await asyncio.gather(*(client.patterns.revert(pattern.id) for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(outcome, LearningPattern) for outcome in done) == 1
    assert all(isinstance(outcome, LearningPattern | ConflictError) for outcome in done)
    assert len(await client.patterns.history(pattern.id)) == 2


async def test_changes_at_the_same_moment_make_one_history(client: PrismaAgentClient, agent: Agent) -> None:
    """Each change starts where another one ended, also while outcomes are counted."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")

    await asyncio.gather(
        *(client.patterns.promote(pattern.id, min_trials=0, min_confidence=0) for _ in range(10)),
        *(client.patterns.outcome(pattern.id, True) for _ in range(50)),
        *(client.patterns.quarantine(pattern.id, "hm") for _ in range(10)),
        *(client.patterns.revert(pattern.id) for _ in range(10)),
        *(client.patterns.quarantine(pattern.id, "hm") for _ in range(10)),
        return_exceptions=True,
    )

    last = await client.patterns.get(pattern.id)
    assert last.trials == 50
    history = (await client.patterns.history(pattern.id))[::-1]
    states = [("agent", "active"), *((change.new_scope, change.new_status) for change in history)]
    assert [(change.old_scope, change.old_status) for change in history] == states[:-1]
    assert states[-1] == (last.scope, last.status)


async def test_what_was_changed_past_the_history_is_not_undone(
    client: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """Undoing a change that somebody has overwritten would undo the wrong thing."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    await client.patterns.quarantine(pattern.id, "hm")
    connection = await asyncpg.connect(admin_url)
    await connection.execute("UPDATE learning_patterns SET status = 'retired'")
    await connection.close()

    with pytest.raises(ConflictError, match="past its history"):
        await client.patterns.revert(pattern.id)


async def test_history_is_for_ever(client: PrismaAgentClient, agent: Agent) -> None:
    """The application can neither change nor delete it."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    await client.patterns.retire(pattern.id)
    for sql in ("UPDATE learning_pattern_changes SET reason = 'x'", "DELETE FROM learning_pattern_changes"):
        with pytest.raises(Exception, match="permission denied"):
            await client.driver.execute(sql)


async def test_a_review_judges_by_evidence(client: PrismaAgentClient, agent: Agent) -> None:
    """It promotes what has proven itself, quarantines what has failed, leaves the rest, and says what it did."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    good = await _tried(client, agent, 30, 30, "good")
    fine = await _tried(client, other, 24, 25, "fine")
    bad = await _tried(client, agent, 1, 25, "bad")
    for name, successes, trials in (("new", 0, 0), ("young", 10, 10), ("middling", 12, 25), ("unlucky", 0, 5)):
        await _tried(client, agent, successes, trials, name)
    assert wilson_interval(0, 5)[1] > 0.3

    planned = await client.patterns.review(dry_run=True)
    assert (await client.patterns.get(good.id), await client.patterns.history(bad.id)) == (good, [])
    done = await client.patterns.review(reason="monthly")

    assert [(change.pattern_id, change.change) for change in planned] == [
        (good.id, "promoted"), (fine.id, "promoted"), (bad.id, "quarantined")
    ]  # fmt: skip
    assert [(change.pattern_id, change.change) for change in done] == [
        (change.pattern_id, change.change) for change in planned
    ]
    assert [change.pattern_name for change in done] == ["good", "fine", "bad"]
    for change in done:
        assert await client.patterns.history(change.pattern_id) == [change]
        assert change.reason == "monthly"
    assert (await client.patterns.get(good.id)).scope == "organization"
    assert (await client.patterns.get(bad.id)).status == "quarantined"
    assert await client.patterns.review() == []
    assert (await client.patterns.revert(bad.id)).status == "active"


async def test_a_review_keeps_to_what_is_named(client: PrismaAgentClient, agent: Agent) -> None:
    """One agent's, or one type's."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    prompt = await _tried(client, agent, 9, 9, pattern_type="prompt")
    tone = await _tried(client, agent, 9, 9, pattern_type="tone")
    foreign = await _tried(client, other, 9, 9)
    lenient: dict[str, Any] = {"min_trials": 5, "min_confidence": 0.5, "quarantine_below": 0.0}

    assert [c.pattern_id for c in await client.patterns.review(agent.id, pattern_type="tone", **lenient)] == [tone.id]
    assert [c.pattern_id for c in await client.patterns.review(agent.id, **lenient)] == [prompt.id]
    assert [c.pattern_id for c in await client.patterns.review(**lenient)] == [foreign.id]


async def test_what_no_change_is(client: PrismaAgentClient, agent: Agent) -> None:
    """Typed errors that name what is wrong."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")
    for call, field in (
        (client.patterns.quarantine(pattern.id, ""), "reason"),
        (client.patterns.retire(pattern.id, "x" * 1001), "reason"),
        (client.patterns.promote(pattern.id, min_confidence=2), "min_confidence"),
        (client.patterns.promote(pattern.id, min_trials=-1), "min_trials"),
        (client.patterns.review(quarantine_below=0.7), "quarantine_below"),
        (client.patterns.review(dry_run=1), "dry_run"),  # type: ignore[arg-type]
        (client.patterns.history(pattern.id, limit=0), "limit"),
    ):
        with pytest.raises(InvalidInputError) as caught:
            await call
        assert caught.value.field == field


async def test_a_review_waits_for_nobody(client: PrismaAgentClient, agent: Agent) -> None:
    """What somebody else is changing at this moment is left for the next review."""
    held = await _tried(client, agent, 9, 9, "held")
    free = await _tried(client, agent, 9, 9, "free")
    async with client.transaction() as tx:
        await tx.patterns.outcome(held.id, True)
        async with asyncio.timeout(10):
            done = await client.patterns.review(min_trials=5, min_confidence=0.5)
    assert [change.pattern_id for change in done] == [free.id]

    (later,) = await client.patterns.review(min_trials=5, min_confidence=0.5)
    assert (later.pattern_id, later.trials) == (held.id, 10)
