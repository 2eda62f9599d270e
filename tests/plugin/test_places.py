"""Where the data of a test run is: its folder, its server's databases, and what is left of runs that were killed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from agentdb.errors import MigrationError
from agentdb.postgres import migrate
from agentdb.postgres.cluster import SUPERUSER
from agentdb.postgres.embedded import OWNER_ROLE, EmbeddedServer
from agentdb.postgres.url import parse_url
from agentdb.testing.aside import run_aside
from agentdb.testing.databases import Databases
from agentdb.testing.server import RunFolder
from tests.conftest import Database


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for temporary folders that nobody else uses."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)


def test_what_a_killed_run_has_left_is_removed_by_the_next(temporary: Path) -> None:
    """Its folder and its server; those of a run that goes on stay, and what is no run's."""
    (temporary / "agentdb-pytest-link").symlink_to(temporary)
    goes_on = RunFolder()
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    path = Path(killed.stdout.strip())
    assert _is_served(path), killed.stderr

    RunFolder().remove()

    assert not path.exists()
    assert goes_on.path.exists()
    assert (temporary / "agentdb-pytest-link").is_symlink()
    goes_on.remove()
    assert not goes_on.path.exists()


def test_a_folder_that_is_just_being_made_stays(temporary: Path) -> None:
    """One that has no lock yet may get it in this moment; after a minute nobody makes it any more."""
    fresh, old = temporary / "agentdb-pytest-fresh", temporary / "agentdb-pytest-old"
    for path in (fresh, old):
        path.mkdir()
    os.utime(old, (0, 0))

    RunFolder().remove()

    assert fresh.exists()
    assert not old.exists()


def test_two_runs_may_begin_at_once(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment another run takes a folder for a leftover whose owner is just about to lock it."""
    lock, others = fcntl.flock, []

    def lock_after_another_run_began(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        others.append(RunFolder())
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock_after_another_run_began)
    folder = RunFolder()

    assert folder.path.exists()
    assert others[0].path.exists()
    for each in (folder, *others):
        each.remove()


def test_databases_are_gone_afterwards(database: Database, server: EmbeddedServer) -> None:
    """Also those of a run that was killed, and none of a run that goes on, though it was given another database."""
    elsewhere = server.url_for(SUPERUSER, "postgres")
    goes_on = Databases(database.url, database.superuser_url, OWNER_ROLE)
    run_aside(_run(database, 'CREATE DATABASE "agentdb_test_0123456789ab_7"'))
    with goes_on.database():
        other = Databases(elsewhere, elsewhere, OWNER_ROLE)
        with other.database() as made, other.database() as second:
            assert made.name != second.name
            names = run_aside(_run(database, _NAMES))
        other.close()
        left = run_aside(_run(database, _NAMES))
    goes_on.close()

    assert len(names) == 5  # two and one, and a template of each run
    assert len(left) == 2
    assert run_aside(_run(database, _NAMES)) == []


def test_databases_of_others_stay(database: Database) -> None:
    """Those that are only called alike, and those of a run that another role has made."""
    theirs = ["agentdb_test_results", "agentdb_test_0123456789ab_results"]
    ours = "agentdb_test_0123456789ab_8"
    for name in (*theirs, ours):
        run_aside(_run(database, f'CREATE DATABASE "{name}"'))
    owner, administrator = Databases(database.url, database.admin_url), Databases(database.url, database.superuser_url)
    with pytest.raises(PermissionError, match="CREATE EXTENSION vector in the database template1"), owner.database():
        pass
    owner.close()
    left_by_another_role = run_aside(_run(database, _NAMES))
    with administrator.database() as made:
        assert "postgresql://" not in repr(made)
    administrator.close()
    left = run_aside(_run(database, _NAMES))
    for name in theirs:
        run_aside(_run(database, f'DROP DATABASE "{name}"'))

    assert sorted(left_by_another_role) == sorted([*theirs, ours])
    assert sorted(left) == sorted(theirs)


def test_a_template_that_cannot_be_migrated_is_no_obstacle(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next test that asks for a database hears the same error, or gets one."""

    async def refuse(_url: str) -> None:
        raise MigrationError("on purpose", migration="1")

    run = Databases(database.url, database.superuser_url, OWNER_ROLE)
    with monkeypatch.context() as broken:
        broken.setattr(migrate, "deploy", refuse)
        for _ in range(2):
            with pytest.raises(MigrationError), run.database():
                pass
    with run.database():
        pass
    run.close()

    assert run_aside(_run(database, _NAMES)) == []


# But for the database that the tests of the engine keep for the session.
_NAMES = "SELECT datname FROM pg_database WHERE datname LIKE 'agentdb_test_%' AND datname <> 'agentdb_test_client'"
_KILLED = """
import os, signal
from agentdb.testing.server import RunFolder, shared_server
folder = RunFolder()
with shared_server(folder.path):
    print(folder.path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _is_served(path: Path) -> bool:
    return (path / "run" / ".s.PGSQL.5432").exists()


async def _run(database: Database, sql: str) -> list[str]:
    connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    try:
        return [row[0] for row in await connection.fetch(sql)]
    finally:
        await connection.close()
