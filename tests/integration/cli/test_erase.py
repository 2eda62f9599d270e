"""`agentdb erase`."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from agentdb import PrismaAgentClient, Settings
from tests.conftest import Database
from tests.integration.cli.conftest import Command
from tests.integration.client.everything import checksums, counts, fill
from tests.waiting import interrupt

pytestmark = pytest.mark.postgres

COMMAND = [sys.executable, "-m", "agentdb.cli", "erase"]


@pytest.fixture
def filled(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database with two full organizations, "acme", which the settings name, and "other"."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
    asyncio.run(_fill(database.url))
    return database


async def _fill(url: str) -> None:
    for organization in ("acme", "other"):
        settings = Settings(organization_id=organization, database_url=url, access_log=True)
        async with PrismaAgentClient(settings=settings) as client:
            await fill(client)


def rows(database: Database, organization_id: str = "acme") -> dict[str, int]:
    return asyncio.run(counts(database.admin_url, organization_id))


def test_an_agent(filled: Database, agentdb: Command) -> None:
    """First what would go, then what has gone and who still speaks of it."""
    before = rows(filled)
    rehearsed = agentdb("erase", "--agent", "scout-1", "--dry-run")
    assert rows(filled) == before
    done = agentdb("erase", "--agent", "scout-1", "--yes")
    again = agentdb("erase", "--agent", "scout-1", "--yes")

    assert rehearsed.status == 0
    assert rehearsed.out.startswith("would erase of acme, agent scout-1: ")
    assert done.status == 0
    assert done.out.startswith(rehearsed.out)
    assert "erased agent scout-1: " in done.out
    assert "still speaks of it: access_log.agent_id, " in done.out
    assert rows(filled)["agents"] == 1
    assert (again.status, again.out) == (1, "")


def test_a_person(filled: Database, agentdb: Command) -> None:
    """Under another key; for programs."""
    rehearsed = agentdb("erase", "--subject", "Ann", "--key", "who", "--dry-run", "--json")
    done = agentdb("erase", "--subject", "Ann", "--key", "who", "--yes", "--json")

    assert json.loads(rehearsed.out)["rows"] == json.loads(done.out)["rows"] == {"agent_memories": 2}
    assert json.loads(done.out) == {
        "rows": {"agent_memories": 2},
        "residue": {},
        "unread": {},
        "is_complete": True,
        "dry_run": False,
    }


def test_an_organization(filled: Database, agentdb: Command) -> None:
    """All of it but its access log, and that too as the owner of the tables; the other one is untouched."""
    other = asyncio.run(checksums(filled.admin_url, "other"))

    done = agentdb("erase", "--organization", "acme", "--yes", AGENTDB_ACCESS_LOG="1")
    assert done.status == 0
    assert set(rows(filled)) == {"access_log"}
    assert "still speaks of it: access_log.organization_id, " in done.out

    done = agentdb("erase", "--organization", "acme", "--yes", AGENTDB_MIGRATION_URL=filled.admin_url)
    assert done.status == 0
    assert "speaks" not in done.out
    assert rows(filled) == {}
    assert asyncio.run(checksums(filled.admin_url, "other")) == other


WRONG = [
    [],
    ["--yes"],
    ["--agent", "scout-1"],  # nobody to ask
    ["--agent", "scout-1", "--json"],
    ["--agent", "", "--yes"],
    ["--subject", "", "--yes"],
    ["--organization", "", "--yes"],
    ["--organization", "other", "--yes"],
    ["--organization", "ACME", "--yes"],
    ["--agent", "scout-1", "--subject", "Ann", "--yes"],
    ["--agent", "scout-1", "--organization", "acme", "--yes"],
]


def test_wrong_use(filled: Database, agentdb: Command) -> None:
    """Exit status 2, and nothing is erased."""
    before = rows(filled)

    assert [arguments for arguments in WRONG if agentdb("erase", *arguments).status != 2] == []
    assert rows(filled) == before


@pytest.mark.parametrize(("answer", "status"), [(b"n\n", 1), (b"y\n", 0)])
def test_at_a_terminal_it_asks(filled: Database, tmp_path: Path, answer: bytes, status: int) -> None:
    """And goes on only with a yes."""
    controller, terminal = pty.openpty()
    os.write(controller, answer)
    done = subprocess.run(
        [*COMMAND, "--agent", "scout-1"], cwd=tmp_path, stdin=terminal, capture_output=True, text=True, check=False
    )
    os.close(terminal)
    os.close(controller)

    assert done.returncode == status
    assert "rows for good?" in done.stdout
    assert rows(filled)["agents"] == (1 if status == 0 else 2)


def test_ctrl_c_at_the_question(filled: Database, tmp_path: Path) -> None:
    """Is heard, and nothing is erased."""
    controller, terminal = pty.openpty()
    running = subprocess.Popen([*COMMAND, "--agent", "scout-1"], cwd=tmp_path, stdin=terminal, stdout=terminal)
    os.close(terminal)
    said = b""
    while b"for good? [y/N]" not in said:
        said += os.read(controller, 1000)
    try:
        status = interrupt(running)
    finally:
        running.kill()
        os.close(controller)

    assert status == 130
    assert rows(filled)["agents"] == 2
