"""
Functions that read many rows into records; the source of each is written for one shape. Pure.

A function of ``[{"id": c0, "at": c1 if … else k0(c1)} for c0, c1 in rows]`` takes a quarter of a microsecond a row, a
loop over the columns of a row four times that, so what is known when a statement is prepared is not found out anew for
each of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from types import CodeType
from typing import Any

from agentdb.engine import plan
from agentdb.engine.values import Convert, column_fix, decoder, json_form, passes
from agentdb.postgres.driver import Column

Enums = Mapping[str, Mapping[str, str]]
"""Enum name -> database value -> Prisma value."""

ReadRows = Callable[[Iterable[Any]], list[dict[str, Any]]]
ReadValue = Callable[[Any], Any]


def column_reader(columns: Sequence[Column]) -> ReadRows:
    """Return the function that reads rows as records of the columns' own values, mended where they are imprecise."""
    writer = _Writer()
    pairs = []
    for place, column in enumerate(columns):
        fix = column_fix(column.type)
        pairs.append((column.name, f"c{place}" if fix is None else writer.converted(f"c{place}", fix)))
    return writer.function(_display(pairs), len(columns))


def field_reader(shape: plan.ObjectShape, enums: Enums, columns: Sequence[Column]) -> ReadRows:
    """Return the function that reads rows of *columns* as records of *shape*, all of whose fields are in the row."""
    writer = _Writer()
    places = {column.name: place for place, column in enumerate(columns)}

    def write(shape: plan.ObjectShape) -> str:
        pairs = []
        for name, field in shape.fields.items():
            if isinstance(field, plan.ObjectShape):
                pairs.append((name, write(field)))
            else:
                assert isinstance(field, plan.FieldShape)
                place = places[field.column]
                pairs.append((name, writer.field(f"c{place}", field, enums, columns[place])))
        return _display(pairs)

    return writer.function(write(shape), len(columns))


def record_reader(shape: plan.ObjectShape, enums: Enums, nested: Callable[[str, plan.Shape], ReadValue]) -> ReadRows:
    """
    Return the function that reads records of columns, as `column_reader` made them and joins completed them.

    Args:
        nested: Field, shape -> the function that reads what was joined under the shape's source.
    """
    writer = _Writer()
    keys: dict[str, str] = {}

    def variable(key: str) -> str:
        return keys.setdefault(key, f"c{len(keys)}")

    def write(shape: plan.ObjectShape) -> str:
        pairs = []
        for name, field in shape.fields.items():
            if isinstance(field, plan.FieldShape):
                text = writer.field(variable(field.column), field, enums, None)
            elif isinstance(field, plan.ObjectShape) and field.source is None:
                text = write(field)
            else:
                read = writer.constant(nested(name, field))
                assert isinstance(field, plan.ObjectShape)
                text = f"{read}({variable(field.source or '')})"
            pairs.append((name, text))
        return _display(pairs)

    body = write(shape)
    if not keys:
        return lambda records: [{} for _ in records]
    read, pick = writer.function(body, len(keys)), itemgetter(*keys)
    if len(keys) == 1:
        return lambda records: read([(pick(record),) for record in records])
    return lambda records: read(map(pick, records))


def is_in_row(shape: plan.Shape) -> bool:
    """Whether all that *shape* consists of stands in one row: scalars, and objects of these."""
    return isinstance(shape, plan.ObjectShape) and all(
        isinstance(field, plan.FieldShape)
        or (isinstance(field, plan.ObjectShape) and field.source is None and is_in_row(field))
        for field in shape.fields.values()
    )


def list_decoder(convert: Convert | None) -> Convert:
    """Return the conversion of a list whose items take *convert*; NULL is read as the empty list."""
    if convert is None:
        return lambda values: [] if values is None else values
    return lambda values: [] if values is None else [None if one is None else convert(one) for one in values]


def _then(first: Convert | None, second: Convert) -> Convert:
    return second if first is None else lambda value: second(first(value))


class _Writer:
    """Writes the source of one function, and keeps what it refers to."""

    def __init__(self) -> None:
        self._constants: dict[str, Any] = {"UTC": UTC, "datetime": datetime}

    def constant(self, value: Any) -> str:
        name = f"k{len(self._constants)}"
        self._constants[name] = value
        return name

    def converted(self, variable: str, convert: Convert, unless: str = "") -> str:
        also = f" or {unless.format(variable)}" if unless else ""
        return f"{variable} if {variable} is None{also} else {self.constant(convert)}({variable})"

    def field(self, variable: str, field: plan.FieldShape, enums: Enums, column: Column | None) -> str:
        type_ = None if column is None else column.type.element if field.is_list else column.type
        convert = decoder(field.type, type_, enums.get(field.enum or ""))
        if field.is_json and (form := json_form(field.type)) is not None:
            convert = _then(convert, form)
            if not field.is_list:
                return self.converted(variable, convert)
        if field.is_list:
            return f"{self.constant(list_decoder(convert))}({variable})"
        return variable if convert is None else self.converted(variable, convert, passes(field.type, type_))

    def function(self, body: str, count: int) -> ReadRows:
        variables = "".join([f"c{place}," for place in range(count)]) or "()"
        read: ReadRows = eval(_compiled(f"lambda rows: [{body} for {variables} in rows]"), self._constants)
        return read


def _display(pairs: Iterable[tuple[str, str]]) -> str:
    return f"{{{', '.join([f'{name!r}: {text}' for name, text in pairs])}}}"


@lru_cache(maxsize=512)
def _compiled(source: str) -> CodeType:
    return compile(source, "<row reader>", "eval")
