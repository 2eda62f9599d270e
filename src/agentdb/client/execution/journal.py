"""`Journal`: the steps of one organization's executions, gathered as they happen and written a moment later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from agentdb.client.deferred import Deferred
from agentdb.client.execution.steps import StepRow
from agentdb.client.resource import may_pass
from agentdb.errors import AgentDBError, NotConnectedError

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient

__all__ = ["Journal", "write_steps"]

logger: Final = logging.getLogger("agentdb.client")

_MOST_AT_ONCE: Final = 500
_MOST_CHARACTERS_AT_ONCE: Final = 4_000_000  # encoding them holds the event loop up for some 10 ms
_MOST_WAITING: Final = 20_000
_MOST_CHARACTERS_WAITING: Final = 1_000_000_000


async def write_steps(client: PrismaAgentClient) -> None:
    """Write the steps that this process has taken, so that it reads its own; a transaction's travel with it."""
    if not client.in_transaction:
        await client.gathering.journal.flush()


class Journal:
    """
    Writes steps off the path of those who take them.

    A step travels with the end of its execution, or with what has gathered *delay_seconds* after the first, whichever
    comes first: a process that is killed loses at most what happened since then. A database that cannot be reached
    keeps them waiting, up to 20,000 or a billion characters; what comes beyond is lost, counted and logged.

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
        self._arrival: asyncio.Future[None] | None = None  # of those that are leaving, be it that they come back
        self._count = 0
        self._characters = 0
        self.lost: int = 0

    def __len__(self) -> int:
        """Return how many steps wait."""
        return self._count

    def put(self, steps: Iterable[StepRow]) -> None:
        """Take steps that happened."""
        for step in steps:
            if self._count >= _MOST_WAITING or self._characters >= _MOST_CHARACTERS_WAITING:
                self._lose(1, "too many wait")
                continue
            self._gathered.setdefault(step.execution_id, []).append(step)
            self._account(1, [step])
        if self._count:
            self._writing.ask()

    async def take(self, execution_id: str) -> list[StepRow]:
        """Return the steps of an execution that are not written yet, for whoever writes them with its end."""
        while execution_id in self._leaving and self._arrival is not None:
            await asyncio.wait([self._arrival])  # not for the run as a whole, which goes on while others add to it
        return self._pop(execution_id)

    async def flush(self) -> None:
        """Write what has gathered by now; after it nothing of that is on its way."""
        await self._writing.now()

    def forget(self) -> None:
        """Drop what has gathered: the client is closed, its event loop is gone, or it is another process's."""
        self._writing.stop()
        self._gathered, self._leaving, self._count, self._characters = {}, frozenset(), 0, 0

    def _pop(self, execution_id: str | None) -> list[StepRow]:
        steps = self._gathered.pop(execution_id, [])
        self._account(-1, steps)
        return steps

    def _account(self, sign: int, steps: Sequence[StepRow]) -> None:
        self._count += sign * len(steps)
        self._characters += sign * sum(step.size for step in steps)

    def _pop_batch(self) -> list[StepRow]:
        """Return what is written at once: the first of those that wait."""
        steps: list[StepRow] = []
        characters = 0
        while self._gathered and len(steps) < _MOST_AT_ONCE and characters < _MOST_CHARACTERS_AT_ONCE:
            execution_id, group = next(iter(self._gathered.items()))
            count = 0
            while count < len(group) and len(steps) + count < _MOST_AT_ONCE and characters < _MOST_CHARACTERS_AT_ONCE:
                characters += group[count].size
                count += 1
            taken, rest = group[:count], group[count:]
            if rest:
                self._gathered[execution_id] = rest
            else:
                del self._gathered[execution_id]
            steps += taken
        self._account(-1, steps)
        return steps

    async def _write_gathered(self) -> bool:
        due = set(self._gathered)  # not what comes meanwhile: then this would never end where something always comes
        while due:
            steps = self._pop_batch()
            due.intersection_update(self._gathered)
            self._leaving = frozenset(step.execution_id for step in steps)
            self._arrival = arrival = asyncio.get_running_loop().create_future()
            left = steps
            try:
                left = await self._deliver(steps)
            finally:
                self._leaving = frozenset()
                arrival.set_result(None)
                self._put_back(left)
            if left:
                logger.warning("steps could not be written yet", extra={"steps": self._count})
                return True
            due.intersection_update(self._gathered)
        return False

    def _put_back(self, steps: Iterable[StepRow]) -> None:
        """Let *steps* wait again, before those that came since."""
        earlier: dict[str | None, list[StepRow]] = {}
        for step in steps:
            earlier.setdefault(step.execution_id, []).append(step)
        for execution_id, group in earlier.items():
            self._gathered[execution_id] = group + self._gathered.get(execution_id, [])
            self._account(1, group)

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
