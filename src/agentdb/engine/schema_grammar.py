"""
The grammar of Prisma schema text: text -> blocks of lines with their attributes, which `schema.py` gives a meaning.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

__all__ = ["Attribute", "Block", "Line", "SchemaError", "read_blocks"]


class SchemaError(ValueError):
    """The text is not a Prisma schema."""


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


class Attribute(NamedTuple):
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


class Line(NamedTuple):
    """A line of a block: a field or an enum's value; without a name, one of the block's own attributes."""

    name: str
    type: str
    argument: str  # of Unsupported("x"): x
    is_list: bool
    is_optional: bool
    attributes: tuple[Attribute, ...]

    def attribute(self, name: str) -> Attribute | None:
        return next((attribute for attribute in self.attributes if attribute.name == name), None)


class Block(NamedTuple):
    kind: str
    name: str
    lines: list[Line]

    def attributes(self, name: str) -> list[Attribute]:
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


def read_blocks(text: str) -> list[Block]:
    """
    Return the blocks of models, views and enums; other blocks are skipped.

    Raises:
        SchemaError: *text* is not a Prisma schema.
    """
    reader = _Reader(_tokenize(text))
    blocks: list[Block] = []
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
        blocks.append(Block(kind, name, lines))


def _read_line(reader: _Reader, *, with_type: bool) -> Line:
    if reader.take("@@"):
        return Line("", "", "", False, False, (_read_attribute(reader),))
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
    return Line(name, type_, argument, is_list, is_optional, tuple(attributes))


def _read_attribute(reader: _Reader) -> Attribute:
    name = reader.next("word")
    while reader.take("."):
        name += "." + reader.next("word")
    return Attribute(name, _read_arguments(reader) if reader.take("(") else ())


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
