"""What the commands share to print with. rich is imported when it is needed: `--help` and `--json` need none of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["WIDTH", "print_json", "progress", "results", "shorten_path"]

WIDTH = 100
"""Widest line of the commands' own layout; a narrower terminal narrows it."""


def results() -> Console:
    """Return the console for results: stdout, without colour when it is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal or console.width > WIDTH:
        console.width = WIDTH  # a pipe has no width of its own
    return console


def progress() -> Console:
    """Return the console for progress: stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(document: Mapping[str, object]) -> None:
    """Print a result for a program."""
    typer.echo(json.dumps(document, indent=2, default=str))


def shorten_path(path: Path) -> str:
    """Return *path* as a person would write it: "~" for the home directory."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
