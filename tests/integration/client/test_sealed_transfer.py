"""Exports and imports of sealed memories: as plain text, as they are sealed, or not at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agentdb import Agent, EncryptionError, InvalidInputError, MemoryEntry, PrismaAgentClient
from tests.integration.client.sealing import SECRET, entry, key_ids, keyed, sealed_ids, texts_of
from tests.integration.client.transferring import exported, register, resealed, rows_of, versions_of

pytestmark = pytest.mark.postgres

METADATA = {"subject": "alice", "list": [1, 2.5]}


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    async with keyed(database_url, "k1") as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    agent = await register(client, "scout")
    old = await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain, older"))
    await client.memories.supersede(old, entry(agent, metadata=METADATA, embedding=[1.0, 0.0]))
    await client.memories.store(entry(agent, f"{SECRET} second"))
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain"))
    return agent


async def lines_of(client: PrismaAgentClient, how: Any) -> list[str]:
    return [line async for line in client.memories.export_lines(sealed=how)]


async def contents(client: PrismaAgentClient, agent: Agent) -> list[tuple[str, dict[str, Any], bool]]:
    memories = await client.memories.list(agent.id, include_superseded=True)
    return sorted((memory.content, memory.metadata, memory.sensitive) for memory in memories)


async def test_what_becomes_of_them_has_to_be_said(client: PrismaAgentClient, agent: Agent) -> None:
    """Where there are any, of the agent that is exported; the error names the choices."""
    other = await register(client, "other")
    await client.memories.store(MemoryEntry(agent_id=other.id, content="plain"))

    for how in (None, "encrypted", True):
        with pytest.raises(InvalidInputError, match="keep") as raised:
            await lines_of(client, how)
        assert raised.value.field == "sealed"
        assert all(f'"{choice}"' in raised.value.reason for choice in ("plain", "keep", "omit"))
    assert len(await exported(client, other.id)) == 3


async def test_as_plain_text(client: PrismaAgentClient, agent: Agent, admin_url: str, database_url: str) -> None:
    """The lines are like any others; an import seals again with its own keys, where it has some."""
    lines = await lines_of(client, "plain")
    assert SECRET in "".join(lines)
    assert not any("sealed" in line for line in lines)
    expected = await contents(client, agent)
    for organization, keys in (("keyed", ("k2",)), ("keyless", ())):
        async with keyed(database_url, *keys, organization=organization) as other:
            assert await other.memories.import_lines(lines) == (4, 0)
            assert await contents(other, agent) == expected
            before = await versions_of(admin_url, organization)
            assert await other.memories.import_lines(lines) == (0, 4)
            assert await versions_of(admin_url, organization) == before
            assert await other.memories.count(where={"subject": "alice"}) == 1
    assert await key_ids(admin_url) == {"k1", "k2"}
    assert len(await sealed_ids(admin_url)) == 2  # the same two, in two organizations
    async with keyed(database_url, require_encryption=True, organization="strict") as strict:
        with pytest.raises(EncryptionError, match="AGENTDB_ENCRYPTION_KEYS"):
            await strict.memories.import_lines(lines)
        assert await strict.agents.list() == []


async def test_as_they_are(client: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str) -> None:
    """Back into the same organization, by who has their key; they are sealed again with the newest."""
    lines = await lines_of(client, "keep")
    assert SECRET not in "".join(lines)
    assert sum("sealed" in json.loads(line) for line in lines) == 2
    expected = await contents(client, agent)
    assert await client.memories.import_lines(lines) == (0, 4)
    assert await client.memories.forget(agent_id=agent.id) == 4

    async with keyed(database_url, "k2", "k1") as newer:
        assert await newer.memories.import_lines(lines) == (4, 0)
        assert await contents(newer, agent) == expected
        assert await newer.memories.import_lines(lines) == (0, 4)
    assert await key_ids(admin_url) == {"k2"}
    assert [text for text in await texts_of(admin_url) if SECRET in text] == []


@pytest.mark.parametrize(
    ("organization", "keys"), [("other", ("k1",)), ("acme", ("k2",)), ("acme", ()), ("other", ("k2", "k1"))]
)
async def test_sealed_ones_go_nowhere_else(
    client: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str, organization: str, keys: tuple[str, ...]
) -> None:
    """Neither another organization nor another key imports them: nothing is stored, not even an agent."""
    lines = await lines_of(client, "keep")
    await client.agents.delete(agent.id)
    async with keyed(database_url, *keys, organization=organization) as other:
        with pytest.raises(EncryptionError, match=r"agent_memories\.sealed of"):
            await other.memories.import_lines(lines)
        assert await other.agents.list() == []
    assert await rows_of(admin_url, organization) == []


@pytest.mark.parametrize(
    "change",
    [
        {"sealed": "AAAA"}, {"sealed": "?"}, {"sealed": 1}, {"sealed": None}, {"sensitive": False}, {"content": "more"},
        {"id": "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"}, {"id": "x"}, {"color": "red"},
    ],
)  # fmt: skip
async def test_a_sealed_line_that_was_changed_is_refused(
    client: PrismaAgentClient, agent: Agent, admin_url: str, change: dict[str, Any]
) -> None:
    """Though its checksum fits; nothing is stored."""
    lines = await lines_of(client, "keep")
    await client.memories.forget(agent_id=agent.id)

    def edit(documents: list[dict[str, Any]]) -> None:
        next(values for values in documents if "sealed" in values).update(change)

    with pytest.raises((InvalidInputError, EncryptionError)) as raised:
        await client.memories.import_lines(resealed(lines, edit))
    assert SECRET not in str(raised.value)
    assert await rows_of(admin_url, "acme") == []


async def test_left_out(client: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """With their older versions; the last line counts them, and what is left can be imported."""
    lines = await lines_of(client, "omit")
    assert json.loads(lines[-1]).keys() == {"memories", "omitted", "sha256"}
    assert (json.loads(lines[-1])["memories"], json.loads(lines[-1])["omitted"]) == (1, 2)
    async with keyed(database_url, organization="copy") as copy:
        assert await copy.memories.import_lines(lines) == (1, 0)
        assert await contents(copy, agent) == [("plain", {}, False)]
    without = [line async for line in client.memories.export_lines((await register(client, "new")).id, sealed="omit")]
    assert json.loads(without[-1]).keys() == {"memories", "sha256"}


async def test_what_was_stored_before_the_key_is_known(
    client: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str
) -> None:
    """A plain memory of the same id is the same, whichever of the two is in the export."""
    async with keyed(database_url, organization="copy") as keyless:
        await keyless.memories.import_lines(await lines_of(client, "plain"))
        lines = await lines_of(keyless, None)
    async with keyed(database_url, "k1", organization="copy") as other:
        assert await other.memories.import_lines(lines) == (0, 4)
    assert await client.memories.import_lines(lines) == (0, 4)
    assert len(await sealed_ids(admin_url)) == 2
