"""Tools: as they are offered, and how they fared."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from agentdb.models.base import Input, Row
from agentdb.validation import Description, JsonObject, Name

__all__ = [
    "Tool",
    "ToolDefinition",
    "ToolOverview",
    "ToolStats",
    "ToolVersion",
]


class ToolDefinition(Input):
    """A tool as an agent offers it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    name: Name
    """1 to 255 characters, unique in the organization."""
    description: Description = ""
    """What it does, at most 100,000 characters."""
    parameters: JsonObject = Field(default_factory=dict, repr=False)
    """The JSON schema of its arguments."""


class Tool(Row, frozen=True):
    """A tool of the organization's catalogue; *status* is "active" or "deprecated"."""

    id: str
    name: str
    version: int
    """Rises by one when *parameters* change."""
    description: str
    parameters: dict[str, Any] = Field(repr=False)
    """The JSON schema of its arguments."""
    status: Literal["active", "deprecated"]
    owner_agent_id: str | None
    """The agent that offers it, if one does."""
    calls: int
    """How often it was called."""
    successes: int
    """How many calls succeeded."""
    total_duration_ms: float
    """What all calls took together, in milliseconds."""
    last_used_at: datetime | None
    """When the latest call ended; None: never."""
    created_at: datetime
    updated_at: datetime


class ToolVersion(Row, frozen=True):
    """What a tool was at a version: *parameters* is the JSON schema of its arguments, *created_at* when it began."""

    name: str
    version: int
    """Rises by one when *parameters* change."""
    description: str
    parameters: dict[str, Any] = Field(repr=False)
    created_at: datetime


class ToolStats(Row, frozen=True):
    """How a tool fared; without calls, numbers are 0 and what is made of calls is None."""

    name: str
    calls: int
    """How often it was called."""
    successes: int
    """How many calls succeeded."""
    failures: int
    """How many calls failed."""
    success_rate: float | None
    """The share of calls that succeeded, in [0, 1]."""
    success_interval: tuple[float, float] | None
    """The Wilson interval of that rate at z = 1.96: few calls leave it wide."""
    p50_ms: float | None
    """The median duration of the recorded calls, in milliseconds; of 95 in 100 none took longer than *p95_ms*."""
    p95_ms: float | None
    """Of 95 in 100 calls none took longer, in milliseconds."""
    last_used_at: datetime | None
    """When the latest call ended."""
    by_agent: dict[str, ToolStats]
    """The same for the calls of each agent, by its id; empty in these."""


class ToolOverview(Row, frozen=True):
    """How the tools of an organization fare."""

    tools: list[ToolStats]
    """All of them, most used first, ties by name."""
    never_used: list[str]
    """The names of those that were not called."""
    failing: list[ToolStats]
    """Those that credibly fail too often, worst first."""
