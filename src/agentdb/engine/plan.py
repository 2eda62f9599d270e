"""
The query plan: what Prisma's compiler answers, as frozen dataclasses.

A plan is a tree. Leaves ask the database (*Query*, *Execute*) or name a value (*Value*, *Get*); the other nodes shape
what came back. `plan_reader` makes these types of the compiler's plain dictionaries; `executor` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """
    A scalar: the column it is read from and its Prisma type (lower case; ``enum`` has *enum* set).

    *is_json*: it is handed on as it stands in a JSON response, because no model parses it.
    """

    column: str
    type: str
    is_list: bool
    enum: str | None
    is_json: bool = False


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
    """What is done to records in memory, in this order: distinct, page (per *linking_fields*), reverse, nested."""

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
