"""Metrics beside a plain list of points: whatever is done in whatever order, every read says what the list says."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from agentdb import AgentConfig, Bucket, InvalidInputError, MetricPoint, MetricSummary, PrismaAgentClient
from agentdb.client.metric.bins import RELATIVE_ERROR
from agentdb.client.metric.buckets import BucketWidth, bucket_edges, is_narrow, time_zone

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)
FRACTIONS = {"p50": 50, "p95": 95, "p99": 99}
NAMES = ("m", "n")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe")
HOURS = {"1m": 20.0, "5m": 80.0, "15m": 80.0, "1h": 80.0, "6h": 80.0, "1d": 80.0, "1w": 2000.0, "1mo": 1_000_000.0}
LABELS: Sequence[dict[str, Any]] = (
    {},
    {"r": "é"},
    {"r": None},
    {"r": {"a": 1}},
    {"r": {"a": 1, "b": 2}},
    {"r": [1]},
    {"r": [1, 2]},
    {"r": "é", "s": 1},
)
ORGANIZATIONS = itertools.count()


@dataclass(frozen=True)
class Point:
    at: datetime
    value: float
    labels: dict[str, Any]

    @property
    def hour(self) -> datetime:
        return self.at.replace(minute=0, second=0, microsecond=0)

    @property
    def unit(self) -> str:
        return f"unit {self.at.minute}"


@dataclass
class Kept:
    """What is left of an hour whose points were deleted."""

    points: list[Point]
    exact: bool = True


@dataclass
class Model:
    """One metric: its points, and hours whose points were deleted."""

    points: dict[str, Point] = field(default_factory=dict)
    kept: dict[datetime, Kept] = field(default_factory=dict)

    def retain(self, points_until: datetime, rollups_until: datetime) -> tuple[int, int]:
        """Return how many points and hours are deleted."""
        gone = {id for id, point in self.points.items() if point.hour < points_until or point.hour in self.kept}
        late = {hour for hour in {self.points[id].hour for id in gone} if hour in self.kept}
        for id in gone:
            point = self.points.pop(id)
            self.kept.setdefault(point.hour, Kept([])).points.append(point)
        for hour in late:
            self.kept[hour].exact = False
        old = [hour for hour in self.kept if hour < rollups_until]
        for hour in old:
            del self.kept[hour]
        return len(gone), len(old)

    def newest(self, now: datetime, labels: dict[str, Any] | None = None) -> Point:
        kept = [point for hour in self.kept.values() for point in hour.points] if labels is None else []
        return max((point for point in [*self.seen(now, labels), *kept]), key=lambda point: (point.at, point.value))

    def seen(self, now: datetime, labels: dict[str, Any] | None = None) -> list[Point]:
        wanted = (labels or {}).items()
        return [
            point
            for point in self.points.values()
            if point.at <= now and all(key in point.labels and point.labels[key] == value for key, value in wanted)
        ]


def check_figures(found: Bucket | MetricSummary, points: list[Point], kept: list[Kept], *, must_be_exact: bool) -> None:
    """Check that *found* says what *points*, and hours that are kept, say together, and labels what it estimates."""
    values = [point.value for point in [*points, *(point for hour in kept for point in hour.points)]]
    assert found.count == len(values)
    if not values:
        assert (found.avg, found.p50, found.exact) == (None, None, True)
        return
    largest = max(map(abs, values))
    assert (found.min, found.max) == (min(values), max(values))
    mean = float(sum(map(Fraction, values)) / len(values))
    assert found.avg == pytest.approx(mean, rel=1e-9, abs=1e-12 * largest + 1e-320)
    if must_be_exact and not (kept and points) and len(kept) < 2 and all(hour.exact for hour in kept):
        assert found.exact
    ordered = sorted(values)
    for name, percent in FRACTIONS.items():
        place = percent / 100 * (len(values) - 1)
        near = max(abs(ordered[math.floor(place)]), abs(ordered[min(math.ceil(place), len(values) - 1)]))
        allowed = 1e-11 * near + 1e-320 if found.exact else RELATIVE_ERROR * near + 1e-300
        assert getattr(found, name) == pytest.approx(float(numpy.percentile(values, percent)), rel=1e-9, abs=allowed)


class Machine:
    """The database and the model, and what is done to both."""

    def __init__(self, client: PrismaAgentClient, now: datetime) -> None:
        self.client, self.metrics = client, client.metrics
        self.hour = now.replace(minute=0, second=0, microsecond=0)
        self.models = {name: Model() for name in NAMES}

    async def record(self, points: list[tuple[str, Point]]) -> None:
        rows = [
            MetricPoint(
                agent_id="a", name=name, value=point.value, unit=point.unit, labels=point.labels, recorded_at=point.at
            )
            for name, point in points
        ]
        for (name, point), row in zip(points, rows, strict=True):
            args = (row.agent_id, row.name, row.value, row.unit)
            id = await self.metrics.record(*args, labels=row.labels, recorded_at=row.recorded_at)
            self.models[name].points[id] = point

    def some(self, number: int) -> tuple[Model, str] | None:
        ids = sorted((id, name) for name, model in self.models.items() for id in model.points)
        return (self.models[ids[number % len(ids)][1]], ids[number % len(ids)][0]) if ids else None

    async def delete(self, number: int) -> None:
        if found := self.some(number):
            model, id = found
            del model.points[id]
            await self.client.driver.execute("DELETE FROM agent_metrics WHERE id = $1", (id,))

    async def change(self, number: int, point: Point) -> None:
        if found := self.some(number):
            model, id = found
            model.points[id] = replace(point, labels=model.points[id].labels)
            sql = "UPDATE agent_metrics SET recorded_at = $2, value = $3, unit = $4 WHERE id = $1"
            await self.client.driver.execute(sql, (id, point.at, point.value, point.unit))

    async def roll_up(self) -> None:
        await self.metrics.roll_up()

    async def retain(self, points_hours: float | None, rollups_hours: float | None, batch_size: int) -> None:
        ages = [None if hours is None else hours / 24 for hours in (points_hours, rollups_hours)]
        options: dict[str, Any] = {"points_days": ages[0], "rollups_days": ages[1]}
        planned = await self.metrics.retain(**options, dry_run=True)
        done = await self.metrics.retain(**options, batch_size=batch_size)
        now = datetime.now(UTC)
        untils = [
            datetime.min.replace(tzinfo=UTC)
            if hours is None
            else min((now - hours * HOUR).replace(minute=0, second=0, microsecond=0), self.hour - HOUR)
            for hours in (points_hours, rollups_hours)
        ]
        deleted = [model.retain(untils[0], untils[1]) for model in self.models.values()]
        assert done == (sum(points for points, _ in deleted), sum(hours for _, hours in deleted))
        assert planned == done

    async def check_series(
        self, name: str, hours: float, bucket: BucketWidth, zone: str, exact: bool, labels: dict[str, Any] | None
    ) -> None:
        model, now = self.models[name], datetime.now(UTC)
        edges = bucket_edges(now, hours, bucket, time_zone(zone))
        kept = {} if labels is not None else {hour: each for hour, each in model.kept.items() if hour >= edges[0]}
        reading = self.metrics.series("a", name, hours=hours, bucket=bucket, timezone=zone, exact=exact, labels=labels)
        if is_narrow(bucket) and kept:
            with pytest.raises(InvalidInputError, match="by the hour only"):
                await reading
            return
        series = await reading
        assume([each.start for each in series.buckets] == edges[:-1])  # a minute may have passed

        points_of: dict[int, list[Point]] = defaultdict(list)
        kept_of: dict[int, list[Kept]] = defaultdict(list)
        for point in model.seen(now, labels):
            points_of[bisect_right(edges, point.at) - 1].append(point)
        for hour, each in kept.items():
            kept_of[bisect_right(edges, hour) - 1].append(each)
        for index, found in enumerate(series.buckets):
            must_be_exact = exact or bucket == "1h" or is_narrow(bucket) or labels is not None
            check_figures(found, points_of[index], kept_of[index], must_be_exact=must_be_exact)
        assert series.exact == all(each.exact for each in series.buckets)
        if any(each.count for each in series.buckets):
            assert series.unit == model.newest(now, labels).unit

    async def check_summary(self, hours: float, exact: bool, labels: dict[str, Any] | None) -> None:
        summary = await self.metrics.summary("a", hours, exact=exact, labels=labels)
        now = datetime.now(UTC)
        since = now - hours * HOUR
        for name, model in self.models.items():
            points = [point for point in model.seen(now, labels) if point.at > since]
            kept = [each for hour, each in model.kept.items() if hour > since and labels is None]
            if not points and not kept:
                assert name not in summary
                continue
            check_figures(summary[name], points, kept, must_be_exact=exact or labels is not None)
            newest = model.newest(now, labels)
            assert (summary[name].last, summary[name].unit) == (newest.value, newest.unit)


EXTREMES = (0.0, -0.0, 1.0, 1e300, -1e300, 1e-300, 5e-324)
VALUES = st.floats(-1e300, 1e300) | st.floats(-100, 100) | st.sampled_from(EXTREMES)
# In the current hour, in rolled ones, at their ends, and up to a day ahead.
AGES = st.tuples(st.integers(-20, 70) | st.integers(-1, 6), st.sampled_from([0, 0, 1, 29, 30, 45, 59]), st.booleans())
STEPS = st.one_of(
    st.tuples(
        st.just("record"),
        st.lists(st.tuples(st.sampled_from(NAMES), AGES, VALUES, st.sampled_from(LABELS)), min_size=1, max_size=12),
    ),
    st.tuples(st.just("delete"), st.integers(0, 100)),
    st.tuples(st.just("change"), st.integers(0, 100), AGES, VALUES),
    st.just(("roll_up",)),
    st.just(("roll_up",)),
    st.tuples(
        st.just("retain"), st.sampled_from([(0, None), (3, None), (24, None), (3, 24), (None, 30)]), st.integers(1, 9)
    ),
)
READS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([*HOURS.items(), *HOURS.items(), ("1m", 0.001), ("1h", 0.001), ("1mo", 0.001)]),
        st.sampled_from(ZONES),
        st.booleans(),
        st.none() | st.none() | st.sampled_from(LABELS),
    ),
    min_size=4,
    max_size=8,
)


@given(st.lists(st.tuples(STEPS, READS), min_size=3, max_size=8))
@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each takes a while, and shrinking takes thousands
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_reads_say_what_the_points_say(client: PrismaAgentClient, steps: list[Any]) -> None:
    """Points on time, late, ahead, changed and deleted; rolled up and retained; every width, zone and label."""
    own = client.for_organization(f"o{next(ORGANIZATIONS)}")
    await own.agents.register(AgentConfig(name="a", category="SUPPORT", id="a"))
    machine = Machine(own, datetime.now(UTC))

    def point(age: tuple[int, int, bool], value: float, labels: dict[str, Any]) -> Point:
        hours, minutes, is_end = age
        offset = timedelta(minutes=minutes) + (timedelta(seconds=59, microseconds=999_999) if is_end else timedelta(0))
        return Point(machine.hour - hours * HOUR + offset, value, labels)

    for step, reads in steps:
        match step:
            case ("record", points):
                await machine.record([(name, point(age, value, labels)) for name, age, value, labels in points])
            case ("delete", number):
                await machine.delete(number)
            case ("change", number, age, value):
                await machine.change(number, point(age, value, {}))
            case ("roll_up",):
                await machine.roll_up()
            case ("retain", (points_hours, rollups_hours), batch_size):
                await machine.retain(points_hours, rollups_hours, batch_size)
        assume(datetime.now(UTC) - machine.hour < HOUR)  # the hour is still the same
        for name, (bucket, hours), zone, exact, labels in reads:
            await machine.check_series(name, hours, bucket, zone, exact, labels)
            await machine.check_summary(hours, exact, labels)
