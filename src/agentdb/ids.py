"""Row ids: UUIDs that the client makes, so that a retried write names the same row."""

from __future__ import annotations

import hashlib
import os
import random
import time
import uuid

__all__ = ["NIL_UUID", "keyed_uuid", "parse_uuid", "uuid7_text"]

NIL_UUID = "00000000-0000-0000-0000-000000000000"
"""The id before every other."""

_VERSION_8 = 8 << 76
_VARIANT = 0b10 << 62

_last_tick = 0
# Ids need to differ, not to be secret: this costs a fifth of os.urandom. It is our own, so that nobody's random.seed()
# makes two processes count alike, and a forked process seeds it anew.
_chance = random.Random()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_chance.seed)


def uuid7_text() -> str:
    """
    Return a new time-ordered UUID (RFC 9562, version 7) as text, in 1 µs.

    48 bits of milliseconds, 12 bits of the millisecond's fraction and 62 random bits. Ids of one process rise strictly,
    also when the clock stands still or steps back; ids of several processes order by their clocks, to about 0.25 µs.
    """
    global _last_tick  # a tick lost between threads costs order, never uniqueness
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    tick = (milliseconds << 12) | (nanoseconds << 12) // 1_000_000
    if tick <= _last_tick:
        tick = _last_tick + 1
    _last_tick = tick
    clock, chance = f"{tick:015x}", f"{_VARIANT | _chance.getrandbits(62):016x}"
    return f"{clock[:8]}-{clock[8:12]}-7{clock[12:]}-{chance[:4]}-{chance[4:]}"


def keyed_uuid(*parts: str) -> uuid.UUID:
    """
    Return the UUID (version 8) that *parts* always give: the row id of a write that carries an idempotency key.

    Each part counts with its length, so ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    number = int.from_bytes(digest.digest()[:16], "big")
    number &= ~((0xF << 76) | (0b11 << 62))
    return uuid.UUID(int=number | _VERSION_8 | _VARIANT)


def parse_uuid(text: object) -> uuid.UUID | None:
    """Return *text* as a UUID; None when it is none, so that a look-up by it can answer "not found"."""
    if isinstance(text, uuid.UUID):
        return text
    try:
        return uuid.UUID(text)  # type: ignore[arg-type]  # whatever it cannot read it refuses
    except (ValueError, AttributeError, TypeError):
        return None
