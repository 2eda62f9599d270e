"""An organization with something in it, among others that must never notice."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.ids import uuid7_text
from agentdb.postgres.embedded import EmbeddedServer
from tests.conftest import Database
from tests.integration.hostile.calls import World
from tests.integration.hostile.witness import OTHERS, superuser

_EXECUTIONS = """
INSERT INTO agent_executions (organization_id, id, agent_id, task, status, heartbeat_at)
SELECT 'acme', unnest($1::uuid[]), 'scout', '1', 'running', now() + interval '1 hour'
"""
_PATTERNS = """
INSERT INTO learning_patterns (organization_id, id, agent_id, pattern_type, content)
SELECT 'acme', unnest($1::uuid[]), 'scout', 'spare', '1'
"""


@pytest.fixture
def log(server: EmbeddedServer) -> Path:
    """The server's log."""
    return server.log


@pytest_asyncio.fixture
async def others(database: Database) -> None:
    """A row of every sort for each of other organizations, some of which have names much like ours."""
    async with PrismaAgentClient(database.url, OTHERS[0]) as client:
        for organization in OTHERS:
            await _settle(client.for_organization(organization))


@pytest_asyncio.fixture
async def client(database: Database, others: None) -> PrismaAgentClient:
    """A client of "acme", where nobody else writes; not yet connected, so that it connects within the test."""
    return PrismaAgentClient(database.url + "&connection_limit=4", "acme")


async def make_world(client: PrismaAgentClient, database: Database, *, rows: int) -> World:
    """Return what calls find: an agent, a tool, and so many rows of each kind that calls use up."""
    await _settle(client)
    for name in ("reader", "idle"):
        await client.agents.register(AgentConfig(name=name, category="SUPPORT", id=name))
    for number, metadata in enumerate(({"k": "x", "value": 1}, {"k'": ["x"]}, {})):
        entry = MemoryEntry(agent_id="reader", content=f"page {number}", metadata=metadata, embedding=[1.0, number])
        await client.memories.store(entry)
    await client.metrics.record("reader", "pages", 1, "pages", labels={"book": "x"})
    async with client.executions.track("reader", {"type": "read"}):
        pass
    memories = [MemoryEntry(agent_id="scout", content=f"spare {number}") for number in range(rows)]
    executions, failing, patterns = ([uuid7_text() for _ in range(rows)] for _ in range(3))
    connection = await superuser(database)
    try:
        await connection.execute(_EXECUTIONS, executions + failing)
        await connection.execute(_PATTERNS, patterns)
    finally:
        await connection.close()
    return World(client, "scout", await client.memories.store_many(memories), executions, failing, patterns)


async def _settle(client: PrismaAgentClient) -> None:
    """Leave something of every sort."""
    await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout", metadata={"x": "y"}))
    await client.memories.store(
        MemoryEntry(agent_id="scout", content="The harbour freezes.", visibility="organization")
    )
    await client.tools.register("look_up", "Looks words up.", {"type": "object"}, owner_agent_id="scout")
    async with client.executions.track("scout", {"type": "read"}, kind="read", model="m") as execution:
        execution.log("read a page")
        await client.tools.record_call("look_up", "scout", success=True, duration_ms=1)
    await client.metrics.record("scout", "pages", 1, "pages", labels={"book": "x"})
    pattern = await client.patterns.record("scout", "prompt", {"text": "Read."}, name="plain", scope="organization")
    await client.patterns.outcome(pattern.id, True)
    await client.patterns.retire(pattern.id, "done")
    await client.patterns.revert(pattern.id, "not done")
    await client.prices.set("m", input=1, output=2)
