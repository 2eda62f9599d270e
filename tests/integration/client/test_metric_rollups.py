"""`client.metrics.roll_up`, and what is read of it: whatever came when, the figures are those of the points."""

from __future__ import annotations

import asyncio
import math
import random
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    Bucket,
    InvalidInputError,
    MetricPoint,
    MetricSeries,
    MetricSummary,
    PrismaAgentClient,
)
from agentdb.client.metric.bins import RELATIVE_ERROR, bin_key
from agentdb.client.metric.buckets import BucketWidth
from agentdb.client.queries import load_queries
from agentdb.postgres import migrate
from agentdb.postgres.url import parse_url
from tests.conftest import Database

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)
WIDE: Sequence[BucketWidth] = ("1h", "6h", "1d", "1w", "1mo")
ELSEWHERE: Sequence[tuple[BucketWidth, str]] = (("1h", "Asia/Kolkata"), ("1d", "Asia/Kathmandu"), ("5m", "UTC"))
FRACTIONS = {"p50": 50, "p95": 95, "p99": 99}
DRAWS: Sequence[Callable[[random.Random], float]] = (
    lambda chance: chance.gauss(0, 100),
    lambda chance: chance.lognormvariate(3, 2),
    lambda chance: -chance.lognormvariate(0, 1),
    lambda chance: chance.choice([0.0, 1.0, -1.0, 1e-9, 1e200, -1e250]),
    lambda chance: 7.0,
)


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def check(found: Bucket | MetricSummary, values: Sequence[float]) -> None:
    """Check the figures of *values*: equal to numpy's, percentiles that are estimates within the stated error."""
    assert found.count == len(values)
    if not values:
        assert found.avg is found.p50 is None
        return
    largest = max(map(abs, values))
    assert (found.min, found.max) == (min(values), max(values))
    assert found.avg == pytest.approx(math.fsum(value / len(values) for value in values), rel=1e-9, abs=1e-12 * largest)
    ordered = sorted(values)
    for name, percent in FRACTIONS.items():
        place = percent / 100 * (len(values) - 1)
        near = max(abs(ordered[math.floor(place)]), abs(ordered[min(math.ceil(place), len(values) - 1)]))
        allowed = 1e-11 * near + 1e-320 if found.exact else RELATIVE_ERROR * near + 1e-300
        expected = float(numpy.percentile(values, percent))
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9, abs=allowed)


def check_series(series: MetricSeries, points: Sequence[tuple[datetime, float]]) -> None:
    starts = [bucket.start for bucket in series.buckets]
    by_bucket: dict[int, list[float]] = defaultdict(list)
    for at, value in points:
        by_bucket[bisect_right(starts, at) - 1].append(value)
    for index, bucket in enumerate(series.buckets):
        check(bucket, by_bucket[index])
    assert series.exact == all(bucket.exact for bucket in series.buckets)


class Diary:
    """A metric in the database, and its points as the test remembers them."""

    def __init__(self, client: PrismaAgentClient, agent: Agent, seed: int) -> None:
        self.client, self.agent, self.chance = client, agent, random.Random(seed)
        self.points: dict[str, tuple[datetime, float]] = {}
        self.draw = self.chance.choice(DRAWS)

    async def record(self, count: int, hours_back: float) -> None:
        for _ in range(count):
            at = datetime.now(UTC) - timedelta(hours=self.chance.uniform(0, hours_back))
            value = self.draw(self.chance)
            id = await self.client.metrics.record(self.agent.id, "m", value, "u", recorded_at=at)
            self.points[id] = at, value

    async def delete(self) -> None:
        ids = self.chance.sample(sorted(self.points), min(len(self.points), 7))
        for id in ids:
            del self.points[id]
        await self.client.driver.execute("DELETE FROM agent_metrics WHERE id = ANY ($1::uuid[])", (ids,))

    async def change(self) -> None:
        for id in self.chance.sample(sorted(self.points), min(len(self.points), 3)):
            at = datetime.now(UTC) - timedelta(hours=self.chance.uniform(0, 60))
            self.points[id] = at, self.draw(self.chance)
            sql = "UPDATE agent_metrics SET recorded_at = $2, value = $3 WHERE id = $1"
            await self.client.driver.execute(sql, (id, *self.points[id]))

    async def check(self, *, is_pruned: bool = False) -> None:
        points = list(self.points.values())
        metrics = self.client.metrics
        for bucket in WIDE:
            for exact in (True, False):
                series = await metrics.series(self.agent.id, "m", hours=72, bucket=bucket, exact=exact)
                check_series(series, [point for point in points if point[0] >= series.buckets[0].start])
                assert is_pruned or series.exact or not (exact or bucket == "1h")
        for bucket, zone in ELSEWHERE:
            if not is_pruned:
                series = await metrics.series(self.agent.id, "m", hours=72, bucket=bucket, timezone=zone)
                check_series(series, [point for point in points if point[0] >= series.buckets[0].start])
        for exact in (True, False):
            summary = await metrics.summary(self.agent.id, 10_000, exact=exact)
            if points:
                check(summary["m"], [value for _, value in points])
                assert summary["m"].last == max(points)[1]
                assert is_pruned or not exact or summary["m"].exact
            else:
                assert summary == {}


@pytest.mark.parametrize("seed", range(6))
async def test_rolled_reads_equal_raw_reads(client: PrismaAgentClient, agent: Agent, seed: int) -> None:
    """Whatever is recorded, late or in time, changed, deleted or rolled up, in whatever order."""
    diary = Diary(client, agent, seed)
    await diary.record(120, 70)
    for _ in range(6):
        for step in diary.chance.sample(["late", "now", "roll", "roll", "delete", "change"], 3):
            if step == "late":
                await diary.record(20, 70)
            elif step == "now":
                await diary.record(10, 0.01)
            elif step == "roll":
                await client.metrics.roll_up()
            elif step == "delete":
                await diary.delete()
            else:
                await diary.change()
        await diary.check()
    await client.metrics.roll_up()
    await diary.check()
    marks = "SELECT 1 FROM agent_metric_late_hours WHERE starts_at < $1"
    assert await client.driver.fetch(marks, (this_hour() - HOUR,)) == []


@pytest.mark.parametrize("seed", range(4))
async def test_what_retention_deletes_still_counts(client: PrismaAgentClient, agent: Agent, seed: int) -> None:
    """Count, mean, least and greatest stay exact, also with points that come late; estimates are labelled."""
    diary = Diary(client, agent, seed)
    await diary.record(200, 70)
    for _ in range(4):
        planned = await client.metrics.retain(points_days=diary.chance.uniform(0, 2), dry_run=True)
        done = await client.metrics.retain(points_days=1.5, batch_size=diary.chance.choice([1, 10, 1000]))
        assert planned.rollups == done.rollups == 0
        await diary.check(is_pruned=True)
        await diary.record(30, 70)
        await diary.check(is_pruned=True)
        if diary.chance.random() < 0.5:
            await client.metrics.roll_up()
            await diary.check(is_pruned=True)


async def test_a_dry_run_counts_the_same(client: PrismaAgentClient, agent: Agent) -> None:
    """Points, late ones, and hours, before anything is rolled up and after; then nothing is left to delete."""
    diary = Diary(client, agent, 1)
    await diary.record(150, 70)
    for days, hours in ((2, None), (1, 2), (0.5, 0.5)):
        planned = await client.metrics.retain(points_days=days, rollups_days=hours, dry_run=True)
        assert await client.metrics.retain(points_days=days, rollups_days=hours, batch_size=20) == planned
        assert planned.points
        assert bool(planned.rollups) is (hours is not None)
        assert await client.metrics.retain(points_days=days, rollups_days=hours) == (0, 0)
        await diary.record(50, 70)
    before = this_hour() - timedelta(hours=12)
    sql = "SELECT count(*) AS count FROM agent_metric_rollups WHERE is_pruned AND starts_at < $1"
    assert (await client.driver.fetch(sql, (before,)))[0]["count"] == 0


async def test_retention_asks_for_an_age(client: PrismaAgentClient, agent: Agent) -> None:
    """And for hours that outlive their points."""
    with pytest.raises(InvalidInputError, match="points_days"):
        await client.metrics.retain()
    with pytest.raises(InvalidInputError, match="rollups_days"):
        await client.metrics.retain(points_days=2, rollups_days=1)
    for wrong in ({"points_days": -1}, {"points_days": math.nan}, {"rollups_days": "1"}, {"batch_size": 0}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await client.metrics.retain(**{"points_days": 1, **wrong})  # type: ignore[arg-type]


async def test_buckets_narrower_than_what_is_kept_are_refused(client: PrismaAgentClient, agent: Agent) -> None:
    """Hours whose points were deleted have no quarters; where edges cut them they count where they began."""
    at = this_hour() - 30 * HOUR + timedelta(minutes=50)
    await client.metrics.record(agent.id, "m", 1, recorded_at=at)
    await client.metrics.retain(points_days=1)

    with pytest.raises(InvalidInputError, match="by the hour only"):
        await client.metrics.series(agent.id, "m", hours=48, bucket="15m")
    assert sum(b.count for b in (await client.metrics.series(agent.id, "m", hours=12, bucket="15m")).buckets) == 0
    halves = await client.metrics.series(agent.id, "m", hours=48, timezone="Asia/Kolkata")
    (full,) = [bucket for bucket in halves.buckets if bucket.count]
    assert full.start == at.replace(minute=30) - HOUR
    assert (full.p50, full.exact) == (1, True)


async def test_points_are_told_apart_by_labels(client: PrismaAgentClient, agent: Agent) -> None:
    """All of the labels asked for, with equal values."""
    at = this_hour() - 5 * HOUR
    for route, method, value in (("/x", "GET", 1), ("/x", "PUT", 2), ("/y", "GET", 4)):
        labels = {"route": route, "method": method}
        await client.metrics.record(agent.id, "m", value, "ms", labels=labels, recorded_at=at)
    await client.metrics.record(agent.id, "m", 8, recorded_at=at)
    await client.metrics.roll_up()

    async def total(labels: dict[str, Any] | None) -> tuple[float, float]:
        series = await client.metrics.series(agent.id, "m", labels=labels)
        summary = (await client.metrics.summary(agent.id, labels=labels)).get("m")
        return (
            sum((bucket.avg or 0) * bucket.count for bucket in series.buckets),
            summary.avg * summary.count if summary else 0,
        )

    assert await total({"route": "/x"}) == (3, 3)
    assert await total({"route": "/x", "method": "GET"}) == (1, 1)
    assert await total({"route": "/z"}) == (0, 0)
    assert await total({}) == await total(None) == (15, 15)
    nested: dict[str, Any] = {"tags": ["a", {"b": None}], "name": "é"}
    await client.metrics.record(agent.id, "m", 16, "s", labels=nested, recorded_at=at)
    others: list[dict[str, Any]] = [{"tags": ["a"]}, {"tags": []}, {"tags": ["a", {}]}, {"tags": None}, {"": "é"}]
    for other in others:
        assert await total(other) == (0, 0)
    for same in (nested, {"tags": nested["tags"]}, {"name": "é"}):
        assert await total(same) == (16, 16)
    assert (await client.metrics.series(agent.id, "m", labels=nested)).unit == "s"
    assert (await client.metrics.series(agent.id, "m", labels={"route": "/y"})).unit == "ms"
    for wrong in ("route", {"x": math.nan}):
        with pytest.raises(InvalidInputError, match="labels"):
            await client.metrics.series(agent.id, "m", labels=wrong)  # type: ignore[arg-type]


async def test_rolling_up_is_idempotent(client: PrismaAgentClient, agent: Agent) -> None:
    """A second call finds nothing to do; the running hour and the one before wait."""
    diary = Diary(client, agent, 1)
    await diary.record(50, 70)
    hours = {at.replace(minute=0, second=0, microsecond=0) for at, _ in diary.points.values()}
    old = {hour for hour in hours if hour < this_hour() - HOUR}

    assert await client.metrics.roll_up() == (len(old), 0)
    assert await client.metrics.roll_up() == (0, 0)
    await client.metrics.record(agent.id, "m", 1, recorded_at=min(old))
    assert await client.metrics.roll_up() == (0, 1)
    rows = await client.driver.fetch("SELECT starts_at FROM agent_metric_rollups")
    assert {row["starts_at"] for row in rows} == old


async def test_many_metrics_are_rolled_up_in_steps(client: PrismaAgentClient, agent: Agent) -> None:
    """More than go in one, and one with more points than go in one; of this organization alone."""
    hour = this_hour() - 10 * HOUR
    other = client.for_organization("other")
    await other.agents.register(AgentConfig(name="n", category="SUPPORT", id=agent.id))
    await other.metrics.record(agent.id, "m", 1, recorded_at=hour)
    for start in range(0, 24_000, 6000):
        await client.metrics.record_many(
            MetricPoint(agent_id=agent.id, name="busy", value=n, recorded_at=hour + timedelta(seconds=n))
            for n in range(start, start + 6000)
        )
    await client.metrics.record_many(
        MetricPoint(agent_id=agent.id, name=f"m{n}", value=n, recorded_at=hour) for n in range(230)
    )

    assert await client.metrics.roll_up() == (7 + 230, 0)
    assert await other.metrics.roll_up() == (1, 0)
    series = await client.metrics.series(agent.id, "busy", bucket="1d", exact=False)
    assert sum(bucket.count for bucket in series.buckets) == 24_000


async def test_several_may_roll_up_while_points_come(client: PrismaAgentClient, agent: Agent) -> None:
    """No point is missed and none counts twice, whoever writes and sweeps at once."""
    chance = random.Random(1)
    values: list[tuple[datetime, float]] = []

    async def write() -> None:
        for _ in range(15):
            batch = [(this_hour() - chance.uniform(2, 8) * HOUR, chance.random()) for _ in range(10)]
            values.extend(batch)
            await client.metrics.record_many(
                MetricPoint(agent_id=agent.id, name="m", value=value, recorded_at=at) for at, value in batch
            )

    async def sweep() -> None:
        for _ in range(8):
            await client.metrics.roll_up()

    async def retain() -> None:
        for _ in range(4):
            await client.metrics.retain(points_days=4 / 24, batch_size=5)

    await asyncio.gather(*(write() for _ in range(4)), *(sweep() for _ in range(3)), retain(), retain())
    await client.metrics.roll_up()

    series = await client.metrics.series(agent.id, "m", hours=12)
    check_series(series, values)
    assert sum(bucket.count for bucket in series.buckets) == 600


async def test_agents_may_be_deleted_meanwhile(client: PrismaAgentClient) -> None:
    """Neither upkeep nor who deletes them notices."""
    for _ in range(8):
        ids = [(await client.agents.register(AgentConfig(name=f"n{n}", category="SUPPORT"))).id for n in range(5)]
        await client.metrics.record_many(
            MetricPoint(agent_id=id, name="m", value=n, recorded_at=this_hour() - n * HOUR)
            for id in ids
            for n in range(5)
        )
        await client.metrics.roll_up()
        await client.metrics.record_many(
            MetricPoint(agent_id=id, name="m", value=n, recorded_at=this_hour() - n * HOUR)
            for id in ids
            for n in range(20)
        )
        deletions = map(client.agents.delete, ids)
        await asyncio.gather(client.metrics.roll_up(), *deletions, client.metrics.retain(points_days=0.1))
    for table in ("agent_metrics", "agent_metric_late_hours", "agent_metric_rollups"):
        assert await client.driver.fetch(f"SELECT 1 FROM {table}") == []


async def test_upkeep_waits_for_no_agent_that_is_being_deleted(client: PrismaAgentClient, agent: Agent) -> None:
    """It does the others' hours, and leaves that agent's to the next call: new, late, old and late again."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))

    async def record() -> None:
        for id in (agent.id, other.id):
            await client.metrics.record(id, "m", 1, recorded_at=this_hour() - 30 * HOUR)

    async def meanwhile(upkeep: Callable[[], Awaitable[object]]) -> object:
        """What *upkeep* returns while the agent is deleted, which is undone."""
        with pytest.raises(ZeroDivisionError):
            async with client.transaction() as transaction, asyncio.timeout(20):
                await transaction.agents.delete(agent.id)
                done = await upkeep()
                raise ZeroDivisionError
        return done

    async def retain() -> object:
        return await client.metrics.retain(points_days=1)

    async def forget() -> object:
        return await client.metrics.retain(rollups_days=1)

    await record()
    assert await meanwhile(client.metrics.roll_up) == (1, 0)
    assert await client.metrics.roll_up() == (1, 0)
    await record()
    assert await meanwhile(client.metrics.roll_up) == (0, 1)
    assert await client.metrics.roll_up() == (0, 1)
    assert await meanwhile(retain) == (2, 0)
    assert await retain() == (2, 0)
    await record()
    assert await meanwhile(retain) == (1, 0)
    assert await retain() == (1, 0)
    assert await meanwhile(forget) == (0, 1)
    assert await forget() == (0, 1)


async def test_a_late_point_is_the_last_one_if_it_is(client: PrismaAgentClient, agent: Agent) -> None:
    """Of two at the same moment the greater; the unit is that of the newest, also when its points were deleted."""
    at = this_hour() - 30 * HOUR

    async def last() -> tuple[object, ...]:
        for exact in (True, False):
            summary = (await client.metrics.summary(agent.id, 48, exact=exact))["m"]
            series = await client.metrics.series(agent.id, "m", hours=48, exact=exact)
            assert summary.unit == series.unit
        return summary.last, summary.unit

    for value, unit, minute in ((5, "ms", 10), (3, "ms", 10), (9, "s", 5), (7, "ms", 10), (1, "min", 11)):
        time = at + timedelta(minutes=minute)
        await client.metrics.record(agent.id, "m", value, unit, recorded_at=time)
        before = await last()
        await client.metrics.retain(points_days=1)
        assert await last() == before
    assert before == (1, "min")


async def test_the_newest_hour_is_found_at_once(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """A summary does not look through all hours for one whose points were deleted when none was."""
    owner = await asyncpg.connect(**parse_url(admin_url).connect_arguments())
    try:
        columns = ["organization_id", "agent_id", "name", "starts_at", "unit", "last_at", "bin_keys", "bin_counts"]
        columns += ["count", "avg", "min", "max", "p50", "p95", "p99", "last"]
        await client.metrics.record(agent.id, "m", 1)
        hours = [this_hour() - n * HOUR for n in range(2, 5000)]
        rows = [("acme", agent.id, "m", at, "", at, [40_000], [1], *[1] * 8) for at in hours]
        await owner.copy_records_to_table("agent_metric_rollups", columns=columns, records=rows)
        await owner.execute("ANALYZE agent_metric_rollups")
    finally:
        await owner.close()
    for name in ("summary_points", "summary_rolled"):
        async with client.transaction() as transaction:
            await transaction.driver.script("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            await transaction.driver.script(f"PREPARE block AS {load_queries('metric_reads')[name]}")
            sql = f"EXPLAIN (ANALYZE) EXECUTE block ('acme', '{agent.id}', 24)"
            plan = "\n".join(row[0] for row in await transaction.driver.fetch(sql))
            await transaction.driver.script("DEALLOCATE block")
        assert all(int(rows) < 100 for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan))


async def test_points_on_time_leave_no_mark(client: PrismaAgentClient, agent: Agent) -> None:
    """Late ones leave one for their transaction and hour; deleting the agent leaves nothing."""
    await client.metrics.record(agent.id, "m", 1)
    await client.metrics.record(agent.id, "m", 1, recorded_at=datetime.now(UTC) + timedelta(hours=3))
    count = "SELECT count(*) AS count FROM agent_metric_late_hours"
    assert (await client.driver.fetch(count))[0]["count"] == 0

    late = [this_hour() - n * timedelta(minutes=10) for n in range(1, 13)]
    await client.metrics.record_many(MetricPoint(agent_id=agent.id, name="m", value=1, recorded_at=at) for at in late)
    assert (await client.driver.fetch(count))[0]["count"] == 2
    await client.metrics.roll_up()
    await client.metrics.record(agent.id, "m", 1, recorded_at=late[-1])
    assert await client.agents.delete(agent.id)
    for table in ("agent_metric_late_hours", "agent_metric_rollups"):
        assert await client.driver.fetch(f"SELECT 1 FROM {table}") == []


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
async def test_hours_are_those_of_utc(database_url: str, zone: str) -> None:
    """Whatever the time zone of the session that writes and sweeps."""
    async with PrismaAgentClient(f"{database_url}&options=-c%20timezone={zone}", "acme") as client:
        agent = await client.agents.register(AgentConfig(name="n", category="SUPPORT"))
        at = this_hour() - 5 * HOUR
        await client.metrics.record(agent.id, "m", 1, recorded_at=at + timedelta(minutes=59))
        await client.metrics.roll_up()
        await client.metrics.record(agent.id, "m", 2, recorded_at=at)

        rows = await client.driver.fetch("SELECT starts_at FROM agent_metric_late_hours")
        assert [row["starts_at"] for row in rows] == [at]
        assert await client.metrics.roll_up() == (0, 1)
        summary = await client.metrics.summary(agent.id, exact=False)
        assert summary["m"].count == 2


async def test_points_copied_by_the_owner_are_marked_too(
    client: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """Also where the search path does not name the tables."""
    at = this_hour() - 5 * HOUR
    await client.metrics.record(agent.id, "m", 1, recorded_at=at)
    await client.metrics.roll_up()
    owner = await asyncpg.connect(**parse_url(admin_url).connect_arguments())
    try:
        await owner.execute("SET search_path = pg_catalog")
        columns = ["organization_id", "id", "agent_id", "name", "value", "recorded_at"]
        rows = [("acme", f"00000000-0000-0000-0000-{n:012}", agent.id, "m", 3.0, at) for n in range(5)]
        await owner.copy_records_to_table("agent_metrics", schema_name="public", columns=columns, records=rows)
    finally:
        await owner.close()

    assert (await client.metrics.series(agent.id, "m")).buckets[-6].count == 6
    assert await client.metrics.roll_up() == (0, 1)
    assert (await client.metrics.series(agent.id, "m")).buckets[-6].count == 6


async def test_what_prisma_changes_is_marked_too(client: PrismaAgentClient, agent: Agent) -> None:
    """Points created, changed and deleted through `client.prisma`."""
    at = this_hour() - 5 * HOUR
    await client.metrics.record(agent.id, "m", 1, recorded_at=at)
    await client.metrics.roll_up()
    points = client.prisma.agentmetric

    async def maximum() -> float | None:
        before = (await client.metrics.series(agent.id, "m")).buckets[-6]
        assert await client.metrics.roll_up() == (0, 1)
        assert (await client.metrics.series(agent.id, "m")).buckets[-6] == before
        return before.max

    row: Any = {"agentId": agent.id, "name": "m", "value": 2.0, "recordedAt": at}
    await points.create(data=row)
    assert await maximum() == 2
    await points.update_many(data={"value": 3.0}, where={"value": 2.0})
    assert await maximum() == 3
    await points.delete_many(where={"value": 3.0})
    assert await maximum() == 1
    await points.delete_many(where={})
    assert await maximum() is None


async def test_it_works_in_a_schema_of_its_own(blank_database: Database) -> None:
    """`?schema=…`: marks, rollups and retention."""
    await migrate.deploy(f"{blank_database.admin_url}&schema=agents_of_acme")
    async with PrismaAgentClient(f"{blank_database.url}&schema=agents_of_acme", "acme") as client:
        agent = await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        diary = Diary(client, agent, 1)
        await diary.record(40, 70)
        await client.metrics.roll_up()
        await diary.record(10, 70)
        await diary.delete()
        await diary.check()
        await client.metrics.retain(points_days=1)
        await diary.check(is_pruned=True)


async def test_an_hour_waits_for_who_is_still_writing(client: PrismaAgentClient, agent: Agent) -> None:
    """What a transaction has written in time cannot be seen before it commits, so its hours are not rolled up yet."""
    await client.metrics.record(agent.id, "m", 1, recorded_at=this_hour() - 5 * HOUR)
    async with client.transaction() as transaction:
        await transaction.metrics.record(agent.id, "m", 2)
        assert (await client.metrics.roll_up()).hours == 1  # it was begun just now, so earlier hours are free
    sql = "SELECT max(starts_at) AS newest FROM agent_metric_rollups"
    assert (await client.driver.fetch(sql))[0]["newest"] == this_hour() - 5 * HOUR


EXTREMES: Sequence[list[float]] = [
    [0.0],
    [-0.0, 0.0],
    [7.0] * 30,
    [5e-324, 1e-310, 1e-300],
    [1e300, -1e300, 1e-300, 0.0],
    [1e300] * 20,
    [-1e300, -1e299, -5.0, -1e-200],
    [1.0, 1.0 + 2**-52, 1.0 - 2**-53],
    [float(n) for n in range(-50, 51)],
    [0.1 * n for n in range(40)],
]


async def test_percentiles_equal_numpys(client: PrismaAgentClient, agent: Agent) -> None:
    """To 1e-9, of tiny, huge, negative and equal values: from points, from rolled hours, and by label."""
    chance = random.Random(1)
    samples = [*EXTREMES, *([draw(chance) for _ in range(chance.randrange(1, 80))] for draw in DRAWS for _ in range(8))]
    at = this_hour() - 3 * HOUR
    await client.metrics.record_many(
        MetricPoint(agent_id=agent.id, name=f"m{number}", value=value, recorded_at=at + timedelta(seconds=second))
        for number, sample in enumerate(samples)
        for second, value in enumerate(sample)
    )

    async def check_all() -> None:
        summaries = [await client.metrics.summary(agent.id, exact=exact) for exact in (True, False)]
        summaries.append(await client.metrics.summary(agent.id, labels={}))
        for number, sample in enumerate(samples):
            for summary in summaries:
                check(summary[f"m{number}"], sample)
                assert summary[f"m{number}"].exact
            series = await client.metrics.series(agent.id, f"m{number}")
            check_series(series, [(at, value) for value in sample])

    await check_all()
    assert (await client.metrics.roll_up()).hours == len(samples)
    await check_all()
    assert (await client.metrics.retain(points_days=0)).points == sum(map(len, samples))
    for number, sample in enumerate(samples):
        check_series(await client.metrics.series(agent.id, f"m{number}"), [(at, value) for value in sample])

    # The bins are those of metric_bins.py.
    for row in await client.driver.fetch("SELECT name, bin_keys, bin_counts FROM agent_metric_rollups"):
        expected = Counter(map(bin_key, samples[int(row["name"][1:])]))
        assert dict(zip(row["bin_keys"], row["bin_counts"], strict=True)) == expected
        assert row["bin_keys"] == sorted(row["bin_keys"])


BLOCKS = [(file, name) for file in ("metric_reads", "metric_upkeep") for name in load_queries(file)]


@pytest.mark.parametrize(("file", "name"), BLOCKS)
async def test_times_are_looked_up_in_an_index(client: PrismaAgentClient, file: str, name: str) -> None:
    """Under row-level security a comparison may have to wait until all of a metric is read; none of these does."""
    sql = load_queries(file)[name]
    async with client.transaction() as transaction:
        await transaction.driver.script("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        await transaction.driver.script(f"SET LOCAL plan_cache_mode = force_generic_plan; PREPARE block AS {sql}")
        nulls = ", ".join(["NULL"] * len(set(re.findall(r"\$\d+", sql))))
        plan = [row[0] for row in await transaction.driver.fetch(f"EXPLAIN EXECUTE block ({nulls})")]
        await transaction.driver.script("DEALLOCATE block")

    assert [line for line in plan if re.search(r"Seq Scan on agent_metric", line)] == []
    scans = "\n".join(plan).split("->")
    filters = [scan for scan in scans if " on agent_metrics " in scan and re.search(r"Filter:.*recorded_at", scan)]
    assert filters == []
