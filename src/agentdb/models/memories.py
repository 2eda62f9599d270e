"""Memories: what goes in, what comes back, what a search finds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agentdb.models.base import Input, Row
from agentdb.validation import Content, Importance, JsonObject, Name, ShortName, UtcDatetime, UuidText, Vector

__all__ = [
    "Memory",
    "MemoryEntry",
    "MemoryHit",
    "SearchResult",
]


def _shown(arguments: Iterable[tuple[str | None, Any]], *, is_sensitive: bool) -> Iterable[tuple[str | None, Any]]:
    """Return what a repr shows: of a sensitive memory neither content nor metadata."""
    return [pair for pair in arguments if not (is_sensitive and pair[0] in ("content", "metadata"))]


class MemoryEntry(Input):
    """A memory to store. The repr of a sensitive one leaves out content and metadata."""

    agent_id: Name
    """Whose memory it is: the agent's id, not its name."""
    content: Content
    """The text, 1 to 1,000,000 characters."""
    metadata: JsonObject = Field(default_factory=dict)
    """A JSON object; keys are text, numbers finite."""
    importance: Importance = 0.5
    """In [0, 1]."""
    memory_type: ShortName = "general"
    """1 to 100 characters."""
    embedding: Vector | None = None
    """1 to 16,000 numbers, not all zero as 32-bit floats: a sequence or a one-dimensional array."""
    embedding_model: Name | None = None
    """What made the embedding, 1 to 255 characters; None: the client's embedder, else "unnamed"."""
    visibility: Literal["agent", "organization"] = "agent"
    """Who finds it: "agent", its own agent alone; "organization", every agent of the organization."""
    sensitive: bool = False
    """
    Content and metadata are encrypted, where the client has a key (AGENTDB_ENCRYPTION_KEYS); they are plain text where
    it has none. What is encrypted is found by its vector, its age, its importance and by equality of its metadata, not
    by words, and it has no vector unless *embedding* or AGENTDB_EMBED_SENSITIVE gives it one: a vector tells of the
    text that it was made of.
    """
    pinned: bool = False
    """Marks a memory that neither fades nor is evicted."""
    expires_at: UtcDatetime | None = None
    """From then on it is never read again; a naive time is taken as UTC. None: never."""
    occurred_at: UtcDatetime | None = None
    """When what it tells of happened; a naive time is taken as UTC. None: now."""
    idempotency_key: Name | None = None
    """A write that is retried with the same key lands once; 1 to 255 characters."""
    id: UuidText | None = None
    """The memory's id, a UUID; None: a new one."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return _shown(super().__repr_args__(), is_sensitive=self.sensitive)


class Memory(Row, frozen=True):
    """A memory as it is stored. The repr of a sensitive one leaves out content and metadata."""

    id: str
    """A UUID."""
    agent_id: str
    """Whose memory it is."""
    content: str
    metadata: dict[str, Any]
    importance: float
    """In [0, 1]."""
    memory_type: str
    visibility: Literal["agent", "organization"]
    sensitive: bool
    pinned: bool
    embedding_model: str | None
    """What made its embedding; None when it has none."""
    embedding_error: str | None
    """Why it has none though it should; `Memories.reembed` repairs it."""
    execution_id: str | None
    """The execution that stored it; None when it was stored outside of one."""
    created_at: datetime
    """When it was stored."""
    occurred_at: datetime
    """When what it tells of happened."""
    expires_at: datetime | None
    """From then on it is never read again; None: never."""
    superseded_by: str | None
    """The id of the memory that took its place."""
    store_count: int
    """How often it was stored: equal memories are stored once."""
    access_count: int
    """How often a search found it; searches of other processes count within a second or so."""
    last_accessed_at: datetime | None
    """When a search found it last."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return _shown(super().__repr_args__(), is_sensitive=self.sensitive)


class MemoryHit(Row, frozen=True):
    """A memory that was found."""

    memory: Memory
    score: float
    """What it was ranked by; higher is better. `agentdb.client.memory.retrieval` has the formula."""
    parts: dict[str, float]
    """
    What the score is made of, each in [0, 1]: "lexical" where words were searched for; "semantic" where embeddings were
    compared, and "cosine", which it is made of; "recency" and "importance".
    """

    @property
    def id(self) -> str:
        """The memory's id."""
        return self.memory.id

    @property
    def content(self) -> str:
        """The memory's text."""
        return self.memory.content


class SearchResult(list[MemoryHit]):
    """Hits, best first."""

    exact: bool
    """
    Whether every memory in scope was considered; False when an approximate index chose among them, or a word of the
    query is so frequent that not all its memories were looked at.
    """
    embedding_error: str | None
    """
    Why the query could not be embedded, so that only its words were searched for; None when it was, or did not have to
    be.
    """

    def __init__(
        self, hits: Iterable[MemoryHit] = (), *, exact: bool = True, embedding_error: str | None = None
    ) -> None:
        super().__init__(hits)
        self.exact = exact
        self.embedding_error = embedding_error
