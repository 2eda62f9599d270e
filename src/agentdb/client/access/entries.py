"""`AccessEntries`: entries of the access log, gathered as operations end, written a moment later, and chained."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from agentdb.client.access.operations import Entry
from agentdb.client.deferred import Deferred
from agentdb.client.queries import load_queries
from agentdb.client.resource import may_pass
from agentdb.errors import AgentDBError, NotConnectedError
from agentdb.security.access_log import Head

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.postgres.driver import Driver

__all__ = ["AccessEntries", "AccessWrites", "enter"]

logger: Final = logging.getLogger("agentdb.access")

_SQL: Final = load_queries("access_log")
_CHAIN: Final = "SELECT chained, position, chain FROM access_log_chain($1, $2)"
_MOST_AT_ONCE: Final = 500
_MOST_WAITING: Final = 10_000
_TOLD_EVERY_SECONDS: Final = 300.0
# Long enough that writers who follow each other closely pay for one chaining in ten, not for one each.
_CHAINED_AFTER_SECONDS: Final = 0.01
_CHAINING_PATIENCE: Final = 10
# While somebody reads an old state of the database for long, as a backup does, each chaining passes over all that were
# chained meanwhile: 2.5 us for each. It shall keep the server busy for a tenth of the time at most.
_CHAINING_REST: Final = 9
_MOST_CHAINED_AT_ONCE: Final = 5000
_WAIT_SECONDS: Final = 0.01
_COMPLAINS_AFTER_SECONDS: Final = 60.0


async def enter(driver: Driver, organization_id: str, entry: Entry) -> None:
    """Add *entry* on *driver*, which is the transaction of what it tells of."""
    id, started, agent_id, user_name, operation, *rest = entry
    age_ms = (time.perf_counter() - started) * 1000
    arguments = (organization_id, id, age_ms, agent_id, user_name, operation, *rest)
    await driver.execute(_SQL["enter"], arguments)


class AccessWrites:
    """
    Writes and chains entries of an organization. No operation itself, or the log would never come to an end.

    Args:
        client: A client of the organization that is not in a transaction.
    """

    def __init__(self, client: PrismaAgentClient) -> None:
        self._client = client

    async def write(self, entries: Sequence[Entry]) -> None:
        """Add *entries*, all or none; one that was added before is left alone."""
        now = time.perf_counter()
        values = [entry._asdict() | {"age_ms": (now - entry.started) * 1000} for entry in entries]
        sent = json.dumps(values, ensure_ascii=False)
        await self._client.inner_driver.execute(_SQL["enter_many"], (self._client.organization_id, sent))

    async def chain(self, attempts: int = 3) -> Head | None:
        """
        Chain what is not chained yet, and return where the chain ends.

        None when somebody else is at it, which takes a moment, in each of *attempts*, a hundredth of a second apart.
        """
        while True:
            arguments = (self._client.organization_id, _MOST_CHAINED_AT_ONCE)
            rows = await self._client.inner_driver.fetch(_CHAIN, arguments)
            if rows and rows[0]["chained"] < _MOST_CHAINED_AT_ONCE:
                return Head(rows[0]["position"], rows[0]["chain"])
            if not rows:
                attempts -= 1
                if not attempts:
                    return None
                await asyncio.sleep(_WAIT_SECONDS)


class AccessEntries:
    """
    Writes the entries of reads and failures off the path of those who cause them, and chains all there are.

    What has gathered is written *delay_seconds* after the first: a process that is killed loses what came since then. A
    database that cannot be reached keeps entries waiting, up to 10,000; what comes beyond is lost, counted and logged.
    What has been written, with what it tells of or so, is chained a hundredth of a second later, or as soon as ten
    times as long as it took the last time is over.

    Args:
        writes: What writes and chains.
        delay_seconds: How long entries gather.

    Attributes:
        lost: How many entries could not be written.
    """

    def __init__(self, writes: AccessWrites, delay_seconds: float) -> None:
        self._writes = writes
        self._writing = Deferred(self._write_gathered, delay_seconds)
        self._chaining = Deferred(
            self._chain_written, _CHAINED_AFTER_SECONDS, patience=_CHAINING_PATIENCE, rest=_CHAINING_REST
        )
        self._gathered: deque[Entry] = deque()
        self._leaving = 0
        self._told_at = 0.0
        self._stuck_since: float | None = None
        self._head: Head | None = None
        self._is_used = False
        self.lost: int = 0

    def __len__(self) -> int:
        """Return how many entries wait."""
        return len(self._gathered) + self._leaving

    def put(self, entry: Entry) -> None:
        """Take the entry of an operation that is over."""
        if len(self) >= _MOST_WAITING:
            self._lose(1, "too many wait")
        else:
            self._gathered.append(entry)
        self._is_used = True
        self._writing.ask()

    def note_entered(self, *, is_committed: bool) -> None:
        """Take note that an entry was written with what it tells of; in a transaction `note_commit` has to follow."""
        self._is_used = True
        if is_committed:
            self._chaining.ask()

    def note_commit(self) -> None:
        """Take note that a transaction was committed, which may have had entries in it."""
        if self._is_used:
            self._chaining.ask()

    async def flush(self) -> None:
        """Write and chain what there is by now, and tell the log where the chain ends."""
        if self._is_used:
            await self._writing.now()
            await self._chaining.now()
            self._tell_head()

    def give_up(self) -> None:
        """Count what is left as lost: the client is closed, or its event loop is gone."""
        if len(self):
            self._lose(len(self), "the client was closed")

    def forget(self) -> None:
        """Drop what has gathered: the client is closed, its event loop is gone, or it is another process's."""
        self._writing.stop()
        self._chaining.stop()
        self._gathered.clear()
        self._leaving, self._is_used = 0, False

    async def _write_gathered(self) -> bool:
        try:
            for _ in range(-(-len(self._gathered) // _MOST_AT_ONCE)):
                if not await self._write_some():
                    return True
        except NotConnectedError:
            return False  # the client was closed meanwhile
        self._chaining.ask()
        return False

    async def _chain_written(self) -> bool:
        try:
            head = await self._writes.chain()
        except NotConnectedError:
            return False
        except AgentDBError as error:
            self._note_stuck(type(error).__name__)
            return True
        if head is None:
            self._note_stuck("somebody else is at it")
            return True
        self._stuck_since = None
        if head != self._head:
            self._head = head
            if time.monotonic() - self._told_at > _TOLD_EVERY_SECONDS:
                self._tell_head()
        return False

    def _note_stuck(self, reason: str) -> None:
        """Complain, once a minute, of what keeps entries from being chained."""
        now = time.monotonic()
        if self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > _COMPLAINS_AFTER_SECONDS:
            self._stuck_since = now
            logger.warning("the access log cannot be chained", extra={"reason": reason})

    async def _write_some(self) -> bool:
        """Write the first of those that wait; return False if they have to wait longer."""
        entries = [self._gathered.popleft() for _ in range(min(len(self._gathered), _MOST_AT_ONCE))]
        self._leaving = len(entries)
        left: Sequence[Entry] = entries
        try:
            left = await self._deliver(entries)
        finally:
            self._leaving = 0
            self._gathered.extendleft(reversed(left))
        if left:
            logger.warning("entries of the access log could not be written yet", extra={"entries": len(self._gathered)})
        return not left

    async def _deliver(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Write *entries*, and return those that another try may write. One that is refused takes no other with it."""
        if not entries:
            return []
        try:
            await self._writes.write(entries)
        except AgentDBError as error:
            if may_pass(error) or isinstance(error, NotConnectedError):
                return entries
            if len(entries) == 1:
                self._lose(1, type(error).__name__)
                return []
            half = len(entries) // 2
            return [*await self._deliver(entries[:half]), *await self._deliver(entries[half:])]
        return []

    def _tell_head(self) -> None:
        """Tell logging where the chain ends: kept where nobody can change it, it shows if the chain is rewritten."""
        if self._head is not None and self._head.position:
            self._told_at = time.monotonic()
            logger.info("access_log.head", extra={"head": str(self._head)})

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        if self.lost == count or self.lost // 1000 > (self.lost - count) // 1000:
            logger.error("entries of the access log were lost", extra={"lost": self.lost, "reason": reason})
