"""`MetricRecorder`: points that gather in memory and are recorded together, for hot loops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import TracebackType
from typing import Any, Final, Self, TypeGuard

from agentdb.client.metric.rows import MetricRow, checked_row
from agentdb.client.resource import blames_a_row
from agentdb.errors import AgentDBError, DatabaseError, NotConnectedError, NotFoundError, QueryTimeoutError
from agentdb.models import UndeliveredPoints, from_row
from agentdb.moments import utc_now

__all__ = ["MetricRecorder"]

logger: Final = logging.getLogger("agentdb.client")

_MOST_AT_ONCE: Final = 2000
_BREATH_SECONDS: Final = 0.005
_SHORTEST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 2.0
_LONGEST_ATTEMPT: Final = 30.0
_LONGEST_REASON: Final = 300
_NOT_OPEN: Final = (
    "The recorder is not open, or its client was closed. "
    "Use it inside `async with client.metrics.recorder() as recorder:`."
)
_ELSEWHERE: Final = "The recorder was opened in another event loop; use it there."

_agent: Final = itemgetter(1)


class MetricRecorder:
    """
    Takes points in memory and records them together: `client.metrics.recorder()` makes it.

    What `record` has taken is recorded within *flush_seconds*, as soon as 2,000 points have gathered, by `flush`, when
    the block is left, or when the client is closed; each point has its id from the start, so one that is sent again
    lands once. While the database cannot be reached, or takes nothing, the points wait and are tried again, and when
    there is no room left `record` waits. A point that the database refuses, for its agent is unknown, is left out
    alone: it is counted in `undelivered` and logged, and raises nothing where the points come from.

    A process that is killed loses what it took in the last *flush_seconds*, and what was on its way.

    Args:
        write: Records rows; a row whose id is there already is left as it is.
        recorders: Those that are open, for the client to close them; it enters itself and leaves.
        max_points: Most points that wait in memory.
        flush_seconds: How long the first of them waits, unless they are many.
        patience_seconds: How long a database that takes nothing is waited for: by `record` when there is no room, by
            `flush`, and on leaving the block.
        strict: Whether leaving the block raises when points could not be recorded.
    """

    def __init__(
        self,
        write: Callable[[Sequence[MetricRow]], Awaitable[object]],
        recorders: set[MetricRecorder],
        *,
        max_points: int,
        flush_seconds: float,
        patience_seconds: float,
        strict: bool,
    ) -> None:
        self._write = write
        self._recorders = recorders
        self._max_points = max_points
        self._most_at_once = min(max_points, _MOST_AT_ONCE)
        self._flush_seconds = flush_seconds
        self._patience = patience_seconds
        self._strict = strict
        self._is_open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._gathered: list[MetricRow] = []
        self._leaving: list[Sequence[MetricRow]] = []  # the next one last
        self._on_its_way = 0
        self._taken = 0
        self._settled = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._failing_since: float | None = None
        self._obstacle: AgentDBError | None = None  # why points wait
        self._gave_up = False
        self._reasons: dict[str, int] = {}
        self._last_error: Exception | None = None
        self._breath = 0.0

    async def __aenter__(self) -> Self:
        if self._is_open:
            raise AgentDBError("The recorder is open already.")
        self._loop = asyncio.get_running_loop()
        # They belong to the event loop in which they are used.
        self._has_room, self._has_points, self._is_due = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self._breath = self._loop.time()
        self._is_open = True
        self._recorders.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        undelivered = self.undelivered
        if self._strict and undelivered.count and error is None:
            raise DatabaseError(
                f"{undelivered.count:,} metric points could not be recorded; the last error: {undelivered.last_error}"
            ) from self._last_error

    def __len__(self) -> int:
        """How many points are not recorded yet."""
        return len(self._gathered) + self._on_its_way

    def __bool__(self) -> bool:
        return True

    @property
    def undelivered(self) -> UndeliveredPoints:
        """The points that could not be recorded, so far."""
        return from_row(
            UndeliveredPoints,
            {
                "count": sum(self._reasons.values()),
                "reasons": dict(self._reasons),
                "last_error": None if self._last_error is None else _words(self._last_error),
            },
        )

    async def record(
        self,
        agent_id: str,
        name: str,
        value: float,
        unit: str = "",
        *,
        labels: Mapping[str, Any] | None = None,
        recorded_at: datetime | None = None,
    ) -> str:
        """
        Take one point, to be recorded within a moment.

        It returns at once, and waits only when there is no room. Every five milliseconds it lets other tasks run, so
        that points leave also from a loop that awaits nothing else. When there is no room because the database took
        nothing for *patience_seconds*, the point is not taken, but counted in `undelivered`.

        Args:
            agent_id: The agent it belongs to.
            name: What was measured, 1 to 255 characters.
            value: A number from -1e300 to 1e300.
            unit: Its unit, at most 100 characters.
            labels: A JSON object.
            recorded_at: When it was measured, at most a day ahead; a naive time is taken as UTC. None: now.

        Returns:
            The point's id.

        Raises:
            InvalidInputError: An argument does not fit; nothing was taken.
            NotConnectedError: The recorder is not open, or was opened in another event loop.
        """
        loop = self._open_loop()
        row = checked_row(agent_id, name, value, unit, labels, recorded_at)
        if row[6] is None:
            row = (*row[:6], utc_now())
        if loop.time() - self._breath > _BREATH_SECONDS:
            await asyncio.sleep(0)
            self._breath = loop.time()
        while len(self._gathered) + self._on_its_way >= self._max_points and self._is_open:
            if self._gave_up:
                self._count(1, self._obstacle or QueryTimeoutError())
                return row[0]
            await self._until_room()
        if not self._is_open:
            raise NotConnectedError(_NOT_OPEN)
        self._take(row)
        return row[0]

    def _take(self, row: MetricRow) -> None:
        self._gathered.append(row)
        self._taken += 1
        self._start()
        if len(self._gathered) >= self._most_at_once:
            self._is_due.set()

    async def _until_room(self) -> None:
        self._has_room.clear()
        try:
            async with asyncio.timeout(self._patience):
                await self._has_room.wait()
        except TimeoutError:  # the database does not even say that it takes nothing
            self._give_up()

    def _open_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop in which this was opened, which is the running one."""
        if not self._is_open:
            raise NotConnectedError(_NOT_OPEN)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            raise NotConnectedError(_ELSEWHERE)
        return loop

    async def flush(self) -> None:
        """
        Return once everything that was taken before is recorded, or was refused and counted.

        Raises:
            DatabaseError: The database took nothing for *patience_seconds*; the points wait on.
            NotConnectedError: The recorder is not open, or was opened in another event loop.
        """
        self._open_loop()
        try:
            async with asyncio.timeout(self._patience):
                await self._until_settled()
        except TimeoutError:
            raise self._obstacle or QueryTimeoutError() from None

    async def close(self) -> None:
        """
        Take no more, and record what was taken, for at most *patience_seconds*; leaving the block does it.

        When it is cancelled the points go on their way in the background, until the client is closed.
        """
        if not self._is_open and self not in self._recorders:
            return
        if not self._is_running_here():
            raise NotConnectedError(_ELSEWHERE)
        self._is_open = False
        self._has_room.set()  # those who wait for it are told
        try:
            async with asyncio.timeout(self._patience):
                await self._until_settled()
        except TimeoutError:
            pass
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._leave()

    def forget(self) -> None:
        """Give up what is left: the client is closed, its event loop is gone, or it is another process's."""
        self._is_open = False
        self._recorders.discard(self)
        task, self._task = self._task, None
        if self._is_running_here():
            if task is not None:
                task.cancel()
        elif self._loop is not None and self._loop.is_closed():
            # nobody is left who waits, and no one of them may be told
            self._has_room, self._waiters = asyncio.Event(), []
        else:
            return  # another process has the points
        self._put_back()
        self._leave()

    def _is_running_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _leave(self) -> None:
        """Count what is left, and say what could not be recorded."""
        self._recorders.discard(self)
        if self._gathered:
            count = len(self._gathered)
            self._gathered = []
            self._settle(count, self._obstacle or NotConnectedError(_NOT_OPEN))
        undelivered = self.undelivered
        if undelivered.count:
            logger.warning(
                "metric points were not recorded", extra={"points": undelivered.count, "reasons": undelivered.reasons}
            )

    async def _until_settled(self) -> None:
        if self._settled >= self._taken:
            return
        self._start()
        self._is_due.set()
        reached = asyncio.get_running_loop().create_future()
        self._waiters = [*(waiter for waiter in self._waiters if not waiter[1].done()), (self._taken, reached)]
        await reached

    # The task that records.

    def _start(self) -> None:
        self._has_points.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._gathered or self._is_open:
            await self._has_points.wait()
            try:
                async with asyncio.timeout(self._flush_seconds):
                    await self._is_due.wait()
            except TimeoutError:
                pass
            self._is_due.clear()
            await self._send_gathered()
            if not self._gathered:
                self._has_points.clear()
        self._recorders.discard(self)

    async def _send_gathered(self) -> None:
        """Send what has gathered; what comes meanwhile fills the last batch, and the rest of it gathers anew."""
        left = len(self._gathered)
        while left > 0:
            leaving = self._gathered[: self._most_at_once]
            del self._gathered[: self._most_at_once]
            left -= len(leaving)
            self._leaving, self._on_its_way = [leaving], len(leaving)
            try:
                await self._send_leaving()
            finally:
                self._put_back()

    def _put_back(self) -> None:
        self._gathered[:0] = [row for rows in reversed(self._leaving) for row in rows]
        self._leaving, self._on_its_way = [], 0

    async def _send_leaving(self) -> None:
        waits = _growing_waits()
        while self._leaving:
            rows = self._leaving[-1]
            error = await self._attempt(rows)
            if error is None:
                self._recover()
                self._settle_leaving(None)
                waits = _growing_waits()
            elif _may_pass(error):
                self._fail(error)
                await asyncio.sleep(next(waits))
            elif parts := _parts(rows, error):
                self._leaving[-1:] = reversed(parts)
            else:
                self._settle_leaving(error)

    async def _attempt(self, rows: Sequence[MetricRow]) -> Exception | None:
        try:
            async with asyncio.timeout(_LONGEST_ATTEMPT):
                await self._write(rows)
        except TimeoutError:
            return QueryTimeoutError()
        except Exception as error:  # nobody waits for this task: whatever it is, it is counted and told
            return error
        return None

    def _fail(self, error: AgentDBError) -> None:
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
            logger.warning("metric points wait, for they cannot be recorded", extra={"reason": _kind(error)})
        self._obstacle = error
        if now - self._failing_since >= self._patience:
            self._give_up()

    def _give_up(self) -> None:
        """Let nobody wait for room any more, until points are recorded again."""
        self._gave_up = True
        self._has_room.set()

    def _recover(self) -> None:
        self._failing_since, self._obstacle, self._gave_up = None, None, False

    def _settle_leaving(self, error: Exception | None) -> None:
        rows = self._leaving.pop()
        self._on_its_way -= len(rows)
        self._settle(len(rows), error)

    def _settle(self, count: int, error: Exception | None) -> None:
        """Note that *count* points are recorded, or never will be."""
        if error is not None:
            self._count(count, error)
        self._settled += count
        self._has_room.set()
        left = [(target, waiter) for target, waiter in self._waiters if target > self._settled]
        for target, waiter in self._waiters:
            if target <= self._settled and not waiter.done():
                waiter.set_result(None)
        self._waiters = left

    def _count(self, count: int, error: Exception) -> None:
        kind = _kind(error)
        if kind not in self._reasons:
            logger.warning("a metric point could not be recorded", extra={"reason": kind, "error": _words(error)})
        self._reasons[kind] = self._reasons.get(kind, 0) + count
        self._last_error = error


def _growing_waits() -> Iterator[float]:
    wait = _SHORTEST_WAIT
    while True:
        yield wait
        wait = min(2 * wait, _LONGEST_WAIT)


def _may_pass(error: Exception) -> TypeGuard[AgentDBError]:
    """Return whether it is the database that takes nothing now, rather than a point that it never will take."""
    return isinstance(error, AgentDBError) and not blames_a_row(error)


def _parts(rows: Sequence[MetricRow], error: Exception) -> list[Sequence[MetricRow]]:
    """Return what to try apart after a refusal, so that the rows at fault are found; nothing when these are all."""
    if isinstance(error, NotFoundError):
        rows = sorted(rows, key=_agent)
        if rows[0][1] == rows[-1][1]:
            return []
    half = len(rows) // 2
    return [rows[:half], rows[half:]] if half else []


def _kind(error: Exception) -> str:
    return type(error).__name__


def _words(error: Exception) -> str:
    return str(error)[:_LONGEST_REASON]
