"""Tests of the forecaster: no mock of a database, and no DATABASE_URL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from forecaster import Forecaster

from agentdb import DatabaseError, NotFoundError, PrismaAgentClient
from agentdb.testing import Clock, Failures, HashEmbedder, MakeAgent, OwnDatabase


class Weather:
    """A weather service that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, city: str) -> str:
        self.asked.append(city)
        if city == "Atlantis":
            raise LookupError("there is no Atlantis")
        return f"Rain in {city}."


@pytest.fixture
def weather() -> Weather:
    return Weather()


async def test_a_forecast_is_asked_for_once(agentdb_agent: MakeAgent, weather: Weather) -> None:
    agent = await agentdb_agent(Forecaster, weather)

    assert await agent.execute_task({"city": "Oslo"}) == "Rain in Oslo."
    assert await agent.execute_task({"city": "Oslo"}) == "Rain in Oslo."

    assert weather.asked == ["Oslo"]


async def test_what_it_did_is_recorded(
    agentdb_agent: MakeAgent, agentdb_client: PrismaAgentClient, weather: Weather
) -> None:
    agent = await agentdb_agent(Forecaster, weather)
    with pytest.raises(LookupError):
        await agent.execute_task({"city": "Atlantis"})

    (execution,) = await agentdb_client.executions.list()
    tree = await agentdb_client.executions.tree(execution.id)
    assert (execution.status, execution.error_type) == ("failed", "LookupError")
    assert [(step.name, step.success) for step in tree.steps] == [("forecast", False)]


async def test_a_forecast_is_old_after_an_hour(
    agentdb_agent: MakeAgent, agentdb_clock: Clock, weather: Weather
) -> None:
    agent = await agentdb_agent(Forecaster, weather, agentdb_clock.now)
    await agent.execute_task({"city": "Oslo"})

    agentdb_clock.advance(minutes=59)
    await agent.execute_task({"city": "Oslo"})
    assert weather.asked == ["Oslo"]

    agentdb_clock.advance(minutes=1)
    await agent.execute_task({"city": "Oslo"})
    assert weather.asked == ["Oslo", "Oslo"]


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_lost_answer_stores_it_once(
    agentdb_agent: MakeAgent, agentdb_failures: Failures, weather: Weather, took_effect: bool
) -> None:
    agent = await agentdb_agent(Forecaster, weather)
    agentdb_failures.lose_commit(operation="memories.store", took_effect=took_effect)

    await agent.execute_task({"city": "Oslo"})

    assert [hit.memory.content for hit in await agent.recall()] == ["Rain in Oslo."]


async def test_a_full_disk_is_the_callers_to_know(
    agentdb_agent: MakeAgent, agentdb_failures: Failures, weather: Weather
) -> None:
    agent = await agentdb_agent(Forecaster, weather)
    agentdb_failures.fail_next("53100", operation="memories.store")

    with pytest.raises(DatabaseError) as refused:
        await agent.execute_task({"city": "Oslo"})

    assert refused.value.sqlstate == "53100"


async def test_forecasts_are_found_by_what_they_say(
    agentdb_agent: MakeAgent,
    agentdb_client: PrismaAgentClient,
    agentdb_embedder: HashEmbedder,
    weather: Weather,
) -> None:
    agentdb_client.embedder = agentdb_embedder
    agent = await agentdb_agent(Forecaster, weather)
    for city in ("Oslo", "Rome"):
        await agent.execute_task({"city": city})

    hits = await agent.recall("rain rome", limit=1)

    assert hits[0].memory.content == "Rain in Rome."
    assert hits[0].parts["semantic"] > 0.5


async def test_other_organizations_see_nothing_of_it(
    agentdb_agent: MakeAgent, agentdb_database: OwnDatabase, weather: Weather
) -> None:
    agent = await agentdb_agent(Forecaster, weather)
    await agent.execute_task({"city": "Oslo"})

    async with PrismaAgentClient(agentdb_database.url, "another organization") as other:
        assert await other.memories.count() == 0
        with pytest.raises(NotFoundError):
            await other.agents.get(agent.id)


def test_time_stands_still_in_synchronous_tests(agentdb_clock: Clock) -> None:
    began = agentdb_clock.now()

    assert agentdb_clock.advance(days=1) - began == timedelta(days=1)
