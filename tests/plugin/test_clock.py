"""The clock: what follows it in this process and in the database, and that nothing is forgotten."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

import agentdb
from agentdb import Agent, AgentConfig, InvalidInputError, MemoryEntry, MetricPoint, PrismaAgentClient
from agentdb.moments import utc_now
from agentdb.postgres.url import parse_url
from agentdb.testing import Clock, OwnDatabase
from agentdb.testing.clock import stopped_clock
from tests.conftest import Database

SOURCES = Path(agentdb.__file__).parent
NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock(database: Database) -> Iterator[Clock]:
    """Time that stands still at the beginning of a year."""
    with stopped_clock(OwnDatabase(database.name, database.url, database.admin_url)) as clock:
        clock.move_to(NEW_YEAR)
        yield clock


@pytest_asyncio.fixture
async def client(clock: Clock, database: Database) -> AsyncIterator[PrismaAgentClient]:
    """A client that was opened under the clock."""
    async with PrismaAgentClient(database.url, "acme") as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    """An agent of its."""
    return await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))


async def test_everything_is_stamped_with_it(client: PrismaAgentClient, agent: Agent, clock: Clock) -> None:
    """Every column that holds a time, of every table, whoever fills it in: client, default, trigger or Prisma."""
    await client.tools.register("hammer", "hits", {})
    async with client.executions.track(agent.id, "work") as execution:
        execution.log("working")
        await client.memories.store(MemoryEntry(agent_id=agent.id, content="nail"))
        await client.tools.record_call("hammer", agent.id, success=True, duration_ms=1)
    await client.memories.search(agent.id, "nail")
    await client.metrics.record(agent.id, "noise", 1)
    pattern = await client.patterns.record(agent.id, "prompt", "short", name="short")
    await client.patterns.outcome(pattern.id, True)
    await client.patterns.quarantine(pattern.id, "a test")
    await client.prices.set("m", input=1, output=2)
    await client.prisma.agentmetric.create(
        data={"id": "0198c9b4-0000-7000-8000-000000000000", "agentId": agent.id, "name": "y", "value": 1, "unit": ""}
    )
    await client.gathering.settle()

    columns = await client.driver.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type LIKE 'timestamp%' AND table_name <> '_prisma_migrations'"
    )
    moments = {
        (row["table_name"], row["column_name"]): await client.driver.fetch(
            f"SELECT {row['column_name']} AS at FROM {row['table_name']} WHERE {row['column_name']} IS NOT NULL"
        )
        for row in columns
    }

    assert len([1 for rows in moments.values() if rows]) > 15
    for column, rows in moments.items():
        assert {row["at"] for row in rows} <= {NEW_YEAR, NEW_YEAR.replace(tzinfo=None)}, column


async def test_what_expires_and_what_ages_follows(client: PrismaAgentClient, agent: Agent, clock: Clock) -> None:
    """Memories expire and become less recent as the clock advances."""
    await client.memories.store(
        MemoryEntry(agent_id=agent.id, content="kettle on", expires_at=clock.now() + timedelta(hours=1))
    )
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="kettle red"))
    fresh = await client.memories.search(agent.id, "kettle")

    clock.advance(days=30)
    aged = await client.memories.search(agent.id, "kettle")

    assert len(fresh) == 2
    assert [hit.memory.content for hit in aged] == ["kettle red"]
    assert aged[0].parts["recency"] < fresh[0].parts["recency"] == 1.0


async def test_executions_that_are_silent_are_abandoned(client: PrismaAgentClient, agent: Agent, clock: Clock) -> None:
    """A process that is not heard of for the time that the settings say."""
    execution = await client.executions.start(agent.id, "work")
    assert await client.executions.sweep_abandoned() == 0

    clock.advance(seconds=client.settings.abandoned_after_seconds + 1)

    assert await client.executions.sweep_abandoned() == 1
    assert (await client.executions.get(execution.id)).status == "abandoned"


async def test_confidence_decays(client: PrismaAgentClient, agent: Agent, clock: Clock) -> None:
    """What a pattern has gathered halves with its half-life."""
    pattern = await client.patterns.record(agent.id, "prompt", "short", half_life_days=10)
    for _ in range(4):
        await client.patterns.outcome(pattern.id, True)

    clock.advance(days=10)

    assert (await client.patterns.get(pattern.id)).trials == pytest.approx(2)


async def test_windows_and_buckets_end_now(client: PrismaAgentClient, agent: Agent, clock: Clock) -> None:
    """Metrics of the last hours are those of the clock, and what is refused as future is its future."""
    await client.metrics.record(agent.id, "noise", 1)
    clock.advance(hours=20, minutes=30)
    await client.metrics.record(agent.id, "noise", 3)

    assert (await client.metrics.summary(agent.id, hours=24))["noise"].count == 2
    assert (await client.metrics.summary(agent.id, hours=10))["noise"].count == 1
    series = await client.metrics.series(agent.id, "noise", hours=24, bucket="1h")
    assert series.buckets[-1].start == clock.now().replace(minute=0)
    assert [bucket.avg for bucket in series.buckets if bucket.count] == [1, 3]
    with pytest.raises(ValueError, match="more than a day in the future"):
        MetricPoint(agent_id=agent.id, name="x", value=1, recorded_at=clock.now() + timedelta(days=2))


async def test_a_transaction_sees_it_move(client: PrismaAgentClient, clock: Clock) -> None:
    """Unlike PostgreSQL's own now(), which stands still in a transaction: all statements see one moment."""
    async with client.transaction() as transaction:
        clock.advance(hours=1)
        rows = await transaction.driver.fetch("SELECT now() AS a, statement_timestamp() AS b, clock_timestamp() AS c")

    assert set(rows[0].values()) == {clock.now()}


async def test_the_walls_still_stand(client: PrismaAgentClient) -> None:
    """The clock changes nothing about who sees what."""
    health = await client.health_check()

    assert (health.status, health.tenancy) == ("ok", "row-level-security")


def test_it_is_moved_to_a_moment(clock: Clock) -> None:
    """Back, too; a naive time is taken as UTC. What is no moment is refused, and the time stays."""
    for moment, expected in (
        (datetime(2030, 6, 1, 12), datetime(2030, 6, 1, 12, tzinfo=UTC)),
        (datetime.fromisoformat("2030-06-01T12:00:00+02:00"), datetime(2030, 6, 1, 10, tzinfo=UTC)),
    ):
        assert clock.move_to(moment) == clock.now() == utc_now() == expected
    assert clock.advance(minutes=-1) == expected - timedelta(minutes=1)

    with pytest.raises(InvalidInputError, match="expected a datetime, got date"):
        clock.move_to(NEW_YEAR.date())  # type: ignore[arg-type]
    assert clock.now() == utc_now() == expected - timedelta(minutes=1)


def test_time_goes_by_again_afterwards(database: Database) -> None:
    """The process is let go when the test is over."""
    with stopped_clock(OwnDatabase(database.name, database.url, database.admin_url)) as clock:
        assert utc_now() == clock.now() == utc_now()

    assert utc_now() > clock.now()


async def test_nothing_in_the_database_asks_another_clock(database: Database, clock: Clock) -> None:
    """No default, trigger or function of our tables is left that was bound to PostgreSQL's own functions."""
    owner = await asyncpg.connect(**parse_url(database.admin_url).connect_arguments())
    try:
        await owner.execute("SET search_path = pg_catalog")  # so that the functions are named with their schema
        sources = await owner.fetch(
            "SELECT pg_get_expr(adbin, adrelid) AS source FROM pg_attrdef JOIN pg_class AS c ON c.oid = adrelid "
            "WHERE relnamespace = 'public'::regnamespace AND relname <> '_prisma_migrations' "
            "UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal "
            "UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
            "UNION ALL SELECT coalesce(qual, '') || coalesce(with_check, '') FROM pg_policies "
            "UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
    finally:
        await owner.close()

    ours = re.compile(r"agentdb_clock\.(now|statement_timestamp|clock_timestamp)\(\)")
    asks = re.compile(
        r"\b(now|transaction_timestamp|statement_timestamp|clock_timestamp|timeofday)\(|\b(CURRENT|LOCAL)_?(TIME|DATE)",
        re.IGNORECASE,
    )
    assert not [row["source"] for row in sources if asks.search(ours.sub("", row["source"]))]


def test_nothing_in_the_client_asks_another_clock() -> None:
    """SQL that is parsed when it runs uses the functions that the clock replaces, and Python asks `utc_now`."""
    bound_for_good = re.compile(r"\b(CURRENT_TIME\w*|CURRENT_DATE|LOCALTIME\w*|pg_catalog\.now|timeofday)\b|'now'")
    of_python = re.compile(r"\bdatetime\.(now|utcnow|today)\(|\btime\.time\(")
    files = [path for room in ("client", "engine", "agent") for path in (SOURCES / room).rglob("*.*")]

    assert not [path for path in files if path.suffix == ".sql" and bound_for_good.search(path.read_text())]
    assert not [path for path in files if path.suffix == ".py" and of_python.search(path.read_text())]
