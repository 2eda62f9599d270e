"""
One statement of a plan, made ready to run: its SQL, where its arguments come from, and how its rows are read.

Most statements have one SQL text, settled here once. ``IN (…)`` becomes ``= ANY($n)``, so that one text and one prepared
statement serve lists of every length; what cannot be written so is rendered at each run, its lists padded to powers of
two. Conversions are chosen when the server has told the types, once per prepared statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from agentdb.engine import plan
from agentdb.engine.values import Convert, column_fix, decoder, encoder
from agentdb.postgres.driver import Column, Record, Statement

MAX_PARAMETERS = 32767
"""The most parameters one statement can have: the protocol counts them in 16 bits, and Prisma stays a bit in the sign."""

ReadRows = Callable[[Sequence[Column]], Callable[[list[Record]], Any]]
"""Given the columns of a result, returns the function that reads its rows."""


class TooManyParametersError(Exception):
    """A statement would need more parameters than PostgreSQL takes."""


@dataclass(frozen=True, slots=True)
class PreparedText:
    """
    A statement whose SQL is settled.

    Attributes:
        sql: The text, parameters as $1, $2 …
        constants: A value per parameter; what stands at the places of *sources* is overwritten.
        sources: Place of a parameter -> the plan's value for it, for those that differ from run to run.
        lists: The places that are lists compared with ``= ANY``: their items need not repeat.
    """

    sql: str
    constants: tuple[Any, ...]
    sources: tuple[tuple[int, plan.PlanValue], ...]
    lists: frozenset[int]


def settle(template: plan.Template) -> PreparedText | None:
    """Return the statement with its SQL settled; None when the text depends on the arguments."""
    text: list[str] = []
    constants: list[Any] = []
    sources: list[tuple[int, plan.PlanValue]] = []
    lists: set[int] = set()
    arguments = iter(template.arguments)
    for fragment in template.fragments:
        if isinstance(fragment, plan.Chunk):
            text.append(fragment.text)
            continue
        value = next(arguments)
        if isinstance(fragment, plan.ParameterTuple):
            comparison = _as_array_comparison(text[-1] if text else "", fragment)
            if comparison is None:
                return None
            text[-1] = comparison
            lists.add(len(constants))
        elif isinstance(fragment, plan.ParameterTupleList):
            return None
        elif _is_inline(value, text[-1] if text else ""):
            text.append(str(value))
            continue
        if is_dynamic(value):
            sources.append((len(constants), value))
        constants.append(constant(value))
        place = f"${len(constants)}"
        text.append(f"{place})" if isinstance(fragment, plan.ParameterTuple) else place)
    return PreparedText("".join(text), tuple(constants), tuple(sources), frozenset(lists))


def _as_array_comparison(before: str, fragment: plan.ParameterTuple) -> str | None:
    """Rewrite the text before a list: ``x IN`` -> ``x = ANY(``, ``x NOT IN`` -> ``x <> ALL(``. None if it is neither."""
    if fragment.prefix or fragment.suffix:
        return None
    if before.endswith(" NOT IN "):
        return before.removesuffix(" NOT IN ") + " <> ALL("
    if before.endswith(" IN "):
        return before.removesuffix(" IN ") + " = ANY("
    return None


def _is_inline(value: plan.PlanValue, before: str) -> bool:
    """LIMIT and OFFSET are constants of the plan: in the text, the planner sees them."""
    return isinstance(value, str) and value.isdigit() and before.endswith((" LIMIT ", " OFFSET "))


def is_dynamic(value: plan.PlanValue) -> bool:
    """Whether *value* can differ from run to run."""
    if isinstance(value, list):
        return any(map(is_dynamic, value))
    return isinstance(value, plan.Placeholder | plan.Generated)


def constant(value: plan.PlanValue) -> Any:
    """Return a constant as a plain value; anything for what is not one."""
    if isinstance(value, list):
        return [constant(item) for item in value]
    return value.value if isinstance(value, plan.Tagged) else value


def render(template: plan.Template, values: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """
    Render a statement whose text depends on its arguments.

    Returns:
        One (SQL, arguments) pair; several when the list of tuples is too long for one statement.

    Raises:
        TooManyParametersError: The parameters that cannot be split are too many.
    """
    tuples = next((i for i, fragment in enumerate(_consumers(template)) if _is_tuple_list(fragment)), None)
    if tuples is None or not values[tuples]:
        return [_render(template, values)]
    width = max(1, max(len(row) for row in values[tuples]))
    room = (MAX_PARAMETERS - len(values)) // width
    rows = values[tuples]
    chunks = [rows[start : start + room] for start in range(0, len(rows), room)]
    return [_render(template, [*values[:tuples], chunk, *values[tuples + 1 :]]) for chunk in chunks]


def _consumers(template: plan.Template) -> list[plan.Fragment]:
    return [fragment for fragment in template.fragments if not isinstance(fragment, plan.Chunk)]


def _is_tuple_list(fragment: plan.Fragment) -> bool:
    return isinstance(fragment, plan.ParameterTupleList)


def _render(template: plan.Template, values: Sequence[Any]) -> tuple[str, list[Any]]:
    text: list[str] = []
    flat: list[Any] = []

    def place(value: Any) -> str:
        flat.append(value)
        return f"${len(flat)}"

    arguments = iter(values)
    for fragment in template.fragments:
        match fragment:
            case plan.Chunk(chunk):
                text.append(chunk)
            case plan.Parameter():
                text.append(place(next(arguments)))
            case plan.ParameterTuple(prefix, separator, suffix):
                items = padded(next(arguments))
                inner = separator.join([f"{prefix}{place(item)}{suffix}" for item in items])
                text.append(f"({inner or 'NULL'})")
            case plan.ParameterTupleList(prefix, separator, suffix, group_separator):
                groups = [f"{prefix}{separator.join(map(place, row))}{suffix}" for row in next(arguments)]
                text.append(group_separator.join(groups))
    if len(flat) > MAX_PARAMETERS:
        raise TooManyParametersError
    return "".join(text), flat


def padded(values: Any) -> list[Any]:
    """Return the items, the last one repeated up to a power of two: few texts for lists of many lengths."""
    items = values if isinstance(values, list) else [values]
    if len(items) < 3:
        return items
    return items + [items[-1]] * ((1 << (len(items) - 1).bit_length()) - len(items))


# -- conversions ------------------------------------------------------------------------------------------------------


class StatementBinding:
    """The conversions of one prepared statement: see ``agentdb.postgres.driver.Binding``."""

    __slots__ = ("_constants", "_dynamic", "decode")

    def __init__(self, statement: Statement, text: PreparedText | None, read: ReadRows) -> None:
        encoders = [encoder(type_) for type_ in statement.parameter_types]
        self.decode = read(statement.columns)
        self._constants: list[Any] | None = None
        if text is None:
            self._dynamic = list(enumerate(encoders))
            return
        dynamic = {place for place, _ in text.sources}
        self._constants = [
            value if place in dynamic else _converted(encoders[place], value)
            for place, value in enumerate(text.constants)
        ]
        self._dynamic = [(place, encoders[place]) for place, _ in text.sources]

    def encode(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """Convert the dynamic arguments and put them among the constants."""
        if self._constants is None:
            return [_converted(convert, value) for (_, convert), value in zip(self._dynamic, arguments, strict=True)]
        values = self._constants.copy()
        for (place, convert), value in zip(self._dynamic, arguments, strict=True):
            values[place] = value if convert is None or value is None else convert(value)
        return values


def _converted(convert: Convert | None, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)


def read_rows(columns: Sequence[Column]) -> Callable[[list[Record]], list[dict[str, Any]]]:
    """Read rows as records of the columns' own values, for nodes that go on working with them."""
    fixes = [(column.name, fix) for column in columns if (fix := column_fix(column.type)) is not None]

    def read(rows: list[Record]) -> list[dict[str, Any]]:
        records = [dict(row.items()) for row in rows]
        for name, fix in fixes:
            for record in records:
                if record[name] is not None:
                    record[name] = fix(record[name])
        return records

    return read


def read_fields(shape: plan.ObjectShape, enums: Mapping[str, Mapping[str, str]]) -> ReadRows:
    """Read rows straight into records of *shape*, whose fields must all be scalar: no second pass, no copy."""
    fields = [(name, field) for name, field in shape.fields.items() if isinstance(field, plan.FieldShape)]
    names = [name for name, _ in fields]

    def for_columns(columns: Sequence[Column]) -> Callable[[list[Record]], list[dict[str, Any]]]:
        index = {column.name: place for place, column in enumerate(columns)}
        places = [index[field.column] for _, field in fields]
        converted = [
            (name, convert)
            for (name, field), place in zip(fields, places, strict=True)
            if (convert := field_decoder(field, enums, columns[place])) is not None
        ]
        pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)

        def read(rows: list[Record]) -> list[dict[str, Any]]:
            records = [dict(zip(names, pick(row), strict=True)) for row in rows]
            for name, convert in converted:
                for record in records:
                    record[name] = convert(record[name])
            return records

        return read

    return for_columns


def field_decoder(
    field: plan.FieldShape, enums: Mapping[str, Mapping[str, str]], column: Column | None
) -> Convert | None:
    """Return the conversion of a field, for None too; a list field reads NULL as the empty list."""
    type_ = None if column is None else column.type.element if field.is_list else column.type
    convert = decoder(field.type, type_, enums.get(field.enum or ""))
    if field.is_list:
        return lambda values: [] if values is None else _each(convert, values)
    return None if convert is None else _optional(convert)


def _each(convert: Convert | None, values: list[Any]) -> list[Any]:
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _optional(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)
