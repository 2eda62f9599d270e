"""What a test works with is cleared away, whatever the test has left at work."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from agentdb.testing import organization
from agentdb.testing.organization import erase_organization, new_organization
from agentdb.testing.stage import Stage, open_stage
from tests.conftest import Database


def _wait_no_longer(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(organization, "_PATIENCE_SECONDS", seconds)
    monkeypatch.setattr(Pool.close, "__kwdefaults__", {"timeout_seconds": 0.1})


def _stage(database: Database) -> AbstractAsyncContextManager[Stage]:
    return open_stage(database.url, new_organization(), None, is_shared=True)


async def _hold_rows(client: PrismaAgentClient, held: asyncio.Event) -> None:
    async with client.transaction() as transaction:
        agent = await transaction.agents.find("scout")
        assert agent is not None
        await transaction.agents.heartbeat(agent.id)
        await transaction.memories.store(MemoryEntry(agent_id=agent.id, content="never committed"))
        held.set()
        await asyncio.Event().wait()


async def _count(database: Database, table: str) -> int:
    owner = Pool(parse_url(database.superuser_url))
    await owner.open()
    try:
        return int((await owner.driver().fetch(f"SELECT count(*) FROM {table}", ()))[0][0])
    finally:
        await owner.close()


async def test_a_transaction_that_is_left_open_holds_nobody_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is undone with its connection, and no row stays."""
    _wait_no_longer(monkeypatch, 2)  # a busy machine needs some of it for the second attempt
    held = asyncio.Event()
    async with _stage(database) as stage:
        await stage.client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        task = asyncio.ensure_future(_hold_rows(stage.client, held))
        await held.wait()

    assert await _count(database, "agents") == await _count(database, "agent_memories") == 0
    task.cancel()
    await asyncio.wait([task])


async def test_another_clients_open_transaction_is_an_error(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test hears of it, and does not wait for ever."""
    _wait_no_longer(monkeypatch, 0.2)
    held = asyncio.Event()
    with pytest.raises(TimeoutError, match="held by a transaction that it has left open"):
        async with _stage(database) as stage:
            await stage.client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
            other = PrismaAgentClient(database.url, stage.client.organization_id)
            await other.connect()
            task = asyncio.ensure_future(_hold_rows(other, held))
            await held.wait()

    task.cancel()
    await asyncio.wait([task])
    await other.disconnect()


async def test_only_a_tests_organization_is_erased(database: Database) -> None:
    """Whatever a client is bound to otherwise stays."""
    async with PrismaAgentClient(database.url, "acme") as client:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        with pytest.raises(ValueError, match="is not a test's organization"):
            await erase_organization(client)

    assert await _count(database, "agents") == 1
