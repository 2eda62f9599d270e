"""The life of a memory: history, expiry, recalls, forgetting, sweeping."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    InvalidInputError,
    MemoryEntry,
    NotConnectedError,
    NotFoundError,
    PrismaAgentClient,
    Settings,
)
from agentdb.postgres.url import parse_url

pytestmark = pytest.mark.postgres

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def store(client: PrismaAgentClient, agent: Agent, content: str, **fields: Any) -> str:
    return await client.memories.store(MemoryEntry(agent_id=agent.id, content=content, **fields))


async def fetch(url: str, sql: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(**parse_url(url).connect_arguments())
    try:
        return list(await connection.fetch(sql, *arguments))
    finally:
        await connection.close()


# History


async def test_history_is_read_as_of_a_time(client: PrismaAgentClient, agent: Agent) -> None:
    """What lived then: stored by then, not yet superseded."""
    before = datetime.now(UTC)
    first = await store(client, agent, "The office is in Bonn.")
    await asyncio.sleep(0.01)
    between = datetime.now(UTC)
    await asyncio.sleep(0.01)
    second = await client.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="The office is in Berlin."))
    after = datetime.now(UTC) + timedelta(seconds=1)

    for moment, expected in ((before, []), (between, [first]), (after, [second]), (None, [second])):
        for query in ("office", None):
            hits = await client.memories.search(agent.id, query, as_of=moment)
            assert [hit.id for hit in hits] == expected
        assert [memory.id for memory in await client.memories.list(agent.id, as_of=moment)] == expected
        assert await client.memories.count(agent.id, as_of=moment) == len(expected)
    assert [memory.id for memory in await client.memories.history(first)] == [first, second]
    assert [memory.id for memory in await client.memories.history(second)] == [first, second]
    with pytest.raises(NotFoundError):
        await client.memories.history("01a204bf-38e6-7c72-a0e5-6526c4d1d84c")


async def test_what_has_expired_is_never_read(client: PrismaAgentClient, agent: Agent) -> None:
    """Not as of a time at which it had not, either."""
    id = await store(client, agent, "word", expires_at=datetime.now(UTC) + timedelta(milliseconds=300))
    then = datetime.now(UTC) + timedelta(milliseconds=10)
    assert [hit.id for hit in await client.memories.search(agent.id, "word")] == [id]
    await asyncio.sleep(0.35)

    for query in ("word", None):
        assert await client.memories.search(agent.id, query, as_of=then) == []
        assert await client.memories.search(agent.id, query) == []
    assert await client.memories.list(agent.id, as_of=then) == []
    with pytest.raises(NotFoundError):
        await client.memories.history(id)


async def test_one_of_two_versions_lives_at_every_time(client: PrismaAgentClient, agent: Agent) -> None:
    """Also while a transaction was taking its time, and right before the newer one was there."""
    first = await store(client, agent, "old")
    async with client.transaction() as transaction:
        await asyncio.sleep(0.05)
        second = await transaction.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="new"))
    created = (await client.memories.get(second)).created_at

    for before in (timedelta(microseconds=1), timedelta(milliseconds=20)):
        assert [memory.id for memory in await client.memories.list(agent.id, as_of=created - before)] == [first]
    assert [memory.id for memory in await client.memories.list(agent.id, as_of=created)] == [second]


async def test_time_goes_on_within_a_transaction(client: PrismaAgentClient, agent: Agent) -> None:
    """What expires during it is gone."""
    async with client.transaction() as transaction:
        soon = datetime.now(UTC) + timedelta(milliseconds=100)
        id = await store(transaction, agent, "word", expires_at=soon)
        assert (await transaction.memories.get(id)).content == "word"
        await asyncio.sleep(0.15)
        assert await transaction.memories.search(agent.id, "word") == []
        with pytest.raises(NotFoundError):
            await transaction.memories.get(id)


# Forgetting


async def test_forgetting_by_metadata(client: PrismaAgentClient, agent: Agent) -> None:
    """Organization-wide unless an agent is named; counted first on request; history, expired and pinned ones too."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    first = await store(client, agent, "Alice moved to Bonn", metadata={"subject": "alice"})
    await client.memories.supersede(
        first, MemoryEntry(agent_id=agent.id, content="Alice moved to Rome", metadata={"subject": "alice"}, pinned=True)
    )
    await store(client, agent, "gone", metadata={"subject": "alice"}, expires_at=PAST)
    await store(client, other, "Alice likes tea", metadata={"subject": "alice"})
    kept = await store(client, other, "Bob likes tea", metadata={"subject": "bob"})

    where = {"subject": "alice"}
    assert await client.memories.forget(where, agent_id=other.id, dry_run=True) == 1
    assert await client.memories.forget(where, dry_run=True) == 4
    assert await client.memories.count() == 3
    assert await client.memories.forget(where) == 4
    assert await client.memories.forget(where) == 0
    assert [memory.id for memory in await client.memories.list(other.id)] == [kept]


async def test_forgetting_takes_the_older_versions_along(client: PrismaAgentClient, agent: Agent) -> None:
    """Those that do not fit the filter themselves, too; newer ones stay."""
    first = await store(client, agent, "one", metadata={"n": 1})
    second = await client.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="two", metadata={"n": 2}))
    third = await client.memories.supersede(second, MemoryEntry(agent_id=agent.id, content="three", metadata={"n": 3}))

    assert await client.memories.forget({"n": 2}, dry_run=True) == 2
    assert await client.memories.forget({"n": 2}) == 2
    assert [memory.id for memory in await client.memories.history(third)] == [third]


async def test_forgetting_everything_has_to_be_said(client: PrismaAgentClient, agent: Agent) -> None:
    """Neither a condition nor an agent is refused; an agent alone is all of its own."""
    await store(client, agent, "one", memory_type="fact")
    await store(client, agent, "two")
    nothing: tuple[dict[str, Any] | None, ...] = (None, {}, {"AND": []}, {"NOT": []}, {"OR": [{}, {"AND": {}}]})
    for where in nothing:
        with pytest.raises(InvalidInputError) as caught:
            await client.memories.forget(where)
        assert caught.value.field == "where"

    later = datetime.now(UTC) + timedelta(days=1)
    assert await client.memories.forget(agent_id=agent.id, memory_type="fact", dry_run=True) == 1
    assert await client.memories.forget(agent_id=agent.id, stored_before=PAST) == 0
    assert await client.memories.forget(agent_id=agent.id, since=PAST, until=later, stored_before=later) == 2
    assert await client.memories.forget(agent_id="nobody") == 0


async def test_forgetting_leaves_other_organizations_alone(client: PrismaAgentClient, agent: Agent) -> None:
    """The same filter, the same agent id."""
    neighbour = client.for_organization("other")
    await neighbour.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id=agent.id))
    theirs = await store(neighbour, agent, "word", metadata={"a": 1})
    await store(client, agent, "word", metadata={"a": 1})

    assert await client.memories.forget({"a": 1}) == 1
    assert await client.memories.forget(agent_id=agent.id) == 0
    assert (await neighbour.memories.get(theirs)).content == "word"


@pytest.mark.parametrize(
    "filter_", [{"kind": "a"}, {"n": {"gte": 90}}, {"OR": [{"kind": "a"}, {"n": 5}]}, {"NOT": {"kind": "b"}}]
)
async def test_a_filter_narrows_everything_alike(
    client: PrismaAgentClient, agent: Agent, filter_: dict[str, Any]
) -> None:
    """List, count, search without a query and dry forgetting; whether the index serves it or not."""
    await client.memories.store_many(
        MemoryEntry(agent_id=agent.id, content=f"word {n}", metadata={"n": n, "kind": "a" if n % 10 == 0 else "b"})
        for n in range(100)
    )
    expected = {
        f"word {n}"
        for n in range(100)
        if {"kind": n % 10 == 0, "n": n >= 90, "OR": n % 10 == 0 or n == 5, "NOT": n % 10 == 0}[next(iter(filter_))]
    }

    assert {memory.content for memory in await client.memories.list(agent.id, where=filter_)} == expected
    assert {hit.content for hit in await client.memories.search(agent.id, where=filter_, limit=100)} == expected
    assert {hit.content for hit in await client.memories.search(agent.id, "word", where=filter_, limit=100)} == expected
    assert await client.memories.count(agent.id, where=filter_) == len(expected)
    assert await client.memories.count(where=filter_) == len(expected)
    assert await client.memories.forget(filter_, dry_run=True) == len(expected)


async def test_a_filter_that_fits_thousands(client: PrismaAgentClient, agent: Agent) -> None:
    """More than the index is asked for: nothing is missed."""
    await client.memories.store_many(
        MemoryEntry(agent_id=agent.id, content=f"word {n}", metadata={"kind": "a"}) for n in range(2500)
    )

    assert await client.memories.count(agent.id, where={"kind": "a"}) == 2500
    newest = await client.memories.list(agent.id, where={"kind": "a"}, limit=3)
    assert [memory.content for memory in newest] == ["word 2499", "word 2498", "word 2497"]
    assert await client.memories.forget({"kind": "a"}, dry_run=True) == 2500


# Sweeping


async def test_a_sweep_deletes_what_has_expired(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """With its history; counted first on request."""
    old = await store(client, agent, "old")
    await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="new", expires_at=PAST))
    await store(client, agent, "alive", expires_at=datetime.now(UTC) + timedelta(days=1))

    assert await client.memories.sweep(dry_run=True) == (1, 0)
    assert await client.memories.sweep(agent_id="nobody") == (0, 0)
    assert await client.memories.sweep() == (2, 0)
    assert [row["content"] for row in await fetch(admin_url, "SELECT content FROM agent_memories")] == ["alive"]


async def test_a_sweep_keeps_the_most_valuable(client: PrismaAgentClient) -> None:
    """As many as the agent may have; pinned ones always."""
    agent = await client.agents.register(AgentConfig(name="full", category="SUPPORT", max_memories=3))
    assert agent.max_memories == 3
    long_ago = datetime.now(UTC) - timedelta(days=365)
    await store(client, agent, "pinned, of no value", importance=0, pinned=True, occurred_at=long_ago)
    await store(client, agent, "important", importance=1, occurred_at=long_ago)
    await store(client, agent, "recent", importance=0.4)
    await store(client, agent, "neither", importance=0.4, occurred_at=long_ago)
    await store(client, agent, "recalled just now", importance=0.4, occurred_at=long_ago)
    await client.memories.search(agent.id, "recalled")

    async with client:  # which counts the recall
        pass
    async with client:
        assert await client.memories.sweep(dry_run=True) == (0, 2)
        assert await client.memories.sweep() == (0, 2)
        left = {memory.content for memory in await client.memories.list(agent.id)}
    assert left == {"pinned, of no value", "important", "recalled just now"}


# Recalls


async def test_recalls_are_counted(database_url: str, agent: Agent) -> None:
    """Here at once, elsewhere a moment later; nothing of it waits in a search."""
    settings = Settings(organization_id="acme", database_url=database_url, flush_seconds=0.02)
    async with PrismaAgentClient(settings=settings) as client, PrismaAgentClient(settings=settings) as elsewhere:
        id = await store(client, agent, "word")
        other = await store(client, agent, "unasked")
        for _ in range(3):
            (hit,) = await client.memories.search(agent.id, "word")
        assert (hit.memory.access_count, (await client.memories.get(id)).access_count) == (3, 3)
        for _ in range(100):
            memory = await elsewhere.memories.get(id)
            if memory.access_count == 3:
                break
            await asyncio.sleep(0.02)
        assert memory.access_count == (await client.memories.get(id)).access_count == 3
        assert memory.last_accessed_at == hit.memory.last_accessed_at
        assert (await elsewhere.memories.get(other)).last_accessed_at is None


async def test_recalls_are_counted_when_the_client_closes(database_url: str, agent: Agent) -> None:
    """Those of many searches at once, all."""
    settings = Settings(organization_id="acme", database_url=database_url, flush_seconds=60)
    async with PrismaAgentClient(settings=settings) as client:
        id = await store(client, agent, "word")
        await asyncio.gather(*(client.memories.search(agent.id, "word") for _ in range(50)))
    async with PrismaAgentClient(settings=settings) as client:
        assert (await client.memories.get(id)).access_count == 50


async def test_counting_waits_for_nobody(client: PrismaAgentClient, agent: Agent) -> None:
    """Neither do others wait for it: what is being written is counted later."""
    held, free = await store(client, agent, "held word"), await store(client, agent, "free word")
    async with client.transaction() as transaction:
        await transaction.memories.update(held, importance=1)
        await client.memories.search(agent.id, "word")
        await asyncio.wait_for(client.gathering.accesses.flush(), 2)
        counts = {row["id"]: row["access_count"] for row in await client.driver.fetch(_COUNTS)}
        assert counts == {held: 0, free: 1}
    await client.gathering.accesses.flush()
    counts = {row["id"]: row["access_count"] for row in await client.driver.fetch(_COUNTS)}
    assert counts == {held: 1, free: 1}


_COUNTS = "SELECT id::text AS id, access_count FROM agent_memories"


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_closing_does_not_wait_for_counting(database_url: str, agent: Agent, is_cancelled: bool) -> None:
    """Not even when there is no connection left to count with; and cancelling it closes all the same."""
    url = f"{database_url}&connection_limit=1&pool_timeout=0"
    client = PrismaAgentClient(settings=Settings(organization_id="acme", database_url=url, flush_seconds=60))
    await client.connect()
    await store(client, agent, "word")
    await client.memories.search(agent.id, "word")
    holder = await client.driver.begin()
    closing = asyncio.create_task(client.disconnect())
    await asyncio.sleep(0.1)
    if is_cancelled:
        closing.cancel()
    await holder.rollback()
    await asyncio.wait([closing], timeout=8)

    assert closing.done()
    with pytest.raises(NotConnectedError):
        await client.memories.count()
