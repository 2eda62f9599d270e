"""The values that Prisma's client makes, and not the database: ``uuid()``, ``cuid()``, ``nanoid()`` and their like."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Mapping
from hashlib import sha3_512
from typing import Any
from uuid import UUID, uuid4

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_URL_SAFE = "useandom-26T198340PX75pxJACKVERYMINDBUSHWOLF_GQZbfghjklqvwyzrict"
_counter = itertools.count(secrets.randbelow(36**4))


def uuid(version: int = 4) -> str:
    """Return a random (4) or time-ordered (7) UUID as text."""
    return str(uuid7() if version == 7 else uuid4())


def uuid7() -> UUID:
    """Return a version 7 UUID: 48 bits of Unix milliseconds, then random bits (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds << 80) | (0x7 << 76) | ((random >> 68) << 64) | (0b10 << 62) | (random & ((1 << 62) - 1))
    return UUID(int=value)


def cuid(version: int = 1) -> str:
    """Return a collision-resistant id: 25 characters for version 1, 24 for version 2, both starting with a letter."""
    return _cuid2() if version == 2 else _cuid1()


def _cuid1() -> str:
    stamp = _in_base(time.time_ns() // 1_000_000, _BASE36)
    count = _in_base(next(_counter) % 36**4, _BASE36).rjust(4, "0")
    fingerprint = _in_base(os.getpid() % 36**2, _BASE36).rjust(2, "0") + _FINGERPRINT
    return f"c{stamp}{count}{fingerprint}{_random(8, _BASE36)}"


def _cuid2() -> str:
    seed = f"{time.time_ns()}{next(_counter)}{secrets.token_hex(32)}{os.getpid()}"
    digest = _in_base(int.from_bytes(sha3_512(seed.encode()).digest(), "big"), _BASE36)
    return secrets.choice(_BASE36[10:]) + digest[1:24]


def ulid() -> str:
    """Return 26 characters of Crockford's base 32: 48 bits of milliseconds, 80 random bits."""
    value = ((time.time_ns() // 1_000_000) << 80) | secrets.randbits(80)
    return _in_base(value, _CROCKFORD).rjust(26, "0")


def nanoid(length: int = 21) -> str:
    """Return *length* random characters of the URL-safe alphabet."""
    return _random(length, _URL_SAFE)


def product(left: Any, right: Any) -> list[list[Any]]:
    """Return every pair of an item of *left* and an item of *right*; what is no list counts as a list of one."""
    lefts = left if isinstance(left, list) else [left]
    rights = right if isinstance(right, list) else [right]
    return [[one, other] for one in lefts for other in rights]


def _random(length: int, alphabet: str) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _in_base(number: int, alphabet: str) -> str:
    digits = []
    while number:
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits)) or alphabet[0]


_FINGERPRINT = _random(2, _BASE36)

GENERATORS: Mapping[str, Callable[..., Any]] = {
    "uuid": uuid,
    "cuid": cuid,
    "ulid": ulid,
    "nanoid": nanoid,
    "product": product,
}
"""Every generator but ``now``, which one run answers with one moment throughout."""
