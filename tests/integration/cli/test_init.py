"""`agentdb init`, and what it asks at a terminal."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from dotenv import dotenv_values

from agentdb.postgres.cluster import SUPERUSER
from agentdb.project.shims import SHIMS
from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres

UNREACHABLE = "postgresql://somebody:secret-word@127.0.0.1:1/nothing"
# The ends of the questions. Their last blank comes when the terminal listens: what is typed before may be lost.
URL, PASSWORD, ORGANIZATION = "itself): ", "(empty: none): ", "(any text): "
KEEP, MAKE = "[y/N]: ", "[Y/n]: "
CTRL_C, CTRL_D = "\x03", "\x04"


@dataclass(frozen=True)
class Dialogue:
    """What a terminal showed, and how the command ended."""

    status: int
    shown: str


@pytest.fixture
def at_terminal(tmp_path: Path) -> Callable[..., Dialogue]:
    """``at_terminal(["init"], [("Question", "answer\\n")])`` runs the command line at a terminal of its own."""

    def run(arguments: Iterable[str], answers: Iterable[tuple[str, str]], **variables: str) -> Dialogue:
        ours, theirs = pty.openpty()
        environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"} | variables
        command = [sys.executable, "-m", "agentdb.cli", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, preexec_fn=lambda: os.login_tty(theirs))
        os.close(theirs)
        shown, seen, waiting, last = "", 0, list(answers), ""
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            if not select.select([ours], [], [], 1)[0]:
                # Python does not notice a Ctrl-C in the moment between asking and listening; people press it again.
                if last == CTRL_C and not shown[seen:].strip("^C"):
                    os.write(ours, last.encode())
                continue
            data = read(ours)
            if not data:
                break
            shown += data.decode(errors="replace")
            if waiting and waiting[0][0] in shown[seen:]:
                seen, last = len(shown), waiting.pop(0)[1]
                os.write(ours, last.encode())
        os.close(ours)  # hangs up, should it wait for more
        status = process.wait(60)
        assert not waiting, f"never asked for {waiting[0][0]!r}:\n{shown}"
        return Dialogue(status, shown)

    return run


def read(terminal: int) -> bytes:
    """Return what came; nothing when the other end is closed, which Linux calls an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def states(out: str) -> dict[str, str]:
    """Return the marks of the lines by what they are about."""
    lines = [line.split() for line in out.splitlines() if line[:1] in ("✓", "!", "✗")]
    return {line[1]: line[0] for line in lines}


async def execute(url: str, sql: str) -> None:
    """Run *sql* on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def test_sets_up_a_folder(database: Database, agentdb: Command) -> None:
    """`.env` from the template for its owner alone, a line for each wall, and what to do next."""
    outcome = agentdb("init", "--database-url", database.url, "--organization", "acme")

    assert (outcome.status, outcome.err) == (0, "")
    assert states(outcome.out) == dict.fromkeys([".env", "connection", "tls", "tables", "role", "row-level"], "✓")
    assert outcome.out.partition("\nNext:\n")[2].count("\n") == 3
    assert dotenv_values(".env") == {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}
    assert "# AGENTDB_REQUIRE_RLS=0" in Path(".env").read_text()
    assert Path(".env").stat().st_mode & 0o777 == 0o600


def test_takes_what_the_environment_says(database: Database, agentdb: Command) -> None:
    """As every other command; an option goes first."""
    agentdb("init", "--organization", "bolt", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert dotenv_values(".env") == {"DATABASE_URL": database.url, "ORGANIZATION_ID": "bolt"}


def test_again_it_changes_nothing(database: Database, agentdb: Command) -> None:
    """What is there stays, the program of the user's own too; what it lacks is named."""
    Path(".env").write_text(f"DATABASE_URL={database.url}\nORGANIZATION_ID=acme\nOTHER=1\n")
    Path(".env").chmod(0o644)
    before = Path(".env").read_bytes()

    outcome = agentdb("init", "--organization", "bolt")

    assert (outcome.status, Path(".env").read_bytes()) == (0, before)
    assert "it does not mention AGENTDB_MIGRATION_URL, AGENTDB_DATA_DIR" in outcome.out
    assert "has another ORGANIZATION_ID than was given" in outcome.out
    assert "chmod 600 .env" in outcome.out


def test_makes_the_tables_if_it_is_told(blank_database: Database, agentdb: Command) -> None:
    """Without a terminal nobody is asked: only --migrate makes them. A line says which wall is missing."""
    given = ["init", "--database-url", blank_database.admin_url, "--organization", "acme"]

    without = agentdb(*given)
    with_ = agentdb(*given, "--migrate")

    assert (without.status, states(without.out)["tables"]) == (0, "!")
    assert "agentdb migrate deploy   make the tables" in without.out
    assert (with_.status, states(with_.out)["tables"], states(with_.out)["role"]) == (0, "✓", "!")
    assert "owns the tables" in with_.out


def test_the_owner_makes_the_tables_for_the_agents(blank_database: Database, agentdb: Command) -> None:
    """AGENTDB_MIGRATION_URL migrates, DATABASE_URL is looked at; without it the login of the agents may not."""
    given = ["init", "--database-url", blank_database.url, "--organization", "acme", "--migrate"]

    alone = agentdb(*given)
    together = agentdb(*given, AGENTDB_MIGRATION_URL=blank_database.admin_url)

    assert (alone.status, states(alone.out)["tables"]) == (1, "✗")
    assert "AGENTDB_MIGRATION_URL" in alone.out
    assert (together.status, states(together.out)["role"]) == (0, "✓")


async def test_a_login_that_is_no_member(database: Database, agentdb: Command) -> None:
    """It cannot see whether there are tables, so both are said; making them is not for it, and it hears for whom."""
    stranger = f"stranger_{database.name}"
    await execute(database.superuser_url, f"CREATE ROLE {stranger} LOGIN")
    url = database.superuser_url.replace(f"{SUPERUSER}@", f"{stranger}@")

    outcome = await asyncio.to_thread(agentdb, "init", "--migrate", DATABASE_URL=url, ORGANIZATION_ID="acme")
    looked = await asyncio.to_thread(agentdb, "init")
    await execute(database.superuser_url, f"DROP ROLE {stranger}")

    assert (outcome.status, states(outcome.out)["tables"]) == (1, "✗")
    assert "If another login may: set AGENTDB_MIGRATION_URL" in outcome.out
    assert states(looked.out)["tables"] == "!"
    assert "GRANT agentdb_app TO <login>;" in looked.out


async def test_what_an_administrator_has_to_prepare(blank_database: Database, agentdb: Command) -> None:
    """It says what, and then what: the migration that failed has to be resolved before it is tried again."""
    await execute(blank_database.superuser_url, "DROP EXTENSION vector")
    given = {"DATABASE_URL": blank_database.admin_url, "ORGANIZATION_ID": "acme"}

    failed = await asyncio.to_thread(agentdb, "init", "--migrate", **given)
    await execute(blank_database.superuser_url, "CREATE EXTENSION vector")
    again = await asyncio.to_thread(agentdb, "init", "--migrate")
    await asyncio.to_thread(agentdb, "migrate", "resolve", "20261122000000_agentdb_init")
    at_last = await asyncio.to_thread(agentdb, "init", "--migrate")

    assert [outcome.status for outcome in (failed, again, at_last)] == [1, 1, 0]
    assert "CREATE EXTENSION vector" in failed.out
    for outcome in (failed, again):
        assert "`agentdb migrate resolve 20261122000000_agentdb_init`" in outcome.out
        assert "make the tables" not in outcome.out


async def test_where_tables_could_not_be_used(blank_database: Database, agentdb: Command) -> None:
    """A server that agents cannot work on is left as it is; doctor's remedy says why."""
    read_only = f'ALTER DATABASE "{blank_database.name}" SET default_transaction_read_only = on'
    await execute(blank_database.superuser_url, read_only)

    given = {"DATABASE_URL": blank_database.admin_url, "ORGANIZATION_ID": "acme"}
    outcome = await asyncio.to_thread(agentdb, "init", "--migrate", **given)

    assert (outcome.status, states(outcome.out)["writes"]) == (1, "✗")
    assert "RESET default_transaction_read_only" in outcome.out
    assert "tables" not in states(outcome.out)


def test_what_a_client_would_refuse_fails(database: Database, agentdb: Command) -> None:
    """AGENTDB_REQUIRE_RLS, and a login that owns the tables."""
    given = {"DATABASE_URL": database.admin_url, "ORGANIZATION_ID": "acme"}
    assert agentdb("init", **given).status == 0

    outcome = agentdb("init", AGENTDB_REQUIRE_RLS="1")

    assert (outcome.status, states(outcome.out)["role"]) == (1, "✗")


async def test_a_database_that_is_newer(database: Database, agentdb: Command) -> None:
    """Making tables is no help: the line says what is, and nobody is told to migrate."""
    await execute(
        database.admin_url,
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) "
        "VALUES ('1', '', '20990101000000_agentdb_future', now())",
    )

    outcome = await asyncio.to_thread(agentdb, "init", "--migrate", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert (outcome.status, states(outcome.out)["tables"]) == (1, "✗")
    assert "pip install --upgrade agentdb" in outcome.out
    assert "migrate deploy" not in outcome.out


def test_json_for_programs(database: Database, agentdb: Command) -> None:
    """The same checks, as doctor has them, and the next steps."""
    outcome = agentdb("init", "--json", "--shims", ".", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    document = json.loads(outcome.out)
    assert set(document) == {"checks", "next"}
    assert {check["state"] for check in document["checks"]} == {"ok"}
    assert all(Path(name).is_file() for name in SHIMS)


def test_a_database_that_is_away(agentdb: Command) -> None:
    """The folder is set up, the line says why the database is not, and no password is shown."""
    outcome = agentdb("init", "--database-url", UNREACHABLE, "--organization", "acme")

    assert outcome.status == 1
    assert states(outcome.out) == {".env": "✓", "connection": "✗"}
    assert "secret-word" not in outcome.out + outcome.err
    assert dotenv_values(".env")["DATABASE_URL"] == UNREACHABLE


def test_an_embedded_server_that_cannot_start(agentdb: Command) -> None:
    """No URL is to blame, and none is to be corrected."""
    Path("file").touch()

    outcome = agentdb("init", AGENTDB_DATA_DIR="file")

    assert (outcome.status, states(outcome.out)["connection"]) == (1, "✗")
    assert "AGENTDB_DATA_DIR" in outcome.out
    assert "agentdb init             again" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--database-url", "mysql://somebody:secret-word@db/x", "--organization", "acme"], "DATABASE_URL"),
        (["--database-url", UNREACHABLE], "ORGANIZATION_ID"),
        (["--database-url", UNREACHABLE, "--organization", "a\nb"], "organization_id"),
        (["--database-url", UNREACHABLE, "--organization", "acme", "--shims", "file"], "is no folder"),
        (["--database-url", UNREACHABLE, "--organization", "acme", "--shims", "other"], "import sqlite3"),
    ],
)
def test_wrong_use_writes_nothing(arguments: list[str], named: str, agentdb: Command) -> None:
    """Exit status 2, and what is wrong in words."""
    Path("file").touch()
    (Path("other") / SHIMS[0]).parent.mkdir(parents=True)
    (Path("other") / SHIMS[0]).write_text("import sqlite3\n")

    outcome = agentdb("init", *arguments)

    assert (outcome.status, outcome.out) == (2, "")
    assert named in outcome.err
    assert "secret-word" not in outcome.err
    assert sorted(os.listdir()) == ["file", "other"]
    assert not (Path("other") / SHIMS[1]).exists()


def test_a_full_disk(database: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, exit status 1, and nothing half-written; the next call goes on."""

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        outcome = agentdb("init", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == "agentdb: .env: No space left on device\n"
    assert os.listdir() == []
    assert agentdb("init").status == 0


def test_git_is_told_to_ignore_it(database: Database, agentdb: Command) -> None:
    """A hint in a checkout, until .gitignore has it."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    settings = {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}

    open_ = agentdb("init", **settings)
    Path(".gitignore").write_text(".env\n")
    ignored = agentdb("init")
    subprocess.run(["git", "add", "--force", ".env"], check=True)
    tracked = agentdb("init")

    assert "echo .env >> .gitignore" in open_.out
    assert ".gitignore" not in ignored.out + tracked.out
    assert ("git rm" in ignored.out, "git rm --cached .env" in tracked.out) == (False, True)


def test_a_dialogue(blank_database: Database, at_terminal: Callable[..., Dialogue], tmp_path: Path) -> None:
    """It asks again for what is wrong, keeps the password to itself, and makes the tables when it is told to."""
    dialogue = at_terminal(
        ["init"],
        [
            (URL, "mysql://db/x\n"),
            (URL, "postgresql://somebody@127.0.0.1:1/x\n"),
            (PASSWORD, "secret-word\n"),
            (KEEP, "n\n"),
            (URL, f"{blank_database.admin_url}\n"),
            (ORGANIZATION, "\n"),
            (ORGANIZATION, "acme\n"),
            (MAKE, "y\n"),
        ],
    )

    assert dialogue.status == 0
    assert "mysql://" in dialogue.shown
    assert "connection refused" in dialogue.shown
    assert "secret-word" not in dialogue.shown
    assert states(dialogue.shown)["tables"] == "✓"
    assert dotenv_values(tmp_path / ".env") == {"DATABASE_URL": blank_database.admin_url, "ORGANIZATION_ID": "acme"}


def test_a_password_is_part_of_the_url(at_terminal: Callable[..., Dialogue], tmp_path: Path) -> None:
    """Typed unseen, written as a URL writes it; what leads nowhere is kept if that is wanted."""
    answers = [(URL, "postgresql://somebody@127.0.0.1:1/x\n"), (PASSWORD, "a/b@c:'\n"), (KEEP, "y\n")]

    dialogue = at_terminal(["init", "--organization", "acme"], answers)

    assert dialogue.status == 1
    assert "a/b@c" not in dialogue.shown
    assert dotenv_values(tmp_path / ".env")["DATABASE_URL"] == "postgresql://somebody:a%2Fb%40c%3A%27@127.0.0.1:1/x"


def test_interrupted_it_leaves_nothing(at_terminal: Callable[..., Dialogue], tmp_path: Path) -> None:
    """Ctrl-C at a question ends as it does anywhere else; the end of input is no answer."""
    interrupted = at_terminal(["init"], [(URL, CTRL_C)])
    unseen = at_terminal(["init"], [(URL, "postgresql://somebody@127.0.0.1:1/x\n"), (PASSWORD, CTRL_C)])
    ended = at_terminal(["init"], [(URL, CTRL_D)])

    assert (interrupted.status, unseen.status, ended.status) == (130, 130, 1)
    assert "Traceback" not in interrupted.shown + unseen.shown + ended.shown
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_asked_with_yes(at_terminal: Callable[..., Dialogue], database: Database, tmp_path: Path) -> None:
    """At a terminal too."""
    dialogue = at_terminal(["init", "--yes"], [], DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert dialogue.status == 0
    assert (tmp_path / ".env").is_file()
