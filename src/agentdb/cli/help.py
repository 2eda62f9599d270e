"""What a command's help says is its docstring: one line, prose, and a section of examples to copy."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import typer

__all__ = ["Help", "read_docstrings", "read_help"]

_EXAMPLES = "Examples:"


class Help(NamedTuple):
    """
    What a docstring says.

    Attributes:
        text: Its paragraphs, each on one line; the first is what lists of commands show.
        examples: Command lines.
    """

    text: str
    examples: tuple[str, ...]

    @property
    def epilog(self) -> str | None:
        """The examples as the last part of a help text; None where there are none."""
        return "\n".join([_EXAMPLES, *self.examples]) if self.examples else None


def read_help(docstring: str) -> Help:
    """Return what *docstring* says. Its lines end where its editor is narrow, not where the reader's terminal is."""
    text, _, examples = inspect.cleandoc(docstring).partition(f"\n{_EXAMPLES}\n")
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    lines = (line.strip() for line in examples.splitlines())
    return Help("\n\n".join(filter(None, paragraphs)), tuple(filter(None, lines)))


def read_docstrings(app: typer.Typer) -> None:
    """Give each command below *app* the help that its docstring holds; a group has its callback's, or its own help."""
    for command in app.registered_commands:
        command.help, command.epilog = _described(command.callback.__doc__ if command.callback else None)
    for group in app.registered_groups:
        below = group.typer_instance
        assert below is not None  # add_typer was called with one
        root = below.registered_callback
        says = root.callback.__doc__ if root and root.callback else below.info.help
        group.help, group.epilog = _described(says)
        read_docstrings(below)


def _described(docstring: object) -> tuple[str, str | None]:
    found = read_help(docstring if isinstance(docstring, str) else "")
    return found.text, found.epilog
