"""`date` on the wire: the database library takes its first and last day for minus infinity and infinity."""

from __future__ import annotations

from datetime import date
from typing import Final

__all__ = ["pack_date", "unpack_date"]

_EPOCH: Final = date(2000, 1, 1).toordinal()
_INFINITY: Final = 2**31 - 1
_MINUS_INFINITY: Final = -(2**31)


def pack_date(day: date) -> bytes:
    """Return *day* in PostgreSQL's binary form: days since the first of January 2000."""
    return (day.toordinal() - _EPOCH).to_bytes(4, "big", signed=True)


def unpack_date(data: bytes) -> date:
    """
    Return the day of PostgreSQL's binary form; the last one there is for infinity, the first for minus infinity.

    Raises:
        ValueError: It is before the year 1 or after 9999.
    """
    days = int.from_bytes(data, "big", signed=True)
    if days in {_INFINITY, _MINUS_INFINITY}:
        return date.max if days > 0 else date.min
    return date.fromordinal(days + _EPOCH)
