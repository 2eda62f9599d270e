"""A connected client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from agentdb import PrismaAgentClient


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client of the organization "acme"."""
    async with PrismaAgentClient(database_url, "acme") as client:
        yield client
