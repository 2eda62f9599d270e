"""Where the buckets of a metric series begin: pure calendar arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from agentdb.errors import InvalidInputError

__all__ = ["BUCKETS", "bucket_edges", "time_zone"]

_MINUTES: Final = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "6h": 360}
_DAYS: Final = {"1d": 1, "1w": 7}
BUCKETS: Final = (*_MINUTES, *_DAYS, "1mo")
MAX_BUCKETS: Final = 50_000


def time_zone(name: str) -> tzinfo:
    """Return the time zone of this name in the IANA database."""
    if name == "UTC":
        return UTC  # also where the system has no time zone database
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError, TypeError):  # ZoneInfoNotFoundError is a KeyError
        raise InvalidInputError("timezone", "is not the name of a time zone, like Europe/Berlin.") from None


def bucket_edges(now: datetime, hours: float, bucket: str, zone: tzinfo) -> list[datetime]:
    """
    Return where each bucket begins that the last *hours* before *now* touch, and at the end where the last one ends.

    Buckets align to the clock of *zone*: hours to the hour, days to midnight, weeks to Monday, months to the first. Up
    to an hour they are of one length, also when the clock is changed; longer ones follow the wall clock, so that a day
    may have 23 or 25 hours.

    Raises:
        InvalidInputError: *bucket* is not known, or there would be more than 50,000 buckets.
    """
    if bucket not in BUCKETS:
        raise InvalidInputError("bucket", f"expected one of {', '.join(BUCKETS)}.")
    if hours * 60 / _MINUTES.get(bucket, 1440) > MAX_BUCKETS:
        raise InvalidInputError(
            "bucket", f"gives more than {MAX_BUCKETS:,} buckets; choose a wider one, or fewer hours."
        )
    edges = [_floor(now - timedelta(hours=hours), bucket, zone)]
    while edges[-1] < now:
        edges.append(_next(edges[-1], bucket, zone))
    return edges


def _floor(moment: datetime, bucket: str, zone: tzinfo) -> datetime:
    local = moment.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if bucket == "1mo":
        return midnight.replace(day=1).astimezone(UTC)
    if bucket in _DAYS:
        return (midnight - timedelta(days=local.weekday() if bucket == "1w" else 0)).astimezone(UTC)
    if bucket == "6h":
        return midnight.replace(hour=local.hour // 6 * 6).astimezone(UTC)
    # Backwards by the part of the bucket that has passed: exact also in an hour that the clock shows twice.
    minutes = local.hour * 60 + local.minute
    passed = timedelta(minutes=minutes % _MINUTES[bucket], seconds=local.second, microseconds=local.microsecond)
    return moment.astimezone(UTC) - passed


def _next(start: datetime, bucket: str, zone: tzinfo) -> datetime:
    if bucket in ("1m", "5m", "15m", "1h"):
        return start + timedelta(minutes=_MINUTES[bucket])
    local = start.astimezone(zone).replace(tzinfo=None)
    if bucket == "1mo":
        following = local.replace(year=local.year + local.month // 12, month=local.month % 12 + 1)
    elif bucket == "6h":
        following = local.replace(hour=local.hour // 6 * 6) + timedelta(hours=6)
    else:
        following = local + timedelta(days=_DAYS[bucket])
    return following.replace(tzinfo=zone).astimezone(UTC)
