"""What metrics say over time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agentdb.client.metric.buckets import (
    BucketWidth,
    about_how_many,
    are_full_hours,
    bucket_edges,
    is_narrow,
    time_zone,
)
from agentdb.client.metric.parts import joined, part_of_row
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import InvalidInputError
from agentdb.models import Bucket, MetricSeries, MetricSummary, from_row
from agentdb.moments import utc_now
from agentdb.validation import check_flag, check_json, check_number, check_text

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["MetricReads"]

T = TypeVar("T")

_SQL: Final = load_queries("metric_reads")
_MOST_BUCKETS_AT_ONCE: Final = 500
_MOST_ROWS_AT_ONCE: Final = 100
_name: Final = itemgetter("name")


class MetricReads(Resource):
    """What of `client.metrics` reads."""

    async def summary(
        self, agent_id: str, hours: float = 24, *, exact: bool = True, labels: Mapping[str, Any] | None = None
    ) -> dict[str, MetricSummary]:
        """
        Return what each metric's points of the last *hours* say together, by name, in one round trip.

        A point recorded ahead of the server's clock counts once its time has come; so it does in `series`. Of hours
        whose points were deleted by retention, those count that began in the last *hours*.

        Args:
            agent_id: Whose metrics; an unknown agent has none.
            hours: 0.001 to 1,000,000.
            exact: Read all points that there are. False: read hours that are rolled up instead where they will do,
                which takes milliseconds for a month; percentiles are then within 1 %, the rest stays exact.
            labels: Only points that have all of these labels, with equal values; of points that were deleted nothing is
                known by label.

        Returns:
            Summaries, each with *exact*: whether its percentiles are.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        what = (check_text(agent_id, "agent_id"), _hours(hours))
        is_exact = check_flag(exact, "exact")
        if labels is not None:
            rows = await self._fetch(_SQL["summary_labelled"], *what, _labels(labels))
        else:
            rows = await self._fetch(_SQL["summary_points" if is_exact else "summary_rolled"], *what)
        return await _apart(len(rows) > _MOST_ROWS_AT_ONCE, lambda: _summaries(rows))

    async def series(
        self,
        agent_id: str,
        name: str,
        *,
        hours: float = 24,
        bucket: BucketWidth = "1h",
        timezone: str = "UTC",
        exact: bool = True,
        labels: Mapping[str, Any] | None = None,
    ) -> MetricSeries:
        """
        Return a metric over the last *hours*, in one round trip.

        Args:
            agent_id: Whose metric.
            name: The metric; one that was never recorded has empty buckets.
            hours: 0.001 to 1,000,000.
            bucket: 1m, 5m, 15m, 1h, 6h, 1d, 1w or 1mo.
            timezone: The clock that buckets align to, by its name in the IANA database.
            exact: Read all points that there are. False: read hours that are rolled up instead where they will do,
                which takes milliseconds for a month; percentiles of buckets wider than an hour are then within 1 %, the
                rest stays exact. It makes no difference to buckets of an hour or less, nor where edges are no full
                hours of UTC.
            labels: Only points that have all of these labels, with equal values; of points that were deleted nothing is
                known by label.

        Returns:
            Every bucket that the last *hours* touch, oldest first, also empty ones: 25 of "1h" in 24 hours, or 24. Each
            says whether its percentiles are exact; where points were deleted by retention, they are estimates unless
            the bucket is one full hour. An hour whose points were deleted counts to the bucket in which it began.

        Raises:
            InvalidInputError: An argument does not fit, there would be more than 50,000 buckets, or *bucket* is less
                than an hour and points of that time are kept by the hour only.
        """
        now, zone, back = utc_now(), time_zone(timezone), _hours(hours)
        are_many = about_how_many(back, bucket) > _MOST_BUCKETS_AT_ONCE
        edges = await _apart(are_many, lambda: bucket_edges(now, back, bucket, zone))
        what = (check_text(agent_id, "agent_id"), check_text(name, "name"), edges[:-1], edges[-1])
        is_exact = check_flag(exact, "exact")
        if labels is not None:
            rows = await self._fetch(_SQL["series_labelled"], *what, _labels(labels))
        else:
            is_rolled = are_full_hours(edges) and (bucket == "1h" or not is_exact)
            rows = await self._fetch(_SQL["series_rolled" if is_rolled else "series_points"], *what)
        if is_narrow(bucket) and any(row["is_hour"] for row in rows):
            raise InvalidInputError(
                "bucket", "is less than an hour, and points of that time are kept by the hour only; take 1h or more."
            )
        buckets = await _apart(are_many or len(rows) > _MOST_ROWS_AT_ONCE, lambda: _buckets(edges[:-1], rows))
        values = {
            "name": name,
            "unit": rows[0]["unit"] if rows else "",
            "bucket": bucket,
            "exact": all(each.exact for each in buckets),
            "buckets": buckets,
        }
        return from_row(MetricSeries, values)


async def _apart(are_many: bool, work: Callable[[], T]) -> T:
    """Return what *work* returns: in a thread where it would hold up the event loop."""
    return await asyncio.to_thread(work) if are_many else work()


def _hours(hours: float) -> float:
    return check_number(hours, "hours", 1e-3, 1_000_000)


def _labels(labels: Mapping[str, Any]) -> str:
    if not isinstance(labels, Mapping):
        raise InvalidInputError("labels", f"expected a mapping, got {type(labels).__name__}.")
    return check_json(dict(labels), "labels")


_EMPTY: Final = {"count": 0, **dict.fromkeys(("avg", "min", "max", "p50", "p95", "p99")), "exact": True}


def _buckets(starts: Sequence[datetime], rows: Sequence[Record]) -> list[Bucket]:
    found: dict[int, list[Record]] = defaultdict(list)
    for row in rows:
        found[row["bucket"]].append(row)
    return [_bucket(start, found.get(index, ())) for index, start in enumerate(starts)]


def _bucket(start: datetime, rows: Sequence[Record]) -> Bucket:
    return from_row(Bucket, {"start": start, **(_figures(rows) if rows else _EMPTY)})


def _summaries(rows: Iterable[Record]) -> dict[str, MetricSummary]:
    return {name: _summary(list(parts)) for name, parts in groupby(rows, _name)}


def _summary(rows: Sequence[Record]) -> MetricSummary:
    newest = rows[0]
    return from_row(
        MetricSummary,
        {"name": newest["name"], "unit": newest["unit"], **_figures(rows), "last": newest["last"]},
    )


def _figures(rows: Iterable[Record]) -> dict[str, Any]:
    part = joined([part_of_row(row) for row in rows])
    p50, p95, p99 = part.percentiles
    return {
        "count": part.count,
        "avg": part.avg,
        "min": part.min,
        "max": part.max,
        "p50": p50,
        "p95": p95,
        "p99": p99,
        "exact": part.is_exact,
    }
