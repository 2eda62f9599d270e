"""What the calls of one organization gather in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agentdb.client.bursts import Bursts
from agentdb.client.execution.heartbeats import Heartbeats
from agentdb.client.execution.journal import Journal
from agentdb.client.execution.steps import Steps
from agentdb.client.execution.writes import ExecutionWrites
from agentdb.client.memory.accesses import Accesses
from agentdb.client.memory.large_scopes import LargeScopes
from agentdb.models import RecordingHealth, from_row

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.execution.writes import Ending, StartRow
    from agentdb.client.memory.rows import MemoryRow
    from agentdb.client.metric.recorder import MetricRecorder
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
        bursts: Memories to be stored, of calls that run at the same time.
        starts: Executions to be begun, of calls that run at the same time.
        ends: Executions to be ended, likewise.
        accesses: Recalls to be counted.
        journal: Steps of executions to be written.
        heartbeats: Which executions run in this process.
        large_scopes: Which scopes are searched by an index.
        recorders: Those that hold metric points to be recorded.
        record_points: What they record them with.
    """

    def __init__(self, root: PrismaAgentClient) -> None:
        settings = root.settings
        self.bursts: Bursts[MemoryRow, str] = Bursts(root.memories.store_rows, patience_seconds=_PATIENCE_SECONDS)
        writes = ExecutionWrites(root)
        self.starts: Bursts[StartRow, Execution] = Bursts(
            writes.start_rows, at_most=_MOST_EXECUTIONS_AT_ONCE, patience_seconds=_PATIENCE_SECONDS
        )
        self.ends: Bursts[Ending, Execution | None] = Bursts(
            writes.end_rows, at_most=_MOST_EXECUTIONS_AT_ONCE, patience_seconds=_PATIENCE_SECONDS
        )
        self.accesses = Accesses(root.memories.count_recalls, settings.flush_seconds)
        self.journal = Journal(Steps(root).write, settings.flush_seconds)
        self.heartbeats = Heartbeats(root.executions.beat, settings.heartbeat_seconds)
        self.large_scopes = LargeScopes()
        self.recorders: set[MetricRecorder] = set()
        self.record_points = root.metrics.record_rows

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

    async def flush(self) -> None:
        """Write what has gathered, for the client is closed: recorders take no more."""
        recorders = [recorder.close() for recorder in self.recorders]
        await asyncio.gather(self.accesses.flush(), self.journal.flush(), self.heartbeats.flush(), *recorders)

    def forget(self) -> None:
        """Drop what has gathered: the client is closed, its event loop is gone, or it is another process's."""
        self.accesses.forget()
        self.journal.forget()
        self.heartbeats.forget()
        for recorder in list(self.recorders):
            recorder.forget()
