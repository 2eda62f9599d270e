"""Sensitive memories of a client that has a key: sealed in the table, open to whoever reads with the key."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    EncryptionError,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
)
from tests.integration.client.sealing import SECRET, entry, keyed, sealed_ids, texts_of
from tests.integration.client.transferring import administering

pytestmark = pytest.mark.postgres

METADATA = {"subject": "alice", SECRET: SECRET, "nested": {SECRET: [SECRET]}}


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    async with keyed(database_url, "k1") as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    return await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL", id="scout-1"))


async def test_nothing_of_it_stands_in_the_table(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """Whichever way it was written; nor does a hash that could be compared with guesses."""
    first = await client.memories.store(entry(agent, metadata=METADATA))
    await client.memories.store_many([entry(agent, f"{SECRET} {number}", metadata=METADATA) for number in range(3)])
    await asyncio.gather(*(client.memories.store(entry(agent, f"{SECRET} at once {number}")) for number in range(5)))
    async with client.transaction() as transaction:
        await transaction.memories.store(entry(agent, f"{SECRET} in a transaction"))
    await client.memories.supersede(first, entry(agent, f"{SECRET} superseding", metadata=METADATA))
    plain = await client.memories.store(MemoryEntry(agent_id=agent.id, content=f"{SECRET} plain", metadata=METADATA))
    await client.memories.update(plain, sensitive=True)

    texts = await texts_of(admin_url)
    assert len(texts) == 12
    assert [text for text in texts if SECRET in text or "alice" in text or SECRET.encode().hex() in text] == []
    guess = hashlib.sha256(f"general\0{SECRET} at once 1\0{{}}".encode()).hexdigest()
    assert [text for text in texts if guess in text] == []
    (row,) = await client.prisma.agentmemory.find_many(where={"id": first})
    assert (row.content, dict(row.metadata), row.sensitive, row.sealed is None) == ("", {}, True, False)


async def test_every_way_of_reading_opens_it(client: PrismaAgentClient, agent: Agent) -> None:
    """By id, by age, by importance, by vector, through history; and what a change returns."""
    memory_id = await client.memories.store(
        entry(agent, metadata=METADATA, visibility="organization", embedding=[1.0, 0.0], importance=0.9)
    )
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain", embedding=[0.0, 1.0]))

    read = [
        await client.memories.get(memory_id),
        (await client.memories.list(agent.id))[1],
        (await client.memories.search(agent.id))[1].memory,
        (await client.memories.search(agent.id, order="most_important"))[0].memory,
        (await client.memories.search(agent.id, embedding=[1.0, 0.1]))[0].memory,
        (await client.memories.search(agent.id, "word", embedding=[1.0, 0.1]))[0].memory,
        (await client.memories.search("somebody-else"))[0].memory,
        (await client.retrieve_memories(agent.id, limit=2))[1],
        (await client.memories.history(memory_id))[0],
        await client.memories.update(memory_id, importance=0.8),
    ]
    assert {(memory.id, memory.content, memory.sensitive) for memory in read} == {(memory_id, SECRET, True)}
    assert [memory.metadata for memory in read] == [METADATA] * len(read)


async def test_words_do_not_find_it(client: PrismaAgentClient, agent: Agent) -> None:
    """For the database has none; and a filter changes nothing about that."""
    await client.memories.store(entry(agent, "harbour", metadata={"k": "v"}))
    plain = await client.memories.store(MemoryEntry(agent_id=agent.id, content="harbour", metadata={"k": "v"}))

    for where in (None, {"k": "v"}, {"k": {"ne": "w"}}):
        assert [hit.id for hit in await client.memories.search(agent.id, "harbour", where=where)] == [plain]


ENTRIES: dict[str, Any] = {
    "subject": "alice", "number": 7, "half": 0.5, "big": 10**23, "yes": True, "none": None, "empty": "", "list": ["a"],
    "object": {"a": 1},
}  # fmt: skip

# Those that hashes can answer: a sealed memory fits whatever an equal plain one fits.
ANSWERED: list[dict[str, Any]] = [
    {"subject": "alice"},
    {"subject": "Alice"},
    {"subject": {"eq": "alice"}},
    {"number": 7},
    {"number": 7.0},
    {"number": "7"},
    {"half": 0.5},
    {"big": 1e23},
    {"big": 10**23 + 1},
    {"yes": True},
    {"yes": 1},
    {"none": None},
    {"missing": None},
    {"empty": ""},
    {"subject": "alice", "number": 7},
    {"subject": "alice", "number": 8},
    {"subject": {"in": ["bob", "alice"]}},
    {"subject": {"in": ["bob"]}},
    {"subject": {"in": []}},
    {"subject": {"in": ["alice", ["alice"]]}},
    {"subject": {"eq": "alice", "in": ["alice", "bob"]}},
    {"AND": [{"subject": "alice"}, {"yes": True}]},
    {"OR": [{"subject": "bob"}, {"number": 7}]},
    {"OR": [{"subject": "bob"}, {"number": 8}]},
    {"OR": []},
    {"AND": []},
    {"AND": {"OR": [{"subject": "bob"}, {"AND": [{"number": 7}, {"half": {"in": [0.5, 1]}}]}]}},
    {"subject": "alice", "OR": [{"number": 7}, {"number": 8}]},
    {},
]

# Those that they cannot: no sealed memory fits, though an equal plain one does.
UNANSWERED: list[dict[str, Any]] = [
    {"subject": {"ne": "bob"}},
    {"subject": {"nin": ["bob"]}},
    {"subject": {"exists": True}},
    {"missing": {"exists": False}},
    {"subject": {"contains": "li"}},
    {"number": {"gte": 7}},
    {"number": {"lt": 8}},
    {"number": {"eq": 7, "gt": 1}},
    {"list": ["a"]},
    {"list": {"contains": "a"}},
    {"object": {"eq": {"a": 1}}},
    {"NOT": {"subject": "bob"}},
    {"NOT": {"missing": {"exists": True}}},
    {"NOT": {"NOT": {"subject": "alice"}}},
    {"subject": "alice", "NOT": [{"number": 8}]},
    {"AND": [{"subject": "alice"}, {"number": {"gt": 1}}]},
    {"OR": [{"number": {"gt": 1}}, {"subject": "bob"}]},
]


async def test_filters_find_it_by_equality(client: PrismaAgentClient, agent: Agent) -> None:
    """What hashes can answer fits as it fits a plain memory; the rest does not fit, denials included."""
    plain = await client.memories.store(MemoryEntry(agent_id=agent.id, content="same", metadata=ENTRIES))
    sealed = await client.memories.store(entry(agent, "same", metadata=ENTRIES, embedding=[1.0]))
    await client.memories.store(entry(agent, "another", metadata={"subject": "carol"}, embedding=[1.0]))

    for where in ANSWERED:
        found = {memory.id for memory in await client.memories.list(agent.id, where=where)}
        assert (sealed in found) == (plain in found), where
        assert await client.memories.count(agent.id, where=where) == len(found), where
        assert {hit.id for hit in await client.memories.search(agent.id, where=where)} == found, where
        near = await client.memories.search(agent.id, embedding=[1.0], where=where)
        assert {hit.id for hit in near} == found - {plain}, where
        assert await client.memories.forget(where, agent_id=agent.id, dry_run=True) == len(found), where
    for where in UNANSWERED:
        assert [memory.id for memory in await client.memories.list(agent.id, where=where)] == [plain], where
        assert await client.memories.count(agent.id, where=where) == 1, where
        assert await client.memories.forget(where, dry_run=True) == 1, where
        assert await client.memories.search(agent.id, embedding=[1.0], where=where) == [], where


async def test_without_a_key_no_filter_finds_it(
    client: PrismaAgentClient, agent: Agent, database_url: str, admin_url: str
) -> None:
    """Neither by equality nor by denial; nor does another organization's. So `forget` refuses what it cannot tell."""
    sealed = await client.memories.store(entry(agent, "same", metadata=ENTRIES))
    fit_none = [{"OR": []}, {"subject": {"in": []}}, *UNANSWERED[:-1]]
    for organization, keys in (("acme", ()), ("other", ("k1",))):
        async with keyed(database_url, *keys, organization=organization) as other:
            for where in [*ANSWERED[:-2], *UNANSWERED]:
                if where != {"AND": []}:
                    assert await other.memories.count(where=where) == 0, where
                    if organization == "other" or where in fit_none:
                        assert await other.memories.forget(where, agent_id=agent.id) == 0, where
                    else:
                        with pytest.raises(EncryptionError, match=sealed):
                            await other.memories.forget(where, agent_id=agent.id)
    assert await sealed_ids(admin_url) == {sealed}


@pytest.mark.parametrize("keys", [(), ("k2",)])
@pytest.mark.parametrize("dry_run", [True, False])
async def test_forgetting_without_the_key(
    keys: tuple[str, ...], dry_run: bool, client: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """Nothing goes where a memory of the scope might fit and does not open; out of the scope it does not matter."""
    start = datetime.now(UTC)
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    where = {"subject": "alice"}
    sealed = await client.memories.store(entry(agent, metadata=where))
    for owner in (agent, other):
        await client.memories.store(MemoryEntry(agent_id=owner.id, content="plain", metadata=where))
    async with keyed(database_url, *keys) as without:
        forget = partial(without.memories.forget, dry_run=dry_run)
        for refused in (forget(where), forget(where, agent_id=agent.id), forget({"OR": [where, {"n": {"gt": 1}}]})):
            with pytest.raises(EncryptionError, match="AGENTDB_ENCRYPTION_KEYS") as raised:
                await refused
            assert (raised.value.key_id, raised.value.place) == ("k1", f"agent_memories.sealed of {sealed}")
        assert await client.memories.count() == 3
        for nothing in (
            forget(where, memory_type="fact"),
            forget(where, stored_before=start),
            forget(where, until=start),
            forget({"subject": {"gt": "b"}}),
        ):
            assert await nothing == 0
        assert await forget(where, agent_id=other.id) == 1
        assert await forget(agent_id=agent.id) == 2


async def test_forgetting_by_a_filter(client: PrismaAgentClient, agent: Agent) -> None:
    """Takes plain and sealed ones, of the whole organization, and older versions with them."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    old = await client.memories.store(entry(agent, "old", metadata={"subject": "alice"}))
    await client.memories.supersede(old, entry(agent, "new", metadata={"subject": "alice"}))
    await client.memories.store(entry(other, "his", metadata={"subject": "alice"}))
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="plain", metadata={"subject": "alice"}))
    kept = await client.memories.store(entry(agent, "kept", metadata={"subject": "bob"}))

    assert await client.memories.forget({"subject": "alice"}) == 4
    assert [memory.id for memory in await client.memories.list(agent.id)] == [kept]


async def test_an_index_finds_it(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """The function that looks for hashes reads those that fit and no others."""
    await client.memories.store_many(
        entry(agent, f"{number}", metadata={"n": number, "kind": "note"}) for number in range(300)
    )

    async with administering(admin_url) as connection:
        await connection.execute(
            "SET enable_seqscan = off; SELECT set_config('agentdb.organization_id', 'acme', false)"
        )
        path = await connection.fetchval(
            "SELECT format('strict ($[*] == \"%s\")', replace(agent_memories_lookup_list(lookups) ->> 0, '\\', '\\\\'))"
            " FROM agent_memories LIMIT 1"
        )
        plan = "\n".join(
            row[0]
            for row in await connection.fetch(
                "EXPLAIN SELECT id FROM agent_memories WHERE sealed IS NOT NULL"
                " AND agent_memories_lookup_list(lookups) @@ $1::jsonpath",
                path,
            )
        )
    assert "agent_memories_lookups_idx" in plan
    assert [memory.content for memory in await client.memories.list(agent.id, where={"n": 7, "kind": "note"})] == ["7"]


async def test_an_equal_one_is_stored_once(client: PrismaAgentClient, agent: Agent) -> None:
    """In one batch, at once, or later; other metadata make another memory, and so does not being sensitive."""
    first = await client.memories.store(entry(agent, metadata={"b": 1, "a": [2]}))
    again = await asyncio.gather(*(client.memories.store(entry(agent, metadata={"a": [2], "b": 1})) for _ in range(5)))
    batch = await client.memories.store_many([entry(agent, metadata={"a": [2], "b": 1}), entry(agent)] * 2)

    assert {*again, batch[0], batch[2]} == {first}
    assert batch[1] == batch[3] != first
    assert (await client.memories.get(first)).store_count == 8
    plain = await client.memories.store(MemoryEntry(agent_id=agent.id, content=SECRET))
    assert plain not in {first, batch[1]}
    with pytest.raises(ConflictError):
        await client.memories.store(entry(agent), on_duplicate="raise")
    assert await client.memories.count(agent.id) == 3


@pytest.mark.parametrize("has_older", [False, True])
async def test_an_expired_equal_comes_back(
    client: PrismaAgentClient, agent: Agent, admin_url: str, has_older: bool
) -> None:
    """Under the new id, or its own where an older version points to it; and opens there."""
    end = datetime.now(UTC) + timedelta(hours=1)
    first = await client.memories.store(entry(agent, metadata=METADATA, expires_at=end))
    if has_older:
        older = await client.memories.store(entry(agent, "older"))
        assert await client.memories.supersede(older, entry(agent, metadata=METADATA)) == first
    async with administering(admin_url) as connection:
        await connection.execute(
            "UPDATE agent_memories SET expires_at = now() - interval '1 hour' WHERE id = $1", first
        )

    second = await client.memories.store(entry(agent, metadata=METADATA))

    assert (second == first) is has_older
    memory = await client.memories.get(second)
    assert (memory.content, memory.metadata, memory.expires_at) == (SECRET, METADATA, None)
    assert await client.memories.count(agent.id, where={"subject": "alice"}) == 1


async def test_a_retried_write_lands_once(client: PrismaAgentClient, agent: Agent) -> None:
    """By its key, also when its memory was superseded since."""
    written = entry(agent, idempotency_key="once")
    first = await client.memories.store(written)
    second = await client.memories.supersede(first, entry(agent, "newer", idempotency_key="twice"))

    assert await client.memories.store(written) == first
    assert await client.memories.supersede(first, entry(agent, "newer", idempotency_key="twice")) == second
    assert await client.memories.store_many([written, entry(agent, "third")]) == [
        first,
        (await newest(client, agent)).id,
    ]


async def newest(client: PrismaAgentClient, agent: Agent) -> Any:
    return (await client.memories.list(agent.id, limit=1))[0]


async def test_changes(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """Of any field; what becomes sensitive leaves no plain text behind, what is so no more is found by its words."""
    memory_id = await client.memories.store(entry(agent, "first", metadata=METADATA))
    assert (await client.memories.update(memory_id, importance=1.0)).content == "first"
    assert (await client.memories.update(memory_id, content=SECRET)).metadata == METADATA
    changed = await client.memories.update(memory_id, metadata={"subject": "bob"})
    assert (changed.content, changed.metadata, changed.importance) == (SECRET, {"subject": "bob"}, 1.0)
    assert await client.memories.count(agent.id, where={"subject": "bob"}) == 1
    assert await client.memories.count(agent.id, where={"subject": "alice"}) == 0
    assert [text for text in await texts_of(admin_url) if SECRET in text or "bob" in text] == []

    plain = await client.memories.update(memory_id, sensitive=False)
    assert (plain.content, plain.metadata, plain.sensitive) == (SECRET, {"subject": "bob"}, False)
    assert await sealed_ids(admin_url) == set()
    assert [hit.id for hit in await client.memories.search(agent.id, "canary")] == [memory_id]
    assert await client.memories.count(agent.id, where={"NOT": {"subject": "alice"}}) == 1
    assert await client.memories.store(MemoryEntry(agent_id=agent.id, content=SECRET, metadata={"subject": "bob"})) == (
        memory_id
    )

    assert (await client.memories.update(memory_id, sensitive=True, memory_type="fact")).content == SECRET
    assert await sealed_ids(admin_url) == {memory_id}
    assert [text for text in await texts_of(admin_url) if SECRET in text] == []
    assert await client.memories.search(agent.id, "canary") == []
    with pytest.raises(ConflictError):
        await client.memories.update(
            await client.memories.store(entry(agent, "x", memory_type="fact")),
            content=SECRET,
            metadata={"subject": "bob"},
        )
    with pytest.raises(NotFoundError):
        await client.memories.update("01a204bf-38e6-7c72-a0e5-6526c4d1d84c", sensitive=False)


async def test_no_change_is_lost(client: PrismaAgentClient, agent: Agent) -> None:
    """Of several that are made of one memory at once, each of another field."""
    memory_id = await client.memories.store(entry(agent, "first"))
    changes: list[dict[str, Any]] = [
        {"content": SECRET}, {"metadata": METADATA}, {"importance": 0.25}, {"pinned": True}, {"memory_type": "fact"}
    ]  # fmt: skip
    await asyncio.gather(*(client.memories.update(memory_id, **change) for change in changes))

    memory = await client.memories.get(memory_id)
    assert [{name: getattr(memory, name) for name in change} for change in changes] == changes


@pytest.mark.parametrize(
    "change",
    [
        "sealed = set_byte(sealed, octet_length(sealed) - 1, get_byte(sealed, octet_length(sealed) - 1) # 1)",
        "sealed = (SELECT sealed FROM agent_memories AS other WHERE other.id <> m.id)",
        "id = '01a204bf-38e6-7c72-a0e5-6526c4d1d84c'",
        r"sealed = '\x00'",
    ],
)
async def test_what_was_changed_or_moved_does_not_open(
    client: PrismaAgentClient, agent: Agent, admin_url: str, change: str
) -> None:
    """The error names the memory; a list that holds it fails, and the other memory can still be read."""
    changed = await client.memories.store(entry(agent))
    other = await client.memories.store(entry(agent, "other"))
    async with administering(admin_url) as connection:
        changed = await connection.fetchval(
            f"UPDATE agent_memories AS m SET {change} WHERE id = $1 RETURNING id::text", changed
        )

    for read in (client.memories.get(changed), client.memories.list(agent.id), client.memories.search(agent.id)):
        with pytest.raises(EncryptionError, match=changed) as raised:
            await read
        assert raised.value.place == f"agent_memories.sealed of {changed}"
    assert (await client.memories.get(other)).content == "other"
    await client.memories.delete(changed)
    assert len(await client.memories.list(agent.id)) == 1


async def test_without_a_key_it_is_plain(database_url: str, admin_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """As one warning of a client says, whichever way it stores."""
    caplog.set_level(logging.WARNING, "agentdb.client")
    async with keyed(database_url) as client:
        agent = await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL"))
        await client.memories.store(MemoryEntry(agent_id=agent.id, content="not sensitive"))
        assert caplog.messages == []
        await client.memories.store(entry(agent))
        await client.memories.store_many([entry(agent, f"{number}") for number in range(3)])
        async with client.transaction() as transaction:
            await transaction.memories.store(entry(agent, "4"))
        assert [hit.content for hit in await client.memories.search(agent.id, "canary")] == [SECRET]

    assert caplog.messages == ["sensitive memories are stored as plain text: set AGENTDB_ENCRYPTION_KEYS"]
    assert await sealed_ids(admin_url) == set()


async def test_plain_may_be_refused(database_url: str) -> None:
    """Before anything is stored, whichever way; what is not sensitive is stored."""
    async with keyed(database_url, require_encryption=True) as client:
        agent = await client.agents.register(AgentConfig(name="scout", category="OPERATIONAL"))
        plain = [MemoryEntry(agent_id=agent.id, content=f"{number}") for number in range(1500)]
        memory_id = await client.memories.store(plain[0])
        for attempt in (
            client.memories.store(entry(agent)),
            client.memories.store_many([*plain, entry(agent)]),
            client.memories.supersede(memory_id, entry(agent)),
            client.memories.update(memory_id, sensitive=True),
        ):
            with pytest.raises(EncryptionError, match="AGENTDB_ENCRYPTION_KEYS") as raised:
                await attempt
            assert SECRET not in str(raised.value)
        assert [memory.id for memory in await client.memories.list(agent.id)] == [memory_id]


async def test_the_largest_content_and_the_oddest_metadata(client: PrismaAgentClient, agent: Agent) -> None:
    """Come back as they went in; what cannot be stored is refused as in any memory."""
    metadata = {
        "": -0.5,
        "a\\'\"": "\u2028 \U0001f6a2",
        "deep": {"x": [1, [2.5, {"y": None}]]},
        "big": 10**200,
        "e": 1e-7,
    }
    first = await client.memories.store(entry(agent, "x" * 1_000_000, metadata=metadata))
    assert (await client.memories.get(first)).metadata == metadata
    assert len((await client.memories.get(first)).content) == 1_000_000
    for key, value in metadata.items():
        if not isinstance(value, dict):
            assert await client.memories.count(where={key: value}) == 1, key
    with pytest.raises(InvalidInputError):
        unstorable = entry(agent)
        unstorable.metadata["k"] = "\0"
        await client.memories.store(unstorable)


async def test_sweeping_and_deleting_need_no_key(client: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """Nor does counting, replacing or sharing."""
    first = await client.memories.store(entry(agent))
    expired = await client.memories.store(entry(agent, "e", expires_at=datetime.now(UTC) - timedelta(hours=1)))
    async with keyed(database_url) as keyless:
        assert await keyless.memories.count(agent.id) == 1
        assert (await keyless.memories.sweep()).expired == 1
        newer = await keyless.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="no secret"))
        assert await keyless.memories.delete(newer)
        assert not await keyless.memories.delete(expired)
        assert await keyless.memories.count(agent.id) == 0
