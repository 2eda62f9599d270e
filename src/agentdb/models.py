"""
The models that go in and come out.

What a caller builds (`AgentConfig`, `MemoryEntry`, `MetricPoint`, `TokenUsage`) is checked when it is built and raises
pydantic's `ValidationError`. What comes back from the database is frozen and built by `from_row` without being checked
again: a row that the database holds has passed its checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentdb.validation import (
    Content,
    Count,
    Description,
    Importance,
    JsonObject,
    MetricValue,
    Name,
    RecentDatetime,
    ShortName,
    Unit,
    UtcDatetime,
    UuidText,
    Vector,
)

__all__ = [
    "Agent",
    "AgentCategory",
    "AgentConfig",
    "Bucket",
    "Execution",
    "ExecutionTree",
    "HealthReport",
    "LearningPattern",
    "Memory",
    "MemoryEntry",
    "MemoryHit",
    "MetricPoint",
    "MetricSeries",
    "MetricSummary",
    "PoolHealth",
    "SearchResult",
    "TokenUsage",
    "Tool",
    "ToolStats",
]

M = TypeVar("M", bound=BaseModel)

# ------------------------------------------------------------------------------------------------------- what goes in


class _Input(BaseModel):
    # Input is hidden in errors: it may be a megabyte, or confidential.
    model_config = ConfigDict(extra="forbid", validate_assignment=True, hide_input_in_errors=True)


class AgentCategory(StrEnum):
    """What an agent is for; lower case is accepted."""

    STRATEGIC = "STRATEGIC"
    OPERATIONAL = "OPERATIONAL"
    SUPPORT = "SUPPORT"

    @classmethod
    def _missing_(cls, value: object) -> AgentCategory | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class AgentConfig(_Input):
    """
    How an agent registers.

    Attributes:
        name: Names the agent in its organization, 1 to 255 characters.
        category: STRATEGIC, OPERATIONAL or SUPPORT.
        version: The agent's own version, 1 to 100 characters.
        description: At most 100,000 characters.
        capabilities: What it can do, each 1 to 255 characters.
        data_sources: What it reads, each 1 to 255 characters.
        id: 1 to 255 characters; None: a new UUID, or the id that an agent of this name already has.
        metadata: A JSON object.
        max_memories: The most living memories that `Memories.sweep` leaves it: the least valuable go, never pinned
            ones. None: no limit.
    """

    name: Name
    category: AgentCategory
    version: ShortName = "1.0.0"
    description: Description = ""
    capabilities: list[Name] = []
    data_sources: list[Name] = []
    id: Name | None = None
    metadata: JsonObject = {}
    max_memories: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class MemoryEntry(_Input):
    """
    A memory to store.

    Attributes:
        agent_id: Whose memory it is: the agent's id, not its name.
        content: The text, 1 to 1,000,000 characters.
        metadata: A JSON object; keys are text, numbers finite.
        importance: In [0, 1].
        memory_type: 1 to 100 characters.
        embedding: 1 to 16,000 numbers, not all zero as 32-bit floats: a sequence or a one-dimensional array.
        embedding_model: What made the embedding, 1 to 255 characters; None: the client's embedder, else "unnamed".
        visibility: "agent": found by its agent alone; "organization": by every agent of the organization.
        sensitive: Marks a memory as sensitive. A mark and no more: its content is stored as plain text.
        pinned: Marks a memory that neither fades nor is evicted.
        expires_at: From then on it is never read again; a naive time is taken as UTC. None: never.
        occurred_at: When what it tells of happened; a naive time is taken as UTC. None: now.
        idempotency_key: A write that is retried with the same key lands once; 1 to 255 characters.
        id: The memory's id, a UUID; None: a new one.
    """

    agent_id: Name
    content: Content
    metadata: JsonObject = {}
    importance: Importance = 0.5
    memory_type: ShortName = "general"
    embedding: Vector | None = None
    embedding_model: Name | None = None
    visibility: Literal["agent", "organization"] = "agent"
    sensitive: bool = False
    pinned: bool = False
    expires_at: UtcDatetime | None = None
    occurred_at: UtcDatetime | None = None
    idempotency_key: Name | None = None
    id: UuidText | None = None


class MetricPoint(_Input):
    """
    One measured value.

    Attributes:
        agent_id: The agent it belongs to.
        name: What was measured, 1 to 255 characters.
        value: A number from -1e300 to 1e300.
        unit: Its unit, at most 100 characters.
        labels: A JSON object.
        recorded_at: When it was measured, at most a day ahead; a naive time is taken as UTC. None: now.
        idempotency_key: A write that is retried with the same key lands once; 1 to 255 characters.
    """

    agent_id: Name
    name: Name
    value: MetricValue
    unit: Unit = ""
    labels: JsonObject = {}
    recorded_at: RecentDatetime | None = None
    idempotency_key: Name | None = None


class TokenUsage(_Input):
    """
    Tokens in disjoint classes, except that *reasoning* is a part of *output*.

    Attributes:
        input: Input tokens that were not read from a cache.
        cached_input: Input tokens read from a cache.
        cache_write: Input tokens written to a cache.
        output: Output tokens, reasoning included.
        reasoning: The output tokens spent on reasoning, at most *output*.
    """

    model_config = ConfigDict(frozen=True)

    input: Count = 0
    cached_input: Count = 0
    cache_write: Count = 0
    output: Count = 0
    reasoning: Count = 0

    @model_validator(mode="after")
    def _reasoning_is_output(self) -> Self:
        if self.reasoning > self.output:
            raise ValueError("reasoning tokens are a part of output tokens and cannot be more.")
        return self

    @property
    def total(self) -> int:
        """All tokens, each counted once."""
        return self.input + self.cached_input + self.cache_write + self.output

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(**{name: getattr(self, name) + getattr(other, name) for name in TokenUsage.model_fields})


# ------------------------------------------------------------------------------------------------------ what comes out


class _Row(BaseModel):
    # from_row needs no validator, so none is built on import.
    model_config = ConfigDict(frozen=True, defer_build=True)


@cache
def _field_names(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)  # shared by all rows: they are frozen, and a copy copies it


def from_row(model: type[M], values: dict[str, Any]) -> M:
    """
    Build *model* from a value for each of its fields, unchecked; *values* becomes the model's own.

    1.0 µs for a Memory, where validation takes 2.6 µs and model_construct 4.6 µs.
    """
    instance = model.__new__(model)
    set_slot = object.__setattr__
    set_slot(instance, "__dict__", values)
    set_slot(instance, "__pydantic_fields_set__", _field_names(model))
    set_slot(instance, "__pydantic_extra__", None)
    set_slot(instance, "__pydantic_private__", None)
    return instance


class Agent(_Row):
    """An agent as it is registered; *status* is "active" or "inactive"."""

    id: str
    organization_id: str
    name: str
    version: str
    category: AgentCategory
    description: str
    capabilities: list[str]
    data_sources: list[str]
    metadata: dict[str, Any]
    max_memories: int | None
    status: Literal["active", "inactive"]
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None


class Memory(_Row):
    """
    A memory as it is stored.

    Attributes:
        embedding_model: What made its embedding; None when it has none.
        embedding_error: Why it has none though it should; `Memories.reembed` repairs it.
        execution_id: The execution that stored it; None when it was stored outside of one.
        superseded_by: The id of the memory that took its place.
        store_count: How often it was stored: equal memories are stored once.
        access_count: How often a search found it; searches of other processes count within a second or so.
        last_accessed_at: When a search found it last.
    """

    id: str
    agent_id: str
    content: str
    metadata: dict[str, Any]
    importance: float
    memory_type: str
    visibility: Literal["agent", "organization"]
    sensitive: bool
    pinned: bool
    embedding_model: str | None
    embedding_error: str | None
    execution_id: str | None
    created_at: datetime
    occurred_at: datetime
    expires_at: datetime | None
    superseded_by: str | None
    store_count: int
    access_count: int
    last_accessed_at: datetime | None


class MemoryHit(_Row):
    """
    A memory that was found.

    Attributes:
        score: What it was ranked by; higher is better. `agentdb.client.retrieval` has the formula.
        parts: What the score is made of, each in [0, 1]: "lexical" where words were searched for; "semantic" where
            embeddings were compared, and "cosine", which it is made of; "recency" and "importance".
    """

    memory: Memory
    score: float
    parts: dict[str, float]

    @property
    def id(self) -> str:
        """The memory's id."""
        return self.memory.id

    @property
    def content(self) -> str:
        """The memory's text."""
        return self.memory.content


class SearchResult(list[MemoryHit]):
    """
    Hits, best first.

    Attributes:
        exact: Whether every memory in scope was considered; False when an approximate index chose among them, or a
            word of the query is so frequent that not all its memories were looked at.
        embedding_error: Why the query could not be embedded, so that only its words were searched for; None when it
            was, or did not have to be.
    """

    def __init__(
        self, hits: Iterable[MemoryHit] = (), *, exact: bool = True, embedding_error: str | None = None
    ) -> None:
        super().__init__(hits)
        self.exact = exact
        self.embedding_error = embedding_error


class Tool(_Row):
    """
    A tool of the organization's catalogue; *status* is "active" or "deprecated".

    Attributes:
        version: Rises by one when *parameters* change.
        parameters: The JSON schema of its arguments.
        owner_agent_id: The agent that offers it, if one does.
        calls: How often it was called.
        successes: How many calls succeeded.
        total_duration_ms: What all calls took together, in milliseconds.
    """

    id: str
    name: str
    version: int
    description: str
    parameters: dict[str, Any]
    status: Literal["active", "deprecated"]
    owner_agent_id: str | None
    calls: int
    successes: int
    total_duration_ms: float
    last_used_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ToolStats(_Row):
    """How a tool fared; *success_interval* is the Wilson interval of the success rate, durations are milliseconds."""

    name: str
    calls: int
    successes: int
    failures: int
    success_rate: float | None
    success_interval: tuple[float, float] | None
    p50_ms: float | None
    p95_ms: float | None
    last_used_at: datetime | None


class Execution(_Row):
    """
    One run of one task; *status* is "running", "completed", "failed", "cancelled" or "abandoned".

    Attributes:
        parent_id: The execution that called it.
        error: What went wrong, in words; *error_type* is the exception's class.
        duration_ms: From start to finish, in milliseconds; None while it runs.
        cost: In US dollars; None where the price is unknown.
    """

    id: str
    agent_id: str
    parent_id: str | None
    task: Any
    result: Any
    status: Literal["running", "completed", "failed", "cancelled", "abandoned"]
    error: str | None
    error_type: str | None
    traceback: str | None
    started_at: datetime
    finished_at: datetime | None
    usage: TokenUsage
    model: str | None
    cost: Decimal | None

    @property
    def duration_ms(self) -> float | None:
        """From start to finish, in milliseconds; None while it runs."""
        return None if self.finished_at is None else (self.finished_at - self.started_at) / timedelta(milliseconds=1)


class ExecutionTree(_Row):
    """An execution with those that it called, oldest first, each with its own; *steps* are what happened inside it."""

    execution: Execution
    children: list[ExecutionTree]
    steps: list[dict[str, Any]]


class MetricSummary(_Row):
    """What a metric's points say together; *unit* and *last* are those of the newest point."""

    name: str
    unit: str
    count: int
    avg: float
    min: float
    max: float
    p50: float
    p95: float
    p99: float
    last: float


class Bucket(_Row):
    """The points from *start* to the next bucket's start; without any, *count* is 0 and the rest None."""

    start: datetime
    count: int
    avg: float | None
    min: float | None
    max: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class MetricSeries(_Row):
    """A metric over time: *buckets* of the width *bucket*, oldest first, without a gap."""

    name: str
    unit: str
    bucket: str
    buckets: list[Bucket]


class LearningPattern(_Row):
    """
    Something learned, with its evidence.

    Attributes:
        trials: How often it was tried; *successes* of them worked.
        confidence: Lower bound of the Wilson interval of the success rate (z = 1.96), in [0, 1]; 0 without trials.
        scope: "agent" or "organization".
        status: "active", "quarantined" or "retired".
    """

    id: str
    agent_id: str
    pattern_type: str
    name: str
    content: Any
    trials: int
    successes: int
    confidence: float
    scope: Literal["agent", "organization"]
    status: Literal["active", "quarantined", "retired"]
    created_at: datetime
    updated_at: datetime


class PoolHealth(_Row):
    """A pool's connections: *size* at most, *idle* and *in_use* now, and the callers *waiting* for one."""

    size: int
    idle: int
    in_use: int
    waiting: int


class HealthReport(_Row):
    """
    How the database and the way to it are.

    Attributes:
        status: "ok", or "degraded" when row-level security does not bind the role.
        server_version: PostgreSQL's, for example "18.6".
        schema_version: The newest of agentdb's migrations that was applied.
        tenancy: "row-level-security" or "application-only" (the role is superuser, owner or BYPASSRLS).
        tls: Whether the connection is encrypted.
        latency_ms: One round trip, in milliseconds.
    """

    status: Literal["ok", "degraded"]
    server_version: str
    schema_version: str
    organization_id: str
    role: str
    tenancy: Literal["row-level-security", "application-only"]
    tls: bool
    latency_ms: float
    pool: PoolHealth
