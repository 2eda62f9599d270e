"""Where the data of a test run is: its folder, its server's databases, and what is left of runs that were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from agentdb.postgres.embedded import OWNER_ROLE
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


def test_databases_are_gone_afterwards(database: Database) -> None:
    """Also those of a run that was killed, and none of a run that goes on."""
    goes_on = Databases(database.url, database.superuser_url, OWNER_ROLE)
    run_aside(_run(database, 'CREATE DATABASE "agentdb_test_0123456789ab_7"'))
    with goes_on.database():
        other = Databases(database.url, database.superuser_url, OWNER_ROLE)
        with other.database() as made, other.database() as second:
            assert made.name != second.name
            names = run_aside(_run(database, _NAMES))
        other.close()
        left = run_aside(_run(database, _NAMES))
    goes_on.close()

    assert len(names) == 5  # two and one, and a template of each run
    assert len(left) == 2
    assert run_aside(_run(database, _NAMES)) == []


_NAMES = "SELECT datname FROM pg_database WHERE datname LIKE 'agentdb_test_%'"
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
