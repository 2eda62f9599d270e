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

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

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
    "AgentHealth",
    "Bucket",
    "Choice",
    "Execution",
    "ExecutionReport",
    "ExecutionStats",
    "ExecutionTree",
    "Finding",
    "HealthReport",
    "LearningPattern",
    "Memory",
    "MemoryEntry",
    "MemoryHit",
    "MetricPoint",
    "MetricSeries",
    "MetricSummary",
    "ModelPrice",
    "PatternChange",
    "PoolHealth",
    "RecordingHealth",
    "RetryPolicy",
    "SearchResult",
    "Step",
    "TokenUsage",
    "Tool",
    "ToolDefinition",
    "ToolOverview",
    "ToolStats",
    "ToolVersion",
    "UndeliveredPoints",
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


class RetryPolicy(_Input):
    """
    How often a task is tried, and how long it is waited between: longer each time, by chance up to half of it less, so
    that agents that failed together do not come back together.

    Attributes:
        attempts: How often in all, 1 to 100.
        delay_seconds: Before the second attempt, 0 to 3600.
        factor: How many times longer it is waited each time, 1 to 10.
        max_delay_seconds: The longest wait, 0 to 3600.
        retry_on: Exceptions that another attempt may cure; a cancellation never is.
    """

    attempts: Annotated[int, Field(ge=1, le=100)] = 1
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.5
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    max_delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    retry_on: tuple[type[Exception], ...] = (Exception,)

    def delay_after(self, attempt: int) -> float:
        """Return the longest wait after that many attempts, in seconds."""
        try:
            return min(self.delay_seconds * self.factor ** (attempt - 1), self.max_delay_seconds)
        except OverflowError:
            return self.max_delay_seconds


class AgentConfig(_Input):
    """
    How an agent registers, and how it runs its tasks.

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
        task_timeout_seconds: The longest that one attempt at a task may take; None: as long as it takes. It is not
            registered, nor is *retry*: how often a task is tried.
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
    # How it runs is this process's affair and not registered.
    task_timeout_seconds: Annotated[FiniteFloat, Field(gt=0)] | None = Field(default=None, exclude=True)
    retry: RetryPolicy = Field(default=RetryPolicy(), exclude=True)


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


class ToolDefinition(_Input):
    """
    A tool as an agent offers it.

    Attributes:
        name: 1 to 255 characters, unique in the organization.
        description: What it does, at most 100,000 characters.
        parameters: The JSON schema of its arguments.
    """

    model_config = ConfigDict(frozen=True)

    name: Name
    description: Description = ""
    parameters: JsonObject = {}


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
        score: What it was ranked by; higher is better. `agentdb.client.memory.retrieval` has the formula.
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


class ToolVersion(_Row):
    """What a tool was at a version: *parameters* is the JSON schema of its arguments, *created_at* when it began."""

    name: str
    version: int
    description: str
    parameters: dict[str, Any]
    created_at: datetime


class ToolStats(_Row):
    """
    How a tool fared; without calls, numbers are 0 and what is made of calls is None.

    Attributes:
        success_rate: The share of calls that succeeded, in [0, 1].
        success_interval: The Wilson interval of that rate at z = 1.96: few calls leave it wide.
        p50_ms: The median duration of the recorded calls, in milliseconds; of 95 in 100 none took longer than *p95_ms*.
        last_used_at: When the latest call ended.
        by_agent: The same for the calls of each agent, by its id; empty in these.
    """

    name: str
    calls: int
    successes: int
    failures: int
    success_rate: float | None
    success_interval: tuple[float, float] | None
    p50_ms: float | None
    p95_ms: float | None
    last_used_at: datetime | None
    by_agent: dict[str, ToolStats]


class ToolOverview(_Row):
    """
    How the tools of an organization fare.

    Attributes:
        tools: All of them, most used first, ties by name.
        never_used: The names of those that were not called.
        failing: Those that credibly fail too often, worst first.
    """

    tools: list[ToolStats]
    never_used: list[str]
    failing: list[ToolStats]


class Execution(_Row):
    """
    One run of one task; *status* is "running", "completed", "failed", "cancelled" or "abandoned".

    Attributes:
        parent_id: The execution that called it.
        kind: What sort of task it is; None where nobody said.
        settings: What was chosen for it, by name: prompt variant, temperature, …
        error: What went wrong, in words; *error_type* is the exception's class.
        duration_ms: From start to finish, in milliseconds; None while it runs.
        cost: In US dollars; None where the price is unknown.
    """

    id: str
    agent_id: str
    parent_id: str | None
    kind: str | None
    task: Any
    result: Any
    settings: dict[str, Any]
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


class Step(_Row):
    """
    Something that happened in an execution, or a call of a tool outside of one; it is never changed.

    Attributes:
        agent_id: Who did it; of a tool's call, who called.
        kind: "tool": a call of one; "log": a line that the agent wrote; "memory": something was done to memories;
            "attempt": an attempt at the task failed and it is tried again.
        name: The tool, the level of the log, what was done.
        success: Of a call, whether it did what it should.
        duration_ms: What a call took, in milliseconds.
        message: The line of a log, or what went wrong; *error_type* is the exception's class.
        data: More of it, a JSON object: arguments of a call, ids of memories.
        at: When it ended.
    """

    id: str
    agent_id: str
    execution_id: str | None
    kind: Literal["attempt", "log", "memory", "tool"]
    name: str
    success: bool | None
    duration_ms: float | None
    message: str | None
    error_type: str | None
    data: dict[str, Any]
    at: datetime


class ExecutionTree(_Row):
    """
    An execution with all that happened in it.

    Attributes:
        children: The executions that it called, oldest first, each with its own.
        steps: Its trail, oldest first.
    """

    execution: Execution
    children: list[ExecutionTree]
    steps: list[Step]


class ExecutionStats(_Row):
    """
    Figures of executions: of one agent's, or of all agents' together, where *agent_id* and *agent_name* are None.

    Attributes:
        executions: How many there were; *running*, *completed*, *failed*, *cancelled* and *abandoned* of them are so.
        success_rate: The share of the completed among those completed, failed or abandoned, in [0, 1]; None without.
        success_interval: The Wilson interval of that rate at z = 1.96: few executions leave it wide.
        p50_ms: The median duration of those completed or failed, in milliseconds; of 95 in 100 none took longer than
            *p95_ms*, of 99 none longer than *p99_ms*. None without any.
        usage: Their tokens.
        cost: What they cost together, in US dollars, as far as it is known; None where nothing is.
        unpriced: How many of those that ended counted tokens and have no cost, so that *cost* is too low.
    """

    agent_id: str | None
    agent_name: str | None
    executions: int
    running: int
    completed: int
    failed: int
    cancelled: int
    abandoned: int
    success_rate: float | None
    success_interval: tuple[float, float] | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    usage: TokenUsage
    cost: Decimal | None
    unpriced: int


class ExecutionReport(list[ExecutionStats]):
    """
    Figures of each agent that ran something, most executions first.

    Attributes:
        total: The same of all of them together.
    """

    def __init__(self, by_agent: Iterable[ExecutionStats], total: ExecutionStats) -> None:
        super().__init__(by_agent)
        self.total = total


class ModelPrice(_Row):
    """
    What tokens of a language model cost, in US dollars for a million; None where that is unknown.

    Attributes:
        valid_from: Since when, until the next price of the model.
        input: Input tokens that were not read from a cache.
        cached_input: Input tokens read from a cache.
        cache_write: Input tokens written to a cache.
        output: Output tokens, reasoning included.
        is_own: Whether the organization set it; else it is of the list that comes with the client.
    """

    model: str
    valid_from: datetime
    input: Decimal | None
    cached_input: Decimal | None
    cache_write: Decimal | None
    output: Decimal | None
    is_own: bool


class RecordingHealth(_Row):
    """
    How the recording of executions in this process goes.

    Attributes:
        waiting_steps: Steps that are not written yet; they are within a second unless the database cannot be reached.
        lost_steps: Steps that could not be written.
        unwritten_ends: Executions that have ended and could not be recorded as such yet.
        failures: How often the end of an execution could not be recorded when it came.
    """

    waiting_steps: int
    lost_steps: int
    unwritten_ends: int
    failures: int


class MetricSummary(_Row):
    """
    What a metric's points say together.

    Attributes:
        unit: The newest point's; *last* is its value.
        exact: Whether the percentiles are exact; estimates are within 1 %. The other figures are exact always.
    """

    name: str
    unit: str
    count: int
    avg: float
    min: float
    max: float
    p50: float
    p95: float
    p99: float
    exact: bool
    last: float


class Bucket(_Row):
    """
    The points from *start* to the next bucket's start; without any, *count* is 0 and the other figures None.

    Attributes:
        exact: Whether the percentiles are exact; estimates are within 1 %. The other figures are exact always.
    """

    start: datetime
    count: int
    avg: float | None
    min: float | None
    max: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    exact: bool


class MetricSeries(_Row):
    """
    A metric over time.

    Attributes:
        bucket: The width of a bucket.
        exact: Whether the percentiles of all buckets are exact.
        buckets: Oldest first, without a gap.
    """

    name: str
    unit: str
    bucket: str
    exact: bool
    buckets: list[Bucket]


class UndeliveredPoints(_Row):
    """
    Points that a `MetricRecorder` could not record.

    Attributes:
        count: How many.
        reasons: How many by the class of the error, as in {"NotFoundError": 2}.
        last_error: What the last error said; None without any.
    """

    count: int
    reasons: dict[str, int]
    last_error: str | None


class LearningPattern(_Row):
    """
    Something learned, with its evidence.

    Attributes:
        trials: How often it was tried; *successes* of them worked. Where evidence fades: what is left of it, no whole
            numbers.
        confidence: Lower bound of the Wilson interval of the success rate (z = 1.96), in [0, 1]; 0 without trials.
        total_trials: How often it was tried since it was recorded; *total_successes* of them worked.
        prior: The success rate that was expected before the first trial, as good as *prior_weight* trials. It shapes
            what `Patterns.choose` picks, and is no part of the evidence.
        half_life_days: After so many days evidence counts half; None: it does not fade.
        scope: "agent" or "organization".
        status: "active", "quarantined" or "retired".
    """

    id: str
    agent_id: str
    pattern_type: str
    name: str
    content: Any
    trials: int | float
    successes: int | float
    confidence: float
    total_trials: int
    total_successes: int
    prior: float | None
    prior_weight: float
    half_life_days: float | None
    scope: Literal["agent", "organization"]
    status: Literal["active", "quarantined", "retired"]
    created_at: datetime
    updated_at: datetime


class PatternChange(_Row):
    """
    Something that was done to a pattern; it is never changed.

    Attributes:
        change: "promoted", "quarantined", "retired" or "reverted".
        reason: Why, in the words of who did it.
        reverts_id: The change that this one undid.
        trials: The evidence at that moment: *successes* of so many trials, and the *confidence* that they gave.
    """

    id: str
    pattern_id: str
    pattern_name: str
    change: Literal["promoted", "quarantined", "retired", "reverted"]
    reason: str
    reverts_id: str | None
    old_scope: Literal["agent", "organization"]
    new_scope: Literal["agent", "organization"]
    old_status: Literal["active", "quarantined", "retired"]
    new_status: Literal["active", "quarantined", "retired"]
    trials: float
    successes: float
    confidence: float
    at: datetime


class Choice(_Row):
    """
    The variant that was picked.

    Attributes:
        settled: Whether the stop rule is met: the evidence says which variant is the best, and that one was picked.
        probability_best: By the id of each variant, how likely it is to be the best, by its trials alone.
    """

    pattern: LearningPattern
    settled: bool
    probability_best: dict[str, float]

    @property
    def id(self) -> str:
        """The id of the pattern: what `Patterns.outcome` takes."""
        return self.pattern.id

    @property
    def name(self) -> str:
        """The name of the pattern; may be empty."""
        return self.pattern.name

    @property
    def content(self) -> Any:
        """What to use."""
        return self.pattern.content


class Finding(_Row):
    """
    A factor that makes a difference: executions with it are compared with those of the same agent and kind without it.

    Attributes:
        agent_id: Whose executions.
        kind: Of what kind of task; None: those whose kind nobody said.
        factor: "tool": the tool *name* was called; "model": the model was *value*, others had another one; "setting":
            the setting *name* was *value*, others had another one.
        name: Of the tool or the setting; "model" for a model.
        value: Of the setting or the model; None for a tool.
        measure: "success", "time" or "cost".
        trials: Executions with the factor; *successes* of them were completed.
        other_trials: Executions without it; *other_successes* of them were completed.
        typical: The success rate of executions with the factor; of time and cost their median, in milliseconds or
            US dollars, over the *counted* executions that have it.
        other_typical: The same of executions without it, over *other_counted*.
        effect: The difference of the success rates. Of time and cost the probability that an execution with the factor
            has more than one without it, equal ones half: 0.5 is no difference.
        interval: Of *effect*, 95 %.
        p_value: How likely a difference like this is where there is none.
        adjusted_p_value: The same, adjusted for everything that was compared (Benjamini and Hochberg).
        is_better: Whether executions with the factor succeed more often, take less time or cost less.
        pattern_id: The pattern it was recorded in; None when it was only looked for.
    """

    agent_id: str
    kind: str | None
    factor: Literal["tool", "model", "setting"]
    name: str
    value: Any
    measure: Literal["success", "time", "cost"]
    trials: int
    successes: int
    other_trials: int
    other_successes: int
    counted: int
    other_counted: int
    typical: float
    other_typical: float
    effect: float
    interval: tuple[float, float]
    p_value: float
    adjusted_p_value: float
    is_better: bool
    pattern_id: str | None


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
    recording: RecordingHealth


class AgentHealth(_Row):
    """
    How an agent is.

    Attributes:
        status: That of the database.
        database: How the database and the way to it are.
        executions: What became of its recent tasks.
    """

    agent_id: str
    status: Literal["ok", "degraded"]
    database: HealthReport
    executions: ExecutionStats
