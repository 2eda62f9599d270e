"""One thing that `agentdb doctor` looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "failed", "ok", "warning"]


@dataclass(frozen=True, slots=True)
class Check:
    """
    One check.

    Attributes:
        finding: What was found, in words.
        remedy: What to do; empty when all is well.
    """

    name: str
    state: Literal["ok", "warning", "failed"]
    finding: str
    remedy: str = ""


def ok(name: str, finding: str) -> Check:
    """Return a check that found what it should."""
    return Check(name, "ok", finding)


def warning(name: str, finding: str, remedy: str) -> Check:
    """Return a check that found what works, for now or not for everyone."""
    return Check(name, "warning", finding, remedy)


def failed(name: str, finding: str, remedy: str = "") -> Check:
    """Return a check that found what does not work; without a *remedy*, where the finding says it itself."""
    return Check(name, "failed", finding, remedy)
