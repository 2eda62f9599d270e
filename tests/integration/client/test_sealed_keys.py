"""Sealed memories and their keys: missing ones, wrong ones, older ones; and the embedder, which does not see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from agentdb import Agent, AgentConfig, ConflictError, EncryptionError, MemoryEntry, PrismaAgentClient
from agentdb.client.encryption.seals import Seals
from agentdb.client.memory.sealing import resealed
from agentdb.security.encryption import KeyRing
from agentdb.testing import HashEmbedder
from tests.integration.client.encrypting import KEYS
from tests.integration.client.sealing import SECRET, entry, key_ids, keyed, sealed_ids, settings, texts_of
from tests.integration.client.transferring import administering

pytestmark = pytest.mark.postgres

METADATA = {"subject": "alice", "n": 1}


class Listening(HashEmbedder):
    """An embedder that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__(16)
        self.seen: list[str] = []

    async def embed(self, texts: list[str]) -> list[list[float]]:
        self.seen += texts
        return await super().embed(texts)


@pytest_asyncio.fixture
async def older(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client of the key that all have had so far."""
    async with keyed(database_url, "k1") as client:
        yield client


@pytest_asyncio.fixture
async def newer(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client with two newer keys, too."""
    async with keyed(database_url, "k3", "k2", "k1") as client:
        yield client


@pytest_asyncio.fixture
async def agent(older: PrismaAgentClient) -> Agent:
    return await older.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id="scout-1"))


async def test_a_missing_key_is_named(older: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """With the memory and the variable, whether there is no key at all or another; nothing is left out silently."""
    memory_id = await older.memories.store(entry(agent))
    await older.memories.store(MemoryEntry(agent_id=agent.id, content="plain"))
    for keys in ((), ("k2",)):
        async with keyed(database_url, *keys) as client:
            for read in (
                client.memories.get(memory_id),
                client.memories.list(agent.id),
                client.memories.search(agent.id),
                client.memories.history(memory_id),
                client.memories.update(memory_id, importance=1.0),
            ):
                with pytest.raises(EncryptionError, match="AGENTDB_ENCRYPTION_KEYS") as raised:
                    await read
                assert (raised.value.key_id, raised.value.place) == ("k1", f"agent_memories.sealed of {memory_id}")
            assert len(await client.memories.list(agent.id, limit=1)) == 1


async def test_another_key_of_the_same_name(older: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """Opens nothing, and says so."""
    memory_id = await older.memories.store(entry(agent))
    wrong = replace(settings(database_url), encryption_keys={"k1": b"x" * 32})
    async with PrismaAgentClient(settings=wrong) as client:
        with pytest.raises(EncryptionError, match=memory_id):
            await client.memories.get(memory_id)


async def test_older_keys_open_and_find(older: PrismaAgentClient, newer: PrismaAgentClient, agent: Agent) -> None:
    """What they sealed is read, filtered and changed; a change seals with the newest."""
    first = await older.memories.store(entry(agent, metadata=METADATA))
    second = await newer.memories.store(entry(agent, "second", metadata=METADATA))

    for where in (METADATA, {"subject": {"in": ["bob", "alice"]}}, {"OR": [{"n": 1}, {"n": 2}]}):
        assert {memory.id for memory in await newer.memories.list(agent.id, where=where)} == {first, second}
    assert [memory.id for memory in await older.memories.list(agent.id, where=METADATA)] == [first]
    assert (await newer.memories.update(first, importance=1.0)).content == SECRET
    with pytest.raises(EncryptionError):
        await older.memories.get(first)


async def test_an_equal_one_under_an_older_key(
    older: PrismaAgentClient, newer: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str
) -> None:
    """Is found: one by one, many at once, by a change; and found again by whoever has the newest key alone of them."""
    ids = await older.memories.store_many([entry(agent, f"{number}", metadata=METADATA) for number in range(4)])
    async with keyed(database_url, "k2", "k1") as middle:
        assert await middle.memories.store(entry(agent, "0", metadata=METADATA)) == ids[0]

    assert await newer.memories.store(entry(agent, "0", metadata=METADATA)) == ids[0]
    stored = await newer.memories.store_many([entry(agent, f"{number}", metadata=METADATA) for number in range(5)])
    assert stored[:4] == ids
    assert await newer.memories.count(agent.id) == 5
    assert [(await newer.memories.get(each)).store_count for each in ids] == [4, 2, 2, 2]
    assert await key_ids(admin_url) == {"k1", "k3"}
    with pytest.raises(ConflictError):
        await newer.memories.update(stored[4], content="1")


async def test_retries_of_writes_under_an_older_key(
    older: PrismaAgentClient, newer: PrismaAgentClient, agent: Agent
) -> None:
    """Land once, also when the memory was superseded since."""
    written, replacing = entry(agent, idempotency_key="a"), entry(agent, "newer", idempotency_key="b")
    first = await older.memories.store(written)
    second = await older.memories.supersede(first, replacing)

    assert await newer.memories.store(written) == first
    assert await newer.memories.supersede(first, replacing) == second
    assert await newer.memories.count(agent.id) == 1


async def test_two_equals_under_two_older_keys(
    older: PrismaAgentClient, newer: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """Stored by clients that did not know each other's key: one of them answers for both."""
    first = await older.memories.store(entry(agent))
    async with keyed(database_url, "k2") as other:
        second = await other.memories.store(entry(agent))

    assert await newer.memories.store(entry(agent)) in {first, second}
    assert await newer.memories.store(entry(agent)) in {first, second}
    assert await newer.memories.count(agent.id) == 2


async def test_resealed_is_what_the_newest_key_would_have_made(
    older: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str
) -> None:
    """A row that was rewritten by it opens without the older key, is found by its metadata and by its equals."""
    memory_id = await older.memories.store(entry(agent, metadata={**METADATA, "list": [1], "big": 1e22}))
    ring = KeyRing({name: KEYS[name] for name in ("k2", "k1")})
    async with administering(admin_url) as connection:
        record = await connection.fetchrow("SELECT id, sealed, memory_type, content_hash FROM agent_memories")
        assert record is not None
        made = resealed(record, Seals(ring, "acme"))
        await connection.execute(
            "UPDATE agent_memories SET sealed = $1, content_hash = $2, lookups = $3::text::bytea[]", *made
        )

    async with keyed(database_url, "k2") as client:
        assert (await client.memories.get(memory_id)).metadata == {**METADATA, "list": [1], "big": 1e22}
        assert await client.memories.count(where={"subject": "alice", "n": 1.0, "big": 10**22}) == 1
        again = entry(agent, metadata={**METADATA, "list": [1], "big": 1e22})
        assert await client.memories.store(again) == memory_id


async def test_the_embedder_does_not_see_it(older: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """Whichever way it is stored or changed; a vector of its own is kept."""
    embedder = Listening()
    async with keyed(database_url, "k1", embedder=embedder) as client:
        plain = await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain"))
        first = await client.memories.store(entry(agent))
        own = [1.0] + [0.0] * 15
        batch = [entry(agent, f"{SECRET} own", embedding=own), entry(agent, f"{SECRET} none")]
        brought, _ = await client.memories.store_many(batch)
        await client.memories.supersede(first, entry(agent, f"{SECRET} newer"))
        await client.memories.update(brought, content=f"{SECRET} changed")
        await client.memories.update(plain, content=f"{SECRET} plain", sensitive=True)
        await client.memories.reembed()
        kept = await client.memories.store(entry(agent, f"{SECRET} kept", embedding=own))
        await client.memories.update(kept, importance=1.0)

        assert embedder.seen == ["plain"]
        memories = await client.memories.list(agent.id, include_superseded=True)
        assert {memory.id: memory.embedding_model for memory in memories if memory.embedding_model} == {
            kept: embedder.model
        }
        assert {memory.embedding_error for memory in memories} == {None}
        assert [hit.id for hit in await client.memories.search(agent.id, "x", weights={"lexical": 0})] == [kept]


async def test_what_becomes_sensitive_loses_its_embedding(
    older: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str
) -> None:
    """And what is sensitive no more gets one, of its content, unless it has one."""
    embedder = Listening()
    async with keyed(database_url, "k1", embedder=embedder) as client:
        memory_id = await client.memories.store(MemoryEntry(agent_id=agent.id, content="first"))
        assert (await client.memories.update(memory_id, sensitive=True)).embedding_model is None
        assert (await client.memories.update(memory_id, content="second")).embedding_model is None
        assert embedder.seen == ["first"]
        assert (await client.memories.update(memory_id, sensitive=False)).embedding_model == embedder.model
        assert embedder.seen == ["first", "second"]
        assert (await client.memories.search(agent.id, "second"))[0].parts["cosine"] > 0.99
        brought = await client.memories.store(entry(agent, embedding=[1.0] + [0.0] * 15, embedding_model="own"))
        assert (await client.memories.update(brought, sensitive=False)).embedding_model == "own"
        assert embedder.seen == ["first", "second", "second"]  # and the query
    assert await sealed_ids(admin_url) == set()


async def test_with_consent_it_is_embedded(
    older: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str
) -> None:
    """And found by meaning; its text stays sealed."""
    before = await older.memories.store(entry(agent, "before"))
    embedder = Listening()
    async with keyed(database_url, "k1", embedder=embedder, embed_sensitive=True) as client:
        first = await client.memories.store(entry(agent))
        await client.memories.store_many([entry(agent, f"{SECRET} {number}") for number in range(2)])
        assert (await client.memories.update(first, content=f"{SECRET} 3")).embedding_model == embedder.model
        assert (await client.memories.search(agent.id, f"{SECRET} 3"))[0].id == first
        assert (await client.memories.reembed()).embedded == 1
        assert (await client.memories.get(before)).embedding_model == embedder.model
        plain = await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain"))
        assert (await client.memories.update(plain, sensitive=True)).embedding_model == embedder.model
    assert "before" in embedder.seen
    assert [text for text in await texts_of(admin_url) if SECRET in text or "before" in text] == []
