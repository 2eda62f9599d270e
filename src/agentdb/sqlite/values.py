"""
What a cell says: SQLite keeps any kind of value in any column, so each is looked at by itself. Pure.

Nothing is guessed that could be wrong without a trace: what does not fit is `Refused`, with a reason for people.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from agentdb.validation import UnstorableError, as_utc, check_characters, parse_json

__all__ = [
    "SCALES",
    "Refused",
    "as_count",
    "as_flag",
    "as_json",
    "as_number",
    "as_share",
    "as_text",
    "as_time",
    "is_missing",
    "json_in",
    "scale_of",
    "zone_of",
]

SCALES: Final = (1.0, 10.0, 100.0)
"""On which scales importance and confidence are given: from 0 to one of these."""

_WORDS: Final = {
    "none": 0.0, "trivial": 0.1, "lowest": 0.1, "very low": 0.1, "low": 0.25, "minor": 0.25, "medium": 0.5,
    "moderate": 0.5, "normal": 0.5, "default": 0.5, "high": 0.75, "important": 0.75, "major": 0.75, "very high": 0.9,
    "highest": 1.0, "critical": 1.0, "urgent": 1.0,
}  # fmt: skip
_TRUE: Final = frozenset(["1", "true", "t", "yes", "y", "on"])
_FALSE: Final = frozenset(["0", "false", "f", "no", "n", "off"])
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
# 20240131, 202401312359, 20240131235959: as a number of seconds or milliseconds it would be a time far off.
_COMPACT: Final = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)?", re.ASCII
)
_LOOSE: Final = re.compile(r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)(?:[ T]+(\d\d?)(:.*))?", re.ASCII)
_LONGEST: Final = 400  # of a text that is a number or a time
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
# From when on a number is taken for more than the unit before it: so many seconds are the end of the year 9999.
_UNITS: Final = tuple((253_402_300_800 * unit, unit) for unit in (1, 1_000, 1_000_000, 1_000_000_000))
_EARLIEST_SECONDS: Final = 1e8  # March 1973: a smaller number is a year, a count, or a Julian day
_JULIAN_DAYS: Final = (2_400_000.0, 2_600_000.0)
_JULIAN_EPOCH: Final = 2_440_587.5


class Refused(Exception):
    """A value or a row that cannot be taken; its text says why, and holds nothing of the value."""


def is_missing(value: object) -> bool:
    """Return whether a cell says nothing: NULL, or an empty text or blob."""
    return value is None or value in ("", b"")


def as_text(value: object, what: str) -> str:
    """Return a text that can be stored; a number is written as one."""
    if isinstance(value, bytes):
        raise Refused(f"{what} is a blob of {len(value):,} bytes, where text was expected")
    text = value if isinstance(value, str) else repr(value)
    try:
        return check_characters(text)
    except UnstorableError as error:
        if any("\udc80" <= character <= "\udcff" for character in text):
            raise Refused(f"{what} holds bytes that are not UTF-8") from None
        raise Refused(f"{what} {error.reason.split(';')[0].rstrip('.')}") from None


def as_number(value: object, what: str) -> float:
    """Return a finite number; a text may hold one."""
    if isinstance(value, bytes):
        hint = ", as NumPy's integers become unless they are converted" if len(value) in (4, 8) else ""
        raise Refused(f"{what} is a blob of {len(value):,} bytes, where a number was expected{hint}")
    if isinstance(value, str):
        if len(value) > _LONGEST or not _NUMBER.fullmatch(value):
            raise Refused(f"{what} is text, where a number was expected")
        value = float(value)
    number = float(value)  # type: ignore[arg-type]  # SQLite has no other types
    if not math.isfinite(number):
        raise Refused(f"{what} is infinite")
    return number


def as_count(value: object, what: str, *, at_most: int = 2**63 - 1) -> int:
    """Return a whole number from 0 to *at_most*."""
    number = value if isinstance(value, int) else as_number(value, what)
    if number != int(number) or not 0 <= number <= at_most:
        raise Refused(f"{what} is no whole number from 0 to {at_most:,}")
    return int(number)


def as_flag(value: object, what: str) -> bool:
    """Return what a cell says that is 0 or 1, or a word for it."""
    word = str(value).strip().lower()
    if isinstance(value, bytes) or word not in _TRUE | _FALSE:
        raise Refused(f"{what} says neither yes nor no")
    return word in _TRUE


def as_share(value: object, scale: float, what: str) -> float:
    """Return a number of [0, 1]: one from 0 to *scale*, or a word such as "high"."""
    if isinstance(value, str) and (word := value.strip().lower().replace("_", " ")) in _WORDS:
        return _WORDS[word]
    share = as_number(value, what) / scale
    if not 0 <= share <= 1:
        raise Refused(f"{what} is not from 0 to {scale:g}")
    return share


def scale_of(least: float | None, greatest: float | None) -> float | None:
    """
    Return the scale of a column whose numbers are from *least* to *greatest*; None: it is none of `SCALES`.

    A column that has no numbers, but words or nothing, needs none and gets the first.
    """
    if least is None or greatest is None:
        return SCALES[0]
    return None if least < 0 else next((scale for scale in SCALES if greatest <= scale), None)


def zone_of(name: str) -> tzinfo:
    """Return the time zone *name*; UTC needs no list of zones."""
    return UTC if name == "UTC" else ZoneInfo(name)


def as_time(value: object, zone: tzinfo, what: str) -> datetime:
    """
    Return a time in UTC.

    Numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, by their size, or Julian days, as
    SQLite's own functions have them. Texts are ISO 8601 in any usual spelling, RFC 2822, or a number; those that name
    no zone are of *zone*. A number such as 20240131 or 20240131235959 is a date.
    """
    if isinstance(value, bytes):
        raise Refused(f"{what} is a blob of {len(value):,} bytes, where a time was expected")
    text = "" if isinstance(value, str) and len(value) > _LONGEST else str(value).strip()
    if _COMPACT.fullmatch(text):
        moment = _moment(f"{text[:8]}T{text[8:]}".rstrip("T"))
    elif isinstance(value, str) and not _NUMBER.fullmatch(text):
        moment = _moment(text)
    else:
        moment = _from_number(as_number(value, what))
    if moment is None:
        raise Refused(f"{what} is no time that can be read")
    try:
        return as_utc(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        raise Refused(f"{what} is a time out of range") from None


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, _padded, _in_utc, parsedate_to_datetime):
        try:
            return read(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _padded(text: str) -> datetime:
    """Read a date of four, two and two digits, or fewer, with dashes, slashes or dots."""
    found = _LOOSE.fullmatch(text)
    if found is None:
        raise ValueError("not a date of this kind")
    year, month, day, hour, rest = found.groups()
    time = "" if hour is None else f"T{hour:0>2}{rest}"
    return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}{time}")


def _in_utc(text: str) -> datetime:
    """Read a time that says "UTC" or "GMT" in words, after its offset or instead of one."""
    head, _, zone = text.rpartition(" ")
    if zone not in ("UTC", "GMT"):
        raise ValueError("not a time of this kind")
    moment = _padded(head)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from_number(number: float) -> datetime | None:
    if _JULIAN_DAYS[0] <= number <= _JULIAN_DAYS[1]:
        return _EPOCH_START + timedelta(days=number - _JULIAN_EPOCH)
    size = abs(number)
    unit = next((unit for limit, unit in _UNITS if size < limit), None)
    if unit is None or size < _EARLIEST_SECONDS:
        return None
    try:
        # In whole microseconds: a float of seconds has them to the digit, a sum of two floats would not.
        return _EPOCH_START + timedelta(microseconds=round(number / unit * 1_000_000))
    except OverflowError:
        return None


def as_json(value: object, what: str) -> Any:
    """Return what a JSON object or array in a text says; whatever is none of these as it is."""
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise Refused(f"{what} is infinite")
        return value
    text = as_text(value, what)
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return _finite(parse_json(text))
    except (ValueError, RecursionError, TypeError):
        return text


def json_in(value: bytes) -> dict[str, Any] | list[Any] | None:
    """Return the JSON object or array that a blob holds as UTF-8; None: it holds something else."""
    try:
        said = as_json(value.decode(), "a blob")
    except (UnicodeDecodeError, Refused):
        return None
    return said if isinstance(said, dict | list) else None


def _finite(value: Any) -> Any:
    """Return *value*; ValueError when it holds NaN or infinity, which Python's json writes and JSON does not know."""
    parts: Sequence[Any] = [*value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _finite(part)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN or infinity")
    return value
