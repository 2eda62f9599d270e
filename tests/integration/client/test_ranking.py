"""`client.memories.search`: what ranks how, by words, by vectors, by both."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentdb import (
    Agent,
    AgentConfig,
    DimensionMismatchError,
    InvalidInputError,
    MemoryEntry,
    PrismaAgentClient,
    SearchResult,
    SearchWeights,
)

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)
MODES: list[dict[str, Any]] = [
    {"query": "harbour"},
    {"embedding": [1.0, 0.0, 0.0]},
    {"query": "harbour", "embedding": [1.0, 0.0, 0.0]},
]
NAMES = ["words", "vector", "both"]


async def store(client: PrismaAgentClient, agent: Agent, content: str, **fields: Any) -> str:
    return await client.memories.store(MemoryEntry(agent_id=agent.id, content=content, **fields))


def contents(result: SearchResult) -> list[str]:
    return [hit.content for hit in result]


@pytest.mark.parametrize("mode", MODES, ids=NAMES)
async def test_of_equals_the_important_and_the_recent_come_first(
    client: PrismaAgentClient, agent: Agent, mode: dict[str, Any]
) -> None:
    """Sixty memories fit equally well; the few that are asked for are the best of all, not of some."""
    for number in range(60):
        await store(
            client,
            agent,
            "the harbour",
            metadata={"n": number},
            embedding=[1, 0, 0],
            importance=number / 60,
            occurred_at=NOW,
        )
    for days in (100, 10, 1):
        await store(
            client, agent, "a harbour", metadata={"days": days}, embedding=[1, 0, 0], importance=1,
            occurred_at=NOW - timedelta(days=days),
        )  # fmt: skip

    result = await client.memories.search(agent.id, limit=8, where={"n": {"gte": 0}}, **mode)
    assert [hit.memory.metadata["n"] for hit in result] == [59, 58, 57, 56, 55, 54, 53, 52]
    assert result.exact
    result = await client.memories.search(agent.id, where={"days": {"exists": True}}, **mode)
    assert [hit.memory.metadata["days"] for hit in result] == [1, 10, 100]


@pytest.mark.parametrize("mode", MODES, ids=NAMES)
async def test_a_score_is_what_its_parts_make(client: PrismaAgentClient, agent: Agent, mode: dict[str, Any]) -> None:
    """The documented formula, computed again from the parts."""
    await store(
        client, agent, "harbour harbour", embedding=[1, 0, 0], importance=0.1, occurred_at=NOW - timedelta(days=30)
    )
    await store(client, agent, "the harbour of old", embedding=[0.6, 0.8, 0], importance=0.9, occurred_at=NOW)
    await store(
        client, agent, "a harbour far away", embedding=[-1, 0, 0.1], pinned=True, occurred_at=NOW - timedelta(999)
    )
    weights = SearchWeights(lexical=1, semantic=3, recency=0.5, importance=0.3)

    result = await client.memories.search(agent.id, weights=weights, **mode)

    assert len(result) == 3
    for hit in result:
        parts = hit.parts
        assert all(0 <= part <= 1 for part in parts.values())
        arms = [(parts[name], weight) for name, weight in (("lexical", 1), ("semantic", 3)) if name in parts]
        relevance = sum(part * weight for part, weight in arms) / sum(weight for _, weight in arms)
        boosts = (1 + 0.5 * (parts["recency"] - 0.5)) * (1 + 0.3 * (parts["importance"] - 0.5))
        assert hit.score == pytest.approx(relevance * boosts, rel=1e-6)
        assert parts["importance"] == hit.memory.importance
        age = max(0.0, (NOW - hit.memory.occurred_at) / timedelta(days=30))
        assert parts["recency"] == pytest.approx(1 if hit.memory.pinned else 2**-age, rel=1e-3)
    assert [hit.score for hit in result] == sorted((hit.score for hit in result), reverse=True)
    assert max(hit.parts.get("lexical", 1) for hit in result) == 1


async def test_half_lives_by_memory_type(client: PrismaAgentClient, agent: Agent) -> None:
    """What is not named has the general one."""
    for kind in ("working", "fact"):
        await store(client, agent, f"a {kind} word", memory_type=kind, occurred_at=NOW - timedelta(days=10))
    weights = {"half_life": timedelta(days=5), "half_lives": {"working": timedelta(days=1)}}

    for query in ("word", None):
        result = await client.memories.search(agent.id, query, weights=weights)
        recencies = {hit.memory.memory_type: hit.parts["recency"] for hit in result}
        assert recencies == {"working": pytest.approx(2**-10, rel=0.01), "fact": pytest.approx(0.25, rel=0.01)}


async def test_relevance_is_not_outranked(client: PrismaAgentClient, agent: Agent) -> None:
    """By default neither what is old and unimportant loses to what hardly fits."""
    old = NOW - timedelta(days=3000)
    await store(client, agent, "The harbour master keeps the harbour keys in the tower.", importance=0, occurred_at=old)
    for number in range(20):
        await store(client, agent, f"The tower of town {number} was painted.", importance=1)

    result = await client.memories.search(agent.id, "Where are the keys of the harbour master?")

    assert result[0].content.startswith("The harbour master")


async def test_rare_words_count_more(client: PrismaAgentClient, agent: Agent) -> None:
    """One of them outranks several that every memory has."""
    for number in range(50):
        await store(client, agent, f"Project meeting number {number}: the budget of the project was discussed.")
    await store(client, agent, "The zeppelin has landed.")

    result = await client.memories.search(agent.id, "What did the project meeting say of the zeppelin?", limit=3)

    assert result[0].content == "The zeppelin has landed."


async def test_without_a_query_the_most_important(client: PrismaAgentClient, agent: Agent) -> None:
    """On request; ties by newest."""
    await store(client, agent, "low", importance=0.1)
    await store(client, agent, "high, older", importance=0.9, occurred_at=NOW - timedelta(days=9))
    await store(client, agent, "high", importance=0.9, occurred_at=NOW)

    result = await client.memories.search(agent.id, order="most_important")

    assert contents(result) == ["high", "high, older", "low"]
    assert [hit.score for hit in result] == [0.9, 0.9, 0.1]


async def test_what_one_arm_alone_finds_is_found(client: PrismaAgentClient, agent: Agent) -> None:
    """Without an embedding, with another model's, without any of the words."""
    await store(client, agent, "harbour, no embedding")
    await store(client, agent, "harbour, another model", embedding=[1, 0, 0], embedding_model="other")
    await store(client, agent, "harbour, another length", embedding=[1, 0])
    await store(client, agent, "quay", embedding=[0.9, 0.1, 0])
    await store(client, agent, "soup", embedding=[0, 0, 1], embedding_model="other")

    both = await client.memories.search(agent.id, "harbour", embedding=[1, 0, 0])
    assert set(contents(both)) == {"harbour, no embedding", "harbour, another model", "harbour, another length", "quay"}
    assert {hit.content for hit in both if hit.parts["semantic"] > 0} == {"quay"}
    vector = await client.memories.search(agent.id, embedding=[1, 0, 0])
    assert contents(vector) == ["quay"]
    other = await client.memories.search(agent.id, embedding=[1, 0, 0], embedding_model="other")
    assert contents(other) == ["harbour, another model", "soup"]


async def test_an_arm_that_finds_nothing_leaves_the_score_to_the_other(client: PrismaAgentClient, agent: Agent) -> None:
    """Nothing but stop words, or no embeddings at all."""
    await store(client, agent, "harbour", embedding=[1, 1, 0])

    (hit,) = await client.memories.search(
        agent.id, "what is the", embedding=[1, 0, 0], weights={"recency": 0, "importance": 0}
    )
    assert hit.score == hit.parts["semantic"] == pytest.approx(math.sqrt(0.5), rel=1e-3)
    (hit,) = await client.memories.search(
        agent.id, "harbour", embedding=[1, 0, 0], embedding_model="nobody's", weights={"recency": 0, "importance": 0}
    )
    assert hit.score == hit.parts["lexical"] == 1


@pytest.mark.parametrize("limit", [1, 7, 50, 300])
async def test_k_matches_give_k_hits(client: PrismaAgentClient, agent: Agent, limit: int) -> None:
    """By words, by vectors, by both; with all that narrows."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    await client.memories.store_many(
        MemoryEntry(
            agent_id=(agent if number % 2 else other).id,
            content=f"{'harbour' if number % 3 else 'quay'} {number}",
            embedding=[math.cos(number), math.sin(number), 0.1],
            visibility="organization" if number % 5 else "agent",
            metadata={"n": number},
        )
        for number in range(400)
    )
    seen = [number for number in range(400) if number % 2 or number % 5]
    worded = [number for number in seen if number % 3]

    for mode, matches in zip(MODES, (worded, seen, seen), strict=True):
        result = await client.memories.search(agent.id, limit=limit, **mode)
        assert len({hit.id for hit in result}) == len(result) == min(limit, len(matches))
        few = await client.memories.search(agent.id, limit=limit, where={"n": {"lt": 40}}, **mode)
        assert len(few) == min(limit, sum(number < 40 for number in matches))


async def test_a_weight_of_nothing_leaves_an_arm_out(client: PrismaAgentClient, agent: Agent) -> None:
    """The parts tell."""
    await store(client, agent, "harbour", embedding=[1, 0, 0])
    await store(client, agent, "quay", embedding=[1, 0, 0])

    both: dict[str, Any] = {"query": "harbour", "embedding": [1, 0, 0]}
    assert contents(await client.memories.search(agent.id, weights={"semantic": 0}, **both)) == ["harbour"]
    result = await client.memories.search(agent.id, weights={"lexical": 0}, **both)
    assert set(contents(result)) == {"harbour", "quay"}
    assert "lexical" not in result[0].parts


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"weights": {"recency": 2}}, "weights.recency"),
        ({"weights": {"lexical": -1}}, "weights.lexical"),
        ({"weights": {"lexical": math.nan}}, "weights.lexical"),
        ({"weights": {"lexical": 0, "semantic": 0}}, "weights"),
        ({"weights": {"speed": 1}}, "weights.speed"),
        ({"weights": 3}, "weights"),
        ({"weights": {"half_life": 3}}, "weights.half_life"),
        ({"weights": {"half_lives": {"fact": timedelta(0)}}}, "weights.half_lives.fact"),
        ({"embedding": []}, "embedding"),
        ({"embedding": [math.nan]}, "embedding.0"),
        ({"embedding": [math.inf, 1]}, "embedding.0"),
        ({"embedding": [1e39]}, "embedding"),
        ({"embedding": [0, 0]}, "embedding"),
        ({"embedding": [-0.0]}, "embedding"),
        ({"embedding": ["1"]}, "embedding.0"),
        ({"embedding": "vector"}, "embedding"),
        ({"embedding": [[1.0]]}, "embedding.0"),
        ({"embedding": [0.1] * 16_001}, "embedding"),
        ({"embedding_model": "", "embedding": [1]}, "embedding_model"),
        ({"order": "oldest"}, "order"),
        ({"where": {"a": {"like": "x"}}}, "where.a.like"),
        ({"as_of": "yesterday"}, "as_of"),
    ],
)
async def test_what_cannot_be_asked(
    client: PrismaAgentClient, agent: Agent, options: dict[str, Any], field: str
) -> None:
    """A typed error that names the argument, and is short."""
    with pytest.raises(InvalidInputError) as caught:
        await client.memories.search(agent.id, **options)
    assert caught.value.field == field
    assert len(str(caught.value)) < 300


async def test_the_vector_has_the_embedders_length(database_url: str, agent: Agent) -> None:
    """Where there is an embedder, unless another model is named."""

    class Embedder:
        model, dimensions = "three", 3

        async def embed(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 0.0, 0.0] for _ in texts]

    async with PrismaAgentClient(database_url, "acme", embedder=Embedder()) as client:
        with pytest.raises(DimensionMismatchError) as caught:
            await client.memories.search(agent.id, embedding=[1, 0])
        assert (caught.value.expected, caught.value.actual, caught.value.field) == (3, 2, "embedding")
        assert await client.memories.search(agent.id, embedding=[1, 0], embedding_model="two") == []


@pytest.mark.parametrize("limit", [1, 3, 10, 29])
async def test_whatever_wins_by_its_boosts_is_among_the_candidates(
    client: PrismaAgentClient, agent: Agent, limit: int
) -> None:
    """Also when boosts may do more than by default."""
    for number in range(40):
        await store(client, agent, f"harbour harbour {number}", importance=0, occurred_at=NOW - timedelta(days=9999))
    best = await store(
        client, agent, f"harbour {'and many other words of little use ' * 9}", importance=1, occurred_at=NOW
    )

    result = await client.memories.search(agent.id, "harbour", limit=limit, weights={"recency": 1, "importance": 1})

    assert result[0].id == best
    assert result.exact


@pytest.mark.parametrize("mode", MODES, ids=NAMES)
async def test_extreme_vectors_are_compared_by_their_direction(
    client: PrismaAgentClient, agent: Agent, mode: dict[str, Any]
) -> None:
    """However short or long; nothing becomes NaN."""
    await store(client, agent, "harbour: the same", embedding=[1, 0, 0])
    await store(client, agent, "harbour: tiny", embedding=[1e-25, 0, 1e-25])
    await store(client, agent, "harbour: huge", embedding=[1e25, 1e25, 1e25])
    await store(client, agent, "harbour: orthogonal", embedding=[0, 1e-30, 0])

    for scale in (1.0, 1e-25, 3e30):
        options = mode | ({"embedding": [scale, 0.0, 0.0]} if "embedding" in mode else {})
        result = await client.memories.search(agent.id, **options)
        assert all(math.isfinite(value) for hit in result for value in (hit.score, *hit.parts.values()))
        cosines = {hit.content[9:]: hit.parts["cosine"] for hit in result if "cosine" in hit.parts}
        if cosines:
            expected = {"the same": 1, "tiny": math.sqrt(0.5), "huge": math.sqrt(1 / 3), "orthogonal": 0}
            assert cosines == pytest.approx(expected, abs=1e-3)


async def test_words_that_nearly_all_memories_hold(client: PrismaAgentClient, agent: Agent) -> None:
    """They are looked up in thousands, not in all; what holds them all is found, and it takes no time worth naming."""
    await client.memories.store_many(
        MemoryEntry(
            agent_id=agent.id, content=f"{'user' if n % 2 else 'assistant'} {'assistant' * (n % 3 == 0)} said {n}"
        )
        for n in range(12_000)
    )
    await client.memories.store_many(
        MemoryEntry(agent_id=agent.id, content=f"user assistant zeppelin {n}") for n in range(3)
    )

    started = time.perf_counter()
    result = await client.memories.search(agent.id, "What did the user and the assistant say?", limit=50)
    rare = await client.memories.search(agent.id, "user assistant zeppelin", limit=3)

    assert time.perf_counter() - started < 5
    assert len({hit.id for hit in result}) == 50
    assert not result.exact
    assert all(0 < hit.parts["lexical"] <= 1 for hit in result)
    assert all("zeppelin" in hit.content for hit in rare)


async def test_searches_take_few_statements(client: PrismaAgentClient, agent: Agent) -> None:
    """A session keeps each: limits share one, and so do pages."""
    for limit in range(1, 200, 7):
        await client.memories.search(agent.id, "harbour", limit=limit)
        await client.memories.list(agent.id, limit=10, offset=limit)
    (count,) = await client.driver.fetch(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'agent_memories'"
    )

    assert count[0] < 12
