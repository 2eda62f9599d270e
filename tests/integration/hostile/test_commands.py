"""Hostile strings as arguments of the commands, and in what the commands print."""

from __future__ import annotations

import asyncio
import io
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from agentdb import AgentConfig, PrismaAgentClient
from agentdb.cli.app import app
from tests.conftest import Database
from tests.integration.cli.conftest import Command, Outcome, agentdb
from tests.integration.hostile.strings import KINDS, sample
from tests.integration.hostile.witness import unharmed

__all__ = ["agentdb"]  # a fixture

pytestmark = pytest.mark.postgres

LEFT_OUT: Final = {
    ("demo", "ask"): "runs a demonstration on a server of its own",
    ("export", "output"): "is the name of a file that the caller wants written",
}
NEEDED: Final[dict[str, list[str]]] = {
    "erase": ["--dry-run"],
    "reembed": ["--embedder", "agentdb.embedders:SpellingEmbedder"],
    "export": ["--sealed", "omit"],
    "index drop": ["--model", "m", "--dimensions", "2"],
    "index create": ["--model", "m", "--dimensions", "2"],
}
"""What a command has to be told beside the one argument that is hostile."""

_LONGEST: Final = 4_000


def _commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    for name, inner in command.commands.items():
        yield from _commands(inner, (*path, name))


ARGUMENTS: Final = [
    (name, parameter)
    for name, command in _commands()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False) and (name, parameter.name) not in LEFT_OUT
]
"""Every argument of every command that takes a value, so that one that is added later is tried."""


def test_there_are_arguments() -> None:
    """The tests below look at something."""
    assert len(ARGUMENTS) > 20
    assert {name for name, _ in LEFT_OUT} <= {name for name, _ in _commands()}


@pytest.mark.parametrize(
    ("name", "parameter"), ARGUMENTS, ids=[f"{name} {parameter.name}" for name, parameter in ARGUMENTS]
)
def test_arguments_are_taken_or_refused_in_a_line(
    name: str, parameter: Any, database: Database, log: Path, agentdb: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 0, 1 or 2, no traceback, nothing that a terminal would obey, a short text."""
    needed = NEEDED.get(name, [])
    if parameter.param_type_name == "option" and parameter.opts[0] in needed:
        place = needed.index(parameter.opts[0])
        needed = needed[:place] + needed[place + 2 :]
    texts = [text for text in sample(len(KINDS)) if "\x00" not in text]  # which no argument of a process can hold
    changing = ("pg_class", "pg_index", "pg_attribute") if name == "index create" else ()

    def all_of_them() -> None:
        for text in texts:
            given = [f"{parameter.opts[0]}={text}"] if parameter.param_type_name == "option" else ["--", text]
            monkeypatch.setattr("sys.stdin", io.StringIO(""))
            outcome = agentdb(
                *name.split(),
                *needed,
                *given,
                DATABASE_URL=database.url,
                AGENTDB_MIGRATION_URL=database.admin_url,
                ORGANIZATION_ID="acme",
            )
            _check(outcome, text)

    asyncio.run(_unharmed(database, log, all_of_them, changing))


def test_what_is_stored_cannot_reach_the_terminal(database: Database, log: Path, agentdb: Command) -> None:
    """Names, kinds and errors that hold escape sequences, markup or lines of their own are shown harmless."""
    texts = [text for kind in ("logs", "formats", "controls", "invisible") for text in KINDS[kind]]

    async def store() -> None:
        async with PrismaAgentClient(database.url, "acme") as client:
            for number, text in enumerate(texts):
                agent = await client.agents.register(AgentConfig(name=f"{number} {text} x", category="SUPPORT"))
                await client.tools.register(f"{number} {text} x")
                await client.tools.record_call(f"{number} {text} x", agent.id, success=False, duration_ms=1, error=text)
                execution = await client.executions.start(agent.id, text, kind=f"{text} x")
                await client.executions.fail(execution.id, RuntimeError(f"{text} x"))

    asyncio.run(store())
    for command in (["stats"], ["doctor"], ["audit", "list"], ["audit", "verify"]):
        outcome = agentdb(*command, DATABASE_URL=database.url, ORGANIZATION_ID="acme")
        assert outcome.status in (0, 1, 2)
        assert _obeyed(outcome.out + outcome.err) == set(), command


def _check(outcome: Outcome, text: str) -> None:
    said = outcome.out + outcome.err
    assert outcome.status in (0, 1, 2)
    assert "Traceback" not in said
    assert len(outcome.err) < _LONGEST
    if not said.startswith("Usage:"):  # the words of the library that reads arguments
        assert _obeyed(said) == set(), ascii(text)


def _obeyed(text: str) -> set[str]:
    """Return the characters of *text* that a terminal obeys, but for ends of lines."""
    return {
        ascii(character)
        for character in text
        if character != "\n"
        and (
            unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
            or unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        )
    }


async def _unharmed(database: Database, log: Path, work: Any, changing: Sequence[str]) -> None:
    async with unharmed(database, log, others=(), changing=changing):
        await asyncio.to_thread(work)
