"""The page of tables, made of `prisma/schema.prisma`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_BLOCK: Final = re.compile(r"((?:^///[^\n]*\n)*)^(model|enum) (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r'(?P<name>\w+)\s+(?P<type>Unsupported\("\w+"\)|\w+)(?P<suffix>\[\]|\?)?\s*(?P<rest>.*)')
_TYPES: Final = {
    "BigInt": "bigint",
    "Boolean": "boolean",
    "Bytes": "bytea",
    "DateTime": "timestamptz",
    "Decimal": "numeric",
    "Float": "double precision",
    "Int": "integer",
    "Json": "jsonb",
    "String": "text",
}
_DEFAULTS: Final = {"[]": "'{}'", "now()": "now()", '"{}"': "'{}'"}


@dataclass
class Column:
    """A column: its name and type in SQL, and what the schema says of it, with its default."""

    name: str
    type: str
    meaning: str


@dataclass
class Table:
    """A table, with its keys in words and the tables that it refers to."""

    name: str
    model: str
    meaning: str
    columns: list[Column] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def schema_page(text: str) -> str:
    """Return the Markdown of the tables of *text*, a schema in Prisma's language."""
    blocks = [match.groups() for match in _BLOCK.finditer(text)]
    enums = {name: _enum(name, body) for _, kind, name, body in blocks if kind == "enum"}
    models = {name: _mapped(name, body) for _, kind, name, body in blocks if kind == "model"}
    tables = [_table(name, _words(docs), body, models, enums) for docs, kind, name, body in blocks if kind == "model"]
    values = "\n".join(
        f"| `{name}` | {', '.join(f'`{value}`' for value in values)} |" for name, values in enums.values()
    )
    return "\n\n".join(map(_section, tables)) + f"\n\n## Enumerations\n\n| type | values |\n|---|---|\n{values}\n"


def _section(table: Table) -> str:
    rows = [f"| `{column.name}` | {column.type} | {_cell(column.meaning)} |" for column in table.columns]
    columns = "\n".join(["| column | type | |", "|---|---|---|", *rows])
    keys = "\n".join(f"- {key}" for key in table.keys)
    return f"## {table.name}\n\n{table.meaning} In Prisma it is {table.model}.\n\n{columns}\n\n{keys}"


def _enum(name: str, body: str) -> tuple[str, list[str]]:
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    return _mapped(name, body), [line for line in lines if not line.startswith("@@")]


def _table(
    model: str, meaning: str, body: str, models: Mapping[str, str], enums: Mapping[str, tuple[str, list[str]]]
) -> Table:
    table = Table(models[model], model, meaning)
    columns: dict[str, str] = {}
    for docs, line in _lines(body):
        found = _FIELD.fullmatch(line)
        if line.startswith("@@"):
            table.keys += _key(line, columns)
        elif found and found["type"] in models:
            table.keys += _reference(found["rest"], models[found["type"]], columns)
        elif found:
            column = _column(found, docs, enums)
            columns[found["name"]] = column.name
            table.columns.append(column)
    return table


def _lines(body: str) -> Iterator[tuple[str, str]]:
    """Yield each line of a model with the words that stand before it."""
    docs: list[str] = []
    for line in map(str.strip, body.splitlines()):
        if line.startswith("///"):
            docs.append(line)
        elif line and not line.startswith("//"):
            yield _words("\n".join(docs)), line
            docs = []


def _column(found: re.Match[str], docs: str, enums: Mapping[str, tuple[str, list[str]]]) -> Column:
    rest = found["rest"]
    mapped = re.search(r'(?<!@)@map\("(\w+)"\)', rest)
    kind = found["type"]
    unsupported = re.fullmatch(r'Unsupported\("(\w+)"\)', kind)
    sql = unsupported[1] if unsupported else enums[kind][0] if kind in enums else _TYPES[kind]
    if "@db.Uuid" in rest:
        sql = "uuid"
    if decimal := re.search(r"@db\.Decimal\((\d+), ?(\d+)\)", rest):
        sql = f"numeric({decimal[1]},{decimal[2]})"
    suffix = {"[]": "[]", "?": " or null", None: ""}[found["suffix"]]
    name = mapped[1] if mapped else found["name"]
    return Column(name, f"{sql}{suffix}", " ".join(filter(None, (docs, _default(rest)))))


def _default(rest: str) -> str:
    if "@default(dbgenerated(" in rest:
        return ""  # kept by the database, as its words say
    if "@default(uuid())" in rest:
        return "Default: the client makes one."
    found = re.search(r'@default\(("[^"]*"|\[\]|now\(\)|[\w.]+)\)', rest)
    if not found:
        return ""
    value = _DEFAULTS.get(found[1], found[1].replace('"', "'"))
    return f"Default: `{value}`."


def _key(line: str, columns: Mapping[str, str]) -> list[str]:
    kind = {"@@id": "Primary key", "@@unique": "Unique", "@@index": "Index"}.get(line.partition("(")[0])
    if not kind:
        return []
    inner = line[line.index("[") + 1 : line.rindex("]")]
    parts = re.findall(r"(\w+)(\(sort: Desc\))?(?:, |$)", inner)
    names = [f"`{columns[name]}`" + (" descending" if descends else "") for name, descends in parts]
    return [f"{kind}: {', '.join(names)}"]


def _reference(rest: str, table: str, columns: Mapping[str, str]) -> list[str]:
    found = re.search(r"fields: \[([^\]]+)\]", rest)
    if not found:
        return []  # the other side of it
    names = ", ".join(f"`{columns[name]}`" for name in found[1].split(", "))
    goes_along = ", and is deleted with it" if "onDelete: Cascade" in rest else ""
    return [f"{names} refer to [{table}](#{table}){goes_along}"]


def _mapped(name: str, body: str) -> str:
    found = re.search(r'@@map\("(\w+)"\)', body)
    return found[1] if found else name


def _words(docs: str) -> str:
    return " ".join(line.removeprefix("///").strip() for line in docs.splitlines())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
