from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.postgres.dates import pack_date, unpack_date


@given(st.dates())
def test_every_day(day: date) -> None:
    """Each day is itself, the first and the last too."""
    assert unpack_date(pack_date(day)) == day


@pytest.mark.parametrize("day", [date.min, date.max])
def test_no_day_is_infinite(day: date) -> None:
    """The last day of the calendar is a day, and not infinity."""
    assert unpack_date(pack_date(day)) == day
    assert pack_date(day) not in (b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")


def test_infinity() -> None:
    """It is read as the last day, minus infinity as the first."""
    assert unpack_date(b"\x7f\xff\xff\xff") == date.max
    assert unpack_date(b"\x80\x00\x00\x00") == date.min


def test_days_beyond_the_calendar() -> None:
    """A day before Christ cannot be told."""
    with pytest.raises(ValueError, match="ordinal"):
        unpack_date((-2_000_000).to_bytes(4, "big", signed=True))
