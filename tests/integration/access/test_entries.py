"""What is entered in the table: of what changes something together with it, of all else a moment later."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    DatabaseError,
    InvalidInputError,
    MemoryEntry,
    MetricPoint,
    NotFoundError,
    PrismaAgentClient,
    acting_as,
)
from tests.integration.access.conftest import Outside, logged_settings
from tests.wire import Wire

pytestmark = pytest.mark.postgres


def _entry(content: str = "a fact") -> MemoryEntry:
    return MemoryEntry(agent_id="scout-1", content=content)


async def test_a_write_is_there_with_its_entry(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """Who, what, when, which rows, how long, with what outcome; nothing has to be flushed."""
    with acting_as(user="mia@example.com"):
        memory_id = await client.memories.store(_entry())

    (entry,) = await outside.entries("memories.store")
    assert (entry["agent_id"], entry["user_name"]) == ("scout-1", "mia@example.com")
    assert (entry["table_names"], entry["row_ids"], entry["row_count"]) == (["agent_memories"], [memory_id], 1)
    assert entry["outcome"] == "ok"
    assert entry["duration_ms"] > 0
    assert len(entry["digest"]) == 32


async def test_a_write_takes_no_round_trip_more(roundtrips: Wire, database_url: str) -> None:
    """The entry travels in the same statement. It is chained in the background, which may fall into a count."""
    settings = logged_settings(roundtrips.url(database_url))
    async with PrismaAgentClient(settings=settings) as client:
        agent = await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
        work: dict[str, Callable[[int], Awaitable[object]]] = {
            "memories.store": lambda n: client.memories.store(_entry(f"fact {n}")),
            "memories.get": lambda _: client.memories.list(agent.id),
            "metrics.record": lambda n: client.metrics.record(agent.id, "speed", n),
            "executions.start": lambda n: client.executions.start(agent.id, n),
            "tools.register": lambda n: client.tools.register(f"tool {n}"),
            "agents.heartbeat": lambda _: client.agents.heartbeat(agent.id),
        }
        trips = {}
        for name, do in work.items():
            await do(0)  # prepares its statement
            counts = []
            for number in range(1, 6):
                await client.gathering.access_log.flush()
                with roundtrips.counting() as count:
                    await do(number)
                counts.append(count.trips)
            trips[name] = min(counts)

    assert trips == dict.fromkeys(work, 1)


async def test_an_undone_write_leaves_no_entry(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """In a transaction that is rolled back, and in a savepoint alone."""
    with pytest.raises(KeyError):
        async with client.transaction() as transaction:
            await transaction.memories.store(_entry("undone"))
            raise KeyError
    async with client.transaction() as transaction:
        with pytest.raises(KeyError):
            async with transaction.transaction() as savepoint:
                await savepoint.memories.store(_entry("undone"))
                raise KeyError
        kept = await transaction.memories.store(_entry("kept"))

    await client.access_log.list()  # writes what has gathered
    assert [entry["row_ids"] for entry in await outside.entries("memories.store")] == [[kept]]


async def test_a_failure_is_entered_afterwards(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """With the class of its error, whether it reached the database or not, and never with what the error says."""
    memory_id = await client.memories.store(_entry())
    with pytest.raises(NotFoundError):
        await client.memories.store(MemoryEntry(agent_id="nobody", content="secret"))
    with pytest.raises(ConflictError):
        await client.memories.store(_entry(), on_duplicate="raise")
    with pytest.raises(InvalidInputError):
        await client.memories.search("scout-1", "secret", limit=0)

    found = await client.access_log.list(failed=True)

    assert [(entry.operation, entry.agent_id, entry.outcome) for entry in reversed(found)] == [
        ("memories.store", "nobody", "NotFoundError"),
        ("memories.store", "scout-1", "ConflictError"),
        ("memories.search", "scout-1", "InvalidInputError"),
    ]
    assert [entry["row_ids"] for entry in await outside.entries("memories.store") if entry["outcome"] == "ok"] == [
        [memory_id]
    ]


async def test_a_failure_in_a_transaction_is_entered_though_all_is_undone(
    client: PrismaAgentClient, agent: Agent
) -> None:
    """Its entry does not belong to the transaction."""
    with pytest.raises(NotFoundError):
        async with client.transaction() as transaction:
            await transaction.memories.store(_entry("undone"))
            await transaction.memories.store(MemoryEntry(agent_id="nobody", content="x"))

    stored = await client.access_log.list(operation="memories.store")

    assert [entry.outcome for entry in stored] == ["NotFoundError"]


async def test_reads_are_entered_a_moment_later(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """With the tables that they read and the rows that they found; health counts those that wait."""
    memory_id = await client.memories.store(_entry())
    await client.memories.search(agent.id, "fact")
    await client.memories.get(memory_id)
    await client.agents.list()

    assert (await client.health_check()).access_log.waiting == 3
    assert await outside.entries("memories.get") == []
    found = await client.access_log.list()

    assert {(entry.operation, *entry.table_names, *entry.row_ids, entry.row_count) for entry in found} == {
        ("agents.register", "agents", agent.id, 1),
        ("memories.store", "agent_memories", memory_id, 1),
        ("memories.search", "agent_memories", memory_id, 1),
        ("memories.get", "agent_memories", memory_id, 1),
        ("agents.list", "agents", agent.id, 1),
    }
    assert (await client.health_check()).access_log.model_dump() == {"table": True, "waiting": 1, "lost": 0}


async def test_many_rows_are_counted_and_the_first_named(
    client: PrismaAgentClient, agent: Agent, outside: Outside
) -> None:
    """At most 20 ids, the number whatever it is: stored, recorded and deleted."""
    ids = await client.memories.store_many(_entry(f"fact {n}") for n in range(30))
    await client.metrics.record_many([MetricPoint(agent_id=agent.id, name="n", value=n) for n in range(25)])
    await client.memories.forget(agent_id=agent.id)

    (stored,) = await outside.entries("memories.store_many")
    (recorded,) = await outside.entries("metrics.record_many")
    (forgotten,) = await outside.entries("memories.forget")
    assert (stored["row_count"], len(stored["row_ids"]), set(stored["row_ids"]) <= set(ids)) == (30, 20, True)
    assert (recorded["row_count"], len(recorded["row_ids"])) == (25, 20)
    assert (forgotten["row_count"], len(set(forgotten["row_ids"]) & set(ids))) == (30, 20)


async def test_each_caller_has_its_own_entry(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """Also when they call at the same moment, and would travel together without the table."""

    async def work(number: int) -> None:
        with acting_as(user=f"user {number}"):
            await client.memories.store(_entry(f"fact {number}"))
            async with client.executions.track(agent.id, number) as execution:
                execution.result = number

    await asyncio.gather(*(work(number) for number in range(20)))

    users = {f"user {number}" for number in range(20)}
    for operation in ("memories.store", "executions.track", "executions.track.end"):
        found = await outside.entries(operation)
        assert (len(found), {entry["user_name"] for entry in found}) == (20, users), operation


async def test_a_block_is_entered_when_it_begins_and_when_it_ends(
    client: PrismaAgentClient, agent: Agent, outside: Outside
) -> None:
    """What is done inside is its own, done by the agent that runs; what the block raises is no failure of these."""
    with pytest.raises(KeyError):
        async with client.executions.track(agent.id, "task"):
            await client.tools.register("look_up")
            raise KeyError

    entries = [entry for entry in await outside.entries() if entry["operation"] != "agents.register"]
    assert [(entry["operation"], entry["agent_id"], entry["outcome"]) for entry in entries] == [
        ("executions.track", agent.id, "ok"),
        ("tools.register", agent.id, "ok"),
        ("executions.track.end", agent.id, "ok"),
    ]
    assert entries[2]["row_ids"] == entries[0]["row_ids"]


async def test_lines_are_one_operation_and_what_their_reader_does_another(
    client: PrismaAgentClient, agent: Agent
) -> None:
    """A generator's entry counts what it yielded, also when its reader stops early."""
    await client.memories.store_many(_entry(f"fact {n}") for n in range(3))
    async for _ in client.memories.export_lines():
        await client.agents.get(agent.id)
    lines = client.memories.export_lines()
    await anext(lines)
    await lines.aclose()

    found = [entry for entry in await client.access_log.list() if entry.operation != "memories.count_recalls"]

    exports = [entry for entry in found if entry.operation == "memories.export_lines"]
    assert sorted((entry.row_count, entry.outcome) for entry in exports) == [(1, "ok"), (5, "ok")]
    assert sum(entry.operation == "agents.get" for entry in found) == 5


async def test_an_operation_that_calls_others_is_one(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """An entry for each statement that changes something, all of them by its name."""
    first = await client.memories.store(_entry("old"))
    await client.memories.supersede(first, _entry("new"))

    assert await outside.operations() == ["agents.register", "memories.store", *["memories.supersede"] * 2]


async def test_housekeeping_is_entered_where_it_did_something(
    client: PrismaAgentClient, agent: Agent, outside: Outside
) -> None:
    """A heartbeat that finds nothing leaves no entry; a call that is written a moment later does."""
    await client.executions.beat([])
    client.tools.note_call("look_up", agent.id, success=True, duration_ms=1)  # not registered: nothing to write
    await client.gathering.settle()
    await client.tools.register("look_up")
    client.tools.note_call("look_up", agent.id, success=True, duration_ms=1)
    await client.gathering.settle()

    assert await outside.operations() == ["agents.register", "tools.register", "steps.write"]


async def test_raw_sql_is_entered(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """What may change something in one transaction with it, what only reads a moment later; never the SQL."""
    await client.driver.execute("UPDATE agents SET version = $1", ("2",))
    with pytest.raises(DatabaseError):
        await client.driver.execute("UPDATE agents SET version = NULL")
    with pytest.raises(DatabaseError, match="syntax"):
        await client.driver.execute("WITH agents AS (")
    await client.driver.fetch("SELECT * FROM agent_memories AS m JOIN agents AS a ON a.id = m.agent_id")
    await client.driver.script("DO $$ BEGIN PERFORM 1; END $$")
    with pytest.raises(KeyError):
        async with client.driver.transaction() as transaction:
            await transaction.execute("DELETE FROM agent_memories")
            raise KeyError
    async with client.transaction() as inner:
        await inner.driver.script("DELETE FROM agent_metrics; DELETE FROM agent_memories")

    await client.access_log.list()
    found = [entry for entry in await outside.entries() if entry["operation"].startswith("sql.")]
    assert _sorted(found) == [
        ("sql.execute", ["agents"], 1, "ok"),
        ("sql.execute", ["agents"], None, "DatabaseError"),
        ("sql.execute", [], None, "DatabaseError"),
        ("sql.fetch", ["agent_memories", "agents"], 0, "ok"),
        ("sql.script", ["agent_metrics", "agent_memories"], None, "ok"),
        ("sql.script", [], None, "ok"),
    ]


async def test_actions_of_prisma_are_entered(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """By model and method, with the tables of what they include; a write in one transaction with its entry."""
    prisma = client.prisma
    memory_id = str(uuid.uuid4())
    await prisma.agentmemory.create(
        {"id": memory_id, "agentId": agent.id, "content": "x", "contentHash": _base64(), "organizationId": "acme"}  # type: ignore[typeddict-item]
    )
    await prisma.agent.find_many(include={"memories": True})
    await prisma.agent.update_many({"version": "3"}, where={"name": "scout"})
    await prisma.execute_raw("UPDATE agents SET version = '4'")
    await prisma.query_raw("SELECT 1 FROM agents")
    batch = prisma.batch_()
    batch.agentmemory.delete_many()
    batch.agentmetric.delete_many()
    await batch.commit()
    with pytest.raises(KeyError):
        async with prisma.tx() as inner:
            await inner.agentmemory.delete_many()
            raise KeyError
    async with prisma.tx() as inner:
        await inner.agentmetric.delete_many()
    with pytest.raises(Exception, match="Foreign key"):
        await prisma.agentmetric.create({"agentId": "nobody", "name": "x", "value": 1.0, "organizationId": "acme"})

    await client.access_log.list()
    found = [row for row in await outside.entries() if row["operation"].startswith("prisma.")]
    assert _sorted(found) == [
        ("prisma.Agent.find_many", ["agents", "agent_memories"], 1, "ok"),
        ("prisma.Agent.update_many", ["agents"], 1, "ok"),
        ("prisma.AgentMemory.create", ["agent_memories"], 1, "ok"),
        ("prisma.AgentMetric.create", ["agent_metrics"], None, "ForeignKeyViolationError"),
        ("prisma.AgentMetric.delete_many", ["agent_metrics"], 0, "ok"),
        ("prisma.batch", ["agent_memories", "agent_metrics"], None, "ok"),
        ("prisma.execute_raw", ["agents"], 1, "ok"),
        ("prisma.query_raw", ["agents"], 1, "ok"),
    ]


def _sorted(found: list[asyncpg.Record]) -> list[tuple[object, ...]]:
    return sorted(((row["operation"], row["table_names"], row["row_count"], row["outcome"]) for row in found), key=str)


def _base64() -> object:
    from agentdb.prisma_client.fields import Base64

    return Base64.encode(b"x" * 32)


async def test_organizations_have_logs_of_their_own(client: PrismaAgentClient, agent: Agent, outside: Outside) -> None:
    """One sees nothing of the other's."""
    other = client.for_organization("other")
    await other.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-2"))

    assert [entry.row_ids for entry in await client.access_log.list()] == [[agent.id]]
    assert [entry.row_ids for entry in await other.access_log.list()] == [["scout-2"]]


async def test_the_application_can_change_nothing_of_it(client: PrismaAgentClient, agent: Agent) -> None:
    """Neither change, nor delete, nor empty, nor choose a place in the chain; nor chain another organization's."""
    for sql in (
        "UPDATE access_log SET outcome = 'ok'",
        "DELETE FROM access_log",
        "TRUNCATE access_log",
        "INSERT INTO access_log (organization_id, id, operation, outcome, position) "
        "VALUES ('acme', gen_random_uuid(), 'x', 'ok', 1)",
        "INSERT INTO access_log (organization_id, id, operation, outcome) "
        "VALUES ('other', gen_random_uuid(), 'x', 'ok')",
    ):
        with pytest.raises(DatabaseError, match=r"denied|policy"):
            await client.driver.execute(sql)

    assert await client.driver.fetch("SELECT * FROM access_log_chain('other', 10)") == []


async def test_what_has_gathered_is_written_when_the_client_is_closed(database_url: str, outside: Outside) -> None:
    """And chained."""
    async with PrismaAgentClient(settings=logged_settings(database_url)) as client:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        await client.agents.list()

    entries = await outside.entries()
    assert [entry["operation"] for entry in entries] == ["agents.register", "agents.list"]
    assert [entry["position"] for entry in entries] == [1, 2]


async def test_without_the_table_nothing_is_written(database_url: str, outside: Outside) -> None:
    """Its default."""
    async with PrismaAgentClient(database_url, "acme") as client:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        await client.agents.list()
        assert (await client.health_check()).access_log.table is False

    assert await outside.entries() == []
