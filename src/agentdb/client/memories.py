"""The `agent_memories` table: everything that `client.memories` can do, by what it does."""

from __future__ import annotations

from agentdb.client.memory.search import MemorySearch, Order, SearchOptions
from agentdb.client.memory.store import MemoryChanges, MemoryStore, OnDuplicate
from agentdb.client.memory.transfer import Imported, MemoryTransfer, SealedAs
from agentdb.client.memory.upkeep import MemoryUpkeep, Progress, Reembedded, Swept

__all__ = [
    "Imported",
    "Memories",
    "MemoryChanges",
    "OnDuplicate",
    "Order",
    "Progress",
    "Reembedded",
    "SealedAs",
    "SearchOptions",
    "Swept",
]


class Memories(MemorySearch, MemoryStore, MemoryTransfer, MemoryUpkeep):
    """
    What agents remember.

    A living memory is neither superseded nor expired. One that equals a living one of the same agent in type, content
    and metadata is not stored again: the id of the one that is there comes back and its *store_count* rises.
    """
