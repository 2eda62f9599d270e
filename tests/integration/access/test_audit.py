"""The chain in the database: complete, in order, whoever writes at the same time; and any edit of it found."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentdb import AccessEntry, Agent, AgentConfig, InvalidInputError, MemoryEntry, PrismaAgentClient
from agentdb.client.access.operations import Entry
from agentdb.security.access_log import digest_of
from tests.integration.access.conftest import Outside, logged_settings
from tests.waiting import until

pytestmark = pytest.mark.postgres


async def _fill(client: PrismaAgentClient, count: int = 9) -> None:
    """Write that many entries: of writes, of reads and of failures."""
    for number in range(count // 3):
        await client.memories.store(MemoryEntry(agent_id="scout-1", content=f"fact {number}"))
        await client.agents.list()
        await asyncio.gather(client.agents.get("nobody"), return_exceptions=True)


async def _chained(outside: Outside) -> list[AccessEntry]:
    rows = await outside.connection.fetch(
        "SELECT *, id::text AS id FROM access_log WHERE position IS NOT NULL ORDER BY position"
    )
    return [AccessEntry(**{**dict(row), "id": str(row["id"])}) for row in rows]


async def test_an_untouched_log_is_intact(client: PrismaAgentClient, agent: Agent) -> None:
    """Its head is known afterwards, and stands in the longer log that comes of it."""
    await _fill(client)
    first = await client.verify_access_log()
    await _fill(client)
    seen: list[int] = []
    second = await client.access_log.verify(first.head, progress=seen.append)

    assert (first.entries, first.head_position, first.unchained, first.problems) == (10, 10, 0, [])
    assert (second.is_intact, second.entries) == (True, 20)  # the audit itself was an operation, too
    assert seen == [20]


async def test_an_empty_log_is_intact(client: PrismaAgentClient) -> None:
    """Its head is that of no entry."""
    audit = await client.verify_access_log()

    assert audit.model_dump() == {"entries": 0, "unchained": 0, "head_position": 0, "head": "0:", "problems": []}


async def test_a_head_that_is_none_is_refused(client: PrismaAgentClient) -> None:
    """Before anything is read."""
    with pytest.raises(InvalidInputError, match="expected_head"):
        await client.verify_access_log("nonsense")


EDITS = {
    "a column": ("UPDATE access_log SET user_name = 'tom' WHERE position = 4", "position 4: the entry was changed"),
    "the moment": (
        "UPDATE access_log SET at = at + interval '1 microsecond' WHERE position = 4",
        "position 4: the entry was changed",
    ),
    "the digest too": (
        "WITH gone AS (DELETE FROM access_log WHERE position = 4 RETURNING *) INSERT INTO access_log SELECT "
        "organization_id, id, at, agent_id, user_name, operation, table_names, row_ids, row_count, duration_ms, 'x', "
        "position, NULL, chain FROM gone",
        "position 4: does not follow",
    ),
    "deleted": ("DELETE FROM access_log WHERE position = 4", "position 4: the entry was deleted"),
    "the end": ("DELETE FROM access_log WHERE position > 8", "position 10: was there once; the log ends at 8"),
    "another in its place": (
        "UPDATE access_log SET id = gen_random_uuid() WHERE position = 4",
        "position 4: the entry was changed",
    ),
    "a place before the first": (
        "INSERT INTO access_log (organization_id, id, operation, outcome, position) "
        "VALUES ('acme', gen_random_uuid(), 'x', 'ok', 0)",
        "position 0: an entry was inserted",
    ),
    "rewritten whole": (
        "CREATE TEMP TABLE kept AS SELECT * FROM access_log; DELETE FROM access_log; "
        "UPDATE kept SET outcome = 'x' WHERE position = 4; "
        "INSERT INTO access_log SELECT organization_id, id, at, agent_id, user_name, operation, table_names, row_ids, "
        "row_count, duration_ms, outcome FROM kept; "
        "SET agentdb.organization_id = 'acme'; SELECT access_log_chain('acme', 100)",
        "position 10: is not what its head was once",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_is_found(client: PrismaAgentClient, agent: Agent, outside: Outside, edit: str) -> None:
    """By whoever may: the owner of the table."""
    await _fill(client)
    head = (await client.verify_access_log()).head
    # Else the audit's own entry would take the place of what is deleted at the end.
    client.gathering.access_log.forget()
    sql, problem = EDITS[edit]
    await outside.connection.execute(sql)

    audit = await client.verify_access_log(head)

    assert not audit.is_intact
    assert [found for found in audit.problems if not found.startswith(problem)] == []


async def _hold_chain(holder: asyncpg.Connection[asyncpg.Record]) -> None:
    """Keep others from chaining until the transaction of *holder* ends."""

    async def holds() -> bool:
        return bool(await holder.fetch("SELECT * FROM access_log_chain('acme', 10)"))

    await holder.execute("SET LOCAL agentdb.organization_id = 'acme'")
    await until(holds)


async def test_an_edit_before_it_is_chained_is_found(
    client: PrismaAgentClient, agent: Agent, outside: Outside, admin_url: str
) -> None:
    """An entry is chained by the digest that it was written with."""
    holder = await asyncpg.connect(admin_url)
    try:
        async with holder.transaction():  # nobody chains meanwhile
            await _hold_chain(holder)
            memory_id = await client.memories.store(MemoryEntry(agent_id="scout-1", content="a fact"))
            await outside.connection.execute(
                "UPDATE access_log SET user_name = 'tom' WHERE $1 = ANY(row_ids)", memory_id
            )
    finally:
        await holder.close()

    audit = await client.verify_access_log()

    assert [problem.split(": ")[1] for problem in audit.problems] == ["the entry was changed"]


async def _until_chained(outside: Outside, operation: str) -> None:
    async def is_chained() -> bool:
        entries = await outside.entries(operation)
        return bool(entries) and all(entry["position"] for entry in entries)

    await until(is_chained)


async def test_what_changes_something_is_chained_in_a_moment(
    client: PrismaAgentClient, agent: Agent, outside: Outside
) -> None:
    """Without a flush, which comes only after ten minutes here."""
    await _until_chained(outside, "agents.register")


Wait = Callable[[], Awaitable[None]]


async def _client_transaction(client: PrismaAgentClient, wait: Wait) -> None:
    async with client.transaction() as outer, outer.transaction() as inner:
        await inner.agents.heartbeat("scout-1")
        await wait()


async def _driver_transaction(client: PrismaAgentClient, wait: Wait) -> None:
    transaction = await client.driver.begin()
    await transaction.execute("UPDATE agents SET version = '2'")
    await wait()
    await transaction.commit()


async def _prisma_transaction(client: PrismaAgentClient, wait: Wait) -> None:
    async with client.prisma.tx() as transaction:
        await transaction.agent.update_many({"version": "2"}, where={})
        await wait()


@pytest.mark.parametrize("work", [_client_transaction, _driver_transaction, _prisma_transaction])
async def test_what_a_long_transaction_changes_is_chained_after_it(
    client: PrismaAgentClient,
    agent: Agent,
    outside: Outside,
    work: Callable[[PrismaAgentClient, Wait], Awaitable[None]],
) -> None:
    """Though what was chained while it went on did not see its entries."""

    async def wait() -> None:
        await client.verify_access_log()
        await client.gathering.access_log.flush()

    before = {entry["id"] for entry in await outside.entries()}
    await work(client, wait)

    new = {entry["operation"] for entry in await outside.entries() if entry["id"] not in before}
    for operation in new - {"access_log.verify"}:
        await _until_chained(outside, operation)
    assert len(new) == 2


async def test_an_audit_in_a_transaction_disturbs_nobody(
    client: PrismaAgentClient, agent: Agent, outside: Outside
) -> None:
    """It gives no places: it may not see those that were given meanwhile, and would keep others from giving any."""
    async with client.transaction() as transaction:
        await transaction.driver.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await transaction.agents.list()
        await client.agents.heartbeat("scout-1")
        await client.verify_access_log()
        await transaction.memories.store(MemoryEntry(agent_id="scout-1", content="a fact"))
        during = await transaction.verify_access_log()
        assert await transaction.driver.fetch("SELECT * FROM access_log_chain('acme', 10)") == []
    after = await client.verify_access_log()

    assert (during.problems, after.problems, after.unchained) == ([], [], 0)


async def test_pages_follow_each_other(client: PrismaAgentClient, outside: Outside) -> None:
    """A log of several pages is read whole."""
    await outside.connection.execute(
        "INSERT INTO access_log (organization_id, id, operation, outcome) "
        "SELECT 'acme', gen_random_uuid(), 'x.y', 'ok' FROM generate_series(1, 2500)"
    )
    seen: list[int] = []

    audit = await client.verify_access_log(progress=seen.append)

    assert (audit.entries, audit.unchained, audit.problems, seen[0], seen[-1]) == (2500, 0, [], 250, 2500)


Texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(Texts, st.none() | Texts, st.lists(Texts, max_size=3), st.floats(0, 1e300)), max_size=5))
async def test_database_and_library_compute_the_same(
    client: PrismaAgentClient, outside: Outside, values: list[tuple[str, str | None, list[str], float]]
) -> None:
    """Whatever an entry holds."""
    for text, user, ids, number in values:
        await outside.connection.execute(
            "INSERT INTO access_log (organization_id, id, agent_id, user_name, operation, row_ids, duration_ms, "
            "outcome) VALUES ('acme', $1, $2, $3, $2, $4, $5, $2)",
            uuid.uuid4(), text, user, ids, number,
        )  # fmt: skip
    await outside.connection.execute("SET agentdb.organization_id = 'acme'")
    await outside.connection.execute("SELECT access_log_chain('acme', 100)")

    assert [entry for entry in await _chained(outside) if digest_of(entry) != entry.digest] == []


async def test_fifty_writers_leave_one_chain_without_a_gap(database_url: str, outside: Outside) -> None:
    """Short and long transactions, committed and undone, of several processes' clients that chain at the same time."""
    clients = [PrismaAgentClient(settings=logged_settings(database_url, flush_seconds=0.01)) for _ in range(5)]
    await asyncio.gather(*(client.connect() for client in clients))
    await clients[0].agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))

    async def write(number: int) -> int:
        client, chance = clients[number % 5], random.Random(number)
        written = 0
        for turn in range(4):
            entry = MemoryEntry(agent_id="scout-1", content=f"fact {number} {turn}")
            transaction = await client.driver.begin()
            if number % 3 == 0:
                await transaction.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await transaction.execute("UPDATE agents SET version = version WHERE id = 'nobody'")
            await asyncio.sleep(chance.random() * 0.05)
            await (transaction.rollback() if chance.random() < 0.3 else transaction.commit())
            async with client.transaction() as inner:
                await inner.memories.store(entry)
                await asyncio.sleep(chance.random() * 0.05)
            written += 1
            await client.agents.list()
        return written

    try:
        written = sum(await asyncio.gather(*(write(number) for number in range(50))))
        audit = await clients[0].verify_access_log()
    finally:
        await asyncio.gather(*(client.disconnect() for client in clients))

    chained = await _chained(outside)
    assert (audit.problems, audit.unchained) == ([], 0)
    assert [entry.position for entry in chained] == list(range(1, len(chained) + 1))
    assert sum(entry.operation == "memories.store" for entry in chained) == written == 200
    assert sum(entry.operation == "agents.list" for entry in chained) == 200


async def test_nobody_waits_for_whoever_chains(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """While somebody holds the chain for long, entries are written, and an audit says how many have no place yet."""
    holder = await asyncpg.connect(admin_url)
    try:
        async with holder.transaction():
            await _hold_chain(holder)
            await client.memories.store(MemoryEntry(agent_id="scout-1", content="a fact"))
            during = await client.verify_access_log()
    finally:
        await holder.close()
    after = await client.verify_access_log()

    assert during.unchained > 0
    assert during.entries + during.unchained == 2
    assert (after.unchained, after.problems) == (0, [])
    assert after.entries >= 2


async def test_what_cannot_be_written_waits_and_is_counted(client: PrismaAgentClient, outside: Outside) -> None:
    """What the database refuses takes no other entry along; what does not fit in memory is lost, and counted."""
    log = client.gathering.access_log
    await client.agents.list()
    log.put(Entry("no uuid", 0.0, None, None, "x.y", (), (), None, 1.0, "ok"))
    await client.agents.list()
    await log.flush()

    assert (len(log), log.lost) == (0, 1)
    assert await outside.operations() == ["agents.list"] * 2

    entry = Entry(str(uuid.uuid4()), 0.0, None, None, "x.y", (), (), None, 1.0, "ok")
    for _ in range(10_003):
        log.put(entry)
    assert (len(log), (await client.health_check()).access_log.lost) == (10_000, 4)
    log.give_up()
    assert log.lost == 10_004
    log.forget()


async def test_what_is_sent_again_counts_once(client: PrismaAgentClient, outside: Outside) -> None:
    """An entry has its id from the start."""
    log = client.gathering.access_log
    entry = Entry(str(uuid.uuid4()), 0.0, None, None, "x.y", (), (), None, 1.0, "ok")
    for _ in range(2):
        log.put(entry)
        await log.flush()

    assert await outside.operations() == ["x.y"]


async def test_entries_are_found_by_who_and_what(client: PrismaAgentClient, agent: Agent) -> None:
    """Newest first, as many as are asked for."""
    await _fill(client, 12)
    every = await client.access_log.list(limit=1000)
    finders: list[Callable[[], Awaitable[list[AccessEntry]]]] = [
        lambda: client.access_log.list(agent_id="scout-1"),
        lambda: client.access_log.list(agent_id="nobody", operation="agents.get"),
        lambda: client.access_log.list(failed=True, limit=2),
        lambda: client.access_log.list(operation="memories.store", offset=1),
        lambda: client.access_log.list(operation="agents.list", since=every[5].at, until=every[0].at),
        lambda: client.access_log.list(user="mia"),
    ]

    assert [entry.at for entry in every] == sorted((entry.at for entry in every), reverse=True)
    found = [await find() for find in finders]
    assert [{(entry.operation, entry.outcome) for entry in each} for each in found] == [
        {("memories.store", "ok")},
        {("agents.get", "NotFoundError")},
        {("agents.get", "NotFoundError")},
        {("memories.store", "ok")},
        {("agents.list", "ok")},
        set(),
    ]
    assert [len(each) for each in found[:4]] == [4, 4, 2, 3]
    assert json.dumps(every[0].model_dump(mode="json", exclude={"digest", "chain"}))
