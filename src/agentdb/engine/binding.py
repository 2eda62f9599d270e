"""
How the arguments and the rows of one statement are converted: arguments by the types that the server has told, its rows
by the plan's.

Both are chosen once per statement and kept with it. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from agentdb.engine import plan
from agentdb.engine.readers import Enums, column_reader, field_reader
from agentdb.engine.values import encoder
from agentdb.postgres.driver import Bind, Record, Statement

DecodeRows = Callable[[list[Record]], Any]


class PlannedBinding:
    """See ``agentdb.postgres.driver.Binding``."""

    __slots__ = ("_converts", "decode")

    def __init__(self, statement: Statement, decode: DecodeRows) -> None:
        converts = [(place, encoder(type_)) for place, type_ in enumerate(statement.parameter_types)]
        self._converts = [(place, convert) for place, convert in converts if convert is not None]
        self.decode: DecodeRows = decode

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
    return PlannedBinding(statement, column_reader(statement.columns))


def bind_fields(shape: plan.ObjectShape, enums: Enums, *, is_unique: bool) -> Bind:
    """
    Read rows straight into records of *shape*, all of which must be in the row: no second pass, no copy.

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
        read = field_reader(shape, enums, statement.columns)
        return PlannedBinding(statement, (lambda rows: read(rows)[0] if rows else None) if is_unique else read)

    _binds[key] = bind
    return bind


_binds: WeakValueDictionary[str, Bind] = WeakValueDictionary()
