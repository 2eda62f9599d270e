"""`agentdb migrate copy`: what it copies is tested in tests/unit/project, what Prisma makes of it in tests/examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentdb.project.prisma_folder import MODELS
from tests.integration.cli.conftest import Command


@pytest.fixture
def agentdb(agentdb: Command) -> Command:
    """The command line in a folder with a Prisma schema, and with no database at all."""
    Path("prisma").mkdir()
    Path("prisma/schema.prisma").write_text('datasource db {\n  provider = "postgresql"\n}\n')
    return agentdb


def test_copies_once(agentdb: Command) -> None:
    """It names each file, and says what to do next; again there is nothing new."""
    first = agentdb("migrate", "copy", "prisma")
    again = agentdb("migrate", "copy", "prisma")

    assert (first.status, first.err) == (0, "")
    assert f"added    prisma/{MODELS}\n" in first.out
    assert 'schema: "prisma"' in first.out
    assert (again.status, again.out, again.err) == (0, "nothing new: prisma has what this version has\n", "")


def test_what_differs_fails(agentdb: Command) -> None:
    """The difference is shown, without what a terminal would obey, and the file stays."""
    agentdb("migrate", "copy", "prisma")
    script = next(Path("prisma/migrations").glob("*/migration.sql"))
    script.write_text("-- \x1b[2J mine\n")

    outcome = agentdb("migrate", "copy", "prisma")

    assert outcome.status == 1
    assert f"{script} was changed here" in outcome.err
    assert "--- \\x1b[2J mine" in outcome.err
    assert script.read_text() == "-- \x1b[2J mine\n"


def test_json_for_programs(agentdb: Command) -> None:
    """The same facts as JSON."""
    first = json.loads(agentdb("migrate", "copy", "prisma", "--json").out)
    Path(first["files"][0]["path"]).write_text("SELECT 1;\n")
    second = json.loads(agentdb("migrate", "copy", "prisma", "--json").out)

    assert (first["is_current"], {file["state"] for file in first["files"]}) == (True, {"added"})
    assert (second["is_current"], second["files"][0]["state"]) == (False, "differs")
    assert "SELECT 1;" in second["files"][0]["difference"]


def test_wrong_use(agentdb: Command) -> None:
    """A folder without a schema is most often another one than is meant."""
    outcome = agentdb("migrate", "copy", "nowhere")

    assert (outcome.status, outcome.out) == (2, "")
    assert "holds no .prisma file" in outcome.err


def test_migrations_elsewhere(agentdb: Command) -> None:
    """As prisma.config.ts has it."""
    assert agentdb("migrate", "copy", "prisma", "--migrations", "other").status == 0
    assert list(Path("other").glob("*_agentdb_init/migration.sql"))
