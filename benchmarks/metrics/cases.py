"""The operations, and what each is when it is written by hand."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from agentdb import PrismaAgentClient
from agentdb.ids import uuid7_text
from benchmarks.database import ORGANIZATION, WRITER, Database
from benchmarks.harness import Case, Check, Measurement, compare
from benchmarks.metrics.data import DAY_AGENT, MONTH_AGENT, NAME, load_points

__all__ = ["measure_large_metrics", "measure_metrics"]

_RECORD = """INSERT INTO agent_metrics (organization_id, id, agent_id, name, value, unit)
    VALUES ($1, $2, $3, $4, $5, $6)"""
_RECORD_MANY = """INSERT INTO agent_metrics (organization_id, id, agent_id, name, value, unit, labels, recorded_at)
    SELECT $1, id, $2, name, value, unit, labels::jsonb, at
    FROM unnest($3::uuid[], $4::text[], $5::float8[], $6::text[], $7::text[], $8::timestamptz[])
        AS given (id, name, value, unit, labels, at)"""
_SERIES = """SELECT date_trunc($5, recorded_at, 'UTC') AS start, count(*), avg(value), min(value), max(value),
        percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY value)
    FROM agent_metrics
    WHERE organization_id = $1 AND agent_id = $2 AND name = $3 AND recorded_at >= $4 AND recorded_at <= now()
    GROUP BY start ORDER BY start"""
_BURST = 20_000
_BATCH = 2000
_MOST_MS_A_POINT = 1000 / 20_000
_MOST_MS_A_DAY = 5.0
_MOST_MS_A_MONTH = 50.0
_DAY_HOURS = 24
_MONTH_HOURS = 30 * 24


async def measure_metrics(
    database: Database, *, points: int, rounds: int, tell: Callable[[str], object]
) -> list[Measurement | Check]:
    """Measure recording, then reading a day among *points* of a week, before they are rolled up and after."""
    recording = [await compare(_record(database), rounds=rounds)]
    tell("recorder")
    database.placement.apart()
    recording += _gathered(await compare(_recorder(database), rounds=rounds))
    database.placement.together()
    await load_points(database, DAY_AGENT, points, 7, tell)
    tell("24 hours from points")
    day = _series("24 h by the hour, from points", database, DAY_AGENT, _DAY_HOURS, "1h", bar=1.2)
    labelled = _series("  of a label", database, DAY_AGENT, _DAY_HOURS, "1h", labels={})
    from_points = [await compare(day, rounds=rounds), await compare(labelled, rounds=rounds)]
    rolling = await _roll_up(database, points, tell)
    tell("24 hours from rollups")
    rolled = _series("24 h by the hour, from rollups", database, DAY_AGENT, _DAY_HOURS, "1h")
    return [*recording, *from_points, rolling, _within(await compare(rolled, rounds=rounds), _MOST_MS_A_DAY)]


async def measure_large_metrics(
    database: Database, *, points: int, rounds: int, tell: Callable[[str], object]
) -> list[Measurement | Check]:
    """Measure reading a month of one agent's points from rollups, among *points*."""
    await load_points(database, MONTH_AGENT, points, 31, tell)
    rolling = await _roll_up(database, points, tell)
    found: list[Measurement | Check] = [rolling]
    for bucket in ("1h", "1d"):
        tell(f"a month by {bucket}")
        case = _series(f"a month by {bucket}, from rollups", database, MONTH_AGENT, _MONTH_HOURS, bucket, exact=False)
        found.append(_within(await compare(replace(case, turns=1, calls=2), rounds=rounds), _MOST_MS_A_MONTH))
    return found


def _record(database: Database) -> Case:
    client, raw = database.client, database.raw
    return Case(
        "record a point",
        lambda value: client.metrics.record(WRITER, "accuracy", value, "percentage"),
        {
            "asyncpg": lambda value: raw.execute(
                _RECORD, ORGANIZATION, uuid7_text(), WRITER, "accuracy", value, "percentage"
            )
        },
        bar=1.4,
        prepare=random.Random(1).random,
        calls=20,
    )


def _recorder(database: Database) -> Case:
    client, raw = database.client, database.raw

    async def gathered(values: Any) -> None:
        async with client.metrics.recorder() as recorder:
            for value in values:
                await recorder.record(WRITER, "loss", value, "nats")

    async def by_hand(values: Any) -> None:
        for start in range(0, _BURST, _BATCH):
            part = values[start : start + _BATCH]
            ids, at = [uuid7_text() for _ in part], [datetime.now(UTC) for _ in part]
            columns = [ids, ["loss"] * len(part), part, ["nats"] * len(part), ["{}"] * len(part), at]
            await raw.execute(_RECORD_MANY, ORGANIZATION, WRITER, *columns)

    return Case(
        f"recorder, per point of {_BURST:,}",
        gathered,
        {"unnest": by_hand},
        bar=None,
        prepare=lambda: [random.random() for _ in range(_BURST)],
        calls=1,
        turns=1,
        operations=_BURST,
    )


def _gathered(measured: Measurement) -> list[Measurement]:
    """Show how it compares, and whether it is quick enough by itself."""
    return [measured, replace(measured, name="  20,000 points/s and more", ratio=None, bar=_MOST_MS_A_POINT)]


def _series(
    name: str,
    database: Database,
    agent: str,
    hours: int,
    bucket: Literal["1h", "1d"],
    *,
    bar: float | None = None,
    **options: Any,
) -> Case:
    client, raw = database.client, database.raw
    unit = {"1h": "hour", "1d": "day"}[bucket]

    async def by_hand(_: object) -> object:
        since = datetime.now(UTC) - timedelta(hours=hours)
        begin = since.replace(minute=0, second=0, microsecond=0)
        begin = begin.replace(hour=0) if unit == "day" else begin
        return await raw.fetch(_SERIES, ORGANIZATION, agent, NAME, begin, unit)

    return Case(
        name,
        lambda _: client.metrics.series(agent, NAME, hours=hours, bucket=bucket, **options),
        {"asyncpg": by_hand},
        bar=bar,
        prepare=lambda: None,
        calls=2,
        turns=2,
    )


async def _roll_up(database: Database, points: int, tell: Callable[[str], object]) -> Check:
    tell("points are rolled up")
    started = time.perf_counter()
    client: PrismaAgentClient = database.client
    await client.metrics.roll_up()
    seconds = time.perf_counter() - started
    await database.owner.execute("VACUUM ANALYZE agent_metric_rollups")
    return Check("rolled up, points/s", points / seconds, None)


def _within(measured: Measurement, milliseconds: float) -> Measurement:
    """Judge by the time it takes, not by the ratio."""
    return replace(measured, ratio=None, bar=milliseconds)
