"""A client with an embedder: what it stores, what it finds, what happens when the embedder fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agentdb import Agent, AgentConfig, ConfigurationError, EmbeddingError, MemoryEntry, PrismaAgentClient, Settings
from agentdb.testing import HashEmbedder

pytestmark = pytest.mark.postgres


class Moody(HashEmbedder):
    """An embedder that fails on demand, and counts its calls."""

    def __init__(self, dimensions: int = 64, model: str | None = None) -> None:
        super().__init__(dimensions)
        self.model = model or self.model
        self.fails: Any = False
        self.calls: list[list[str]] = []

    async def embed(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(texts)
        if self.fails is True:
            raise ConnectionError("the model's host is down")
        if self.fails and any(self.fails in text for text in texts):
            raise ValueError("too long for the model")
        return await super().embed(texts)


@pytest.fixture
def embedder() -> Moody:
    return Moody()


def settings(url: str) -> Settings:
    return Settings(organization_id="acme", database_url=url, embed_attempts=1)


@pytest_asyncio.fixture
async def client(database_url: str, embedder: Moody) -> AsyncIterator[PrismaAgentClient]:
    async with PrismaAgentClient(settings=settings(database_url), embedder=embedder) as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    return await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL"))


async def store(client: PrismaAgentClient, agent: Agent, content: str, **fields: Any) -> str:
    return await client.memories.store(MemoryEntry(agent_id=agent.id, content=content, **fields))


async def test_contents_and_queries_are_embedded(client: PrismaAgentClient, agent: Agent, embedder: Moody) -> None:
    """And the search says what came of both."""
    await store(client, agent, "red apple")
    await store(client, agent, "green pear")
    await client.memories.store_many(MemoryEntry(agent_id=agent.id, content=text) for text in ("blue sky", "red sky"))

    result = await client.memories.search(agent.id, "red apples")

    assert result[0].content == "red apple"
    assert result.embedding_error is None
    assert {"lexical", "semantic", "cosine"} <= result[0].parts.keys()
    assert {memory.embedding_model for memory in await client.memories.list(agent.id)} == {embedder.model}
    assert embedder.calls == [["red apple"], ["green pear"], ["blue sky"], ["red sky"], ["red apples"]]


async def test_an_embedding_of_the_callers_own_is_kept(
    client: PrismaAgentClient, agent: Agent, embedder: Moody
) -> None:
    """It is not made again."""
    await store(client, agent, "text", embedding=embedder.embed_one("something else"))

    (hit,) = await client.memories.search(agent.id, embedding=embedder.embed_one("something else"))
    assert hit.parts["cosine"] == pytest.approx(1)
    assert embedder.calls == []


async def test_a_failing_embedder_loses_nothing(client: PrismaAgentClient, agent: Agent, embedder: Moody) -> None:
    """What could not be embedded is stored and marked; `reembed` repairs it."""
    embedder.fails = True
    one = await store(client, agent, "red apple")
    two, three = await client.memories.store_many(
        [MemoryEntry(agent_id=agent.id, content=text) for text in ("green pear", "blue sky")]
    )
    for id in (one, two, three):
        memory = await client.memories.get(id)
        assert memory.embedding_model is None
        assert "ConnectionError" in (memory.embedding_error or "")

    result = await client.memories.search(agent.id, "apples")
    assert [hit.id for hit in result] == [one]
    assert "ConnectionError" in (result.embedding_error or "")
    assert "semantic" not in result[0].parts
    with pytest.raises(EmbeddingError):
        await client.memories.reembed()

    embedder.fails = False
    progress: list[tuple[int, int]] = []
    done = await client.memories.reembed(batch_size=2, progress=lambda done, total: progress.append((done, total)))
    assert done == (3, 0)
    assert progress == [(2, 3), (3, 3)]
    assert {memory.embedding_error for memory in await client.memories.list(agent.id)} == {None}
    assert {memory.embedding_model for memory in await client.memories.list(agent.id)} == {embedder.model}
    assert await client.memories.reembed() == (0, 0)


async def test_a_text_that_cannot_be_embedded_fails_alone(
    client: PrismaAgentClient, agent: Agent, embedder: Moody
) -> None:
    """Among many, and is left marked."""
    embedder.fails = "poison"
    ids = await client.memories.store_many(
        [MemoryEntry(agent_id=agent.id, content=f"{'poison' if n == 70 else 'fact'} {n}") for n in range(150)]
    )

    failed = [id for id in ids if (await client.memories.get(id)).embedding_error]
    assert failed == [ids[70]]
    assert await client.memories.reembed(only_missing=True) == (0, 1)


async def test_storing_it_again_adds_the_embedding(client: PrismaAgentClient, agent: Agent, embedder: Moody) -> None:
    """An equal memory without one takes it; one with one keeps its own."""
    embedder.fails = True
    id = await store(client, agent, "red apple")
    embedder.fails = False

    assert await store(client, agent, "red apple") == id
    memory = await client.memories.get(id)
    assert (memory.embedding_model, memory.embedding_error, memory.store_count) == (embedder.model, None, 2)
    assert await store(client, agent, "red apple", embedding=[1.0] * 64, embedding_model="other") == id
    assert (await client.memories.get(id)).embedding_model == embedder.model


async def test_a_changed_content_gets_another_embedding(
    client: PrismaAgentClient, agent: Agent, embedder: Moody
) -> None:
    """Other changes leave it as it is."""
    id = await store(client, agent, "red apple")
    await client.memories.update(id, importance=0.9)
    assert len(embedder.calls) == 1
    await client.memories.update(id, content="green pear")
    newer = await client.memories.supersede(id, MemoryEntry(agent_id=agent.id, content="blue sky"))

    (hit,) = await client.memories.search(agent.id, embedding=embedder.embed_one("blue sky"))
    assert hit.id == newer
    assert hit.parts["cosine"] == pytest.approx(1)
    then = (await client.memories.history(id))[0]
    assert then.embedding_model == embedder.model


async def test_moving_to_another_model(database_url: str, client: PrismaAgentClient, agent: Agent) -> None:
    """Meanwhile everything is found, by either model; a move that was broken off is resumed."""
    await client.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"red apple {n}") for n in range(30))
    newer = Moody(32, "newer")
    async with PrismaAgentClient(settings=settings(database_url), embedder=newer) as moving:

        def stop(done: int, total: int) -> None:
            if done >= 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await moving.memories.reembed(batch_size=10, progress=stop)

        for either in (client, moving):
            assert len(await either.memories.search(agent.id, "red apple", limit=100)) == 30
        old = await client.memories.search(agent.id, embedding=[1.0] * 64, limit=100)
        new = await moving.memories.search(agent.id, embedding=[1.0] * 32, limit=100)
        assert (len(old), len(new)) == (10, 20)
        assert await moving.memories.reembed() == (10, 0)
        assert len(await moving.memories.search(agent.id, embedding=[1.0] * 32, limit=100)) == 30


async def test_what_is_no_embedder(database_url: str, agent: Agent) -> None:
    """Is refused when the client is made; and without one there is nothing to embed with."""
    for wrong in (object(), "model"):
        with pytest.raises(ConfigurationError, match="embedder"):
            PrismaAgentClient(database_url, "acme", embedder=wrong)  # type: ignore[arg-type]
    async with PrismaAgentClient(database_url, "acme") as client:
        with pytest.raises(ConfigurationError, match="embedder"):
            await client.memories.reembed()
