"""What is known of parts of a metric's points, and what it says of all of them together: pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import add, mul
from typing import TYPE_CHECKING, Final

from agentdb.client.metric.bins import bin_key, estimated_percentiles

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Part", "joined", "part_of_row", "part_of_values"]

_LARGE: Final = 1e280


@dataclass(frozen=True, slots=True)
class Part:
    """
    The figures of some points, at least one.

    Attributes:
        percentiles: p50, p95 and p99.
        is_exact: Whether the percentiles are; the other figures always are.
        keys: The bins that hold any of the points, by their keys; empty where the part stands alone.
        counts: How many points each of these holds.
    """

    count: int
    avg: float
    min: float
    max: float
    percentiles: Sequence[float]
    is_exact: bool
    keys: Sequence[int]
    counts: Sequence[int]


def part_of_row(row: Record) -> Part:
    """Return the part that a row of metric_reads.sql tells of."""
    return Part(
        row["count"],
        row["avg"],
        row["min"],
        row["max"],
        row["percentiles"],
        row["is_exact"],
        row["keys"] or (),
        row["counts"] or (),
    )


def part_of_values(values: Sequence[float]) -> Part:
    """Return the part of points with these values. Its percentiles are estimates: it is made to be joined."""
    bins: dict[int, int] = {}
    for value in values:
        key = bin_key(value)
        bins[key] = bins.get(key, 0) + 1
    low, high = min(values), max(values)
    avg = _mean(values, [1] * len(values))
    estimates = estimated_percentiles(bins, low, high)
    return Part(len(values), avg, low, high, estimates, False, list(bins), list(bins.values()))


def joined(parts: Sequence[Part]) -> Part:
    """Return the figures of all points together: of several parts, percentiles are estimated from their bins."""
    if len(parts) == 1:
        return parts[0]
    count = sum(part.count for part in parts)
    low, high = min(part.min for part in parts), max(part.max for part in parts)
    bins: dict[int, int] = {}
    for part in parts:
        # a loop in Python takes twice as long, and there may be some hundred thousand
        sums = map(add, map(bins.get, part.keys, repeat(0)), part.counts)
        bins.update(zip(part.keys, sums, strict=True))
    keys = sorted(bins)
    estimates = estimated_percentiles(bins, low, high)
    avg = _mean([part.avg for part in parts], [part.count for part in parts])
    return Part(count, avg, low, high, estimates, False, keys, [bins[key] for key in keys])


def _mean(values: Sequence[float], counts: Sequence[int]) -> float:
    low, high, count = min(values), max(values), sum(counts)
    if max(high, -low) < _LARGE:
        mean = math.fsum(map(mul, values, counts)) / count
    else:  # each one's share first: the sum may be beyond a float
        mean = math.fsum(value * (number / count) for value, number in zip(values, counts, strict=True))
    return min(max(mean, low), high)
