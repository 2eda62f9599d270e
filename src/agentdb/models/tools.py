"""Tools: as they are offered, and how they fared."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

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
    parameters: JsonObject = Field(default_factory=dict, repr=False)


class Tool(Row):
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
    parameters: dict[str, Any] = Field(repr=False)
    status: Literal["active", "deprecated"]
    owner_agent_id: str | None
    calls: int
    successes: int
    total_duration_ms: float
    last_used_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ToolVersion(Row):
    """What a tool was at a version: *parameters* is the JSON schema of its arguments, *created_at* when it began."""

    name: str
    version: int
    description: str
    parameters: dict[str, Any] = Field(repr=False)
    created_at: datetime


class ToolStats(Row):
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


class ToolOverview(Row):
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
