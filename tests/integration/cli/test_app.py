"""What every command shares: help, exit statuses, errors."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentdb.cli.app import app
from tests.integration.cli.conftest import Command

COMMANDS = [
    "audit", "demo", "doctor", "embedded", "erase", "export", "import", "import-sqlite",
    "index", "init", "migrate", "reembed", "rotate-keys", "stats", "sweep",
]  # fmt: skip
UNREACHABLE = "postgresql://somebody:secret-word@127.0.0.1:1/nothing"


def test_help_lists_the_commands(agentdb: Command) -> None:
    """`agentdb --help` is a result: on stdout, exit status 0."""
    outcome = agentdb("--help")

    assert (outcome.status, outcome.err) == (0, "")
    assert all(f" {name} " in outcome.out for name in COMMANDS)


def test_every_command_is_in_the_list_of_this_test() -> None:
    """A new command gets its help and its errors tested too."""
    groups = [each.name for each in app.registered_groups] + [each.name for each in app.registered_commands]
    assert sorted(str(name) for name in groups) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, agentdb: Command) -> None:
    """Each says what it does."""
    outcome = agentdb(command, "--help")

    assert outcome.status == 0
    assert f"agentdb {command}" in outcome.out


def test_version(agentdb: Command) -> None:
    """`agentdb --version` names the package and its version."""
    outcome = agentdb("--version")

    assert outcome.status == 0
    assert outcome.out.startswith("agentdb ")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["migrate", "nonsense"], ["demo", "--nonsense"]])
def test_wrong_use_ends_with_2(arguments: list[str], agentdb: Command) -> None:
    """What the command line does not know is the caller's mistake."""
    assert agentdb(*arguments).status == 2


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (["demo"], "postgresql://somebody:secret-word@127.0.0.1:1/nothing"),  # no ORGANIZATION_ID
        (["migrate", "deploy"], "mysql://somebody:secret-word@127.0.0.1/nothing"),
        (["migrate", "deploy"], "postgresql://somebody:secret-word@127.0.0.1:none/nothing"),
    ],
)
def test_a_wrong_setting_is_wrong_use(arguments: list[str], url: str, agentdb: Command) -> None:
    """One line that names the variable, exit status 2, and the password nowhere."""
    outcome = agentdb(*arguments, DATABASE_URL=url)

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(("agentdb: DATABASE_URL", "agentdb: ORGANIZATION_ID"))
    assert outcome.err.count("\n") == 1
    assert "secret-word" not in outcome.err


@pytest.mark.parametrize("arguments", [["demo"], ["migrate"], ["migrate", "deploy"], ["migrate", "resolve", "x"]])
def test_what_fails_ends_with_1(arguments: list[str], agentdb: Command) -> None:
    """One line that says what was tried and what to do, and the password nowhere."""
    outcome = agentdb(*arguments, DATABASE_URL=UNREACHABLE, ORGANIZATION_ID="acme")

    assert (outcome.status, outcome.out) == (1, "")
    assert "127.0.0.1:1" in outcome.err
    assert outcome.err.count("\n") == 1
    assert "secret-word" not in outcome.err
    assert "Traceback" not in outcome.err


def test_help_loads_no_database_library() -> None:
    """`agentdb --help` answers at once: what only a running command needs is imported when it runs."""
    code = (
        "import sys; from agentdb.cli.app import run; run(['--help'])\n"
        "heavy = {'asyncpg', 'wasmtime', 'agentdb.prisma_client', 'cryptography'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
