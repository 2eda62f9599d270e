"""What TAB completes, by the shells' own protocol."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agentdb import AgentConfig, PrismaAgentClient
from agentdb.cli import completion
from agentdb.cli.app import app
from agentdb.cli.completion import complete_agent, complete_migration
from tests.conftest import Database
from tests.integration.cli.conftest import Command


def _completed(agentdb: Command, *words: str, **variables: str) -> list[str]:
    """Return what bash is told to complete the last of *words* with."""
    line = "\n".join(words)  # bash joins them by its IFS, which the function sets to the end of a line
    outcome = agentdb(_AGENTDB_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), **variables)
    assert (outcome.status, outcome.err) == (0, "")
    return outcome.out.split()


def test_commands(agentdb: Command) -> None:
    """All of them, and those that begin so."""
    assert set(_completed(agentdb, "agentdb", "")) == {*typer.main.get_command(app).commands}  # type: ignore[attr-defined]
    assert _completed(agentdb, "agentdb", "st") == ["stats"]
    assert set(_completed(agentdb, "agentdb", "embedded", "")) == {"url", "stop"}


def test_options_and_their_choices(agentdb: Command) -> None:
    """Of the command that is typed."""
    assert "--metric" in _completed(agentdb, "agentdb", "stats", "--")
    assert _completed(agentdb, "agentdb", "export", "--sealed", "") == ["plain", "keep", "omit"]
    assert _completed(agentdb, "agentdb", "import-sqlite", "--category", "SU") == ["SUPPORT"]


def test_migrations(agentdb: Command) -> None:
    """By name; these come with the package."""
    assert "20261122000000_agentdb_init" in _completed(agentdb, "agentdb", "migrate", "resolve", "20261122")
    assert complete_migration("nothing") == []


@pytest.mark.postgres
def test_agents(database: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Names of the organization's agents, from the database, but for those that a shell would not take as they are: others
    gave them, and zsh evaluates what it is told.
    """
    monkeypatch.setattr(completion, "_SECONDS", 60)  # this machine may be busy
    unsafe = ("sc\\$(touch x)", "sc;touch x", "sc two", "sc*", "sc`id`", "sc\nout", "sc\x1b[2J", "sc'", "-sc", "~sc")

    async def fill() -> None:
        for organization, names in {"acme": ("scout", "scribe", "clerk", *unsafe), "other": ("scamp",)}.items():
            async with PrismaAgentClient(database.url, organization) as client:
                for name in names:
                    await client.agents.register(AgentConfig(name=name, category="SUPPORT"))

    asyncio.run(fill())
    where = {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}

    assert _completed(agentdb, "agentdb", "stats", "--agent", "sc", **where) == ["scout", "scribe"]
    assert _completed(agentdb, "agentdb", "erase", "--agent", "", **where) == ["clerk", "scout", "scribe"]


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x", "ORGANIZATION_ID": "acme"},  # nobody there
        {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"},  # no organization
        {"DATABASE_URL": "nonsense", "ORGANIZATION_ID": "acme"},
        {"AGENTDB_DATA_DIR": "/tmp/agentdb-nobody-has-this"},  # an embedded server that does not run is not started
    ],
)
def test_agents_of_no_database(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is completed, nothing is said."""
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert complete_agent("") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell: str, agentdb: Command) -> None:
    """It is what --show-completion prints, and it asks agentdb itself."""
    outcome = agentdb(_AGENTDB_COMPLETE=f"source_{shell}")

    assert outcome.status == 0
    assert f"_AGENTDB_COMPLETE=complete_{shell}" in outcome.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_in_bash(tmp_path: Path) -> None:
    """The script is taken, and completes."""
    script = """
    eval "$(_AGENTDB_COMPLETE=source_bash agentdb)"
    COMP_WORDS=(agentdb migrate de) COMP_CWORD=2
    _agentdb_completion agentdb
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "deploy\n", "")
