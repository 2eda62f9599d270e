"""
The arguments of a call -> JSON text, and the placeholders taken out of it. Pure.

It walks the arguments along the schema, because only the schema tells a filter's operator from a field, and what type a
value should be of. What it does not recognise it writes as it is: the compiler then refuses it in Prisma's own words.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from agentdb.engine.parameters import (
    ALIASES,
    DB_NULL,
    UNFIT,
    Check,
    Dialect,
    check_of,
    check_of_list,
    field_name,
    fitting,
    literal,
    placeholder_type,
    write_json,
)
from agentdb.engine.schema import Datamodel, Field, Model
from agentdb.engine.wasm import CompileError

_WHERE = frozenset({"where", "cursor", "having"})
_DATA = frozenset({"data", "create", "update"})
_LOGICAL = frozenset({"AND", "OR", "NOT"})
_RELATION_FILTERS = frozenset({"some", "every", "none", "is", "isNot"})
_LIST_OPERATORS = frozenset({"in", "notIn", "hasSome", "hasEvery"})
_LITERAL_OPERATORS = frozenset({"mode", "isEmpty", "path"})
_RANGE_OPERATORS = frozenset({"lt", "lte", "gt", "gte"})
_TEXT_OPERATORS = frozenset({"string_contains", "string_starts_with", "string_ends_with"})
_NUMBER_OPERATIONS = frozenset({"set", "increment", "decrement", "multiply", "divide"})
_WHERE_OPERATIONS = frozenset({"connect", "disconnect", "set", "delete", "deleteMany"})
_RECORD_LISTS = frozenset({"connect", "disconnect", "set"})


class Trace:
    """
    What became of the values of a call while its request was written.

    Attributes:
        events: In the order of the values: the placeholder and the check of one that left the text, None of what stayed
            in it; and the value.
        depends_on_values: Whether the text depends on more of them than their types.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str | None, Check | None, Any]] = []
        self.depends_on_values = False


class Arguments:
    """
    Writes the arguments of one call and of its includes.

    Every method returns JSON text: building a tree first and dumping it afterwards takes twice as long.

    Attributes:
        scope: Placeholder name -> value, of all that was written so far.
    """

    def __init__(self, datamodel: Datamodel, dialect: Dialect, *, literal: bool, trace: Trace | None = None) -> None:
        self.scope: dict[str, Any] = {}
        self._trace = trace or Trace()
        self._models = datamodel.models
        self._dialect = dialect
        self._is_literal = literal
        # An upsert is one statement only if the key in `where` and in `create` is the same placeholder.
        self._keys: dict[tuple[int, Any], str] | None = None

    def write(self, method: str, model_name: str, arguments: Mapping[str, Any]) -> str:
        """Return the arguments of *method*; those that are None count as not given."""
        model = self._models[model_name]
        parts = []
        for name, value in arguments.items():
            if value is None or name == "include":
                continue
            key = ALIASES.get(name, name)
            if key == "skip" and type(value) is int and value < 0:
                words = f"Invalid value for skip argument: Value can only be positive, found: {value}"
                raise CompileError(words, "P2019")
            if key in _WHERE:
                if method == "upsert":
                    self._keys = {}
                text = self._where(model, value)
            elif key in _DATA:
                text = self._data(model, value, is_upsert=key == "create")
            else:
                text = self._literal(value)
            parts.append(pair_text(key, text))
        return object_text(parts)

    # -- filters

    def _where(self, model: Model, value: Any) -> str:
        if not isinstance(value, dict):
            return self._literal(value)
        parts = []
        for name, item in value.items():
            field = model.fields.get(name)
            if field is not None:
                text = self._relation_filter(field, item) if field.kind == "object" else self._filter(field, item)
            elif name in _LOGICAL:
                text = self._each(partial(self._where, model), item)
            else:
                text = self._where(model, item)  # a compound key, or what the compiler will refuse
            parts.append(pair_text(name, text))
        return object_text(parts)

    def _relation_filter(self, field: Field, value: Any) -> str:
        model = self._models[field.type]
        if not isinstance(value, dict):
            return self._literal(value)
        keys = {ALIASES.get(key, key): item for key, item in value.items()}
        if keys.keys() <= _RELATION_FILTERS:
            return object_text([pair_text(key, self._where(model, item)) for key, item in keys.items()])
        return self._where(model, value)

    def _filter(self, field: Field, value: Any) -> str:
        if isinstance(value, dict):
            return object_text(
                [
                    pair_text(operator := ALIASES.get(key) or str(key), self._operand(field, operator, item))
                    for key, item in value.items()
                ]
            )
        text = self._value(field, value)
        # the compiler has no short form for Json, but the generated client's types have
        return object_text([pair_text("equals", text)]) if field.type == "Json" else text

    def _operand(self, field: Field, operator: str, value: Any) -> str:
        if operator in _LITERAL_OPERATORS or (field.type == "Json" and operator in _RANGE_OPERATORS):
            return self._literal(value)
        if operator.startswith("_"):
            return self._filter(_aggregated(field, operator), value)
        if operator == "not":
            return self._filter(field, value) if isinstance(value, dict) else self._value(field, value)
        if operator in _LIST_OPERATORS or (operator == "equals" and field.is_list):
            return self._values(field, value)
        if operator in _TEXT_OPERATORS and isinstance(value, str):
            return self._literal(value) if self._is_literal else self._placeholder("String", value, value, None)
        return self._value(field, value)

    # -- data

    def _data(self, model: Model, value: Any, *, is_upsert: bool = False) -> str:
        if not isinstance(value, dict):
            return self._each(partial(self._data, model), value) if _is_list(value) else self._literal(value)
        parts = []
        for name, item in value.items():
            field = model.fields.get(name)
            if field is None:
                text = self._literal(item)
            elif field.kind == "object":
                text = self._relation(self._models[field.type], item)
            elif field.is_list:
                text = self._list(field, item)
            elif isinstance(item, dict) and item and item.keys() <= _NUMBER_OPERATIONS:
                text = object_text([pair_text(key, self._value(field, operand)) for key, operand in item.items()])
            elif item is None and field.type == "Json" and not field.is_optional:
                raise CompileError(f"`{model.name}.{name}`: A value is required but not set", "P2012")
            else:
                text = self._keyed(field, item) if is_upsert and self._keys else self._value(field, item)
            parts.append(pair_text(name, text))
        return object_text(parts)

    def _list(self, field: Field, value: Any) -> str:
        if isinstance(value, dict):
            return object_text([pair_text(key, self._values(field, item)) for key, item in value.items()])
        # the compiler refuses a placeholder for a bare list, but takes one inside `set`
        return object_text([pair_text("set", self._values(field, value))]) if _is_list(value) else self._literal(value)

    def _relation(self, model: Model, value: Any) -> str:
        if not isinstance(value, dict):
            return self._literal(value)
        parts = []
        for key, item in value.items():
            operation = ALIASES.get(key, key)
            if operation in _RECORD_LISTS and _is_list(item):
                item = self._distinct(item)
            parts.append(pair_text(operation, self._each(partial(self._nested, model, operation), item)))
        return object_text(parts)

    def _nested(self, model: Model, operation: str, value: Any) -> str:
        if not isinstance(value, dict):
            return self._literal(value)
        if operation in _WHERE_OPERATIONS:
            return self._where(model, value)
        if operation == "create" or (
            operation == "update" and not ("data" in value and value.keys() <= {"where", "data"})
        ):
            return self._data(model, value)
        return object_text([pair_text(key, self._nested_part(model, key, item)) for key, item in value.items()])

    def _nested_part(self, model: Model, name: str, value: Any) -> str:
        if name == "where":
            return self._where(model, value)
        return self._data(model, value) if name in _DATA else self._literal(value)

    def _distinct(self, items: Iterable[Any]) -> list[Any]:
        """Drop repeated items, as the compiler would: it cannot see it of placeholders, and counts on it."""
        self._trace.depends_on_values = True
        return list({literal(item, self._dialect): item for item in items}.values())

    # -- values

    def _each(self, write: Callable[[Any], str], value: Any) -> str:
        return f"[{','.join(map(write, value))}]" if _is_list(value) else write(value)

    def _value(self, field: Field, value: Any) -> str:
        """A value of *field*: a placeholder if it is of the field's type."""
        if value is None:
            self._trace.events.append((None, None, value))
            return DB_NULL if field.type == "Json" and not field.is_list else "null"
        fit = UNFIT if self._is_literal else fitting(field.type, value, self._dialect)
        if fit is UNFIT:
            return self._literal(_in_text(field, value, self._dialect))
        text = self._placeholder(placeholder_type(field.type), fit, value, check_of(field.type, type(value)))
        if self._keys is not None:
            self._keys.setdefault((id(field), fit), text)
        return text

    def _keyed(self, field: Field, value: Any) -> str:
        """A value of an upsert's `create`: the placeholder of `where`, if that has the same one of the same field."""
        assert self._keys is not None
        fit = fitting(field.type, value, self._dialect)
        known = None if fit is UNFIT else self._keys.get((id(field), fit))
        return self._value(field, value) if known is None else known

    def _values(self, field: Field, value: Any) -> str:
        """
        A list of values of *field*, as one placeholder.

        A list of Json stays in the text, because as a parameter it changes the SQL; and so does one of enums; and of
        xml, which has no equality: only the compiler knows that an empty list of it needs none.
        """
        if not _is_list(value):
            return self._value(field, value)
        stays = self._is_literal or field.type == "Json" or field.kind == "enum" or field.native_type == "Xml"
        fit = [] if stays else [fitting(field.type, item, self._dialect) for item in value]
        if stays or UNFIT in fit:
            return self._literal([_in_text(field, item, self._dialect) for item in value])
        inner = f',"inner":{{"type":"{placeholder_type(field.type)}"}}'
        return self._placeholder("List", fit, value, check_of_list(field.type), inner)

    def _placeholder(self, type_: str, fit: Any, value: Any, check: Check | None, more: str = "") -> str:
        name = f"%{len(self.scope)}"
        self.scope[name] = fit
        self._trace.events.append((name, check, value))
        return f'{{"$type":"Param","value":{{"name":"{name}","type":"{type_}"{more}}}}}'

    def _literal(self, value: Any) -> str:
        self._trace.events.append((None, None, value))
        return literal(value, self._dialect)


def object_text(pairs: Iterable[str]) -> str:
    """Return a JSON object of the pairs that `pair_text` wrote."""
    return f"{{{','.join(pairs)}}}"


def pair_text(key: object, value: str) -> str:
    """Return a JSON object's pair of a key and a value that is JSON already."""
    is_plain = isinstance(key, str) and key.isidentifier()
    return f'"{key}":{value}' if is_plain else f"{write_json(field_name(key))}:{value}"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _in_text(field: Field, value: Any, dialect: Dialect) -> Any:
    """Return what stands for a value of *field* in the text: what the compiler would mistake, it has to refuse."""
    is_fit = fitting(field.type, value, dialect) is not UNFIT
    match field.type:
        case "Int" if type(value) is float:
            return str(value)  # the compiler would cut it down
        case "Decimal" if is_fit and type(value) is int:
            return Decimal(value)  # which may be larger than the compiler's numbers
        case "Bytes" if not is_fit and isinstance(value, dialect.base64):
            return str(value)  # it would take it for no bytes
        case "Json" if type(value) is str:
            if is_fit:
                return dialect.json(json.loads(value))
            raise CompileError(f"`{field.name}`: Invalid JSON text. A text as a document is `Json(text)`.", "P2009")
    return value


@lru_cache(maxsize=1024)
def _aggregated(field: Field, aggregate: str) -> Field:
    """Return *field* with the type of an aggregate of it: what `having` compares."""
    if aggregate == "_count":
        return dataclasses.replace(field, type="Int", kind="scalar", is_list=False)
    return dataclasses.replace(field, type="Float") if aggregate == "_avg" and field.type != "Decimal" else field
