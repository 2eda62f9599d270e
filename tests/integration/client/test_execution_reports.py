"""Figures of executions, and letting go of old ones."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from agentdb import (
    Agent,
    AgentConfig,
    ClearedExecutions,
    ExecutionStats,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
    TokenUsage,
)
from agentdb.client.evidence import wilson_interval
from agentdb.client.queries import load_queries, write_out
from agentdb.ids import NIL_UUID
from tests.conftest import Database
from tests.wire import Wire

pytestmark = pytest.mark.postgres

NOW = datetime.now(UTC)

INSERT = """
INSERT INTO agent_executions (organization_id, id, agent_id, parent_id, kind, task, status, started_at, finished_at,
    heartbeat_at, input_tokens, cost)
VALUES ('acme', $1, $2, $3, $4, '1', $5::text::execution_status, $6, $7, $6, $8, $9)
"""
STEP = """
INSERT INTO agent_steps (organization_id, id, agent_id, execution_id, kind, name, tool_id, success, duration_ms, at)
SELECT 'acme', gen_random_uuid(), $1, $2, 'tool', t.name, t.id, true, 1, $3 FROM agent_tools AS t
"""


class Past:
    """Writes executions that were, with ids that count up."""

    def __init__(self, client: PrismaAgentClient, agent: Agent) -> None:
        self._client = client
        self._agent = agent
        self._count = 0

    async def add(
        self,
        days: float = 0.01,
        *,
        seconds: float | None = 1.0,
        status: str = "completed",
        parent: str | None = None,
        agent: str | None = None,
        kind: str | None = None,
        tokens: int = 0,
        cost: Decimal | None = None,
    ) -> str:
        """Add one that started *days* ago and took *seconds*."""
        self._count += 1
        id = f"00000000-0000-7000-8000-{self._count:012}"
        started = NOW - timedelta(days=days)
        finished = None if status == "running" or seconds is None else started + timedelta(seconds=seconds)
        await self._client.driver.execute(
            INSERT, (id, agent or self._agent.id, parent, kind, status, started, finished, tokens, cost)
        )
        return id

    async def call(self, days: float, execution_id: str | None = None) -> None:
        """Add a call of the one tool."""
        await self._client.driver.execute(STEP, (self._agent.id, execution_id, NOW - timedelta(days=days)))

    async def count(self, table: str = "agent_executions") -> int:
        (row,) = await self._client.driver.fetch(f"SELECT count(*) AS n FROM {table}")
        return int(row["n"])

    async def left(self) -> set[str]:
        """Return the ids of the executions that there are."""
        rows = await self._client.driver.fetch("SELECT id::text AS id FROM agent_executions")
        return {row["id"] for row in rows}


@pytest_asyncio.fixture
async def past(client: PrismaAgentClient, agent: Agent) -> Past:
    """With one tool to call."""
    await client.tools.register("look_up")
    return Past(client, agent)


# -------------------------------------------------------------------------------------------------------------- figures


async def test_every_state_is_counted(client: PrismaAgentClient, agent: Agent, past: Past) -> None:
    """Cancelled and running ones say nothing about success; abandoned ones are no success."""
    for times, status in enumerate(("running", "completed", "failed", "cancelled", "abandoned"), start=1):
        for _ in range(times):
            await past.add(status=status)

    (stats,) = await client.executions.stats()

    assert (stats.agent_id, stats.agent_name, stats.executions) == (agent.id, "scout", 15)
    assert (stats.running, stats.completed, stats.failed, stats.cancelled, stats.abandoned) == (1, 2, 3, 4, 5)
    assert (stats.success_rate, stats.success_interval) == (2 / 10, wilson_interval(2, 10))


@pytest.mark.parametrize("count", [1, 2, 3, 20, 101])
async def test_percentiles_are_those_of_numpy(client: PrismaAgentClient, agent: Agent, past: Past, count: int) -> None:
    """Of what completed or failed; those of the total as well."""
    await client.agents.register(AgentConfig(name="clerk", category="SUPPORT", id="clerk"))
    seconds = [round(float(value), 6) for value in np.random.default_rng(count).lognormal(0, 2, 2 * count)]
    for index, value in enumerate(seconds):
        agent_id = agent.id if index % 2 else "clerk"
        await past.add(seconds=value, status="failed" if index % 3 else "completed", agent=agent_id)
    for status in ("cancelled", "abandoned", "running"):
        await past.add(seconds=10_000, status=status)

    report = await client.executions.stats()

    by_agent = {stats.agent_id: stats for stats in report}
    for stats, values in (
        (by_agent["clerk"], seconds[0::2]),
        (by_agent[agent.id], seconds[1::2]),
        (report.total, seconds),
    ):
        expected = np.percentile([value * 1000 for value in values], [50, 95, 99])
        assert (stats.p50_ms, stats.p95_ms, stats.p99_ms) == pytest.approx(tuple(expected), rel=1e-9)


async def test_tokens_and_cost_add_up(client: PrismaAgentClient, agent: Agent) -> None:
    """What has tokens and no price is named; what has no tokens, or runs, misses none."""
    usage = TokenUsage(input=1, cached_input=2, cache_write=3, output=5, reasoning=4)
    for cost in (Decimal("0.0000000001"), Decimal(2), None):
        async with client.executions.track(agent.id, "task") as running:
            running.usage.add(usage)
            running.cost = cost
    await client.executions.finish((await client.executions.start(agent.id, "task")).id)
    await client.executions.start(agent.id, "task")

    (stats,) = await client.executions.stats()

    assert stats.usage == usage + usage + usage
    assert (stats.cost, stats.unpriced, stats.executions) == (Decimal("2.0000000001"), 1, 5)


async def test_tokens_beyond_64_bits_add_up(client: PrismaAgentClient, agent: Agent, past: Past) -> None:
    """Each count fits, their sum does not."""
    for _ in range(3):
        await past.add(tokens=2**63 - 1)

    (stats,) = await client.executions.stats()
    assert stats.usage.input == 3 * (2**63 - 1)


async def test_what_narrows_the_figures(client: PrismaAgentClient, agent: Agent, past: Past) -> None:
    """Hours before now, or before *until*; since, whatever hours says; an agent, a kind."""
    await client.agents.register(AgentConfig(name="clerk", category="SUPPORT", id="clerk"))
    for days in (0.5, 1.5, 2.5):
        await past.add(days, kind="long")
        await past.add(days, agent="clerk")

    async def count(agent_id: str | None = None, **options: Any) -> int:
        return (await client.executions.stats(agent_id, **options)).total.executions

    assert await count() == 2
    assert await count(hours=48) == 4
    assert await count(hours=1) == 0
    assert await count(until=NOW - timedelta(days=1)) == 2
    assert await count(until=NOW - timedelta(days=1), hours=48) == 4
    assert await count(since=NOW - timedelta(days=2)) == 4
    assert await count(since=NOW - timedelta(days=2), until=NOW - timedelta(days=1), hours=1) == 2
    assert await count(since=(NOW - timedelta(days=2.5)).replace(tzinfo=None)) == 6
    assert await count(until=NOW - timedelta(days=0.5), hours=24) == 2
    assert await count(until=datetime(1, 2, 1), hours=1_000_000) == 0
    assert await count(hours=47.9) == 4
    assert await count("clerk", hours=48) == 2
    assert await count("nobody", hours=48) == 0
    assert await count(kind="long", hours=48) == 2
    assert await count("clerk", kind="long", hours=48) == 0


async def test_the_busiest_agent_comes_first(client: PrismaAgentClient, past: Past) -> None:
    """Ties by name; the total is apart, and its rate is of all."""
    for name, times in (("b", 1), ("a", 1), ("c", 2)):
        await client.agents.register(AgentConfig(name=name, category="SUPPORT", id=f"id-{name}"))
        for index in range(times):
            await past.add(agent=f"id-{name}", status="failed" if index else "completed")

    report = await client.executions.stats()

    assert [(stats.agent_name, stats.executions) for stats in report] == [("c", 2), ("a", 1), ("b", 1)]
    assert (report.total.agent_id, report.total.agent_name) == (None, None)
    assert (report.total.executions, report.total.success_rate) == (4, 3 / 4)


async def test_nothing_has_figures_too(client: PrismaAgentClient) -> None:
    """Zeros where there is something to count, None where there is nothing to divide."""
    report = await client.executions.stats()

    assert report == []
    assert report.total == ExecutionStats(
        agent_id=None, agent_name=None, executions=0, running=0, completed=0, failed=0, cancelled=0, abandoned=0,
        success_rate=None, success_interval=None, p50_ms=None, p95_ms=None, p99_ms=None, usage=TokenUsage(),
        cost=None, unpriced=0,
    )  # fmt: skip


async def test_another_organization_sees_nothing(client: PrismaAgentClient, past: Past) -> None:
    """Neither figures nor what is to be deleted."""
    await past.add(10)
    await past.call(10)
    elsewhere = client.for_organization("elsewhere")

    assert (await elsewhere.executions.stats(hours=1000)).total.executions == 0
    assert await elsewhere.executions.retain(1, dry_run=True) == (0, 0) == await elsewhere.executions.retain(1)
    assert await past.count() == 1


async def test_figures_take_one_round_trip(roundtrips: Wire, database_url: str, past: Past) -> None:
    """Whatever they are narrowed to."""
    await past.add()
    async with PrismaAgentClient(roundtrips.url(database_url), "acme") as client:
        await client.executions.stats()
        with roundtrips.counting() as count:
            await client.executions.stats()
    assert count.trips == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": float("nan")}, "hours"),
        ({"hours": "24"}, "hours"),
        ({"since": "yesterday"}, "since"),
        ({"until": datetime.max}, "until"),
        ({"kind": ""}, "kind"),
        ({"agent_id": ""}, "agent_id"),
    ],
)
async def test_what_has_no_figures(client: PrismaAgentClient, options: dict[str, Any], field: str) -> None:
    """The field is named."""
    with pytest.raises(InvalidInputError) as caught:
        await client.executions.stats(**options)
    assert caught.value.field == field


MANY = """
INSERT INTO agent_executions (organization_id, id, agent_id, task, status, started_at, finished_at, parent_id)
SELECT 'acme', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, '1', 'completed',
    now() - n * interval '1 minute', now() - n * interval '1 minute',
    CASE WHEN n % 4 > 0 THEN ('00000000-0000-7000-8000-' || lpad((n - n % 4)::text, 12, '0'))::uuid END
FROM generate_series(4, 40000) AS n ORDER BY n % 4
"""


async def test_what_is_read_of_many_is_found_by_an_index(
    database: Database, client: PrismaAgentClient, agent: Agent
) -> None:
    """The figures of an hour, and each step of a batch to be deleted, as the application's role plans them."""
    await client.driver.execute(MANY, (agent.id,))
    owner = await asyncpg.connect(database.admin_url)
    await owner.execute("ANALYZE agent_executions")
    await owner.close()
    queries = load_queries("execution_reports")
    figures = write_out(queries["stats"], None, None, None, None, 1)
    batch = (queries["clear"], [20.0, datetime.min.replace(tzinfo=UTC), NIL_UUID, 100])

    for sql, arguments in (figures, batch):
        plan = "\n".join(row[0] for row in await client.driver.fetch(f"EXPLAIN {sql}", ("acme", *arguments)))
        assert "agent_executions" in plan
        assert "Seq Scan on agent_executions" not in plan


# ------------------------------------------------------------------------------------------------------------ retention


async def test_old_executions_go_with_what_they_called(client: PrismaAgentClient, agent: Agent, past: Past) -> None:
    """In whatever state they ended, with their steps; newer ones stay. A dry run counts the same."""
    for status in ("completed", "failed", "cancelled", "abandoned"):
        root = await past.add(31, status=status)
        child = await past.add(31, parent=root, status=status)
        await past.call(31, await past.add(31, parent=child, status=status))
    kept = {await past.add(29), await past.add(0.1)}
    await past.call(29, min(kept))

    assert await client.executions.retain(30, dry_run=True) == ClearedExecutions(12, 0)
    assert (await past.count(), await past.count("agent_steps")) == (14, 5)
    assert await client.executions.retain(30) == ClearedExecutions(12, 0)
    assert (await past.left(), await past.count("agent_steps")) == (kept, 1)
    assert await client.executions.retain(30) == (0, 0)


async def test_a_tree_stays_as_long_as_any_of_it_is_new(client: PrismaAgentClient, past: Past) -> None:
    """A child that runs, or ended late, keeps all that called it and all that they called."""
    for day, status in ((40, "running"), (1, "completed"), (1, "running")):
        root = await past.add(40)
        await past.add(40, parent=root)
        await past.add(day, parent=await past.add(40, parent=root), status=status)
    await past.add(40, status="running")
    await past.add(40, seconds=20 * 86_400)
    await past.add(31)

    assert await client.executions.retain(30, dry_run=True) == (1, 0)
    assert await client.executions.retain(30) == (1, 0)
    assert await past.count() == 14


@pytest.mark.parametrize("batch_size", [1, 2, 3, 1000])
async def test_batches_leave_nothing_out(client: PrismaAgentClient, past: Past, batch_size: int) -> None:
    """Also where some of a batch stay, and where several started at once."""
    for index in range(9):
        root = await past.add(40 - index // 3, status="running" if index % 4 == 3 else "completed")
        await past.add(40, parent=root)
    for _ in range(7):
        await past.call(40)

    assert await client.executions.retain(30, dry_run=True, batch_size=batch_size) == (14, 7)
    assert await client.executions.retain(30, batch_size=batch_size) == (14, 7)
    assert (await past.count(), await past.count("agent_steps")) == (4, 0)


async def test_old_calls_outside_of_executions_go(client: PrismaAgentClient, past: Past) -> None:
    """Calls within an execution go with it and not before; the tool keeps its totals."""
    running = await past.add(40, status="running")
    for execution_id in (None, None, running):
        await past.call(40, execution_id)
    await past.call(20)
    before = await client.tools.get("look_up")

    assert await client.executions.retain(30, dry_run=True) == (0, 2)
    assert await client.executions.retain(30) == (0, 2)
    assert await past.count("agent_steps") == 2
    assert await client.tools.get("look_up") == before


async def test_memories_outlive_the_execution_that_stored_them(
    client: PrismaAgentClient, agent: Agent, past: Past
) -> None:
    """And still say which it was."""
    async with client.executions.track(agent.id, "task") as execution:
        memory_id = await client.memories.store(MemoryEntry(agent_id=agent.id, content="kept"))

    assert (await client.executions.retain(0)).executions == 1
    assert (await client.memories.get(memory_id)).execution_id == execution.id
    with pytest.raises(NotFoundError):
        await client.executions.get(execution.id)


async def test_several_may_delete_at_once(client: PrismaAgentClient, past: Past) -> None:
    """Each execution is counted by one of them."""
    for index in range(60):
        root = await past.add(40 + index % 7)
        for _ in range(3):
            await past.add(40, parent=root)
        await past.call(40)

    done = await asyncio.gather(*(client.executions.retain(30, batch_size=7) for _ in range(5)))

    left = await client.executions.retain(30)
    assert [sum(counts) for counts in zip(*done, left, strict=True)] == [240, 60]
    assert await past.count() == 0


async def test_it_ends_though_something_always_ends(client: PrismaAgentClient, agent: Agent, past: Past) -> None:
    """What ends while it deletes is the next call's: else it would go on as long as anybody works."""
    for _ in range(3):
        await past.add()
        await past.call(1)
    fetch, execute = client.executions._fetch, client.executions._execute

    async def fetch_and_work(sql: str, *arguments: object, **named: str | None) -> Any:
        rows = await fetch(sql, *arguments, **named)
        await client.executions.finish((await client.executions.start(agent.id, 1)).id)
        return rows

    async def execute_and_work(sql: str, *arguments: object, **named: str | None) -> int:
        count = await execute(sql, *arguments, **named)
        await past.call(0.5)
        return count

    executions = type(client.executions)(client)
    executions._fetch, executions._execute = fetch_and_work, execute_and_work  # type: ignore[method-assign]

    async with asyncio.timeout(10):
        assert await executions.retain(0) == (3, 3)


async def test_what_is_called_at_the_same_moment_is_not_lost(
    client: PrismaAgentClient, agent: Agent, past: Past
) -> None:
    """An old execution that gets a child while it is deleted either stays with it, or the child is refused."""
    roots = [await past.add(40) for _ in range(40)]

    async def call(parent: str) -> str | None:
        try:
            return (await client.executions.start(agent.id, "late", parent_id=parent)).id
        except NotFoundError:
            return None

    started, *_ = await asyncio.gather(
        asyncio.gather(*(call(root) for root in roots)),
        *(client.executions.retain(30, batch_size=3) for _ in range(3)),
    )

    kept = {root for root, child in zip(roots, started, strict=True) if child is not None}
    left = await past.left()
    assert left == kept | {child for child in started if child is not None}


async def test_it_takes_part_in_a_transaction(client: PrismaAgentClient, past: Past) -> None:
    """Undone, it has deleted nothing."""
    await past.add(40)

    with pytest.raises(ZeroDivisionError):
        async with client.transaction() as transaction:
            assert await transaction.executions.retain(30) == (1, 0)
            _ = 1 / 0
    assert await past.count() == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"days": -1}, "days"),
        ({"days": "30"}, "days"),
        ({"days": 36_501}, "days"),
        ({"days": 1, "batch_size": 0}, "batch_size"),
        ({"days": 1, "batch_size": 10_001}, "batch_size"),
        ({"days": 1, "dry_run": "yes"}, "dry_run"),
    ],
)
async def test_what_cannot_be_retained(
    client: PrismaAgentClient, past: Past, options: dict[str, Any], field: str
) -> None:
    """The field is named, and nothing is deleted."""
    await past.add(40)
    with pytest.raises(InvalidInputError) as caught:
        await client.executions.retain(**options)
    assert caught.value.field == field
    assert await past.count() == 1
