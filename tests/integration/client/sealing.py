"""What tests of sensitive memories share: keys, clients with some of them, and rows as they lie in the table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agentdb import Agent, MemoryEntry, PrismaAgentClient, Settings
from tests.integration.client.encrypting import KEYS
from tests.integration.client.transferring import administering

SECRET = "canary-4711"


def settings(url: str, *keys: str, organization: str = "acme", **more: Any) -> Settings:
    """Return settings with some of the keys, the newest first."""
    ring = {key: KEYS[key] for key in keys}
    return Settings(organization_id=organization, database_url=url, encryption_keys=ring, embed_attempts=1, **more)


@asynccontextmanager
async def keyed(
    url: str, *keys: str, embedder: Any = None, organization: str = "acme", **more: Any
) -> AsyncIterator[PrismaAgentClient]:
    """Open a client with some of the keys, the newest first."""
    made = settings(url, *keys, organization=organization, **more)
    async with PrismaAgentClient(settings=made, embedder=embedder) as client:
        yield client


def entry(agent: Agent, content: str = SECRET, **fields: Any) -> MemoryEntry:
    """Return a sensitive memory."""
    return MemoryEntry(**{"agent_id": agent.id, "content": content, "sensitive": True, **fields})


async def texts_of(admin_url: str) -> list[str]:
    """Return every memory of every organization as one text of all its columns."""
    async with administering(admin_url) as connection:
        return [row["text"] for row in await connection.fetch("SELECT m::text AS text FROM agent_memories AS m")]


async def sealed_ids(admin_url: str) -> set[str]:
    """Return the ids of memories that are sealed."""
    async with administering(admin_url) as connection:
        rows = await connection.fetch("SELECT id::text AS id FROM agent_memories WHERE sealed IS NOT NULL")
    return {row["id"] for row in rows}


async def key_ids(admin_url: str) -> set[str]:
    """Return the ids of the keys that seal something."""
    async with administering(admin_url) as connection:
        rows = await connection.fetch("SELECT substring(sealed FROM 3 FOR 2) AS key FROM agent_memories")
    return {row["key"].decode() for row in rows if row["key"]}
