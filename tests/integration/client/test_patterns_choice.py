"""`client.patterns.choose`: Thompson sampling among variants."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from agentdb import Agent, AgentConfig, InvalidInputError, LearningPattern, NotFoundError, PrismaAgentClient
from tests.wire import Wire

pytestmark = pytest.mark.postgres


async def _variants(client: PrismaAgentClient, agent: Agent, *names: str, **options: Any) -> list[LearningPattern]:
    return [await client.patterns.record(agent.id, "prompt", {"text": name}, name=name, **options) for name in names]


async def _picks(client: PrismaAgentClient, agent: Agent, times: int, seed: int = 1, **options: Any) -> Counter[str]:
    chance = Random(seed)
    return Counter(
        [(await client.patterns.choose(agent.id, "prompt", random=chance, **options)).name for _ in range(times)]
    )


async def test_an_experiment_converges(client: PrismaAgentClient, agent: Agent) -> None:
    """The best of three is tried most, the choice settles on it, and from then on it is always picked."""
    await _variants(client, agent, "brief", "plain", "warm")
    rates, chance, world = {"brief": 0.3, "plain": 0.5, "warm": 0.9}, Random(4), Random(5)
    picked: Counter[str] = Counter()
    choice = await client.patterns.choose(agent.id, "prompt", random=chance)
    while not choice.settled:
        picked[choice.name] += 1
        assert picked.total() < 1000, "it never settles"
        await client.patterns.outcome(choice.id, world.random() < rates[choice.name])
        choice = await client.patterns.choose(agent.id, "prompt", random=chance)

    assert choice.name == "warm"
    assert picked["warm"] > picked["brief"] + picked["plain"]
    assert choice.probability_best[choice.id] >= 0.99
    assert sum(choice.probability_best.values()) == pytest.approx(1)
    assert await _picks(client, agent, 20) == {"warm": 20}


async def test_it_counts_nothing_and_takes_one_round_trip(roundtrips: Wire, database_url: str, agent: Agent) -> None:
    """`outcome` counts, and takes one too."""
    async with PrismaAgentClient(roundtrips.url(database_url), "acme") as client:
        first, _ = await _variants(client, agent, "a", "b")
        await client.patterns.choose(agent.id, "prompt")
        await client.patterns.outcome(first.id, True)
        before = await client.patterns.list(agent.id)
        with roundtrips.counting() as choosing:
            for _ in range(5):
                await client.patterns.choose(agent.id, "prompt")
        assert await client.patterns.list(agent.id) == before
        with roundtrips.counting() as counting:
            for _ in range(5):
                await client.patterns.outcome(first.id, True)

    assert (choosing.trips, counting.trips) == (5, 5)


async def test_who_is_a_variant(client: PrismaAgentClient, agent: Agent) -> None:
    """The agent's own active patterns of the type, and those of the organization; nobody else's and no others."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    own, bad, old = await _variants(client, agent, "own", "bad", "old")
    (shared,) = await _variants(client, other, "shared", scope="organization")
    (mine_and_shared,) = await _variants(client, agent, "both", scope="organization")
    await _variants(client, other, "not shared")
    await client.patterns.record(agent.id, "tone", "x", name="tone")
    await client.patterns.quarantine(bad.id, "rude")
    await client.patterns.retire(old.id)

    choice = await client.patterns.choose(agent.id, "prompt")

    assert set(choice.probability_best) == {own.id, shared.id, mine_and_shared.id}
    assert set(await _picks(client, agent, 50)) == {"own", "shared", "both"}
    assert set(await _picks(client, other, 50)) == {"not shared", "shared", "both"}


async def test_what_is_chosen(client: PrismaAgentClient, agent: Agent) -> None:
    """A single variant is settled; the choice holds what to use and what to count."""
    (only,) = await _variants(client, agent, "only")

    choice = await client.patterns.choose(agent.id, "prompt")

    assert (choice.settled, choice.probability_best) == (True, {only.id: 1.0})
    assert (choice.pattern, choice.id, choice.name, choice.content) == (only, only.id, "only", {"text": "only"})


async def test_evidence_is_followed(client: PrismaAgentClient, agent: Agent) -> None:
    """What works is picked more often, and what is certain always, unless it shall never settle."""
    good, bad = await _variants(client, agent, "good", "bad")
    for place in range(6):
        await client.patterns.outcome(good.id, place < 4)
        await client.patterns.outcome(bad.id, place < 2)
    assert 70 < (await _picks(client, agent, 100))["good"] < 100
    for _ in range(20):
        await client.patterns.outcome(good.id, True)

    assert await _picks(client, agent, 100) == {"good": 100}
    assert (await client.patterns.choose(agent.id, "prompt")).settled
    assert not (await client.patterns.choose(agent.id, "prompt", settle_at=1)).settled
    assert not (await client.patterns.choose(agent.id, "prompt", settle_at=0.9999999)).settled


async def test_a_prior_shapes_what_is_picked_and_settles_nothing(client: PrismaAgentClient, agent: Agent) -> None:
    """However heavy it is: it says nothing about which one is the best."""
    await _variants(client, agent, "trusted", prior=0.9, prior_weight=100)
    await _variants(client, agent, "doubted", prior=0.1, prior_weight=100)

    choice = await client.patterns.choose(agent.id, "prompt")

    assert not choice.settled
    assert list(choice.probability_best.values()) == pytest.approx([0.5, 0.5])
    assert await _picks(client, agent, 50) == {"trusted": 50}


async def test_chance_can_be_seeded(client: PrismaAgentClient, agent: Agent) -> None:
    """Equal seeds pick alike; without one every variant comes."""
    await _variants(client, agent, "a", "b")

    first = [(await client.patterns.choose(agent.id, "prompt", random=Random(n))).name for n in range(20)]
    second = [(await client.patterns.choose(agent.id, "prompt", random=Random(n))).name for n in range(20)]
    assert first == second
    assert {(await client.patterns.choose(agent.id, "prompt")).name for _ in range(100)} == {"a", "b"}


async def test_no_trial_is_lost(client: PrismaAgentClient, agent: Agent) -> None:
    """200 callers at once, each choosing and counting, of which some retry."""
    variants = await _variants(client, agent, "a", "b", "c")
    (fading,) = await _variants(client, agent, "d", half_life_days=36_500)

    async def caller(number: int) -> str:
        choice = await client.patterns.choose(agent.id, "prompt", settle_at=1)
        for _ in range(1 + number % 2):
            await client.patterns.outcome(choice.id, number % 3 > 0, idempotency_key=f"caller {number}")
        return choice.id

    picked = Counter(await asyncio.gather(*(caller(number) for number in range(200))))

    for variant in (*variants, fading):
        assert (await client.patterns.get(variant.id)).total_trials == picked[variant.id]
    (row,) = await client.driver.fetch(
        "SELECT sum(trials) AS trials, sum(successes) AS successes FROM learning_patterns"
    )
    assert (row["trials"], row["successes"]) == (200, 133)
    assert (await client.driver.fetch("SELECT count(*) FROM learning_outcomes"))[0][0] == 200


async def test_the_running_execution_notes_what_was_chosen(client: PrismaAgentClient, agent: Agent) -> None:
    """Under the type: the name, or the id of what has none; nobody else's execution notes anything."""
    await _variants(client, agent, "brief")
    nameless = await client.patterns.record(agent.id, "temperature", 0.2)

    async with client.executions.track(agent.id, "task") as execution:
        await client.patterns.choose(agent.id, "prompt")
        await client.patterns.choose(agent.id, "temperature")
        assert execution.settings == {"prompt": "brief", "temperature": nameless.id}

        elsewhere = client.for_organization("other")
        stranger = await elsewhere.agents.register(AgentConfig(name="stranger", category="SUPPORT"))
        await elsewhere.patterns.record(stranger.id, "tone", "x")
        await elsewhere.patterns.choose(stranger.id, "tone")
        assert "tone" not in execution.settings

    assert (await client.executions.get(execution.id)).settings == {"prompt": "brief", "temperature": nameless.id}


async def test_nothing_to_choose_from(client: PrismaAgentClient, agent: Agent) -> None:
    """Not found, and arguments that do not fit are named."""
    (gone,) = await _variants(client, agent, "gone")
    await client.patterns.retire(gone.id)
    for id, kind in ((agent.id, "prompt"), (agent.id, "tone"), ("nobody", "prompt")):
        with pytest.raises(NotFoundError, match="choose from"):
            await client.patterns.choose(id, kind)
    refused: list[tuple[dict[str, Any], str]] = [({"settle_at": 0.4}, "settle_at"), ({"random": 7}, "random")]
    for options, field in refused:
        with pytest.raises(InvalidInputError) as caught:
            await client.patterns.choose(agent.id, "prompt", **options)
        assert caught.value.field == field
