"""From rows of `agent_memories` to memories and hits: pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from agentdb.client.retrieval import recency
from agentdb.models import Memory, MemoryHit, from_row
from agentdb.validation import parse_json

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["lexical_hit", "memory_of", "recent_hit"]


def memory_of(record: Record) -> Memory:
    """Return the memory that a row of the fragment `memory` holds."""
    values = dict(record.items())
    values["metadata"] = parse_json(values["metadata"])
    return from_row(Memory, values)


def lexical_hit(record: Record) -> MemoryHit:
    """Return the hit that a row of the block `search` is."""
    values = dict(record.items())
    relevance = values.pop("relevance")
    values["metadata"] = parse_json(values["metadata"])
    return _hit(from_row(Memory, values), "lexical", relevance)


def recent_hit(record: Record, now: datetime) -> MemoryHit:
    """Return the hit that a row of the block `recent` is."""
    memory = memory_of(record)
    return _hit(memory, "recency", recency(memory.occurred_at, now))


def _hit(memory: Memory, part: str, score: float) -> MemoryHit:
    return from_row(MemoryHit, {"memory": memory, "score": score, "parts": {part: score}})
