"""From rows of `agent_memories` to memories and hits: pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from agentdb.client.memory.retrieval import SearchWeights, recency
from agentdb.client.memory.sealing import open_memory
from agentdb.models import Memory, MemoryHit, from_row
from agentdb.validation import parse_json

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals
    from agentdb.client.memory.accesses import Accesses
    from agentdb.postgres.driver import Record

__all__ = ["memory_of", "ranked_hit", "recent_hit"]

# The columns of the fragment `memory`, in its order: what rows begin with. Behind them comes what is sealed.
_FIELDS = tuple(Memory.model_fields)
_SEALED = len(_FIELDS)


def memory_of(record: Record, accesses: Accesses, seals: Seals) -> Memory:
    """
    Return the memory that a row of the fragment `memory` holds, opened if it is sealed.

    Args:
        record: The row.
        accesses: What was counted since and is not in the row yet.
        seals: What opens it.

    Raises:
        EncryptionError: It is sealed and does not open.
    """
    values: dict[str, Any] = dict(zip(_FIELDS, record, strict=False))
    sealed = record[_SEALED]
    if sealed is None:
        values["metadata"] = parse_json(values["metadata"])
    else:
        values["content"], values["metadata"] = open_memory(values["id"], sealed, seals)
    access = accesses.pending(values["id"])
    if access is not None:
        values["access_count"] += access.times
        values["last_accessed_at"] = access.last_at
    return from_row(Memory, values)


def ranked_hit(record: Record, accesses: Accesses, seals: Seals, *, has_words: bool) -> MemoryHit:
    """Return the hit that a row of the block `search` is; *has_words*: words were searched for."""
    memory = memory_of(record, accesses, seals)
    parts = {"lexical": record["lexical"]} if has_words else {}
    semantic = record["semantic"]
    if semantic is not None:
        parts["semantic"] = semantic
        parts["cosine"] = max(record["cosine"] or 0.0, 0.0)
    parts["recency"] = record["recency"]
    parts["importance"] = memory.importance
    return _hit(memory, record["score"], parts)


def recent_hit(
    record: Record, accesses: Accesses, seals: Seals, now: datetime, weights: SearchWeights, *, by_importance: bool
) -> MemoryHit:
    """Return the hit that a row of the block `recent` is."""
    memory = memory_of(record, accesses, seals)
    half_life = weights.half_lives.get(memory.memory_type, weights.half_life)
    age = 1.0 if memory.pinned else recency(memory.occurred_at, now, half_life)
    # "newest" is by age alone: neither pins nor half-lives by type are asked
    score = memory.importance if by_importance else recency(memory.occurred_at, now, weights.half_life)
    return _hit(memory, score, {"recency": age, "importance": memory.importance})


def _hit(memory: Memory, score: float, parts: dict[str, float]) -> MemoryHit:
    return from_row(MemoryHit, {"memory": memory, "score": score, "parts": parts})
