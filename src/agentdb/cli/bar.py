"""How far something is: a bar on stderr, or a line now and then where that is no terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from agentdb.cli.output import progress as progress_console

__all__ = ["Bar"]

_LINE_EVERY_SECONDS: Final = 5.0


class Bar:
    """A bar for what is done step by step: ``with Bar() as bar: bar.show("reading", 3, 10)``."""

    def __init__(self) -> None:
        self._console = progress_console()
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)
        self._next_line = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, text: str, done: int, total: int) -> None:
        """Say what is done, and how much of it; a *total* of 0 is one that is not known."""
        if total:
            text = f"{text}, {done:,} of {total:,}"
        if self._console.is_terminal:
            self._progress.update(self._task, description=text, completed=done, total=total or None)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY_SECONDS
            self._console.print(text, markup=False, soft_wrap=True)
