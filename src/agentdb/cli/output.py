"""What the commands share to print with. rich is imported when it is needed: `--help` and `--json` need none of it."""

from __future__ import annotations

import codecs
import io
import json
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    from agentdb.errors import AgentDBError

__all__ = ["WIDTH", "harmless", "print_error", "print_json", "progress", "results", "say", "shorten_path", "spell_out"]

WIDTH = 100
"""Widest line of the commands' own layout; a narrower terminal narrows it."""


# Control characters, lone surrogates, and what ends a line; and what makes text run the other way.
_OBEYED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_OBEYED_DIRECTIONS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def harmless(text: str) -> str:
    """Return *text* with what a terminal would obey, but ends of lines and tabs, written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if _is_obeyed(character) else character for character in text
    )


def _is_obeyed(character: str) -> bool:
    return character not in "\n\t" and (
        unicodedata.category(character) in _OBEYED_CATEGORIES
        or unicodedata.bidirectional(character) in _OBEYED_DIRECTIONS
    )


# What the commands themselves print beyond ASCII, and how a terminal without it shows that.
_SPELLED = dict(zip(map(ord, "✓✗·│└─▁▂▃▄▅▆▇█▓▒░"), "+x.|+-__oooO##@%:", strict=True)) | {ord("…"): "..."}


def spell_out(stream: TextIO) -> None:
    """Let *stream* take every text: what its encoding lacks is spelled in ASCII, and anything else as an escape."""
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("agentdb.spelled", _spelled)
        stream.reconfigure(errors="agentdb.spelled")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_SPELLED)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def say(text: str, *, err: bool = False) -> None:
    """Print a line that holds what others have written: names, kinds, errors."""
    typer.echo(harmless(text), err=err)


@cache
def _console_class() -> type[Console]:
    from rich.console import Console

    class HarmlessConsole(Console):
        """Shows stored text; only rich's own control codes reach the terminal."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=harmless(segment.text))

    return HarmlessConsole


def results() -> Console:
    """Return the console for results: stdout, without colour when it is no terminal."""
    console = _console_class()(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH  # a pipe has no width of its own
    return console


def progress() -> Console:
    """Return the console for progress: stderr."""
    return _console_class()(stderr=True, highlight=False)


def print_json(document: Mapping[str, object]) -> None:
    """Print a result, or why there is none, for a program."""
    typer.echo(json.dumps(document, indent=2, default=str))


def print_error(error: AgentDBError | OSError, *, as_json: bool) -> None:
    """Say why a command failed: in a line on stderr, and to a program on stdout, where it reads the result."""
    text = f"{error.filename or 'output'}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
    say(f"agentdb: {text}", err=True)
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": text}})


def shorten_path(path: Path) -> str:
    """Return *path* as a person would write it: "~" for the home directory."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
