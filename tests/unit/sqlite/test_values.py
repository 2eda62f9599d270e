"""What a cell says."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.sqlite.values import (
    Refused,
    as_count,
    as_flag,
    as_json,
    as_number,
    as_share,
    as_text,
    as_time,
    json_in,
    scale_of,
)

CELLS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary(max_size=50)
)
MOMENTS = st.datetimes(datetime(1973, 6, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1_704_103_200, "2024-01-01 10:00"),
        (1_704_103_200.25, "2024-01-01 10:00:00.250"),
        (1_704_103_200_000, "2024-01-01 10:00"),
        (1_704_103_200_000_001, "2024-01-01 10:00:00.000001"),
        (1_704_103_200_000_000_000, "2024-01-01 10:00"),
        ("1704103200", "2024-01-01 10:00"),
        ("1704103200.5", "2024-01-01 10:00:00.500"),
        (2_460_310.9166666665, "2024-01-01 10:00"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00"),
        ("2024-01-01T10:00:00Z", "2024-01-01 10:00"),
        ("2024-01-01T10:00:00.123456789", "2024-01-01 10:00:00.123456"),
        ("2024-01-01T11:00:00+01:00", "2024-01-01 10:00"),
        ("2024/01/01 10:00", "2024-01-01 10:00"),
        ("20240101", "2024-01-01"),
        (20240101, "2024-01-01"),
        ("202401011000", "2024-01-01 10:00"),
        (20240101100000, "2024-01-01 10:00"),
        ("2024-1-1 8:00", "2024-01-01 08:00"),
        ("2024.01.01", "2024-01-01"),
        ("2024-01-01 10:00:00 UTC", "2024-01-01 10:00"),
        ("2024-01-01 11:00:00 +0100 UTC", "2024-01-01 10:00"),
        ("2460310.9166666665", "2024-01-01 10:00"),
        (253_402_214_400, "9999-12-31"),
        (253_402_214_400_000, "9999-12-31"),
        ("Mon, 01 Jan 2024 10:00:00 GMT", "2024-01-01 10:00"),
    ],
)
def test_times(value: object, moment: str) -> None:
    """Every usual spelling; a Julian day has the accuracy of a float of its size, some 40 µs."""
    read = as_time(value, UTC, "at")
    assert abs(read - datetime.fromisoformat(moment).replace(tzinfo=UTC)) < timedelta(microseconds=100)
    assert read.tzinfo is UTC


@given(MOMENTS)
def test_epochs_and_iso_agree(moment: datetime) -> None:
    """Whole microseconds survive as text, as milliseconds and as the float that time.time() gives."""
    milliseconds = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    is_after_1978 = moment.year > 1978  # milliseconds of before are seconds of before the year 10000
    assert as_time(moment.isoformat(), BERLIN, "at") == moment
    assert as_time(moment.timestamp(), BERLIN, "at") == moment
    assert as_time(round(milliseconds.timestamp() * 1000), BERLIN, "at") == milliseconds or not is_after_1978


def test_a_zone() -> None:
    """A text without one is of the zone that is said; numbers have none."""
    assert as_time("2024-07-01 12:00", BERLIN, "at") == datetime(2024, 7, 1, 10, tzinfo=UTC)
    assert as_time(1_704_103_200, BERLIN, "at") == datetime(2024, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        2024, 0, 17, "soon", "12:00", "01/02/2024", 20241301, "20240230", b"x", 1e30, -1e20,
        "0001-01-01T00:00:00+14:00", "99999-01-01",
    ],
)  # fmt: skip
def test_no_times(value: object) -> None:
    """What may be a count, a year or nothing is no time."""
    with pytest.raises(Refused, match=r"^at "):
        as_time(value, UTC, "at")


@given(CELLS.filter(lambda value: value is not None))
def test_nothing_but_refusals(value: Any) -> None:
    """Whatever stands in a cell, a reader returns what it promises or refuses it, without its text."""
    readers: list[Any] = [
        lambda: as_text(value, "x").encode() is not None,
        lambda: math.isfinite(as_number(value, "x")),
        lambda: as_count(value, "x") >= 0,
        lambda: as_flag(value, "x") in (True, False),
        lambda: 0 <= as_share(value, 10, "x") <= 1,
        lambda: as_time(value, UTC, "x").tzinfo is UTC,
        lambda: as_json(value, "x") is not None,
    ]
    for read in readers:
        said = reason_of(read)
        assert said.startswith("x ") or not said
        assert not (isinstance(value, str) and len(value) > 5 and value in said)


def reason_of(read: Callable[[], object]) -> str:
    """Return why it is refused; nothing when it holds."""
    try:
        assert read()
    except Refused as reason:
        return str(reason)
    return ""


@pytest.mark.parametrize(
    ("value", "scale", "share"),
    [(0.3, 1, 0.3), (7, 10, 0.7), ("7.5", 10, 0.75), (80, 100, 0.8), ("High", 10, 0.75), ("very_low", 1, 0.1)],
)
def test_shares(value: object, scale: float, share: float) -> None:
    """A number on its scale, or a word."""
    assert as_share(value, scale, "importance") == pytest.approx(share)


def test_shares_are_not_cut() -> None:
    """A number beyond its scale is refused."""
    for value in (11, -1, "12", "vital", b"5"):
        with pytest.raises(Refused):
            as_share(value, 10, "importance")


@pytest.mark.parametrize(
    ("least", "greatest", "scale"),
    [(0, 1, 1), (0.2, 0.9, 1), (1, 5, 10), (0, 10, 10), (0, 10.5, 100), (0, 101, None), (-1, 1, None), (None, None, 1)],
)
def test_scales(least: float | None, greatest: float | None, scale: float | None) -> None:
    """The smallest that holds the whole column; none for what is on none."""
    assert scale_of(least, greatest) == scale


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("[1]", [1]),
        ("{'a': 1}", "{'a': 1}"),  # a repr of Python is text: nothing evaluates it
        ('{"a": NaN}', '{"a": NaN}'),
        ("12", "12"),
        (12, 12),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_json(value: object, said: object) -> None:
    """Objects and arrays are read; whatever else it is stays what it is."""
    assert as_json(value, "x") == said


def test_json_in_blobs() -> None:
    """Objects and arrays alone, as UTF-8; SQLite's own binary JSON is none."""
    assert [json_in(blob) for blob in (b'{"a": 1}', b" [1]", b"12", b"text", b"\xff", b"\x7b\x13\x31", b"[")] == [
        {"a": 1}, [1], None, None, None, None, None,
    ]  # fmt: skip


def test_counts_and_flags() -> None:
    """Whole numbers only; yes and no in their usual words."""
    assert [as_count(value, "x") for value in (0, 7, 7.0, "7")] == [0, 7, 7, 7]
    assert [as_flag(value, "x") for value in (1, "TRUE", "yes", 1, 0, "off", "False")] == [True] * 4 + [False] * 3
    for count in (-1, 1.5, "many", 2**63):
        with pytest.raises(Refused):
            as_count(count, "x")
    wrong: list[object] = [2, "maybe", b"1", 0.5]
    for value in wrong:
        with pytest.raises(Refused):
            as_flag(value, "x")
