"""Exports and imports beside everything else that goes on: one moment, one transaction, little memory, no blocking."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agentdb import Agent, InvalidInputError, MemoryEntry, NotConnectedError, NotFoundError, PrismaAgentClient
from agentdb.client.memory import transfer as memory_transfer
from agentdb.client.memory.transfer import Imported
from agentdb.postgres import migrate
from tests.conftest import Database
from tests.integration.client.test_event_loop import LONGEST_MS, longest_pause
from tests.integration.client.transferring import administering, exported, opened, register, store
from tests.wire import Wire

pytestmark = pytest.mark.postgres


@pytest.fixture
def other(client: PrismaAgentClient) -> PrismaAgentClient:
    """A client of another organization in the same database."""
    return client.for_organization("other")


async def test_an_export_is_of_one_moment(
    client: PrismaAgentClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between its pages does not show."""
    monkeypatch.setattr(memory_transfer, "_PAGE_ROWS", 2)
    ids = [await store(client, agent, f"memory {n}") for n in range(6)]
    before = await exported(client)

    lines = []
    async for line in client.memories.export_lines():
        lines.append(line)
        if len(lines) == 2:
            await client.memories.delete(ids[3])
            await client.memories.update(ids[4], importance=1.0)
            await client.memories.supersede(ids[5], MemoryEntry(agent_id=agent.id, content="new"))

    assert lines[1:-1] == before[1:-1]


async def test_a_page_holds_few_large_memories(
    client: PrismaAgentClient, agent: Agent, roundtrips: Wire, database_url: str
) -> None:
    """So that a thousand of a megabyte are not in memory at once; metadata counts."""
    for n in range(6):
        await store(client, agent, f"{n}", metadata={"text": "x" * 1_500_000})

    async with PrismaAgentClient(roundtrips.url(database_url), "acme") as counted:
        with roundtrips.counting() as few:
            await exported(counted)
        await counted.memories.forget(agent_id=agent.id)
        await counted.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"{n}") for n in range(2500))
        await exported(counted)
        with roundtrips.counting() as many:
            assert len(await exported(counted)) == 2502

    assert few.trips >= 3 + 2
    assert many.trips <= 12


async def test_two_imports_at_the_same_time(client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent) -> None:
    """One stores, and the other finds what is there."""
    await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=f"{n}") for n in range(1200)])
    lines = await exported(client)

    results = await asyncio.gather(*(other.memories.import_lines(lines) for _ in range(2)))

    assert sorted(results) == [(0, 1200), (1200, 0)]
    assert await other.memories.count() == 1200


async def test_exporting_within_a_transaction_is_refused(client: PrismaAgentClient, agent: Agent) -> None:
    """Its snapshot may be a new one for each statement."""
    async with client.transaction() as transaction:
        with pytest.raises(InvalidInputError, match="transaction"):
            await exported(transaction)


async def test_importing_within_a_transaction(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent
) -> None:
    """It shares its fate; and its settings are as before."""
    await client.memories.supersede(await store(client, agent, "old"), MemoryEntry(agent_id=agent.id, content="new"))
    lines = await exported(client)

    with pytest.raises(ZeroDivisionError):
        async with other.transaction() as transaction:
            await transaction.memories.import_lines(lines)
            assert await transaction.memories.count() == 1
            raise ZeroDivisionError
    assert await other.agents.list() == []

    async with other.transaction() as transaction:
        await transaction.memories.import_lines(lines)
        with pytest.raises(InvalidInputError):
            await transaction.memories.import_lines(lines[:-1])
        ((mode,),) = await transaction.driver.fetch("SHOW plan_cache_mode")
        assert mode == "auto"
    assert await other.memories.count() == 1


@pytest.mark.parametrize("options", ["pgbouncer=true", "pgbouncer=true&schema=elsewhere"])
async def test_where_a_pooler_hands_sessions_round(blank_database: Database, options: str) -> None:
    """The organization and the schema are then named in each transaction."""
    schema = options.partition("&")[2] or "schema=public"
    await migrate.deploy(f"{blank_database.admin_url}&{schema}")
    async with PrismaAgentClient(f"{blank_database.url}&{options}", "it's \\ 😀 %L") as client:
        agent = await register(client, "scout")
        await store(client, agent, "text", embedding=[1.0])
        lines = await exported(client)

        assert opened(lines)[0]["organization_id"] == client.organization_id
        assert await client.for_organization("other").memories.import_lines(lines) == Imported(1, 0)
        assert len(await exported(client.for_organization("third"))) == 2


async def test_an_export_that_is_left_gives_its_connection_back(client: PrismaAgentClient, agent: Agent) -> None:
    """Closed, or given to an import that fails."""
    await store(client, agent, "text")
    lines = client.memories.export_lines()
    assert await anext(lines)
    await lines.aclose()
    with pytest.raises(NotFoundError):
        await client.memories.import_lines(client.memories.export_lines(), agent_id="nobody")

    await asyncio.sleep(0)
    assert (await client.health_check()).pool.in_use <= 1


async def test_an_import_that_is_broken_off_leaves_nothing(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an error of whoever reads the lines, or by a cancellation."""
    monkeypatch.setattr(memory_transfer, "_STATEMENT_ROWS", 2)
    await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=f"{n}") for n in range(10)])
    lines = await exported(client)
    heard: list[int] = []

    def failing() -> Iterator[str]:
        yield from lines[:8]
        raise OSError("the disk is gone")

    async def endless() -> AsyncIterator[str]:
        for line in lines[:8]:
            yield line
        await asyncio.sleep(60)

    with pytest.raises(OSError, match="the disk is gone"):
        await other.memories.import_lines(failing(), progress=heard.append)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await other.memories.import_lines(endless(), progress=heard.append)

    assert heard == [2, 4, 6] * 2
    assert await other.agents.list() == []
    assert await other.memories.count() == 0


async def test_many_in_bounded_memory(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """20,000, straight from the export into the import, take a fraction of what they are as text."""
    async with administering(admin_url) as connection:
        await connection.execute(
            """
            INSERT INTO agent_memories
                (organization_id, id, agent_id, content, content_hash, embedding, embedding_model)
            SELECT 'acme', gen_random_uuid(), 'scout-1', 'memory ' || n, sha256(n::text::bytea),
                array_fill(n::float4, ARRAY[64])::vector, 'm'
            FROM generate_series(1, 20000) AS n
            """
        )
    size = 0

    async def measured() -> AsyncIterator[str]:
        nonlocal size
        async for line in client.memories.export_lines():
            size += len(line)
            yield line

    tracemalloc.start()
    await other.memories.import_lines(measured())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert await other.memories.count() == 20_000
    assert size > 16_000_000
    assert peak < 5_000_000


async def test_neither_blocks_the_event_loop(client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent) -> None:
    """Not with embeddings either; the best of three, as a machine may be busy."""
    await client.memories.store_many(
        MemoryEntry(agent_id=agent.id, content=f"memory {n}", embedding=[n + 1.0] * 384) for n in range(2000)
    )
    lines = await exported(client)

    out = [await longest_pause(lambda: exported(client)) for _ in range(3)]
    back = [await longest_pause(lambda: other.memories.import_lines(lines)) for _ in range(3)]

    assert min(out) < LONGEST_MS
    assert min(back) < LONGEST_MS


async def test_what_is_no_lines(client: PrismaAgentClient) -> None:
    """Refused by name."""
    wrong: Any
    for wrong in ("text", b"bytes", None, 7):
        with pytest.raises(InvalidInputError) as caught:
            await client.memories.import_lines(wrong)
        assert caught.value.field == "lines"
    with pytest.raises(InvalidInputError, match="agent_id"):
        await exported(client, "")
    closed = PrismaAgentClient("postgresql://db.invalid/x", "acme")
    with pytest.raises(NotConnectedError):
        await exported(closed)
