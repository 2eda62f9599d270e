"""Waiting for what happens elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["until"]

_PAUSE_SECONDS = 0.02


async def until(is_so: Callable[[], Awaitable[bool]], *, seconds: float = 20) -> None:
    """Wait until *is_so* says yes; AssertionError when it does not in time."""
    for _ in range(round(seconds / _PAUSE_SECONDS)):
        if await is_so():
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError(f"it did not happen within {seconds:g} s")
