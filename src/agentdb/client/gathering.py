"""What the calls of one organization gather in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentdb.client.accesses import Accesses
from agentdb.client.bursts import Bursts
from agentdb.client.large_scopes import LargeScopes

if TYPE_CHECKING:
    from agentdb.client.memories import Memories
    from agentdb.client.memory_rows import MemoryRow

__all__ = ["Gathering"]

_PATIENCE_SECONDS: Final = 0.1


class Gathering:
    """
    What clients of one organization and database share beside the pool.

    Args:
        memories: The memories of a client of this organization that is not in a transaction.
        access_seconds: How long recalls gather before they are counted in the database.

    Attributes:
        bursts: Memories to be stored, of calls that run at the same time.
        accesses: Recalls to be counted.
        large_scopes: Which scopes are searched by an index.
    """

    def __init__(self, memories: Memories, access_seconds: float) -> None:
        self.bursts: Bursts[MemoryRow, str] = Bursts(memories.store_rows, patience_seconds=_PATIENCE_SECONDS)
        self.accesses = Accesses(memories.count_recalls, access_seconds)
        self.large_scopes = LargeScopes()
