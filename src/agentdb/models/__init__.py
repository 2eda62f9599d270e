"""
The models that go in and come out.

What a caller builds (`AgentConfig`, `MemoryEntry`, `MetricPoint`, `TokenUsage`) is checked when it is built and raises
pydantic's `ValidationError`. What comes back from the database is frozen and built by `from_row` without being checked
again: a row that the database holds has passed its checks.
"""

from agentdb.models.access import AccessEntry, AccessLogHealth, Audit
from agentdb.models.agents import Agent, AgentCategory, AgentConfig, RetryPolicy
from agentdb.models.base import from_row as from_row
from agentdb.models.executions import (
    Execution,
    ExecutionReport,
    ExecutionStats,
    ExecutionTree,
    ModelPrice,
    Step,
    TokenUsage,
)
from agentdb.models.health import AgentHealth, HealthReport, PoolHealth, RecordingHealth
from agentdb.models.memories import Memory, MemoryEntry, MemoryHit, SearchResult
from agentdb.models.metrics import Bucket, MetricPoint, MetricSeries, MetricSummary, UndeliveredPoints
from agentdb.models.patterns import Choice, Finding, LearningPattern, PatternChange
from agentdb.models.tools import Tool, ToolDefinition, ToolOverview, ToolStats, ToolVersion

__all__ = [
    "AccessEntry",
    "AccessLogHealth",
    "Agent",
    "AgentCategory",
    "AgentConfig",
    "AgentHealth",
    "Audit",
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
