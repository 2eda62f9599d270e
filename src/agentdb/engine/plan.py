"""
The query plan: what Prisma's compiler answers, as frozen dataclasses.

A plan is a tree. Leaves ask the database (*Query*, *Execute*) or name a value (*Value*, *Get*); the other nodes shape
what came back. :func:`parse_plan` turns the compiler's plain dictionaries into these types; nothing here runs a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# -- values inside a plan ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A value looked up in the scope when the plan runs. *type* is the compiler's name of it, ``DateTime`` for one."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Generated:
    """A value made when the plan runs: ``now``, ``uuid``, ``cuid``, ``ulid``, ``nanoid`` or ``product``."""

    name: str
    arguments: tuple[PlanValue, ...]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A constant with its type said, such as ``{"$type": "Bytes", "value": "AA=="}``."""

    type: str
    value: Any


# A constant is a str, bool, int, float, None or a list of values; numbers mostly arrive as text.
PlanValue: TypeAlias = "Placeholder | Generated | Tagged | list[Any] | str | bool | int | float | None"

# -- SQL --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """SQL text."""

    text: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One ``$n``."""


@dataclass(frozen=True, slots=True)
class ParameterTuple:
    """A parenthesised list with one ``$n`` per item of a list value, each between *prefix* and *suffix*."""

    prefix: str
    separator: str
    suffix: str


@dataclass(frozen=True, slots=True)
class ParameterTupleList:
    """One group per tuple of a list of tuples: the VALUES of an INSERT."""

    prefix: str
    separator: str
    suffix: str
    group_separator: str


Fragment: TypeAlias = Chunk | Parameter | ParameterTuple | ParameterTupleList


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """What the compiler knows of an argument. *db_type* is None for LIMIT and OFFSET."""

    scalar: str
    db_type: str | None
    is_list: bool


@dataclass(frozen=True, slots=True)
class Template:
    """One statement: fragments, the arguments they consume in order, and their types (None for a tuple's)."""

    fragments: tuple[Fragment, ...]
    arguments: tuple[PlanValue, ...]
    types: tuple[ArgumentType | None, ...]


# -- the shape of a result --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldShape:
    """A scalar: the column it is read from and its Prisma type (lower case; ``enum`` has *enum* set)."""

    column: str
    type: str
    is_list: bool
    enum: str | None


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """A record, or a list of them. *source* is the key it stands under; None reads from the enclosing row."""

    fields: Mapping[str, Shape]
    source: str | None
    skip_nulls: bool


@dataclass(frozen=True, slots=True)
class AffectedRowsShape:
    """``{"count": n}``."""


Shape: TypeAlias = FieldShape | ObjectShape | AffectedRowsShape

# -- nodes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Value:
    value: PlanValue


@dataclass(frozen=True, slots=True)
class Get:
    name: str


@dataclass(frozen=True, slots=True)
class FirstNonEmpty:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement that answers rows."""

    template: Template


@dataclass(frozen=True, slots=True)
class Execute:
    """A statement that answers how many rows it touched."""

    template: Template


@dataclass(frozen=True, slots=True)
class Transaction:
    body: Node


@dataclass(frozen=True, slots=True)
class Sequence:
    """Each in order; the last one's value."""

    steps: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Let:
    bindings: tuple[tuple[str, Node], ...]
    body: Node


@dataclass(frozen=True, slots=True)
class Sum:
    terms: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Concat:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unique:
    """The one record of a list, or None."""

    source: Node


@dataclass(frozen=True, slots=True)
class Required:
    source: Node


@dataclass(frozen=True, slots=True)
class Reverse:
    source: Node


@dataclass(frozen=True, slots=True)
class MapField:
    source: Node
    field: str


@dataclass(frozen=True, slots=True)
class JoinChild:
    """*on* pairs a parent column with the child column equal to it; *is_unique* attaches a record, not a list."""

    node: Node
    on: tuple[tuple[str, str], ...]
    parent_field: str
    is_unique: bool


@dataclass(frozen=True, slots=True)
class Join:
    parent: Node
    children: tuple[JoinChild, ...]
    has_strict_keys: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """The records of *source* that *other* lacks, by *fields*."""

    source: Node
    other: Node
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A claim on a value: ``rowCountEq``, ``rowCountNeq``, ``affectedRowCountEq`` (with *count*) or ``never``."""

    type: Literal["rowCountEq", "rowCountNeq", "affectedRowCountEq", "never"]
    count: int


@dataclass(frozen=True, slots=True)
class Validate:
    source: Node
    rules: tuple[Rule, ...]
    error: str
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class If:
    condition: Node
    rule: Rule
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Pagination:
    cursor: Mapping[str, PlanValue] | None
    take: int | None
    skip: int | None


@dataclass(frozen=True, slots=True)
class Operations:
    """What is done to records in memory, in this order: distinct, pagination (per *linking_fields*), reverse, nested."""

    pagination: Pagination | None
    distinct: tuple[str, ...] | None
    linking_fields: tuple[str, ...] | None
    is_reversed: bool
    nested: Mapping[str, Operations]


@dataclass(frozen=True, slots=True)
class Process:
    source: Node
    operations: Operations


@dataclass(frozen=True, slots=True)
class DataMap:
    """Turns rows of columns into records of fields. *enums*: enum name -> database value -> Prisma value."""

    source: Node
    shape: Shape
    enums: Mapping[str, Mapping[str, str]]


Node: TypeAlias = (
    Value
    | Get
    | FirstNonEmpty
    | Unit
    | Query
    | Execute
    | Transaction
    | Sequence
    | Let
    | Sum
    | Concat
    | Unique
    | Required
    | Reverse
    | MapField
    | Join
    | Diff
    | Validate
    | If
    | Process
    | DataMap
)


class UnknownPlanError(Exception):
    """The compiler answered something this engine does not know: compiler and engine are of different releases."""


# -- parsing ----------------------------------------------------------------------------------------------------------


def parse_plan(plan: Mapping[str, Any]) -> Node:
    """
    Read the compiler's answer.

    Raises:
        UnknownPlanError: A node, fragment or shape of another compiler release.
    """
    parse = _NODES.get(plan["type"])
    if parse is None:
        raise UnknownPlanError(f"The query compiler answered an unknown plan node {plan['type']!r}.")
    return parse(plan.get("args"))


def parse_value(value: Any) -> PlanValue:
    """Read a value: a constant, a placeholder or a generator call."""
    if isinstance(value, list):
        return [parse_value(item) for item in value]
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    inner = value.get("prisma__value")
    match value.get("prisma__type"):
        case "param":
            return Placeholder(inner["name"], inner["type"])
        case "generatorCall":
            return Generated(inner["name"], tuple(map(parse_value, inner["args"])))
        case None if "$type" in value:
            return Tagged(value["$type"], value["value"])
        case kind:
            return Tagged(str(kind), inner)


def _nodes(items: list[Mapping[str, Any]]) -> tuple[Node, ...]:
    return tuple(map(parse_plan, items))


def _template(args: Mapping[str, Any]) -> Template:
    if args["type"] != "templateSql":
        raise UnknownPlanError(f"The query compiler answered an unknown statement {args['type']!r}.")
    return Template(
        tuple(map(_fragment, args["fragments"])),
        tuple(map(parse_value, args["args"])),
        tuple(map(_argument_type, args["argTypes"])),
    )


def _fragment(fragment: Mapping[str, Any]) -> Fragment:
    match fragment["type"]:
        case "stringChunk":
            return Chunk(fragment["chunk"])
        case "parameter":
            return Parameter()
        case "parameterTuple":
            return ParameterTuple(fragment["itemPrefix"], fragment["itemSeparator"], fragment["itemSuffix"])
        case "parameterTupleList":
            return ParameterTupleList(
                fragment["itemPrefix"],
                fragment["itemSeparator"],
                fragment["itemSuffix"],
                fragment["groupSeparator"],
            )
        case kind:
            raise UnknownPlanError(f"The query compiler answered an unknown SQL fragment {kind!r}.")


def _argument_type(argument: Mapping[str, Any]) -> ArgumentType | None:
    if argument["arity"] == "tuple":
        return None
    return ArgumentType(argument["scalarType"], argument["dbType"], argument["arity"] == "list")


def _shape(shape: Mapping[str, Any]) -> Shape:
    match shape["type"]:
        case "object":
            fields = {name: _shape(field) for name, field in shape["fields"].items()}
            return ObjectShape(fields, shape["serializedName"], shape["skipNulls"])
        case "field":
            field = shape["fieldType"]
            return FieldShape(shape["dbName"], field["type"], field["arity"] == "list", field.get("name"))
        case "affectedRows":
            return AffectedRowsShape()
        case kind:
            raise UnknownPlanError(f"The query compiler answered an unknown result shape {kind!r}.")


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(rule["type"], rule.get("args", 0))


def _operations(operations: Mapping[str, Any]) -> Operations:
    page = operations["pagination"]
    cursor = page and page["cursor"]
    return Operations(
        pagination=page
        and Pagination(
            cursor and {column: parse_value(value) for column, value in cursor.items()}, page["take"], page["skip"]
        ),
        distinct=None if operations["distinct"] is None else tuple(operations["distinct"]),
        linking_fields=None if operations["linkingFields"] is None else tuple(operations["linkingFields"]),
        is_reversed=operations["reverse"],
        nested={key: _operations(nested) for key, nested in operations["nested"].items()},
    )


def _join_child(child: Mapping[str, Any]) -> JoinChild:
    on = tuple((parent, own) for parent, own in child["on"])
    return JoinChild(parse_plan(child["child"]), on, child["parentField"], child["isRelationUnique"])


_NODES: Mapping[str, Callable[[Any], Node]] = {
    "value": lambda args: Value(parse_value(args)),
    "get": lambda args: Get(args["name"]),
    "getFirstNonEmpty": lambda args: FirstNonEmpty(tuple(args["names"])),
    "unit": lambda _: Unit(),
    "query": lambda args: Query(_template(args)),
    "execute": lambda args: Execute(_template(args)),
    "transaction": lambda args: Transaction(parse_plan(args)),
    "seq": lambda args: Sequence(_nodes(args)),
    "let": lambda args: Let(
        tuple((binding["name"], parse_plan(binding["expr"])) for binding in args["bindings"]), parse_plan(args["expr"])
    ),
    "sum": lambda args: Sum(_nodes(args)),
    "concat": lambda args: Concat(_nodes(args)),
    "unique": lambda args: Unique(parse_plan(args)),
    "required": lambda args: Required(parse_plan(args)),
    "reverse": lambda args: Reverse(parse_plan(args)),
    "mapField": lambda args: MapField(parse_plan(args["records"]), args["field"]),
    "join": lambda args: Join(
        parse_plan(args["parent"]), tuple(map(_join_child, args["children"])), args["canAssumeStrictEquality"]
    ),
    "diff": lambda args: Diff(parse_plan(args["from"]), parse_plan(args["to"]), tuple(args["fields"])),
    "validate": lambda args: Validate(
        parse_plan(args["expr"]), tuple(map(_rule, args["rules"])), args["errorIdentifier"], args["context"]
    ),
    "if": lambda args: If(
        parse_plan(args["value"]), _rule(args["rule"]), parse_plan(args["then"]), parse_plan(args["else"])
    ),
    "process": lambda args: Process(parse_plan(args["expr"]), _operations(args["operations"])),
    "dataMap": lambda args: DataMap(parse_plan(args["expr"]), _shape(args["structure"]), args["enums"]),
}
