"""
Moves what a plan does to whole lists in memory, distinct, cursor, take and skip, into its SQL. Pure: plan to plan.

Prisma's compiler plans these as a statement without LIMIT, and a *Process* node on all of its rows. `push_down` writes:

- **take and skip of an included list** as ``unnest(keys) CROSS JOIN LATERAL (… WHERE key = … ORDER BY … LIMIT n)``,
  where the schema declares an index on the key and then the first column of the order: n rows are read per parent.
  Without such an index the server might search the whole table once per parent, so it numbers the rows instead,
  ``ROW_NUMBER() OVER (PARTITION BY key ORDER BY …)``: these parents' children are read, and n of each are sent.
- **distinct** as ``ROW_NUMBER() OVER (PARTITION BY columns ORDER BY …) = 1``, then LIMIT. All that the filter leaves is
  read, and only what stays is sent; where the order begins with the distinct columns, an index on them lets the server
  stop at the limit. Where there is no order, the first row in the order of reading stays, as in memory.
- **cursor** as ``bool_or(it is the cursor's row) OVER (ORDER BY … ROWS UNBOUNDED PRECEDING)``, then LIMIT. The compiler
  itself has written the condition that a row is not before the cursor; what is left to do is to skip the rows that tie
  with it. Along an index, these and the page are read.
- **a cursor's condition over several columns**, ``(a = … AND b >= …) OR (a > …)``, behind ``(a, b) >= (…)`` for the
  first columns that are required and of one direction: an index can start from that.

Rows that tie in the order may come in another order than before, which was never settled.

What stays in memory: distinct, cursors and keys of Json, citext, xml and timetz, which SQL compares otherwise than
Prisma; and every statement of a form that `selects` does not know. What is still read in whole: from the start of the
order to the cursor, where the order's first column may be null or is another table's; and with relations over several
columns, the children of every combination of the parents' values, of which the join keeps the right ones.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from agentdb.engine import plan
from agentdb.engine.paging import Link, bounded, has_cursor, lateral, windowed
from agentdb.engine.schema import Datamodel, Field, Model
from agentdb.engine.selects import IDENTIFIER, Select, quoted, read_select, write_template

Keys = Mapping[str, plan.MapField]
"""Name in scope -> the column of the parents that it holds."""


def push_down(node: plan.Node, datamodel: Datamodel) -> plan.Node:
    """Return a plan that answers the same as *node*, a plan for *datamodel*, and reads less."""
    return _Pushdown(datamodel).node(node, {})


class _Pushdown:
    """The walk through one plan."""

    def __init__(self, datamodel: Datamodel) -> None:
        self._models = datamodel.models.values()

    def node(self, node: plan.Node, keys: Keys) -> plan.Node:
        """Rewrite *node*, where *keys* are in scope."""
        match node:
            case plan.Process(plan.Query(template), operations):
                return self._process(template, operations, keys) or node
            case plan.Query(template):
                return self._query(template) or node
            case plan.Let(bindings, body):
                rewritten = []
                for name, expression in bindings:
                    rewritten.append((name, self.node(expression, keys)))
                    keys = _with_binding(keys, name, expression)
                return plan.Let(tuple(rewritten), self.node(body, keys))
        branches = {name: self._inside(getattr(node, name), keys) for name in _BRANCHES[type(node)]}
        return replace(node, **branches) if branches else node

    def _inside(self, value: Any, keys: Keys) -> Any:
        match value:
            case tuple():
                return tuple([self._inside(item, keys) for item in value])
            case plan.JoinChild():
                return replace(value, node=self.node(value.node, keys))
        return self.node(value, keys)

    def _query(self, template: plan.Template) -> plan.Node | None:
        select = read_select(template) if has_cursor(template) else None
        table = None if select is None else _table(select, self._models)
        return None if select is None or table is None else _as_query(bounded(select, table.required))

    def _process(self, template: plan.Template, operations: plan.Operations, keys: Keys) -> plan.Node | None:
        select = read_select(template)
        table = None if select is None else _table(select, self._models)
        if select is None or table is None:
            return None
        select = bounded(select, table.required)
        done = None
        if select.is_whole and _are_comparable(select, operations, table):
            done = _per_parent(select, operations, keys, table) or windowed(select, operations)
        if done is None:
            return plan.Process(_as_query(select), operations)
        rest = replace(operations, pagination=None, distinct=None)
        return plan.Process(done, rest) if rest.is_reversed or rest.nested else done


# The fields of each type of node that hold nodes.
_BRANCHES = {
    kind: tuple(each.name for each in dataclasses.fields(kind) if re.search("Node|JoinChild", str(each.type)))
    for kind in get_args(plan.Node)
}


def _with_binding(keys: Keys, name: str, expression: plan.Node) -> Keys:
    """Return what is known of the scope once *expression* is bound to *name*."""
    kept = {known: key for known, key in keys.items() if known != name and key.source != plan.Get(name)}
    return {**kept, name: expression} if isinstance(expression, plan.MapField) else kept


def _as_query(select: Select) -> plan.Query:
    return plan.Query(write_template(select.text(), select.holes))


# -- a page per parent ------------------------------------------------------------------------------------------------

_KEY_TYPES = {
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "TEXT": "text",
    "VARCHAR": "text",
    "UUID": "uuid",
}
"""The compiler's name of a type -> the type in SQL, of keys that an array of them can stand for."""


def _per_parent(select: Select, operations: plan.Operations, keys: Keys, table: _Table) -> plan.Node | None:
    """Read each parent's page along an index; None where there is none, or more to do than to take a page."""
    page, linking = operations.pagination, operations.linking_fields
    if linking is None or page is None or page.cursor is not None or operations.distinct is not None:
        return None
    columns = [select.columns[name] for name in linking]
    if not table.has_index(columns, select):
        return None
    links: list[Link] = []
    parents: dict[str, plan.MapField] = {}
    for character, hole in select.holes.items():
        name = hole.value.name if isinstance(hole.value, plan.Placeholder) else ""
        column = next((each for each in columns if f"{each} IN {character}" in select.condition), None)
        type_ = None if hole.type is None else _KEY_TYPES.get(hole.type.db_type or "")
        if name in keys and column is not None and type_ is not None:
            links.append(Link(column, character, type_))
            parents[name] = keys[name]
    if len(links) != len(columns) or len({key.source for key in parents.values()}) > 1:
        return None
    return _with_distinct_keys(parents, lateral(select, links, page))


def _with_distinct_keys(parents: Mapping[str, plan.MapField], query: plan.Query) -> plan.Node:
    """Give *query* lists of keys in which no key is twice; they are parallel, so that a key's columns stay together."""
    source = next(iter(parents.values())).source
    fields = tuple(key.field for key in parents.values())
    distinct = plan.Process(source, plan.Operations(None, fields, None, is_reversed=False, nested={}))
    name = "@distinct"
    lists = [(known, plan.MapField(plan.Get(name), key.field)) for known, key in parents.items()]
    return plan.Let(((name, distinct), *lists), query)


# -- facts of the schema ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """
    The table that a statement reads, by its model.

    Attributes:
        columns: Each column, as the compiler writes it -> its field.
        indexes: The columns of each b-tree index.
    """

    columns: Mapping[str, Field]
    indexes: tuple[tuple[str, ...], ...]

    @property
    def required(self) -> frozenset[str]:
        """The columns that are never null."""
        return frozenset(column for column, field in self.columns.items() if not field.is_optional)

    def has_index(self, columns: Iterable[str], select: Select) -> bool:
        """Whether there is an index on *columns*, in any order, and then on the first other column of the order."""
        given = frozenset(columns)
        order = [item for item in select.order if item.expression not in given]
        if order and order[0].direction not in {"ASC", "DESC"}:
            return False
        follow = tuple(item.expression for item in order[:1])
        size = len(given)
        return any(given == {*index[:size]} and index[size : size + len(follow)] == follow for index in self.indexes)


_TABLE = re.compile(rf"({IDENTIFIER})\.({IDENTIFIER})")
_CAST = re.compile(r"::\w+(?:\[\])?\Z")
_INCOMPARABLE = frozenset({"Citext", "Xml", "Timetz"})


def _table(select: Select, models: Iterable[Model]) -> _Table | None:
    """Return the table that *select* reads from; None if it is no model's, or of two schemas."""
    found = _TABLE.match(select.source)
    if found is None:
        return None
    schema, name = (part[1:-1] for part in found.groups())
    fitting = [model for model in models if model.db_name == name and model.db_schema in {None, schema}]
    if len(fitting) != 1:
        return None
    fields = fitting[0].fields
    columns = {name: f"{found[0]}.{quoted(field.db_name)}" for name, field in fields.items() if field.kind != "object"}
    return _Table(
        {column: fields[name] for name, column in columns.items()},
        tuple(tuple(columns[name] for name in index) for index in fitting[0].indexes),
    )


def _are_comparable(select: Select, operations: plan.Operations, table: _Table) -> bool:
    """Whether SQL finds equal what memory does, in every column that is compared."""
    linking = operations.linking_fields or ()
    cursor = (operations.pagination and operations.pagination.cursor) or {}
    for name in (*linking, *(operations.distinct or ()), *cursor):
        field = table.columns.get(_CAST.sub("", select.columns.get(name, "")))
        # The key of a many-to-many relation is a column of no model. It equals an id, so that the join can find it.
        is_comparable = name in linking if field is None else _is_comparable(field)
        if name not in select.columns or not is_comparable:
            return False
    return None not in cursor.values()


def _is_comparable(field: Field) -> bool:
    return field.type != "Json" and field.native_type not in _INCOMPARABLE
