"""What executions say together: figures by agent; and letting go of old ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.client.evidence import wilson_interval
from agentdb.client.queries import load_queries, write_out
from agentdb.client.resource import Resource
from agentdb.errors import NotFoundError
from agentdb.ids import NIL_UUID
from agentdb.models import ExecutionReport, ExecutionStats, TokenUsage, from_row
from agentdb.validation import check_count, check_flag, check_number, check_text, check_time

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["ClearedExecutions", "ExecutionReports"]

_SQL: Final = load_queries("execution_reports")
_TOKENS: Final = ("input", "cached_input", "cache_write", "output", "reasoning")
_LONGEST_HOURS: Final = 1_000_000
_LONGEST_DAYS: Final = 36_500
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_ATTEMPTS: Final = 10


class ClearedExecutions(NamedTuple):
    """What `Executions.retain` deleted."""

    executions: int
    """Executions, each with its steps."""
    calls: int
    """Calls of tools outside of executions."""


class ExecutionReports(Resource):
    """The `agent_executions` table, as a whole."""

    async def stats(
        self,
        agent_id: str | None = None,
        *,
        hours: float = 24,
        since: datetime | None = None,
        until: datetime | None = None,
        kind: str | None = None,
    ) -> ExecutionReport:
        """
        Return the figures of executions that started in a time, by agent and in total; in one round trip.

        Percentiles are exact, those of the total as well.

        Args:
            agent_id: Only this agent's; None: of all.
            hours: Those of the last hours, or of the hours before *until*: 0.001 to 1,000,000.
            since: Those started then or later, whatever *hours* says; a naive time is taken as UTC.
            until: Only those started before.
            kind: Only tasks of this kind.

        Returns:
            Agents that ran something then, most executions first, ties by name.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        length = check_number(hours, "hours", 1e-3, _LONGEST_HOURS)
        sql, arguments = write_out(
            _SQL["stats"],
            None if agent_id is None else check_text(agent_id, "agent_id"),
            None if kind is None else check_text(kind, "kind", at_most=100),
            *_window(check_time(since, "since"), check_time(until, "until"), length),
        )
        figures = [_figures(row) for row in await self._fetch(sql, *arguments)]
        (total,) = [stats for stats in figures if stats.agent_id is None]
        return ExecutionReport((stats for stats in figures if stats.agent_id is not None), total)

    async def retain(self, days: float, *, dry_run: bool = False, batch_size: int = 1000) -> ClearedExecutions:
        """
        Delete executions that ended that long ago, with their steps; and as old calls of tools outside of executions.

        An execution goes together with all that it called, and only once the last of them ended that long ago; what
        runs, and what called it, stays. Memories that were stored in it stay; the totals of tools, too. In steps, each
        a transaction of its own: one that is broken off has done a part, and the next call does the rest.

        Args:
            days: How long ago: 0 to 36,500.
            dry_run: Delete nothing, only count.
            batch_size: Executions that nobody called, or calls of tools, per step: 1 to 10,000. What such an execution
                called is deleted with it, however much it is.

        Returns:
            How many were, or would be, deleted.

        Raises:
            InvalidInputError: An argument is out of range.
        """
        age = check_number(days, "days", 0, _LONGEST_DAYS)
        size = check_count(batch_size, "batch_size", 10_000)
        if check_flag(dry_run, "dry_run"):
            calls: int = (await self._fetch(_SQL["clearable_calls"], age))[0]["calls"]
            return ClearedExecutions(await self._each_batch(_SQL["clearable"], age, size), calls)
        return ClearedExecutions(await self._each_batch(_SQL["clear"], age, size), await self._clear_calls(age, size))

    async def _each_batch(self, sql: str, days: float, size: int) -> int:
        """Run *sql* from batch to batch; return how many executions it counts."""
        count = 0
        after: tuple[Any, ...] = (_BEGINNING, NIL_UUID)
        roots = size
        # A batch that is not full is the last: what ends meanwhile, and is as old as 0 days, would never end.
        while roots == size and (rows := await self._batch(sql, days, *after, size)):
            (row,) = rows
            count += row["executions"]
            roots = row["roots"]
            after = row["started_at"], row["id"]
        return count

    async def _batch(self, sql: str, *arguments: object) -> list[Record]:
        """Run *sql*; again when an old execution was made a parent at that moment."""
        attempts = 1 if self._client.in_transaction else _ATTEMPTS
        while True:
            attempts -= 1
            try:
                return await self._retried(lambda: self._fetch(sql, *arguments))
            except NotFoundError:  # the database refused: a child refers to what was to be deleted
                if not attempts:
                    raise

    async def _clear_calls(self, days: float, size: int) -> int:
        cleared = 0
        deleted = size
        while deleted == size:
            deleted = await self._retried(lambda: self._execute(_SQL["clear_calls"], days, size))
            cleared += deleted
        return cleared


def _window(
    since: datetime | None, until: datetime | None, hours: float
) -> tuple[datetime | None, datetime | None, float | None]:
    """Return what bounds a time: its start, its end, and how many hours before now, if that is what bounds it."""
    if since is not None:
        return since, until, None
    if until is not None:
        start = until - timedelta(hours=hours) if until - _BEGINNING > timedelta(hours=hours) else None
        return start, until, None
    # A whole number is written out, so that the planner knows how much of the table is asked for.
    return None, None, int(hours) if hours.is_integer() else hours


def _figures(record: Record) -> ExecutionStats:
    values = dict(record.items())
    completed, trials = values["completed"], values["completed"] + values["failed"] + values["abandoned"]
    values["success_rate"] = completed / trials if trials else None
    values["success_interval"] = wilson_interval(completed, trials) if trials else None
    values["p50_ms"], values["p95_ms"], values["p99_ms"] = values.pop("percentiles") or (None, None, None)
    values["usage"] = from_row(TokenUsage, {name: int(values.pop(name)) for name in _TOKENS})
    return from_row(ExecutionStats, values)
