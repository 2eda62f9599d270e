"""`client.metrics`."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    InvalidInputError,
    MetricPoint,
    NotFoundError,
    PrismaAgentClient,
)
from agentdb.client.metric import reads

pytestmark = pytest.mark.postgres


def percentile(values: list[float], fraction: float) -> float:
    """The definition that numpy and percentile_cont share."""
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


async def test_a_summary_says_what_the_points_say(client: PrismaAgentClient, agent: Agent) -> None:
    """Real percentiles; unit and last value of the newest point."""
    values = [random.gauss(0, 100) for _ in range(500)]
    start = datetime.now(UTC) - timedelta(hours=1)
    points = [
        MetricPoint(agent_id=agent.id, name="latency", value=value, unit="ms", recorded_at=start + timedelta(seconds=n))
        for n, value in enumerate(values)
    ]
    random.shuffle(points)
    await client.metrics.record_many(points)
    await client.metrics.record(agent.id, "accuracy", 0.95, "percentage")

    summary = await client.metrics.summary(agent.id)

    assert list(summary) == ["accuracy", "latency"]
    latency = summary["latency"]
    assert (latency.name, latency.unit, latency.count, latency.last) == ("latency", "ms", 500, values[-1])
    assert (latency.min, latency.max) == (min(values), max(values))
    assert latency.avg == pytest.approx(math.fsum(values) / 500)
    for name, fraction in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert getattr(latency, name) == pytest.approx(percentile(values, fraction), abs=1e-9)
    assert summary["accuracy"].p99 == summary["accuracy"].last == 0.95


async def test_a_summary_looks_back_as_far_as_asked(client: PrismaAgentClient, agent: Agent) -> None:
    """And only at one agent."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    await client.metrics.record(other.id, "m", 99)
    for hours in (0, 2, 30):
        await client.metrics.record(agent.id, "m", hours, recorded_at=datetime.now(UTC) - timedelta(hours=hours))

    assert (await client.metrics.summary(agent.id, hours=1))["m"].count == 1
    assert (await client.metrics.summary(agent.id))["m"].max == 2
    assert (await client.metrics.summary(agent.id, 48))["m"].count == 3
    assert await client.metrics.summary("nobody") == {}
    wrongs: list[Any] = [0, -1, math.nan, math.inf, "24", None, True]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError, match="hours"):
            await client.metrics.summary(agent.id, wrong)


async def test_a_series_has_every_bucket(client: PrismaAgentClient, agent: Agent) -> None:
    """Empty ones are empty, full ones say what their points say."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    by_hour = {hour - timedelta(hours=back): [random.random() for _ in range(20)] for back in (0, 3, 23)}
    await client.metrics.record_many(
        MetricPoint(
            agent_id=agent.id, name="m", value=value, unit="u", recorded_at=min(start + timedelta(minutes=n), now)
        )
        for start, values in by_hour.items()
        for n, value in enumerate(values)
    )

    series = await client.metrics.series(agent.id, "m")

    assert (series.name, series.unit, series.bucket) == ("m", "u", "1h")
    assert len(series.buckets) in (24, 25)
    assert [bucket.start for bucket in series.buckets] == sorted({bucket.start for bucket in series.buckets})
    filled = {bucket.start: bucket for bucket in series.buckets if bucket.count}
    assert filled.keys() == by_hour.keys()
    for start, values in by_hour.items():
        bucket = filled[start]
        assert (bucket.count, bucket.min, bucket.max) == (20, min(values), max(values))
        assert bucket.avg == pytest.approx(sum(values) / 20)
        assert bucket.p50 == pytest.approx(percentile(values, 0.5), abs=1e-9)
        assert bucket.p99 == pytest.approx(percentile(values, 0.99), abs=1e-9)
    empty = next(bucket for bucket in series.buckets if not bucket.count)
    assert empty.model_dump(exclude={"start"}) == {
        "count": 0, "avg": None, "min": None, "max": None, "p50": None, "p95": None, "p99": None, "exact": True
    }  # fmt: skip


async def test_long_reads_leave_the_event_loop_to_others(
    client: PrismaAgentClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they say is worked out in a thread; short ones are not worth it."""
    threads: list[bool] = []

    def noted(name: str) -> Callable[..., object]:
        work: Callable[..., object] = getattr(reads, name)

        def note(*arguments: object) -> object:
            threads.append(threading.current_thread() is not threading.main_thread())
            return work(*arguments)

        return note

    for name in ("bucket_edges", "_buckets", "_summaries"):
        monkeypatch.setattr(reads, name, noted(name))
    names = [f"m{number}" for number in range(200)]
    await client.metrics.record_many(MetricPoint(agent_id=agent.id, name=name, value=1) for name in names)

    await client.metrics.series(agent.id, "m1")
    await client.metrics.summary("nobody")
    assert threads == [False, False, False]
    assert len((await client.metrics.series(agent.id, "m1", hours=2000)).buckets) >= 2000
    assert sorted(await client.metrics.summary(agent.id)) == sorted(names)
    assert threads[3:] == [True, True, True]


async def test_a_series_that_was_never_recorded_is_empty(client: PrismaAgentClient, agent: Agent) -> None:
    """But has its buckets."""
    series = await client.metrics.series(agent.id, "never", hours=1, bucket="15m", timezone="Asia/Kathmandu")

    assert len(series.buckets) in (4, 5)
    assert {bucket.count for bucket in series.buckets} == {0}
    wrongs: list[dict[str, Any]] = [{"bucket": "2h"}, {"hours": 0}, {"timezone": "Nowhere"}]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await client.metrics.series(agent.id, "m", **wrong)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"value": math.nan}, "value"),
        ({"value": math.inf}, "value"),
        ({"value": "high"}, "value"),
        ({"value": "3.5"}, "value"),
        ({"value": True}, "value"),
        ({"value": 1e301}, "value"),
        ({"recorded_at": datetime.min}, "recorded_at"),
        ({"name": ""}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"unit": "\ud800"}, "unit"),
        ({"agent_id": None}, "agent_id"),
        ({"labels": {"x": math.nan}}, "labels.x"),
        ({"recorded_at": datetime.now(UTC) + timedelta(days=2)}, "recorded_at"),
    ],
)
async def test_a_bad_point_is_refused(
    client: PrismaAgentClient, agent: Agent, options: dict[str, Any], field: str
) -> None:
    """Before anything is written."""
    with pytest.raises(InvalidInputError) as caught:
        await client.metrics.record(**{"agent_id": agent.id, "name": "m", "value": 1.0, **options})
    assert caught.value.field == field
    assert await client.metrics.summary(agent.id) == {}


async def test_an_unknown_agent_is_told_how_to_register(client: PrismaAgentClient, agent: Agent) -> None:
    """A batch with one unknown agent records nothing."""
    with pytest.raises(NotFoundError, match="register"):
        await client.metrics.record("nobody", "m", 1)
    points = [MetricPoint(agent_id=id, name="m", value=1) for id in (agent.id, "nobody")]
    with pytest.raises(NotFoundError) as caught:
        await client.metrics.record_many(points)
    assert caught.value.id == "nobody"
    assert await client.metrics.summary(agent.id) == {}
    await client.metrics.record_many([])


async def test_a_retried_point_is_recorded_once(client: PrismaAgentClient, agent: Agent) -> None:
    """Alone, in a batch, and twice in one batch; another point under its key is refused and undoes its batch."""
    point = MetricPoint(agent_id=agent.id, name="m", value=1, unit="u", idempotency_key="k")

    id = await client.metrics.record(agent.id, "m", 1, "u", idempotency_key="k")
    assert await client.metrics.record(agent.id, "m", 1, "u", idempotency_key="k") == id
    await client.metrics.record_many([point, point])
    assert (await client.metrics.summary(agent.id))["m"].count == 1

    changed = point.model_copy(update={"value": 2.0})
    fresh = MetricPoint(agent_id=agent.id, name="m", value=3)
    for batch in ([fresh, changed], [point, changed]):
        with pytest.raises(ConflictError, match="idempotency key") as caught:
            await client.metrics.record_many(batch)
        assert caught.value.constraint == "agent_metrics_pkey"
    with pytest.raises(ConflictError):
        await client.metrics.record(agent.id, "m", 2, "u", idempotency_key="k")
    assert (await client.metrics.summary(agent.id))["m"].count == 1


def random_name() -> str:
    """255 characters of four bytes that cannot be compressed."""
    return "".join(chr(random.randrange(0x20000, 0x2A000)) for _ in range(255))


async def test_names_too_long_for_an_index_are_refused(client: PrismaAgentClient) -> None:
    """An index holds 2.7 kB, and 255 characters may be 1,020 bytes."""
    wide = client.for_organization(random_name())
    agent = await wide.agents.register(AgentConfig(name="n", category="SUPPORT", id=random_name()))

    for name in ("short", "x" * 255):
        await wide.metrics.record(agent.id, name, 1)
    with pytest.raises(InvalidInputError, match="name"):
        await wide.metrics.record(agent.id, random_name(), 1)


async def test_no_point_is_lost_under_load(client: PrismaAgentClient, agent: Agent) -> None:
    """A row per event."""
    await asyncio.gather(*(client.record_metric(agent.id, "m", n, "u") for n in range(200)))

    summary = (await client.get_agent_metrics(agent.id, hours=24))["m"]
    assert (summary.count, summary.avg) == (200, 99.5)


@pytest.mark.parametrize(
    "values",
    [
        [1e200, -1e200, 3.0],
        [1e200] * 3 + [5e-324],
        [1e300] * 100,
        [1e300, -1e300],
        [1e139] * 20,
        [5e-324] * 3,
        [0.1, 0.2, 0.30000000000000004],
        [0.30000000000000004],
        [0.0, -0.0],
    ],
)
async def test_any_values_have_a_mean(client: PrismaAgentClient, agent: Agent, values: list[float]) -> None:
    """Also where their squares are beyond a float, in a summary and in a series."""
    await client.metrics.record_many(MetricPoint(agent_id=agent.id, name="m", value=value) for value in values)

    summary = (await client.metrics.summary(agent.id))["m"]
    (bucket,) = [found for found in (await client.metrics.series(agent.id, "m")).buckets if found.count]

    mean = float(sum(map(Fraction, values)) / len(values))
    for found in (summary, bucket):
        assert found.avg == pytest.approx(mean, rel=1e-9, abs=1e-12 * max(map(abs, values)))
        assert (found.min, found.max) == (min(values), max(values))
        assert found.p50 == pytest.approx(percentile(values, 0.5), rel=1e-9)


async def test_a_summary_looks_back_a_century(client: PrismaAgentClient, agent: Agent) -> None:
    """As far as is documented, and no farther."""
    await client.metrics.record(agent.id, "m", 1, recorded_at=datetime.now(UTC) - timedelta(hours=900_000))

    assert (await client.metrics.summary(agent.id, 1_000_000))["m"].count == 1
    with pytest.raises(InvalidInputError, match="hours"):
        await client.metrics.summary(agent.id, 1_000_001)


async def test_a_point_ahead_of_now_does_not_count_yet(client: PrismaAgentClient, agent: Agent) -> None:
    """Neither in a summary nor in a series, and its value and unit are not the last ones."""
    await client.metrics.record(agent.id, "m", 1, "now")
    soon = datetime.now(UTC) + timedelta(seconds=0.5)
    await client.metrics.record(agent.id, "m", 2, "soon", recorded_at=soon)

    async def seen() -> tuple[object, ...]:
        summary = (await client.metrics.summary(agent.id, hours=1))["m"]
        series = await client.metrics.series(agent.id, "m", hours=1, bucket="1d")
        return (
            summary.count, summary.last, summary.unit, sum(bucket.count for bucket in series.buckets), series.unit
        )  # fmt: skip

    assert await seen() == (1, 1, "now", 1, "now")
    await asyncio.sleep(0.6)
    assert await seen() == (2, 2, "soon", 2, "soon")


async def test_concurrent_batches_of_the_same_points_do_not_deadlock(client: PrismaAgentClient, agent: Agent) -> None:
    """In whatever order they come."""
    points = [MetricPoint(agent_id=agent.id, name="m", value=1, idempotency_key=str(n)) for n in range(300)]

    await asyncio.gather(*(client.metrics.record_many(random.sample(points, 200)) for _ in range(10)))
    await client.metrics.record_many(points)

    assert (await client.metrics.summary(agent.id))["m"].count == 300


async def test_a_batch_that_collides_is_sent_again(client: PrismaAgentClient, agent: Agent, superuser_url: str) -> None:
    """A deadlock with somebody else's transaction costs nothing but time."""
    points = [MetricPoint(agent_id=agent.id, name="m", value=1, idempotency_key=str(n)) for n in range(2)]
    await client.metrics.record_many(points)
    raw = await asyncpg.connect(superuser_url)
    try:
        await raw.execute("SET deadlock_timeout = '10s'")  # so that the other side is the one that notices
        async with raw.transaction():
            ids = [row["id"] for row in await raw.fetch("SELECT id FROM agent_metrics ORDER BY id DESC")]
            lock = "SELECT 1 FROM agent_metrics WHERE id = $1 FOR UPDATE"
            await raw.execute(lock, ids[0])
            recording = asyncio.create_task(client.metrics.record_many(points))
            await asyncio.sleep(0.3)
            await raw.execute(lock, ids[1])
        await recording
    finally:
        await raw.close()
    assert (await client.metrics.summary(agent.id))["m"].count == 2
