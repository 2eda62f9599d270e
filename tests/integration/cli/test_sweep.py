"""`agentdb sweep`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres

T = TypeVar("T")

PAST = datetime(2020, 1, 1, tzinfo=UTC)


def _with_client(
    database: Database, work: Callable[[PrismaAgentClient], Awaitable[T]], organization: str = "acme"
) -> T:
    async def run() -> T:
        async with PrismaAgentClient(database.url, "acme") as client:
            return await work(client)

    return asyncio.run(run())


async def _store(client: PrismaAgentClient) -> None:
    """Two agents with an expired memory and three others each; one of them may have two."""
    for agent in ("scout", "clerk"):
        await client.agents.register(AgentConfig(name=agent, category="SUPPORT", id=agent))
        await client.memories.store(MemoryEntry(agent_id=agent, content="old", expires_at=PAST))
        await client.memories.store_many(MemoryEntry(agent_id=agent, content=f"note {n}") for n in range(3))
    await client.driver.execute("UPDATE agents SET max_memories = 2 WHERE id = 'scout'")


async def _count(client: PrismaAgentClient) -> int:
    (row,) = await client.driver.fetch("SELECT count(*) FROM agent_memories")
    return int(row[0])


def test_counts_first_then_deletes(database: Database, agentdb: Command) -> None:
    """--dry-run changes nothing and says what would be; the sweep does it, and another finds nothing left."""
    _with_client(database, _store)

    dry = agentdb("sweep", "--dry-run", DATABASE_URL=database.url, ORGANIZATION_ID="acme")
    between = _with_client(database, _count)
    done = agentdb("sweep")
    again = agentdb("sweep", "--json")

    assert (dry.status, dry.out, dry.err) == (0, "would delete 2 expired, 1 beyond the limit of their agents\n", "")
    assert between == 8
    assert (done.status, done.out) == (0, "deleted 2 expired, 1 beyond the limit of their agents\n")
    assert json.loads(again.out) == {"expired": 0, "surplus": 0, "dry_run": False}
    assert _with_client(database, _count) == 5


def test_only_one_agent(database: Database, agentdb: Command) -> None:
    """--agent leaves the others alone."""
    _with_client(database, _store)

    outcome = agentdb("sweep", "--agent", "clerk", "--json", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert json.loads(outcome.out) == {"expired": 1, "surplus": 0, "dry_run": False}
    assert _with_client(database, _count) == 7


def test_only_one_organization(database: Database, agentdb: Command) -> None:
    """What is swept is that of ORGANIZATION_ID."""
    _with_client(database, _store)

    agentdb("sweep", DATABASE_URL=database.url, ORGANIZATION_ID="other")

    assert _with_client(database, _count) == 8


def test_wrong_use(database: Database, agentdb: Command) -> None:
    """A database without an organization, an agent that can be none: exit status 2."""
    without = agentdb("sweep", DATABASE_URL=database.url)
    empty = agentdb("sweep", "--agent", "", ORGANIZATION_ID="acme")

    assert (without.status, empty.status) == (2, 2)
    assert without.err.startswith("agentdb: ORGANIZATION_ID")
