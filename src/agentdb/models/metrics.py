"""Metrics: points, and what they say over time."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentdb.models.base import Input, Row
from agentdb.validation import JsonObject, MetricValue, Name, RecentDatetime, Unit

__all__ = [
    "Bucket",
    "MetricPoint",
    "MetricSeries",
    "MetricSummary",
    "UndeliveredPoints",
]


class MetricPoint(Input):
    """One measured value."""

    agent_id: Name
    """The agent it belongs to."""
    name: Name
    """What was measured, 1 to 255 characters."""
    value: MetricValue
    """A number from -1e300 to 1e300."""
    unit: Unit = ""
    """Its unit, at most 100 characters."""
    labels: JsonObject = Field(default_factory=dict)
    """A JSON object."""
    recorded_at: RecentDatetime | None = None
    """When it was measured, at most a day ahead; a naive time is taken as UTC. None: now."""
    idempotency_key: Name | None = None
    """A write that is retried with the same key lands once; 1 to 255 characters."""


class MetricSummary(Row, frozen=True):
    """What a metric's points say together."""

    name: str
    unit: str
    """The newest point's; *last* is its value."""
    count: int
    """How many points there are."""
    avg: float
    """The mean; like all figures here in *unit*."""
    min: float
    """The least value."""
    max: float
    """The greatest value."""
    p50: float
    """The median: half of the values are no greater."""
    p95: float
    """95 in 100 of the values are no greater."""
    p99: float
    """99 in 100 of the values are no greater."""
    exact: bool
    """Whether the percentiles are exact; estimates are within 1 %. The other figures are exact always."""
    last: float
    """The newest point's value."""


class Bucket(Row, frozen=True):
    """The points from *start* to the next bucket's start; without any, *count* is 0 and the other figures None."""

    start: datetime
    """When it begins, in the time zone that was asked for."""
    count: int
    """How many points there are."""
    avg: float | None
    """The mean; like all figures here in the series' unit."""
    min: float | None
    """The least value."""
    max: float | None
    """The greatest value."""
    p50: float | None
    """The median: half of the values are no greater."""
    p95: float | None
    """95 in 100 of the values are no greater."""
    p99: float | None
    """99 in 100 of the values are no greater."""
    exact: bool
    """Whether the percentiles are exact; estimates are within 1 %. The other figures are exact always."""


class MetricSeries(Row, frozen=True):
    """A metric over time."""

    name: str
    unit: str
    """The newest point's."""
    bucket: str
    """The width of a bucket."""
    exact: bool
    """Whether the percentiles of all buckets are exact."""
    buckets: list[Bucket]
    """Oldest first, without a gap."""


class UndeliveredPoints(Row, frozen=True):
    """Points that a `MetricRecorder` could not record."""

    count: int
    """How many."""
    reasons: dict[str, int]
    """How many by the class of the error, as in {"NotFoundError": 2}."""
    last_error: str | None
    """What the last error said; None without any."""
