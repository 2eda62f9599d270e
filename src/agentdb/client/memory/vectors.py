"""Vectors that callers give, checked and packed: pure, and quick, for a vector has hundreds of numbers."""

from __future__ import annotations

import math
from typing import Any, Final

from agentdb.postgres.vector import pack_vector, unpack_vector
from agentdb.validation import VectorLike, checked_vector

__all__ = ["dimensions_of", "packed_vector", "scaled"]

_MOST_DIMENSIONS: Final = 16_000
_HEADER_BYTES: Final = 4
_BYTES_EACH: Final = 4
_SHORTEST: Final = 1e-8
_LONGEST: Final = 1e8
_NUMBERS: Final = {float, int}


def packed_vector(values: VectorLike, field: str) -> bytes:
    """
    Return *values* in pgvector's binary form; 384 floats in 15 µs as a list, in 8 µs as an array of numpy.

    Args:
        values: 1 to 16,000 finite numbers, not all zero as 32-bit floats: a sequence or a one-dimensional array. Very
            short and very long vectors are scaled to length 1, for PostgreSQL adds their squares up as 32-bit floats.
        field: What errors call them.

    Raises:
        InvalidInputError: They are anything else.
    """
    packed = _packed(values)
    if packed is None or not packed[_HEADER_BYTES:].strip(b"\0\x80"):  # all 0 or -0
        # All that is unusual takes the way on which every mistake has a name.
        return scaled(pack_vector(checked_vector(values, field)))
    return scaled(packed)


def scaled(packed: bytes) -> bytes:
    """Return a packed vector, scaled to length 1 if it is so short or long that cosines with it would be wrong."""
    numbers = unpack_vector(packed)
    largest = max(max(numbers), -min(numbers))
    if _SHORTEST < largest < _LONGEST:
        return packed
    wide = [number / largest for number in numbers]
    norm = math.hypot(*wide)
    return pack_vector([number / norm for number in wide])


def dimensions_of(packed: bytes) -> int:
    """Return how many numbers a packed vector has."""
    return (len(packed) - _HEADER_BYTES) // _BYTES_EACH


def _packed(values: Any) -> bytes | None:
    """Return the packed vector if *values* is one of the usual, else None."""
    shape = getattr(values, "shape", None)
    if shape is None:
        is_usual = isinstance(values, list | tuple) and set(map(type, values)) <= _NUMBERS
        length = len(values) if is_usual else 0
    else:
        is_usual = len(shape) == 1 and getattr(values.dtype, "kind", "") == "f"
        length = shape[0] if is_usual else 0
    if not 1 <= length <= _MOST_DIMENSIONS:
        return None
    try:
        return pack_vector(values)
    except (ValueError, TypeError, OverflowError):
        return None
