"""The help of every command: what it does, its options, examples that can be copied."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
import typer

from agentdb.cli.app import app
from tests.integration.cli.conftest import Command

PROSE: Final = {
    "demo": "a show for people",
}
"""Commands whose result is no document, and why."""

_LONGEST_SUMMARY: Final = 59
_EXAMPLE: Final = re.compile(r"agentdb(?: (?:\"[^\"]*\"|'[^']*'|[^|)\"'])*)?")


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield every group and command below *command*, by what is typed for it."""
    for name, below in getattr(command, "commands", {}).items():
        yield " ".join((*path, name)), below
        yield from _commands(below, (*path, name))


ROOT: Final[Any] = typer.main.get_command(app)
COMMANDS: Final = dict(_commands(ROOT))
by_name = pytest.mark.parametrize("name", COMMANDS)


def _examples(command: Any) -> list[str]:
    return (command.epilog or "").partition("Examples:\n")[2].splitlines()


@by_name
def test_the_first_line_says_it_all(name: str) -> None:
    """One sentence, which fits into a line of the list of commands at 80 columns."""
    summary = COMMANDS[name].help.partition("\n\n")[0]

    assert summary.endswith(".")
    assert len(summary) <= _LONGEST_SUMMARY, summary


@by_name
def test_there_are_examples_of_it(name: str) -> None:
    """At least one, of this command and none other, that its own parser takes."""
    examples = _examples(COMMANDS[name])

    assert examples
    for example in examples:
        match = _EXAMPLE.search(example)
        assert match, example
        _, *words = shlex.split(match[0])
        command, path = ROOT, []
        while words and words[0] in getattr(command, "commands", {}):
            path.append(words.pop(0))
            command = command.commands[path[-1]]
        assert " ".join(path).startswith(name), example
        command.make_context(" ".join(path), words)  # raises what it would say


@by_name
def test_every_option_is_explained(name: str) -> None:
    """Arguments, too."""
    unexplained = [parameter.name for parameter in COMMANDS[name].params if not parameter.help]

    assert not unexplained


@by_name
def test_every_result_can_be_read_by_a_program(name: str) -> None:
    """With --json; but for groups that do nothing by themselves."""
    command = COMMANDS[name]
    if name in PROSE or (hasattr(command, "commands") and not command.invoke_without_command):
        return

    assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_at_80_columns(name: str, agentdb: Command) -> None:
    """No line is longer, and every example is on a line of its own, to be copied whole."""
    outcome = agentdb(*name.split(), "--help", COLUMNS="80", TERMINAL_WIDTH="80")

    assert (outcome.status, outcome.err) == (0, "")
    lines = [line.strip() for line in outcome.out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert set(_examples(COMMANDS.get(name, ROOT))) <= {*lines}


def test_help_in_a_narrow_terminal(agentdb: Command) -> None:
    """It is still all there."""
    outcome = agentdb("sweep", "--help", COLUMNS="30")

    assert outcome.status == 0
    assert "agentdb sweep" in outcome.out


def test_commands_are_in_panels(agentdb: Command) -> None:
    """By what one is about to do."""
    outcome = agentdb("--help")

    assert all(f" {panel} " in outcome.out for panel in ("Start", "Data", "Operate", "Security"))


def test_help_loads_nothing_that_only_a_command_needs() -> None:
    """So each answers at once: what a running command needs is imported when it runs."""
    code = (
        "import sys; from agentdb.cli.app import run\n"
        f"for name in {['', *COMMANDS]!r}:\n"
        "    run([*name.split(), '--help'])\n"
        "    heavy = {'asyncpg', 'wasmtime', 'agentdb.prisma_client', 'cryptography', 'agentdb.engine.engine',\n"
        "             'rich.progress', 'rich.live', 'sqlite3', 'agentdb.cli.demo.show', 'agentdb.cli.bar'}\n"
        "    heavy &= set(sys.modules)\n"
        "    if heavy: sys.exit(f'{name} loaded {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
