"""Clients of one pool for any organization, and a connection past every wall."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from agentdb import PrismaAgentClient
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.isolation.world import Connection, settings_for


@pytest_asyncio.fixture
async def shared(database: Database) -> AsyncIterator[PrismaAgentClient]:
    """A connected client of nobody: `shared.for_organization(…)` gives one for anybody."""
    async with PrismaAgentClient(settings=settings_for(database.url)) as client:
        yield client


@pytest_asyncio.fixture
async def beyond(database: Database) -> AsyncIterator[Connection]:
    """A connection as the administrator, who sees all rows."""
    connection: Connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    yield connection
    await connection.close()
