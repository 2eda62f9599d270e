"""`Bursts`: concurrent calls that travel together, at no cost to a call that is alone."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from typing import Generic, TypeAlias, TypeVar

__all__ = ["Alone", "Bursts"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# An item and what its caller waits for. A plain tuple: a named one would be a tenth of what a put costs.
_Waiter: TypeAlias = "tuple[Item, asyncio.Future[Result | BaseException]]"


class Bursts(Generic[Item, Result]):
    """
    Lets concurrent calls travel together: while one is on its way the next ones gather and go as one.

    A call that finds nothing on its way sends its item at once, within its own task. The others wait; when that send
    ends, one background task sends what has gathered, again and again until nothing is left. In one event loop there
    is one send on its way; each loop that uses the object has its own. A send that takes longer than *patience_seconds*
    is overtaken: what has gathered behind it goes without it, for it may be waiting for one of these.

    A call that is cancelled while it waits does not travel; one that travels is not missed by the others. Cancelling
    the call that sends by itself cancels its own send, and the others still go.

    The background task belongs to no caller and runs in an empty context: what *send* needs to know of a caller, an
    item has to carry, for there are no context variables. *send* must not `put` into the same object and wait for it.

    Args:
        send: Takes items and returns for each, in their order, its result or the exception to raise to its caller. What
            it raises is raised to every caller of the burst, to each a copy of its own.
        at_most: Most items of one burst.
        patience_seconds: How long what has gathered waits for one send; None: until it ends.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        at_most: int = 1000,
        patience_seconds: float | None = None,
    ) -> None:
        self._send = send
        self._at_most = at_most
        self._patience = patience_seconds
        self._overtaken: set[_Lane[Item, Result]] = set()
        self._lanes: dict[asyncio.AbstractEventLoop, _Lane[Item, Result]] = {}

    async def put(self, item: Item) -> Result:
        """Send *item*, alone or in a burst, and return its result."""
        lane = self._lanes.get(asyncio.get_running_loop()) or self._new_lane()
        if lane.is_busy:
            # An exception arrives as a value, so that nobody complains when its caller is gone.
            waiting = lane.wait(item)
            self._watch(lane)
            outcome = await waiting
        else:
            lane.is_busy = True
            lane.sends += 1
            try:
                outcomes = await self._send([item])
            finally:
                lane.is_busy = False
                self._overtaken.discard(lane)
                if lane.gathered:
                    self._depart(lane)
            outcome = _counted(outcomes, 1)[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _new_lane(self) -> _Lane[Item, Result]:
        for loop in list(self._lanes):
            if loop.is_closed():
                self._lanes.pop(loop, None)
        loop = asyncio.get_running_loop()
        lane = self._lanes[loop] = _Lane(loop)
        return lane

    def _depart(self, lane: _Lane[Item, Result]) -> None:
        """Send what has gathered in the background. All of it may be cancelled: then a task would outlive its loop."""
        lane.drop_cancelled()
        if lane.gathered and not lane.loop.is_closed():
            lane.is_busy = True
            lane.task = Context().run(lane.loop.create_task, self._send_gathered(lane))
            lane.task.add_done_callback(lane.clear_up_after)

    def _watch(self, lane: _Lane[Item, Result]) -> None:
        """See to it that a send which takes too long is overtaken."""
        if self._patience is not None and not lane.is_watched:
            lane.is_watched = True
            lane.loop.call_later(self._patience, self._overtake, lane, lane.sends)

    def _overtake(self, lane: _Lane[Item, Result], sends: int) -> None:
        lane.is_watched = False
        if not lane.gathered:
            return
        if lane.sends != sends:  # it is another one that is on its way now
            self._watch(lane)
            return
        self._overtaken.add(lane)
        fresh = self._lanes[lane.loop] = _Lane(lane.loop)
        fresh.gathered, lane.gathered = lane.gathered, fresh.gathered
        self._depart(fresh)

    async def _send_gathered(self, lane: _Lane[Item, Result]) -> None:
        try:
            while burst := lane.take(self._at_most):
                lane.sends += 1
                try:
                    await self._send_burst(lane, burst)
                except asyncio.CancelledError:
                    # Else it is something within `send` that was cancelled, which concerns this burst only.
                    if lane.is_cancelling():
                        raise
                # Whoever just got a result may put the next item: in this burst's successor, not in the one after it.
                await asyncio.sleep(0)
        finally:
            lane.end()
            self._overtaken.discard(lane)

    async def _send_burst(self, lane: _Lane[Item, Result], burst: list[_Waiter[Item, Result]]) -> None:
        outcomes: Sequence[Result | BaseException]
        try:
            outcomes = _counted(await self._send([item for item, _ in burst]), len(burst))
        except Exception as error:
            outcomes = [error] * len(burst)
        except BaseException:
            lane.give_up(burst)
            raise
        raised = set()
        for (_, waiting), outcome in zip(burst, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                # An object that several tasks raise collects the tracebacks of all.
                outcome = _twin(outcome) if id(outcome) in raised else outcome
                raised.add(id(outcome))
            if not waiting.done():
                waiting.set_result(outcome)


class Alone(Generic[Item, Result]):
    """
    Sends each item by itself, within its caller's task: for where every call has to be told apart. Put in as `Bursts`.

    Args:
        send: As that of `Bursts`.
    """

    def __init__(self, send: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]]) -> None:
        self._send = send

    async def put(self, item: Item) -> Result:
        """Send *item* and return its result."""
        (outcome,) = await self._send([item])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class _Lane(Generic[Item, Result]):
    """
    What is on its way, and what waits, in one event loop.

    Attributes:
        loop: The event loop.
        is_busy: Whether a send is on its way, or about to be.
        gathered: Who waits for the next one.
        task: The background task; an event loop alone would not keep it alive.
        sends: How many sends have begun.
        is_watched: Whether somebody looks after how long one takes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_busy = False
        self.gathered: deque[_Waiter[Item, Result]] = deque()
        self.task: asyncio.Task[None] | None = None
        self.sends = 0
        self.is_watched = False

    def wait(self, item: Item) -> asyncio.Future[Result | BaseException]:
        waiting: asyncio.Future[Result | BaseException] = self.loop.create_future()
        self.gathered.append((item, waiting))
        return waiting

    def drop_cancelled(self) -> None:
        """Drop those at the front whose callers are gone."""
        while self.gathered and self.gathered[0][1].done():
            self.gathered.popleft()

    def take(self, at_most: int) -> list[_Waiter[Item, Result]]:
        """Take the next burst; empty when nobody waits."""
        burst: list[_Waiter[Item, Result]] = []
        while self.gathered and len(burst) < at_most:
            waiter = self.gathered.popleft()
            if not waiter[1].done():
                burst.append(waiter)
        return burst

    def is_cancelling(self) -> bool:
        """Whether somebody cancelled the background task itself, as the end of `asyncio.run` does."""
        task = asyncio.current_task(self.loop)
        return task is not None and task.cancelling() > 0

    def end(self) -> None:
        """Let the next call go at once. Who is still waiting will not be sent: the background task was cancelled."""
        self.is_busy = False
        self.task = None
        self.give_up(self.gathered)
        self.gathered.clear()

    def clear_up_after(self, task: asyncio.Task[None]) -> None:
        """End what *task* did not: one that is cancelled before its first step runs nothing, not even a `finally`."""
        if task.cancelled() and self.task is task:
            self.end()

    def give_up(self, waiters: Iterable[_Waiter[Item, Result]]) -> None:
        """Cancel *waiters*: there will be no send for them."""
        if not self.loop.is_closed():  # else nobody is left to be told
            for _, waiting in waiters:
                waiting.cancel()


def _counted(outcomes: Sequence[Result | BaseException], count: int) -> Sequence[Result | BaseException]:
    if len(outcomes) != count:
        raise RuntimeError(f"send returned {len(outcomes)} outcomes for {count} items")
    return outcomes


def _twin(error: BaseException) -> BaseException:
    """Return a copy of *error* with a traceback of its own; *error* itself when it cannot be copied."""
    twin = _copied(error) or _remade(error)
    if twin is None:
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    notes = getattr(error, "__notes__", None)
    if notes:
        twin.__notes__ = list(notes)
    return twin.with_traceback(error.__traceback__)


def _copied(error: BaseException) -> BaseException | None:
    try:
        twin = copy.copy(error)
        # A class whose __init__ makes the text of its arguments makes it of the text, the second time.
        return twin if type(twin) is type(error) and str(twin) == str(error) else None
    except Exception:
        return None


def _remade(error: BaseException) -> BaseException | None:
    """Copy *error* past its __init__."""
    try:
        twin = type(error).__new__(type(error), *error.args)
        twin.args = error.args
        vars(twin).update(vars(error))
    except Exception:
        return None
    return twin
