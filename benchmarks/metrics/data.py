"""Points of ten agents, evenly over some days until now."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from agentdb.ids import uuid7_text
from benchmarks.database import ORGANIZATION, Database

__all__ = ["DAY_AGENT", "MONTH_AGENT", "NAME", "load_points"]

AGENTS = 10
DAY_AGENT = "week-3"
MONTH_AGENT = "month-3"
NAME = "latency"

_REGISTER = """
INSERT INTO agents (organization_id, id, name, category)
SELECT $1, $2 || n, $2 || n, 'SUPPORT' FROM generate_series(0, $3) AS n
"""
_COLUMNS = ("organization_id", "id", "agent_id", "name", "value", "unit", "labels", "recorded_at")
_CHUNK = 100_000

_Row = tuple[str, str, str, str, float, str, str, datetime]


async def load_points(database: Database, agent: str, points: int, days: float, tell: Callable[[str], object]) -> None:
    """
    Load *points* of the last *days* by COPY, as the owner of the tables, for *agent* and nine others.

    Nothing is rolled up yet, so no point is late: the trigger that notes late ones is off meanwhile.
    """
    owner = database.owner
    prefix = agent[:-1]
    await owner.execute(_REGISTER, ORGANIZATION, prefix, AGENTS - 1)
    await owner.execute("ALTER TABLE agent_metrics DISABLE TRIGGER USER")
    rows = _rows(prefix, points, days)
    for done in range(0, points, _CHUNK):
        tell(f"{done:,} of {points:,} points")
        chunk = itertools.islice(rows, _CHUNK)
        await owner.copy_records_to_table("agent_metrics", columns=_COLUMNS, records=chunk)
    await owner.execute("ALTER TABLE agent_metrics ENABLE TRIGGER USER")
    tell("VACUUM")
    await owner.execute("VACUUM ANALYZE agent_metrics")


def _rows(prefix: str, points: int, days: float) -> Iterator[_Row]:
    chance = random.Random(1)
    now = datetime.now(UTC)
    step = timedelta(days=days) / points
    for number in range(points):
        value = math.exp(chance.gauss(4, 0.7))
        at = now - (points - 1 - number) * step
        yield ORGANIZATION, uuid7_text(), f"{prefix}{number % AGENTS}", NAME, value, "ms", "{}", at
