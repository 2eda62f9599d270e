"""`client.memories`: out as lines, and back in."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

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
from agentdb.client.memory.transfer import Imported
from tests.integration.client.transferring import (
    administering,
    exported,
    opened,
    register,
    rows_of,
    store,
    versions_of,
)

pytestmark = pytest.mark.postgres

PAST = datetime(2020, 1, 1, tzinfo=UTC)
LOW, MIDDLE, HIGH = (f"{n}0000000-0000-7000-8000-000000000000" for n in (1, 5, 9))
ODD_TEXTS = [
    "Größe 😀 'quoted' \\ $1 \"\" {} \r\n\t",
    "\u2028\u2029\x85\x0b\x1c\x1f\x7f\ufeff",
    "e\u0301 vs \u00e9, \U0010ffff, \u202etfel",
]


@pytest.fixture
def other(client: PrismaAgentClient) -> PrismaAgentClient:
    """A client of another organization in the same database."""
    return client.for_organization("other")


async def fill(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """Store memories of every kind."""
    async with client.executions.track(agent.id, "task"):
        for text in ODD_TEXTS:
            odd = {text: [text, {"": None}], "big": 2**70, "small": [5e-324, 0.1, -7]}
            await store(client, agent, text, metadata=odd, memory_type=text[:9], importance=0.1 + 0.2)
    vectors = ([1.4e-45, 0.0], [3.4028234e38, -1.0, 1e-38], [0.1] * 1536)
    for vector in vectors:
        await store(client, agent, str(len(vector)), embedding=vector, embedding_model="m 😀")
    await store(client, agent, "later", expires_at=datetime(2999, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), occurred_at=PAST)
    await store(client, agent, "shared", visibility="organization", sensitive=True, pinned=True)
    await store(client, agent, "shared")
    await store(client, agent, "x" * 1_000_000)
    first = await store(client, agent, "first", embedding=[1.0, 2.0], id=MIDDLE)
    second = await client.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="second", id=LOW))
    await client.memories.supersede(second, MemoryEntry(agent_id=agent.id, content="first", id=HIGH))
    await client.memories.search(agent.id, "later")
    async with administering(admin_url) as connection:
        await connection.execute("UPDATE agent_memories SET embedding_error = 'no answer' WHERE content = 'later'")


async def test_everything_comes_back(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """Every column to the last digit, and the agent, while the source keeps its own; the second export is the first."""
    await fill(client, agent, admin_url)

    lines = await exported(client)
    result = await other.memories.import_lines(lines)

    rows = await rows_of(admin_url, "acme")
    assert result == Imported(memories=len(rows), known=0)
    assert len(rows) == len(lines) - 2 == 12
    assert any(row["access_count"] for row in rows)
    assert await rows_of(admin_url, "other") == rows
    assert (await exported(other))[1:-1] == lines[1:-1]
    same = {"organization_id", "created_at", "updated_at", "last_seen_at"}
    assert (await other.agents.get(agent.id)).model_dump(exclude=same) == agent.model_dump(exclude=same)
    assert [memory.content for memory in await other.memories.history(HIGH)] == ["first", "second", "first"]
    assert [hit.content for hit in await other.memories.search(agent.id, "later")] == ["later"]


async def test_numbers_that_the_database_writes_in_another_way(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """1e22 is 10000000000000000000000 there: its hash is another when it is read, and the memory the same."""
    await store(client, agent, "text", metadata={"numbers": [1e22, -0.0, 1.7e308]})
    lines = await exported(client)

    assert await client.memories.import_lines(lines) == Imported(0, 1)
    assert await other.memories.import_lines(lines) == Imported(1, 0)
    assert await other.memories.import_lines(lines) == Imported(0, 1)
    (here,), (there,) = [await rows_of(admin_url, organization) for organization in ("acme", "other")]
    assert {**here, "content_hash": None} == {**there, "content_hash": None}


async def test_importing_again_changes_nothing(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """Where it came from, and where it went; not a row is written, not even one that another client hashed."""
    await fill(client, agent, admin_url)
    lines = await exported(client)
    await other.memories.import_lines(lines)
    async with administering(admin_url) as connection:
        await connection.execute(
            "UPDATE agent_memories SET content_hash = sha256(id::text::bytea) WHERE content = 'later'"
        )
    before = [await versions_of(admin_url, organization) for organization in ("acme", "other")]

    for target in (client, other):
        assert await target.memories.import_lines(lines) == Imported(0, len(lines) - 2)

    assert [await versions_of(admin_url, organization) for organization in ("acme", "other")] == before


async def test_the_first_line_names_the_agents(client: PrismaAgentClient, agent: Agent) -> None:
    """Those that have memories; or the one that was asked for, even without any."""
    await register(client, "idle")
    full = await register(
        client, "full", category="STRATEGIC", capabilities=["a"], data_sources=["b"], metadata={"c": 1}, max_memories=7
    )
    await store(client, agent, "text")
    await store(client, full, "text")

    header = opened(await exported(client))[0]
    alone = await exported(client, "idle")

    assert (header["format"], header["version"], header["organization_id"], header["agent_id"]) == (
        "agentdb-memories",
        1,
        "acme",
        None,
    )
    assert datetime.fromisoformat(header["exported_at"]) - datetime.now(UTC) < timedelta(minutes=1)
    assert [agent["id"] for agent in header["agents"]] == ["full", "scout-1"]
    assert header["agents"][0] == full.model_dump(include=header["agents"][0].keys())
    assert json.loads(alone[1])["memories"] == 0
    assert opened(alone)[0]["agents"][0]["id"] == opened(alone)[0]["agent_id"] == "idle"
    for line in await exported(client, full.id):
        assert "scout-1" not in line
    with pytest.raises(NotFoundError):
        await exported(client, "nobody")


async def test_agents_that_are_there_stay(client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent) -> None:
    """One of the same id is used as it is; a name of another id is refused, and says how to go on."""
    await store(client, agent, "text")
    lines = await exported(client)
    there = await register(other, agent.id, version="9")

    assert (await other.memories.import_lines(lines)).memories == 1
    assert await other.agents.get(agent.id) == there

    third = client.for_organization("third")
    await third.agents.register(AgentConfig(name=agent.name, category="SUPPORT", id="theirs"))
    with pytest.raises(ConflictError, match=r"'theirs'.*agent_id"):
        await third.memories.import_lines(lines)
    assert await third.memories.count() == 0


async def test_into_another_agent(client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent) -> None:
    """An export of one agent goes to any agent that is there; ids stay, so never within an organization."""
    await store(client, agent, "text", metadata={"a": 1})
    lines = await exported(client, agent.id)
    target = await register(other, "target")

    assert await other.memories.import_lines(lines, agent_id="target") == Imported(1, 0)
    assert await other.memories.import_lines(lines, agent_id="target") == Imported(0, 1)
    assert [memory.content for memory in await other.memories.list(target.id)] == ["text"]
    assert [agent.name for agent in await other.agents.list()] == ["target"]
    await store(other, target, "text", metadata={"a": 1})  # its hash is the one that storing makes
    assert await other.memories.count() == 1

    with pytest.raises(NotFoundError, match="nobody"):
        await other.memories.import_lines(lines, agent_id="nobody")
    second = await register(client, "second")
    with pytest.raises(ConflictError, match="'scout-1'") as caught:
        await client.memories.import_lines(lines, agent_id=second.id)
    assert caught.value.constraint == "agent_memories_pkey"
    await store(client, second, "text")
    with pytest.raises(InvalidInputError, match="agent_id") as refused:
        await other.memories.import_lines(await exported(client), agent_id="target")
    assert refused.value.field == "agent_id"


@pytest.mark.parametrize("ids", [(LOW, MIDDLE, HIGH), (HIGH, LOW, MIDDLE), (MIDDLE, HIGH, LOW)])
async def test_an_equal_one_takes_the_place_in_history(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, ids: tuple[str, str, str], admin_url: str
) -> None:
    """It keeps its own id; whichever line comes first, what was superseded by the equal one now is by it."""
    oldest, old, new = ids
    await store(client, agent, "oldest", id=oldest)
    await client.memories.supersede(oldest, MemoryEntry(agent_id=agent.id, content="old", id=old))
    await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="new", id=new))
    lines = await exported(client)
    await register(other, agent.id)
    there = await store(other, agent, "new")
    before = await versions_of(admin_url, "other")

    assert await other.memories.import_lines(lines) == Imported(memories=2, known=1)
    after = await versions_of(admin_url, "other")
    assert await other.memories.import_lines(lines) == Imported(memories=0, known=3)

    assert [memory.id for memory in await other.memories.history(oldest)] == [oldest, old, there]
    assert before[0] in after
    assert await versions_of(admin_url, "other") == after


async def test_an_id_of_another_memory_is_a_conflict(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent
) -> None:
    """Nothing of the export is stored then."""
    await store(client, agent, "a", id=LOW)
    await store(client, agent, "b", id=HIGH)
    await register(other, agent.id)
    await store(other, agent, "c", id=HIGH)

    with pytest.raises(ConflictError, match="line 3") as caught:
        await other.memories.import_lines(await exported(client))

    assert caught.value.constraint == "agent_memories_pkey"
    assert [memory.content for memory in await other.memories.list(agent.id)] == ["c"]


async def test_what_has_expired_is_left_out(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """And with it its older versions, as a sweep would take them."""
    await store(client, agent, "gone", expires_at=PAST)
    await store(client, agent, "stays")
    await client.memories.supersede(
        await store(client, agent, "old"), MemoryEntry(agent_id=agent.id, content="new", expires_at=PAST)
    )
    await client.memories.supersede(
        await store(client, agent, "expired", id=LOW), MemoryEntry(agent_id=agent.id, content="living")
    )
    async with administering(admin_url) as connection:
        await connection.execute("UPDATE agent_memories SET expires_at = $1 WHERE id = $2", PAST, LOW)

    for lines in (await exported(client), await exported(client, agent.id)):
        assert sorted(memory["content"] for memory in opened(lines)[1:]) == ["living", "stays"]


async def test_what_has_expired_makes_room(
    client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """The same one, or an equal one, that nobody can read any more; its older versions become those of the new one."""
    await store(client, agent, "same", id=LOW)
    await store(client, agent, "equal", id=HIGH)
    lines = await exported(client)
    await other.memories.import_lines(lines)
    await other.memories.delete(HIGH)
    old = await store(other, agent, "old", id=MIDDLE)
    await other.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="equal"))
    async with administering(admin_url) as connection:
        await connection.execute(
            "UPDATE agent_memories SET expires_at = $1 WHERE organization_id = 'other' AND superseded_at IS NULL", PAST
        )
    assert await other.memories.count() == 0

    assert await other.memories.import_lines(lines) == Imported(memories=2, known=0)

    assert {memory.id for memory in await other.memories.list(agent.id)} == {LOW, HIGH}
    assert [memory.id for memory in await other.memories.history(HIGH)] == [MIDDLE, HIGH]
    assert (await other.memories.sweep()).expired == 0


async def test_what_expired_since_the_export(client: PrismaAgentClient, other: PrismaAgentClient, agent: Agent) -> None:
    """It comes in as it is, read by nobody, and again without a change."""
    await store(client, agent, "text", expires_at=datetime.now(UTC) + timedelta(seconds=0.4))
    lines = await exported(client)
    await asyncio.sleep(0.5)

    assert await other.memories.import_lines(lines) == Imported(1, 0)
    assert await other.memories.import_lines(lines) == Imported(0, 1)
    assert await other.memories.count() == 0
    assert len(lines) == 3
