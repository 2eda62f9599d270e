"""`agentdb import-sqlite`."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import pytest

from agentdb import AgentConfig, PrismaAgentClient
from agentdb.postgres.url import parse_url
from agentdb.sqlite import examine, load_mapping
from agentdb.sqlite.opening import open_source
from tests.conftest import Database
from tests.integration.cli.conftest import Command
from tests.integration.sqlite import shapes

pytestmark = pytest.mark.postgres

COMMAND = [sys.executable, "-m", "agentdb.cli", "import-sqlite"]
STOP = """
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM agent_memories) >= 2000 THEN PERFORM pg_advisory_xact_lock(7); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stop BEFORE INSERT ON agent_memories EXECUTE FUNCTION stop();
SELECT pg_advisory_lock(7);
"""
# Between this process and a command: what a process has at most counts from the one that started it.
WEIGHED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


@pytest.fixture
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The settings name a database and the organization "acme"."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
    return database


def rows(database: Database) -> list[str]:
    """Everything in the database that an export has, of "acme"."""

    async def read() -> list[str]:
        async with PrismaAgentClient(database.url, "acme") as client:
            return [line async for line in client.export_lines()][1:-1]

    return asyncio.run(read())


def test_an_import(settings: Database, agentdb: Command) -> None:
    """What was recognised, what came of each table, and that the database has it; a second time nothing is new."""
    old = shapes.everything(Path("old.db"))
    first = agentdb("import-sqlite", str(old), "--agent", "scout", "--embedding-model", "mini", "--category", "support")
    before = rows(settings)
    second = agentdb("import-sqlite", str(old), "--agent", "scout", "--embedding-model", "mini")

    assert (first.status, first.err, second.status, second.err) == (0, "", 0, "")
    assert "agent_memory: memories (certain, by its name and columns)\n" in first.out
    assert "  2 rows, 2 imported, verified " in first.out
    assert "config: left out, settings by key and value" in first.out
    assert first.out.endswith("Everything is there.\n")
    assert "  2 rows, 0 imported, 2 there already, verified " in second.out
    assert rows(settings) == before
    assert os.listdir() == ["old.db"]
    assert max(map(len, first.out.splitlines())) <= 80


def test_a_dry_run(agentdb: Command) -> None:
    """Says what would come of every column, without a database and without an agent's name."""
    old = shapes.everything(Path("old.db"))
    dry = agentdb("import-sqlite", str(old), "--dry-run", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    as_json = agentdb("import-sqlite", str(old), "--dry-run", "--json")

    assert (dry.status, dry.err) == (0, "")
    assert "  source        metadata.source\n" in dry.out
    assert "  memory_id     key\n" in dry.out
    assert "  2 rows, 2 to import\n" in dry.out
    assert dry.out.endswith("Nothing was written.\n")
    report = json.loads(as_json.out)
    assert (report["complete"], report["agent_id"]) == (True, None)
    assert report["tables"][1]["columns"]["source"] == "metadata.source"


def test_what_has_changed(settings: Database, agentdb: Command) -> None:
    """It is not called all there when a row is another by now."""
    old = shapes.memories(Path("old.db"), 2)
    agentdb("import-sqlite", str(old), "--agent", "scout")
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE memories SET metadata = NULL WHERE id = 1")
    again = agentdb("import-sqlite", str(old), "--agent", "scout")

    assert again.status == 0
    assert again.out.endswith("Everything is there; 1 changed since, here or in the file.\n")


def test_a_file_without_tables(agentdb: Command) -> None:
    """There is nothing that a mapping could say of it."""
    old = shapes.write(Path("old.db"), "CREATE TABLE stuff (a); DROP TABLE stuff")
    outcome = agentdb("import-sqlite", str(old), "--dry-run")
    assert (outcome.status, outcome.out) == (1, "Nothing was recognised: there is no table in the file.\n")


def test_a_mapping_to_edit(settings: Database, agentdb: Command) -> None:
    """It is written once, read back as it is, and changes what it says."""
    old = shapes.write(Path("old.db"), "CREATE TABLE stuff (a TEXT)", ("stuff", [("x",)]))
    nothing = agentdb("import-sqlite", str(old), "--agent", "scout")
    written = agentdb("import-sqlite", str(old), "--write-mapping", "map.toml")
    again = agentdb("import-sqlite", str(old), "--write-mapping", "map.toml")
    text = Path("map.toml").read_text()
    Path("map.toml").write_text(text.replace('"ignore"', '"memories"\n[tables.stuff.columns]\na = "content"'))
    done = agentdb("import-sqlite", str(old), "--agent", "scout", "--mapping", "map.toml")

    assert nothing.status == 1
    assert "Nothing was recognised: --write-mapping" in nothing.out
    assert (written.status, again.status) == (1, 2)  # nothing is recognised, still
    assert "is there already" in again.err
    assert (done.status, done.err) == (0, "")
    assert "stuff: memories\n  no column says when" in done.out
    assert examine(old, load_mapping("map.toml"))[0].tables[0].kind == "memories"


def test_for_programs(settings: Database, agentdb: Command) -> None:
    """The report as JSON: counts, checksums of both sides, and the refused rows with their reasons."""
    old = shapes.memories(Path("old.db"), 2)
    shapes.write(old, "", ("memories(content, importance)", [("bad", "much")]))
    done = agentdb("import-sqlite", str(old), "--agent", "scout", "--json")

    report = json.loads(done.out)
    (table,) = report["tables"]
    assert (done.status, done.err) == (1, "")
    assert (report["complete"], table["imported"], table["refused"], table["verified"]) == (False, 2, 1, True)
    assert table["source_checksum"] == table["database_checksum"]
    assert table["refusals"] == [{"row": "row 3", "reason": "importance is text, where a number was expected"}]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["missing.db", "--agent", "x"], 2, "there is no file missing.db"),
        ([".", "--agent", "x"], 2, "is a directory"),
        (["empty.db", "--agent", "x"], 2, "is empty"),
        (["noise.db", "--agent", "x"], 2, "SQLCipher"),
        (["old.db"], 2, "whose is it to be?"),
        (["old.db", "--agent", "x" * 256], 2, "1 to 255 characters"),
        (["old.db", "--agent", "x", "--category", "BOSS"], 2, "category"),
        (["old.db", "--agent", "x", "--mapping", "missing.toml"], 2, "cannot be read"),
        (["old.db", "--agent", "x", "--mapping", "wrong.toml"], 2, "Did you mean 'memories'?"),
        (["old.db", "--agent", "taken"], 1, "--into-existing"),
    ],
)
def test_wrong_use(settings: Database, agentdb: Command, arguments: list[str], status: int, words: str) -> None:
    """A line that says what is wrong, and nothing is written anywhere."""

    async def register() -> None:
        async with PrismaAgentClient(settings.url, "acme") as client:
            await client.agents.register(AgentConfig(name="taken", category="SUPPORT"))

    asyncio.run(register())
    shapes.memories(Path("old.db"), 1)
    Path("empty.db").touch()
    Path("noise.db").write_bytes(bytes(range(255, -1, -1)) * 32)
    Path("wrong.toml").write_text("[tables.memory]")
    before, folder = rows(settings), shapes.snapshot(Path())
    outcome = agentdb("import-sqlite", *arguments)

    assert (outcome.status, outcome.out) == (status, "")
    assert words in " ".join(outcome.err.replace("│", " ").split())
    assert (rows(settings), shapes.snapshot(Path())) == (before, folder)


def test_a_locked_file(settings: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is said after a while; nothing is written."""
    monkeypatch.setitem(inspect.unwrap(open_source).__kwdefaults__, "wait_seconds", 0.05)
    old = shapes.memories(Path("old.db"), 1)
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        outcome = agentdb("import-sqlite", str(old), "--agent", "x")
    assert outcome.status == 2
    assert "locked by another process" in outcome.err
    assert rows(settings) == []


@contextmanager
def stopped_at_2000(database: Database) -> Iterator[None]:
    """Let an import go no further than to two thousand memories, as long as this lasts."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(**parse_url(database.superuser_url).connect_arguments()))
        try:
            runner.run(connection.execute(STOP))
            yield
            runner.run(connection.execute("SELECT pg_advisory_unlock(7)"))
            runner.run(connection.execute("DROP TRIGGER stop ON agent_memories"))
        finally:
            runner.run(connection.close())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_broken_off(settings: Database, agentdb: Command, number: signal.Signals, status: int) -> None:
    """A process that is ended in the middle leaves whole rows, and the next one does what is left."""
    old = shapes.memories(Path("old.db"), 4_000)
    before = shapes.snapshot(Path())
    with stopped_at_2000(settings):
        command = [*COMMAND, str(old), "--agent", "scout"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while count(settings) < 2_000:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(number)
            out, err = process.communicate()
    done = agentdb("import-sqlite", str(old), "--agent", "scout", "--json")

    (table,) = json.loads(done.out)["tables"]
    assert (process.returncode, out) == (status, "")
    assert (table["known"], table["imported"], table["verified"]) == (2_000, 2_000, True)
    assert shapes.snapshot(Path()) == before
    assert ("run it again to go on" in err) == (number == signal.SIGINT)


def test_a_hundred_thousand_rows(settings: Database, tmp_path: Path) -> None:
    """All are there, in bounded memory: 300 MB, of which Python and the libraries take 50."""
    notes: list[tuple[object, ...]] = [(n, f"note {n}") for n in range(100_000)]
    old = shapes.write(tmp_path / "old.db", "CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)", ("notes", notes))
    command = [sys.executable, "-c", WEIGHED, *COMMAND, str(old), "--agent", "scout", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    (table,) = json.loads(done.stdout)["tables"]
    assert (table["rows"], table["imported"], table["verified"]) == (100_000, 100_000, True)
    assert count(settings) == 100_000
    assert int(done.stderr.split()[-1]) < 300_000  # KiB


def count(database: Database) -> int:
    async def read() -> int:
        async with PrismaAgentClient(database.url, "acme") as client:
            agent = await client.agents.find("scout")
            return 0 if agent is None else await client.memories.count(agent.id)

    return asyncio.run(read())


def test_stored_text_does_nothing_to_a_terminal(settings: Database, agentdb: Command) -> None:
    """Names and keys that hold control sequences are spelled out."""
    script = 'CREATE TABLE "memories\x1b[31m" ("id\x07" TEXT PRIMARY KEY, content TEXT) WITHOUT ROWID'
    old = shapes.write(Path("old.db"), script, ('"memories\x1b[31m"', [("k\x1b[2J", None)]))
    outcome = agentdb("import-sqlite", str(old), "--dry-run")
    assert "\x1b" not in outcome.out + outcome.err
    assert "\x07" not in outcome.out
    assert "memories\\x1b[31m: memories" in outcome.out
