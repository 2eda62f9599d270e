"""A connected client and a registered agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from agentdb import Agent, AgentConfig, PrismaAgentClient


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client of the organization "acme"."""
    async with PrismaAgentClient(database_url, "acme") as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    """An agent of "acme"."""
    return await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id="scout-1"))
