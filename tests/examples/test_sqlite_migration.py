"""An agent leaves SQLite: its README, step by step, from the wheel."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.acceptance.blocks import find_blocks, is_as_shown
from tests.examples.conftest import Installation


def test_the_agent_moves(installed: Installation, example: Callable[[str], Path]) -> None:
    """What the README shows is what comes; a corrected row comes later, and nothing twice."""
    project = example("sqlite-migration")
    page = (project / "README.md").read_text(encoding="utf-8")
    imported, remembered = (block.code.partition("\n")[2] for block in find_blocks(page) if block.language == "console")
    command = ("agentdb", "import-sqlite", "harbour.db", "--agent", "harbour", "--mapping", "map.toml")

    installed.run("python", "before/work.py", cwd=project)
    before = (project / "harbour.db").read_bytes()
    done = installed.run(*command, cwd=project, check=False)
    assert (done.returncode, (project / "harbour.db").read_bytes()) == (1, before)
    assert is_as_shown(imported, done.stdout)
    assert is_as_shown(remembered, installed.run("python", "after/work.py", cwd=project).stdout)

    with closing(sqlite3.connect(project / "harbour.db")) as connection, connection:
        connection.execute("UPDATE memories SET created_at = '2024-03-01' WHERE id = 4")
    migrated = installed.run("python", "migrate_sqlite_to_postgres.py", "harbour.db", "harbour", cwd=project)
    assert migrated.stdout.splitlines()[:2] == [
        "tools: 0 imported, 1 there already, 0 refused",
        "memories: 1 imported, 3 there already, 0 refused",
    ]
    assert installed.run(*command, cwd=project).stdout.endswith("Everything is there.\n")
