"""Health: of the database, of the recording, of an agent."""

from __future__ import annotations

from typing import Literal

from agentdb.models.access import AccessLogHealth
from agentdb.models.base import Row
from agentdb.models.executions import ExecutionStats

__all__ = [
    "AgentHealth",
    "HealthReport",
    "PoolHealth",
    "RecordingHealth",
]


class PoolHealth(Row, frozen=True):
    """A pool's connections: *size* at most, *idle* and *in_use* now, and the callers *waiting* for one."""

    size: int
    """The most connections it may have."""
    idle: int
    """Connections that are open and free."""
    in_use: int
    """Connections that are leased."""
    waiting: int
    """Callers that wait for one."""


class RecordingHealth(Row, frozen=True):
    """How the recording of executions in this process goes."""

    waiting_steps: int
    """Steps that are not written yet; they are within a second unless the database cannot be reached."""
    lost_steps: int
    """Steps that could not be written."""
    unwritten_ends: int
    """Executions that have ended and could not be recorded as such yet."""
    failures: int
    """How often the end of an execution could not be recorded when it came."""


class HealthReport(Row, frozen=True):
    """How the database and the way to it are."""

    status: Literal["ok", "degraded"]
    """Either "ok", or "degraded" when row-level security does not keep organizations apart."""
    server_version: str
    """PostgreSQL's, for example "18.6"."""
    schema_version: str
    """The newest of agentdb's migrations that was applied."""
    organization_id: str
    role: str
    tenancy: Literal["row-level-security", "application-only"]
    """
    "row-level-security", or "application-only": the role is superuser, owner or BYPASSRLS, or a table is unguarded.
    """
    unguarded_tables: list[str]
    """Tables whose row-level security is off, or whose policies are not those of the migrations."""
    tls: bool
    """Whether the connections of this process are encrypted; through a pooler, as far as the pooler."""
    tls_version: str | None
    """Of the protocol, for example "TLSv1.3"; None without TLS."""
    tls_cipher: str | None
    """For example "TLS_AES_256_GCM_SHA384"; None without TLS."""
    encryption_key: str | None
    """The id of the key that encrypts what is sensitive; None: there is none, it is plain text."""
    latency_ms: float
    """One round trip, in milliseconds."""
    pool: PoolHealth
    recording: RecordingHealth
    access_log: AccessLogHealth


class AgentHealth(Row, frozen=True):
    """How an agent is."""

    agent_id: str
    status: Literal["ok", "degraded"]
    """That of the database."""
    database: HealthReport
    """How the database and the way to it are."""
    executions: ExecutionStats
    """What became of its recent tasks."""
