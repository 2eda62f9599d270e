"""What a search finds by an index: as much as by scanning, and hardly anything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from agentdb import Agent, AgentConfig, MemoryEntry, PrismaAgentClient, SearchResult
from agentdb.client.memory.embedding_index import create_embedding_index
from agentdb.client.memory.retrieval import index_name
from agentdb.postgres.driver import Driver
from agentdb.postgres.url import parse_url
from agentdb.postgres.vector import vector_text
from tests.integration.client.many_vectors import fill, near, nearest, opened, vectors

pytestmark = pytest.mark.postgres

BY_MEANING_ALONE = {"recency": 0.0, "importance": 0.0}


@pytest_asyncio.fixture
async def owner(admin_url: str) -> AsyncIterator[Driver]:
    """The owner's way to the database."""
    async with opened(admin_url) as driver:
        yield driver


@pytest_asyncio.fixture
async def indexed(owner: Driver, agent: Agent) -> Driver:
    """3,000 memories of "scout-1" in an index; the owner's way to them."""
    await fill(owner)
    await create_embedding_index(owner, "m", 8)
    return owner


async def found(client: PrismaAgentClient, vector: list[float], agent: str = "scout-1", **options: Any) -> SearchResult:
    options = {"embedding_model": "m", "weights": BY_MEANING_ALONE, **options}
    return await client.memories.search(agent, embedding=vector, **options)


async def sent(client: PrismaAgentClient, words: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Return the statement that a search sends, and its arguments as literals."""
    statements: list[tuple[str, Sequence[object]]] = []
    fetch = client.inner_driver.fetch

    class Listening:
        async def fetch(self, sql: str, arguments: Sequence[object] = ()) -> Any:
            statements.append((sql, arguments))
            return await fetch(sql, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(PrismaAgentClient, "inner_driver", Listening())
        await found(client, [1.0] * 8, query=words, weights=None)
    ((sql, arguments),) = statements
    return sql, [_literal(argument) for argument in arguments]


def _literal(argument: object) -> str:
    text = vector_text(argument) if isinstance(argument, bytes) else str(argument)
    return "NULL" if argument is None else "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("words", [None, "note"])
async def test_the_plan_uses_the_index(
    words: str | None,
    mode: str,
    indexed: Driver,
    client: PrismaAgentClient,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the application's role, under row-level security, whether or not the planner knows the values."""
    sql, arguments = await sent(client, words, monkeypatch)

    connection = await asyncpg.connect(**parse_url(database_url).connect_arguments())
    await connection.execute(f"SET plan_cache_mode = {mode}; SET agentdb.organization_id = 'acme'")
    await connection.execute(f"PREPARE search AS {sql}")
    lines = [row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE) EXECUTE search({', '.join(arguments)})")]
    await connection.close()

    (line,) = [line for line in lines if f"Index Scan using {index_name('m', 8)}" in line]
    assert "never executed" not in line


@pytest.mark.parametrize("limit", [1, 10, 100])
async def test_finds_what_lies_nearest(limit: int, indexed: Driver, client: PrismaAgentClient) -> None:
    """At least 95 of 100, in the order of the cosine, and says that it did not look at all of them."""
    stored = await vectors(indexed)
    shares = []
    for number, vector in enumerate(list(stored.values())[::100]):
        query = near(vector, seed=number)
        result = await found(client, query, limit=limit)
        ids = [hit.id for hit in result]
        cosines = [hit.parts["cosine"] for hit in result]

        assert not result.exact
        assert len(ids) == len(set(ids)) == limit
        assert cosines == sorted(cosines, reverse=True)
        shares.append(len({*ids} & {*nearest(query, stored, limit)}) / limit)
    assert sum(shares) / len(shares) >= 0.95


async def test_a_small_scope_is_scanned(indexed: Driver, client: PrismaAgentClient) -> None:
    """An agent that has few of the index's memories: looking at these is quicker, and exact."""
    await client.agents.register(AgentConfig(name="young", category="SUPPORT", id="young"))
    await indexed.execute("UPDATE agent_memories SET agent_id = 'young' WHERE (metadata->>'n')::int % 30 = 0")
    query = [1.0] * 8

    young, old = await found(client, query, "young", limit=100), await found(client, query)

    assert (young.exact, len(young)) == (True, 100)
    assert (old.exact, len(old)) == (False, 10)
    assert {hit.memory.agent_id for hit in young} == {"young"}


FILTERS: list[tuple[dict[str, Any], int]] = [
    ({"where": {"n": 77}}, 1),
    ({"where": {"n": {"gt": 2993}}}, 7),
    ({"where": {"n": {"in": [1, 2, 3, 5000]}}}, 3),
    ({"min_importance": 0.99}, 30),
    ({"min_importance": 0.99, "where": {"n": {"lte": 1000}}}, 10),
    ({"memory_type": "never"}, 0),
    ({"where": {"n": {"lte": 420}}}, 420),
    ({"min_importance": 0.8}, 600),
    ({}, 3000),
]


async def test_never_fewer_than_there_are(indexed: Driver, client: PrismaAgentClient) -> None:
    """Filters that leave few or many of a large scope: as many hits as fit, whatever the limit."""
    for options, matching in FILTERS:
        for limit in (1, 10, 100, 1000):
            for _ in range(2):  # the second search remembers what the first one found out about the scope
                result = await found(client, [1.0] * 8, limit=limit, **options)
                assert len({hit.id for hit in result}) == len(result) == min(limit, matching), (options, limit)


async def test_a_scope_that_was_large_a_moment_ago(indexed: Driver, client: PrismaAgentClient) -> None:
    """What is left of it is found, though the search expects more."""
    before = await found(client, [1.0] * 8)
    await indexed.execute("DELETE FROM agent_memories WHERE (metadata->>'n')::int > 7")
    after = await found(client, [1.0] * 8)

    assert (before.exact, len(before)) == (False, 10)
    assert len(after) == 7


async def test_in_a_transaction(indexed: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """A search by the index sees what the transaction has stored, and its settings end with it."""
    query = [9.0] + [0.0] * 7
    async with client.transaction() as transaction:
        entry = MemoryEntry(agent_id=agent.id, content="new", embedding=query, embedding_model="m")
        stored = await transaction.memories.store(entry)
        inside = await found(transaction, query)
        outside = await found(client, query)
    await found(client, query)
    settings = await client.driver.fetch(
        "SELECT current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan')"
    )

    assert (inside.exact, len(inside), inside[0].id) == (False, 10, stored)
    assert (outside.exact, len(outside)) == (False, 10)
    assert stored not in {hit.id for hit in outside}
    assert tuple(settings[0]) == ("40", "off")


async def test_models_side_by_side(indexed: Driver, client: PrismaAgentClient) -> None:
    """Each search finds what its own model has embedded, of its length; only a kind with an index is searched by it."""
    await fill(indexed, model="same length")
    await fill(indexed, model="wide", dimensions=16)
    await create_embedding_index(indexed, "wide", 16)
    await fill(indexed, model="m2", dimensions=16, count=600)

    for model, dimensions, is_exact in (
        ("m", 8, False),
        ("same length", 8, True),
        ("wide", 16, False),
        ("m2", 16, True),
    ):
        result = await found(client, [1.0] * dimensions, embedding_model=model)
        assert (result.exact, len(result)) == (is_exact, 10)
        assert {hit.memory.embedding_model for hit in result} == {model}
    assert await found(client, [1.0] * 16, embedding_model="m") == []


async def test_by_words_and_by_the_index(indexed: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """A hybrid search finds what fits the words, and what lies near."""
    stored = await vectors(indexed)
    (worded,) = await found(client, [1.0] * 8, where={"n": 1234})
    query = near(next(iter(stored.values())))

    result = await found(client, query, query="1234", limit=10)

    assert (result.exact, len(result)) == (False, 10)
    assert worded.id in {hit.id for hit in result}
    assert len({hit.id for hit in result} & {*nearest(query, stored, 10)}) >= 8


async def test_what_is_over_stays_in_the_index_but_is_not_found(indexed: Driver, client: PrismaAgentClient) -> None:
    """Superseded and expired memories: the nearest of all, and still no hits."""
    query = [1.0] * 8
    nearest_ten = [hit.id for hit in await found(client, query)]
    await indexed.execute(
        "UPDATE agent_memories SET expires_at = now() - interval '1 day' WHERE id::text = ANY ($1)", (nearest_ten,)
    )

    result = await found(client, query)

    assert (result.exact, len(result)) == (False, 10)
    assert not {*nearest_ten} & {hit.id for hit in result}


async def test_a_scope_that_is_spread_thin(
    owner: Driver, client: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """
    One memory in ten is in scope, of the graph's first answer too few: the index is asked for more, also by the first
    search of a new connection.
    """
    await client.agents.register(AgentConfig(name="crowd", category="SUPPORT", id="crowd"))
    await fill(owner, count=10_000)
    await owner.execute("UPDATE agent_memories SET agent_id = 'crowd' WHERE hashint4((metadata->>'n')::int) % 10 <> 0")
    await create_embedding_index(owner, "m", 8)
    own = {row["id"] for row in await owner.fetch("SELECT id::text FROM agent_memories WHERE agent_id = 'scout-1'")}
    stored = {name: vector for name, vector in (await vectors(owner)).items() if name in own}

    shares = []
    for number, vector in enumerate(list(stored.values())[::50]):
        query = near(vector, seed=number)
        async with PrismaAgentClient(database_url, "acme") as fresh:
            result = await found(fresh, query)
        assert (result.exact, len(result)) == (False, 10)
        shares.append(len({hit.id for hit in result} & {*nearest(query, stored, 10)}) / 10)

    assert 900 < len(own) < 1100
    assert sum(shares) / len(shares) >= 0.95


async def test_an_organization_behind_the_nearer_ones_of_another(
    owner: Driver, client: PrismaAgentClient, agent: Agent
) -> None:
    """The index holds everybody's memories; another organization's lie nearer, and none of them is found."""
    await client.for_organization("other").agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
    await fill(owner, organization="other", count=4000)
    await fill(owner, count=2000)
    await owner.execute("UPDATE agent_memories SET embedding = l2_normalize(embedding) WHERE organization_id = 'other'")
    await create_embedding_index(owner, "m", 8)
    theirs = await vectors(owner, organization="other")

    for query in list(theirs.values())[:40]:
        result = await found(client, query)
        assert len(result) == 10
        assert not theirs.keys() & {hit.id for hit in result}


async def test_boosts_choose_among_more_than_are_wanted(client: PrismaAgentClient, owner: Driver, agent: Agent) -> None:
    """What the index proposes is enough for importance to reorder, and hardly differs from what a scan finds."""
    await fill(owner, spread=1.5)
    queries = [near(vector) for vector in list((await vectors(owner)).values())[:20]]
    scanned = [await found(client, query, weights=None) for query in queries]
    await create_embedding_index(owner, "m", 8)
    indexed = [await found(client, query, weights=None) for query in queries]

    assert all(result.exact for result in scanned)
    assert not any(result.exact for result in indexed)
    common = [
        len({hit.id for hit in one} & {hit.id for hit in other}) for one, other in zip(scanned, indexed, strict=True)
    ]
    assert sum(common) / len(common) > 8
