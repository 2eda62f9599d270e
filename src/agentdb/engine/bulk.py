"""
``create_many``: one plan per shape of row and one statement for any number of rows. Pure, but for `insert_rows`.

Prisma's compiler writes a template for each row, so that every number of rows is a plan and a statement of its own: a
thousand rows take it a tenth of a second. Here it plans one row for each set of keys, and the rows travel as arrays:

    INSERT INTO "public"."Post" ("title","views") SELECT "r"."c0",$2::"pg_catalog"."int4"
    FROM unnest($1::"pg_catalog"."text"[]) AS "r"("c0")

A value that every row has in common, such as a default, is sent once. What cannot be put so is planned as it was
called.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from agentdb.engine import plan
from agentdb.engine.binding import bind_rows
from agentdb.engine.compiler import PlaceholderRefusedError, Planner
from agentdb.engine.parameters import UNFIT, Dialect, fitting, placeholder_type, write_json
from agentdb.engine.request import Call, build_request, model_name
from agentdb.engine.row_plan import Cell, RowPlan
from agentdb.engine.schema import Datamodel, Field, Model
from agentdb.engine.steps import Run, constant, value_reader
from agentdb.postgres.connection import quoted
from agentdb.postgres.driver import Driver

MAX_ROWS = 10_000
"""The most rows of one statement; more are several statements of one transaction."""

Row = Mapping[str, Any]


async def create_many(call: Call, planner: Planner, dialect: Dialect, run: Run) -> dict[str, int] | None:
    """
    Run a ``create_many``.

    Returns:
        The answer; None for a call that has to be planned as it is.

    Raises:
        CompileError: Prisma refuses one of the rows.
    """
    assert call.model is not None
    rows = call.arguments.get("data")
    if type(rows) is not list or len(rows) < 2:
        return None
    skips = call.arguments.get("skipDuplicates")
    if not (skips is None or type(skips) is bool) or not call.arguments.keys() <= {"data", "skipDuplicates"}:
        return None
    datamodel = planner.datamodel
    model = datamodel.models[model_name(call.model)]
    try:
        shapes = read_shapes(rows, model, datamodel, dialect, skips_duplicates=bool(skips))
        planned = [(shape, _row_plan(planner, shape, rows)) for shape in shapes]
    except UnfitRowError as error:
        # The compiler says what is wrong with it: of the one row in no time, of all of them in seconds.
        single = call._replace(arguments={**call.arguments, "data": [error.row]})
        planner.plan(build_request(single, datamodel, dialect, literal=True).text)
        return None
    known = [(shape, row_plan) for shape, row_plan in planned if row_plan is not None]
    insert = write_insert(known, len(rows), model, run) if len(known) == len(planned) else None
    return None if insert is None else {"count": await insert_rows(run, insert, len(rows))}


def _row_plan(planner: Planner, shape: Shape, rows: Sequence[Row]) -> RowPlan | None:
    try:
        return planner.row_plan(shape.text)
    except PlaceholderRefusedError:
        raise UnfitRowError(rows[shape.places[0]]) from None


# -- the rows of a call -----------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    """
    Rows of one set of keys.

    Attributes:
        places: Where in the call they stand.
        text: One of them as a request, placeholders for its values.
        values: Placeholder or enum column -> the rows' values.
    """

    places: Sequence[int]
    text: str
    values: Mapping[str, list[Any]]


class UnfitRowError(Exception):
    """A row holds something that is not of its field's type: *row*, which Prisma's compiler will refuse."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row


def read_shapes(
    rows: Sequence[Any], model: Model, datamodel: Datamodel, dialect: Dialect, *, skips_duplicates: bool
) -> list[Shape]:
    """
    Sort the rows of a call by their keys.

    Raises:
        UnfitRowError: A value is not of its field's type, or of no field at all.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if type(row) is not dict:
            raise UnfitRowError(row)
        groups.setdefault(tuple(row), []).append(place)
    return [
        _shape([rows[place] for place in places], places, names, model, datamodel, dialect, skips_duplicates)
        for names, places in groups.items()
    ]


def _shape(
    rows: Sequence[Row],
    places: Sequence[int],
    names: Sequence[str],
    model: Model,
    datamodel: Datamodel,
    dialect: Dialect,
    skips_duplicates: bool,
) -> Shape:
    pairs, values = [], {}
    for number, name in enumerate(names):
        field = model.fields.get(name)
        if field is None or field.kind not in {"scalar", "enum"}:
            raise UnfitRowError(rows[0])
        fit = _item_fit(field, datamodel, dialect)
        column = [fit(row[name]) for row in rows]
        if UNFIT in column:
            raise UnfitRowError(rows[column.index(UNFIT)])
        key = quoted(field.db_name) if field.kind == "enum" else f"%{number}"
        values[key] = column
        pairs.append(f'"{name}":{_stand_in(field, key, datamodel)}')
    more = ',"skipDuplicates":true' if skips_duplicates else ""
    text = (
        f'{{"modelName":"{model.name}","action":"createMany",'
        f'"query":{{"arguments":{{"data":[{{{",".join(pairs)}}}]{more}}},"selection":{{"count":true}}}}}}'
    )
    return Shape(places, text, values)


def _stand_in(field: Field, key: str, datamodel: Datamodel) -> str:
    """Write what stands for the values of *field*: a placeholder; of an enum any value, which keeps its cast."""
    if field.kind == "enum":
        some = write_json(next(iter(datamodel.enums[field.type].values)))
        return f"[{some}]" if field.is_list else some
    type_ = placeholder_type(field.type)
    if not field.is_list:
        return f'{{"$type":"Param","value":{{"name":"{key}","type":"{type_}"}}}}'
    return f'{{"set":{{"$type":"Param","value":{{"name":"{key}","type":"List","inner":{{"type":"{type_}"}}}}}}}}'


def _item_fit(field: Field, datamodel: Datamodel, dialect: Dialect) -> Callable[[Any], Any]:
    """Return the function that gives a value of *field* the form it travels in, or `UNFIT`."""
    if field.kind == "enum":
        names = datamodel.enums[field.type].values

        def one(value: Any) -> Any:
            return names.get(str(getattr(value, "value", value)), UNFIT) if isinstance(value, str) else UNFIT
    else:

        def one(value: Any) -> Any:
            return fitting(field.type, value, dialect)

    if field.is_list:
        return lambda value: _list_fit(value, one)
    if field.is_optional:
        return lambda value: None if value is None else one(value)
    return one


def _list_fit(value: Any, one: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict) and value.keys() == {"set"}:
        value = value["set"]
    items = [one(item) for item in value] if isinstance(value, list | tuple) else [UNFIT]
    return UNFIT if UNFIT in items else items


# -- one statement ----------------------------------------------------------------------------------------------------

_TYPES: Mapping[str, str] = {
    "TEXT": "text",
    "VARCHAR": "varchar",
    "CHAR": "bpchar",
    "BIT": "bit",
    "VARBIT": "varbit",
    "UUID": "uuid",
    "XML": "xml",
    "INET": "inet",
    "SMALLINT": "int2",
    "INTEGER": "int4",
    "BIGINT": "int8",
    "OID": "oid",
    "REAL": "float4",
    "DOUBLEPRECISION": "float8",
    "DECIMAL": "numeric",
    "MONEY": "money",
    "BOOLEAN": "bool",
    "TIMESTAMP": "timestamp",
    "TIMESTAMPTZ": "timestamptz",
    "DATE": "date",
    "TIME": "time",
    "TIMETZ": "timetz",
    "JSON": "json",
    "JSONB": "jsonb",
    "BYTEA": "bytea",
}
"""The compiler's name of a type -> PostgreSQL's, which unlike SQL's BIT and CHAR stands for values of every length."""


class Insert(NamedTuple):
    """A statement and its arguments; those in *arrays* have an item per row, the others are of all rows."""

    sql: str
    arguments: list[Any]
    arrays: frozenset[int]


def write_insert(shapes: Sequence[tuple[Shape, RowPlan]], count: int, model: Model, run: Run) -> Insert | None:
    """
    Write the statement that inserts the *count* rows of *shapes*.

    Returns:
        None where only a row of its own could say DEFAULT, or a column's type is not known.
    """
    fields = {quoted(field.db_name): field for field in model.fields.values() if field.kind != "object"}
    columns = {column: cell for _, row_plan in shapes for column, cell in row_plan.cells.items()}
    picks, sources, types, arguments, arrays = list[str](), list[str](), list[str](), list[Any](), set[int]()
    for column, cell in columns.items():
        field = fields[column]
        type_ = _type(cell, field)
        if type_ is None or any(column not in each.cells and field.has_default for _, each in shapes):
            return None
        place = f"${len(arguments) + 1}"
        values = _column(column, shapes, count, run)
        if field.is_list and isinstance(values, list):
            # arrays do not nest: those of the rows travel as text in the one of the column
            values = [None if items is None else array_text(cell.type, items) for items in values]
        if isinstance(values, list):
            name = f'"c{len(sources)}"'
            sources.append(name)
            types.append(f"{place}::{type_}[]")
            arrays.add(len(arguments))
            value = f'"r".{name}'
            if field.is_list and not cell.after:
                value = f"CAST({value} AS {_type(cell, None)}[])"
        else:
            value = place if cell.after else f"{place}::{_type(cell, None)}{'[]' if field.is_list else ''}"
            values = values.value
        arguments.append(values)
        picks.append(f"{cell.before}{value}{cell.after}")
    first = shapes[0][1]
    sql = f"INSERT INTO {first.table} ({','.join(columns)}) SELECT {','.join(picks)}"
    if not sources:
        return None
    sql += f' FROM unnest({",".join(types)}) AS "r"({",".join(sources)}){first.tail}'
    return Insert(sql, arguments, frozenset(arrays))


def array_text(type_: str | None, items: Sequence[Any]) -> str:
    """Write an array as PostgreSQL reads it; *type_* is the compiler's name of its items' type."""
    return f"{{{','.join([_array_item(type_, item) for item in items])}}}"


def _array_item(type_: str | None, item: Any) -> str:
    if type_ == "BYTEA":
        text = "\\x" + base64.b64decode(item).hex()
    elif isinstance(item, datetime):
        text = (item.timetz() if type_ in {"TIME", "TIMETZ"} else item).isoformat()
    else:
        text = str(item)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Common(NamedTuple):
    """A value that all rows have in common."""

    value: Any


def _type(cell: Cell, field: Field | None) -> str | None:
    """Name the type in which a cell's values travel; an array of an array column's are texts."""
    if cell.after or (field is not None and field.is_list):
        return '"pg_catalog"."text"'
    if cell.type == "CITEXT":
        return "citext"  # an extension's, wherever that is installed
    known = _TYPES.get(cell.type or "")
    return known and f'"pg_catalog"."{known}"'


def _column(column: str, shapes: Sequence[tuple[Shape, RowPlan]], count: int, run: Run) -> list[Any] | Common:
    """Return the values of a column, row by row, or the one that they share."""
    parts = [_cell_values(column, shape, row_plan.cells.get(column), run) for shape, row_plan in shapes]
    if len(parts) == 1:
        return parts[0]
    values = [None] * count
    for (shape, _), part in zip(shapes, parts, strict=True):
        items = [part.value] * len(shape.places) if isinstance(part, Common) else part
        for place, item in zip(shape.places, items, strict=True):
            values[place] = item
    return values


def _cell_values(column: str, shape: Shape, cell: Cell | None, run: Run) -> list[Any] | Common:
    if cell is None:
        return Common(None)
    given = shape.values.get(cell.value.name if isinstance(cell.value, plan.Placeholder) else column)
    if given is not None:
        return given
    if isinstance(cell.value, plan.Generated) and cell.value.name != "now":
        generate = value_reader(cell.value)
        return [generate(run, {}) for _ in shape.places]
    return Common(run.now() if isinstance(cell.value, plan.Generated) else constant(cell.value))


async def insert_rows(run: Run, insert: Insert, count: int) -> int:
    """Insert the rows, and return how many were."""
    if count <= MAX_ROWS:
        return await run.driver.execute(insert.sql, insert.arguments, bind=bind_rows)

    async def insert_all(driver: Driver) -> int:
        total = 0
        for start in range(0, count, MAX_ROWS):
            arguments = [
                value[start : start + MAX_ROWS] if place in insert.arrays else value
                for place, value in enumerate(insert.arguments)
            ]
            total += await driver.execute(insert.sql, arguments, bind=bind_rows)
        return total

    if run.is_in_transaction:
        return await insert_all(run.driver)
    async with run.driver.transaction() as transaction:
        return await insert_all(transaction)
