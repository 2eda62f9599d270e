"""Where buckets begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.metric.buckets import BUCKETS, are_full_hours, bucket_edges, is_narrow, time_zone
from agentdb.errors import InvalidInputError

ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe"]


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def test_a_day_of_hours_is_25_buckets_or_24_on_the_hour() -> None:
    """Every bucket that the last 24 hours touch."""
    edges = bucket_edges(utc(2026, 3, 2, 12, 30), 24, "1h", UTC)
    assert (edges[0], edges[-1], len(edges) - 1) == (utc(2026, 3, 1, 12), utc(2026, 3, 2, 13), 25)

    edges = bucket_edges(utc(2026, 3, 2, 12), 24, "1h", UTC)
    assert (edges[0], edges[-1], len(edges) - 1) == (utc(2026, 3, 1, 12), utc(2026, 3, 2, 12), 24)


@pytest.mark.parametrize(
    ("bucket", "first", "second"),
    [
        ("1m", utc(2026, 2, 28, 11, 7), utc(2026, 2, 28, 11, 8)),
        ("5m", utc(2026, 2, 28, 11, 5), utc(2026, 2, 28, 11, 10)),
        ("15m", utc(2026, 2, 28, 11, 0), utc(2026, 2, 28, 11, 15)),
        ("1h", utc(2026, 2, 28, 11), utc(2026, 2, 28, 12)),
        ("6h", utc(2026, 2, 28, 6), utc(2026, 2, 28, 12)),
        ("1d", utc(2026, 2, 28), utc(2026, 3, 1)),
        ("1w", utc(2026, 2, 23), utc(2026, 3, 2)),  # a Monday
        ("1mo", utc(2026, 2, 1), utc(2026, 3, 1)),
    ],
)
def test_buckets_align_to_the_clock(bucket: str, first: datetime, second: datetime) -> None:
    """Not to the moment of the call."""
    edges = bucket_edges(utc(2026, 3, 30, 11, 7, 42), 30 * 24, bucket, UTC)

    assert edges[:2] == [first, second]


def test_a_day_follows_the_wall_clock() -> None:
    """In Berlin the day of the change has 23 hours in spring and 25 in autumn."""
    for end, hours in ((utc(2026, 3, 29, 12), 23), (utc(2026, 10, 25, 12), 25)):
        edges = bucket_edges(end, 1, "1d", time_zone("Europe/Berlin"))
        assert edges[1] - edges[0] == timedelta(hours=hours)


def test_an_hour_that_the_clock_shows_twice_is_two_buckets() -> None:
    """On 25 October 2026 Berlin has 02:30 twice."""
    edges = bucket_edges(utc(2026, 10, 25, 1, 30), 1, "1h", time_zone("Europe/Berlin"))

    assert edges == [utc(2026, 10, 25, 0), utc(2026, 10, 25, 1), utc(2026, 10, 25, 2)]


@given(
    now=st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    hours=st.floats(0.001, 2000),
    bucket=st.sampled_from(BUCKETS),
    zone=st.sampled_from(ZONES),
)
def test_buckets_cover_the_time_without_gap_or_excess(now: datetime, hours: float, bucket: str, zone: str) -> None:
    """They begin at or before the time asked for, end at or after now, rise, and each is touched."""
    if hours > 200 and bucket in ("1m", "5m"):
        bucket = "1h"
    edges = bucket_edges(now, hours, bucket, time_zone(zone))
    begin = now - timedelta(hours=hours)

    assert edges[0] <= begin < edges[1]
    assert edges[-2] < now <= edges[-1]
    assert all(one < other for one, other in pairwise(edges))


@given(
    now=st.datetimes(datetime(2026, 10, 1), datetime(2026, 11, 30), timezones=st.just(UTC)),
    bucket=st.sampled_from(BUCKETS),
    zone=st.sampled_from(ZONES),
)
def test_two_calls_agree_on_the_edges(now: datetime, bucket: str, zone: str) -> None:
    """Where a bucket begins does not depend on how far back one looks."""
    near = bucket_edges(now, 10, bucket, time_zone(zone))
    far = bucket_edges(now, 40, bucket, time_zone(zone))

    assert far[-len(near) :] == near


def test_what_cannot_be_asked() -> None:
    """An unknown bucket or time zone, or far too many buckets."""
    for bucket, hours, field in (("2h", 1, "bucket"), ("1m", 24 * 365, "bucket")):
        with pytest.raises(InvalidInputError) as caught:
            bucket_edges(utc(2026, 1, 1), hours, bucket, UTC)
        assert caught.value.field == field
    for zone in ("Nowhere/Never", "", "../etc/passwd", "Europe"):
        with pytest.raises(InvalidInputError, match="timezone"):
            time_zone(zone)
    assert time_zone("Europe/Berlin") == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("zone", "year"),
    [
        ("Africa/Cairo", 2024), ("Asia/Beirut", 2024), ("America/Santiago", 2024), ("America/Havana", 2024),
        ("Pacific/Apia", 2011), ("America/St_Johns", 2008), ("America/Scoresbysund", 2024),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bucket", ["1d", "1w", "1mo"])
def test_a_missing_midnight_moves_no_other(zone: str, year: int, bucket: str) -> None:
    """Each bucket begins with the first moment of its day, also those after a day without a midnight."""
    clock = time_zone(zone)
    edges = bucket_edges(utc(year + 1, 2, 1, 12), 24 * 480, bucket, clock)

    assert all(one < other for one, other in pairwise(edges))
    for edge in edges:
        local = edge.astimezone(clock)
        assert (edge - timedelta(seconds=1)).astimezone(clock).date() < local.date()
        assert bucket != "1w" or local.weekday() == 0
        assert bucket != "1mo" or local.day == 1


def test_six_hours_follow_the_clock_after_a_missing_midnight() -> None:
    """Cairo has none on 26 April 2024."""
    clock = time_zone("Africa/Cairo")
    edges = bucket_edges(utc(2024, 4, 28), 72, "6h", clock)

    assert {edge.astimezone(clock).hour for edge in edges} == {0, 1, 6, 12, 18}
    assert [edge.astimezone(clock).day for edge in edges if edge.astimezone(clock).hour == 1] == [26]


def test_a_midnight_that_comes_twice_is_one_edge() -> None:
    """St John's set its clock from 00:01 back to 23:01: a moment then belongs to the bucket that it is asked in."""
    now = utc(2008, 11, 2, 3)  # the second 23:30 of 1 November

    edges = bucket_edges(now, 0.1, "1d", time_zone("America/St_Johns"))

    assert edges[0] <= now - timedelta(hours=0.1) < edges[1]
    assert edges[-2] < now <= edges[-1]


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize(
    ("zone", "is_full"), [("UTC", True), ("Europe/Berlin", True), ("Asia/Kolkata", False), ("Asia/Kathmandu", False)]
)
def test_edges_that_are_full_hours_of_utc_are_told(zone: str, is_full: bool, bucket: str) -> None:
    """Buckets of an hour or more are full hours where the clock differs from UTC by such; narrower ones are narrow."""
    edges = bucket_edges(utc(2024, 4, 28, 7), 50, bucket, time_zone(zone))

    assert is_narrow(bucket) == (bucket in ("1m", "5m", "15m"))
    assert are_full_hours(edges) == (is_full and not is_narrow(bucket))


def test_every_time_zone_of_the_system_is_known() -> None:
    """What is no name of one is refused, however it is spelled: a path, a module, far too much of anything."""
    names = available_timezones()
    assert len(names) > 400
    for name in names:
        assert str(time_zone(name)) == name
    for name in (
        "",
        "Mars/Base",
        "../../etc/passwd",
        "/etc/passwd",
        "America",
        "./" * 500 + "UTC",
        "a/" * 2_000,
        "UTC\n",
    ):
        with pytest.raises(InvalidInputError, match="timezone"):
            time_zone(name)
