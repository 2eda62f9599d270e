"""
Prisma values <-> PostgreSQL values: one table per direction, and nothing that awaits.

Arguments are converted by the type the *server* inferred for a parameter, so one table serves planned queries, raw SQL,
arrays and domains alike. Results are converted by the field type the *plan* names; a column whose Python value is
already what that type wants is not touched at all.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from agentdb.postgres.driver import PgType

Convert = Callable[[Any], Any]

_MOST_DIGITS = 40

# -- arguments: by server type ----------------------------------------------------------------------------------------


class UnfitValueError(ValueError):
    """A value cannot be made into its parameter's type; the text names both."""


def encoder(type_: PgType) -> Convert | None:
    """Return the function that makes a value fit *type_*; None where every value passes as it is."""
    if type_.element is None:
        return _ENCODERS.get(type_.name, None if type_.schema == "pg_catalog" else _foreign)
    item = encoder(type_.element)
    return _list if item is None else _list_of(item)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else list(value) if isinstance(value, tuple | set) else [value]


def _list_of(item: Convert) -> Convert:
    def encode(value: Any) -> list[Any]:
        return [None if one is None else item(one) for one in _list(value)]

    return encode


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _foreign(value: Any) -> Any:
    """A value of an enum, an extension's type or a domain; some extensions, vectors for one, are written like JSON."""
    return json.dumps(value) if isinstance(value, dict | list) else value


def _integer(value: Any) -> int:
    if isinstance(value, Decimal) and value.adjusted() > _MOST_DIGITS:
        # int() of 1E+1000000 takes half a minute
        raise UnfitValueError("A whole number was expected that is not as large.")
    return value if isinstance(value, int) else int(value)


def _float(value: Any) -> float:
    return float(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise UnfitValueError("A decimal number was expected.") from None


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() in {"true", "t", "1"}
    return bool(value)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return base64.b64decode(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise UnfitValueError(f"Bytes were expected, got {type(value).__name__}.")


def utc(value: Any) -> datetime:
    """
    Read a point in time as an aware UTC datetime.

    A naive datetime is UTC, a date is its midnight, a time is on the first of January 1970; text is one of them in ISO
    form.
    """
    if type(value) is datetime and value.tzinfo is UTC:
        return value
    if isinstance(value, str):
        value = _parse_time(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, time):
        return datetime.combine(date(1970, 1, 1), value, value.tzinfo or UTC).astimezone(UTC)
    raise UnfitValueError(f"A point in time was expected, got {type(value).__name__}.")


def _parse_time(text: str) -> datetime | time:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return time.fromisoformat(text)


_ENCODERS: Mapping[str, Convert] = {
    "int2": _integer,
    "int4": _integer,
    "int8": _integer,
    "oid": _integer,
    "float4": _float,
    "float8": _float,
    "numeric": _decimal,
    "money": _text,
    "bool": _boolean,
    "text": _text,
    "varchar": _text,
    "bpchar": _text,
    "name": _text,
    "xml": _text,
    "json": _json,
    "jsonb": _json,
    "bytea": _bytes,
    "timestamptz": utc,
    "timestamp": utc,  # the connection makes it naive
    "date": lambda value: utc(value).date(),
    "time": lambda value: utc(value).time(),
    "timetz": lambda value: utc(value).timetz(),
}

# -- results: by field type -------------------------------------------------------------------------------------------


def decoder(field_type: str, column: PgType | None, names: Mapping[str, str] | None = None) -> Convert | None:
    """
    Return the function that makes a column's value into a field's.

    Args:
        field_type: The plan's name of the type: string, int, bigint, float, boolean, json, datetime, decimal, bytes …
        column: The column's server type, where it is known.
        names: For an enum, database value -> Prisma value.

    Returns:
        The function, for values other than None; None where the value is right as it comes.
    """
    if field_type == "enum":
        return _names(names or {})
    if column is not None:
        if column.name in _FIXES:
            return _FIXES[column.name]
        if column.name in _INSTANTS and field_type == "datetime":
            return _instant
        if column.name in _PRINTED and field_type == "string":
            return str
        if column.name in _AS_IT_COMES.get(field_type, ()):
            return None
    return _DECODERS.get(field_type)


def passes(field_type: str, column: PgType | None) -> str:
    """
    Return a Python expression that tells whether a value, ``{0}``, needs no conversion after all.

    It saves the call of the `decoder` for nearly every value. Empty: there is none.
    """
    if column is None:
        return _PASSES.get(field_type, "")
    return _PASSES_INSTANT if field_type == "datetime" and column.name in _INSTANTS else ""


def column_fix(column: PgType) -> Convert | None:
    """Return the repair of a value that the driver delivers imprecisely whatever field it is for."""
    if column.element is None:
        return _FIXES.get(column.name)
    item = _FIXES.get(column.element.name)
    return None if item is None else _list_of(item)


def _names(names: Mapping[str, str]) -> Convert | None:
    if all(database == prisma for database, prisma in names.items()):
        return None

    def name(value: str) -> str:
        try:
            return names[value]
        except KeyError:
            raise UnfitValueError(f"Value {value!r} is not one of the enum's in the schema.") from None

    return name


def milliseconds(value: datetime) -> datetime:
    """Cut to milliseconds, all that a Prisma DateTime holds."""
    surplus = value.microsecond % 1000
    return value.replace(microsecond=value.microsecond - surplus) if surplus else value


def moment(value: Any) -> datetime:
    """Read any point in time as a Prisma DateTime: aware, UTC, whole milliseconds."""
    return milliseconds(utc(value))


def _money(text: str) -> Decimal:
    """Read an amount as the server prints it: -$1,234.50."""
    return plain_decimal("".join(character for character in text if character in "-.0123456789"))


def _instant(value: datetime) -> datetime:
    # it arrives aware and in UTC; only an infinite one is naive
    if value.tzinfo is None:
        return moment(value)
    surplus = value.microsecond % 1000
    return value.replace(microsecond=value.microsecond - surplus) if surplus else value


def plain_decimal(value: Any) -> Decimal:
    """Drop the zeros that pad a ``Decimal(65, 30)``, without falling into exponent form."""
    text = f"{_decimal(value):f}"  # normalize() would round to 28 digits
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def _shortest_float32(value: float) -> float:
    """Return the shortest decimal that is the same 32-bit float: 1.1, not 1.10000002384."""
    for digits in range(6, 10):
        candidate = float(f"{value:.{digits}g}")
        if struct.unpack("f", struct.pack("f", candidate))[0] == value:
            return candidate
    return value


_FIXES: Mapping[str, Convert] = {"float4": _shortest_float32, "money": _money}

_AS_IT_COMES: Mapping[str, frozenset[str]] = {
    "string": frozenset({"text", "varchar", "bpchar", "citext", "name", "xml"}),
    "int": frozenset({"int2", "int4", "int8"}),
    "bigint": frozenset({"int2", "int4", "int8"}),
    "float": frozenset({"float8"}),
    "boolean": frozenset({"bool"}),
    "json": frozenset({"json", "jsonb"}),
}

_INSTANTS = frozenset({"timestamp", "timestamptz"})

_PASSES_INSTANT = "{0}.tzinfo is UTC and not {0}.microsecond % 1000"

_PASSES: Mapping[str, str] = {
    "string": "type({0}) is str",
    "int": "type({0}) is int",
    "bigint": "type({0}) is int",
    "float": "type({0}) is float",
    "boolean": "type({0}) is bool",
    "json": "type({0}) is str",
    "datetime": f"type({{0}}) is datetime and {_PASSES_INSTANT}",
}

_PRINTED = frozenset({"uuid", "inet", "cidr"})

_DECODERS: Mapping[str, Convert] = {
    "string": _text,
    "int": _integer,
    "bigint": _integer,
    "float": _float,
    "boolean": _boolean,
    "json": _json,
    "object": _json,
    "datetime": moment,
    "decimal": plain_decimal,
    "bytes": lambda value: value if isinstance(value, str) else base64.b64encode(value).decode("ascii"),
}

# -- results that no model parses: group_by and raw queries -----------------------------------------------------------


def json_form(field_type: str) -> Convert | None:
    """Return the function that gives a field's value the form of a JSON response; None where it has that form."""
    return _JSON_FORMS.get(field_type)


_JSON_FORMS: Mapping[str, Convert] = {
    "datetime": lambda value: value.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    "decimal": lambda value: f"{value:f}",
}


def raw_type(type_: PgType) -> str:
    """Name a column's type as a raw result does: ``int``, ``bigint``, ``datetime`` …, with ``-array`` behind it."""
    if type_.element is not None:
        return raw_type(type_.element) + "-array"
    return _RAW_TYPES.get(type_.name, "string")


def raw_value(value: Any) -> Any:
    """Give a column's value the form of a raw result."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return _raw_datetime(utc(value))
        case date() | time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case Decimal():
            return f"{plain_decimal(value):f}"
        case list():
            return [raw_value(item) for item in value]
        case UUID():
            return str(value)
        case _:
            return str(value)


def _raw_datetime(value: datetime) -> str:
    return milliseconds(value).isoformat(timespec="milliseconds" if value.microsecond >= 1000 else "seconds")


_RAW_TYPES: Mapping[str, str] = {
    "int2": "int",
    "int4": "int",
    "int8": "bigint",
    "float4": "float",
    "float8": "double",
    "numeric": "decimal",
    "bool": "bool",
    "json": "json",
    "jsonb": "json",
    "timestamp": "datetime",
    "timestamptz": "datetime",
    "date": "date",
    "time": "time",
    "timetz": "time",
    "bytea": "bytes",
    "uuid": "uuid",
}
