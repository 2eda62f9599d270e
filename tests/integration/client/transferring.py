"""What tests of exports share: the rows as they lie in the table, and lines that were changed and sealed anew."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from agentdb import Agent, AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.client.memory.lines import LineWriter
from agentdb.postgres.url import parse_url

Row = dict[str, Any]
Values = dict[str, Any]


@asynccontextmanager
async def administering(admin_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection past the client, as the owner of the tables."""
    connection = await asyncpg.connect(**parse_url(admin_url).connect_arguments())
    try:
        yield connection
    finally:
        await connection.close()


async def rows_of(admin_url: str, organization_id: str) -> list[Row]:
    """Return the memories of an organization, every column but the organization's and the full text's."""
    async with administering(admin_url) as connection:
        records = await connection.fetch(
            """
            SELECT to_jsonb(m) - 'organization_id' - 'content_tsv' AS row, m.embedding::text AS embedding
            FROM agent_memories AS m WHERE organization_id = $1 ORDER BY id
            """,
            organization_id,
        )
    return [{**json.loads(record["row"]), "embedding": record["embedding"]} for record in records]


async def versions_of(admin_url: str, organization_id: str) -> list[tuple[str, str]]:
    """Return which transaction wrote each row: equal before and after means that nothing was written."""
    async with administering(admin_url) as connection:
        records = await connection.fetch(
            "SELECT id::text, xmin::text FROM agent_memories WHERE organization_id = $1 ORDER BY id", organization_id
        )
    return [tuple(record) for record in records]


async def exported(client: PrismaAgentClient, agent_id: str | None = None) -> list[str]:
    """Return all lines of an export."""
    return [line async for line in client.memories.export_lines(agent_id)]


async def store(client: PrismaAgentClient, agent: Agent, content: str, **fields: Any) -> str:
    """Store one memory and return its id."""
    return await client.memories.store(MemoryEntry(agent_id=agent.id, content=content, **fields))


async def register(client: PrismaAgentClient, name: str, **fields: Any) -> Agent:
    """Register an agent of this name, which is its id too."""
    return await client.agents.register(AgentConfig(**{"name": name, "id": name, "category": "SUPPORT", **fields}))


def opened(lines: Sequence[str]) -> list[Values]:
    """Return what the lines hold, without their checksums and without the last line."""
    return [{name: value for name, value in json.loads(line).items() if name != "sha256"} for line in lines[:-1]]


def sealed(documents: Sequence[Values]) -> list[str]:
    """Return documents as lines with checksums that fit."""
    writer = LineWriter()
    return [*(writer.line(values, "line") for values in documents), writer.trailer()]


def resealed(lines: Sequence[str], change: Callable[[list[Values]], object]) -> list[str]:
    """Return lines after *change* was made to what they hold."""
    documents = opened(lines)
    change(documents)
    return sealed(documents)
