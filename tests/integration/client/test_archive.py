"""An agent or an organization as lines of text, and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentdb import (
    AgentConfig,
    ConflictError,
    EncryptionError,
    InvalidInputError,
    MemoryEntry,
    MetricPoint,
    NotFoundError,
    PrismaAgentClient,
    Settings,
)
from agentdb.client.archive import transfer
from agentdb.client.archive.rows import ARCHIVE
from agentdb.client.archive.tables import LEFT_BEHIND, MOVED
from agentdb.client.catalogue import columns_of
from agentdb.client.database import TABLES
from agentdb.client.memory.lines import LineWriter
from agentdb.client.memory.transfer import SealedAs
from tests.integration.client.everything import checksums, counts, fill
from tests.integration.client.test_event_loop import LONGEST_MS, longest_pause
from tests.integration.client.transferring import administering

pytestmark = pytest.mark.postgres

KEYS = {"k1": b"1" * 32}
OTHER_KEYS = {"k2": b"2" * 32}


async def exported(client: PrismaAgentClient, agent_id: str | None = None, sealed: SealedAs | None = None) -> list[str]:
    """Return all lines of an export."""
    return [line async for line in client.export_lines(agent_id, sealed=sealed)]


async def rows_of(admin_url: str, organization_id: str) -> dict[str, list[str]]:
    """Return all rows of an organization that are moved, without its name and what the database makes of them."""
    found = {}
    async with administering(admin_url) as connection:
        for moved in MOVED:
            rows = await connection.fetch(
                f"SELECT (to_jsonb(t) - 'organization_id' - 'content_tsv')::text AS row FROM {moved.table} AS t"
                f" WHERE organization_id = $1 AND {moved.always} ORDER BY 1",
                organization_id,
            )
            found[moved.table] = [row["row"] for row in rows]
    return found


async def versions_of(admin_url: str, organization_id: str) -> list[str]:
    """Return which transaction wrote each row of every table."""
    found = []
    async with administering(admin_url) as connection:
        for table in set(TABLES) - {"access_log"}:
            sql = f"SELECT xmin::text AS v FROM {table} WHERE organization_id = $1"
            found += sorted(row["v"] for row in await connection.fetch(sql, organization_id))
    return sorted(found)


def test_every_table_is_moved_or_left_behind() -> None:
    """On purpose: a new table has to be thought about."""
    assert {moved.table for moved in MOVED} | LEFT_BEHIND == set(TABLES) | LEFT_BEHIND


async def test_tables_come_after_those_that_they_refer_to(client: PrismaAgentClient, admin_url: str) -> None:
    """As the catalogue has the foreign keys; a table may refer to itself where the key can be deferred."""
    places = {moved.table: place for place, moved in enumerate(MOVED)}
    async with administering(admin_url) as connection:
        keys = await connection.fetch(
            "SELECT conrelid::regclass::text AS f, confrelid::regclass::text AS t, condeferrable AS d"
            " FROM pg_constraint WHERE contype = 'f'"
        )
    for key in keys:
        if key["f"] in places:
            assert places[key["f"]] > places[key["t"]] or (key["f"] == key["t"] and key["d"]), key


async def test_keys_are_primary_keys(client: PrismaAgentClient, admin_url: str) -> None:
    """By which pages follow each other, none twice and none left out."""
    async with administering(admin_url) as connection:
        for moved in MOVED:
            key = await connection.fetchval(
                "SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index AS i,"
                " unnest(i.indkey::int2[]) WITH ORDINALITY AS k (num, n), pg_attribute AS a"
                " WHERE i.indrelid = $1::text::regclass AND i.indisprimary AND a.attrelid = i.indrelid"
                " AND a.attnum = k.num",
                moved.table,
            )
            assert tuple(key) == ("organization_id", *moved.key)


@pytest.mark.parametrize("rows_at_once", [2, 500])
async def test_an_organization_arrives_as_it_was(
    client: PrismaAgentClient, admin_url: str, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row and every column of every table, in another organization; a second time nothing is written."""
    monkeypatch.setattr(transfer, "_PAGE_ROWS", rows_at_once)
    monkeypatch.setattr(transfer, "_STATEMENT_ROWS", rows_at_once)
    await fill(client)
    await client.metrics.retain(points_days=0)
    await fill(client.for_organization("bystander"))
    bystander = await checksums(admin_url, "bystander")
    lines = await exported(client)
    other = client.for_organization("other")

    restored = await other.import_lines(lines)
    before = await versions_of(admin_url, "other")
    again = await other.import_lines(lines)

    expected = await rows_of(admin_url, "acme")
    assert await rows_of(admin_url, "other") == expected
    assert restored.known == {}
    assert restored.rows == {table: len(rows) for table, rows in expected.items() if rows}
    assert set(restored.rows) | LEFT_BEHIND | {"agent_metrics"} == set(TABLES) | LEFT_BEHIND
    assert (again.rows, again.known) == ({}, restored.rows)
    assert await versions_of(admin_url, "other") == before
    assert await checksums(admin_url, "bystander") == bystander
    assert len(lines) == sum(restored.rows.values()) + 2


async def test_metrics_are_rolled_up_where_they_arrive(client: PrismaAgentClient) -> None:
    """Hours whose points come along are not moved; what is read there is the same."""
    await fill(client)
    other = client.for_organization("other")
    await other.import_lines(await exported(client))
    assert await other.metrics.summary("scout-1", 48) == await client.metrics.summary("scout-1", 48)

    await client.metrics.roll_up()
    await other.metrics.roll_up()

    def figures(rows: Sequence[Any]) -> list[dict[str, Any]]:
        return sorted((row.model_dump(exclude={"organizationId"}) for row in rows), key=str)

    here, there = await client.prisma.agentmetricrollup.find_many(), await other.prisma.agentmetricrollup.find_many()
    assert figures(here) == figures(there) != []


async def test_what_one_agent_takes_along(client: PrismaAgentClient, admin_url: str) -> None:
    """Its rows, the tools it has or has called; nobody else's, and no reference to them."""
    await fill(client)
    other = client.for_organization("other")

    restored = await other.import_lines(await exported(client, "scout-1"))

    assert restored.rows["agents"] == 1
    assert restored.rows["agent_tools"] == 2
    assert restored.rows["agent_executions"] == 2
    assert "model_prices" not in restored.rows
    tools = {tool.name: tool.owner_agent_id for tool in await other.tools.list()}
    assert tools == {"look_scout-1": "scout-1", "look_pilot-1": None}
    assert {each.parent_id for each in await other.executions.list()} == {None}
    there = (await rows_of(admin_url, "other"))["agent_memories"]
    assert set(there) < set((await rows_of(admin_url, "acme"))["agent_memories"])
    assert len(there) == 4


async def test_into_another_agent(client: PrismaAgentClient, admin_url: str) -> None:
    """Which has to be there, and takes all of it; an organization's archive is no one agent's."""
    await fill(client)
    other = client.for_organization("other")
    await other.agents.register(AgentConfig(name="target", id="target", category="SUPPORT"))
    lines = await exported(client, "scout-1")

    restored = await other.import_lines(lines, agent_id="target")

    assert [agent.id for agent in await other.agents.list()] == ["target"]
    assert len(await other.memories.list("target")) == 3
    assert restored.rows["agent_steps"] == len((await rows_of(admin_url, "other"))["agent_steps"])
    with pytest.raises(NotFoundError):
        await other.import_lines(lines, agent_id="nobody")
    with pytest.raises(InvalidInputError, match="agent_id"):
        await other.import_lines(await exported(client), agent_id="target")


async def test_what_is_there_stays(client: PrismaAgentClient, admin_url: str) -> None:
    """Tools and patterns of the same name under another id, with what belongs to them; calls name the tool there."""
    await fill(client, ("scout-1",))
    other = client.for_organization("other")
    await other.agents.register(AgentConfig(name="scout-1", id="scout-1", category="STRATEGIC"))
    await other.tools.register("look_scout-1", "Mine.", {"type": "object", "title": "mine"})
    pattern = await other.patterns.record("scout-1", "route", {"via": "mine"}, name="north")
    await other.memories.store(MemoryEntry(agent_id="scout-1", content="Shared.", importance=0.9))
    tool = await other.tools.get("look_scout-1")

    restored = await other.import_lines(await exported(client))

    assert restored.known == {
        "agents": 1,
        "agent_memories": 1,
        "agent_tools": 1,
        "agent_tool_versions": 2,
        "learning_patterns": 1,
        "learning_outcomes": 3,
        "learning_pattern_changes": 1,
    }
    assert (await other.agents.get("scout-1")).category == "STRATEGIC"
    there = await other.tools.get("look_scout-1")
    assert (there.id, there.version, there.parameters) == (tool.id, tool.version, tool.parameters)
    assert there.calls == (await other.tools.stats("look_scout-1")).calls == 3
    assert await other.patterns.get(pattern.id) == pattern
    assert len(await other.tools.versions("look_scout-1")) == 1
    assert (await other.import_lines(await exported(client))).rows == {}


async def test_an_agents_name_that_is_anothers(client: PrismaAgentClient, admin_url: str) -> None:
    """Is a conflict, and nothing is stored."""
    await fill(client)
    other = client.for_organization("other")
    await other.agents.register(AgentConfig(name="pilot-1", id="mine", category="SUPPORT"))

    with pytest.raises(ConflictError, match="pilot-1"):
        await other.import_lines(await exported(client))

    assert await counts(admin_url, "other") == {"agents": 1}


async def test_children_that_come_before_their_parents(client: PrismaAgentClient) -> None:
    """Ids of executions need not rise from parent to child."""
    await client.agents.register(AgentConfig(name="scout-1", id="scout-1", category="SUPPORT"))
    ids: list[str] = []
    for n in range(12):
        execution = await client.executions.start(
            "scout-1", n, idempotency_key=f"{n}", parent_id=ids[-1] if ids else None
        )
        ids.append(execution.id)
    other = client.for_organization("other")
    assert ids != sorted(ids)

    await other.import_lines(await exported(client))

    assert {each.id: each.parent_id for each in await other.executions.list()} == dict(
        zip(ids, [None, *ids], strict=False)
    )


async def test_values_keep_every_digit(client: PrismaAgentClient, admin_url: str) -> None:
    """What Python would round: numbers in JSON, prices, times; and of lists of texts, every character."""
    await client.agents.register(AgentConfig(name="scout-1", id="scout-1", category="SUPPORT"))
    execution = await client.executions.start("scout-1", None)
    async with administering(admin_url) as connection:
        await connection.execute(
            "UPDATE agent_executions SET task = '[1.00000000000000000000000000001, 1e400, 0.10]',"
            " cost = 1234567890.0123456789, started_at = '2001-02-03 04:05:06.000007+08' WHERE id = $1",
            execution.id,
        )
        await connection.execute(
            "INSERT INTO model_prices (organization_id, model, valid_from, input)"
            " VALUES ('acme', 'x', '0099-01-01 00:00:00+00', 9999999999.9999999999)"
        )
    words = [" ", "null", "NULL", 'a"b', "a\\", "{a}", "a,b", "two\nlines", "\u3000", "\xa0x", "日本"]
    await client.agents.register(AgentConfig(name="pilot-1", id="pilot-1", category="SUPPORT", capabilities=words))
    other = client.for_organization("other")

    await other.import_lines(await exported(client))

    assert await rows_of(admin_url, "other") == await rows_of(admin_url, "acme")


async def test_with_an_access_log(database_url: str, admin_url: str) -> None:
    """Both are told there; what is moved is the same."""
    settings = Settings(organization_id="acme", database_url=database_url, access_log=True)
    async with PrismaAgentClient(settings=settings) as client:
        await fill(client)
        other = client.for_organization("other")
        await other.import_lines(client.export_lines())

    assert await rows_of(admin_url, "other") == await rows_of(admin_url, "acme")
    async with administering(admin_url) as connection:
        names = await connection.fetch(
            "SELECT DISTINCT operation FROM access_log WHERE operation LIKE 'archive%' ORDER BY 1"
        )
    assert [row["operation"] for row in names] == ["archive.export_lines", "archive.import_lines"]


async def test_one_moment(client: PrismaAgentClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored between its lines does not show, in no table."""
    monkeypatch.setattr(transfer, "_PAGE_ROWS", 2)
    await fill(client)
    before = await exported(client)

    lines = []
    async for line in client.export_lines():
        lines.append(line)
        if len(lines) == 2:
            await fill(client, ("late-1",), prices=False)
            await client.erase(agent_id="pilot-1")

    assert lines[1:-1] == before[1:-1]


async def test_a_page_holds_few_large_rows(client: PrismaAgentClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that hundreds of a quarter of a megabyte are not in memory at once."""
    await client.agents.register(AgentConfig(name="scout-1", id="scout-1", category="SUPPORT"))
    for n in range(5):
        await client.executions.start("scout-1", f"{n}" + 100_000 * "x")
    monkeypatch.setattr(transfer, "_PAGE_BYTES", 150_000)

    sizes: list[int] = []
    fetch = transfer.Archive._fetch

    async def watched(self: Any, sql: str, *arguments: object, **named: Any) -> Any:
        rows = await fetch(self, sql, *arguments, **named)
        if "FROM agent_executions AS t WHERE" in sql and "json_build_object" in sql:
            sizes.append(len(rows))
        return rows

    monkeypatch.setattr(transfer.Archive, "_fetch", watched)
    assert len(await exported(client)) == 5 + 1 + 2
    assert sizes == [2, 2, 1, 0]


async def test_neither_blocks_the_event_loop(client: PrismaAgentClient) -> None:
    """Not with thousands of rows, and not with large ones; the best of three."""
    await client.agents.register(AgentConfig(name="scout-1", id="scout-1", category="SUPPORT"))
    points = [MetricPoint(agent_id="scout-1", name="m", value=n, labels={"n": n}) for n in range(2000)]
    await client.metrics.record_many(points)
    for n in range(30):
        await client.executions.start("scout-1", f"{n}" + 100_000 * "x")
    lines = await exported(client)

    out = [await longest_pause(lambda: exported(client)) for _ in range(3)]
    copies = [client.for_organization(f"copy-{n}") for n in range(3)]
    back = [await longest_pause(lambda copy=copy: copy.import_lines(lines)) for copy in copies]  # type: ignore[misc]

    assert min(out) < LONGEST_MS
    assert min(back) < LONGEST_MS


# Damage.


def resealed(lines: list[str], change: Any) -> list[str]:
    """Return lines after *change* was made to what they hold, with checksums that fit."""
    documents = [{k: v for k, v in json.loads(line).items() if k != "sha256"} for line in lines[:-1]]
    change(documents)
    writer = LineWriter(ARCHIVE)
    return [*(writer.line(each, "line") for each in documents), writer.trailer()]


def put(documents: list[dict[str, Any]], table: str, **values: Any) -> int:
    """Change the first row of a table; return its line."""
    for number, document in enumerate(documents, 1):
        if document.get("table") == table:
            document["row"].update(values)
            return number
    raise AssertionError(table)


UNKNOWN = "00000000-0000-7000-8000-000000000000"
DAMAGES: list[tuple[str, dict[str, Any]]] = [
    ("agents", {"category": "BOSS"}),
    ("agents", {"created_at": "someday"}),
    ("agents", {"metadata": "[]"}),
    ("agents", {"metadata": "{"}),
    ("agents", {"organization_id": "bystander"}),
    ("agents", {"id": None}),
    ("agents", {"capabilities": "x"}),
    ("agents", {"capabilities": "{a,NULL}"}),
    ("agents", {"data_sources": "{{a},{b}}"}),
    ("agents", {"updated_at": "294276-01-01 00:00:00+00"}),
    ("agents", {"updated_at": "0044-03-15 00:00:00+00 BC"}),
    ("agents", {"updated_at": "9999-12-31 23:00:00-02"}),
    ("agents", {"created_at": "now"}),
    ("agent_tools", {"call_count": "-1"}),
    ("agent_tools", {"owner_agent_id": "nobody"}),
    ("agent_tools", {"id": "1); DROP TABLE agents; --"}),
    ("agent_tool_versions", {"tool_id": UNKNOWN}),
    ("agent_executions", {"cost": "NaN"}),
    ("agent_executions", {"agent_id": "nobody"}),
    ("agent_executions", {"finished_at": None}),
    ("agent_executions", {"id": 7}),
    ("agent_steps", {"execution_id": UNKNOWN}),
    ("agent_steps", {"kind": "dance"}),
    ("agent_steps", {"at": "infinity"}),
    ("agent_steps", {"sealed": "someday"}),
    ("agent_tools", {"sealed": "\\x0"}),
    ("agent_tool_versions", {"sealed": "7"}),
    ("agent_executions", {"id": UNKNOWN.replace("7", "A")}),
    ("agent_executions", {"id": "{" + UNKNOWN + "}"}),
    ("agent_metric_rollups", {"bin_keys": "{{1},{2}}"}),
    ("agent_metrics", {"value": "Infinity"}),
    ("agent_metrics", {"labels": "7"}),
    ("learning_outcomes", {"pattern_id": UNKNOWN}),
    ("learning_outcomes", {"success": "perhaps"}),
    ("model_prices", {"input": "-1"}),
    ("agent_memories", {"agent_id": "nobody"}),
    ("agent_memories", {"importance": 2}),
    ("agent_memories", {"organization_id": "bystander"}),
    ("model_prices", {'x" int); --': "1"}),
]


async def test_damage_is_found(client: PrismaAgentClient, admin_url: str) -> None:
    """Whatever it is: the line is named, what is in it is not quoted, and nothing is stored."""
    await fill(client, ("scout-1",))
    await client.metrics.retain(points_days=0)
    await fill(client, ("pilot-1",))
    await fill(client.for_organization("bystander"))
    bystander = await checksums(admin_url, "bystander")
    other = client.for_organization("other")
    lines = await exported(client)
    for table, values in DAMAGES:
        place: list[int] = []
        damaged = resealed(lines, lambda documents, t=table, v=values, p=place: p.append(put(documents, t, **v)))
        with pytest.raises(InvalidInputError) as caught:
            raise AssertionError((table, values, await other.import_lines(damaged)))
        assert caught.value.field.split(".")[0] == f"line {place[0]}", (table, values)
        assert "someday" not in str(caught.value)

    truncations = [[], lines[:1], lines[:-1], lines[:3] + lines[4:], [*lines, lines[1]], lines[1:], ["{}"], ["x"], [""]]
    for cut in truncations:
        with pytest.raises(InvalidInputError, match="line"):
            await other.import_lines(cut)
    with pytest.raises(InvalidInputError, match="parent_id"):
        await other.import_lines(
            resealed(lines, lambda documents: put(documents, "agent_executions", parent_id=UNKNOWN))
        )
    with pytest.raises(InvalidInputError, match=r"line 2\.table"):
        await other.import_lines(resealed(lines, lambda documents: documents[1].update(table="access_log")))

    for number, line in enumerate(lines[:-1], 1):
        document = json.loads(line)
        if "id" in document.get("row", {}) and document["table"] != "agents":
            with pytest.raises(InvalidInputError, match=rf"line {number + 1}\.(row\.)?id"):
                await other.import_lines(
                    resealed(lines, lambda documents, n=number: documents.insert(n, documents[n - 1]))
                )

    assert await counts(admin_url, "other") == {}
    assert await checksums(admin_url, "bystander") == bystander


async def test_an_agents_archive_with_anothers_rows(client: PrismaAgentClient, admin_url: str) -> None:
    """Is none, though that one is there."""
    await fill(client)
    other = client.for_organization("other")
    for name in ("target", "pilot-1"):
        await other.agents.register(AgentConfig(name=name, id=name, category="SUPPORT"))
    lines = await exported(client, "scout-1")

    for table in ("agent_memories", "agent_executions", "agent_metrics", "learning_patterns", "agent_tools"):
        column = "owner_agent_id" if table == "agent_tools" else "agent_id"
        damaged = resealed(lines, lambda documents, t=table, c=column: put(documents, t, **{c: "pilot-1"}))
        for target in ("target", None):
            with pytest.raises(InvalidInputError, match=rf"{column}: is none of the agents"):
                await other.import_lines(damaged, agent_id=target)

    assert await counts(admin_url, "other") == {"agents": 2}


async def test_an_import_that_is_broken_off_stores_nothing(client: PrismaAgentClient, admin_url: str) -> None:
    """It is one transaction."""
    await fill(client)
    lines = await exported(client)

    async def broken() -> AsyncIterator[str]:
        for line in lines[:-3]:
            yield line
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await client.for_organization("other").import_lines(broken())

    assert await counts(admin_url, "other") == {}


async def test_straight_from_one_into_the_other(client: PrismaAgentClient, admin_url: str) -> None:
    """The lines need not be held anywhere; who listens hears how far it is."""
    await fill(client)
    heard: list[dict[str, int]] = []
    other = client.for_organization("other")

    restored = await other.import_lines(client.export_lines(progress=lambda rows: heard.append(dict(rows))))

    assert heard[-1] == restored.rows


async def test_exports_of_memories_are_read(client: PrismaAgentClient) -> None:
    """Those that were made when there was nothing else; leading empty lines do not matter."""
    await fill(client)
    lines = [line async for line in client.memories.export_lines()]

    restored = await client.for_organization("other").import_lines(["", *lines])

    assert (restored.rows, restored.known) == ({"agent_memories": 8}, {})


async def test_wrong_use(client: PrismaAgentClient) -> None:
    """Refused by name."""
    with pytest.raises(NotFoundError):
        await exported(client, "nobody")
    with pytest.raises(InvalidInputError, match="sealed"):
        await exported(client, None, "open")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="transaction"):
        async with client.transaction() as transaction:
            await exported(transaction)
    with pytest.raises(InvalidInputError, match="lines"):
        await client.import_lines(7)  # type: ignore[arg-type]


# What is sealed.


def sealing(url: str, organization_id: str, keys: dict[str, bytes]) -> PrismaAgentClient:
    """A client that encrypts all it can, if it has a key."""
    settings = Settings(organization_id=organization_id, database_url=url, encryption_keys=keys)
    return PrismaAgentClient(
        settings=replace(settings, encrypt=frozenset({"executions", "tools"}) if keys else frozenset())
    )


async def said(client: PrismaAgentClient) -> list[Any]:
    """Return what a client reads of everything that may be sealed."""
    found: list[Any] = []
    for agent in await client.agents.list():
        memories = await client.memories.list(agent.id)
        found.append(sorted((memory.content, json.dumps(memory.metadata)) for memory in memories))
    for tool in await client.tools.list():
        versions = await client.tools.versions(tool.name)
        found.append((tool.name, tool.parameters, [(version.version, version.parameters) for version in versions]))
    for execution in sorted(await client.executions.list(), key=lambda one: one.id):
        tree = await client.executions.tree(execution.id)
        found.append((execution.task, execution.result, [(step.message, step.data) for step in tree.steps]))
    return found


async def test_sealed_values_in_the_clear(database_url: str, admin_url: str) -> None:
    """Into another organization with other keys, where they are sealed again, and into one without any."""
    async with (
        sealing(database_url, "acme", KEYS) as client,
        sealing(database_url, "other", OTHER_KEYS) as other,
        sealing(database_url, "plain", {}) as plain,
    ):
        await fill(client)
        with pytest.raises(InvalidInputError, match=r'"plain".*"keep".*"omit"'):
            await exported(client)
        lines = await exported(client, sealed="plain")

        await other.import_lines(lines)
        await plain.import_lines(lines)

        assert await said(other) == await said(client) == await said(plain)
    columns = [("agent_memories", "sealed"), ("agent_executions", "sealed_task"), ("agent_steps", "sealed")]
    async with administering(admin_url) as connection:
        for table, column in [*columns, ("agent_tools", "sealed"), ("agent_tool_versions", "sealed")]:
            sql = f"SELECT organization_id, count({column}) FROM {table} GROUP BY 1"
            found = {row["organization_id"]: row["count"] for row in await connection.fetch(sql)}
            assert found["acme"] == found["other"] > found["plain"] == 0, table


async def test_sealed_values_as_they_are(database_url: str, admin_url: str) -> None:
    """Only into the same organization with the same keys; no line tells what they say."""
    async with sealing(database_url, "acme", KEYS) as client:
        await fill(client)
        before = await said(client)
        lines = await exported(client, sealed="keep")
        assert [word for word in ("Secret", "deep?", "far", "Bonn") if word in "".join(lines)] == []
        await client.erase(organization=True)

        for organization, keys in (("other", KEYS), ("acme", OTHER_KEYS), ("acme", {})):
            async with sealing(database_url, organization, keys) as wrong:
                with pytest.raises(EncryptionError):
                    await wrong.import_lines(lines)
            assert set(await counts(admin_url, organization)) <= {"access_log"}

        await client.import_lines(lines)
        assert await said(client) == before
        assert (await client.import_lines(lines)).rows == {}


async def test_sealed_values_left_out(database_url: str) -> None:
    """Memories as a whole, of the rest what is sealed; the last line counts the memories."""
    async with sealing(database_url, "acme", KEYS) as client, sealing(database_url, "plain", {}) as plain:
        await fill(client)
        lines = await exported(client, sealed="omit")

        restored = await plain.import_lines(lines)

        assert json.loads(lines[-1])["omitted"] == 2
        assert restored.rows["agent_memories"] == 6
        assert {each.task for each in await plain.executions.list()} == {None}
        assert restored.rows["agent_executions"] == 4
        assert {tool.name: tool.parameters for tool in await plain.tools.list()} == {
            "look_pilot-1": {},
            "look_scout-1": {},
        }


async def test_only_what_is_moved_has_to_be_decided_upon(database_url: str) -> None:
    """A sealed memory that has expired is not among it."""
    async with sealing(database_url, "acme", KEYS) as client:
        await client.agents.register(AgentConfig(name="scout-1", id="scout-1", category="SUPPORT"))
        soon = datetime.now(UTC) + timedelta(seconds=0.05)
        await client.memories.store(MemoryEntry(agent_id="scout-1", content="Secret.", sensitive=True, expires_at=soon))
        await asyncio.sleep(0.1)

        assert len(await exported(client)) == 3
        assert len([line async for line in client.memories.export_lines()]) == 2


async def test_columns_that_an_older_file_lacks(client: PrismaAgentClient) -> None:
    """Get their defaults; those by which rows belong together have to be there."""
    await fill(client)
    lines = await exported(client)
    other = client.for_organization("other")

    def without(name: str) -> list[str]:
        return resealed(
            lines,
            lambda documents: [d["row"].pop(name, None) for d in documents if d.get("table") == "agent_executions"],
        )

    await other.import_lines(without("heartbeat_at"))
    with pytest.raises(InvalidInputError, match=r"row\.task"):
        await client.for_organization("third").import_lines(without("task"))
    assert len(await columns_of(client.driver)) > 100
