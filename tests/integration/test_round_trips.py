"""One network round trip for what agents do all the time, counted on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from agentdb import AgentConfig, MemoryEntry, MetricPoint, PrismaAgentClient, Settings, ToolDefinition
from tests.wire import Wire

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def client(roundtrips: Wire, database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client whose only way to the server is through the counting proxy."""
    url = roundtrips.url(database_url)
    settings = Settings(organization_id="acme", database_url=url, flush_seconds=600)  # recalls count later
    async with PrismaAgentClient(settings=settings) as connected:
        yield connected


@pytest_asyncio.fixture
async def agent_id(client: PrismaAgentClient) -> str:
    """A registered agent."""
    return (await client.agents.register(AgentConfig(name="counted", category="SUPPORT"))).id


def _entry(agent_id: str, number: int) -> MemoryEntry:
    return MemoryEntry(agent_id=agent_id, content=f"fact {number}", metadata={"number": number})


Operation = Callable[[PrismaAgentClient, str, str, int], Awaitable[object]]

OPERATIONS: dict[str, Operation] = {
    "memories.store": lambda client, agent, _, number: client.memories.store(_entry(agent, number)),
    "memories.store_many": lambda client, agent, _, number: client.memories.store_many(
        [_entry(agent, 10 * number + i) for i in range(10)]
    ),
    "memories.get": lambda client, agent, memory, _: client.memories.get(memory),
    "memories.list": lambda client, agent, _, __: client.memories.list(agent, limit=10),
    "memories.search": lambda client, agent, _, __: client.memories.search(agent, "which fact?"),
    "memories.search by vector": lambda client, agent, _, __: client.memories.search(agent, embedding=[1.0, 2.0]),
    "memories.search by both": lambda client, agent, _, __: client.memories.search(agent, "fact", embedding=[1.0, 2.0]),
    "memories.search with a filter": lambda client, agent, _, number: client.memories.search(
        agent, where={"number": number}
    ),
    "memories.forget": lambda client, *_: client.memories.forget(agent_id="nobody"),
    "metrics.record": lambda client, agent, _, number: client.metrics.record(agent, "accuracy", number, "percentage"),
    "metrics.record_many": lambda client, agent, _, number: client.metrics.record_many(
        [MetricPoint(agent_id=agent, name="accuracy", value=number + i) for i in range(10)]
    ),
    "metrics.summary": lambda client, agent, _, __: client.metrics.summary(agent),
    "executions.start": lambda client, agent, _, number: client.executions.start(agent, {"number": number}),
    "tools.register": lambda client, agent, _, number: client.tools.register(f"tool {number}", owner_agent_id=agent),
    "tools.register_all": lambda client, agent, _, number: client.tools.register_all(
        agent, [ToolDefinition(name=f"method {number + i}") for i in range(10)]
    ),
    "tools.record_call": lambda client, agent, _, number: client.tools.record_call(
        "tool 0", agent, success=True, duration_ms=number
    ),
    "tools.stats": lambda client, *_: client.tools.stats("tool 0"),
    "tools.overview": lambda client, *_: client.tools.overview(),
    "tools.rank": lambda client, *_: client.tools.rank(["tool 0"]),
    "tools.search": lambda client, *_: client.tools.search("tool"),
    "tools.schemas": lambda client, *_: client.tools.schemas(names=[]),
    "agents.get": lambda client, agent, _, __: client.agents.get(agent),
    "health_check": lambda client, *_: client.health_check(),
}


async def test_what_agents_do_all_the_time_takes_one_round_trip(
    client: PrismaAgentClient, agent_id: str, roundtrips: Wire
) -> None:
    """On a warm pool each operation sends once and is answered once."""
    memory = await client.memories.store(_entry(agent_id, -1))
    trips = {}
    for name, operation in OPERATIONS.items():
        await operation(client, agent_id, memory, 0)  # prepares its statement
        with roundtrips.counting() as count:
            for number in range(1, 6):
                await operation(client, agent_id, memory, number)
        trips[name] = count.trips

    assert trips == dict.fromkeys(OPERATIONS, 5)


async def test_storing_a_memory_again_takes_one_round_trip(
    client: PrismaAgentClient, agent_id: str, roundtrips: Wire
) -> None:
    """A duplicate is found by the statement that stores."""
    first = await client.memories.store(_entry(agent_id, 0))

    with roundtrips.counting() as count:
        second = await client.memories.store(_entry(agent_id, 0))

    assert (second, count.trips) == (first, 1)


async def test_a_prisma_find_unique_takes_one_round_trip(
    client: PrismaAgentClient, agent_id: str, roundtrips: Wire
) -> None:
    """The generated client adds none: the plan is cached, and one plan is one statement here."""
    memory = await client.memories.store(_entry(agent_id, 0))
    prisma = client.prisma
    await prisma.connect()
    where: Any = {"id": memory}  # the scope completes the compound key, which the generated types do not know
    await prisma.agentmemory.find_unique(where=where)

    with roundtrips.counting() as count:
        found = await prisma.agentmemory.find_unique(where=where)

    assert found is not None
    assert (found.content, count.trips) == ("fact 0", 1)


async def test_changing_the_organization_costs_one_more(
    client: PrismaAgentClient, agent_id: str, roundtrips: Wire
) -> None:
    """A connection that changes its tenant is told so once; after that it is one round trip again."""
    other = client.for_organization("other")
    await client.agents.get(agent_id)

    with roundtrips.counting() as first:
        assert await other.agents.list() == []
    with roundtrips.counting() as second:
        assert await other.agents.list() == []

    assert second.trips == 1
    assert first.trips <= 3  # the tenant, perhaps preparing the statement, the statement
