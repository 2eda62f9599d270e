"""`Deferred`: work that is done a moment after it was asked for, off the path of those who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final

__all__ = ["Deferred"]

_PATIENCE: Final = 20


class Deferred:
    """
    Does one kind of work on a task of its own, *delay_seconds* after it is first asked for, one run at a time.

    The task belongs to no caller and runs in an empty context. Who uses it keeps what there is to do; so asking again
    before the work begins costs nothing and makes no second run; asking while it runs makes another one.

    Args:
        work: Does all that there is to do; returns whether something had to be left for later.
        delay_seconds: How long requests gather.
        patience: How many times longer it waits after a run that left something.
        rest: How many times as long as a run took it waits at least before the next.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[bool]],
        delay_seconds: float,
        *,
        patience: int = _PATIENCE,
        rest: int = 0,
    ) -> None:
        self._work = work
        self._delay = delay_seconds
        self._patience = patience
        self._rest = rest
        self._taken = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_asked_again = False

    def ask(self) -> None:
        """See to it that the work is done soon."""
        if self._task is not None:
            self._is_asked_again = True
        elif self._timer is None:
            self._wait()

    async def now(self) -> None:
        """Do the work now, after the run that is under way; when it is done nothing of it is on its way."""
        await self.settled()
        if self._task is not None:  # another caller waited for the same run, and began the next
            await self.settled()
            return
        self._stop_waiting()
        # What the caller is part of, an execution or an operation, the work is not.
        self._task = task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        try:
            await task
        finally:
            if self._task is task:  # it was cancelled before it began
                self._task = None
                self._wait(self._patience)

    async def settled(self) -> None:
        """Wait for the run that is under way, if there is one."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def stop(self) -> None:
        """Forget what was asked: the client is closed, its event loop is gone, or it is another process's."""
        self._stop_waiting()
        self._timer, self._task = None, None

    def _wait(self, times: int = 1) -> None:
        # Else it would keep the context of who asked first, and what that holds, as long as there is something to do.
        delay = max(times * self._delay, self._rest * self._taken)
        self._timer = asyncio.get_running_loop().call_later(delay, self._start, context=Context())

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        is_left = True
        self._is_asked_again = False
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            is_left = await self._work()
        finally:
            self._task = None
            self._taken = loop.time() - started
            if is_left:
                self._wait(self._patience)
            elif self._is_asked_again:
                self._wait()
