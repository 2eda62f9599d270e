"""`client.memories`: storing, reading, changing."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    InvalidInputError,
    Memory,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
)

pytestmark = pytest.mark.postgres

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def test_a_memory_comes_back_as_it_was_stored(client: PrismaAgentClient, agent: Agent) -> None:
    """Every field, to the microsecond and the last digit."""
    occurred = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    entry = MemoryEntry(
        agent_id=agent.id,
        content="Größe 😀 'quoted' \\ $1",
        metadata={"a": [1, 2.5, None, {"b": "c"}], "big": 2**70},
        importance=0.1 + 0.2,
        memory_type="fact",
        embedding=[0.1, -2.0],
        embedding_model="m",
        visibility="organization",
        sensitive=True,
        pinned=True,
        occurred_at=occurred,
        expires_at=occurred + timedelta(days=36500),
    )

    memory = await client.memories.get(await client.memories.store(entry))

    for name in MemoryEntry.model_fields.keys() & Memory.model_fields.keys() - {"id"}:
        assert getattr(memory, name) == getattr(entry, name), name
    assert UUID(memory.id).version == 7
    assert abs(memory.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (memory.store_count, memory.access_count, memory.superseded_by) == (1, 0, None)


async def test_defaults(client: PrismaAgentClient, agent: Agent) -> None:
    """A memory of agent and content alone, stored alone and in a batch, is the same."""
    one = await client.memories.get(await client.memories.store(MemoryEntry(agent_id=agent.id, content="one")))
    ids = await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=text) for text in ("two", "three")])
    two = await client.memories.get(ids[0])

    same = {"id", "content", "created_at", "occurred_at"}
    assert one.model_dump(exclude=same) == two.model_dump(exclude=same)
    assert (one.importance, one.memory_type, one.visibility, one.metadata) == (0.5, "general", "agent", {})
    assert one.occurred_at == one.created_at


async def test_the_id_may_be_given(client: PrismaAgentClient, agent: Agent) -> None:
    """One that is taken by another memory is a conflict."""
    id = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"
    entry = MemoryEntry(agent_id=agent.id, content="text", id=id)

    assert await client.memories.store(entry) == id
    with pytest.raises(ConflictError) as caught:
        await client.memories.store(MemoryEntry(agent_id=agent.id, content="other", id=id))
    assert caught.value.constraint == "agent_memories_pkey"


async def test_an_unknown_agent_is_told_how_to_register(client: PrismaAgentClient, agent: Agent) -> None:
    """In a batch only the unknown ones are named, and nothing is stored."""
    with pytest.raises(NotFoundError, match=r"await client\.agents\.register") as caught:
        await client.memories.store(MemoryEntry(agent_id="nobody", content="text"))
    assert (caught.value.entity, caught.value.id) == ("agent", "nobody")

    agents = [agent.id, "nobody", "no one"]
    with pytest.raises(NotFoundError) as caught:
        await client.memories.store_many([MemoryEntry(agent_id=id, content="text") for id in agents])
    assert caught.value.id == "no one, nobody"
    assert await client.memories.count() == 0


@pytest.mark.parametrize("id", ["", "x", "01a204bf-38e6-7c72-a0e5-6526c4d1d84c", "a" * 100_000, None, 7])
async def test_an_unknown_memory_is_not_found(client: PrismaAgentClient, id: Any) -> None:
    """Whatever the id looks like, and briefly."""
    calls = (
        lambda: client.memories.get(id),
        lambda: client.memories.update(id, importance=1.0),
        lambda: client.memories.supersede(id, MemoryEntry(agent_id="a", content="c")),
    )
    for call in calls:
        with pytest.raises(NotFoundError) as caught:
            await call()
        assert caught.value.entity == "memory"
        assert len(str(caught.value)) < 300
    assert await client.memories.delete(id) is False


async def test_lists_are_newest_first(client: PrismaAgentClient, agent: Agent) -> None:
    """Of one agent, the newest 100 unless asked otherwise; an unknown agent has none."""
    ids = [await client.memories.store(MemoryEntry(agent_id=agent.id, content=str(n))) for n in range(5)]
    await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=f"many {n}") for n in range(100)])

    assert len(await client.memories.list(agent.id)) == 100
    assert [memory.id for memory in await client.memories.list(agent.id, limit=10, offset=100)] == ids[::-1]
    assert await client.memories.list("nobody") == []


async def test_lists_narrow(client: PrismaAgentClient, agent: Agent) -> None:
    """Own living memories; shared, expired and superseded ones on request."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))

    async def store(content: str, agent_id: str = agent.id, **fields: Any) -> str:
        return await client.memories.store(MemoryEntry(agent_id=agent_id, content=content, **fields))

    await store("plain")
    await store("fact", memory_type="fact", importance=0.9)
    await store("expired", expires_at=PAST)
    await client.memories.supersede(await store("old"), MemoryEntry(agent_id=agent.id, content="new"))
    await store("theirs", other.id)
    await store("shared", other.id, visibility="organization")
    await store("shared and expired", other.id, visibility="organization", expires_at=PAST)

    async def listed(**options: Any) -> list[str]:
        return [memory.content for memory in await client.memories.list(agent.id, **options)]

    assert await listed() == ["new", "fact", "plain"]
    assert await listed(include_expired=True) == ["new", "expired", "fact", "plain"]
    assert await listed(include_superseded=True) == ["new", "old", "fact", "plain"]
    assert await listed(include_shared=True) == ["shared", "new", "fact", "plain"]
    assert await listed(memory_type="fact") == await listed(min_importance=0.9) == ["fact"]
    for wrong in ({"limit": 0}, {"limit": 1001}, {"offset": -1}, {"min_importance": math.nan}, {"memory_type": ""}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await listed(**wrong)


@pytest.mark.parametrize("flag", ["include_expired", "include_superseded"])
async def test_a_flag_is_true_or_false(client: PrismaAgentClient, agent: Agent, flag: str) -> None:
    """Any text would count as true."""
    options: dict[str, Any] = {flag: "x"}
    with pytest.raises(InvalidInputError, match=flag):
        await client.memories.get("01a204bf-38e6-7c72-a0e5-6526c4d1d84c", **options)
    with pytest.raises(InvalidInputError, match=flag):
        await client.memories.list(agent.id, **options)
    shared: Any = "x"
    with pytest.raises(InvalidInputError, match="include_shared"):
        await client.memories.search(agent.id, include_shared=shared)


async def test_an_expired_memory_is_not_read(client: PrismaAgentClient, agent: Agent) -> None:
    """Unless asked for; one that expires later is."""
    gone = await client.memories.store(MemoryEntry(agent_id=agent.id, content="gone", expires_at=PAST))
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    soon_gone = await client.memories.store(MemoryEntry(agent_id=agent.id, content="soon gone", expires_at=soon))

    assert (await client.memories.get(soon_gone)).expires_at == soon
    with pytest.raises(NotFoundError):
        await client.memories.get(gone)
    assert (await client.memories.get(gone, include_expired=True)).content == "gone"
    await asyncio.sleep(0.35)
    with pytest.raises(NotFoundError):
        await client.memories.get(soon_gone)
    assert await client.memories.count(agent.id) == 0


async def test_update_changes_what_it_is_told(client: PrismaAgentClient, agent: Agent) -> None:
    """The rest stays; another content drops the embedding, which was the old one's."""
    entry = MemoryEntry(agent_id=agent.id, content="old", metadata={"a": 1}, embedding=[1.0], expires_at=PAST)
    before = await client.memories.get(await client.memories.store(entry.model_copy(update={"expires_at": None})))

    after = await client.memories.update(before.id, importance=1, metadata={"b": [2]}, pinned=True)
    assert after == before.model_copy(update={"importance": 1.0, "metadata": {"b": [2]}, "pinned": True})
    assert after.embedding_model == "unnamed"
    rewritten = await client.memories.update(before.id, content="new", expires_at=None)
    assert (rewritten.content, rewritten.embedding_model) == ("new", None)
    assert await client.memories.get(before.id) == rewritten


async def test_update_refuses_what_storing_would(client: PrismaAgentClient, agent: Agent) -> None:
    """And a memory cannot become equal to another one."""
    first, second = await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=text) for text in "ab"])

    for wrong in ({"importance": 2}, {"content": "\x00"}, {"agent_id": "other"}, {"metadata": {"x": math.nan}}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await client.memories.update(first, **wrong)
    with pytest.raises(ConflictError) as caught:
        await client.memories.update(first, content="b")
    assert caught.value.constraint == "agent_memories_living_content_key"
    assert {(await client.memories.get(id)).content for id in (first, second)} == {"a", "b"}


async def test_supersede_keeps_the_old_version(client: PrismaAgentClient, agent: Agent) -> None:
    """It points to the new one and is read on request only."""
    old = await client.memories.store(MemoryEntry(agent_id=agent.id, content="old"))

    new = await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="new"))

    assert (await client.memories.get(old, include_superseded=True)).superseded_by == new
    with pytest.raises(NotFoundError):
        await client.memories.get(old)
    with pytest.raises(NotFoundError):
        await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="newer"))
    assert await client.memories.store(MemoryEntry(agent_id=agent.id, content="old")) not in (old, new)


async def test_what_cannot_supersede(client: PrismaAgentClient, agent: Agent) -> None:
    """An equal memory, or another agent's; the old one stays."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    old = await client.memories.store(MemoryEntry(agent_id=agent.id, content="old"))

    with pytest.raises(ConflictError):
        await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="old"))
    with pytest.raises(InvalidInputError, match="agent_id"):
        await client.memories.supersede(old, MemoryEntry(agent_id=other.id, content="new"))

    assert (await client.memories.get(old)).store_count == 1
    assert await client.memories.count() == 1


async def test_deleting_a_memory_takes_its_history(client: PrismaAgentClient, agent: Agent) -> None:
    """What it superseded goes with it; other memories stay."""
    first = await client.memories.store(MemoryEntry(agent_id=agent.id, content="1"))
    second = await client.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="2"))
    third = await client.memories.supersede(second, MemoryEntry(agent_id=agent.id, content="3"))
    other = await client.memories.store(MemoryEntry(agent_id=agent.id, content="other"))

    assert await client.memories.delete(third) is True

    assert await client.memories.delete(third) is False
    assert [memory.id for memory in await client.memories.list(agent.id, include_superseded=True)] == [other]


async def test_the_longest_text_is_stored_whole(client: PrismaAgentClient, agent: Agent) -> None:
    """A million characters, of nothing but distinct words; it is found by those it begins with."""
    rich = " ".join(f"жжжж{n}" for n in range(10_000, 110_000))[:1_000_000]  # two bytes a letter
    id = await client.memories.store(MemoryEntry(agent_id=agent.id, content=rich))

    assert (await client.memories.get(id)).content == rich
    assert [hit.id for hit in await client.memories.search(agent.id, "ЖЖЖЖ10000")] == [id]


async def test_a_memory_knows_the_execution_that_stored_it(client: PrismaAgentClient, agent: Agent) -> None:
    """Within one, alone and in a batch; outside of any it knows none."""
    outside = await client.memories.store(MemoryEntry(agent_id=agent.id, content="outside"))
    async with client.executions.track(agent.id, "task") as execution:
        alone = await client.memories.store(MemoryEntry(agent_id=agent.id, content="alone"))
        batch = await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=text) for text in "ab"])

    assert (await client.memories.get(outside)).execution_id is None
    assert {(await client.memories.get(id)).execution_id for id in [alone, *batch]} == {execution.id}
