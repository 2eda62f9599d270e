"""Executions: their tokens, their trail, what they say together, what they cost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from agentdb.models.base import Input, Row
from agentdb.validation import Count

__all__ = [
    "Execution",
    "ExecutionReport",
    "ExecutionStats",
    "ExecutionTree",
    "ModelPrice",
    "Step",
    "TokenUsage",
]


class TokenUsage(Input):
    """Tokens in disjoint classes, except that *reasoning* is a part of *output*."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    input: Count = 0
    """Input tokens that were not read from a cache."""
    cached_input: Count = 0
    """Input tokens read from a cache."""
    cache_write: Count = 0
    """Input tokens written to a cache."""
    output: Count = 0
    """Output tokens, reasoning included."""
    reasoning: Count = 0
    """The output tokens spent on reasoning, at most *output*."""

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


class Execution(Row, frozen=True):
    """
    One run of one task; *status* is "running", "completed", "failed", "cancelled" or "abandoned". Its repr leaves out
    what it worked on.
    """

    id: str
    """A UUID."""
    agent_id: str
    parent_id: str | None
    """The execution that called it."""
    kind: str | None
    """What sort of task it is; None where nobody said."""
    task: Any = Field(repr=False)
    """What it was to do, as JSON."""
    result: Any = Field(repr=False)
    """What came of it, as JSON; None until it is completed."""
    settings: dict[str, Any]
    """What was chosen for it, by name: prompt variant, temperature, …"""
    status: Literal["running", "completed", "failed", "cancelled", "abandoned"]
    """How it is; "abandoned" means that its process fell silent."""
    error: str | None = Field(repr=False)
    """What went wrong, in words; *error_type* is the exception's class."""
    error_type: str | None
    traceback: str | None = Field(repr=False)
    started_at: datetime
    finished_at: datetime | None
    """None while it runs."""
    usage: TokenUsage
    """Its tokens."""
    model: str | None
    """The language model that it used; None where nobody said."""
    cost: Decimal | None
    """In US dollars; None where the price is unknown."""

    @property
    def duration_ms(self) -> float | None:
        """From start to finish, in milliseconds; None while it runs."""
        return None if self.finished_at is None else (self.finished_at - self.started_at) / timedelta(milliseconds=1)


class Step(Row, frozen=True):
    """
    Something that happened in an execution, or a call of a tool outside of one; it is never changed. Its repr leaves
    out *message* and *data*.
    """

    id: str
    agent_id: str
    """Who did it; of a tool's call, who called."""
    execution_id: str | None
    """In what it happened; None: a call of a tool outside of an execution."""
    kind: Literal["attempt", "log", "memory", "tool"]
    """
    "tool": a call of one; "log": a line that the agent wrote; "memory": something was done to memories; "attempt": an
    attempt at the task failed and it is tried again.
    """
    name: str
    """The tool, the level of the log, what was done."""
    success: bool | None
    """Of a call, whether it did what it should."""
    duration_ms: float | None
    """What a call took, in milliseconds."""
    message: str | None = Field(repr=False)
    """The line of a log, or what went wrong; *error_type* is the exception's class."""
    error_type: str | None
    """The exception's class, where something went wrong."""
    data: dict[str, Any] = Field(repr=False)
    """More of it, a JSON object: arguments of a call, ids of memories."""
    at: datetime
    """When it ended."""


class ExecutionTree(Row, frozen=True):
    """An execution with all that happened in it."""

    execution: Execution
    children: list[ExecutionTree]
    """The executions that it called, oldest first, each with its own."""
    steps: list[Step]
    """Its trail, oldest first."""


class ExecutionStats(Row, frozen=True):
    """Figures of executions: of one agent's, or of all agents' together, where *agent_id* and *agent_name* are None."""

    agent_id: str | None
    agent_name: str | None
    executions: int
    """How many there were; *running*, *completed*, *failed*, *cancelled* and *abandoned* of them are so."""
    running: int
    """Those that run now."""
    completed: int
    """Those that ended well."""
    failed: int
    """Those that raised."""
    cancelled: int
    """Those that were cancelled."""
    abandoned: int
    """Those whose process fell silent."""
    success_rate: float | None
    """The share of the completed among those completed, failed or abandoned, in [0, 1]; None without."""
    success_interval: tuple[float, float] | None
    """The Wilson interval of that rate at z = 1.96: few executions leave it wide."""
    p50_ms: float | None
    """
    The median duration of those completed or failed, in milliseconds; of 95 in 100 none took longer than *p95_ms*, of
    99 none longer than *p99_ms*. None without any.
    """
    p95_ms: float | None
    """Of 95 in 100 none took longer, in milliseconds; None without any."""
    p99_ms: float | None
    """Of 99 in 100 none took longer, in milliseconds; None without any."""
    usage: TokenUsage
    """Their tokens."""
    cost: Decimal | None
    """What they cost together, in US dollars, as far as it is known; None where nothing is."""
    unpriced: int
    """How many of those that ended counted tokens and have no cost, so that *cost* is too low."""


class ExecutionReport(list[ExecutionStats]):
    """Figures of each agent that ran something, most executions first."""

    total: ExecutionStats
    """The same of all of them together."""

    def __init__(self, by_agent: Iterable[ExecutionStats], total: ExecutionStats) -> None:
        super().__init__(by_agent)
        self.total = total


class ModelPrice(Row, frozen=True):
    """What tokens of a language model cost, in US dollars for a million; None where that is unknown."""

    model: str
    valid_from: datetime
    """Since when, until the next price of the model."""
    input: Decimal | None
    """Input tokens that were not read from a cache."""
    cached_input: Decimal | None
    """Input tokens read from a cache."""
    cache_write: Decimal | None
    """Input tokens written to a cache."""
    output: Decimal | None
    """Output tokens, reasoning included."""
    is_own: bool
    """Whether the organization set it; else it is of the list that comes with the client."""
