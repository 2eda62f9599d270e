"""The upkeep of metrics: hours that have ended are rolled up, old points are deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from agentdb.client.metric.parts import joined, part_of_row, part_of_values
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import InvalidInputError
from agentdb.moments import utc_now
from agentdb.validation import check_count, check_flag, check_number

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["MetricUpkeep", "Retained", "RolledUp"]

T = TypeVar("T")

_SQL: Final = load_queries("metric_upkeep")
_SERIES_AT_ONCE: Final = 100
_POINTS_AT_ONCE: Final = 10_000
_LATE_HOURS_AT_ONCE: Final = 500
_LONGEST_DAYS: Final = 36_500
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)

# Who keeps an organization's metrics up does it alone: what was read a moment before somebody else wrote must not be
# written after it. A statement of its own, so that the next one sees all that was committed before the lock was had.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('agentdb metrics of ' || $1::text, 0))"
# Hours that ended an hour ago and before any transaction began that has written something and is still open, as far as
# the role may know: what it wrote in time is not to be seen yet, and not marked as late.
_ENDED: Final = """
SELECT least(
    date_trunc('hour', statement_timestamp() - interval '1 hour', 'UTC'),
    (SELECT date_trunc('hour', min(a.xact_start), 'UTC') FROM pg_stat_activity AS a
     WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid())
) AS until, $1::text AS organization_id
"""


class RolledUp(NamedTuple):
    """What `Metrics.roll_up` did."""

    hours: int
    """Hours that were rolled up, each of one metric of one agent."""
    renewed: int
    """Hours that were rolled up again, because their points had changed."""


class Retained(NamedTuple):
    """What `Metrics.retain` deleted."""

    points: int
    """Points whose hours are rolled up."""
    rollups: int
    """Hours that were rolled up."""


class MetricUpkeep(Resource):
    """What of `client.metrics` works on many points at once."""

    async def roll_up(self) -> RolledUp:
        """
        Roll up each hour (UTC) of each metric that ended an hour ago or earlier: `agentdb sweep` calls it.

        An hour's row holds its exact figures and a histogram. An hour whose points have changed since, for some came
        late or were deleted, is rolled up again; until then reads look at its points. Calling it again does nothing
        more, and several may run at once. In steps, each a transaction of its own: one that is broken off has done a
        part, and the next call does the rest.

        An hour waits for transactions that have written something and were begun in it or before, as far as the role
        may see them. Points that a transaction of another role records while their hour runs, and commits more than an
        hour after its end, are not in the hour's row until it is rolled up again.
        """
        (row,) = await self._fetch(_ENDED)
        until: datetime = row["until"]
        return RolledUp(await self._roll_up_new(until), await self._roll_up_late(until))

    async def _roll_up_new(self, until: datetime) -> int:
        hours, after = 0, ("", "")
        while True:
            rows = await self._roll_up_next(after, until)
            if not rows:
                return hours
            hours += rows[0]["hours"]
            if not any(row["has_more"] for row in rows):
                after = rows[-1]["agent_id"], rows[-1]["name"]

    async def _roll_up_next(self, after: tuple[str, str], until: datetime) -> Sequence[Record]:
        what = (*after, until, _POINTS_AT_ONCE, _SERIES_AT_ONCE)
        return await self._alone(lambda upkeep: upkeep._fetch(_SQL["roll_up"], *what))

    async def _roll_up_late(self, until: datetime) -> int:
        renewed = 0
        while True:
            (row,) = await self._alone(lambda upkeep: upkeep._fetch(_SQL["roll_up_late"], until, _LATE_HOURS_AT_ONCE))
            renewed += int(row["hours"])
            if row["hours"] < _LATE_HOURS_AT_ONCE:
                return renewed  # what comes late from now on is the next call's

    async def retain(
        self,
        *,
        points_days: float | None = None,
        rollups_days: float | None = None,
        dry_run: bool = False,
        batch_size: int = 10_000,
    ) -> Retained:
        """
        Delete old points, of hours that are rolled up, and old hours.

        It rolls up first. In steps, each a transaction of its own: one that is broken off has done a part, and the next
        call does the rest. A point that comes after the others of its hour were deleted is read beside the hour's row;
        the next call adds it to the row and deletes it. Count, mean, least and greatest stay exact then, percentiles
        are estimates, and labelled.

        Args:
            points_days: Delete points this old, 0 to 36,500 days; None: keep them. Whole hours (UTC) go.
            rollups_days: Delete rolled hours this old whose points are deleted, *points_days* to 36,500 days; None:
                keep them.
            dry_run: Delete nothing, only count.
            batch_size: Points or hours per step, 1 to 1,000,000; an hour's points go together, however many.

        Returns:
            How many were, or would be, deleted.

        Raises:
            InvalidInputError: Neither age is given, or an argument is out of range.
        """
        if points_days is None and rollups_days is None:
            raise InvalidInputError("points_days", "is missing, and so is rollups_days: say what is to be deleted.")
        size = check_count(batch_size, "batch_size", 1_000_000)
        (row,) = await self._fetch(_ENDED)
        points_until = _cutoff(points_days, "points_days", row["until"])
        rollups_until = _cutoff(rollups_days, "rollups_days", row["until"])
        if rollups_until > points_until and points_days is not None:
            raise InvalidInputError("rollups_days", "is less than points_days: hours outlive their points.")
        if check_flag(dry_run, "dry_run"):
            (counts,) = await self._fetch(_SQL["prunable"], points_until, rollups_until, row["until"])
            return Retained(counts["points"], counts["rollups"])
        await self.roll_up()
        points = await self._prune_points(points_until, size) if points_days is not None else 0
        points += await self._add_late(size)
        return Retained(points, await self._prune_rollups(rollups_until, size) if rollups_days is not None else 0)

    async def _prune_points(self, until: datetime, batch_size: int) -> int:
        deleted = 0
        while True:
            (row,) = await self._alone(lambda upkeep: upkeep._fetch(_SQL["prune_points"], until, batch_size))
            if not row["hours"]:
                return deleted
            deleted += row["points"]

    async def _add_late(self, batch_size: int) -> int:
        added = 0
        while True:
            count = await self._alone(lambda upkeep: upkeep._add_late_points(batch_size))
            added += count
            if count < batch_size:
                return added  # what comes late from now on is the next call's

    async def _add_late_points(self, batch_size: int) -> int:
        """Add late points to the hours that they belong to, and delete them; in a transaction that has the lock."""
        taken = await self._fetch(_SQL["take_late"], batch_size)
        by_hour: dict[tuple[str, str, datetime], list[Record]] = defaultdict(list)
        for point in taken:
            by_hour[point["agent_id"], point["name"], point["starts_at"]].append(point)
        for hour, points in by_hour.items():
            (known,) = await self._fetch(_SQL["pruned_hour"], *hour)
            await self._execute(_SQL["keep_late"], *hour, *_with_late(known, points))
        await self._execute(_SQL["settle_late"])
        return len(taken)

    async def _prune_rollups(self, until: datetime, batch_size: int) -> int:
        deleted = 0
        while count := await self._alone(lambda upkeep: upkeep._execute(_SQL["prune_rollups"], until, batch_size)):
            deleted += count
        return deleted

    async def _alone(self, work: Callable[[MetricUpkeep], Awaitable[T]]) -> T:
        """Do *work* in a transaction of its own, while nobody else keeps this organization's metrics up."""

        async def once() -> T:
            async with self._client.transaction() as transaction:
                await transaction.metrics._fetch(_LOCK)
                return await work(transaction.metrics)

        return await self._retried(once)


def _cutoff(days: float | None, field: str, ended: datetime) -> datetime:
    """Return before which hour all are *days* old and ended."""
    if days is None:
        return _BEGINNING
    moment = utc_now() - timedelta(days=check_number(days, field, 0, _LONGEST_DAYS))
    return min(moment.replace(minute=0, second=0, microsecond=0), ended)


def _with_late(known: Record, points: Sequence[Record]) -> tuple[Any, ...]:
    """Return what an hour's row says once *points* are added: the parameters of the block `keep_late`."""
    part = joined([part_of_row(known), part_of_values([point["value"] for point in points])])
    newest = max(points, key=lambda point: (point["recorded_at"], point["value"]))
    last = (newest["unit"], newest["value"], newest["recorded_at"])
    if (newest["recorded_at"], newest["value"]) < (known["last_at"], known["last"]):
        last = (known["unit"], known["last"], known["last_at"])
    return (part.count, part.avg, part.min, part.max, *part.percentiles, list(part.keys), list(part.counts), *last)
