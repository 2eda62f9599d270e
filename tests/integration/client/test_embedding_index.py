"""Indexes over embeddings: made, listed, repaired and dropped by the owner of the tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from agentdb import (
    Agent,
    AgentConfig,
    ConfigurationError,
    DatabaseError,
    InvalidInputError,
    MemoryEntry,
    MigrationError,
    PrismaAgentClient,
)
from agentdb.client.memory.embedding_index import (
    create_embedding_index,
    drop_embedding_index,
    list_embedding_kinds,
    owner_pool,
)
from agentdb.client.memory.retrieval import index_name
from agentdb.postgres import migrate
from agentdb.postgres.driver import Driver
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.client.many_vectors import HELD_UP, Phases, break_off, fill, held_up, opened, until

pytestmark = pytest.mark.postgres

ODD_NAMES = [
    "O'Reilly's",
    "back\\slash\\'",
    'say "hi"',
    "größe-模型-🦜",
    "$1 {{x}} %s",
    "E'\\''; DROP TABLE agents; --",
    " ",
]


SCOUT = AgentConfig(name="scout", category="OPERATIONAL", id="scout-1")


@pytest_asyncio.fixture
async def owner(admin_url: str) -> AsyncIterator[Driver]:
    """The owner's way to the database."""
    async with opened(admin_url) as driver:
        yield driver


async def states(owner: Driver) -> dict[str, str]:
    return {kind.model: kind.index for kind in await list_embedding_kinds(owner)}


async def states_are(owner: Driver, expected: dict[str, str]) -> bool:
    return await states(owner) == expected


def statement(model: str, dimensions: int) -> str:
    return (
        f"CREATE INDEX CONCURRENTLY {index_name(model, dimensions)} ON agent_memories "
        f"USING hnsw ((l2_normalize(embedding)::halfvec({dimensions})) halfvec_cosine_ops) "
        f"WHERE embedding_model = '{model}' AND embedding_dimensions = {dimensions}"
    )


async def test_several_kinds_side_by_side(owner: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """Models and lengths have an index each, over the memories of all organizations; most memories come first."""
    other = client.for_organization("other")
    await other.agents.register(SCOUT)
    await fill(owner, model="wide", dimensions=16, count=30)
    await fill(owner, model="m", dimensions=8, count=20)
    await fill(owner, model="m", dimensions=8, count=25, organization="other")
    await fill(owner, model="m2", dimensions=4, count=10)

    before = await list_embedding_kinds(owner)
    made = [await create_embedding_index(owner, "m", 8), await create_embedding_index(owner, "wide", 16)]
    after = await list_embedding_kinds(owner)

    expected = [("m", 8, 45), ("wide", 16, 30), ("m2", 4, 10)]
    assert [(kind.model, kind.dimensions, kind.memories) for kind in before] == expected
    assert [(kind.model, kind.dimensions, kind.memories) for kind in after] == expected
    assert {(kind.index, kind.size_bytes) for kind in before} == {("none", 0)}
    assert made == [True, True]
    assert [kind.index for kind in after] == ["valid", "valid", "none"]
    assert [kind.size_bytes > 0 for kind in after] == [True, True, False]


async def test_making_and_dropping_twice(owner: Driver, agent: Agent) -> None:
    """The second time there is nothing to do."""
    await fill(owner, count=20)

    made = [await create_embedding_index(owner, "m", 8) for _ in range(2)]
    dropped = [await drop_embedding_index(owner, "m", 8) for _ in range(2)]

    assert (made, dropped) == ([True, False], [True, False])
    assert await states(owner) == {"m": "none"}


@pytest.mark.parametrize("model", ODD_NAMES)
async def test_a_model_may_have_any_name(model: str, owner: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """The name is text in the index, in the search that uses it, and in the list when nothing but the index is left."""
    await fill(owner, model=model, count=600)
    await create_embedding_index(owner, model, 8)

    found = await client.memories.search(agent.id, embedding=[1.0] * 8, embedding_model=model)
    await owner.execute("DELETE FROM agent_memories")
    left = await list_embedding_kinds(owner)

    assert (found.exact, len(found)) == (False, 10)
    assert [(kind.model, kind.memories, kind.index) for kind in left] == [(model, 0, "valid")]
    assert await drop_embedding_index(owner, model, 8)
    assert await list_embedding_kinds(owner) == []


async def test_a_build_that_broke_off(owner: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """What it leaves is listed as invalid, no search uses it, and the next build takes its place."""
    await fill(owner, count=600)
    await break_off(owner, "m", 8)

    broken = await states(owner)
    scanned = await client.memories.search(agent.id, embedding=[1.0] * 8, embedding_model="m")
    repaired = await create_embedding_index(owner, "m", 8)
    searched = await client.memories.search(agent.id, embedding=[1.0] * 8, embedding_model="m")

    assert broken == {"m": "invalid"}
    assert scanned.exact
    assert repaired
    assert await states(owner) == {"m": "valid"}
    assert not searched.exact


async def test_dropping_what_a_broken_build_left(owner: Driver, agent: Agent) -> None:
    """It need not be built to be dropped."""
    await fill(owner, count=20)
    await break_off(owner, "m", 8)

    assert await drop_embedding_index(owner, "m", 8)
    assert await states(owner) == {"m": "none"}


async def test_two_processes_at_once(owner: Driver, admin_url: str, agent: Agent) -> None:
    """One builds, the other waits for it, hears how far it is, and finds nothing left to do."""
    await fill(owner, count=20)
    heard = Phases(), Phases()
    async with opened(admin_url) as other:
        async with held_up(owner):
            builds = [
                asyncio.create_task(create_embedding_index(driver, "m", 8, progress=phases))
                for driver, phases in zip((owner, other), heard, strict=True)
            ]
            await until(lambda: all(HELD_UP in phases for phases in heard))
            while_building = await states(owner)
        made = await asyncio.gather(*builds)

    assert while_building == {"m": "building"}
    assert sorted(made) == [False, True]


async def test_a_build_that_is_somebody_elses(owner: Driver, database: Database, agent: Agent) -> None:
    """A superuser's by hand, or one that goes on in the server after its process was killed: it is waited for."""
    await fill(owner, count=20)
    administrator = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    async with held_up(owner):
        by_hand = asyncio.create_task(administrator.execute(statement("m", 8)))
        await until(lambda: states_are(owner, {"m": "building"}))
        ours = asyncio.create_task(create_embedding_index(owner, "m", 8))
        await asyncio.sleep(0.5)
        is_waiting = not ours.done()

    assert is_waiting
    assert not await ours
    await by_hand
    assert await states(owner) == {"m": "valid"}
    await administrator.close()


async def test_writing_goes_on_while_an_index_is_built(owner: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """What is stored meanwhile is found by the index."""
    await fill(owner, count=600)
    phases = Phases()
    async with held_up(owner):
        build = asyncio.create_task(create_embedding_index(owner, "m", 8, progress=phases))
        await until(lambda: HELD_UP in phases)
        late = await client.memories.store(
            MemoryEntry(agent_id=agent.id, content="late", embedding=[9.0] + [0.0] * 7, embedding_model="m")
        )
    await build

    found = await client.memories.search(agent.id, embedding=[9.0] + [0.0] * 7, embedding_model="m", limit=1)
    assert [hit.id for hit in found] == [late]
    assert not found.exact


async def test_what_the_database_is_set_to_cuts_no_build_off(database: Database, agent: Agent) -> None:
    """Limits of time and another isolation are meant for applications: a build may wait for long."""
    limits = {
        "statement_timeout": "200ms",
        "lock_timeout": "200ms",
        "idle_in_transaction_session_timeout": "200ms",
        "default_transaction_isolation": "serializable",
    }
    async with opened(database.admin_url) as owner:
        for name, value in limits.items():
            await owner.script(f"ALTER DATABASE {database.name} SET {name} = '{value}'")

    async with opened(f"{database.admin_url}&socket_timeout=0.2") as owner:
        async with owner.transaction() as writer:
            await writer.script("SET LOCAL idle_in_transaction_session_timeout = 0")
            await writer.script("LOCK TABLE agent_memories IN ROW EXCLUSIVE MODE")
            build = asyncio.create_task(create_embedding_index(owner, "m", 8))
            await asyncio.sleep(1)
        assert await build


async def test_an_index_in_a_schema_of_its_own(blank_database: Database) -> None:
    """It goes where the table is, also where "public" has tables too, and is found there."""
    for schema in ("public", "agents_of_acme"):
        await migrate.deploy(f"{blank_database.admin_url}&schema={schema}")
    url = f"{blank_database.url}&schema=agents_of_acme"
    async with (
        PrismaAgentClient(url, "acme") as client,
        opened(f"{blank_database.admin_url}&schema=agents_of_acme") as owner,
    ):
        await client.agents.register(SCOUT)
        await fill(owner, count=600)
        await create_embedding_index(owner, "m", 8)

        found = await client.memories.search("scout-1", embedding=[1.0] * 8, embedding_model="m")

    assert not found.exact
    async with opened(blank_database.admin_url) as public:
        assert await list_embedding_kinds(public) == []


async def test_embeddings_that_are_too_long(owner: Driver, client: PrismaAgentClient, agent: Agent) -> None:
    """They are refused in words that say what becomes of them: they are scanned."""
    await fill(owner, dimensions=5000, count=3)

    with pytest.raises(InvalidInputError, match="scanned") as caught:
        await create_embedding_index(owner, "m", 5000)
    found = await client.memories.search(agent.id, embedding=[1.0] * 5000, embedding_model="m")

    assert caught.value.field == "dimensions"
    assert [kind.is_indexable for kind in await list_embedding_kinds(owner)] == [False]
    assert (found.exact, len(found)) == (True, 3)


async def test_the_longest_that_can_be_indexed(owner: Driver, agent: Agent) -> None:
    """pgvector takes what we say that it takes."""
    await fill(owner, dimensions=4000, count=3)
    assert await create_embedding_index(owner, "m", 4000)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 16_001}, "dimensions"),
        ({"model": ""}, "model"),
        ({"model": "a\x00"}, "model"),
        ({"m": 1}, "m"),
        ({"m": 101}, "m"),
        ({"ef_construction": 31}, "ef_construction"),
        ({"ef_construction": 1001}, "ef_construction"),
    ],
)
async def test_what_cannot_be_built(arguments: dict[str, Any], field: str, owner: Driver) -> None:
    """A typed error that names the argument, before anything is done."""
    with pytest.raises(InvalidInputError) as caught:
        await create_embedding_index(owner, **{"model": "m", "dimensions": 8, **arguments})
    assert caught.value.field == field


async def test_what_is_built_is_what_was_asked_for(owner: Driver, agent: Agent) -> None:
    """m and ef_construction reach the index."""
    await create_embedding_index(owner, "m", 8, m=4, ef_construction=100)

    (row,) = await owner.fetch("SELECT reloptions FROM pg_class WHERE relname = $1", (index_name("m", 8),))
    assert sorted(row[0]) == ["ef_construction=100", "m=4"]


async def test_only_the_owner_may(client: PrismaAgentClient, agent: Agent) -> None:
    """The application's role sees one organization and owns no table: the error names the variable to set."""
    for work in (
        list_embedding_kinds(client.driver),
        create_embedding_index(client.driver, "m", 8),
        drop_embedding_index(client.driver, "m", 8),
    ):
        with pytest.raises(ConfigurationError, match="'agentdb_app' does not own") as caught:
            await work
        assert caught.value.variable == "AGENTDB_MIGRATION_URL"


async def test_not_in_a_transaction(owner: Driver) -> None:
    """A build commits several times by itself."""
    async with owner.transaction() as transaction:
        with pytest.raises(InvalidInputError, match="transaction"):
            await create_embedding_index(transaction, "m", 8)


async def test_a_database_without_tables(blank_database: Database) -> None:
    """The error names the command that makes them."""
    async with opened(blank_database.admin_url) as driver:
        with pytest.raises(MigrationError, match="agentdb migrate deploy"):
            await list_embedding_kinds(driver)


async def test_a_server_that_has_too_little_memory_to_share(owner: Driver, admin_url: str, agent: Agent) -> None:
    """As in a container: the error says what to do about it."""
    await fill(owner, count=20)
    await owner.script("ALTER TABLE agent_memories SET (parallel_workers = 1)")
    greedy = owner_pool(parse_url(admin_url), memory_mb=1_000_000)
    await greedy.open()
    try:
        with pytest.raises(DatabaseError, match="--shm-size"):
            await create_embedding_index(greedy.driver(), "m", 8)
    finally:
        await greedy.close()


def test_a_pool_through_pgbouncer_is_refused() -> None:
    """It hands sessions round, and a build's settings are its session's."""
    with pytest.raises(ConfigurationError, match=r"AGENTDB_MIGRATION_URL: .* leads to PostgreSQL"):
        owner_pool(parse_url("postgresql://owner@db/agents?pgbouncer=true", variable="AGENTDB_MIGRATION_URL"))
