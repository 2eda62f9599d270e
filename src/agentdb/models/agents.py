"""Agents: how they register, and as they are registered."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, FiniteFloat

from agentdb.models.base import Input, Row
from agentdb.validation import Description, JsonObject, Name, ShortName, checked_as

__all__ = [
    "Agent",
    "AgentCategory",
    "AgentConfig",
    "CategoryName",
    "RetryPolicy",
]


CategoryName: TypeAlias = Literal["STRATEGIC", "OPERATIONAL", "SUPPORT", "strategic", "operational", "support"]


class AgentCategory(StrEnum):
    """What an agent is for; lower case is accepted."""

    STRATEGIC = "STRATEGIC"
    OPERATIONAL = "OPERATIONAL"
    SUPPORT = "SUPPORT"

    @classmethod
    def _missing_(cls, value: object) -> AgentCategory | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class RetryPolicy(Input):
    """
    How often a task is tried, and how long it is waited between: longer each time, by chance up to half of it less, so
    that agents that failed together do not come back together.
    """

    attempts: Annotated[int, Field(ge=1, le=100)] = 1
    """How often in all, 1 to 100."""
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.5
    """Before the second attempt, 0 to 3600."""
    factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    """How many times longer it is waited each time, 1 to 10."""
    max_delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """The longest wait, 0 to 3600."""
    retry_on: tuple[type[Exception], ...] = (Exception,)
    """Exceptions that another attempt may cure; a cancellation never is."""

    def delay_after(self, attempt: int) -> float:
        """Return the longest wait after that many attempts, in seconds."""
        try:
            return min(self.delay_seconds * self.factor ** (attempt - 1), self.max_delay_seconds)
        except OverflowError:
            return self.max_delay_seconds


class AgentConfig(Input):
    """How an agent registers, and how it runs its tasks."""

    name: Name
    """Names the agent in its organization, 1 to 255 characters."""
    category: Annotated[AgentCategory | CategoryName, checked_as(AgentCategory)]
    """STRATEGIC, OPERATIONAL or SUPPORT; it becomes an `AgentCategory`."""
    version: ShortName = "1.0.0"
    """The agent's own version, 1 to 100 characters."""
    description: Description = ""
    """At most 100,000 characters."""
    capabilities: list[Name] = Field(default_factory=list)
    """What it can do, each 1 to 255 characters."""
    data_sources: list[Name] = Field(default_factory=list)
    """What it reads, each 1 to 255 characters."""
    id: Name | None = None
    """1 to 255 characters; None: a new UUID, or the id that an agent of this name already has."""
    metadata: JsonObject = Field(default_factory=dict)
    """A JSON object."""
    max_memories: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """
    The most living memories that `Memories.sweep` leaves it: the least valuable go, never pinned ones. None: no limit.
    """
    # How it runs is this process's affair and not registered.
    task_timeout_seconds: Annotated[FiniteFloat, Field(gt=0)] | None = Field(default=None, exclude=True)
    """
    The longest that one attempt at a task may take; None: as long as it takes. It is not registered, nor is *retry*:
    how often a task is tried.
    """
    retry: RetryPolicy = Field(default=RetryPolicy(), exclude=True)
    """How often a task is tried, and how long it is waited between."""


class Agent(Row, frozen=True):
    """An agent as it is registered; *status* is "active" or "inactive"."""

    id: str
    """Stays the same for good; what the other calls take as *agent_id*."""
    organization_id: str
    name: str
    version: str
    category: AgentCategory
    description: str
    capabilities: list[str]
    data_sources: list[str]
    metadata: dict[str, Any]
    max_memories: int | None
    """The most living memories that a sweep leaves it; None: no limit."""
    status: Literal["active", "inactive"]
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None
    """When a process of it was heard of last; None: never."""
