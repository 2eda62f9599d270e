"""
The conversions of one prepared statement: its arguments by the types that the server has told, its rows by the plan's.

They are chosen once per statement and kept with it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any
from weakref import WeakValueDictionary

from agentdb.engine import plan
from agentdb.engine.values import Convert, column_fix, decoder, encoder
from agentdb.postgres.driver import Bind, Column, Record, Statement

Enums = Mapping[str, Mapping[str, str]]
"""Enum name -> database value -> Prisma value."""

ReadRows = Callable[[list[Record]], Any]


class PlannedBinding:
    """See ``agentdb.postgres.driver.Binding``."""

    __slots__ = ("_converts", "decode")

    def __init__(self, statement: Statement, decode: ReadRows) -> None:
        converts = [(place, encoder(type_)) for place, type_ in enumerate(statement.parameter_types)]
        self._converts = [(place, convert) for place, convert in converts if convert is not None]
        self.decode = decode

    def encode(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """Convert each argument to its parameter's type."""
        values = list(arguments)
        for place, convert in self._converts:
            value = values[place]
            if value is not None:
                values[place] = convert(value)
        return values


def bind_rows(statement: Statement) -> PlannedBinding:
    """Read rows as records of the columns' own values, for nodes that go on working with them."""
    return PlannedBinding(statement, _rows_reader(statement.columns))


def bind_fields(shape: plan.ObjectShape, enums: Enums, *, is_unique: bool) -> Bind:
    """
    Read rows straight into records of *shape*, whose fields must all be scalar: no second pass, no copy.

    Args:
        is_unique: Return the first record, or None, instead of a list.

    Returns:
        The same function for equal arguments: statements keep their bindings by it.
    """
    key = repr((shape, enums, is_unique))
    known = _binds.get(key)
    if known is not None:
        return known

    def bind(statement: Statement) -> PlannedBinding:
        read = _fields_reader(shape, enums, statement.columns)
        return PlannedBinding(statement, (lambda rows: read(rows)[0] if rows else None) if is_unique else read)

    _binds[key] = bind
    return bind


_binds: WeakValueDictionary[str, Bind] = WeakValueDictionary()


def _rows_reader(columns: Sequence[Column]) -> Callable[[list[Record]], list[dict[str, Any]]]:
    names = [column.name for column in columns]
    fixes = [(column.name, fix) for column in columns if (fix := column_fix(column.type)) is not None]

    def read(rows: list[Record]) -> list[dict[str, Any]]:
        records = [dict(zip(names, row, strict=False)) for row in rows]
        _convert_all(records, fixes)
        return records

    return read


def _fields_reader(
    shape: plan.ObjectShape, enums: Enums, columns: Sequence[Column]
) -> Callable[[list[Record]], list[dict[str, Any]]]:
    places = {column.name: place for place, column in enumerate(columns)}
    fields = [(name, field) for name, field in shape.fields.items() if isinstance(field, plan.FieldShape)]
    names = [name for name, _ in fields]
    order = [places[field.column] for _, field in fields]
    converts, lists = field_converts(fields, enums, [columns[place] for place in order])
    pick = None if order == list(range(len(columns))) else _picker(order)

    def read(rows: list[Record]) -> list[dict[str, Any]]:
        if pick is None:
            records = [dict(zip(names, row, strict=False)) for row in rows]
        else:
            records = [dict(zip(names, pick(row), strict=False)) for row in rows]
        _convert_all(records, converts)
        for name, convert_list in lists:
            for record in records:
                record[name] = convert_list(record[name])
        return records

    return read


def _picker(order: Sequence[int]) -> Callable[[Record], Sequence[Any]]:
    return itemgetter(*order) if len(order) > 1 else lambda row: (row[order[0]],)


def _convert_all(records: list[dict[str, Any]], converts: Sequence[tuple[str, Convert]]) -> None:
    for name, convert in converts:
        for record in records:
            value = record[name]
            if value is not None:
                record[name] = convert(value)


def field_converts(
    fields: Sequence[tuple[str, plan.FieldShape]], enums: Enums, columns: Sequence[Column | None]
) -> tuple[list[tuple[str, Convert]], list[tuple[str, Convert]]]:
    """
    Return the conversions of *fields*, by name.

    Returns:
        Those of single values, which are not called for None; and those of lists, which read None as the empty list.
    """
    singles: list[tuple[str, Convert]] = []
    lists: list[tuple[str, Convert]] = []
    for (name, field), column in zip(fields, columns, strict=True):
        convert = _decoder(field, enums, column)
        if field.is_list:
            lists.append((name, list_decoder(convert)))
        elif convert is not None:
            singles.append((name, convert))
    return singles, lists


def _decoder(field: plan.FieldShape, enums: Enums, column: Column | None) -> Convert | None:
    type_ = None if column is None else column.type.element if field.is_list else column.type
    return decoder(field.type, type_, enums.get(field.enum or ""))


def list_decoder(convert: Convert | None) -> Convert:
    """Return the conversion of a list whose items take *convert*; NULL is read as the empty list."""
    if convert is None:
        return lambda values: [] if values is None else values
    return lambda values: [] if values is None else [None if one is None else convert(one) for one in values]
