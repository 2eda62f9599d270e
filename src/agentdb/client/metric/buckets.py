"""Where the buckets of a metric series begin: pure calendar arithmetic."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from agentdb.errors import InvalidInputError

__all__ = ["BUCKETS", "BucketWidth", "about_how_many", "are_full_hours", "bucket_edges", "is_narrow", "time_zone"]

BucketWidth: TypeAlias = Literal["1m", "5m", "15m", "1h", "6h", "1d", "1w", "1mo"]

_MINUTES: Final = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "6h": 360}
_WALL: Final = {"6h": timedelta(hours=6), "1d": timedelta(days=1), "1w": timedelta(weeks=1), "1mo": timedelta(days=31)}
BUCKETS: Final[tuple[str, ...]] = get_args(BucketWidth)
MAX_BUCKETS: Final = 50_000
# ZoneInfo makes a path and the name of a module of what it is given, and fails over a long one in its own ways.
_ZONE: Final = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9+_-]+(/[A-Za-z0-9+_-]+){0,3}")


def time_zone(name: object) -> tzinfo:
    """Return the time zone of this name in the IANA database."""
    if name == "UTC":
        return UTC  # also where the system has no time zone database
    if isinstance(name, str) and _ZONE.fullmatch(name):
        with suppress(KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
            return ZoneInfo(name)
    raise InvalidInputError("timezone", "is not the name of a time zone, like Europe/Berlin.")


def about_how_many(hours: float, bucket: str) -> float:
    """
    Return how many buckets there are in some hours; of those of a week and a month there are fewer.

    Raises:
        InvalidInputError: *bucket* is not known.
    """
    if bucket not in BUCKETS:
        raise InvalidInputError("bucket", f"expected one of {', '.join(BUCKETS)}.")
    return hours * 60 / _MINUTES.get(bucket, 1440)


def bucket_edges(now: datetime, hours: float, bucket: str, zone: tzinfo) -> list[datetime]:
    """
    Return where each bucket begins that the last *hours* before *now* touch, and at the end where the last one ends.

    Buckets align to the clock of *zone*: hours to the hour, days to midnight, weeks to Monday, months to the first. Up
    to an hour they are of one length, also when the clock is changed; longer ones follow the wall clock, so that a day
    may have 23 or 25 hours. Where the clock skips midnight, the day begins with the first time that it shows.

    Raises:
        InvalidInputError: *bucket* is not known, or there would be more than 50,000 buckets.
    """
    if about_how_many(hours, bucket) > MAX_BUCKETS:
        raise InvalidInputError(
            "bucket", f"gives more than {MAX_BUCKETS:,} buckets; choose a wider one, or fewer hours."
        )
    begin = now - timedelta(hours=hours)
    return _wall_edges(begin, now, bucket, zone) if bucket in _WALL else _even_edges(begin, now, bucket, zone)


def is_narrow(bucket: str) -> bool:
    """Return whether buckets of this width are shorter than an hour."""
    return _MINUTES.get(bucket, 60) < 60


def are_full_hours(edges: Iterable[datetime]) -> bool:
    """Return whether each of *edges*, in UTC, is a full hour: then every hour (UTC) lies in one bucket."""
    return not any(edge.minute or edge.second or edge.microsecond for edge in edges)


def _even_edges(begin: datetime, now: datetime, bucket: str, zone: tzinfo) -> list[datetime]:
    width = timedelta(minutes=_MINUTES[bucket])
    local = now.astimezone(zone)
    # Backwards by the part of the bucket that has passed: exact also in an hour that the clock shows twice. From now,
    # not from the begin: where a clock is changed by half an hour, no edge may depend on how far back one looks.
    minutes = local.hour * 60 + local.minute
    passed = timedelta(minutes=minutes % _MINUTES[bucket], seconds=local.second, microseconds=local.microsecond)
    end = now.astimezone(UTC) - passed + (width if passed else timedelta(0))
    count = -((begin - end) // width)
    return [end - number * width for number in range(count, -1, -1)]


def _wall_edges(begin: datetime, now: datetime, bucket: str, zone: tzinfo) -> list[datetime]:
    # Steps from what the clock should show, not from where the bucket before began: a day may have no midnight.
    shown = _step(_floor(_shows(begin, zone), bucket), bucket, -1)
    edges = [_instant(shown, zone)]
    while edges[-1] < now:
        shown = _step(shown, bucket)
        edge = _instant(shown, zone)
        if edge > edges[-1]:  # a day that the calendar skipped has no bucket
            edges.append(edge)
    return edges[bisect_right(edges, begin) - 1 :]


def _floor(local: datetime, bucket: str) -> datetime:
    """Return what the clock shows where the bucket begins that holds *local*."""
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    if bucket == "1mo":
        return midnight.replace(day=1)
    if bucket == "1w":
        return midnight - timedelta(days=local.weekday())
    return midnight if bucket == "1d" else midnight.replace(hour=local.hour // 6 * 6)


def _step(shown: datetime, bucket: str, direction: int = 1) -> datetime:
    if bucket != "1mo":
        return shown + direction * _WALL[bucket]
    return (shown + timedelta(days=31 if direction > 0 else -1)).replace(day=1)


def _instant(shown: datetime, zone: tzinfo) -> datetime:
    """Return the first moment at which the clock of *zone* shows this or later."""
    moment = shown.replace(tzinfo=zone).astimezone(UTC)
    if _shows(moment, zone) == shown:
        return moment
    # The clock never shows it: the change lies between what the offsets before and after it give.
    first = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    within = range(int((moment - first).total_seconds()))
    change = bisect_left(within, True, key=lambda second: _shows(first + timedelta(seconds=second), zone) >= shown)
    return first + timedelta(seconds=change)


def _shows(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
