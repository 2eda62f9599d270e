"""
Embeddings as they are found in SQLite: JSON, NumPy's own files, raw floats. Pure.

A pickle is told by its opcodes and never unpickled: to unpickle is to run what the file says.
"""

from __future__ import annotations

import ast
import math
import pickletools
import struct
import sys
from array import array
from typing import Any, Final

from agentdb.sqlite.values import Refused
from agentdb.validation import parse_json

__all__ = ["is_pickle", "read_embedding"]

_MOST_NUMBERS: Final = 16_000
_NUMPY_MAGIC: Final = b"\x93NUMPY"
_NUMPY_TYPES: Final = {"<f4": "f", "<f8": "d", "|f4": "f", "|f8": "d"}
_PICKLE_STARTS: Final = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_OLD_PICKLE_STARTS: Final = (b"(", b"c", b"]", b"}")
# The length of a vector that a model made is about 1; of one that was read with the wrong width it is anything.
_SHORTEST, _LONGEST = 1e-3, 1e6
_USUALLY_FROM: Final = 0.05
_ABOUT: Final = 100  # how far numbers of one vector are from each other, but for a few


def read_embedding(value: object) -> array[float]:
    """
    Return the 32-bit floats of an embedding.

    Raises:
        Refused: It is none that is known; the text says what it looks like.
    """
    floats = _from_text(value) if isinstance(value, str) else _from_blob(value)
    if not 1 <= len(floats) <= _MOST_NUMBERS:
        raise Refused(f"has {len(floats):,} numbers, where 1 to {_MOST_NUMBERS:,} were expected")
    length = math.hypot(*floats)  # neither NaN nor infinity is within any bounds
    if not 1e-12 <= length <= 1e12:
        raise Refused("is all zero" if length == 0 else "holds a number that is not finite, or too large")
    return floats


def is_pickle(value: object) -> bool:
    """Return whether a blob is one of Python's pickles; looks at its opcodes and runs none."""
    if not isinstance(value, bytes) or not value.endswith(b"."):
        return False
    if not value.startswith((*_PICKLE_STARTS, *_OLD_PICKLE_STARTS)):
        return False
    try:
        for _ in pickletools.genops(value):
            pass
    except Exception:  # whatever it stumbles over, it is none
        return False
    return True


def _from_text(text: str) -> array[float]:
    try:
        values = parse_json(text)
    except (ValueError, RecursionError, TypeError):
        raise Refused("is text and no JSON array of numbers") from None
    if not isinstance(values, list) or any(type(each) not in (int, float) for each in values):
        raise Refused("is JSON and no array of numbers")
    return _single(values)


def _from_blob(value: object) -> array[float]:
    if not isinstance(value, bytes):
        raise Refused("is a number, where an embedding was expected")
    if value.startswith(_NUMPY_MAGIC):
        return _from_numpy(value)
    if is_pickle(value):
        raise Refused("is a pickle, which is never unpickled: to do so would run what the file says")
    readings = [_floats(code, value) for code, size in (("f", 4), ("d", 8)) if len(value) % size == 0]
    possible = [floats for floats in readings if _SHORTEST <= math.hypot(*floats) <= _LONGEST]
    if not possible:
        raise Refused(f"is a blob of {len(value):,} bytes that are neither 32-bit nor 64-bit floats, little-endian")
    return _single(possible[0] if len(possible) == 1 else max(possible, key=_likeness))


def _likeness(floats: array[float]) -> tuple[bool, float]:
    """
    Return how much numbers look like a vector's, where they can be read as 32 and as 64 bits.

    Half of a 64-bit float is nothing: read as numbers of their own, the lower halves are 0 or of any size, while the
    numbers of a vector are of about the same size. 32-bit floats up to 1, taken by twos, are less than 0.01.
    """
    length = math.hypot(*floats)
    usual = length / math.sqrt(len(floats))
    alike = sum(usual / _ABOUT <= abs(each) <= usual * _ABOUT for each in floats)
    return length >= _USUALLY_FROM, alike / len(floats)


def _from_numpy(value: bytes) -> array[float]:
    """Return what a .npy file holds, without NumPy; one with objects is a pickle in disguise."""
    try:
        is_short = value[6] == 1
        start = 10 if is_short else 12
        (length,) = struct.unpack_from("<H" if is_short else "<I", value, 8)
        header: dict[str, Any] = ast.literal_eval(value[start : start + length].decode("latin-1"))
        kind, shape, body = header["descr"], header["shape"], value[start + length :]
        if kind == "|O":
            raise Refused("is a NumPy file of Python objects, which is a pickle and never unpickled")
        floats = _floats(_NUMPY_TYPES[kind], body)
        if len(floats) != math.prod(shape) or max(shape, default=1) != len(floats):
            raise ValueError("not one vector")  # noqa: TRY301 - refused in the same words
    except (ValueError, KeyError, TypeError, IndexError, SyntaxError, struct.error, RecursionError, MemoryError):
        raise Refused("is a NumPy file that holds no single vector of 32-bit or 64-bit floats") from None
    return _single(floats)


def _floats(code: str, data: bytes) -> array[float]:
    floats: array[float] = array(code)
    floats.frombytes(data)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def _single(values: array[float] | list[float]) -> array[float]:
    """Return numbers as 32-bit floats; what is beyond these becomes infinity."""
    if isinstance(values, array) and values.typecode == "f":
        return values
    try:
        return array("f", values)
    except OverflowError:  # a whole number beyond any float
        raise Refused("holds a number that is not finite, or too large") from None
