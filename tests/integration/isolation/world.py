"""An organization with a row in every table, and how to tell whether any of it was changed or seen."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient, Settings, TokenUsage, ToolDefinition
from agentdb.client.database import TABLES

__all__ = [
    "MARK",
    "OWN",
    "Connection",
    "Names",
    "fingerprint",
    "ghosts",
    "masked",
    "outcome_of",
    "populate",
    "settings_for",
]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MARK = "zanzibar"
"""Stands in every text of a populated organization, so that what lets any of it through is found out."""

OWN = "own-agent"
"""The agent of whoever looks."""

_LONG_AGO = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)


@dataclass(frozen=True)
class Names:
    """By what the rows of an organization are asked for: ids, names, keys."""

    agent: str
    agent_name: str
    memory: str
    shared: str
    secret: str
    old: str
    tool: str
    execution: str
    child: str
    pattern: str
    pattern_name: str
    pattern_type: str
    metric: str
    model: str
    label: str
    key: str
    subject: str


def ghosts() -> Names:
    """Return names that nothing was ever called."""
    ids = {"memory", "shared", "secret", "old", "execution", "child", "pattern"}
    return Names(
        **{
            field.name: str(uuid.uuid4()) if field.name in ids else f"{field.name}-{uuid.uuid4().hex[:8]}"
            for field in fields(Names)
        }
    )


def settings_for(url: str) -> Settings:
    """Return settings with everything on that keeps more than the plain rows."""
    return Settings(
        organization_id="nobody",
        database_url=url,
        encryption_keys={"k1": bytes(range(32))},
        embed_sensitive=True,
        access_log=True,
    )


async def populate(client: PrismaAgentClient) -> Names:
    """Give *client*'s organization a row in every table, with `MARK` in its texts; return what they are called."""
    names = ghosts()
    agent = names.agent
    await client.agents.register(
        AgentConfig(
            id=agent,
            name=names.agent_name,
            category="SUPPORT",
            description=MARK,
            capabilities=[MARK],
            metadata={"k": MARK},
        )
    )
    memories = client.memories
    entry = {"agent_id": agent, "embedding": [1.0, 0.0, 0.0], "metadata": {names.label: MARK, "subject": names.subject}}
    await memories.store(MemoryEntry(id=names.memory, content=f"{MARK} plain", importance=0.9, **entry))
    await memories.store(
        MemoryEntry(id=names.shared, content=f"{MARK} shared", visibility="organization", memory_type=MARK, **entry)
    )
    await memories.store(MemoryEntry(id=names.secret, content=f"{MARK} secret", sensitive=True, **entry))
    await memories.store(MemoryEntry(id=names.old, content=f"{MARK} old", **entry))
    await memories.store(MemoryEntry(content=f"{MARK} keyed", idempotency_key=names.key, **entry))
    await memories.supersede(names.old, MemoryEntry(content=f"{MARK} new", **entry))

    await client.tools.register_all(agent, [ToolDefinition(name=names.tool, description=MARK, parameters={MARK: {}})])
    await client.tools.register(names.tool, f"{MARK} again", {MARK: {"type": "string"}}, owner_agent_id=agent)
    execution = await client.executions.start(agent, {MARK: 1}, model=names.model, settings={names.label: MARK})
    child = await client.executions.start(agent, MARK, parent_id=execution.id, kind=MARK)
    await client.executions.log(child.id, MARK, data={MARK: 1})
    await client.tools.record_call(
        names.tool, agent, success=False, duration_ms=1.0, error=MARK, execution_id=child.id, arguments={MARK: 1}
    )
    await client.executions.fail(child.id, MARK)
    await client.executions.finish(execution.id, {MARK: 2}, usage=TokenUsage(input=7, output=7))

    metrics = client.metrics
    await metrics.record(agent, names.metric, 1234.5, MARK, labels={names.label: MARK}, recorded_at=_LONG_AGO)
    await metrics.roll_up()
    await metrics.record(agent, names.metric, 4321.5, MARK, recorded_at=_LONG_AGO, idempotency_key=names.key)
    await metrics.record(agent, names.metric, 5432.5, MARK)

    patterns = client.patterns
    pattern = await patterns.record(
        agent, names.pattern_type, {MARK: 1}, name=names.pattern_name, scope="organization", idempotency_key=names.key
    )
    await patterns.outcome(pattern.id, True, execution_id=execution.id, idempotency_key=names.key)
    await patterns.quarantine(pattern.id, MARK)
    await patterns.revert(pattern.id, MARK)
    await client.prices.set(names.model, input=7, output=7, valid_from=_LONG_AGO)
    return Names(
        **{field.name: getattr(names, field.name) for field in fields(Names)}
        | {"execution": execution.id, "child": child.id, "pattern": pattern.id}
    )


async def fingerprint(connection: Connection, organization: str, tables: Iterable[str] = TABLES) -> dict[str, str]:
    """Return, for each table, how many rows *organization* has and a checksum of all of them; past every wall."""
    parts = " UNION ALL ".join(
        f"SELECT '{table}', count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') "
        f"FROM {table} AS t WHERE organization_id = $1"
        for table in tables
    )
    return {row[0]: row[1] for row in await connection.fetch(parts, organization)}


_MOMENT = re.compile(r"datetime\.datetime\((?:[^()]|\([^()]*\))*\)|\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.+Z]*")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASH = re.compile(r"\b[0-9a-f]{40,}\b")
_BASE64 = re.compile(r"Base64\(b'[^']*'\)")
_COUNTED = re.compile(r"transactionId=\d+")
_DURATION = re.compile(r"(\w+_ms|\w+_seconds)([=:] ?)[\d.e-]+|'(\w+_ms|\w+_seconds)': [\d.e-]+")

_MASKS = {_MOMENT: "<moment>", _UUID: "<uuid>", _HASH: "<hash>", _BASE64: "<base64>", _COUNTED: "<n>", _DURATION: "<t>"}


def masked(value: object, names: Names, organization: str) -> str:
    """Return *value* as text in which what differs between any two runs is masked."""
    text = repr(value).replace(organization, "<organization>")
    for field in fields(Names):
        text = text.replace(getattr(names, field.name), f"<{field.name}>")
    for pattern, mask in _MASKS.items():
        text = pattern.sub(mask, text)
    return text


def outcome_of(error: BaseException) -> tuple[str, Any]:
    """Return what a caller can tell of *error*: its class, its text, and the attributes that our errors carry."""
    shown = {key: value for key, value in vars(error).items() if not key.startswith("_")}
    return type(error).__name__, (str(error), shown)
