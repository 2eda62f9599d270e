"""`Journal`: the steps of one organization's executions, gathered as they happen and written a moment later."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from agentdb.client.deferred import Deferred
from agentdb.client.execution.steps import StepRow
from agentdb.client.resource import may_pass
from agentdb.errors import AgentDBError, NotConnectedError

__all__ = ["Journal"]

logger = logging.getLogger("agentdb.client")

_MOST_AT_ONCE: Final = 500
_MOST_WAITING: Final = 20_000


class Journal:
    """
    Writes steps off the path of those who take them.

    A step travels with the end of its execution, or with what has gathered *delay_seconds* after the first, whichever
    comes first: a process that is killed loses at most what happened since then. A database that cannot be reached
    keeps them waiting, up to 20,000; what comes beyond is lost, counted and logged.

    Args:
        write: Writes steps, all or none; a step that it has written before is left alone.
        delay_seconds: How long steps gather.

    Attributes:
        lost: How many steps could not be written.
    """

    def __init__(self, write: Callable[[Sequence[StepRow]], Awaitable[int]], delay_seconds: float) -> None:
        self._write = write
        self._writing = Deferred(self._write_gathered, delay_seconds)
        self._gathered: dict[str | None, list[StepRow]] = {}
        self._leaving: frozenset[str | None] = frozenset()
        self._count = 0
        self.lost = 0

    def __len__(self) -> int:
        """Return how many steps wait."""
        return self._count

    def put(self, steps: Iterable[StepRow]) -> None:
        """Take steps that happened."""
        for step in steps:
            if self._count >= _MOST_WAITING:
                self._lose(1, "too many wait")
                continue
            self._gathered.setdefault(step.execution_id, []).append(step)
            self._count += 1
        if self._count:
            self._writing.ask()

    async def take(self, execution_id: str) -> list[StepRow]:
        """Return the steps of an execution that are not written yet, for whoever writes them with its end."""
        if execution_id in self._leaving:
            await self._writing.settled()
        return self._pop(execution_id)

    async def flush(self) -> None:
        """Write what has gathered, now; after it nothing is on its way."""
        await self._writing.now()

    def forget(self) -> None:
        """Drop what has gathered: the client is closed, its event loop is gone, or it is another process's."""
        self._writing.stop()
        self._gathered, self._leaving, self._count = {}, frozenset(), 0

    def _pop(self, execution_id: str | None) -> list[StepRow]:
        steps = self._gathered.pop(execution_id, [])
        self._count -= len(steps)
        return steps

    async def _write_gathered(self) -> bool:
        while self._gathered:
            steps: list[StepRow] = []
            leaving: set[str | None] = set()
            while self._gathered and len(steps) < _MOST_AT_ONCE:
                execution_id = next(iter(self._gathered))
                leaving.add(execution_id)
                steps += self._pop(execution_id)
            self._leaving = frozenset(leaving)
            left = steps
            try:
                left = await self._deliver(steps)
            finally:
                self._leaving = frozenset()
                self._put_back(left)
            if left:
                logger.warning("steps could not be written yet", extra={"steps": self._count})
                return True
        return False

    def _put_back(self, steps: Iterable[StepRow]) -> None:
        """Let *steps* wait again, before those that came since."""
        earlier: dict[str | None, list[StepRow]] = {}
        for step in steps:
            earlier.setdefault(step.execution_id, []).append(step)
        for execution_id, group in earlier.items():
            self._gathered[execution_id] = group + self._gathered.get(execution_id, [])
            self._count += len(group)

    async def _deliver(self, steps: list[StepRow]) -> list[StepRow]:
        """Write *steps*, and return those that another try may write. One that is refused takes no other with it."""
        try:
            written = await self._write(steps)
            if written < len(steps):
                # There before, or their execution, agent or tool is gone.
                logger.info("steps had nothing to belong to", extra={"steps": len(steps) - written})
        except NotConnectedError:
            pass  # the client was closed while they were on their way
        except AgentDBError as error:
            if may_pass(error):
                return steps
            if len(steps) == 1:
                self._lose(1, type(error).__name__)
                return []
            half = len(steps) // 2
            return await self._deliver(steps[:half]) + await self._deliver(steps[half:])
        return []

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        if self.lost == count or self.lost % 1000 == 0:
            logger.error("steps of executions were lost", extra={"lost": self.lost, "reason": reason})
