"""
The values of a request: which of them may leave its text as placeholders, and how the others are written in it. Pure.

A value becomes a placeholder only when it is of its field's type; any other stays in the text, so that the compiler
refuses it with Prisma's own error.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from agentdb.engine.values import moment
from agentdb.engine.wasm import CompileError

UNFIT: Any = object()
"""What `fitting` answers for a value that is not of its field's type."""

ALIASES: Mapping[str, str] = {
    "startswith": "startsWith",
    "endswith": "endsWith",
    "has_every": "hasEvery",
    "has_some": "hasSome",
    "is_empty": "isEmpty",
    "order_by": "orderBy",
    "not_in": "notIn",
    "is_not": "isNot",
    "connect_or_create": "connectOrCreate",
}
"""What Python callers write -> what Prisma reads."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    What a generated package brings of its own.

    Attributes:
        json: Its ``fields.Json``.
        base64: Its ``fields.Base64``.
        dumps: Its JSON writer, which knows datetimes and Decimals, and what its user has registered with it.
        fields: Model class -> the selection of its scalar fields.
        fields_text: The same as JSON.
        related: Model class, relation field -> the related model class.
    """

    json: type
    base64: type
    dumps: Callable[..., str]
    fields: Callable[[type], Mapping[str, Any]]
    fields_text: Callable[[type], str]
    related: Callable[[type, str], type]

    def json_text(self, value: Any) -> str:
        """Return what a ``fields.Json`` holds, as JSON."""
        return self.dumps(value.data, separators=(",", ":"))


Check = Callable[[Any, Dialect], Any]
"""Gives a value the form that it travels in, or `UNFIT`."""

# -- in the text ------------------------------------------------------------------------------------------------------

write_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

DB_NULL = '{"$type":"Enum","value":"DbNull"}'
"""SQL's NULL where a Json field is concerned: a bare null would be JSON's."""


_TOO_LARGE = (
    "A number used in the query does not fit into a 64 bit signed integer. "
    "Consider using `BigInt` as field type if you're trying to store large integers."
)


def literal(value: Any, dialect: Dialect) -> str:
    """Return a value as JSON, tagged where JSON has no such type."""
    return write_json(_plain(value, dialect))


def _plain(value: Any, dialect: Dialect) -> Any:
    match value:
        case None | bool():
            return value
        case int():
            if not -(2**63) <= value < 2**63:
                raise CompileError(_TOO_LARGE, "P2033")
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case enum.Enum():
            return _plain(value.value, dialect)
        case str():
            return value
        case dict():
            return {ALIASES.get(key) or field_name(key): _plain(item, dialect) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item, dialect) for item in value]
        case datetime():
            return {"$type": "DateTime", "value": moment(value).isoformat()}
        case Decimal():
            return {"$type": "Decimal", "value": decimal_text(value)}
        case UUID():
            return str(value)
    if isinstance(value, dialect.json):
        return {"$type": "Json", "value": dialect.json_text(value)}
    if isinstance(value, dialect.base64):
        return {"$type": "Bytes", "value": str(value)}
    return json.loads(dialect.dumps(value))


_MOST_DIGITS = 131_072  # before the point of a numeric


def decimal_text(value: Decimal) -> str:
    """
    Return a Decimal as text.

    Raises:
        CompileError: No column can hold it. The compiler would write out all its digits, for hours if it has billions.
    """
    if value.is_finite() and abs(value.adjusted()) > _MOST_DIGITS:
        raise CompileError(f"Value out of range for the type: a Decimal has at most {_MOST_DIGITS} digits.", "P2020")
    return str(value)


def field_name(key: object) -> str:
    """
    Return a key of the caller's as a field's name.

    Raises:
        CompileError: It is what tags a value in the protocol. A dict of the caller's could then pass for one of ours,
            and a placeholder in it for another value of the request.
    """
    if key == "$type":
        raise CompileError("Could not find field at `$type`: no field has this name.", "P2009")
    return key if isinstance(key, str) else str(key)


# -- out of the text --------------------------------------------------------------------------------------------------


def fitting(field_type: str, value: Any, dialect: Dialect) -> Any:
    """Return *value* in the form it travels in as a placeholder of a field of this type, or `UNFIT`."""
    check = _CHECKS.get(field_type)
    return UNFIT if check is None or value is None else check(value, dialect)


def check_of(field_type: str, value_type: type) -> Check | None:
    """Return what `fitting` does with values of this Python type; None: nothing at all."""
    return None if (field_type, value_type) in _ALWAYS_FIT else _CHECKS[field_type]


@lru_cache(maxsize=16)
def check_of_list(field_type: str) -> Check:
    """Return the same for lists."""
    check = _CHECKS[field_type]

    def check_all(values: Any, dialect: Dialect) -> Any:
        fit = [UNFIT if value is None else check(value, dialect) for value in values]
        return UNFIT if UNFIT in fit else fit

    return check_all


def placeholder_type(field_type: str) -> str:
    """Return what the compiler calls a placeholder for a value of this type."""
    return _PLACEHOLDERS[field_type]


# Texts that Prisma takes for values of these types; whatever else they may say, the compiler judges.
_WHOLE_TEXT = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL_TEXT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MOMENT_TEXT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


def _string(value: Any, _dialect: Dialect) -> Any:
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value
    return str(value) if isinstance(value, UUID) else UNFIT


def _boolean(value: Any, _dialect: Dialect) -> Any:
    return value if isinstance(value, bool) else UNFIT


def _int(value: Any, _dialect: Dialect) -> Any:
    # of more than the column's bits it is for the database to complain
    return value if type(value) is int and -(2**63) <= value < 2**63 else UNFIT


def _bigint(value: Any, _dialect: Dialect) -> Any:
    if type(value) is str and _WHOLE_TEXT.fullmatch(value):
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else UNFIT


def _float(value: Any, _dialect: Dialect) -> Any:
    if type(value) is float:
        return value if math.isfinite(value) else UNFIT
    return value if type(value) is int and abs(value) <= 2**53 else UNFIT


def _decimal(value: Any, _dialect: Dialect) -> Any:
    if isinstance(value, Decimal):
        return value if value.is_finite() else UNFIT
    if type(value) is float and not math.isfinite(value):
        return UNFIT
    if type(value) in {int, float} or (type(value) is str and _DECIMAL_TEXT.fullmatch(value)):
        return Decimal(str(value))
    if type(value) is str:
        with contextlib.suppress(ArithmeticError):  # what is no number the compiler refuses
            decimal_text(Decimal(value))
    return UNFIT


def _datetime(value: Any, _dialect: Dialect) -> Any:
    if type(value) is str and _MOMENT_TEXT.fullmatch(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return UNFIT
    return moment(value) if isinstance(value, datetime) else UNFIT


def _json(value: Any, dialect: Dialect) -> Any:
    if type(value) is str:  # is the document's text, and not a document that is a text
        try:
            json.loads(value)
        except ValueError:
            return UNFIT
        return value
    return dialect.json_text(value) if isinstance(value, dialect.json) else UNFIT


def _bytes(value: Any, dialect: Dialect) -> Any:
    if not isinstance(value, dialect.base64 | str):
        return UNFIT
    text = str(value)
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return UNFIT
    return text


# An enum stays in the text: as a parameter it loses its cast, and it has few values.
_CHECKS: Mapping[str, Check] = {
    "String": _string,
    "Boolean": _boolean,
    "Int": _int,
    "BigInt": _bigint,
    "Float": _float,
    "Decimal": _decimal,
    "DateTime": _datetime,
    "Json": _json,
    "Bytes": _bytes,
}

_ALWAYS_FIT = frozenset({("String", str), ("Boolean", bool)})

# The compiler has no Decimal placeholder; the value itself stays exact.
_PLACEHOLDERS: Mapping[str, str] = {name: "Float" if name == "Decimal" else name for name in _CHECKS}
