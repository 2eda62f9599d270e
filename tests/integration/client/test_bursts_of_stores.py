"""Concurrent `client.memories.store`: together on the wire, apart in everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agentdb import Agent, AgentConfig, ConflictError, MemoryEntry, NotFoundError, PrismaAgentClient
from tests.wire import Wire

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def client(roundtrips: Wire, database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client whose only way to the server is through the counting proxy."""
    async with PrismaAgentClient(roundtrips.url(database_url), "acme") as connected:
        yield connected


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    return await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id="scout-1"))


def entry(agent_id: str, content: str, **fields: Any) -> MemoryEntry:
    return MemoryEntry(agent_id=agent_id, content=content, **fields)


async def test_many_travel_in_few_statements(client: PrismaAgentClient, agent: Agent, roundtrips: Wire) -> None:
    """The first alone, then all the others at once."""
    for size in ("warm ", "again "):  # prepares both statements
        await asyncio.gather(*(client.memories.store(entry(agent.id, f"{size}{n}")) for n in range(3)))

    with roundtrips.counting() as count:
        ids = await asyncio.gather(*(client.memories.store(entry(agent.id, f"fact {n}")) for n in range(200)))

    assert count.trips == 2
    stored = {memory.id: memory.content for memory in await client.memories.list(agent.id, limit=1000)}
    assert [stored[id] for id in ids] == [f"fact {n}" for n in range(200)]


async def test_a_bad_row_fails_its_own_caller_alone(client: PrismaAgentClient, agent: Agent) -> None:
    """An unknown agent, an id that another memory has; the others are stored."""
    taken = await client.memories.store(entry(agent.id, "taken"))
    bad = {
        7: (entry("nobody", "of nobody"), NotFoundError),
        20: (entry(agent.id, "another of that id", id=taken), ConflictError),
        21: (entry("nobody else", "of nobody else"), NotFoundError),
    }
    entries = [bad[n][0] if n in bad else entry(agent.id, f"fact {n}") for n in range(40)]

    results = await asyncio.gather(*(client.memories.store(each) for each in entries), return_exceptions=True)

    for n, result in enumerate(results):
        if n in bad:
            assert isinstance(result, bad[n][1])
        else:
            assert isinstance(result, str)
            assert (await client.memories.get(result)).content == f"fact {n}"
    assert isinstance(results[7], NotFoundError)
    assert results[7].id == "nobody"
    assert await client.memories.count(agent.id) == 38


async def test_equals_of_several_callers_are_stored_once(client: PrismaAgentClient, agent: Agent) -> None:
    """All get the one id, and it counts them."""
    ids = await asyncio.gather(*(client.memories.store(entry(agent.id, "the same")) for _ in range(30)))

    assert len(set(ids)) == 1
    assert (await client.memories.get(ids[0])).store_count == 30


async def test_a_retried_key_lands_once(client: PrismaAgentClient, agent: Agent) -> None:
    """Also when the tries meet in one statement."""
    ids = await asyncio.gather(
        *(client.memories.store(entry(agent.id, f"fact {n % 3}", idempotency_key=f"k{n % 3}")) for n in range(30))
    )

    assert len(set(ids)) == 3
    assert await client.memories.count(agent.id) == 3


async def test_a_cancelled_caller_leaves_the_others(client: PrismaAgentClient, agent: Agent) -> None:
    """Whether it was on its way, or waiting for its turn."""
    tasks = [asyncio.create_task(client.memories.store(entry(agent.id, f"fact {n}"))) for n in range(20)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[5].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [n for n, result in enumerate(results) if isinstance(result, asyncio.CancelledError)] == [0, 5]
    contents = {memory.content for memory in await client.memories.list(agent.id)}
    assert {f"fact {n}" for n in range(20)} - contents <= {"fact 0", "fact 5"}
    assert "fact 5" not in contents  # it had not left yet


async def test_each_keeps_its_execution(client: PrismaAgentClient, agent: Agent) -> None:
    """Which execution stored a memory is the caller's, not that of who sends."""

    async def work(number: int) -> tuple[str, str]:
        async with client.executions.track(agent.id, {"number": number}) as execution:
            return await client.memories.store(entry(agent.id, f"fact {number}")), execution.id

    pairs = await asyncio.gather(*(work(number) for number in range(10)))

    outside = await client.memories.store(entry(agent.id, "outside"))
    assert [(await client.memories.get(memory)).execution_id for memory, _ in pairs] == [by for _, by in pairs]
    assert (await client.memories.get(outside)).execution_id is None


async def test_organizations_do_not_share_a_statement(client: PrismaAgentClient, agent: Agent) -> None:
    """Each has bursts of its own."""
    other = client.for_organization("other")
    await other.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id="scout-1"))

    await asyncio.gather(
        *(one.memories.store(entry(agent.id, f"fact {n}")) for n in range(50) for one in (client, other))
    )

    assert await client.memories.count() == await other.memories.count() == 50


async def test_within_a_transaction_each_is_sent(client: PrismaAgentClient, agent: Agent) -> None:
    """And undone with it."""
    with pytest.raises(RuntimeError):
        async with client.transaction() as transaction:
            await asyncio.gather(*(transaction.memories.store(entry(agent.id, f"fact {n}")) for n in range(5)))
            assert await transaction.memories.count() == 5
            raise RuntimeError
    assert await client.memories.count() == 0


async def test_a_closed_client_tells_every_caller(client: PrismaAgentClient, agent: Agent) -> None:
    """With an error, not by never answering."""
    tasks = [asyncio.create_task(client.memories.store(entry(agent.id, f"fact {n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await client.disconnect()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    assert all(isinstance(result, str | Exception) for result in results)
    async with client:
        contents = {memory.content for memory in await client.memories.list(agent.id)}
    assert {f"fact {n}" for n, result in enumerate(results) if isinstance(result, str)} <= contents


async def test_a_store_that_waits_for_a_transaction_holds_nobody_up(client: PrismaAgentClient, agent: Agent) -> None:
    """Not even a store that this transaction waits for."""
    async with client.transaction() as transaction:
        await transaction.memories.store(entry(agent.id, "the same"))
        waiting = asyncio.create_task(client.memories.store(entry(agent.id, "the same")))
        await asyncio.sleep(0.05)
        other = await asyncio.wait_for(client.memories.store(entry(agent.id, "unrelated")), 5)
    assert (await client.memories.get(await waiting)).store_count == 2
    assert (await client.memories.get(other)).content == "unrelated"


async def test_a_key_is_counted_once_however_often_it_is_there(client: PrismaAgentClient, agent: Agent) -> None:
    """In one statement too."""
    keyed = entry(agent.id, "keyed", idempotency_key="k")
    one, other = await client.memories.store_many([keyed, keyed])
    assert one == other
    assert (await client.memories.get(one)).store_count == 1


async def test_of_equals_the_one_with_an_embedding_gives_it(client: PrismaAgentClient, agent: Agent) -> None:
    """Whichever comes first."""
    await client.memories.store_many([entry(agent.id, "same"), entry(agent.id, "same", embedding=[1.0, 2.0])])
    (hit,) = await client.memories.search(agent.id, embedding=[1.0, 2.0])
    assert hit.memory.store_count == 2
