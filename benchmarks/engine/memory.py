"""What stays in memory: after many shapes of query, of which each has a plan, and after many calls of one shape."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from agentdb.engine.compiler import MAX_PLANS
from agentdb.engine.shapes import MAX_TEXTS
from benchmarks.engine.database import EngineDatabase
from benchmarks.harness import Check

__all__ = ["MOST_SHAPES", "measure_memory", "resident_mb"]

MOST_SHAPES = 100_000
# What counts as nothing: the allocator takes its memory in pieces, and the peaks of two parts of a run differ.
_SLACK_MB = 4.0

_OPERATORS = (None, "equals", "not", "lt", "lte", "gt", "gte", "in", "not_in")
_VALUES = {"id": 1, "score": 1, "name": "x", "country": "x"}


async def measure_memory(database: EngineDatabase, *, shapes: int, calls: int) -> list[Check]:
    """
    Send *shapes* queries that all differ, then one query *calls* times.

    Growth is the peak of the resident memory in the second half of the run, less that in the first half: it is
    some at first, until the caches are full and the memory that they churn has been taken once.
    """
    authors = database.client.author
    queries = itertools.islice(_queries(), shapes)
    ids = itertools.cycle(range(1, 101))
    grown_by_shapes = await _growth(lambda: authors.find_many(**next(queries)), shapes)
    planner = database.client._engine._planner
    plans, texts = len(planner), len(planner.shapes)
    grown_by_calls = await _growth(lambda: authors.find_unique(where={"id": next(ids)}), calls)
    return [
        Check(f"plans kept after {shapes:,} shapes", plans, MAX_PLANS),
        Check("  texts of requests kept", texts, MAX_TEXTS),
        Check("  memory grown by the second half", grown_by_shapes, _SLACK_MB, "MB"),
        Check(f"memory grown by {calls:,} calls", grown_by_calls, _SLACK_MB, "MB"),
    ]


def _queries() -> Iterator[dict[str, Any]]:
    """Make arguments of find_many, no two of one shape: 16 x 9^4, which is more than `MOST_SHAPES`."""
    for take, *operators in itertools.product(range(1, 17), *[_OPERATORS] * len(_VALUES)):
        where = {
            field: {operator: [value] if operator in {"in", "not_in"} else value}
            for (field, value), operator in zip(_VALUES.items(), operators, strict=True)
            if operator is not None
        }
        yield {"where": where, "take": take}


async def _growth(call: Callable[[], Awaitable[object]], times: int) -> float:
    """Return by how many megabytes the second half of the calls went beyond the first."""
    peaks = []
    for _ in range(2):
        peak = 0.0
        for _ in range(10):
            for _ in range(times // 20):
                await call()
            gc.collect()
            peak = max(peak, resident_mb())
        peaks.append(peak)
    return peaks[1] - peaks[0]


def resident_mb() -> float:
    """Return how much memory this process occupies, in megabytes."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True, text=True)
    return int(shown.stdout) / 1024
