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
    """
    One measured value.

    Attributes:
        agent_id: The agent it belongs to.
        name: What was measured, 1 to 255 characters.
        value: A number from -1e300 to 1e300.
        unit: Its unit, at most 100 characters.
        labels: A JSON object.
        recorded_at: When it was measured, at most a day ahead; a naive time is taken as UTC. None: now.
        idempotency_key: A write that is retried with the same key lands once; 1 to 255 characters.
    """

    agent_id: Name
    name: Name
    value: MetricValue
    unit: Unit = ""
    labels: JsonObject = Field(default_factory=dict)
    recorded_at: RecentDatetime | None = None
    idempotency_key: Name | None = None


class MetricSummary(Row):
    """
    What a metric's points say together.

    Attributes:
        unit: The newest point's; *last* is its value.
        exact: Whether the percentiles are exact; estimates are within 1 %. The other figures are exact always.
    """

    name: str
    unit: str
    count: int
    avg: float
    min: float
    max: float
    p50: float
    p95: float
    p99: float
    exact: bool
    last: float


class Bucket(Row):
    """
    The points from *start* to the next bucket's start; without any, *count* is 0 and the other figures None.

    Attributes:
        exact: Whether the percentiles are exact; estimates are within 1 %. The other figures are exact always.
    """

    start: datetime
    count: int
    avg: float | None
    min: float | None
    max: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    exact: bool


class MetricSeries(Row):
    """
    A metric over time.

    Attributes:
        bucket: The width of a bucket.
        exact: Whether the percentiles of all buckets are exact.
        buckets: Oldest first, without a gap.
    """

    name: str
    unit: str
    bucket: str
    exact: bool
    buckets: list[Bucket]


class UndeliveredPoints(Row):
    """
    Points that a `MetricRecorder` could not record.

    Attributes:
        count: How many.
        reasons: How many by the class of the error, as in {"NotFoundError": 2}.
        last_error: What the last error said; None without any.
    """

    count: int
    reasons: dict[str, int]
    last_error: str | None
