"""A client that keeps the access log in the database, and a look at it from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from agentdb import Agent, AgentConfig, PrismaAgentClient, Settings


class Outside:
    """The access log of a database, as its owner sees it, past the client under test."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection

    async def entries(self, operation: str | None = None, organization: str = "acme") -> list[asyncpg.Record]:
        """Return the entries of an organization, as they came, or those of one operation."""
        return await self.connection.fetch(
            "SELECT * FROM access_log WHERE organization_id = $1 AND ($2::text IS NULL OR operation = $2) ORDER BY id",
            organization,
            operation,
        )

    async def operations(self) -> list[str]:
        """Return what was done, as it came."""
        return [row["operation"] for row in await self.entries()]


def logged_settings(url: str, flush_seconds: float = 600.0) -> Settings:
    """Return settings with the table on; reads and failures are written when asked for, unless it is said when."""
    return Settings(organization_id="acme", database_url=url, access_log=True, flush_seconds=flush_seconds)


@pytest_asyncio.fixture
async def outside(admin_url: str) -> AsyncIterator[Outside]:
    """The owner of the tables."""
    connection = await asyncpg.connect(admin_url)
    yield Outside(connection)
    await connection.close()


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client of "acme" that keeps the access log."""
    async with PrismaAgentClient(settings=logged_settings(database_url)) as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    """An agent of "acme"."""
    return await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id="scout-1"))
