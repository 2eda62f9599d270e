from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.engine.values import (
    UnfitValueError,
    column_fix,
    decoder,
    encoder,
    json_form,
    moment,
    plain_decimal,
    raw_type,
    raw_value,
    utc,
)
from tests.unit.engine.support import pg_type

UTC_5 = timezone(timedelta(hours=5))
NOON = datetime(2024, 2, 29, 12, 30, 15, 250_000, UTC)


class TestArguments:
    @pytest.mark.parametrize(
        ("type_", "value", "encoded"),
        [
            ("int4", "5", 5),
            ("int8", 5, 5),
            ("float8", "0.5", 0.5),
            ("numeric", "1.50", Decimal("1.50")),
            ("numeric", 0.1, Decimal("0.1")),
            ("money", Decimal("1.5"), "1.5"),
            ("bool", "true", True),
            ("bool", "0", False),
            ("text", 5, "5"),
            ("text", {"a": 1}, '{"a": 1}'),
            ("json", {"é": 1}, '{"é": 1}'),
            ("jsonb", '{"a":1}', '{"a":1}'),
            ("bytea", "eA==", b"x"),
            ("bytea", memoryview(b"x"), b"x"),
            ("timestamptz", NOON.replace(tzinfo=None), NOON),
            ("timestamptz", NOON.astimezone(UTC_5), NOON),
            ("timestamptz", "2024-02-29T17:30:15.25+05:00", NOON),
            ("timestamp", NOON.astimezone(UTC_5), NOON),
            ("date", NOON, NOON.date()),
            ("date", date(2024, 2, 29), date(2024, 2, 29)),
            ("date", "2024-02-29", date(2024, 2, 29)),
            ("time", NOON, time(12, 30, 15, 250_000)),
            ("time", "12:30", time(12, 30)),
            ("timetz", NOON.astimezone(UTC_5), time(12, 30, 15, 250_000, UTC)),
            ("int4[]", ["1", None], [1, None]),
            ("int4[]", "1", [1]),
            ("uuid[]", ("a",), ["a"]),
            ("timestamp[]", [NOON.replace(tzinfo=None)], [NOON]),
        ],
    )
    def test_conversions(self, type_: str, value: Any, encoded: Any) -> None:
        """A value takes the form that its parameter's type is sent in."""
        convert = encoder(pg_type(type_))
        assert convert is not None
        result = convert(value)
        assert (result, type(result)) == (encoded, type(encoded))

    @pytest.mark.parametrize("type_", ["uuid", "inet", "bit", "interval"])
    def test_as_they_are(self, type_: str) -> None:
        """Other built-in types are the driver's own affair."""
        assert encoder(pg_type(type_)) is None

    def test_types_that_are_not_built_in(self) -> None:
        """Enums and domains pass as they are; what an extension writes like JSON may be given as a list."""
        convert = encoder(pg_type("vector", "public"))
        assert convert is not None
        assert [convert(value) for value in ("[1]", [1, 2.5], 5)] == ["[1]", "[1, 2.5]", 5]

    @pytest.mark.parametrize(
        ("type_", "value"), [("numeric", "x"), ("numeric", [1]), ("bytea", 5), ("int4", "x"), ("date", "x")]
    )
    def test_refused(self, type_: str, value: Any) -> None:
        """What cannot be converted is a ValueError."""
        convert = encoder(pg_type(type_))
        assert convert is not None
        with pytest.raises((UnfitValueError, ValueError)):
            convert(value)


class TestResults:
    @pytest.mark.parametrize(
        ("field", "column", "value", "decoded"),
        [
            ("string", "uuid", UUID(int=1), str(UUID(int=1))),
            ("int", "numeric", Decimal(5), 5),
            ("float", "numeric", Decimal("0.5"), 0.5),
            ("float", "float4", 1.100000023841858, 1.1),
            ("decimal", "numeric", Decimal("1.50"), Decimal("1.5")),
            ("decimal", "money", "-$1,234.50", Decimal("-1234.5")),
            ("datetime", "timestamptz", NOON.replace(microsecond=250_999), NOON),
            ("datetime", "timestamp", NOON.replace(tzinfo=None), NOON),
            ("datetime", "date", date(2024, 2, 29), datetime(2024, 2, 29, tzinfo=UTC)),
            ("datetime", "time", time(12), datetime(1970, 1, 1, 12, tzinfo=UTC)),
            ("datetime", "timetz", time(12, tzinfo=UTC_5), datetime(1970, 1, 1, 7, tzinfo=UTC)),
            ("bytes", "bytea", b"x", "eA=="),
        ],
    )
    def test_conversions(self, field: str, column: str, value: Any, decoded: Any) -> None:
        """A column's value takes the form of the field's type."""
        convert = decoder(field, pg_type(column))
        assert convert is not None
        result = convert(value)
        assert (result, type(result)) == (decoded, type(decoded))

    @pytest.mark.parametrize(
        ("field", "column"),
        [
            ("string", "text"),
            ("int", "int4"),
            ("bigint", "int8"),
            ("float", "float8"),
            ("boolean", "bool"),
            ("json", "jsonb"),
        ],
    )
    def test_as_they_come(self, field: str, column: str) -> None:
        """What is right already costs nothing."""
        assert decoder(field, pg_type(column)) is None

    def test_enums(self) -> None:
        """An enum's value gets its Prisma name; one that the schema does not know is told."""
        convert = decoder("enum", None, {"administrator": "ADMIN"})
        assert convert is not None
        assert convert("administrator") == "ADMIN"
        with pytest.raises(UnfitValueError, match="chief"):
            convert("chief")
        assert decoder("enum", None, {"ADMIN": "ADMIN"}) is None

    def test_repairs(self) -> None:
        """What the driver delivers imprecisely is mended for every use, in lists too."""
        assert column_fix(pg_type("int4")) is None
        fix = column_fix(pg_type("float4[]"))
        assert fix is not None
        assert fix([1.100000023841858, None]) == [1.1, None]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float4_is_exact(value: float) -> None:
    """The short form is the same 32-bit number."""
    fix = column_fix(pg_type("float4"))
    assert fix is not None
    assert struct.unpack("f", struct.pack("f", fix(value)))[0] == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_plain_decimals_are_exact(number: Decimal) -> None:
    """Zeros are dropped and no exponent is left, but the number stays the same to the last digit."""
    plain = plain_decimal(number)
    assert plain == number
    assert "E" not in str(plain) or abs(number) < 1
    text = f"{plain:f}"
    assert "." not in text or text[-1] not in ".0"


def test_plain_decimals_keep_every_digit() -> None:
    """More digits than the context's 28 are not rounded."""
    number = Decimal("12345678901234567890123456789012345.123456789012345678901234567891")
    assert plain_decimal(number) == number
    assert math.isnan(plain_decimal(Decimal("NaN")))


@given(st.datetimes(timezones=st.timezones()) | st.datetimes())
def test_moments(value: datetime) -> None:
    """Any moment is read in UTC and whole milliseconds, at most one millisecond earlier."""
    try:
        expected = utc(value)
    except OverflowError:
        return
    read = moment(value)
    assert read.tzinfo is UTC
    assert read.microsecond % 1000 == 0
    assert timedelta(0) <= expected - read < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("field_type", "value", "form"),
    [("datetime", NOON, "2024-02-29T12:30:15.250Z"), ("decimal", Decimal("1E+2"), "100")],
)
def test_json_form(field_type: str, value: Any, form: str) -> None:
    """What JSON has no type for becomes text."""
    convert = json_form(field_type)
    assert convert is not None
    assert convert(value) == form


def test_what_json_has_stays() -> None:
    """Numbers, texts and truth values need no other form."""
    assert [json_form(type_) for type_ in ("int", "bigint", "float", "string", "boolean", "json")] == [None] * 6


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("int2", "int"),
        ("int8", "bigint"),
        ("float4", "float"),
        ("text", "string"),
        ("jsonb[]", "json-array"),
        ("point", "string"),
    ],
)
def test_raw_types(type_: str, name: str) -> None:
    """Types have the names that the generated client looks for."""
    assert raw_type(pg_type(type_)) == name


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (NOON, "2024-02-29T12:30:15.250+00:00"),
        (NOON.replace(microsecond=999), "2024-02-29T12:30:15+00:00"),
        (date(2024, 2, 29), "2024-02-29"),
        (time(12), "12:00:00"),
        (b"x", "eA=="),
        (Decimal("1.50"), "1.5"),
        (UUID(int=1), str(UUID(int=1))),
        ([Decimal("1.50"), None], ["1.5", None]),
        (timedelta(days=1), "1 day, 0:00:00"),
        (True, True),
    ],
)
def test_raw_values(value: Any, raw: Any) -> None:
    """Without a model values come as text where JSON has no such type."""
    assert raw_value(value) == raw
