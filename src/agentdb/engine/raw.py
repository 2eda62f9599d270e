"""Raw queries: values in and rows out as ``query_raw`` and ``execute_raw`` of the generated client know them."""

from __future__ import annotations

import enum
import json
from collections.abc import Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

from agentdb.engine.request import Call
from agentdb.engine.values import Convert, UnfitValueError, column_fix, encoder, raw_type, raw_value
from agentdb.errors import without_values
from agentdb.postgres.driver import Driver, PgType, Record, Statement

METHODS = frozenset({"query_raw", "query_first", "execute_raw"})
"""The methods of the generated client that take SQL as it is."""

_UNREADABLE = frozenset(
    {
        *("point", "line", "lseg", "box", "path", "polygon", "circle"),
        *("interval", "record", "tid", "pg_snapshot", "txid_snapshot"),
    }
)
"""Types that Prisma has no name for, and that arrive as objects of the database library."""


async def run(call: Call, driver: Driver) -> dict[str, Any] | int:
    """Run the SQL of *call*: return its rows with names and types, of ``execute_raw`` the number of rows it touched."""
    sql, parameters = call.arguments["query"], call.arguments.get("parameters") or ()
    if call.method != "execute_raw":
        result: dict[str, Any] = await driver.fetch(sql, parameters, bind=bind)
        return result
    if parameters:
        return await driver.execute(sql, parameters, bind=bind)
    # without parameters it may be several statements
    return row_count(await driver.script(sql))


class RawBinding:
    """The conversions of one raw statement."""

    __slots__ = ("_columns", "_decoders", "_encoders", "_types")

    def __init__(self, statement: Statement) -> None:
        self._encoders = [encoder(type_) for type_ in statement.parameter_types]
        self._columns = [column.name for column in statement.columns]
        self._types = [raw_type(column.type) for column in statement.columns]
        self._decoders = [_decoder(column.type) for column in statement.columns]

    def encode(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """Convert each argument to its parameter's type. A wrong count is left for the server to refuse."""
        if len(arguments) != len(self._encoders):
            return arguments
        return [
            value if value is None else _encoded(number, plain(value), convert)
            for number, (value, convert) in enumerate(zip(arguments, self._encoders, strict=True), start=1)
        ]

    def decode(self, rows: list[Record]) -> dict[str, Any]:
        """Return the rows with the names and types of their columns."""
        decoders = self._decoders
        return {
            "columns": self._columns,
            "types": self._types,
            "rows": [
                [value if value is None else decode(value) for decode, value in zip(decoders, row, strict=True)]
                for row in rows
            ],
        }


def bind(statement: Statement) -> RawBinding:
    """Return the conversions of *statement*."""
    return RawBinding(statement)


def _encoded(number: int, value: Any, convert: Convert | None) -> Any:
    try:
        return value if convert is None else convert(value)
    except (ArithmeticError, TypeError, ValueError) as error:
        reason = without_values(str(error))
        raise UnfitValueError(f"Argument ${number} does not fit its parameter: {reason}") from None


def _decoder(type_: PgType) -> Convert:
    """Return what makes a column's value a raw result's; JSON arrives parsed."""
    base = type_ if type_.element is None else type_.element
    if base.name in _UNREADABLE or base.kind in {"composite", "range", "multirange"}:
        one: Convert = _refusal(type_.name)
    elif base.name in {"json", "jsonb"}:
        one = json.loads
    elif base.name == "char":
        one = bytes.decode
    else:
        one = column_fix(base) or raw_value
    if type_.element is None:
        return one
    return lambda values: [None if value is None else one(value) for value in values]


def _refusal(name: str) -> Convert:
    def refuse(_value: Any) -> Any:
        raise UnfitValueError(
            f"Failed to deserialize column of type '{name}'. If you're using $queryRaw and this column is explicitly "
            "marked as `Unsupported` in your Prisma schema, try casting this column to any supported Prisma type such "
            "as `String`."
        )

    return refuse


def plain(value: Any) -> Any:
    """Unwrap the generated client's ``Json`` and ``Base64``."""
    match type(value).__name__:
        case "Json" if hasattr(value, "data"):
            return json.dumps(value.data, ensure_ascii=False, default=str)
        case "Base64":
            return str(value)
        case _:
            if value is not None and not isinstance(value, _VALUES):
                # as the generated client says it; str() of whatever it is would be stored without a word
                raise TypeError(f"Type {type(value)} not serializable")
            return value


_VALUES = (
    *(bool, int, float, Decimal, str, bytes, bytearray, memoryview, UUID, enum.Enum, date, time, timedelta),
    *(list, tuple, set, frozenset, dict, IPv4Address, IPv6Address, IPv4Interface, IPv6Interface),
    *(IPv4Network, IPv6Network),
)
"""What an argument may be."""


def row_count(command_tag: str) -> int:
    """Read the count from a command tag: 3 from ``UPDATE 3``, 0 from ``CREATE TABLE``."""
    last = command_tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0
