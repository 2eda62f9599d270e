"""Executions: their tokens, their trail, what they say together, what they cost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Self

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


class Execution(Row):
    """
    One run of one task; *status* is "running", "completed", "failed", "cancelled" or "abandoned". Its repr leaves out
    what it worked on.

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
    task: Any = Field(repr=False)
    result: Any = Field(repr=False)
    settings: dict[str, Any]
    status: Literal["running", "completed", "failed", "cancelled", "abandoned"]
    error: str | None = Field(repr=False)
    error_type: str | None
    traceback: str | None = Field(repr=False)
    started_at: datetime
    finished_at: datetime | None
    usage: TokenUsage
    model: str | None
    cost: Decimal | None

    @property
    def duration_ms(self) -> float | None:
        """From start to finish, in milliseconds; None while it runs."""
        return None if self.finished_at is None else (self.finished_at - self.started_at) / timedelta(milliseconds=1)


class Step(Row):
    """
    Something that happened in an execution, or a call of a tool outside of one; it is never changed. Its repr leaves
    out *message* and *data*.

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
    message: str | None = Field(repr=False)
    error_type: str | None
    data: dict[str, Any] = Field(repr=False)
    at: datetime


class ExecutionTree(Row):
    """
    An execution with all that happened in it.

    Attributes:
        children: The executions that it called, oldest first, each with its own.
        steps: Its trail, oldest first.
    """

    execution: Execution
    children: list[ExecutionTree]
    steps: list[Step]


class ExecutionStats(Row):
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


class ModelPrice(Row):
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
