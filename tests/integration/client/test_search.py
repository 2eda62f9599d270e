"""`client.memories.search`: lexical, and without a query."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentdb import Agent, AgentConfig, InvalidInputError, MemoryEntry, PrismaAgentClient

pytestmark = pytest.mark.postgres

PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def store(client: PrismaAgentClient, agent: Agent, content: str, **fields: Any) -> str:
    return await client.memories.store(MemoryEntry(agent_id=agent.id, content=content, **fields))


async def found(client: PrismaAgentClient, agent: Agent, query: str | None, **options: Any) -> list[str]:
    return [hit.content for hit in await client.memories.search(agent.id, query, **options)]


async def test_any_word_in_any_form_finds(client: PrismaAgentClient, agent: Agent) -> None:
    """More of the query's words rank higher; stop words count for nothing."""
    await store(client, agent, "The harbour freezes in January.")
    await store(client, agent, "In January the ships wait outside of the harbour until it is open again.")
    await store(client, agent, "A recipe for soup.")

    result = await client.memories.search(agent.id, "When do the harbours freeze?")

    assert [hit.content[:15] for hit in result] == ["The harbour fre", "In January the "]
    assert result.exact
    assert all(hit.parts.keys() == {"lexical", "recency", "importance"} for hit in result)
    assert result[0].score > result[1].score
    assert (await client.memories.get(result[0].id)) == result[0].memory


@pytest.mark.parametrize(
    "query", ["", " ", "the of and", "?!", "' | '", "&", "\\", "a' OR 1=1 --", "!soup", "x" * 3000, "<b>", ":*", "%"]
)
async def test_a_query_without_words_or_with_odd_ones(client: PrismaAgentClient, agent: Agent, query: str) -> None:
    """Finds nothing, and breaks nothing."""
    await store(client, agent, "January")
    assert await found(client, agent, query) == []


async def test_words_with_odd_characters(client: PrismaAgentClient, agent: Agent) -> None:
    """They are text, not operators."""
    await store(client, agent, "see https://example.org/a&b?c=d|e and O'Reilly's C++ \\ notes")

    for query in ("https://example.org/a&b?c=d|e", "O'Reilly", "notes & bananas", "notes | !notes", "note:*"):
        assert len(await found(client, agent, query)) == 1, query


async def test_only_what_is_in_scope(client: PrismaAgentClient, agent: Agent) -> None:
    """Own living memories, and living ones that others share."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    await store(client, agent, "own word")
    await store(client, agent, "expired word", expires_at=PAST)
    await client.memories.supersede(
        await store(client, agent, "old word"), MemoryEntry(agent_id=agent.id, content="new")
    )
    await store(client, other, "private word")
    await store(client, other, "shared word", visibility="organization")
    await store(client, other, "shared expired word", visibility="organization", expires_at=PAST)

    for query in ("word", None):
        assert set(await found(client, agent, query)) - {"new"} == {"own word", "shared word"}
        assert set(await found(client, agent, query, include_shared=False)) - {"new"} == {"own word"}
    nobody = await client.memories.search("nobody", "word")
    assert [hit.content for hit in nobody] == ["shared word"]
    assert await client.memories.search("nobody", "word", include_shared=False) == []


async def test_a_search_narrows(client: PrismaAgentClient, agent: Agent) -> None:
    """By importance, type and time of what is told; *since* is within, *until* is not."""
    await store(client, agent, "word one", importance=0.2, memory_type="fact", occurred_at=PAST)
    await store(client, agent, "word two", importance=0.8, occurred_at=PAST + timedelta(days=1))

    for query in ("word", None):
        assert await found(client, agent, query, min_importance=0.8) == ["word two"]
        assert await found(client, agent, query, memory_type="fact") == ["word one"]
        assert await found(client, agent, query, since=PAST + timedelta(days=1)) == ["word two"]
        assert await found(client, agent, query, until=datetime(2020, 1, 2)) == ["word one"]
        assert len(await found(client, agent, query, limit=1)) == 1


async def test_without_a_query_the_newest(client: PrismaAgentClient, agent: Agent) -> None:
    """By when it happened; the score is the recency."""
    for days in (40, 1, 400):
        await store(client, agent, f"{days} days", occurred_at=datetime.now(UTC) - timedelta(days=days))

    result = await client.memories.search(agent.id)

    assert [hit.content for hit in result] == ["1 days", "40 days", "400 days"]
    assert [hit.score for hit in result] == sorted((hit.score for hit in result), reverse=True)
    assert result[0].parts == {"recency": pytest.approx(2 ** (-1 / 30), abs=1e-4), "importance": 0.5}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": 1_000_000}, "limit"),
        ({"query": "x" * 1_000_000}, "query"),
        ({"query": "a\x00"}, "query"),
        ({"query": "\ud800"}, "query"),
        ({"query": 7}, "query"),
        ({"min_importance": math.nan}, "min_importance"),
        ({"min_importance": 2}, "min_importance"),
        ({"memory_type": ""}, "memory_type"),
        ({"since": datetime(2026, 1, 2), "until": datetime(2026, 1, 1)}, "since"),
        ({"since": "yesterday"}, "since"),
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


async def test_retrieve_memories_is_the_search_without_scores(client: PrismaAgentClient, agent: Agent) -> None:
    """The flat name returns memories."""
    await store(client, agent, "Important insight discovered")

    for query in ("insight", None):
        assert [memory.content for memory in await client.retrieve_memories(agent.id, query=query)] == [
            "Important insight discovered"
        ]
    assert await client.retrieve_memories(agent.id, "insight", 10, min_importance=0.9) == []
