"""Erasing an agent, what is about a person, or an organization."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from agentdb import (
    Agent,
    AgentConfig,
    EncryptionError,
    Erased,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
    Settings,
)
from agentdb.client.catalogue import columns_of
from agentdb.client.database import TABLES
from agentdb.client.encryption import values as sealed_values
from agentdb.client.encryption.values import SEALED, SealedValues
from agentdb.client.erasure import erasing, found
from agentdb.client.erasure.found import KINDS
from agentdb.client.resource import Resource
from tests.integration.client.everything import HOURS_AGO, checksums, counts, fill
from tests.integration.client.transferring import administering

pytestmark = pytest.mark.postgres

KEPT = {"access_log"}
KEYS = {"new": b"n" * 32, "old": b"o" * 32}


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be too much for one transaction."""
    monkeypatch.setattr(erasing, "_MOST_AT_ONCE", 3)
    monkeypatch.setattr(erasing, "_HOURS_AT_ONCE", 2)
    for module in (erasing, found):
        monkeypatch.setattr(module, "KINDS", [replace(kind, at_once=2) for kind in KINDS])


async def others(client: PrismaAgentClient) -> list[PrismaAgentClient]:
    """Two more organizations with rows everywhere, of which one has agents of the same ids."""
    clients = [client.for_organization(name) for name in ("same", "other")]
    await fill(clients[0])
    await fill(clients[1], ("elsewhere", "anywhere"))
    return clients


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("scope", [{"agent_id": "scout-1"}, {"subject": "Ann", "key": "who"}, {"organization": True}])
async def test_nobody_else_is_touched(
    client: PrismaAgentClient, admin_url: str, scope: dict[str, Any], steps: bool, request: pytest.FixtureRequest
) -> None:
    """Checksums of all tables of two other organizations; the dry run said what would go."""
    if steps:
        request.getfixturevalue("in_small_steps")
    await fill(client)
    if "subject" in scope:
        await client.metrics.roll_up()  # as the erasure of a person does
    clients = await others(client)
    before = [await checksums(admin_url, other.organization_id) for other in clients]
    there = await counts(admin_url, "acme")

    rehearsed = await client.erase(**scope, dry_run=True)
    assert {**await counts(admin_url, "acme"), **dict.fromkeys(KEPT, 0)} == {**there, **dict.fromkeys(KEPT, 0)}
    erased = await client.erase(**scope)

    left = await counts(admin_url, "acme")
    gone = {t: n - left.get(t, 0) for t, n in there.items() if t not in KEPT and n != left.get(t, 0)}
    assert erased.is_complete
    assert erased.rows == rehearsed.rows == gone
    assert [await checksums(admin_url, other.organization_id) for other in clients] == before


async def test_every_table_has_rows_to_lose(client: PrismaAgentClient, admin_url: str) -> None:
    """Else the tests of this file would forget one: a new table goes into `fill`, and into queries/erasure.sql."""
    await fill(client)

    assert set(await counts(admin_url, "acme")) | KEPT == set(TABLES) | KEPT


@pytest.mark.parametrize("steps", [False, True])
async def test_an_organization_has_nothing_left(
    client: PrismaAgentClient, admin_url: str, steps: bool, request: pytest.FixtureRequest
) -> None:
    """In any table but the access log, which the application cannot delete: how much is left there is said."""
    if steps:
        request.getfixturevalue("in_small_steps")
    await fill(client)

    erased = await client.erase(organization=True)

    assert set(await counts(admin_url, "acme")) <= KEPT
    assert set(erased.residue) <= {"access_log.organization_id"}
    assert await client.erase(organization=True) == Erased({}, erased.residue, {}, True)


async def test_what_is_left_of_an_agent(client: PrismaAgentClient) -> None:
    """Others' executions without their parent, tools without their owner, and who speaks of it."""
    await fill(client)
    await client.agents.register(AgentConfig(name="scout-10", id="scout-10", category="SUPPORT"))
    await client.memories.store(MemoryEntry(agent_id="pilot-1", content="I met scout-1, and scout-10."))
    erased = await client.erase(agent_id="scout-1")

    residue = {name: n for name, n in erased.residue.items() if not name.startswith("access_log")}
    assert residue == {"agent_memories.content": 1}
    assert await client.agents.find("scout-1") is None
    assert (await client.tools.get("look_scout-1")).owner_agent_id is None
    assert [each.parent_id for each in await client.executions.list(agent_id="pilot-1")] == [None, None]
    with pytest.raises(NotFoundError):
        await client.erase(agent_id="scout-1")


async def test_nothing_is_taken_for_everything(client: PrismaAgentClient, admin_url: str) -> None:
    """A scope that is missing, empty, doubled or of the wrong kind is refused by name before anything is done."""
    await fill(client)
    before = await checksums(admin_url, "acme")
    wrong: list[dict[str, Any]] = [
        {},
        {"agent_id": None},
        {"subject": None},
        {"organization": False},
        {"organization": "acme"},
        {"organization": 1},
        {"organization": None},
        {"agent_id": ""},
        {"subject": ""},
        {"subject": 7},
        {"subject": ["Ann"]},
        {"subject": "Ann", "key": ""},
        {"subject": "Ann", "key": None},
        {"subject": "a\x00b"},
        {"agent_id": "scout-1", "subject": "Ann"},
        {"agent_id": "scout-1", "organization": True},
        {"subject": "Ann", "organization": True},
        {"agent_id": "scout-1", "dry_run": "no"},
    ]
    for scope in wrong:
        with pytest.raises(InvalidInputError):
            await client.erase(**scope)
    for scope in ({}, {"agent_id": "a", "subject": "b"}, {"subject": ""}):
        with pytest.raises(InvalidInputError):
            await client.residue(**scope)

    assert await checksums(admin_url, "acme") == before


async def about(client: PrismaAgentClient, agent: str, value: Any, key: str = "subject") -> None:
    """Store something of every kind with *value* under *key*."""
    says = {key: value}
    await client.memories.store(MemoryEntry(agent_id=agent, content=f"m{value}", metadata=says))
    await client.memories.store(MemoryEntry(agent_id=agent, content=f"s{value}", metadata=says, sensitive=True))
    await client.executions.start(agent, says)
    await client.executions.start(agent, "settings", settings=says)
    await client.executions.finish((await client.executions.start(agent, "result")).id, says)
    async with client.executions.track(agent, "step") as execution:
        execution.log("asked", **says)
        execution.log("asked again")
    await client.metrics.record(agent, "m", 1, labels=says, recorded_at=HOURS_AGO)
    pattern = await client.patterns.record(agent, "p", says)
    await client.patterns.outcome(pattern.id, True)


ABOUT = {
    "agent_memories": 2,
    "agent_executions": 4,
    "agent_steps": 2,
    "agent_metrics": 1,
    "learning_patterns": 1,
    "learning_outcomes": 1,
}


@pytest.mark.parametrize("value", ["Ann", ["Bob", "Ann"]])
async def test_what_is_about_a_person(client: PrismaAgentClient, agent: Agent, value: Any) -> None:
    """Under the key, as text or in a list; other keys, deeper levels and longer names are not it."""
    for unlike in ("Anna", "ann", ["Bob"], {"subject": "Ann"}, None, ["Anna"]):
        await about(client, agent.id, unlike)
    await about(client, agent.id, "Ann", key="author")
    kept = await client.erase(subject="Ann", dry_run=True)
    await about(client, agent.id, value)

    erased = await client.erase(subject="Ann")

    assert kept == Erased({}, {}, {}, False)
    assert erased.rows == ABOUT
    assert erased.is_complete
    assert erased.residue == await client.residue(subject="Ann")
    assert erased.residue["agent_memories.metadata"] > 0  # what says it elsewhere is told, and kept
    assert (await client.erase(subject="Ann", key="author")).rows == ABOUT


@pytest.mark.parametrize("value", [42, [41, 42], "42"])
async def test_a_number_is_what_it_is_written_as(client: PrismaAgentClient, agent: Agent, value: Any) -> None:
    """A person's id that is a number in JSON is not missed."""
    await about(client, agent.id, value)

    assert (await client.erase(subject="42")).rows == ABOUT


async def test_older_versions_and_hours_go_along(client: PrismaAgentClient, agent: Agent) -> None:
    """A memory's history though it does not say it; of metrics, the hours are rolled up anew."""
    first = await client.memories.store(MemoryEntry(agent_id=agent.id, content="one"))
    second = await client.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="two"))
    await client.memories.supersede(second, MemoryEntry(agent_id=agent.id, content="3", metadata={"subject": "Ann"}))
    for value, labels in ((1.0, {}), (5.0, {"subject": "Ann"})):
        await client.metrics.record(agent.id, "m", value, labels=labels, recorded_at=HOURS_AGO)
    await client.metrics.roll_up()

    erased = await client.erase(subject="Ann")

    assert erased.rows == {"agent_memories": 3, "agent_metrics": 1}
    assert (await client.metrics.summary(agent.id, 24 * 2))["m"].max == 1.0
    rollups = await client.prisma.agentmetricrollup.find_many()
    assert [(each.count, each.max) for each in rollups] == [(1, 1.0)]
    assert await client.prisma.agentmetriclatehour.count() == 0


@pytest.mark.usefixtures("in_small_steps")
async def test_a_long_history_in_small_steps(client: PrismaAgentClient, agent: Agent) -> None:
    """Newer versions before or after older ones: no key is ever broken, and each is counted once."""
    memory = await client.memories.store(MemoryEntry(agent_id=agent.id, content="0", metadata={"subject": "Ann"}))
    for n in range(1, 12):
        entry = MemoryEntry(agent_id=agent.id, content=f"{n}", metadata={"subject": "Ann"} if n % 3 else {})
        memory = await client.memories.supersede(memory, entry)
    progress: list[tuple[int, int]] = []

    erased = await client.erase(subject="Ann", progress=lambda done, total: progress.append((done, total)))

    assert erased.rows == {"agent_memories": 12}
    assert erased.is_complete
    assert progress[-1] == (12, 12)


@pytest.mark.usefixtures("in_small_steps")
@pytest.mark.parametrize("scope", [{"agent_id": "scout-1"}, {"subject": "Ann"}, {"organization": True}])
async def test_broken_off_and_finished_later(
    client: PrismaAgentClient, admin_url: str, scope: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any step: no row refers to one that is gone, and another erasure does the rest."""
    await fill(client)
    for n in range(4):
        await client.memories.store(MemoryEntry(agent_id="pilot-1", content=f"{n}", metadata={"subject": "Ann"}))
    expected = (await client.erase(**scope, dry_run=True)).rows
    done: dict[str, int] = {}

    class Killed(BaseException):
        pass

    def kill(*_: int) -> None:
        raise Killed

    for _ in range(40):
        there = await counts(admin_url, "acme")
        try:
            erased = await client.erase(**scope, progress=kill)
        except (Killed, NotFoundError):
            left = await counts(admin_url, "acme")
            for table, count in there.items():
                done[table] = done.get(table, 0) + count - left.get(table, 0)
        else:
            assert erased.rows == {}
            break
        if "agent_id" in scope and await client.agents.find("scout-1") is None:
            break
    else:
        raise AssertionError("it never came to its end")
    assert {table: count for table, count in done.items() if count} == expected


async def test_in_a_transaction_of_the_caller(client: PrismaAgentClient, admin_url: str) -> None:
    """It is part of that, and undone with it."""
    await fill(client)
    before = await checksums(admin_url, "acme")

    with pytest.raises(RuntimeError):
        async with client.transaction() as transaction:
            assert (await transaction.erase(organization=True)).is_complete
            raise RuntimeError

    assert await checksums(admin_url, "acme") == before


async def test_nothing_comes_back(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """What waits in this process at that moment goes along; what comes later has nothing to belong to."""
    await client.tools.register("look")
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="seen"))
    await client.memories.search(agent.id)
    recorder = client.metrics.recorder()
    async with recorder:
        await recorder.record(agent.id, "m", 1.0)
        async with client.executions.track(agent.id, "work") as execution:
            execution.log("before")
            client.tools.note_call("look", agent.id, success=True, duration_ms=1)
            erased = await client.erase(agent_id=agent.id)
            execution.log("after")
            client.tools.note_call("look", agent.id, success=True, duration_ms=1)
        await recorder.record(agent.id, "m", 2.0)
        await client.gathering.settle()

    assert erased.rows["agent_steps"] == 2
    assert erased.rows["agent_metrics"] == 1
    assert set(await counts(admin_url, "acme")) <= {"agent_tools", "agent_tool_versions", *KEPT}


async def test_nothing_about_a_person_comes_back(client: PrismaAgentClient, agent: Agent) -> None:
    """Steps and ends of executions that were erased while they ran have nothing to belong to, in a tree either."""
    async with client.executions.track(agent.id, {"subject": "Ann"}) as execution:
        child = await client.executions.start(agent.id, "help", parent_id=execution.id)
        execution.log("before")
        erased = await client.erase(subject="Ann")
        execution.log("after", subject="Ann")
        execution.result = {"subject": "Ann"}
    await client.gathering.settle()

    assert erased.rows == {"agent_executions": 1, "agent_steps": 1}
    assert await client.residue(subject="Ann") == {}
    assert [(each.id, each.parent_id) for each in await client.executions.list()] == [(child.id, None)]


async def test_while_others_store(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """What is counted is what went, though the agent went on until it was gone."""
    await client.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"{n}") for n in range(200))
    stored = 200

    async def go_on() -> None:
        nonlocal stored
        with pytest.raises(NotFoundError):
            while True:
                await client.memories.store(MemoryEntry(agent_id=agent.id, content=f"more {stored}"))
                stored += 1

    going_on = [asyncio.create_task(go_on())]
    await client.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"too {n}") for n in range(100))
    stored += 100
    erased = await client.erase(agent_id=agent.id)
    await asyncio.gather(*going_on)

    assert erased.rows["agent_memories"] == stored
    assert erased.is_complete
    assert set(await counts(admin_url, "acme")) <= KEPT


async def test_an_organization_while_others_store(client: PrismaAgentClient, agent: Agent) -> None:
    """The same for all of an organization."""
    stored = 0

    async def go_on() -> None:
        nonlocal stored
        with pytest.raises(NotFoundError):
            while True:
                await client.memories.store(MemoryEntry(agent_id=agent.id, content=f"{stored}"))
                stored += 1

    for _ in range(5):
        await client.agents.register(AgentConfig(name=agent.name, id=agent.id, category="SUPPORT"))
        going_on = asyncio.create_task(go_on())
        await asyncio.sleep(0.05)
        erased = await client.erase(organization=True)
        await going_on

        assert (erased.rows["agents"], erased.rows.get("agent_memories", 0)) == (1, stored)
        assert erased.is_complete
        stored = 0


async def test_small_steps_end_though_others_go_on(
    client: PrismaAgentClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes while they are made goes with the agent itself: they do not run after it."""
    monkeypatch.setattr(erasing, "_MOST_AT_ONCE", 3)
    monkeypatch.setattr(erasing, "KINDS", [replace(kind, at_once=100) for kind in KINDS])
    await client.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"{n}") for n in range(150))
    steps = 0

    async def go_on() -> None:
        with pytest.raises(NotFoundError):
            for n in range(10_000):
                await client.memories.store(MemoryEntry(agent_id=agent.id, content=f"more {n}"))

    def count(*_: int) -> None:
        nonlocal steps
        steps += 1

    going_on = asyncio.create_task(go_on())
    erased = await client.erase(agent_id=agent.id, progress=count)
    await going_on

    assert erased.is_complete
    assert steps <= 2 + 1 + 1  # a full one, one that is not, the hours, the agent


async def test_hours_of_an_erasure_that_was_broken_off(
    client: PrismaAgentClient, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are rolled up anew by the next, though it finds no points any more."""
    for value, labels in ((1.0, {}), (5.0, {"subject": "Ann"})):
        await client.metrics.record(agent.id, "m", value, labels=labels, recorded_at=HOURS_AGO)
    await client.metrics.roll_up()

    class Killed(BaseException):
        pass

    def kill(*_: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        await client.erase(subject="Ann", progress=kill)
    erased = await client.erase(subject="Ann")

    assert erased.rows == {}
    assert [each.max for each in await client.prisma.agentmetricrollup.find_many()] == [1.0]


async def test_residue_looks_everywhere(client: PrismaAgentClient, admin_url: str) -> None:
    """Each column of every table that can hold a text, as the catalogue has them, in tables of tomorrow too."""
    await fill(client)
    kinds = {
        "text": "'say «Ann»,\nnow'",
        "text[]": "ARRAY['a', E'\\n\\tAnn']",
        "jsonb": 'jsonb \'{"a": [{"\\nAnn\\t": 1}]}\'',
    }
    columns = [column for column in await columns_of(client.driver) if column.name != "organization_id"]
    async with administering(admin_url) as connection:
        for table in TABLES:  # a copy has no keys and no checks
            of_text = [c for c in columns if c.table == table and c.type in kinds]
            changes = ", ".join(f"{column.name} = {kinds[column.type]}" for column in of_text)
            await connection.execute(f"CREATE TABLE copy_{table} AS SELECT * FROM {table}")
            await connection.execute(f"GRANT SELECT ON copy_{table} TO agentdb_app")
            if changes:
                await connection.execute(f"UPDATE copy_{table} SET {changes}")

    residue = await client.residue(subject="Ann")

    expected = {f"copy_{c.table}.{c.name}" for c in columns if c.type in kinds}
    assert len(expected) > 40
    assert {name for name in expected if not name.startswith("copy_access_log")} <= set(residue)


async def test_every_type_is_looked_into_or_known_to_hold_no_text(client: PrismaAgentClient) -> None:
    """A column of another type has to be thought about; of bytes only those that are sealed hold what somebody said."""
    no_text = (
        r"uuid|integer|bigint|boolean|double precision|numeric\(.*|timestamp.*|vector|tsvector|bytea(\[\])?|integer\[\]"
    )
    enums = "agent_category|agent_status|memory_visibility|tool_status|execution_status|pattern_scope|pattern_status"
    known = re.compile(rf"text|text\[\]|jsonb|{no_text}|{enums}")

    assert [column for column in await columns_of(client.driver) if not known.fullmatch(column.type)] == []


@pytest.mark.parametrize(
    ("text", "name", "is_found"),
    [
        ("Ann was here", "Ann", True),
        ("(Ann)", "Ann", True),
        ("Anna", "Ann", False),
        ("Joh_Ann", "Ann", False),
        ("Ann-Marie", "Ann", True),
        ("ann", "Ann", False),
        ('say "hi" \\ there', 'say "hi" \\ there', True),
        ("a.b", "a.b", True),
        ("axb", "a.b", False),
        ("mail ann@x.org.", "ann@x.org", True),
        ("日本語 Ann", "日本語", True),
        ("line\nAnn\tline", "Ann", True),
        ("two\nlines", "two\nlines", True),
        ("c:\\new", "new", True),
    ],
)
async def test_what_a_mention_is(client: PrismaAgentClient, agent: Agent, text: str, name: str, is_found: bool) -> None:
    """The same in a plain text and in JSON."""
    await client.memories.store(MemoryEntry(agent_id=agent.id, content=text, metadata={"k": [text]}))

    residue = await client.residue(subject=name)

    assert residue == ({"agent_memories.content": 1, "agent_memories.metadata": 1} if is_found else {})


async def test_sealed_columns_are_known(client: PrismaAgentClient) -> None:
    """All those that the catalogue has: bytes that are called sealed."""
    in_catalogue = {
        (column.table, column.name)
        for column in await columns_of(client.driver)
        if column.type == "bytea" and column.name.startswith("sealed")
    }

    assert {(column.table, column.column) for column in SEALED} == in_catalogue


def sealing(url: str, keys: dict[str, bytes] = KEYS) -> PrismaAgentClient:
    """A client of "acme" that encrypts all it can."""
    settings = Settings(organization_id="acme", database_url=url, encryption_keys=keys)
    return PrismaAgentClient(
        settings=replace(settings, encrypt=frozenset({"executions", "tools"}) if keys else frozenset())
    )


async def test_what_is_sealed_is_looked_into(database_url: str) -> None:
    """As if it were plain: what is about a person, and what speaks of one."""
    async with sealing(database_url) as client:
        await client.agents.register(AgentConfig(name="scout", id="scout-1", category="SUPPORT"))
        await about(client, "scout-1", "Ann")
        await about(client, "scout-1", "Bob")
        await client.tools.register("look", "", {"title": "as Ann does"})
        before = await client.residue(subject="Ann")

        erased = await client.erase(subject="Ann")

        assert before["agent_executions.sealed_task"] == 1
        assert before["agent_memories.sealed"] == 1
        assert erased.rows == ABOUT
        assert erased.residue == {"agent_tools.sealed": 1, "agent_tool_versions.sealed": 1}


SAID = [
    "Ann",
    "é",
    "e\u0301",
    'a"b',
    "a\\b",
    "null",
    "42",
    42,
    42.0,
    1e22,
    1e-7,
    -0.0,
    True,
    None,
    ["Ann"],
    [["Ann"]],
    {"a": 1},
]
ASKED = [str(value) for value in SAID if isinstance(value, str | int)]
ASKED += [
    "42.0",
    "10000000000000000000000",
    "0.0000001",
    "0.0",
    "-0.0",
    "true",
    "1e22",
    '["Ann"]',
    '{"a": 1}',
    "\N{SNOWMAN}",
]


async def test_it_makes_no_difference_whether_it_is_sealed(client: PrismaAgentClient, database_url: str) -> None:
    """Who is meant by what: texts byte for byte, numbers as PostgreSQL writes them, and nothing that is deeper."""
    async with sealing(database_url) as sealed:
        await client.agents.register(AgentConfig(name="scout", id="scout-1", category="SUPPORT"))
        for sensitive in (False, True):
            for value in [*SAID, *([value] for value in SAID)]:
                entry = MemoryEntry(
                    agent_id="scout-1", content=repr(value), metadata={"subject": value}, sensitive=sensitive
                )
                await (sealed if sensitive else client).memories.store(entry)
        memories = {memory.id: memory for memory in await sealed.memories.list("scout-1")}

        for subject in ASKED:
            about = next(
                ids for kind, ids in await erasing.Erasure(sealed).find(subject, "subject") if "mem" in kind.table
            )
            plain, closed = (
                sorted(memories[each].content for each in about if memories[each].sensitive is sensitive)
                for sensitive in (False, True)
            )
            assert plain == closed, subject
            assert all("{" not in content and "[[" not in content for content in plain)


async def test_sealed_values_are_read_in_bounded_memory(
    client: PrismaAgentClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few large ones at a time, and all of them."""
    monkeypatch.setattr(sealed_values, "_PAGE_BYTES", 25_000)
    sizes: list[int] = []
    fetch = Resource._fetch

    async def watched(self: Any, sql: str, *arguments: object, **named: Any) -> Any:
        rows = await fetch(self, sql, *arguments, **named)
        if sql == SEALED[0].sql:
            sizes.append(len(rows))
        return rows

    monkeypatch.setattr(Resource, "_fetch", watched)
    async with sealing(database_url) as sealed:
        await sealed.agents.register(AgentConfig(name="scout", id="scout-1", category="SUPPORT"))
        for n in range(5):
            content = f"{n}" + 10_000 * "x"
            await sealed.memories.store(MemoryEntry(agent_id="scout-1", content=content, sensitive=True))
        found = [row async for row in SealedValues(sealed).values(SEALED[0])]

    assert len({row["key"] for row in found}) == 5
    assert sizes == [3, 2, 0]


async def test_a_key_that_is_missing(database_url: str, admin_url: str) -> None:
    """Nothing is erased of a person whom nobody can tell; an agent goes, and what could not be read is counted."""
    async with sealing(database_url) as client:
        for agent in ("scout-1", "pilot-1"):
            await client.agents.register(AgentConfig(name=agent, id=agent, category="SUPPORT"))
            await about(client, agent, "Ann")
    before = await checksums(admin_url, "acme")
    async with sealing(database_url, {}) as client:
        with pytest.raises(EncryptionError):
            await client.erase(subject="Ann", dry_run=True)
        with pytest.raises(EncryptionError):
            await client.erase(subject="Ann")
        with pytest.raises(EncryptionError):
            await client.residue(subject="Ann")
        assert await checksums(admin_url, "acme") == before

        erased = await client.erase(agent_id="scout-1")

    assert erased.is_complete
    assert erased.residue == {}
    assert erased.unread["agent_memories.sealed"] == 1


async def test_with_an_access_log(database_url: str, admin_url: str) -> None:
    """It is told there, in small steps too, and the log itself stays: what is left in it is said."""
    settings = Settings(organization_id="acme", database_url=database_url, access_log=True)
    async with PrismaAgentClient(settings=settings) as client:
        await fill(client)
        agent = await client.erase(agent_id="scout-1")
        person = await client.erase(subject="Ann", key="who")
        everything = await client.erase(organization=True)

    assert [erased.is_complete for erased in (agent, person, everything)] == [True] * 3
    assert set(agent.residue) == {"access_log.agent_id", "access_log.row_ids"}
    assert set(everything.residue) == {"access_log.organization_id"}
    assert set(await counts(admin_url, "acme")) == {"access_log"}
    async with administering(admin_url) as connection:
        names = await connection.fetch("SELECT DISTINCT operation FROM access_log WHERE operation LIKE 'erasure%'")
    assert [row["operation"] for row in names] == ["erasure.erase"]


async def test_nothing_of_it_is_said(client: PrismaAgentClient, agent: Agent) -> None:
    """A residue counts and never quotes."""
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="Ann owes 7"))

    assert json.dumps(await client.residue(subject="Ann")) == '{"agent_memories.content": 1}'
