"""Waiting for what happens elsewhere."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["interrupt", "until"]

_PAUSE_SECONDS = 0.02


async def until(is_so: Callable[[], Awaitable[bool]], *, seconds: float = 20) -> None:
    """Wait until *is_so* says yes; AssertionError when it does not in time."""
    for _ in range(round(seconds / _PAUSE_SECONDS)):
        if await is_so():
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"it did not happen within {seconds:g} s")


def interrupt(running: subprocess.Popen[Any]) -> int:
    """
    Press Ctrl-C in a process that waits for a keyboard or a pipe; return its exit status.

    It is pressed again where nothing happens, as a person would: a signal that comes after Python has looked for one
    and before its read has begun interrupts neither.
    """
    for _ in range(30):
        running.send_signal(signal.SIGINT)
        try:
            return running.wait(timeout=2)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("the process goes on")
