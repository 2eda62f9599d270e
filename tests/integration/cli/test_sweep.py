"""`agentdb sweep`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import asyncpg
import pytest

from agentdb import AgentConfig, MemoryEntry, MetricPoint, PrismaAgentClient
from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres

T = TypeVar("T")

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def _with_client(
    database: Database, work: Callable[[PrismaAgentClient], Awaitable[T]], organization: str = "acme"
) -> T:
    async def run() -> T:
        async with PrismaAgentClient(database.url, "acme") as client:
            return await work(client)

    return asyncio.run(run())


async def _store(client: PrismaAgentClient) -> None:
    """Two agents with an expired memory and three others each; one of them may have two."""
    for agent in ("scout", "clerk"):
        await client.agents.register(AgentConfig(name=agent, category="SUPPORT", id=agent))
        await client.memories.store(MemoryEntry(agent_id=agent, content="old", expires_at=PAST))
        await client.memories.store_many(MemoryEntry(agent_id=agent, content=f"note {n}") for n in range(3))
    await client.driver.execute("UPDATE agents SET max_memories = 2 WHERE id = 'scout'")


async def _count(client: PrismaAgentClient) -> int:
    (row,) = await client.driver.fetch("SELECT count(*) FROM agent_memories")
    return int(row[0])


LONG_AGO = timedelta(days=40)
ALL = ("--executions-days", "30", "--metrics-days", "30", "--rollups-days", "60")


async def _fill(client: PrismaAgentClient) -> None:
    """Beside memories: an execution that is silent, an old one with a child, an old call, three days of points."""
    await _store(client)
    await client.tools.register("look_up")
    now = datetime.now(UTC)
    silent, old = [await client.executions.start("clerk", name) for name in ("silent", "old")]
    child = await client.executions.start("clerk", "child", parent_id=old.id)
    for execution in (old, child):
        await client.executions.finish(execution.id)
        await client.driver.execute(
            "UPDATE agent_executions SET started_at = $1, finished_at = $1 WHERE id = $2",
            (now - LONG_AGO, execution.id),
        )
    await client.driver.execute(
        "UPDATE agent_executions SET heartbeat_at = now() - interval '1 hour' WHERE id = $1", (silent.id,)
    )
    await client.driver.execute(
        "INSERT INTO agent_steps (organization_id, id, agent_id, kind, name, tool_id, success, duration_ms, at) "
        "SELECT 'acme', gen_random_uuid(), 'clerk', 'tool', name, id, true, 1, $1 FROM agent_tools",
        (now - LONG_AGO,),
    )
    for days in (1, 40, 80):
        at = now - timedelta(days=days)
        await client.metrics.record_many(
            MetricPoint(agent_id="clerk", name="m", value=n, recorded_at=at) for n in range(10)
        )


def test_counts_first_then_deletes(database: Database, agentdb: Command) -> None:
    """--dry-run changes nothing and says what would be; the sweep does it, and another finds nothing left."""
    _with_client(database, _store)

    dry = agentdb("sweep", "--dry-run", DATABASE_URL=database.url, ORGANIZATION_ID="acme")
    between = _with_client(database, _count)
    done = agentdb("sweep")
    again = agentdb("sweep", "--json")

    assert (dry.status, dry.err) == (0, "")
    assert dry.out.splitlines() == [
        "memories: would delete 2 expired, 1 beyond the limit of their agents",
        "executions: would end 0 as abandoned",
    ]
    assert between == 8
    assert done.status == 0
    assert done.out.splitlines() == [
        "memories: deleted 2 expired, 1 beyond the limit of their agents",
        "executions: ended 0 as abandoned",
        "metrics: rolled up 0 hours, and 0 again",
    ]
    assert json.loads(again.out) == {
        "expired": 0, "surplus": 0, "abandoned": 0, "hours": 0, "renewed": 0, "dry_run": False, "errors": {}
    }  # fmt: skip
    assert _with_client(database, _count) == 5


def test_everything_at_once(database: Database, agentdb: Command) -> None:
    """What is old goes where a number of days is given, what is silent ends, what ended is rolled up."""
    _with_client(database, _fill)

    dry = agentdb("sweep", "--dry-run", "--json", *ALL, DATABASE_URL=database.url, ORGANIZATION_ID="acme")
    done = agentdb("sweep", *ALL)
    again = agentdb("sweep", "--json", *ALL)

    counts = {"expired": 2, "surplus": 1, "abandoned": 1, "executions": 2, "calls": 1, "points": 20, "rollups": 1}
    assert {**json.loads(dry.out), "rollups": 1} == {**counts, "dry_run": True, "errors": {}}
    assert done.out.splitlines() == [
        "memories: deleted 2 expired, 1 beyond the limit of their agents",
        "executions: ended 1 as abandoned",
        "executions: deleted 2, and 1 calls of tools outside of one",
        "metrics: rolled up 3 hours, and 0 again",
        "metrics: deleted 20 points and 1 hours",
    ]
    assert (done.status, again.status) == (0, 0)
    assert {name for name, count in json.loads(again.out).items() if count} == set()
    statuses = _with_client(database, lambda client: client.executions.list())
    assert [(each.task, each.status) for each in statuses] == [("silent", "abandoned")]


def test_without_days_nothing_old_is_deleted(database: Database, agentdb: Command) -> None:
    """However old it is."""
    _with_client(database, _fill)

    agentdb("sweep", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert len(_with_client(database, lambda client: client.executions.list())) == 3
    assert _with_client(database, lambda client: client.metrics.summary("clerk", 24 * 90))["m"].count == 30


@pytest.mark.parametrize(
    ("table", "failed", "kept"),
    [
        ("agent_memories", "sweeping memories", {"abandoned", "executions", "calls", "points"}),
        ("agent_executions", "ending abandoned executions", {"expired", "surplus", "points"}),
        ("agent_metrics", "rolling up metrics", {"expired", "surplus", "abandoned", "executions", "calls"}),
    ],
)
def test_a_part_that_fails_keeps_no_other_from_being_done(
    database: Database, agentdb: Command, table: str, failed: str, kept: set[str]
) -> None:
    """Each says on stderr what failed and why; exit status 1."""
    _with_client(database, _fill)
    asyncio.run(_forbid(database, table))

    outcome = agentdb("sweep", "--json", *ALL, DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert outcome.status == 1
    assert f"agentdb: {failed} failed: permission denied for table {table}" in outcome.err
    found = json.loads(outcome.out)
    assert {name for name in kept if found[name]} == kept
    assert found["errors"]
    assert all(table in reason for reason in found["errors"].values())


async def _forbid(database: Database, table: str) -> None:
    connection = await asyncpg.connect(database.admin_url)
    await connection.execute(f"REVOKE ALL ON {table} FROM agentdb_app")
    await connection.close()


def test_only_one_agent(database: Database, agentdb: Command) -> None:
    """--agent leaves the others alone, and everything but memories."""
    _with_client(database, _fill)

    outcome = agentdb("sweep", "--agent", "clerk", "--json", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert json.loads(outcome.out) == {"expired": 1, "surplus": 0, "dry_run": False, "errors": {}}
    assert _with_client(database, _count) == 7
    assert len(_with_client(database, lambda client: client.executions.list(status="running"))) == 1


def test_only_one_organization(database: Database, agentdb: Command) -> None:
    """What is swept is that of ORGANIZATION_ID."""
    _with_client(database, _fill)

    outcome = agentdb("sweep", "--json", *ALL, DATABASE_URL=database.url, ORGANIZATION_ID="other")

    assert {name for name, count in json.loads(outcome.out).items() if count} == set()
    assert _with_client(database, _count) == 8


@pytest.mark.parametrize(
    "options",
    [
        ["--agent", ""],
        ["--agent", "clerk", "--executions-days", "30"],
        ["--executions-days", "-1"],
        ["--executions-days", "nan"],
        ["--metrics-days", "many"],
        ["--rollups-days", "40000"],
        ["--metrics-days", "30", "--rollups-days", "7"],
    ],
)
def test_wrong_use_does_nothing(database: Database, agentdb: Command, options: list[str]) -> None:
    """Options that cannot be meant: exit status 2, before anything is deleted."""
    _with_client(database, _fill)

    outcome = agentdb("sweep", *options, DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert (outcome.status, outcome.out) == (2, "")
    assert _with_client(database, _count) == 8


def test_without_an_organization(database: Database, agentdb: Command) -> None:
    """A database of many does not say whose data it is: exit status 2."""
    outcome = agentdb("sweep", DATABASE_URL=database.url)

    assert outcome.status == 2
    assert outcome.err.startswith("agentdb: ORGANIZATION_ID")
