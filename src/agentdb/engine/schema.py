"""
Reads the text of a Prisma schema into plain facts.

Only what a client at run time needs: models (views too), fields, relations, keys and enums. Blocks of other kinds are
skipped. The reader trusts that `prisma generate` accepted the text and does not repeat Prisma's own checks; text that
is not a schema at all raises `SchemaError`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

FieldKind = Literal["scalar", "enum", "object", "unsupported"]

SCALAR_TYPES = frozenset({"String", "Boolean", "Int", "BigInt", "Float", "Decimal", "DateTime", "Json", "Bytes"})


class SchemaError(ValueError):
    """The text is not a Prisma schema."""


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
    """

    name: str
    db_name: str
    fields: dict[str, Field]
    id_fields: tuple[str, ...] = ()
    id_name: str = ""
    uniques: tuple[UniqueKey, ...] = ()
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
    blocks = _read_blocks(_Reader(_tokenize(text)))
    enums = {block.name: _enum(block) for block in blocks if block.kind == "enum"}
    models = {block.name: _model(block, enums) for block in blocks if block.kind in ("model", "view")}
    return Datamodel(models=models, enums=enums)


# --- tokens ---------------------------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str  # "word", "string", "newline", "end" or the punctuation itself
    text: str
    line: int


_TOKEN = re.compile(
    r"""
      (?P<skip>    [^\S\n]+ | //[^\n]* | /\*.*?\*/ )
    | (?P<newline> \n )
    | (?P<string>  "(?:[^"\\\n]|\\.)*" )
    | (?P<word>    -?\w[\w-]* )
    | (?P<mark>    @@ | [@(){}\[\]:,?=.!] )
    """,
    re.VERBOSE | re.DOTALL,
)


def _tokenize(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, line = 0, 1
    text = text.removeprefix("\ufeff")
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SchemaError(f"line {line}: cannot read {text[position : position + 20]!r} as Prisma schema")
        kind, value = match.lastgroup or "", match[0]
        if kind == "string":
            tokens.append(_Token("string", _unquote(value), line))
        elif kind != "skip":
            tokens.append(_Token(value if kind == "mark" else kind, value, line))
        line += value.count("\n")
        position = match.end()
    tokens.append(_Token("end", "", line))
    return tokens


def _unquote(literal: str) -> str:
    # Prisma's string literals are JSON's, except that raw control characters such as a tab are allowed in them.
    try:
        return str(json.loads(literal, strict=False))
    except ValueError:
        return literal[1:-1]


# --- grammar: blocks, lines, attributes -----------------------------------------------------------------------------


class _Call(NamedTuple):
    """A function or constructor in an argument: `now()`, `id(sort: Desc)`."""

    name: str
    args: tuple[_Argument, ...]


class _Argument(NamedTuple):
    name: str | None
    value: _Value


class _Text(str):
    """A quoted string, as opposed to a bare word."""

    __slots__ = ()


_Value = str | _Call | list["_Value"]


class _Attribute(NamedTuple):
    name: str
    args: tuple[_Argument, ...]

    def get(self, name: str, position: int | None = None) -> _Value | None:
        """Return the argument called *name*, or the unnamed one at *position*."""
        unnamed = [argument.value for argument in self.args if argument.name is None]
        named = {argument.name: argument.value for argument in self.args}
        if name in named:
            return named[name]
        return unnamed[position] if position is not None and position < len(unnamed) else None

    def text(self, name: str, position: int | None = None) -> str | None:
        value = self.get(name, position)
        return str(value) if isinstance(value, _Text) else None

    def names(self, name: str, position: int | None = None) -> tuple[str, ...]:
        value = self.get(name, position)
        items = value if isinstance(value, list) else [] if value is None else [value]
        return tuple(item.name if isinstance(item, _Call) else str(item) for item in items)


class _Line(NamedTuple):
    """A line of a block: a field or an enum's value; without a name, one of the block's own attributes."""

    name: str
    type: str
    argument: str  # of Unsupported("x"): x
    is_list: bool
    is_optional: bool
    attributes: tuple[_Attribute, ...]

    def attribute(self, name: str) -> _Attribute | None:
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


class _Block(NamedTuple):
    kind: str
    name: str
    lines: list[_Line]

    def attributes(self, name: str) -> list[_Attribute]:
        return [line.attributes[0] for line in self.lines if not line.name and line.attributes[0].name == name]

    def text(self, attribute: str, default: str) -> str:
        return next((found.text("name", 0) or default for found in self.attributes(attribute)), default)

    def schema(self) -> str | None:
        return next((found.text("map", 0) for found in self.attributes("schema")), None)


class _Reader:
    """Walks the tokens; inside brackets line ends count for nothing."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at].kind

    def next(self, kind: str | None = None) -> str:
        token = self._tokens[self._at]
        if kind is not None and token.kind != kind:
            raise SchemaError(f"line {token.line}: expected {kind!r}, found {token.text!r}")
        self._at += token.kind != "end"
        return token.text

    def take(self, kind: str) -> bool:
        found = self.peek() == kind
        if found:
            self.next()
        return found

    def skip_newlines(self) -> None:
        while self.take("newline"):
            pass

    def skip_block(self) -> None:
        depth = 0
        while True:
            if self.peek() == "end":
                self.next("}")
            kind = self.peek()
            self.next()
            depth += (kind == "{") - (kind == "}")
            if depth == 0:
                return


def _read_blocks(reader: _Reader) -> list[_Block]:
    blocks: list[_Block] = []
    while True:
        reader.skip_newlines()
        if reader.peek() == "end":
            return blocks
        kind, name = reader.next("word"), reader.next("word")
        reader.skip_newlines()
        if kind not in ("model", "view", "enum"):
            reader.skip_block()
            continue
        reader.next("{")
        lines = []
        reader.skip_newlines()
        while not reader.take("}"):
            lines.append(_read_line(reader, with_type=kind != "enum"))
            if reader.peek() != "}":
                reader.next("newline")
            reader.skip_newlines()
        blocks.append(_Block(kind, name, lines))


def _read_line(reader: _Reader, *, with_type: bool) -> _Line:
    if reader.take("@@"):
        return _Line("", "", "", False, False, (_read_attribute(reader),))
    name, type_, argument, is_list, is_optional = reader.next("word"), "", "", False, False
    if with_type:
        type_ = reader.next("word")
        if reader.take("("):
            argument = reader.next("string")
            reader.next(")")
        if reader.take("["):
            reader.next("]")
            is_list = True
        is_optional = reader.take("?")
    attributes = []
    while reader.take("@"):
        attributes.append(_read_attribute(reader))
    return _Line(name, type_, argument, is_list, is_optional, tuple(attributes))


def _read_attribute(reader: _Reader) -> _Attribute:
    name = reader.next("word")
    while reader.take("."):
        name += "." + reader.next("word")
    return _Attribute(name, _read_arguments(reader) if reader.take("(") else ())


def _read_arguments(reader: _Reader) -> tuple[_Argument, ...]:
    arguments = []
    reader.skip_newlines()
    while not reader.take(")"):
        name: str | None = None
        value = _read_value(reader)
        reader.skip_newlines()
        if type(value) is str and reader.take(":"):
            name = value
            reader.skip_newlines()
            value = _read_value(reader)
        arguments.append(_Argument(name, value))
        _read_separator(reader, ")")
    return tuple(arguments)


def _read_value(reader: _Reader) -> _Value:
    if reader.peek() == "string":
        return _Text(reader.next())
    if reader.take("["):
        items: list[_Value] = []
        reader.skip_newlines()
        while not reader.take("]"):
            items.append(_read_value(reader))
            _read_separator(reader, "]")
        return items
    word = reader.next("word")
    while reader.take("."):
        word += "." + reader.next("word")
    return _Call(word, _read_arguments(reader)) if reader.take("(") else word


def _read_separator(reader: _Reader, end: str) -> None:
    reader.skip_newlines()
    if reader.peek() != end:
        reader.next(",")
        reader.skip_newlines()


# --- meaning --------------------------------------------------------------------------------------------------------


def _enum(block: _Block) -> Enum:
    values = {}
    for line in block.lines:
        if line.name:
            mapped = line.attribute("map")
            values[line.name] = (mapped.text("name", 0) if mapped else None) or line.name
    return Enum(block.name, block.text("map", block.name), values, block.schema())


def _model(block: _Block, enums: dict[str, Enum]) -> Model:
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
        db_schema=block.schema(),
    )


def _keys(block: _Block, lines: list[_Line], attribute: str) -> tuple[UniqueKey, ...]:
    """Return the keys that fields (`@unique`) and then the block (`@@unique([a, b])`) declare."""
    keys = [UniqueKey(line.name, (line.name,)) for line in lines if line.attribute(attribute)]
    for found in block.attributes(attribute):
        names = found.names("fields", 0)
        # a key of one field goes by the field's name, whatever it was named
        name = found.text("name") if len(names) > 1 else None
        keys.append(UniqueKey(name or "_".join(names), names))
    return tuple(keys)


def _field(line: _Line, enums: dict[str, Enum], is_id: bool, is_unique: bool) -> Field:
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


def _relation(line: _Line) -> Relation:
    attribute = line.attribute("relation")
    if attribute is None:
        return Relation(None)
    return Relation(attribute.text("name", 0), attribute.names("fields"), attribute.names("references"))
