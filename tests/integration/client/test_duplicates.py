"""Equal memories, retried writes, and both at once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
)

pytestmark = pytest.mark.postgres

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def entry(agent: Agent, content: str = "text", **fields: Any) -> MemoryEntry:
    return MemoryEntry(agent_id=agent.id, content=content, **fields)


async def test_an_equal_memory_is_counted_not_stored(client: PrismaAgentClient, agent: Agent) -> None:
    """Its id comes back; nothing else of it changes."""
    first = await client.memories.store(entry(agent, importance=0.9))

    assert await client.memories.store(entry(agent, importance=0.1, pinned=True)) == first

    memory = await client.memories.get(first)
    assert (memory.store_count, memory.importance, memory.pinned) == (2, 0.9, False)
    assert await client.memories.count() == 1


async def test_other_metadata_type_or_agent_is_another_memory(client: PrismaAgentClient, agent: Agent) -> None:
    """Equal means all of it."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    ids = await client.memories.store_many(
        [entry(agent), entry(agent, metadata={"a": 1}), entry(agent, memory_type="fact"), entry(other)]
    )

    assert len(set(ids)) == 4


async def test_a_duplicate_may_be_refused(client: PrismaAgentClient, agent: Agent) -> None:
    """Then nothing is counted, and of a batch nothing is stored."""
    first = await client.memories.store(entry(agent), on_duplicate="raise")

    batches = ([entry(agent)], [entry(agent, "new"), entry(agent)], [entry(agent, "new"), entry(agent, "new")])
    for batch in batches:
        with pytest.raises(ConflictError) as caught:
            await client.memories.store_many(batch, on_duplicate="raise")
        assert caught.value.constraint == "agent_memories_living_content_key"
    with pytest.raises(ConflictError):
        await client.memories.store(entry(agent), on_duplicate="raise")

    assert [(memory.id, memory.store_count) for memory in await client.memories.list(agent.id)] == [(first, 1)]
    with pytest.raises(InvalidInputError, match="on_duplicate"):
        await client.memories.store(entry(agent), on_duplicate="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("in_batch", [False, True])
async def test_an_expired_equal_becomes_the_new_memory(client: PrismaAgentClient, agent: Agent, in_batch: bool) -> None:
    """With the new id and all new fields; the old id is gone."""
    old = await client.memories.store(entry(agent, expires_at=PAST, importance=0.1, occurred_at=PAST, embedding=[1.0]))
    await client.memories.store(entry(agent, expires_at=PAST))  # replaces, once more expired
    new_entry = entry(agent, importance=0.8, pinned=True, visibility="organization")

    if in_batch:
        new, _ = await client.memories.store_many([new_entry, entry(agent, "other")])
    else:
        new = await client.memories.store(new_entry, on_duplicate="raise")

    assert new != old
    memory = await client.memories.get(new)
    assert (memory.importance, memory.pinned, memory.visibility, memory.store_count) == (0.8, True, "organization", 1)
    assert (memory.expires_at, memory.embedding_model) == (None, None)
    assert memory.occurred_at == memory.created_at
    with pytest.raises(NotFoundError):
        await client.memories.get(old, include_expired=True)


async def test_an_expired_replacement_keeps_its_id(client: PrismaAgentClient, agent: Agent) -> None:
    """A superseded memory points to it."""
    first = await client.memories.store(entry(agent, "first"))
    second = await client.memories.supersede(first, entry(agent, "second", expires_at=PAST))

    assert await client.memories.store(entry(agent, "second")) == second

    assert (await client.memories.get(second)).expires_at is None
    assert (await client.memories.get(first, include_superseded=True)).superseded_by == second


async def test_equal_entries_of_a_batch_are_one(client: PrismaAgentClient, agent: Agent) -> None:
    """The ids come back in the order given, and each is counted."""
    texts = [random.choice("abcdefg") for _ in range(50)]

    ids = await client.memories.store_many(entry(agent, text) for text in texts)
    again = await client.memories.store_many([entry(agent, text) for text in texts])

    assert ids == again
    assert len(set(zip(texts, ids, strict=True))) == len(set(texts))
    counted = {memory.content: memory.store_count for memory in await client.memories.list(agent.id)}
    assert counted == {text: 2 * count for text, count in Counter(texts).items()}


async def test_a_batch_of_any_size_keeps_its_order(client: PrismaAgentClient, agent: Agent) -> None:
    """Several statements, some rows new and some not, of two agents."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    entries = [entry(random.choice([agent, other]), f"text {n}", importance=n / 3000) for n in range(2500)]
    some = random.sample(entries, 100)
    known = dict(zip((id(each) for each in some), await client.memories.store_many(some), strict=True))

    ids = await client.memories.store_many(entries)

    assert all(known.get(id(each), stored) == stored for each, stored in zip(entries, ids, strict=True))
    for place in random.sample(range(2500), 20):
        memory = await client.memories.get(ids[place])
        assert (memory.content, memory.agent_id) == (entries[place].content, entries[place].agent_id)
    assert await client.memories.store_many([]) == []


@pytest.mark.parametrize("in_batch", [False, True])
async def test_a_retried_write_lands_once(client: PrismaAgentClient, agent: Agent, in_batch: bool) -> None:
    """While it lives, after it was superseded, and after it expired: the same id, and no second count."""
    keyed = entry(agent, idempotency_key="k")

    async def store() -> str:
        if in_batch:
            return (await client.memories.store_many([keyed, entry(agent, "other", idempotency_key="o")]))[0]
        return await client.memories.store(keyed)

    first = await store()
    assert await store() == first
    assert (await client.memories.get(first)).store_count == 1
    await client.memories.supersede(first, entry(agent, "newer"))
    assert await store() == first
    assert await client.memories.count() == (2 if in_batch else 1)


async def test_a_retry_does_not_revive(client: PrismaAgentClient, agent: Agent) -> None:
    """A memory that expired between a write and its retry stays expired."""
    keyed = entry(agent, idempotency_key="k", expires_at=PAST)

    assert await client.memories.store(keyed) == await client.memories.store(keyed)
    assert await client.memories.count() == 0


async def test_a_key_stands_for_one_write(client: PrismaAgentClient, agent: Agent) -> None:
    """Another memory under it is refused, not dropped; another agent's key is another key."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    await client.memories.store(entry(agent, idempotency_key="k"))

    with pytest.raises(ConflictError, match="idempotency key"):
        await client.memories.store(entry(agent, "other text", idempotency_key="k"))
    with pytest.raises(ConflictError, match="idempotency key"):
        await client.memories.store_many([entry(agent, "new"), entry(agent, "other text", idempotency_key="k")])
    await client.memories.store(entry(other, "other text", idempotency_key="k"))
    assert await client.memories.count() == 2


async def test_concurrent_equal_stores_are_one_memory(client: PrismaAgentClient, agent: Agent) -> None:
    """The count is exact."""
    ids = await asyncio.gather(*(client.memories.store(entry(agent)) for _ in range(50)))

    assert len(set(ids)) == 1
    assert (await client.memories.get(ids[0])).store_count == 50


async def test_concurrent_batches_in_any_order_do_not_deadlock(client: PrismaAgentClient, agent: Agent) -> None:
    """Each text once, each copy counted."""
    texts = [f"text {n}" for n in range(200)]

    async def store(seed: int) -> list[str]:
        shuffled = random.Random(seed).sample(texts, len(texts))
        return sorted(await client.memories.store_many([entry(agent, text) for text in shuffled]))

    results = await asyncio.gather(*(store(seed) for seed in range(8)))

    assert all(result == results[0] for result in results)
    assert {memory.store_count for memory in await client.memories.list(agent.id, limit=1000)} == {8}


async def test_a_batch_that_collides_is_sent_again(
    client: PrismaAgentClient, agent: Agent, superuser_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadlock with somebody else's transaction costs nothing but time."""
    first, second = (entry(agent, text) for text in ("one", "two"))
    ids = sorted(await client.memories.store_many([first, second]))
    raw = await asyncpg.connect(superuser_url)
    try:
        await raw.execute("SET deadlock_timeout = '10s'")  # so that the other side is the one that notices
        async with raw.transaction():
            hashes = "SELECT id::text FROM agent_memories ORDER BY content_hash DESC"
            in_reverse = [row["id"] for row in await raw.fetch(hashes)]
            lock = "SELECT 1 FROM agent_memories WHERE id = $1::uuid FOR UPDATE"
            await raw.execute(lock, in_reverse[0])
            storing = asyncio.create_task(client.memories.store_many([first, second]))
            await asyncio.sleep(0.3)
            await raw.execute(lock, in_reverse[1])
        assert sorted(await storing) == ids
    finally:
        await raw.close()


@pytest.mark.parametrize("in_batch", [False, True])
async def test_an_id_of_another_agent_is_a_conflict(client: PrismaAgentClient, agent: Agent, in_batch: bool) -> None:
    """Also when both memories have the same text: it is not the same write."""
    id = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    await client.memories.store(entry(agent, id=id))

    batch = [entry(other, id=id), entry(other, "more")] if in_batch else [entry(other, id=id)]
    with pytest.raises(ConflictError) as caught:
        await client.memories.store_many(batch)

    assert caught.value.constraint == "agent_memories_pkey"
    assert await client.memories.count(other.id) == 0


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize("on_duplicate", ["return", "raise"])
async def test_a_retry_is_not_taken_for_an_equal_memory(
    client: PrismaAgentClient, agent: Agent, in_batch: bool, on_duplicate: Any
) -> None:
    """A write that was superseded since, and an equal one stored without a key: the retry counts for neither."""
    keyed = entry(agent, "v1", idempotency_key="k")
    first = await client.memories.store(keyed)
    await client.memories.supersede(first, entry(agent, "v2"))
    equal = await client.memories.store(entry(agent, "v1"))

    batch = [keyed, entry(agent, "more")] if in_batch else [keyed]
    ids = await client.memories.store_many(batch, on_duplicate=on_duplicate)

    assert ids[0] == first
    assert (await client.memories.get(equal)).store_count == 1


async def test_a_retried_supersede_returns_the_same_id(client: PrismaAgentClient, agent: Agent) -> None:
    """By its key, also when an equal memory took the place; another replacement finds nothing to replace."""
    old, other = await client.memories.store_many([entry(agent, "old"), entry(agent, "other")])
    equal = await client.memories.store(entry(agent, "equal"))

    for target, content in ((old, "new"), (other, "equal")):
        newer = entry(agent, content, idempotency_key=content)
        replacement = await client.memories.supersede(target, newer)
        assert await client.memories.supersede(target, newer) == replacement
        with pytest.raises(NotFoundError):
            await client.memories.supersede(target, entry(agent, "newer", idempotency_key="newer"))
        with pytest.raises(NotFoundError):
            await client.memories.supersede(target, entry(agent, content))
    assert replacement == equal
    assert await client.memories.count() == 2


async def test_a_list_is_checked_before_anything_is_written(client: PrismaAgentClient, agent: Agent) -> None:
    """However long it is; a generator is checked statement by statement."""
    entries: list[Any] = [entry(agent, f"text {n}") for n in range(1500)]
    entries.append({"content": "no entry"})

    with pytest.raises(InvalidInputError) as caught:
        await client.memories.store_many(entries)
    assert caught.value.field == "entries[1500]"
    assert await client.memories.count() == 0

    def generated() -> Iterator[Any]:
        yield from entries

    with pytest.raises(InvalidInputError):
        await client.memories.store_many(generated())
    assert await client.memories.count() == 1000


async def test_what_is_no_list_of_entries(client: PrismaAgentClient) -> None:
    """Refused by name."""
    wrongs: list[Any] = [None, 7]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError, match="entries"):
            await client.memories.store_many(wrong)
        with pytest.raises(InvalidInputError, match="points"):
            await client.metrics.record_many(wrong)
