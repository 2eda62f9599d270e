"""`Heartbeats`: which executions this process is running, told to the database now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from agentdb.client.deferred import Deferred
from agentdb.client.resource import may_pass
from agentdb.errors import AgentDBError, ConflictError, NotConnectedError, NotFoundError

__all__ = ["Heartbeats"]

logger: Final = logging.getLogger("agentdb.client")


class Heartbeats:
    """
    Keeps executions of this process from being taken for abandoned, and ends those whose end could not be written.

    Args:
        beat: Says that the executions of these ids go on; returns those that do.
        every_seconds: How often.

    Attributes:
        failures: How many ends of tasks could not be written when they came.
    """

    def __init__(self, beat: Callable[[Sequence[str]], Awaitable[Iterable[str]]], every_seconds: float) -> None:
        self._beat = beat
        self._running: set[str] = set()
        self._unwritten: dict[str, Callable[[], Awaitable[object]]] = {}
        self._beating = Deferred(self._run, every_seconds, patience=1)
        self.failures = 0

    def begin(self, execution_id: str) -> None:
        """An execution runs here from now on."""
        self._running.add(execution_id)
        self._beating.ask()

    def end(self, execution_id: str) -> None:
        """An execution has ended."""
        self._running.discard(execution_id)

    def end_later(self, execution_id: str, write: Callable[[], Awaitable[object]]) -> None:
        """An execution has ended, which *write* failed to write: it is tried again with each heartbeat."""
        self._unwritten[execution_id] = write
        self._beating.ask()

    @property
    def running(self) -> list[str]:
        """The executions that run here."""
        return list(self._running)

    @property
    def unwritten(self) -> int:
        """How many executions have ended whose end is not written yet."""
        return len(self._unwritten)

    async def flush(self) -> None:
        """Try once more to write ends that could not be written."""
        await self._write_ends()

    def forget(self) -> None:
        """Forget what runs: the client is closed, its event loop is gone, or it is another process's."""
        self._beating.stop()
        self._running, self._unwritten = set(), {}

    async def _run(self) -> bool:
        running = self.running
        try:
            if running:
                going_on = set(await self._beat(running))
                self._running.difference_update(set(running) - going_on)
        except NotConnectedError:
            self.forget()
        except AgentDBError as error:
            logger.warning("a heartbeat could not be written", extra={"error": type(error).__name__})
        await self._write_ends()  # not before: what keeps an end waiting must not keep the others' heartbeats waiting
        return bool(self._running or self._unwritten)

    async def _write_ends(self) -> None:
        await asyncio.gather(*(self._write_end(*each) for each in list(self._unwritten.items())))

    async def _write_end(self, execution_id: str, write: Callable[[], Awaitable[object]]) -> None:
        try:
            await write()
        except AgentDBError as error:
            if may_pass(error):
                return
            # It is there already, the execution is not, or the client is closed, which tells what is lost by that.
            if not isinstance(error, ConflictError | NotFoundError | NotConnectedError):
                logger.error(  # noqa: TRY400 - the error is named; its traceback would show no more
                    "an execution's end was given up",
                    extra={"execution_id": execution_id, "error": type(error).__name__},
                )
            self._running.discard(execution_id)
        self._unwritten.pop(execution_id, None)
