"""
The SQL of distinct, cursor, take and skip, written around one of the compiler's SELECT statements. Pure.

`pushdown` decides which of these a plan gets, and says what each of them reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agentdb.engine import plan
from agentdb.engine.selects import HOLE, IDENTIFIER, Select, items_of, quoted, write_template

# -- window functions: one statement for all parents ------------------------------------------------------------------


def windowed(select: Select, operations: plan.Operations) -> plan.Query | None:
    """
    Do *operations* (but not reverse and nested) by window functions over the rows of *select*.

    Returns:
        The query; None if the operations have a cursor that the statement does not name.
    """
    page, distinct = operations.pagination, operations.distinct
    linking = [_sortable(select, name) for name in operations.linking_fields or ()]
    start = ""
    if page is not None and page.cursor is not None:
        start = _is_start(select, page.cursor)
        if not start:
            return None
    order = _order(select)
    # Sorted within, the statement is read up to its limit and no further: PostgreSQL keeps the order of a subselect
    # that is only filtered, whereas it plans to read all of one that is sorted from without.
    is_sorted = not linking and bool(start or (distinct and _leads(select, distinct)))
    inner = f" ORDER BY {order}" if is_sorted else ""
    rows = _rows(select)
    if distinct is not None:
        columns = [*(_sortable(select, name) for name in distinct), *linking]
        rows = _filtered(rows, f'{_window("ROW_NUMBER()", columns, order)} AS "@turn"', inner, '"@turn" = 1')
    if start:
        started = _window(f"bool_or({start})", linking, f"{order} ROWS UNBOUNDED PRECEDING")
        rows = _filtered(rows, f'{started} AS "@started"', inner, '"@started"')
    if page is not None and linking and (page.take is not None or page.skip):
        rows = _filtered(rows, f'{_window("ROW_NUMBER()", linking, order)} AS "@place"', "", _is_on_page(page))
    tail = ("" if is_sorted else f" ORDER BY {order}") + ("" if page is None or linking else _limit(page))
    return plan.Query(write_template(f'SELECT {_names(select)} FROM ({rows}) AS "@rows"{tail}', select.holes))


def _rows(select: Select) -> str:
    """Return the statement without its order, but with what to order by: ``"@order0"`` …"""
    order = [item.expression for item in select.order] or ["ROW_NUMBER() OVER ()"]
    columns = [*select.columns.values(), *(f'{each} AS "@order{place}"' for place, each in enumerate(order))]
    return f"SELECT {', '.join(columns)} FROM {select.source} WHERE {select.condition}"


def _order(select: Select) -> str:
    directions = [item.direction for item in select.order] or ["ASC"]
    return ", ".join(f'"@order{place}" {direction}' for place, direction in enumerate(directions))


def _names(select: Select) -> str:
    return ", ".join(map(quoted, select.columns))


def _sortable(select: Select, name: str) -> str:
    """Return the name of a column, or of what equals it in the order: so the server sees that one sort serves both."""
    expressions = [item.expression for item in select.order]
    expression = select.columns[name]
    return f'"@order{expressions.index(expression)}"' if expression in expressions else quoted(name)


def _leads(select: Select, names: Sequence[str]) -> bool:
    """Whether the order begins with these columns."""
    return {item.expression for item in select.order[: len(names)]} == {select.columns[name] for name in names}


def _window(function: str, partition: Iterable[str], order: str) -> str:
    columns = ", ".join(partition)
    return f"{function} OVER ({f'PARTITION BY {columns} ' if columns else ''}ORDER BY {order})"


def _filtered(rows: str, computed: str, order: str, condition: str) -> str:
    return f'SELECT * FROM (SELECT *, {computed} FROM ({rows}) AS "@rows"{order}) AS "@rows" WHERE {condition}'


def _limit(page: plan.Pagination) -> str:
    limit = "" if page.take is None else f" LIMIT {page.take}"
    return f"{limit} OFFSET {page.skip}" if page.skip else limit


def _is_on_page(page: plan.Pagination) -> str:
    skip = page.skip or 0
    first = [f'"@place" > {skip}'] if skip else []
    last = [] if page.take is None else [f'"@place" <= {skip + page.take}']
    return " AND ".join(first + last)


# -- LATERAL: each parent on its own ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """
    A condition ``column IN keys`` of a list of children.

    Attributes:
        column: The children's column.
        keys: The hole of the list of keys.
        type: The keys' type in SQL.
    """

    column: str
    keys: str
    type: str

    def __str__(self) -> str:
        return f"{self.column} IN {self.keys}"


def lateral(select: Select, links: Sequence[Link], page: plan.Pagination) -> plan.Query:
    """Read the page of each parent by itself. The lists of keys are parallel, and have one entry per parent."""
    holes = dict(select.holes)
    condition = select.condition
    for place, link in enumerate(links):
        condition = condition.replace(str(link), f'{link.column} = "@keys"."@key{place}"')
        holes[link.keys] = holes[link.keys]._replace(fragment=plan.Parameter())
    order = f" ORDER BY {_order(select)}"
    rows = _rows(replace(select, condition=condition)) + order + _limit(page)
    arrays = ", ".join(f"CAST({link.keys} AS {link.type}[])" for link in links)
    names = ", ".join(f'"@key{place}"' for place in range(len(links)))
    source = f'unnest({arrays}) AS "@keys"({names}) CROSS JOIN LATERAL ({rows}) AS "@rows"'
    return plan.Query(write_template(f"SELECT {_names(select)} FROM {source}{order}", holes))


# -- cursors: the compiler's own conditions ---------------------------------------------------------------------------

_COLUMN = rf"{IDENTIFIER}(?:\.{IDENTIFIER})*"
_KEY = rf" WHERE \((?P<key>{_COLUMN}(?:,{_COLUMN})*)\) = \((?P<values>{HOLE}(?:,{HOLE})*)\)\)"
_CURSOR = re.compile(_KEY)
_LAST_CASE = re.compile(
    rf" OR \((?P<column>{_COLUMN}) (?P<operator>[<>]) \(SELECT (?P=column) FROM (?P<source>{_COLUMN}){_KEY}\)"
)


def _is_start(select: Select, cursor: Mapping[str, plan.PlanValue]) -> str:
    """Return the condition on a row of the result that it is the cursor's; "" if *select* does not name that row."""
    found = _CURSOR.search(select.condition)
    if found is None:
        return ""
    values = dict(zip(items_of(found["key"]), items_of(found["values"]), strict=True))
    if values.keys() != {select.columns[name] for name in cursor}:
        return ""
    return " AND ".join(f"{quoted(name)} = {values[select.columns[name]]}" for name in cursor)


def has_cursor(template: plan.Template) -> bool:
    """Whether a statement may have a cursor over several columns. Quick: it is asked of every statement."""
    return any(" = (SELECT " in each.text for each in template.fragments if isinstance(each, plan.Chunk))


def bounded(select: Select, required: Iterable[str]) -> Select:
    """
    Put a condition that an index can start from before that of a cursor over several columns.

    The compiler writes ``(a = … AND b >= …) OR (a > …)``, which implies ``(a, b) >= (…)``.

    Args:
        required: The columns that are never null.
    """
    found = _LAST_CASE.search(select.condition)
    if found is None or found["source"] != select.source:
        return select
    direction = "ASC" if found["operator"] == ">" else "DESC"
    columns: list[str] = []
    for item in select.order:
        if item.expression not in required or item.direction != direction:
            break
        columns.append(item.expression)
    if columns[:1] != [found["column"]]:
        return select
    names = ", ".join(columns)
    row = f"SELECT {names} FROM {select.source} WHERE ({found['key']}) = ({found['values']})"
    return replace(select, condition=f"(({names}) {found['operator']}= ({row}) AND ({select.condition}))")
