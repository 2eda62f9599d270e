"""What the calls of one organization gather in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agentdb.client.access.entries import AccessEntries, AccessWrites
from agentdb.client.bursts import Alone, Bursts
from agentdb.client.execution.heartbeats import Heartbeats
from agentdb.client.execution.journal import Journal
from agentdb.client.execution.steps import Steps
from agentdb.client.execution.writes import ExecutionWrites
from agentdb.client.memory.accesses import Accesses
from agentdb.client.memory.large_scopes import LargeScopes
from agentdb.models import AccessLogHealth, RecordingHealth, from_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.execution.writes import Ending, StartRow
    from agentdb.client.memory.rows import MemoryRow
    from agentdb.client.metric.recorder import MetricRecorder
    from agentdb.client.metric.rows import MetricRow
    from agentdb.models import Execution

__all__ = ["Gathering"]

_PATIENCE_SECONDS: Final = 0.1
_MOST_EXECUTIONS_AT_ONCE: Final = 100  # reading the answer of a thousand would hold the event loop up for 0.1 s


class Gathering:
    """
    What clients of one organization and database share beside the pool.

    Args:
        root: A client of this organization that is not in a transaction.

    Attributes:
        access_log: Entries of the access log to be written.
        bursts: Memories to be stored, of calls that run at the same time.
        starts: Executions to be begun, of calls that run at the same time.
        ends: Executions to be ended, likewise.
        accesses: Recalls to be counted.
        journal: Steps of executions to be written.
        heartbeats: Which executions run in this process.
        large_scopes: Which scopes are searched by an index.
        warned_of_plain: Whether somebody was told that sensitive memories are not encrypted.
        recorders: Those that hold metric points to be recorded.
        record_points: What they record them with.
    """

    def __init__(self, root: PrismaAgentClient) -> None:
        settings = root.settings
        self.access_log: AccessEntries = AccessEntries(AccessWrites(root), settings.flush_seconds)
        writes = ExecutionWrites(root)
        self.bursts: Bursts[MemoryRow, str] | Alone[MemoryRow, str]
        self.starts: Bursts[StartRow, Execution] | Alone[StartRow, Execution]
        self.ends: Bursts[Ending, Execution | None] | Alone[Ending, Execution | None]
        if settings.access_log:  # of what travels together nobody could say who did it
            self.bursts, self.starts = Alone(root.memories.store_rows), Alone(writes.start_rows)
            self.ends = Alone(writes.end_rows)
        else:
            self.bursts = Bursts(root.memories.store_rows, patience_seconds=_PATIENCE_SECONDS)
            self.starts = Bursts(
                writes.start_rows, at_most=_MOST_EXECUTIONS_AT_ONCE, patience_seconds=_PATIENCE_SECONDS
            )
            self.ends = Bursts(writes.end_rows, at_most=_MOST_EXECUTIONS_AT_ONCE, patience_seconds=_PATIENCE_SECONDS)
        self._keeps_access_log = settings.access_log
        self.accesses: Accesses = Accesses(root.memories.count_recalls, settings.flush_seconds)
        self.journal: Journal = Journal(Steps(root).write, settings.flush_seconds)
        self.heartbeats: Heartbeats = Heartbeats(root.executions.beat, settings.heartbeat_seconds)
        self.large_scopes: LargeScopes = LargeScopes()
        self.warned_of_plain = False
        self.recorders: set[MetricRecorder] = set()
        self.record_points: Callable[[Sequence[MetricRow]], Awaitable[None]] = root.metrics.record_rows

    @property
    def recording(self) -> RecordingHealth:
        """How the recording of executions goes."""
        return from_row(
            RecordingHealth,
            {
                "waiting_steps": len(self.journal),
                "lost_steps": self.journal.lost,
                "unwritten_ends": self.heartbeats.unwritten,
                "failures": self.heartbeats.failures,
            },
        )

    @property
    def access_log_health(self) -> AccessLogHealth:
        """How the access log goes."""
        log = self.access_log
        return from_row(AccessLogHealth, {"table": self._keeps_access_log, "waiting": len(log), "lost": log.lost})

    async def flush(self) -> None:
        """Write what has gathered, for the client is closed: recorders take no more."""
        recorders = [recorder.close() for recorder in self.recorders]
        await asyncio.gather(self.accesses.flush(), self.journal.flush(), self.heartbeats.flush(), *recorders)
        await self.access_log.flush()  # what was written just now has its entries, too

    async def settle(self) -> None:
        """Write what has gathered by now, and go on; recorders stay open."""
        recorders = [recorder.flush() for recorder in self.recorders]
        await asyncio.gather(self.accesses.flush(), self.journal.flush(), self.heartbeats.flush(), *recorders)
        await self.access_log.flush()

    def forget_erased(self) -> None:
        """Forget what was found out about rows that may be gone by now."""
        self.large_scopes = LargeScopes()

    def forget(self) -> None:
        """Drop what has gathered: the client is closed, its event loop is gone, or it is another process's."""
        self.accesses.forget()
        self.journal.forget()
        self.heartbeats.forget()
        self.access_log.forget()
        for recorder in list(self.recorders):
            recorder.forget()
