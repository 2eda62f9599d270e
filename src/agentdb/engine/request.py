"""
Client arguments -> a request in Prisma's JSON protocol. Pure: nothing here awaits, compiles or connects.

Values leave the request: where the compiler allows a placeholder, ``{"$type": "Param", …}`` stands in the request and the
value goes into its scope. The request's text is then the same for every call of one shape, and serves as the key of the
plan cache. A value becomes a placeholder only when it is of its field's type; any other stays in the text, so that the
compiler refuses it with Prisma's own error.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, cast
from uuid import UUID

from agentdb.engine.schema import Datamodel, Field, Model
from agentdb.engine.values import milliseconds, utc

ACTIONS: Mapping[str, str] = {
    "create": "createOne",
    "create_many": "createMany",
    "update": "updateOne",
    "update_many": "updateMany",
    "upsert": "upsertOne",
    "delete": "deleteOne",
    "delete_many": "deleteMany",
    "count": "aggregate",
    "group_by": "groupBy",
    "find_unique": "findUnique",
    "find_unique_or_raise": "findUniqueOrThrow",
    "find_first": "findFirst",
    "find_first_or_raise": "findFirstOrThrow",
    "find_many": "findMany",
}
"""Method of the generated client -> action of the JSON protocol."""

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
class Request:
    """
    One query, ready for the compiler.

    Attributes:
        text: The request as JSON; equal for calls of one shape.
        scope: Placeholder name -> value.
    """

    text: str
    scope: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    What a generated package brings of its own.

    Attributes:
        json: Its ``fields.Json``.
        base64: Its ``fields.Base64``.
        dumps: Its JSON writer, which knows datetimes and Decimals.
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

    def write_json(self, value: Any) -> str:
        """Return what a ``fields.Json`` holds as JSON."""
        return self.dumps(value.data, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Call:
    """
    A call of the generated client.

    Attributes:
        method: ``find_many`` for one.
        arguments: The method's arguments by name; those that are None count as not given.
        model: The class that the result is parsed into; None for raw SQL.
        root_selection: What is selected instead of the model's fields, as the generated client writes it.
    """

    method: str
    arguments: Mapping[str, Any]
    model: type | None
    root_selection: Sequence[str] | None = None


def build_request(call: Call, datamodel: Datamodel, dialect: Dialect, *, literal: bool = False) -> Request:
    """
    Build the request of one call.

    Args:
        literal: Keep every value in the text.

    Raises:
        TypeError: A value that no Prisma field can hold.
    """
    assert call.model is not None
    builder = _Builder(datamodel, dialect, literal=literal)
    model = datamodel.models[model_name(call.model)]
    arguments = builder.arguments(call.method, model, call.arguments)
    fields = None if call.root_selection is None else read_selection(call.root_selection)
    selection = builder.selection(call.model, call.arguments.get("include"), fields)
    text = (
        f'{{"modelName":"{model.name}","action":"{ACTIONS[call.method]}",'
        f'"query":{{"arguments":{arguments},"selection":{selection}}}}}'
    )
    return Request(text, builder.scope)


def model_name(model: type) -> str:
    """Return the name in the schema of a generated model class, or of a partial of it."""
    return cast(str, model.__prisma_model__)  # type: ignore[attr-defined]


# -- selections -------------------------------------------------------------------------------------------------------

_ROOT_SELECTION = re.compile(r"\s*(\w+)\s*(?:\{([^}]*)\})?\s*")


def read_selection(entries: Iterable[str]) -> dict[str, Any]:
    """Read selections as the generated client writes them: ``count`` or ``_count { _all id }``."""
    selection: dict[str, Any] = {}
    for entry in entries:
        found = _ROOT_SELECTION.fullmatch(entry)
        if found is None:
            raise ValueError(f"Cannot read the selection {entry!r}.")
        name, inner = found.groups()
        fields = dict.fromkeys((inner or "").split(), True)
        selection[name] = {"arguments": {}, "selection": fields} if inner is not None else True
    return selection


# -- arguments --------------------------------------------------------------------------------------------------------

_LOGICAL = frozenset({"AND", "OR", "NOT"})
_RELATION_FILTERS = frozenset({"some", "every", "none", "is", "isNot"})
_LIST_OPERATORS = frozenset({"in", "notIn", "hasSome", "hasEvery"})
_LITERAL_OPERATORS = frozenset({"mode", "isEmpty", "path", "search"})
_RANGE_OPERATORS = frozenset({"lt", "lte", "gt", "gte"})
_NUMBER_OPERATIONS = frozenset({"set", "increment", "decrement", "multiply", "divide"})
_RECORD_LISTS = frozenset({"connect", "disconnect", "set"})
_TEXT_OPERATORS = frozenset({"string_contains", "string_starts_with", "string_ends_with"})


class _Builder:
    """
    Writes the arguments of one call as JSON and collects its placeholders.

    Every method returns JSON text: building a tree first and dumping it afterwards takes twice as long.
    """

    def __init__(self, datamodel: Datamodel, dialect: Dialect, *, literal: bool) -> None:
        self.scope: dict[str, Any] = {}
        self._datamodel = datamodel
        self._dialect = dialect
        self._literal = literal
        # An upsert is one statement only if the key in `where` and in `create` is the same placeholder.
        self._shared: dict[tuple[str, Any], str] | None = None

    def arguments(self, method: str, model: Model, arguments: Mapping[str, Any]) -> str:
        if method == "upsert":
            self._shared = {}
        parts = []
        for name, value in arguments.items():
            if value is None or name == "include":
                continue
            key = ALIASES.get(name, name)
            if key in {"where", "cursor"}:
                text = self.where(model, value)
            elif key in {"data", "create", "update"}:
                text = self.data(model, value, sharing=key == "create")
            else:
                text = self.literal(value)
            parts.append(_pair(key, text))
        return _object(parts)

    def selection(self, model: type, include: Mapping[str, Any] | None, fields: Mapping[str, Any] | None = None) -> str:
        if not include:
            return self._dialect.fields_text(model) if fields is None else write_json(fields)
        parts = [_pair(name, write_json(value)) for name, value in (fields or self._dialect.fields(model)).items()]
        for name, value in include.items():
            if value is False:
                continue
            if value is not True and not isinstance(value, dict):
                raise TypeError(f"Expected `bool` or `dict` include value but got {type(value)} instead.")
            arguments = {} if value is True else value
            related = self._dialect.related(model, name)
            text = self.arguments("find_many", self._datamodel.models[model_name(related)], arguments)
            selection = self.selection(related, arguments.get("include"))
            parts.append(_pair(name, f'{{"arguments":{text},"selection":{selection}}}'))
        return _object(parts)

    # filters

    def where(self, model: Model, value: Any) -> str:
        if not isinstance(value, dict):
            return self.literal(value)
        parts = []
        for name, item in value.items():
            field = model.fields.get(name)
            if field is not None:
                text = self.relation_filter(field, item) if field.kind == "object" else self.scalar_filter(field, item)
            elif name in _LOGICAL:
                text = self.each(lambda one: self.where(model, one), item)
            else:
                text = self.where(model, item)  # a compound key, or what the compiler will refuse
            parts.append(_pair(name, text))
        return _object(parts)

    def relation_filter(self, field: Field, value: Any) -> str:
        model = self._datamodel.models[field.type]
        if not isinstance(value, dict):
            return self.literal(value)
        keys = {ALIASES.get(key, key): item for key, item in value.items()}
        if keys.keys() <= _RELATION_FILTERS:
            return _object([_pair(key, self.where(model, item)) for key, item in keys.items()])
        return self.where(model, value)

    def scalar_filter(self, field: Field, value: Any) -> str:
        if not isinstance(value, dict):
            return self.value(field, value)
        return _object(
            [
                _pair(name := ALIASES.get(key, key), self.operand(field, name, item))
                for key, item in value.items()
            ]
        )

    def operand(self, field: Field, operator: str, value: Any) -> str:
        if operator in _LITERAL_OPERATORS or (field.type == "Json" and operator in _RANGE_OPERATORS):
            return self.literal(value)
        if operator == "not" or operator.startswith("_"):
            return self.scalar_filter(field, value)
        if operator in _LIST_OPERATORS or (operator == "equals" and field.is_list):
            return self.list_value(field, value)
        if operator in _TEXT_OPERATORS and isinstance(value, str):
            return self.placeholder("String", value)
        return self.value(field, value)

    # data

    def data(self, model: Model, value: Any, *, sharing: bool = False) -> str:
        if not isinstance(value, dict):
            return self.each(lambda one: self.data(model, one), value) if _is_list(value) else self.literal(value)
        parts = []
        for name, item in value.items():
            field = model.fields.get(name)
            if field is None:
                text = self.literal(item)
            elif field.kind == "object":
                text = self.relation_data(self._datamodel.models[field.type], item)
            elif field.is_list:
                text = self.list_data(field, item)
            elif isinstance(item, dict) and item.keys() <= _NUMBER_OPERATIONS:
                text = _object([_pair(key, self.value(field, operand)) for key, operand in item.items()])
            else:
                text = self.value(field, item, sharing=sharing)
            parts.append(_pair(name, text))
        return _object(parts)

    def list_data(self, field: Field, value: Any) -> str:
        if isinstance(value, dict):
            return _object([_pair(key, self.list_value(field, item)) for key, item in value.items()])
        # the compiler refuses a placeholder for a bare list, but takes one inside `set`
        return _object([_pair("set", self.list_value(field, value))]) if _is_list(value) else self.literal(value)

    def relation_data(self, model: Model, value: Any) -> str:
        if not isinstance(value, dict):
            return self.literal(value)
        parts = []
        for key, item in value.items():
            name = ALIASES.get(key, key)
            if name in _RECORD_LISTS and _is_list(item):
                item = self.distinct(item)
            parts.append(_pair(name, self.each(partial(self.nested, model, name), item)))
        return _object(parts)

    def distinct(self, items: Iterable[Any]) -> list[Any]:
        """Drop repeated items: the compiler would, and then counts on it, but cannot see that placeholders are equal."""
        return list({self.literal(item): item for item in items}.values())

    def nested(self, model: Model, operation: str, value: Any) -> str:
        if not isinstance(value, dict):
            return self.literal(value)
        match operation:
            case "create":
                return self.data(model, value)
            case "connect" | "disconnect" | "set" | "delete" | "deleteMany":
                return self.where(model, value)
            case "update" if not ("data" in value and value.keys() <= {"where", "data"}):
                return self.data(model, value)
            case _:
                return _object([_pair(key, self.nested_part(model, key, item)) for key, item in value.items()])

    def nested_part(self, model: Model, name: str, value: Any) -> str:
        if name == "where":
            return self.where(model, value)
        if name in {"data", "create", "update"}:
            return self.data(model, value)
        return self.literal(value)

    # values

    def each(self, convert: Callable[[Any], str], value: Any) -> str:
        return f"[{','.join(map(convert, value))}]" if _is_list(value) else convert(value)

    def value(self, field: Field, value: Any, *, sharing: bool = False) -> str:
        """A value of *field*: a placeholder if it is of the field's type."""
        check = _CHECKS.get(field.type)
        if check is None or self._literal or value is None:
            return self.literal(value)
        fitting = check(value, self._dialect)
        if fitting is _UNFIT:
            return self.literal(value)
        type_ = _PARAMETER_TYPES[field.type]
        if self._shared is None:
            return self.placeholder(type_, fitting)
        known = self._shared.get((field.name, fitting))
        if known is not None and sharing:
            return known
        text = self._shared[field.name, fitting] = self.placeholder(type_, fitting)
        return text

    def list_value(self, field: Field, value: Any) -> str:
        """A list of values of *field*, as one placeholder. A list of Json stays: as a parameter it changes the SQL."""
        if not _is_list(value):
            return self.value(field, value)
        check = _CHECKS.get(field.type)
        if check is None or self._literal or field.type == "Json":
            return self.literal(value)
        fitting = [check(item, self._dialect) for item in value]
        if any(item is _UNFIT for item in fitting):
            return self.literal(value)
        return self.placeholder("List", fitting, f',"inner":{{"type":"{_PARAMETER_TYPES[field.type]}"}}')

    def placeholder(self, type_: str, value: Any, more: str = "") -> str:
        if self._literal:
            return self.literal(value)
        name = f"%{len(self.scope)}"
        self.scope[name] = value
        return f'{{"$type":"Param","value":{{"name":"{name}","type":"{type_}"{more}}}}}'

    def literal(self, value: Any) -> str:
        """A value as JSON, tagged where JSON has no such type."""
        return write_json(self.plain(value))

    def plain(self, value: Any) -> Any:
        match value:
            case None | bool() | int():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case enum.Enum():
                return self.plain(value.value)
            case str():
                return value
            case dict():
                return {ALIASES.get(key, key): self.plain(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.plain(item) for item in value]
            case datetime():
                return {"$type": "DateTime", "value": milliseconds(utc(value)).isoformat()}
            case Decimal():
                return {"$type": "Decimal", "value": str(value)}
            case UUID():
                return str(value)
        if isinstance(value, self._dialect.json):
            return {"$type": "Json", "value": self._dialect.write_json(value)}
        if isinstance(value, self._dialect.base64):
            return {"$type": "Bytes", "value": str(value)}
        raise TypeError(f"Type {type(value)} not serializable")


write_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _object(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}"


def _pair(key: str, value: str) -> str:
    return f'"{key}":{value}' if key.isidentifier() else f"{write_json(key)}:{value}"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


# -- which values are of a field's type -------------------------------------------------------------------------------

_UNFIT: Any = object()


def _string(value: Any, _dialect: Dialect) -> Any:
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value
    return str(value) if isinstance(value, UUID) else _UNFIT


def _boolean(value: Any, _dialect: Dialect) -> Any:
    return value if isinstance(value, bool) else _UNFIT


def _int(value: Any, _dialect: Dialect) -> Any:
    return value if type(value) is int and -(2**31) <= value < 2**31 else _UNFIT


def _bigint(value: Any, _dialect: Dialect) -> Any:
    return value if type(value) is int and -(2**63) <= value < 2**63 else _UNFIT


def _float(value: Any, _dialect: Dialect) -> Any:
    if type(value) is float:
        return value if math.isfinite(value) else _UNFIT
    return value if type(value) is int and abs(value) <= 2**53 else _UNFIT


def _decimal(value: Any, _dialect: Dialect) -> Any:
    if isinstance(value, Decimal):
        return value if value.is_finite() else _UNFIT
    if type(value) is float and not math.isfinite(value):
        return _UNFIT
    return Decimal(str(value)) if type(value) in {int, float} else _UNFIT


def _datetime(value: Any, _dialect: Dialect) -> Any:
    return milliseconds(utc(value)) if isinstance(value, datetime) else _UNFIT


def _json(value: Any, dialect: Dialect) -> Any:
    return dialect.write_json(value) if isinstance(value, dialect.json) else _UNFIT


def _bytes(value: Any, dialect: Dialect) -> Any:
    return str(value) if isinstance(value, dialect.base64) else _UNFIT


# An enum stays in the text: as a parameter it loses its cast, and it has few values.
_CHECKS: Mapping[str, Callable[[Any, Dialect], Any]] = {
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

_PARAMETER_TYPES: Mapping[str, str] = {
    **{name: name for name in _CHECKS},
    "Decimal": "Float",  # the compiler has no Decimal placeholder; the value itself stays exact
}
