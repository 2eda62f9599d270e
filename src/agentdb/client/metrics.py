"""The `agent_metrics` table: measured points, and what they say over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from agentdb.client.metric.reads import MetricReads
from agentdb.client.metric.recorder import MetricRecorder
from agentdb.client.metric.rows import MetricRow, checked_row, point_row
from agentdb.client.metric.upkeep import MetricUpkeep, Retained, RolledUp
from agentdb.client.queries import load_queries
from agentdb.errors import ConflictError, NotFoundError
from agentdb.models import MetricPoint
from agentdb.validation import check_count, check_flag, check_iterable, check_number

__all__ = ["MetricRecorder", "Metrics", "Retained", "RolledUp"]

_SQL: Final = load_queries("metrics")
_LONGEST_FLUSH: Final = 60.0
_id: Final = itemgetter(0)


class Metrics(MetricReads, MetricUpkeep):
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
        row = checked_row(agent_id, name, value, unit, labels, recorded_at, idempotency_key)
        await self._execute(_SQL["record_new" if idempotency_key is None else "record"], *row, agent=agent_id)
        return row[0]

    async def record_many(self, points: Iterable[MetricPoint]) -> None:
        """
        Record points, of one or several agents, in one statement: all or none.

        Raises:
            NotFoundError: An agent is not registered.
            ConflictError: An idempotency key belongs to another point.
            InvalidInputError: A point cannot be stored; the field names it, as in "points[3].labels".
        """
        rows = [point_row(point, f"points[{index}]") for index, point in enumerate(check_iterable(points, "points"))]
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

    def recorder(
        self,
        *,
        max_points: int = 10_000,
        flush_seconds: float | None = None,
        patience_seconds: float = 10.0,
        strict: bool = False,
    ) -> MetricRecorder:
        """
        Return what takes points in memory and records them together, for hot loops:

            async with client.metrics.recorder() as recorder:
                await recorder.record(agent_id, "latency", 12.5, "ms")

        In a transaction's client it records outside of the transaction: what was measured stays when that is undone.

        Args:
            max_points: Most points that wait in memory, 1 to 1,000,000; `record` waits when there are as many.
            flush_seconds: How long the first of them waits, 0.001 to 60, unless they are many; None:
                AGENTDB_FLUSH_SECONDS.
            patience_seconds: How long a database that takes nothing is waited for, 0.001 to 3600: by `record` when
                there is no room, by `flush`, and on leaving the block.
            strict: Whether leaving the block raises a DatabaseError when points could not be recorded.

        Raises:
            NotConnectedError: The client is not open.
            InvalidInputError: An argument is out of range.
        """
        _ = self._client.driver  # which a client that is not open does not have
        gathering = self._client.gathering
        if flush_seconds is None:
            flush_seconds = min(self._client.settings.flush_seconds, _LONGEST_FLUSH)
        return MetricRecorder(
            gathering.record_points,
            gathering.recorders,
            max_points=check_count(max_points, "max_points", 1_000_000),
            flush_seconds=check_number(flush_seconds, "flush_seconds", 1e-3, _LONGEST_FLUSH),
            patience_seconds=check_number(patience_seconds, "patience_seconds", 1e-3, 3600),
            strict=check_flag(strict, "strict"),
        )

    async def record_rows(self, rows: Sequence[MetricRow]) -> None:
        """Record rows that are checked; one whose id is there already is left as it is. What a recorder sends."""
        agent_id = rows[0][1]  # which an error names: a recorder tries agents apart until it is the only one
        await self._retried(lambda: self._execute(_SQL["record_gathered"], *zip(*rows, strict=True), agent=agent_id))
