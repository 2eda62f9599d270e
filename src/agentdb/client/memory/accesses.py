"""How often memories were recalled: counted as they are found, written a moment later."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from agentdb.client.deferred import Deferred
from agentdb.errors import AgentDBError, NotConnectedError
from agentdb.moments import utc_now

__all__ = ["Access", "Accesses"]

logger: Final = logging.getLogger("agentdb.client")

_MOST_AT_ONCE: Final = 1000


class Access(NamedTuple):
    """Recalls of one memory that are not in the database yet: how many, and the last."""

    times: int
    last_at: datetime


class Accesses:
    """
    Counts the recalls of one organization's memories, off the path of those who recall.

    A search neither waits for the counting nor makes a statement of it: what has gathered is written by a task of its
    own, *delay_seconds* after the first. A process that is killed loses what it counted since then; a database that
    cannot be reached keeps it waiting for the next time. Readers in this process see the counts at once, by `pending`.

    Args:
        write: Adds counts to the memories of these ids; returns the ids of those that it has to leave for later.
        delay_seconds: How long recalls gather.
    """

    def __init__(
        self, write: Callable[[Sequence[str], Sequence[Access]], Awaitable[Iterable[str]]], delay_seconds: float
    ) -> None:
        self._write = write
        self._gathered: dict[str, Access] = {}
        self._leaving: dict[str, Access] = {}
        self._writing = Deferred(self._write_gathered, delay_seconds)

    def note(self, memory_ids: Iterable[str]) -> None:
        """Count a recall of each."""
        now = utc_now()
        gathered = self._gathered
        for memory_id in memory_ids:
            known = gathered.get(memory_id)
            gathered[memory_id] = Access(1 if known is None else known.times + 1, now)
        if gathered:
            self._writing.ask()

    def pending(self, memory_id: str) -> Access | None:
        """Return what was counted for a memory and is not in the database yet."""
        if not self._gathered and not self._leaving:
            return None
        return _sum(self._leaving.get(memory_id), self._gathered.get(memory_id))

    async def flush(self) -> None:
        """Write what has gathered, now; after it nothing is on its way."""
        await self._writing.now()

    def forget(self) -> None:
        """Drop what was counted: the client is closed, its event loop is gone, or it is another process's."""
        self._writing.stop()
        self._gathered, self._leaving = {}, {}

    async def _write_gathered(self) -> bool:
        left: dict[str, Access] = {}
        try:
            while self._gathered:
                ids = list(self._gathered)[:_MOST_AT_ONCE]
                leaving = self._leaving = {memory_id: self._gathered.pop(memory_id) for memory_id in ids}
                try:
                    held = await self._write(ids, list(leaving.values()))
                except NotConnectedError:
                    self._gathered.clear()  # the client was closed while a search was on its way
                except BaseException:
                    left |= leaving
                    raise
                else:
                    left.update((memory_id, leaving[memory_id]) for memory_id in held)
                finally:
                    self._leaving = {}
        except AgentDBError:
            logger.warning("recalls could not be counted yet", extra={"memories": len(self._gathered) + len(left)})
        finally:
            self._gather(left)
        return bool(self._gathered)

    def _gather(self, left: dict[str, Access]) -> None:
        for memory_id, access in left.items():
            total = _sum(access, self._gathered.get(memory_id))
            assert total is not None  # one of the two is there
            self._gathered[memory_id] = total


def _sum(one: Access | None, other: Access | None) -> Access | None:
    if one is None or other is None:
        return other if one is None else one
    return Access(one.times + other.times, max(one.last_at, other.last_at))
