"""`client.rotate_keys`: what an older key has sealed is sealed anew, while everything goes on."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from itertools import count
from typing import Any

import asyncpg
import pytest

from agentdb import Agent, AgentConfig, ConfigurationError, EncryptionError, MemoryEntry, PrismaAgentClient
from agentdb.client.encryption import rotation
from agentdb.client.memory.rows import identity
from tests.integration.client.encrypting import KEYS, corpus, keyed, sealed_by

pytestmark = pytest.mark.postgres

TABLES = ["agent_memories", "agent_executions", "agent_steps", "agent_tools", "agent_tool_versions"]
SCHEMA = {"type": "object", "properties": {"tulip": {"type": "string"}}}


async def fill(client: PrismaAgentClient, agent_id: str, number: int) -> None:
    """A row of every table that is sealed where the client seals: of executions two, one of which runs."""
    await client.memories.store(
        MemoryEntry(agent_id=agent_id, content=f"tulip {number}", metadata={"n": number}, sensitive=True)
    )
    async with client.executions.track(agent_id, ["tulip", number]) as execution:
        execution.log(f"tulip {number}")
        execution.result = {"tulip": number}
    await client.executions.start(agent_id, f"tulip {number}")
    await client.tools.register(f"tool{number}", "", SCHEMA)


async def read(client: PrismaAgentClient, agent_id: str) -> list[Any]:
    """Everything that `fill` wrote, as a client reads it."""
    executions = await client.executions.list(limit=1000)
    trees = [await client.executions.tree(execution.id) for execution in executions]
    memories = await client.memories.list(agent_id, limit=1000)
    versions = [await client.tools.versions(tool.name) for tool in await client.tools.list()]
    return [
        executions,
        [[(step.message, step.data) for step in tree.steps] for tree in trees],
        [(memory.id, memory.content, memory.metadata) for memory in memories],
        [(version.name, version.parameters) for tool in versions for version in tool],
    ]


async def test_the_old_key_can_be_removed(
    database_url: str, agent: Agent, superuser_url: str, client: PrismaAgentClient
) -> None:
    """All that it sealed is sealed by the new one, says the same, and is found by what it was found by."""
    async with keyed(database_url, "k1") as before:
        for number in range(7):
            await fill(before, agent.id, number)
        said = await read(before, agent.id)
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain"))
    steps: list[tuple[int, int]] = []

    async with keyed(database_url, "k2", "k1") as both:
        planned = await both.rotate_keys(dry_run=True)
        assert sealed_by("k1") in await corpus(superuser_url, "hex")
        done = await both.rotate_keys(batch_size=2, progress=lambda *step: steps.append(step))
        again = await both.rotate_keys()

    rows = dict(zip(TABLES, (7, 14, 7, 7, 7), strict=True))
    total = sum(rows.values())
    assert (planned.rows, planned.in_use, planned.is_complete) == (rows, {"k1": total}, False)
    assert (done.rows, done.failed, done.in_use, done.is_complete) == (rows, 0, {"k2": total}, True)
    assert (steps[0], steps[-1]) == ((2, total), (total, total))
    assert (sum(again.rows.values()), again.is_complete) == (0, True)
    assert sealed_by("k1") not in await corpus(superuser_url, "hex")
    async with keyed(database_url, "k2") as after:
        executions, trails, (plain, *sealed), versions = await read(after, agent.id)
        assert plain[1] == "plain"
        assert [executions, trails, sealed, versions] == said
        await fill(after, agent.id, 3)  # equal ones are found
        assert len((await read(after, agent.id))[2]) == 8
        assert (await after.tools.get("tool3")).version == 1
        (found,) = await after.memories.search(agent.id, where={"n": 3})
        assert found.memory.content == "tulip 3"
    async with keyed(database_url, "k1") as old:
        with pytest.raises(EncryptionError, match="'k2'"):
            await old.executions.list()


async def test_everything_goes_on(database_url: str, agent: Agent) -> None:
    """Who writes with either key and who reads is not disturbed, and what is written meanwhile is there afterwards."""
    numbers = count()
    async with keyed(database_url, "k1", "k2") as old, keyed(database_url, "k2", "k1") as new:
        for _ in range(30):
            await fill(old, agent.id, next(numbers))
        is_over = False

        async def write(client: PrismaAgentClient) -> None:
            while not is_over:
                number = next(numbers)
                await fill(client, agent.id, number)
                await client.tools.register(f"tool{number % 30}", "", SCHEMA)

        async def look() -> int:
            looks = 0
            while not is_over:
                await read(new, agent.id)
                looks += 1
            return looks

        others = [asyncio.create_task(work) for work in (write(old), write(new), look())]
        first = await new.rotate_keys(batch_size=3)
        is_over = True
        *_, looks = await asyncio.gather(*others)
        last = await new.rotate_keys()
        said = await read(new, agent.id)

    assert first.failed == last.failed == 0
    assert looks
    assert last.is_complete
    async with keyed(database_url, "k2") as alone:
        assert await read(alone, agent.id) == said
    contents = {content for _, content, _ in said[2]}
    assert contents == {f"tulip {number}" for number in range(next(numbers))}


async def test_what_does_not_open_is_named_and_the_rest_goes_on(
    database_url: str, agent: Agent, admin_url: str
) -> None:
    """A key that is missing, a value that was changed, and one that is none; the first ten by name."""
    async with keyed(database_url, "k3") as lost:
        for number in range(12):
            await lost.executions.start(agent.id, number)
    async with keyed(database_url, "k1") as before:
        for number in range(3):
            await fill(before, agent.id, number)
        broken, nonsense = (await before.executions.list(limit=2))[:2]
    connection = await asyncpg.connect(admin_url)
    try:
        change = "UPDATE agent_executions SET sealed_task = {} WHERE id = $1"
        await connection.execute(change.format("sealed_task || 'x'::bytea"), broken.id)
        await connection.execute(change.format(r"'\x01'::bytea"), nonsense.id)
    finally:
        await connection.close()

    async with keyed(database_url, "k2", "k1") as both:
        planned = await both.rotate_keys(dry_run=True)
        done = await both.rotate_keys(batch_size=4)
        once_more = await both.rotate_keys()

    assert planned.failed == 13
    assert planned.failures == [
        "agent_executions: the key 'k3' is missing (rows: 12).",
        "agent_executions: the key '?' is missing (rows: 1).",
    ]
    assert (done.failed, len(done.failures)) == (once_more.failed, 10) == (14, 10)
    assert "was sealed with the key 'k3', which is not among k2, k1" in done.failures[0]
    assert (done.in_use["k3"], done.in_use["?"], done.in_use["k1"], done.is_complete) == (12, 1, 1 + 1, False)
    assert done.rows["agent_steps"] == 3
    assert "tulip" not in "".join(done.failures)


async def test_plain_text_is_sealed_on_request(
    client: PrismaAgentClient, agent: Agent, database_url: str, superuser_url: str
) -> None:
    """Sensitive memories, with what their embeddings tell; executions, steps and tools if the policy names them."""
    await fill(client, agent.id, 1)
    await client.tools.register("tool1", "", {"type": "object", "tulip": 2})
    await client.memories.store(
        MemoryEntry(agent_id=agent.id, content="tulip 2", sensitive=True, embedding=[1.0, 2.0], embedding_model="m")
    )
    failed = await client.executions.start(agent.id, "tulip")
    await client.executions.fail(failed.id, ValueError("tulip"))
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="for all to see"))
    said = await read(client, agent.id)

    async with keyed(database_url, "k1", policy=frozenset()) as memories_alone:
        planned = await memories_alone.rotate_keys(encrypt_plain=True, dry_run=True)
        assert planned.rows == dict(zip(TABLES, (2, 0, 0, 0, 0), strict=True))
        assert (await memories_alone.rotate_keys(encrypt_plain=True)).in_use == {"k1": 2}
    async with keyed(database_url, "k1") as all_of_it:
        assert (await all_of_it.rotate_keys()).rows["agent_executions"] == 0
        planned = await all_of_it.rotate_keys(encrypt_plain=True, dry_run=True)
        done = await all_of_it.rotate_keys(encrypt_plain=True, batch_size=2)
        again = await all_of_it.rotate_keys(encrypt_plain=True)
        assert await read(all_of_it, agent.id) == said
        rows = await all_of_it.driver.fetch("SELECT sensitive, embedding IS NULL AS is_bare FROM agent_memories")

    expected = dict(zip(TABLES, (0, 3, 1, 1, 2), strict=True))
    assert done.rows == expected
    assert planned.rows == expected
    assert sum(again.rows.values()) == 0
    assert {(row["sensitive"], row["is_bare"]) for row in rows} == {(True, True), (False, True)}
    assert "tulip" not in await corpus(superuser_url)


async def test_embeddings_stay_where_that_is_allowed(
    client: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """AGENTDB_EMBED_SENSITIVE; and of what was sealed before, whatever it says."""
    entry = MemoryEntry(agent_id=agent.id, content="x", sensitive=True, embedding=[1.0, 2.0], embedding_model="m")
    await client.memories.store(entry)
    async with keyed(database_url, "k1", embed_sensitive=True) as allowing:
        await allowing.rotate_keys(encrypt_plain=True)
    async with keyed(database_url, "k2", "k1") as both:
        assert (await both.rotate_keys()).is_complete
        (row,) = await both.driver.fetch("SELECT embedding IS NULL AS is_bare, embedding_model FROM agent_memories")
    assert (row["is_bare"], row["embedding_model"]) == (False, "m")


async def test_two_memories_that_become_equal(database_url: str, agent: Agent, client: PrismaAgentClient) -> None:
    """Each stored by who had not the other's key. Both stay; one is what later duplicates find."""
    entry = MemoryEntry(agent_id=agent.id, content="tulip", sensitive=True)
    ids = set()
    for key in KEYS:
        async with keyed(database_url, key) as alone:
            ids.add(await alone.memories.store(entry))
    async with keyed(database_url, "k3", "k2", "k1") as all_keys:
        done = await all_keys.rotate_keys()
    async with keyed(database_url, "k3") as after:
        again = await after.memories.store(entry)
        contents = [memory.content for memory in await after.memories.list(agent.id)]

    assert (done.rows["agent_memories"], done.is_complete) == (2, True)
    assert len(ids) == 3
    assert again in ids
    assert contents == ["tulip"] * 3


async def test_no_hash_of_plain_text_is_left(
    database_url: str, agent: Agent, client: PrismaAgentClient, admin_url: str
) -> None:
    """Not even where an equal memory was sealed already: the hash would tell whoever guesses the text."""
    entry = MemoryEntry(agent_id=agent.id, content="tulip", metadata={"a": 1}, sensitive=True)
    plain = hashlib.sha256(identity("general", "tulip", '{"a":1}')).hexdigest()
    await client.memories.store(entry)
    assert plain in await corpus(admin_url, "hex")

    async with keyed(database_url, "k1") as sealing:
        sealed = await sealing.memories.store(entry)
        await sealing.rotate_keys(encrypt_plain=True)
        assert await sealing.memories.store(entry) == sealed
        (old,) = sealing.key_ring.lookups(  # type: ignore[union-attr]
            identity("general", "tulip", '{"a":1}'), "acme", "agent_memories.content_hash"
        )
    assert plain not in await corpus(admin_url, "hex")
    async with keyed(database_url, "k2") as alone:
        await alone.memories.store(entry)
    async with keyed(database_url, "k2", "k1") as both:
        assert (await both.rotate_keys()).is_complete
    assert old.hex() not in await corpus(admin_url, "hex")


@pytest.mark.parametrize(
    "json", ["repeat('{\"a\":', 3000) || '1' || repeat('}', 3000)", "'{\"a\":1' || repeat('0', 5000) || '}'"]
)
async def test_plain_text_that_cannot_be_read(
    json: str, database_url: str, agent: Agent, client: PrismaAgentClient, admin_url: str
) -> None:
    """Of others, nested too deep or with too long a number: it is named, and the rest goes on."""
    first, second = [
        await client.memories.store(MemoryEntry(agent_id=agent.id, content=text, sensitive=True)) for text in "ab"
    ]
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"UPDATE agent_memories SET metadata = ({json})::jsonb WHERE id = $1", first)
    finally:
        await connection.close()
    async with keyed(database_url, "k1") as sealing:
        done = await sealing.rotate_keys(encrypt_plain=True)
        assert (await sealing.memories.get(second)).content == "b"

    assert (done.rows["agent_memories"], done.failed) == (1, 1)
    assert first in done.failures[0]


@pytest.mark.parametrize("is_released", [True, False])
async def test_a_row_that_somebody_holds_is_met_again(
    is_released: bool, database_url: str, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for nobody; what is held to the end is left to the next call, and its key is in use."""
    monkeypatch.setattr(rotation, "_PAUSE_SECONDS", 0.02)
    async with keyed(database_url, "k1") as before:
        held = await before.executions.start(agent.id, 1)
        await before.executions.start(agent.id, 2)
    connection = await asyncpg.connect(database_url)
    holding = connection.transaction()
    await connection.execute("SET agentdb.organization_id = 'acme'")
    await holding.start()
    await connection.execute("SELECT FROM agent_executions WHERE id = $1 FOR UPDATE", held.id)
    released = asyncio.Event()

    async def release(done: int, _: int) -> None:
        if is_released and not released.is_set():
            released.set()
            await holding.rollback()

    tasks: list[asyncio.Task[None]] = []
    async with keyed(database_url, "k2", "k1") as both:
        done = await both.rotate_keys(progress=lambda *step: tasks.append(asyncio.create_task(release(*step))))
        await asyncio.gather(*tasks)
        await connection.close()
        last = await both.rotate_keys()

    assert done.is_complete is is_released
    assert done.rows["agent_executions"] == (2 if is_released else 1)
    assert last.is_complete


async def test_large_rows_come_a_few_at_a_time(database_url: str, agent: Agent) -> None:
    """Whatever the size of a batch, one answer holds some 16 MB."""
    steps: list[tuple[int, int]] = []
    async with keyed(database_url, "k1", max_payload_bytes=8_000_000) as before:
        for _ in range(5):
            await before.executions.start(agent.id, "x" * 7_000_000)
    async with keyed(database_url, "k2", "k1") as both:
        await both.rotate_keys(progress=lambda *step: steps.append(step))

    assert steps == [(3, 5), (5, 5)]


async def test_other_organizations_stay_as_they_are(database_url: str, agent: Agent) -> None:
    """Each is rotated on its own."""
    async with keyed(database_url, "k1") as before:
        other = before.for_organization("other")
        await other.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
        await fill(before, agent.id, 1)
        await fill(other, "scout-1", 1)
    async with keyed(database_url, "k2", "k1") as both:
        await both.rotate_keys()
        assert set((await both.for_organization("other").rotate_keys(dry_run=True)).in_use) == {"k1"}


async def test_with_an_access_log(database_url: str, agent: Agent) -> None:
    """Each batch that was written is an entry of the one operation."""
    async with keyed(database_url, "k1") as before:
        await fill(before, agent.id, 1)
    async with keyed(database_url, "k2", "k1", access_log=True) as both:
        assert (await both.rotate_keys()).is_complete
        entries = await both.driver.fetch("SELECT DISTINCT operation FROM access_log")

    assert [entry["operation"] for entry in entries] == ["keys.rotate"]


async def test_without_a_key(client: PrismaAgentClient) -> None:
    """There is nothing to seal with."""
    with pytest.raises(ConfigurationError, match="there is no key to seal with"):
        await client.rotate_keys()


REFUSED = {
    "agent_steps": [
        "UPDATE agent_steps SET message = 'other'",
        "UPDATE agent_steps SET data = '{\"other\": 1}'",
        "UPDATE agent_steps SET sealed = NULL, message = 'other'",
        "UPDATE agent_steps SET sealed = NULL",
        "INSERT INTO agent_steps SELECT * FROM agent_steps ON CONFLICT (organization_id, id) DO UPDATE SET name = 'x'",
    ],
    "agent_tool_versions": [
        "UPDATE agent_tool_versions SET parameters = '{\"other\": 1}'",
        "UPDATE agent_tool_versions SET sealed = NULL",
        "DELETE FROM agent_tool_versions",
    ],
}


@pytest.mark.parametrize("table", REFUSED)
@pytest.mark.parametrize("keys", [(), ("k1",)])
async def test_a_trail_can_be_sealed_and_not_be_changed(
    table: str, keys: tuple[str, ...], database_url: str, agent: Agent
) -> None:
    """By the application's role: no other column, no plain text, nothing made plain, nothing taken away."""
    async with keyed(database_url, *keys) as client:
        await fill(client, agent.id, 1)
        before = await client.driver.fetch(f"SELECT t::text FROM {table} AS t")
        columns = await client.driver.fetch(
            "SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0", [table]
        )
        others = {row["name"] for row in columns} - {"message", "data", "parameters", "sealed"}
        statements = [*REFUSED[table], *(f"UPDATE {table} SET {name} = {name}" for name in others)]
        for sql in statements:
            with pytest.raises(Exception, match=r"permission denied|violates (row-level security|check constraint)"):
                await client.driver.execute(sql)
        with suppress(Exception):
            await client.driver.execute(f"DELETE FROM {table}")

        assert len(others) >= 5
        assert await client.driver.fetch(f"SELECT t::text FROM {table} AS t") == before
