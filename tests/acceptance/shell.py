"""Takes the commands of `bash` and `console` blocks apart, and looks at those that are not run."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.exceptions import NOT_RUN

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Command:
    """
    One command of a block.

    Attributes:
        text: What the reader types; several lines where they end with a backslash.
        shown: What the page shows below it; empty if nothing.
    """

    text: str
    shown: str = ""

    @property
    def exit_status(self) -> int:
        """The exit status that its comment announces (`# exit 1`), else 0."""
        announced = re.search(r"#.*\bexit (\d+)", self.text)
        return int(announced[1]) if announced else 0

    @property
    def is_run(self) -> bool:
        """Whether it is no exception."""
        return not _without_variables(self.text).startswith(tuple(NOT_RUN))


def commands_of(language: str, code: str) -> Iterator[Command]:
    """Yield the commands of a block: in `console` what stands behind "$ ", with what it prints, else each line."""
    if language == "console":
        for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
            text = _lines(part)[0]
            yield Command(text, part[len(text) :].lstrip("\n"))
    else:
        yield from (Command(text) for text in _lines(code) if text.strip() and not text.startswith("#"))


def look_at(command: Command) -> None:
    """
    See what can be seen of a command that is not run: whether agentdb takes its arguments, and has what it names.

    Raises:
        click.ClickException: `agentdb` refuses its arguments.
        LookupError: There is no such extra, or no such target of make.
    """
    program, *arguments = shlex.split(_without_variables(command.text), comments=True)
    if program == "agentdb":
        _parse(arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        _look_up((name for name in arguments if "=" not in name), targets)
    elif program == "pip":
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        named = re.findall(r"agentdb\[([\w,-]+)\]", command.text)
        _look_up(",".join(named).split(",") if named else [], project["optional-dependencies"])


def _without_variables(command: str) -> str:
    return re.sub(r"^(\w+=\S* )+", "", command)


def _lines(code: str) -> list[str]:
    return re.findall(r"^(?:.*\\\n)*.*", code, re.MULTILINE)


def _look_up(names: Iterable[str], known: Container[str]) -> None:
    for name in names:
        if name not in known:
            raise LookupError(f"there is no {name!r}")


def _parse(arguments: list[str]) -> None:
    import typer.main

    from agentdb.cli.app import app

    command, context = typer.main.get_command(app), None
    while True:
        context = command.make_context(command.name or "agentdb", arguments, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        rest = [*getattr(context, "_protected_args", []), *context.args]
        _, command, arguments = command.resolve_command(context, rest)
