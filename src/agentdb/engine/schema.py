"""
Reads the text of a Prisma schema into plain facts.

Only what a client at run time needs: models (views too), fields, relations, keys and enums. Blocks of other kinds are
skipped. The reader trusts that `prisma generate` accepted the text and does not repeat Prisma's own checks; text that
is not a schema at all raises `SchemaError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentdb.engine.schema_grammar import Block, Line, SchemaError, read_blocks

__all__ = ["Datamodel", "Enum", "Field", "FieldKind", "Model", "Relation", "SchemaError", "UniqueKey", "parse_schema"]

FieldKind = Literal["scalar", "enum", "object", "unsupported"]

SCALAR_TYPES = frozenset({"String", "Boolean", "Int", "BigInt", "Float", "Decimal", "DateTime", "Json", "Bytes"})


@dataclass(frozen=True, slots=True)
class Relation:
    """
    One side of a relation, as its field declares it.

    Attributes:
        name: The relation's own name (`@relation("Name")`), if it was given one.
        fields: This model's columns that refer to the other model; empty on the side that holds no foreign key.
        references: The other model's fields they refer to, in the same order.
    """

    name: str | None
    fields: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """
    A field of a model.

    Attributes:
        db_name: The column's name.
        type: A scalar type, or the name of an enum or model; of `Unsupported("x")`, the database's type x.
        is_id: It alone is the primary key.
        is_unique: It alone is a unique key.
        has_default: The field has a `@default(...)`, whoever computes it.
        native_type: Of `@db.Timestamptz(6)`, `Timestamptz`.
        native_args: Of `@db.Timestamptz(6)`, `("6",)`.
        relation: Set on every field of kind "object".
        is_ignored: Carries `@ignore`: clients do not know the field.
    """

    name: str
    db_name: str
    type: str
    kind: FieldKind
    is_list: bool = False
    is_optional: bool = False
    is_id: bool = False
    is_unique: bool = False
    has_default: bool = False
    is_updated_at: bool = False
    native_type: str | None = None
    native_args: tuple[str, ...] = ()
    relation: Relation | None = None
    is_ignored: bool = False


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique key: `name` is what a client calls it in `where` (the field itself when there is only one)."""

    name: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """
    A model or a view.

    Attributes:
        db_name: The table's name.
        db_schema: The table's schema, where `@@schema` names one.
        id_fields: The primary key, in its order; empty when there is none.
        id_name: What a client calls the primary key in `where`, e.g. `organizationId_id`; "" when there is none.
        uniques: The other unique keys, in the order of the text, those of a single field included.
        indexes: The fields of each b-tree index: of the keys, then of the others. A view has none.
    """

    name: str
    db_name: str
    fields: dict[str, Field]
    id_fields: tuple[str, ...] = ()
    id_name: str = ""
    uniques: tuple[UniqueKey, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    db_schema: str | None = None


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum: `values` maps the client's name of each value to the database's."""

    name: str
    db_name: str
    values: dict[str, str]
    db_schema: str | None = None


@dataclass(frozen=True, slots=True)
class Datamodel:
    """Everything a schema declares, by name, in the order of the text."""

    models: dict[str, Model] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)


def parse_schema(text: str) -> Datamodel:
    """
    Return the models and enums of the Prisma schema *text*.

    Raises:
        SchemaError: *text* is not a schema: unbalanced brackets, an open string, a stray character.
    """
    blocks = read_blocks(text)
    enums = {block.name: _enum(block) for block in blocks if block.kind == "enum"}
    models = {block.name: _model(block, enums) for block in blocks if block.kind in ("model", "view")}
    return Datamodel(models=models, enums=enums)


def _enum(block: Block) -> Enum:
    values = {}
    for line in block.lines:
        if line.name:
            mapped = line.attribute("map")
            values[line.name] = (mapped.text("name", 0) if mapped else None) or line.name
    return Enum(block.name, block.text("map", block.name), values, block.schema())


def _model(block: Block, enums: dict[str, Enum]) -> Model:
    lines = [line for line in block.lines if line.name]
    ids = _keys(block, lines, "id")
    uniques = _keys(block, lines, "unique")
    single = {key.fields[0] for key in uniques if len(key.fields) == 1}
    id_key = ids[0] if ids else UniqueKey("", ())
    return Model(
        name=block.name,
        db_name=block.text("map", block.name),
        fields={line.name: _field(line, enums, (line.name,) == id_key.fields, line.name in single) for line in lines},
        id_fields=id_key.fields,
        id_name=id_key.name,
        uniques=uniques,
        indexes=_indexes(block, [*ids, *uniques]),
        db_schema=block.schema(),
    )


def _keys(block: Block, lines: list[Line], attribute: str) -> tuple[UniqueKey, ...]:
    """Return the keys that fields (`@unique`) and then the block (`@@unique([a, b])`) declare."""
    keys = [UniqueKey(line.name, (line.name,)) for line in lines if line.attribute(attribute)]
    for found in block.attributes(attribute):
        names = found.names("fields", 0)
        # a key of one field goes by the field's name, whatever it was named
        name = found.text("name") if len(names) > 1 else None
        keys.append(UniqueKey(name or "_".join(names), names))
    return tuple(keys)


def _indexes(block: Block, keys: list[UniqueKey]) -> tuple[tuple[str, ...], ...]:
    if block.kind == "view":
        return ()
    others = [found.names("fields", 0) for found in block.attributes("index") if found.get("type") in {None, "BTree"}]
    return (*(key.fields for key in keys), *others)


def _field(line: Line, enums: dict[str, Enum], is_id: bool, is_unique: bool) -> Field:
    mapped = line.attribute("map")
    native = next((attribute for attribute in line.attributes if "." in attribute.name), None)
    kind = _kind(line.type, enums)
    return Field(
        name=line.name,
        db_name=(mapped.text("name", 0) if mapped else None) or line.name,
        type=line.argument if kind == "unsupported" else line.type,
        kind=kind,
        is_list=line.is_list,
        is_optional=line.is_optional,
        is_id=is_id,
        is_unique=is_unique,
        has_default=line.attribute("default") is not None,
        is_updated_at=line.attribute("updatedAt") is not None,
        native_type=native.name.partition(".")[2] if native else None,
        native_args=tuple(str(argument.value) for argument in native.args) if native else (),
        relation=_relation(line) if kind == "object" else None,
        is_ignored=line.attribute("ignore") is not None,
    )


def _kind(type_: str, enums: dict[str, Enum]) -> FieldKind:
    if type_ in SCALAR_TYPES:
        return "scalar"
    if type_ == "Unsupported":
        return "unsupported"
    return "enum" if type_ in enums else "object"


def _relation(line: Line) -> Relation:
    attribute = line.attribute("relation")
    if attribute is None:
        return Relation(None)
    return Relation(attribute.text("name", 0), attribute.names("fields"), attribute.names("references"))
