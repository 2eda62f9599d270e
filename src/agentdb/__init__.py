"""PostgreSQL for AI agents: memory, tools, executions, metrics and learning, through a typed Prisma client."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from agentdb.agent.base import EnhancedAgentBase
    from agentdb.agent.tools import tool
    from agentdb.client.access.operations import acting_as
    from agentdb.client.archive.transfer import Restored
    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.erasure.scope import Erased
    from agentdb.client.execution.reports import ClearedExecutions
    from agentdb.client.memories import Imported, Reembedded, Swept
    from agentdb.client.memory.embedder import Embedder
    from agentdb.client.memory.retrieval import SearchWeights
    from agentdb.client.metrics import MetricRecorder, Retained, RolledUp
    from agentdb.client.sharing import get_agent_client
    from agentdb.config import Settings
    from agentdb.errors import (
        AgentDBError,
        CommitUnknownError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        DatabaseError,
        DimensionMismatchError,
        EmbeddingError,
        EncryptionError,
        ForeignOrganizationError,
        InsufficientEvidenceError,
        InvalidArgumentError,
        InvalidInputError,
        MigrationError,
        NotConnectedError,
        NotFoundError,
        PoolTimeoutError,
        QueryTimeoutError,
        TaskTimeoutError,
        TransactionClosedError,
        TransactionConflictError,
    )
    from agentdb.models import (
        AccessEntry,
        AccessLogHealth,
        Agent,
        AgentCategory,
        AgentConfig,
        AgentHealth,
        Audit,
        Bucket,
        Choice,
        Execution,
        ExecutionReport,
        ExecutionStats,
        ExecutionTree,
        Finding,
        HealthReport,
        LearningPattern,
        Memory,
        MemoryEntry,
        MemoryHit,
        MetricPoint,
        MetricSeries,
        MetricSummary,
        ModelPrice,
        PatternChange,
        PoolHealth,
        RecordingHealth,
        RetryPolicy,
        SearchResult,
        Step,
        TokenUsage,
        Tool,
        ToolDefinition,
        ToolOverview,
        ToolStats,
        ToolVersion,
        UndeliveredPoints,
    )

__all__ = [
    "AccessEntry",
    "AccessLogHealth",
    "Agent",
    "AgentCategory",
    "AgentConfig",
    "AgentDBError",
    "AgentHealth",
    "Audit",
    "Bucket",
    "Choice",
    "ClearedExecutions",
    "CommitUnknownError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DatabaseError",
    "DimensionMismatchError",
    "Embedder",
    "EmbeddingError",
    "EncryptionError",
    "EnhancedAgentBase",
    "Erased",
    "Execution",
    "ExecutionReport",
    "ExecutionStats",
    "ExecutionTree",
    "Finding",
    "ForeignOrganizationError",
    "HealthReport",
    "Imported",
    "InsufficientEvidenceError",
    "InvalidArgumentError",
    "InvalidInputError",
    "LearningPattern",
    "Memory",
    "MemoryEntry",
    "MemoryHit",
    "MetricPoint",
    "MetricRecorder",
    "MetricSeries",
    "MetricSummary",
    "MigrationError",
    "ModelPrice",
    "NotConnectedError",
    "NotFoundError",
    "PatternChange",
    "PoolHealth",
    "PoolTimeoutError",
    "PrismaAgentClient",
    "QueryTimeoutError",
    "RecordingHealth",
    "Reembedded",
    "Restored",
    "Retained",
    "RetryPolicy",
    "RolledUp",
    "SearchResult",
    "SearchWeights",
    "Settings",
    "Step",
    "Swept",
    "TaskTimeoutError",
    "TokenUsage",
    "Tool",
    "ToolDefinition",
    "ToolOverview",
    "ToolStats",
    "ToolVersion",
    "TransactionClosedError",
    "TransactionConflictError",
    "UndeliveredPoints",
    "acting_as",
    "get_agent_client",
    "tool",
]

# Where they are, in the order of the imports above.
_HOMES: typing.Final = (
    "agentdb.agent.base",
    "agentdb.agent.tools",
    "agentdb.client.access.operations",
    "agentdb.client.archive.transfer",
    "agentdb.client.client",
    "agentdb.client.erasure.scope",
    "agentdb.client.execution.reports",
    "agentdb.client.memories",
    "agentdb.client.memory.embedder",
    "agentdb.client.memory.retrieval",
    "agentdb.client.metrics",
    "agentdb.client.sharing",
    "agentdb.config",
    "agentdb.errors",
    "agentdb.models",
)


if not typing.TYPE_CHECKING:  # a type checker would take any name for one of these

    def __getattr__(name: str) -> object:
        """Import all public names when the first of them is asked for: `agentdb --help` asks for none."""
        if not name.startswith("__"):
            for home in map(importlib.import_module, _HOMES):
                globals().update((each, getattr(home, each)) for each in home.__all__ if each in __all__)
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
