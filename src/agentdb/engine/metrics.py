"""
What a client has done, in figures: the metrics that Prisma documents, under their names and in both of their forms.

https://www.prisma.io/docs/orm/v6/prisma-client/observability-and-logging/metrics

The generated client always asked the Rust engine to count, whatever preview features its schema names. Here calls are
counted always; statements are, and times are taken, from the first time that somebody asks: nobody pays for figures
that are never read.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentdb.postgres.pool import Pool

BOUNDS_MS = (0.0, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 50000.0)
"""The upper ends of a histogram's buckets, in milliseconds."""

_DESCRIPTIONS: Mapping[str, str] = {
    "prisma_client_queries_total": "Total number of Prisma Client queries executed",
    "prisma_datasource_queries_total": "Total number of Datasource Queries executed",
    "prisma_pool_connections_closed_total": "Total number of Pool Connections closed",
    "prisma_pool_connections_opened_total": "Total number of Pool Connections opened",
    "prisma_client_queries_active": "Number of currently active Prisma Client queries",
    "prisma_client_queries_wait": "Number of Prisma Client queries currently waiting for a connection",
    "prisma_pool_connections_busy": "Number of currently busy Pool Connections (executing a datasource query)",
    "prisma_pool_connections_idle": (
        "Number of currently unused Pool Connections (waiting for the next datasource query to run)"
    ),
    "prisma_pool_connections_open": "Number of currently open Pool Connections",
    "prisma_client_queries_duration_histogram_ms": (
        "Histogram of the duration of all executed Prisma Client queries in ms"
    ),
    "prisma_client_queries_wait_histogram_ms": "Histogram of the wait time of all Prisma Client Queries in ms",
    "prisma_datasource_queries_duration_histogram_ms": (
        "Histogram of the duration of all executed Datasource Queries in ms"
    ),
}


class Histogram:
    """How often something took how long."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms: float = 0.0

    @property
    def count(self) -> int:
        """How often it happened."""
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """Note that it happened once more and took *seconds*."""
        milliseconds = seconds * 1000
        self.counts[bisect_left(BOUNDS_MS, milliseconds)] += 1
        self.sum_ms += milliseconds

    def with_more(self, other: Histogram) -> Histogram:
        """Return the histogram of both."""
        both = Histogram()
        both.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        both.sum_ms = self.sum_ms + other.sum_ms
        return both


class Metrics:
    """
    The figures of one engine.

    Attributes:
        calls: How many calls of the client there were.
        queries: Those that were timed: since somebody asked.
        active: Those that have not ended yet.
        statements: The statements that borrowed a connection each, BEGIN among them.
        statements_inside: Those that ran in an open transaction, with its COMMIT or ROLLBACK.
        waits: How long calls waited for a connection, those that had to.
        closed: The connections that were closed while the pool was open.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.queries: Histogram = Histogram()
        self.active = 0
        self.statements: Histogram = Histogram()
        self.statements_inside: Histogram = Histogram()
        self.waits: Histogram = Histogram()
        self.closed = 0

    # -- what is told

    def report(self, pool: Pool | None, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return everything in the JSON form, which counts a value in one bucket alone."""
        return {
            "counters": [_metric(key, value, labels) for key, value in self._counters(pool)],
            "gauges": [_metric(key, float(value), labels) for key, value in self._gauges(pool)],
            "histograms": [
                _metric(
                    key,
                    {
                        "buckets": [list(pair) for pair in zip(BOUNDS_MS, value.counts, strict=False)],
                        "sum": value.sum_ms,
                        "count": value.count,
                    },
                    labels,
                )
                for key, value in self._histograms()
            ],
        }

    def prometheus(self, pool: Pool | None, labels: Mapping[str, str] | None = None) -> str:
        """Return everything in the text form of Prometheus, which counts a value in every bucket that it fits."""
        names = _labels_text(labels or {})
        blocks = [_block(key, "counter", [(key, names, value)]) for key, value in self._counters(pool)]
        blocks += [_block(key, "gauge", [(key, names, value)]) for key, value in self._gauges(pool)]
        blocks += [_block(key, "histogram", _buckets(key, names, value)) for key, value in self._histograms()]
        return "".join(blocks)

    def _counters(self, pool: Pool | None) -> Iterator[tuple[str, int]]:
        yield "prisma_client_queries_total", self.calls
        yield "prisma_datasource_queries_total", self.statements.count + self.statements_inside.count
        yield "prisma_pool_connections_closed_total", self.closed
        yield "prisma_pool_connections_opened_total", self.closed + (0 if pool is None else pool.stats.size)

    def _gauges(self, pool: Pool | None) -> Iterator[tuple[str, int]]:
        stats = None if pool is None else pool.stats
        yield "prisma_client_queries_active", self.active
        yield "prisma_client_queries_wait", 0 if stats is None else stats.waiting
        yield "prisma_pool_connections_busy", 0 if stats is None else stats.in_use
        yield "prisma_pool_connections_idle", 0 if stats is None else stats.idle
        yield "prisma_pool_connections_open", 0 if stats is None else stats.size

    def _histograms(self) -> Iterator[tuple[str, Histogram]]:
        at_once = Histogram()  # who found an idle connection: too quick to be worth a look at the clock
        at_once.counts[0] = max(self.statements.count - self.waits.count, 0)
        yield "prisma_client_queries_duration_histogram_ms", self.queries
        yield "prisma_client_queries_wait_histogram_ms", self.waits.with_more(at_once)
        yield "prisma_datasource_queries_duration_histogram_ms", self.statements.with_more(self.statements_inside)


# -- the two forms ----------------------------------------------------------------------------------------------------


def _metric(key: str, value: object, labels: Mapping[str, str] | None) -> dict[str, Any]:
    return {"key": key, "labels": dict(labels or {}), "value": value, "description": _DESCRIPTIONS[key]}


def _block(key: str, kind: str, lines: Iterable[tuple[str, str, float]]) -> str:
    values = "".join(f"{name}{labels} {_number(value)}\n" for name, labels, value in lines)
    return f"# HELP {key} {_DESCRIPTIONS[key]}\n# TYPE {key} {kind}\n{values}\n"


def _buckets(key: str, labels: str, histogram: Histogram) -> Iterator[tuple[str, str, float]]:
    total = 0
    for bound, count in zip([*map(_number, BOUNDS_MS), "+Inf"], histogram.counts, strict=True):
        total += count
        yield f"{key}_bucket", f'{labels[:-1] + "," if labels else "{"}le="{bound}"}}', total
    yield f"{key}_sum", labels, histogram.sum_ms
    yield f"{key}_count", labels, total


def _labels_text(labels: Mapping[str, str]) -> str:
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    pairs = sorted(f'{re.sub("[^a-zA-Z0-9_]", "_", key)}="{value.translate(escapes)}"' for key, value in labels.items())
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
