"""`agentdb.sqlite.import_file`: what old agents left, into a database."""

from __future__ import annotations

import json
import pickle
import sqlite3
from base64 import b64encode
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentdb import AgentConfig, ConflictError, InvalidInputError, MemoryEntry, PrismaAgentClient, Settings
from agentdb.sqlite import Mapping, Report, TableReport, import_file
from agentdb.sqlite.mapping import read_mapping
from tests.conftest import Database
from tests.integration.sqlite import shapes

pytestmark = pytest.mark.postgres


async def contents(client: PrismaAgentClient) -> list[str]:
    """Everything of the organization, as an export has it."""
    lines = [line async for line in client.export_lines(sealed="keep")]
    return [json.dumps(json.loads(line).get("row", {}), sort_keys=True) for line in lines[1:-1]]


async def texts(client: PrismaAgentClient, report: Report) -> list[str]:
    assert report.agent_id is not None
    return sorted(memory.content for memory in await client.memories.list(report.agent_id))


def table(report: Report, name: str) -> TableReport:
    return next(each for each in report.tables if each.name == name)


async def test_every_kind(client: PrismaAgentClient, tmp_path: Path) -> None:
    """The base class of old: each table becomes what it was, with its times and all its columns."""
    before = shapes.snapshot(shapes.everything(tmp_path / "old.db").parent)
    report = await import_file(
        client, tmp_path / "old.db", "scout", mapping=Mapping(embedding_model="mini"), category="SUPPORT"
    )
    agent_id = str(report.agent_id)

    assert {each.name: (each.kind, each.made, each.imported, each.refused) for each in report.tables} == {
        "tools": ("tools", 2, 2, 0),
        "agent_memory": ("memories", 2, 2, 0),
        "conversation_history": ("memories", 1, 1, 0),
        "tool_usage": ("calls", 3, 3, 0),
        "task_history": ("executions", 3, 3, 0),
        "metrics": ("metrics", 2, 2, 0),
        "performance_metrics": ("metrics", 3, 3, 0),
        "learning_patterns": ("patterns", 1, 1, 0),
        "config": ("ignore", 0, 0, 0),
        "recent_memories": ("ignore", 0, 0, 0),
    }
    assert report.is_complete
    assert all(each.source_checksum == each.database_checksum for each in report.tables)
    assert shapes.snapshot(tmp_path) == before

    agent = await client.agents.get(agent_id)
    assert (agent.name, agent.category) == ("scout", "SUPPORT")

    ice, ships, talk = sorted(await client.memories.list(agent_id), key=lambda memory: memory.content)
    assert (ships.content, ships.importance, ships.memory_type) == ("The harbour freezes.", 0.75, "fact")
    assert (ships.metadata, ships.access_count, ships.embedding_model) == (
        {"tags": ["sea"], "source": "web"},
        7,
        "mini",
    )
    assert ships.occurred_at == ships.created_at == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
    assert (ice.content, ice.importance, ice.embedding_model) == ("Ships wait.", 0.25, None)
    assert talk.content == "user_input: When?\nagent_response: In January."
    assert (talk.memory_type, talk.metadata) == ("conversation", {"session_id": "s1", "turn": 1})
    assert talk.occurred_at == datetime(2024, 1, 1, 9, tzinfo=UTC)
    hits = await client.memories.search(agent_id, embedding=[0.5, 0.5, 0.5, 0.5], embedding_model="mini")
    assert [hit.content for hit in hits] == ["The harbour freezes."]

    half, failed, done = await client.executions.list(agent_id)
    assert (done.task, done.result, done.status, done.model) == ({"do": "read"}, "done", "completed", "m")
    assert (done.usage.total, str(done.cost), done.duration_ms) == (15, "0.2500000000", 60_000)
    assert done.settings == {"session_id": "s1"}
    assert (failed.task, failed.error, failed.status, failed.duration_ms) == ("fail", "no ice", "failed", 2000)
    assert (half.status, half.started_at) == ("abandoned", datetime(2024, 1, 3, tzinfo=UTC))

    stats = {name: await client.tools.stats(name) for name in ("search", "unlisted", "idle")}
    assert {name: (each.calls, each.successes) for name, each in stats.items()} == {
        "search": (2, 1), "unlisted": (1, 1), "idle": (0, 0),
    }  # fmt: skip
    assert (stats["search"].p50_ms, (await client.tools.get("search")).parameters) == (875, {"type": "object"})

    series = await client.driver.fetch(
        "SELECT name, value, unit, labels FROM agent_metrics WHERE agent_id = $1 ORDER BY name, recorded_at",
        (agent_id,),
    )
    assert [tuple(row)[:3] for row in series] == [
        ("accuracy", 0.9, ""), ("latency", 1.5, "s"), ("latency", 2.5, "s"), ("response_time", 0.5, ""),
        ("response_time", 0.7, ""),
    ]  # fmt: skip
    assert json.loads(series[1]["labels"]) == {"host": "alpha"}

    (pattern,) = await client.patterns.list(agent_id)
    assert (pattern.content, pattern.prior, pattern.prior_weight) == (
        {"content": "be brief", "usage_count": 12},
        0.8,
        2,
    )
    assert (pattern.trials, pattern.confidence) == (0, 0)


async def test_a_second_run_changes_nothing(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Everything is known, from a copy of the file as well, also when the agent has registered anew in between."""
    shapes.everything(tmp_path / "old.db")
    first = await import_file(client, tmp_path / "old.db", "scout")
    await client.agents.register(AgentConfig(name="scout", category="SUPPORT", description="lives"))
    before = await contents(client)
    copy = (tmp_path / "old.db").rename(tmp_path / "copy.db")
    second = await import_file(client, copy, "scout")

    assert await contents(client) == before
    assert second.agent_id == first.agent_id
    assert sum(each.imported for each in second.tables) == 0
    assert [each.known for each in second.tables] == [each.imported for each in first.tables]
    assert [each.source_checksum for each in second.tables] == [each.source_checksum for each in first.tables]
    assert second.is_complete


async def test_a_file_that_has_grown(client: PrismaAgentClient, tmp_path: Path) -> None:
    """New rows come, those that went stay, and those that were changed are told and left."""
    old = shapes.memories(tmp_path / "old.db", 4)
    await import_file(client, old, "scout")
    shapes.memories(old, 3, first=4)
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM memories WHERE id = 2")
        connection.execute("UPDATE memories SET importance = 9 WHERE id = 3")
    report = await import_file(client, old, "scout")

    (memories,) = report.tables
    assert (memories.rows, memories.imported, memories.known, memories.differing) == (6, 3, 2, 1)
    assert report.is_complete
    assert await texts(client, report) == [f"memory {n}" for n in range(7)]


async def test_another_file_under_the_same_keys(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Rows are told apart by what they say, not by their number alone; equal memories are one."""
    await import_file(client, shapes.memories(tmp_path / "one.db", 3), "scout")
    other = shapes.memories(tmp_path / "other.db", 4, first=2)
    with pytest.raises(ConflictError, match="--into-existing"):
        await import_file(client, other, "scout")
    report = await import_file(client, other, "scout", into_existing=True)

    assert (report.tables[0].imported, report.tables[0].merged) == (3, 1)
    assert await texts(client, report) == [f"memory {n}" for n in range(6)]


async def test_an_agent_that_is_there(client: PrismaAgentClient, tmp_path: Path) -> None:
    """It is refused before anything is written; with into_existing it keeps its id and what it has."""
    agent = await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="mine"))
    old = shapes.memories(tmp_path / "old.db", 1)
    with pytest.raises(ConflictError):
        await import_file(client, old, "scout")
    assert [memory.content for memory in await client.memories.list(agent.id)] == ["mine"]
    report = await import_file(client, old, "scout", into_existing=True)

    assert report.agent_id == "scout-1"
    assert await texts(client, report) == ["memory 0", "mine"]
    assert (await import_file(client, old, "scout", into_existing=True)).tables[0].known == 1


async def test_rows_that_cannot_be_taken(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Each is named by its rowid, with its reason and without its text; the others are imported."""
    now = datetime.now(UTC)
    bad: list[tuple[Any, ...]] = [
        (None, 5, "2024-01-01"),
        (b"\x00\x01", 5, "2024-01-01"),
        ("a\x00b", 5, "2024-01-01"),
        ("wrong type", "very", "2024-01-01"),
        ("wrong time", 5, "yesterday"),
        ("small number", 5, 2024),
        ("beyond time", 5, "9999-12-31T23:59:59.999999"),
        ("x" * 1_000_001, 5, "2024-01-01"),
    ]
    script = "CREATE TABLE memories (id INTEGER PRIMARY KEY, content, importance, created_at)"
    good: list[tuple[Any, ...]] = [("good", 5, "2024-01-01"), ("text numbers", "7", "1704067200"), (42, None, None)]
    old = shapes.write(tmp_path / "old.db", script, ("memories(content, importance, created_at)", bad + good))
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("INSERT INTO memories(content) VALUES (CAST(x'68fffe' AS TEXT))")
    report = await import_file(client, old, "scout")

    (memories,) = report.tables
    assert [(each.row, each.reason) for each in memories.refusals] == [
        ("row 1", "content is empty"),
        ("row 2", "content is a blob of 2 bytes, where text was expected"),
        ("row 3", "content holds a NUL byte (\\x00), which PostgreSQL cannot store"),
        ("row 4", "importance is text, where a number was expected"),
        ("row 5", "occurred_at is no time that can be read"),
        ("row 6", "occurred_at is no time that can be read"),
        ("row 7", "occurred_at is a time out of range"),
        ("row 8", "content expected 1 to 1000000 characters, got 1000001"),
        ("row 12", "content holds bytes that are not UTF-8"),
    ]
    assert not report.is_complete
    assert memories.is_verified
    assert await texts(client, report) == ["42", "good", "text numbers"]
    assert min(memory.occurred_at for memory in await client.memories.list(str(report.agent_id))) < now


async def test_an_unfinished_write_ahead_log(client: PrismaAgentClient, tmp_path: Path) -> None:
    """What is in the -wal is imported while another process holds it, and the folder stays as it is."""
    folder = tmp_path / "agent"
    folder.mkdir()
    close = shapes.write_ahead(folder / "old.db")
    before = shapes.snapshot(folder)
    try:
        report = await import_file(client, folder / "old.db", "scout")
        assert shapes.snapshot(folder) == before
    finally:
        close()

    assert report.is_copy
    assert await texts(client, report) == ["checkpointed", "in the -wal"]
    again = await import_file(client, folder / "old.db", "scout")  # now without a -wal, and still in WAL mode
    assert [path.name for path in folder.iterdir()] == ["old.db"]
    assert (again.is_copy, again.tables[0].known) == (False, 2)


async def test_a_transaction_that_was_cut_off(client: PrismaAgentClient, tmp_path: Path) -> None:
    """The journal of a killed process is played back in a copy: what was never committed is not imported."""
    old = shapes.memories(tmp_path / "old.db", 3)
    connection = sqlite3.connect(old, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO memories(content) VALUES (?)", [("never " * 500,)] * 50)
    folder = tmp_path / "crashed"
    folder.mkdir()
    for name in ("old.db", "old.db-journal"):
        (folder / name).write_bytes((tmp_path / name).read_bytes())
    connection.close()
    before = shapes.snapshot(folder)
    report = await import_file(client, folder / "old.db", "scout")

    assert list(before) == ["old.db", "old.db-journal"]
    assert shapes.snapshot(folder) == before
    assert await texts(client, report) == ["memory 0", "memory 1", "memory 2"]


async def test_a_damaged_page(client: PrismaAgentClient, tmp_path: Path) -> None:
    """A table that cannot be read to its end is left out whole; the others are imported."""
    old = shapes.memories(tmp_path / "old.db", 3000)
    shapes.write(old, "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)", ("notes(note)", [("kept",)]))
    shapes.damage(old, b"memory 1500")
    report = await import_file(client, old, "scout")

    assert "damaged" in str(table(report, "memories").failure)
    assert table(report, "notes").imported == 1
    assert not report.is_complete
    assert await texts(client, report) == ["kept"]


async def test_duplicates(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Ids that come twice, in a table without a key: each row counts; equal memories are one, points are not."""
    script = """
    CREATE TABLE memories (id INTEGER, content TEXT);
    CREATE TABLE notes (note TEXT, at TEXT);
    CREATE TABLE metrics (name TEXT, value REAL, timestamp TEXT);
    """
    rows: list[tuple[object, ...]] = [(1, "one"), (1, "other"), (1, "one")]
    points: list[tuple[object, ...]] = [("speed", 1.0, "2024-01-01")] * 3
    old = shapes.write(tmp_path / "old.db", script, ("memories", rows), ("metrics", points))
    report = await import_file(client, old, "scout")
    again = await import_file(client, old, "scout")

    memories, metrics = table(report, "memories"), table(report, "metrics")
    assert (memories.imported, memories.merged, metrics.imported) == (2, 1, 3)
    assert (table(again, "memories").known, table(again, "metrics").known) == (2, 3)
    assert (table(again, "memories").merged, table(again, "memories").imported) == (1, 0)
    shapes.write(old, "VACUUM", ("metrics", points[:1]))
    assert table(await import_file(client, old, "scout"), "metrics").imported == 1


async def test_keys_that_are_none(client: PrismaAgentClient, tmp_path: Path) -> None:
    """SQLite lets a primary key be NULL, and a mapping may name a column whose values come twice: no row is lost."""
    script = """
    CREATE TABLE tasks (id TEXT PRIMARY KEY, task TEXT, result TEXT, started_at TEXT);
    CREATE TABLE jobs (number INTEGER, job TEXT, result TEXT, at TEXT);
    """
    rows: list[tuple[object, ...]] = [(None, "clean", each, "2024-01-01") for each in ("well", "badly", "badly")]
    mapping = read_mapping("""
    [tables.jobs]
    kind = "executions"
    [tables.jobs.columns]
    number = "key"
    job = "task"
    """)
    jobs: list[tuple[object, ...]] = [(1, *row[1:]) for row in rows]
    old = shapes.write(tmp_path / "old.db", script, ("tasks", rows), ("jobs", jobs))
    first = await import_file(client, old, "scout", mapping=mapping)
    before = await contents(client)
    second = await import_file(client, old, "scout", mapping=mapping)

    assert [(each.imported, each.refused) for each in first.tables] == [(3, 0), (3, 0)]
    assert [(each.known, each.differing) for each in second.tables] == [(3, 0), (3, 0)]
    assert await contents(client) == before
    results = [execution.result for execution in await client.executions.list(first.agent_id)]
    assert sorted(map(str, results)) == ["badly"] * 4 + ["well"] * 2


async def test_calls_that_name_a_tool_by_its_number(client: PrismaAgentClient, tmp_path: Path) -> None:
    """They are calls of the tool of that name; one of a tool that is not there keeps what it says."""
    script = """
    CREATE TABLE tools (id INTEGER PRIMARY KEY, name TEXT, description TEXT, usage_count INTEGER, enabled INTEGER);
    CREATE TABLE tool_executions (id INTEGER PRIMARY KEY, tool_id TEXT, status TEXT, created_at TEXT);
    """
    calls: list[tuple[object, ...]] = [(1, 7, "TaskStatus.COMPLETED", "2024-01-01"), (2, "lost", "error", "2024-01-01")]
    old = shapes.write(
        tmp_path / "old.db", script, ("tools", [(7, "search", "Searches.", 9, 1)]), ("tool_executions", calls)
    )
    report = await import_file(client, old, "scout")

    assert report.is_complete
    assert [(await client.tools.stats(name)).calls for name in ("search", "lost")] == [1, 1]
    assert sorted([tool.name for tool in await client.tools.list()]) == ["lost", "search"]
    assert "left out, since tools have no place for it: enabled" in table(report, "tools").notes
    assert table(await import_file(client, old, "scout"), "tool_executions").known == 2


async def test_totals_without_calls(client: PrismaAgentClient, tmp_path: Path) -> None:
    """A tool's totals are left out where its calls are counted, and nowhere else."""
    script = """
    CREATE TABLE tools (name TEXT PRIMARY KEY, description TEXT, usage_count INTEGER);
    CREATE TABLE tool_usage (tool_name TEXT, success INTEGER);
    """
    await import_file(client, shapes.write(tmp_path / "old.db", script, ("tools", [("search", "", 9)])), "scout")
    totals = await client.driver.fetch("SELECT call_count FROM agent_tools", ())
    assert [total["call_count"] for total in totals] == [9]


async def test_agents_with_the_same_tools(client: PrismaAgentClient, tmp_path: Path) -> None:
    """A file is not told by its tools, which another agent of the same make has as well."""
    script = "CREATE TABLE tools (id INTEGER PRIMARY KEY, name TEXT, description TEXT);" + shapes.MEMORIES
    tools: list[tuple[object, ...]] = [(1, "search", "Searches.")]
    one, other = (
        shapes.write(tmp_path / f"{name}.db", script, ("tools", tools), ("memories(content)", [(name,)]))
        for name in ("one", "other")
    )
    await import_file(client, one, "scout")
    with pytest.raises(ConflictError, match="--into-existing"):
        await import_file(client, other, "scout")


async def test_json_in_blobs(client: PrismaAgentClient, tmp_path: Path) -> None:
    """An object that is stored as bytes is metadata all the same; other bytes are left out, and counted."""
    script = "CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, metadata BLOB, thumb BLOB)"
    old = shapes.write(tmp_path / "old.db", script, ("memories", [(1, "x", b'{"topic": "ice"}', b"\x89PNG")]))
    report = await import_file(client, old, "scout")
    (memory,) = await client.memories.list(str(report.agent_id))
    assert memory.metadata == {"topic": "ice"}
    assert "thumb left out: it is a blob, which JSON cannot hold (1)" in report.tables[0].notes


async def test_other_encodings(client: PrismaAgentClient, tmp_path: Path) -> None:
    """A database whose texts are UTF-16."""
    script = f"PRAGMA encoding = 'UTF-16le'; {shapes.MEMORIES}"
    old = shapes.write(tmp_path / "old.db", script, ("memories(content)", [("Größe 😀",)]))
    assert await texts(client, await import_file(client, old, "scout")) == ["Größe 😀"]


async def test_names_from_everywhere(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Quotes, reserved words, other scripts, generated columns: names are data."""
    script = """
    CREATE TABLE "mémoires ""du"" robot; DROP TABLE memories" (
        "select" INTEGER PRIMARY KEY, "le texte" TEXT, "Größe 'x'" REAL, upper TEXT AS (upper("le texte")) VIRTUAL,
        "rowid" TEXT
    );
    CREATE TABLE "Agent Memories" ("memoryId" TEXT PRIMARY KEY, "memoryContent" TEXT, "createdAt" TEXT) WITHOUT ROWID;
    """
    odd = 'mémoires "du" robot; DROP TABLE memories'
    mapping = read_mapping(f"""
    [tables.'{odd}']
    kind = "memories"
    [tables.'{odd}'.columns]
    "le texte" = "content"
    "Größe 'x'" = "metadata.größe"
    """)
    quoted = '"' + odd.replace('"', '""') + '"'
    old = shapes.write(
        tmp_path / "old ?#%.db",
        script,
        (f'{quoted}("select", "le texte", "Größe \'x\'", "rowid")', [(1, "glace", 2.5, "r")]),
        ('"Agent Memories"', [("k", "camel", "2024-01-01"), ("z" * 100, "", None)]),
    )
    report = await import_file(client, old, "scout", mapping=mapping)

    assert await texts(client, report) == ["camel", "glace"]
    glace = next(each for each in await client.memories.list(str(report.agent_id)) if each.content == "glace")
    assert glace.metadata == {"größe": 2.5, "rowid": "r"}
    assert table(report, "Agent Memories").refusals == [(f"row '{'z' * 36}...", "content is empty")]


async def test_full_text_tables_and_views(client: PrismaAgentClient, tmp_path: Path) -> None:
    """They and what SQLite keeps for them are left out, unless a mapping names them."""
    script = """
    CREATE VIRTUAL TABLE memories USING fts5(content, topic);
    INSERT INTO memories VALUES ('found by words', 'sea');
    CREATE TABLE raw (body TEXT);
    INSERT INTO raw VALUES ('seen through a view');
    CREATE VIEW thoughts AS SELECT body AS content FROM raw;
    """
    old = shapes.write(tmp_path / "old.db", script)
    untold = await import_file(client, old, "scout")
    mapping = read_mapping('[tables.memories]\nkind = "memories"\n[tables.thoughts]\nkind = "memories"')
    told = await import_file(client, old, "scout", mapping=mapping)

    assert [each.name for each in untold.tables] == ["memories", "raw", "thoughts"]
    assert (untold.is_complete, untold.agent_id) == (False, None)
    assert await client.agents.find("scout") is not None
    assert await texts(client, told) == ["found by words", "seen through a view"]
    assert (await import_file(client, old, "scout", mapping=mapping)).tables[0].known == 1


async def test_what_is_never_unpickled(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Pickles are told, counted and left out; the memory that has one is imported."""
    script = "CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, embedding BLOB, state BLOB)"
    pickled = pickle.dumps({"exit": Path("x")})
    old = shapes.write(tmp_path / "old.db", script, ("memories(content, embedding, state)", [("x", pickled, pickled)]))
    report = await import_file(client, old, "scout", mapping=Mapping(embedding_model="m"))

    assert [note.split(":")[0] for note in report.tables[0].notes[1:]] == ["embedding left out", "state left out"]
    assert all("never unpickled" in note for note in report.tables[0].notes[1:])
    (memory,) = await client.memories.list(str(report.agent_id))
    assert (memory.embedding_model, memory.metadata) == (None, {})


async def test_a_mapping_of_everything(client: PrismaAgentClient, tmp_path: Path) -> None:
    """Kind, columns, constants, a scale, a time zone, and the rows of one agent."""
    script = "CREATE TABLE stuff (n INTEGER PRIMARY KEY, agent TEXT, says TEXT, stars INTEGER, at TEXT, gone TEXT)"
    rows: list[tuple[object, ...]] = [(1, "a", "mine", 3, "2024-07-01 12:00", "x"), (2, "b", "yours", 4, "2024", "x")]
    mapping = read_mapping("""
    timezone = "Europe/Berlin"
    [tables.stuff]
    kind = "memories"
    importance_scale = 4
    [tables.stuff.columns]
    says = "content"
    stars = "importance"
    at = "occurred_at"
    gone = "ignore"
    [tables.stuff.constants]
    memory_type = "opinion"
    metadata.origin = "old"
    [tables.stuff.only]
    agent = "a"
    """)
    old = shapes.write(tmp_path / "old.db", script, ("stuff", rows))
    report = await import_file(client, old, "scout", mapping=mapping)

    (memory,) = await client.memories.list(str(report.agent_id))
    assert (memory.content, memory.importance, memory.memory_type) == ("mine", 0.75, "opinion")
    assert memory.metadata == {"agent": "a", "origin": "old"}
    assert memory.occurred_at == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert (report.tables[0].passed_over, report.is_complete) == (1, True)


async def test_expired_and_future(client: PrismaAgentClient, tmp_path: Path) -> None:
    """What has expired is passed over; a point of the day after tomorrow is refused, as everywhere."""
    script = """
    CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, expires_at TEXT);
    CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT, value REAL, timestamp REAL);
    """
    later = datetime.now(UTC) + timedelta(days=2)
    memories: list[tuple[object, ...]] = [("gone", "2020-01-01"), ("here", later.isoformat())]
    old = shapes.write(
        tmp_path / "old.db",
        script,
        ("memories(content, expires_at)", memories),
        ("metrics(name, value, timestamp)", [("speed", 1, later.timestamp()), ("speed", None, 1.7e9)]),
    )
    report = await import_file(client, old, "scout")

    assert (table(report, "memories").passed_over, table(report, "memories").imported) == (1, 1)
    assert [reason for _, reason in table(report, "metrics").refusals] == [
        "recorded_at lies more than a day in the future", "value is empty",
    ]  # fmt: skip


async def test_settings_of_the_organization_hold(database: Database, tmp_path: Path) -> None:
    """What it encrypts is encrypted, what it redacts is redacted, and both are verified."""
    script = """
    CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, sensitive INTEGER, metadata TEXT);
    CREATE TABLE tasks (id INTEGER PRIMARY KEY, task TEXT, result TEXT, status TEXT);
    CREATE TABLE tools (name TEXT PRIMARY KEY, description TEXT, parameters TEXT);
    CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, tool_name TEXT, arguments TEXT, success INTEGER);
    """
    old = shapes.write(
        tmp_path / "old.db",
        script,
        ("memories", [(1, "secret", 1, '{"who": "ann", "large": 1e22}'), (2, "open", 0, None)]),
        ("tasks", [(1, "secret", "secret", "done")]),
        ("tools", [("search", "Searches.", '{"secret": 1}')]),
        ("tool_calls", [(1, "search", '{"q": "secret"}', 1)]),
    )
    settings = Settings(
        organization_id="acme",
        database_url=database.url,
        encryption_keys={"k": b"1" * 32},
        encrypt=frozenset({"executions", "tools"}),
    )
    async with PrismaAgentClient(settings=settings, redact=lambda value, field: value) as client:
        first = await import_file(client, old, "scout")
        second = await import_file(client, old, "scout")
        rows = "\n".join(await contents(client))
        assert sorted(memory.content for memory in await client.memories.list(str(first.agent_id))) == [
            "open",
            "secret",
        ]

    assert "secret" not in rows
    assert b64encode(b"secret").decode() not in rows
    assert first.is_complete
    assert [each.known for each in second.tables] == [each.imported for each in first.tables] == [1, 2, 1, 1]


async def test_other_organizations_see_nothing(client: PrismaAgentClient, tmp_path: Path) -> None:
    """The same file under the same name in another organization is another agent's; ids are their own."""
    old = shapes.everything(tmp_path / "old.db")
    ours = await import_file(client, old, "scout")
    theirs = await import_file(client.for_organization("other"), old, "scout")

    assert [each.imported for each in ours.tables] == [each.imported for each in theirs.tables]
    assert await client.for_organization("third").agents.find("scout") is None


async def test_in_a_transaction(client: PrismaAgentClient, tmp_path: Path) -> None:
    """An import takes its own transactions, and says so."""
    old = shapes.memories(tmp_path / "old.db", 1)
    async with client.transaction() as transaction:
        with pytest.raises(InvalidInputError, match="transaction"):
            await import_file(transaction, old, "scout")


async def test_what_only_the_database_refuses(database: Database, tmp_path: Path) -> None:
    """A name that is too long for an index in this organization: its row is refused, those around it are not."""
    script = "CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT, value REAL, timestamp REAL)"
    names = ["speed", "".join(chr(0x1F300 + n) for n in range(255)), "load"]
    points: list[tuple[object, ...]] = [(name, 1, 1.7e9) for name in names]
    old = shapes.write(tmp_path / "old.db", script, ("metrics(name, value, timestamp)", points))
    organization = "".join(chr(0x20000 + n) for n in range(255))
    async with PrismaAgentClient(database.url, organization) as client:
        agent_name = "".join(chr(0x21000 + n) for n in range(255))
        agent_id = "".join(chr(0x22000 + n) for n in range(255))
        await client.agents.register(AgentConfig(name=agent_name, category="SUPPORT", id=agent_id))
        report = await import_file(client, old, agent_name, into_existing=True)

    (metrics,) = report.tables
    assert (metrics.imported, metrics.is_verified) == (2, True)
    assert metrics.refusals == [
        ("row 2", "name is too long to be indexed together with the agent's id; make it shorter")
    ]


async def test_names_that_are_there(client: PrismaAgentClient, tmp_path: Path) -> None:
    """A tool of the same name stays what it is; a pattern of the same name is one with an equal, and else refused."""
    script = """
    CREATE TABLE tools (name TEXT, description TEXT, parameters TEXT);
    CREATE TABLE learning_patterns (id INTEGER PRIMARY KEY, pattern_type TEXT, name TEXT, content TEXT);
    """
    patterns: list[tuple[object, ...]] = [("prompt", "short", each) for each in ("be brief", "be brief", "be terse")]
    old = shapes.write(
        tmp_path / "old.db",
        script,
        ("tools", [("search", "old", None)]),
        ("learning_patterns(pattern_type, name, content)", patterns),
    )
    await client.tools.register("search", "new", {"type": "object"})
    for known in (0, 1):
        report = await import_file(client, old, "scout")
        found = table(report, "learning_patterns")
        assert (found.imported, found.known, found.merged) == (1 - known, known, 1)
        assert found.refusals == [("row 3", "another pattern of this type and name is there")]
        assert table(report, "tools").merged == 1
    assert (await client.tools.get("search")).description == "new"


async def test_the_access_log(database: Database, tmp_path: Path) -> None:
    """What an import writes is entered, with the agent."""
    settings = Settings(organization_id="acme", database_url=database.url, access_log=True)
    async with PrismaAgentClient(settings=settings) as client:
        report = await import_file(client, shapes.memories(tmp_path / "old.db", 2), "scout")
    async with PrismaAgentClient(database.url, "acme") as client:
        entries = await client.driver.fetch("SELECT operation, agent_id FROM access_log ORDER BY at", ())
    assert ("sqlite.write", report.agent_id) in [tuple(entry) for entry in entries]
