"""Everything that a process lets out: logging with all that hangs on a record, warnings, output, errors, reprs."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["Emitted"]


class Emitted:
    """
    Gathers what is let out while `gathering` is entered, and says which canaries are among it.

    Args:
        canaries: What must not be let out, by what it is.
    """

    def __init__(self, **canaries: str) -> None:
        self.canaries = canaries
        self.texts: list[tuple[str, str]] = []

    @contextmanager
    def gathering(self, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
        """Listen to every logger at DEBUG, to warnings, and to what is written to stdout and stderr."""
        handler, root = _Handler(self), logging.getLogger()
        loggers = [root, *(logging.getLogger(name) for name in ("agentdb", "agentdb.access", "asyncio", "asyncpg"))]
        levels = [each.level for each in loggers]
        root.addHandler(handler)
        for each in loggers:
            each.setLevel(logging.DEBUG)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            root.removeHandler(handler)
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
            for warning in caught:
                self.texts.append(("warning", f"{warning.message!r} {warning!s}"))
            printed = capsys.readouterr()
            self.texts += [("stdout", printed.out), ("stderr", printed.err)]

    def error(self, error: BaseException) -> None:
        """Take what is printed of an error: its text and repr, and its traceback with all that led to it."""
        self.texts.append((f"error {type(error).__name__}", f"{error!s} {error!r} {error.args!r}"))
        self.texts.append((f"traceback of {type(error).__name__}", "".join(traceback.format_exception(error))))

    @contextmanager
    def expecting(self, *kinds: type[BaseException]) -> Iterator[None]:
        """Check that one of *kinds* is raised, and take it; as a program would log it, too."""
        try:
            yield
        except kinds as error:
            self.error(error)
            logging.getLogger("application").exception("it failed", extra={"reason": str(error)})
        else:
            raise AssertionError(f"nothing was raised, expected one of {kinds}")

    @contextmanager
    def perhaps(self, *kinds: type[BaseException]) -> Iterator[None]:
        """Take one of *kinds* if it is raised."""
        try:
            yield
        except kinds as error:
            self.error(error)

    def see(self, *things: object) -> None:
        """Take what is printed of things."""
        for thing in things:
            self.texts.append((f"repr of {type(thing).__name__}", f"{thing!r} {thing!s} {thing}"))

    @property
    def found(self) -> list[str]:
        """Which canaries were let out, and where."""
        return sorted(
            {
                f"{name} in {place}: …{text[max(0, text.find(canary) - 150) : text.find(canary) + 60]}"
                for place, text in self.texts
                for name, canary in self.canaries.items()
                if canary in text
            }
        )


class _Handler(logging.Handler):
    def __init__(self, emitted: Emitted) -> None:
        super().__init__(logging.DEBUG)
        self._emitted = emitted
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {name: value for name, value in vars(record).items() if name != "exc_info"}
        self._emitted.texts.append((f"log of {record.name}", f"{self.format(record)} {fields!r}"))
