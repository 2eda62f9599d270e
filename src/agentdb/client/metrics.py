"""The `agent_metrics` table: measured points, and what they say over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.buckets import bucket_edges, time_zone
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import Bucket, MetricPoint, MetricSeries, MetricSummary, from_row
from agentdb.validation import check_iterable, check_json, check_number, check_text, checked

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Metrics"]

_SQL: Final = load_queries("metrics")


class Metrics(Resource):
    """What agents measured."""

    async def record(
        self,
        agent_id: str,
        name: str,
        value: float,
        unit: str = "",
        *,
        labels: Mapping[str, Any] | None = None,
        recorded_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """
        Record one point, in one round trip.

        Args:
            agent_id: The agent it belongs to.
            name: What was measured, 1 to 255 characters.
            value: A number from -1e300 to 1e300.
            unit: Its unit, at most 100 characters.
            labels: A JSON object.
            recorded_at: When it was measured, at most a day ahead; a naive time is taken as UTC. None: now.
            idempotency_key: A write that is retried with the same key lands once.

        Returns:
            The point's id.

        Raises:
            NotFoundError: The agent is not registered.
            ConflictError: The idempotency key belongs to another point.
            InvalidInputError: An argument does not fit.
        """
        point = checked(
            MetricPoint,
            agent_id=agent_id,
            name=name,
            value=value,
            unit=unit,
            labels={} if labels is None else labels,
            recorded_at=recorded_at,
            idempotency_key=idempotency_key,
        )
        row = _row(point, "point")
        await self._execute(_SQL["record"], *row, agent=agent_id)
        return row[0]

    async def record_many(self, points: Iterable[MetricPoint]) -> None:
        """
        Record points, of one or several agents, in one statement: all or none.

        Raises:
            NotFoundError: An agent is not registered.
            ConflictError: An idempotency key belongs to another point.
            InvalidInputError: A point cannot be stored; the field names it, as in "points[3].labels".
        """
        rows = [_row(point, f"points[{index}]") for index, point in enumerate(check_iterable(points, "points"))]
        unique = {row[0]: row for row in rows}
        if any(row[1:5] != unique[row[0]][1:5] for row in rows):
            raise ConflictError("Two different points have one idempotency key.", constraint="agent_metrics_pkey")
        if not rows:
            return
        # In a fixed order: two batches that share points then wait for each other in one direction only.
        columns = list(zip(*sorted(unique.values(), key=_id), strict=True))
        try:
            await self._retried(lambda: self._execute(_SQL["record_many"], *columns))
        except NotFoundError:
            raise await self._unknown_agents(row[1] for row in rows) from None

    async def summary(self, agent_id: str, hours: float = 24) -> dict[str, MetricSummary]:
        """
        Return what each metric's points of the last *hours* say together, by name. Percentiles are exact.

        A point recorded ahead of the server's clock counts once its time has come; so it does in `series`.

        Args:
            agent_id: Whose metrics; an unknown agent has none.
            hours: 0.001 to 1,000,000.
        """
        rows = await self._fetch(_SQL["summary"], check_text(agent_id, "agent_id"), _hours(hours))
        return {row["name"]: from_row(MetricSummary, dict(row.items())) for row in rows}

    async def series(
        self, agent_id: str, name: str, *, hours: float = 24, bucket: str = "1h", timezone: str = "UTC"
    ) -> MetricSeries:
        """
        Return a metric over the last *hours*, in one round trip. Percentiles are exact.

        Args:
            agent_id: Whose metric.
            name: The metric; one that was never recorded has empty buckets.
            hours: 0.001 to 1,000,000.
            bucket: 1m, 5m, 15m, 1h, 6h, 1d, 1w or 1mo.
            timezone: The clock that buckets align to, by its name in the IANA database.

        Returns:
            Every bucket that the last *hours* touch, oldest first, also empty ones: 25 of "1h" in 24 hours, or 24.

        Raises:
            InvalidInputError: An argument does not fit, or there would be more than 50,000 buckets.
        """
        edges = bucket_edges(datetime.now(UTC), _hours(hours), bucket, time_zone(timezone))
        rows = await self._fetch(
            _SQL["series"], check_text(agent_id, "agent_id"), check_text(name, "name"), edges[:-1], edges[-1]
        )
        filled = {row["bucket"]: row for row in rows}
        buckets = [_bucket(start, filled.get(index)) for index, start in enumerate(edges[:-1])]
        unit = rows[0]["unit"] if rows else ""
        return from_row(MetricSeries, {"name": name, "unit": unit, "bucket": bucket, "buckets": buckets})


def _row(point: MetricPoint, field: str) -> tuple[str, str, str, float, str, str, datetime | None]:
    """Return the row that *point* becomes, in the order of the parameters of the block `record`."""
    if not isinstance(point, MetricPoint):
        raise InvalidInputError(field, f"expected a MetricPoint, got {type(point).__name__}.")
    key = point.idempotency_key
    return (
        uuid7_text() if key is None else str(keyed_uuid(point.agent_id, key)),
        point.agent_id,
        point.name,
        point.value,
        point.unit,
        check_json(point.labels, f"{field}.labels"),
        point.recorded_at,
    )


def _id(row: tuple[object, ...]) -> Any:
    return row[0]


def _hours(hours: float) -> float:
    return check_number(hours, "hours", 1e-3, 1_000_000)


_EMPTY: Final = dict.fromkeys(("avg", "min", "max", "p50", "p95", "p99"))


def _bucket(start: datetime, row: Record | None) -> Bucket:
    if row is None:
        return from_row(Bucket, {"start": start, "count": 0, **_EMPTY})
    values = {name: row[name] for name in ("count", "avg", "min", "max")}
    return from_row(
        Bucket, {"start": start, **values, **dict(zip(("p50", "p95", "p99"), row["percentiles"], strict=True))}
    )
