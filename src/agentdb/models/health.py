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


class PoolHealth(Row):
    """A pool's connections: *size* at most, *idle* and *in_use* now, and the callers *waiting* for one."""

    size: int
    idle: int
    in_use: int
    waiting: int


class RecordingHealth(Row):
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


class HealthReport(Row):
    """
    How the database and the way to it are.

    Attributes:
        status: "ok", or "degraded" when row-level security does not keep organizations apart.
        server_version: PostgreSQL's, for example "18.6".
        schema_version: The newest of agentdb's migrations that was applied.
        tenancy: "row-level-security", or "application-only": the role is superuser, owner or BYPASSRLS, or a table is
            unguarded.
        unguarded_tables: Tables whose row-level security is off, or whose policies are not those of the migrations.
        tls: Whether the connections of this process are encrypted; through a pooler, as far as the pooler.
        tls_version: Of the protocol, for example "TLSv1.3"; None without TLS.
        tls_cipher: For example "TLS_AES_256_GCM_SHA384"; None without TLS.
        encryption_key: The id of the key that encrypts what is sensitive; None: there is none, it is plain text.
        latency_ms: One round trip, in milliseconds.
    """

    status: Literal["ok", "degraded"]
    server_version: str
    schema_version: str
    organization_id: str
    role: str
    tenancy: Literal["row-level-security", "application-only"]
    unguarded_tables: list[str]
    tls: bool
    tls_version: str | None
    tls_cipher: str | None
    encryption_key: str | None
    latency_ms: float
    pool: PoolHealth
    recording: RecordingHealth
    access_log: AccessLogHealth


class AgentHealth(Row):
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
