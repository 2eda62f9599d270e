"""What the lines of an archive hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from agentdb.client.archive.sealing import Row
from agentdb.client.archive.tables import MEMORIES_TABLE, MOVED, Moved
from agentdb.client.memory.lines import Layout
from agentdb.errors import InvalidInputError

__all__ = [
    "AGENT_COLUMNS",
    "ARCHIVE",
    "BY_TABLE",
    "Header",
    "Line",
    "header_of",
    "header_values",
    "line_of",
    "line_values",
    "renamed",
]

ARCHIVE: Final = Layout("agentdb-archive", 1, "rows")
"""The first line says this; then comes a line for each row, and the last one counts them."""

AGENT_COLUMNS: Final = ("agent_id", "owner_agent_id")
"""What names an agent, in any table but that of agents."""

_HEADER_FIELDS: Final = {"format", "version", "organization_id", "agent_id", "exported_at"}
_LINE_FIELDS: Final = {"table", "row"}
_ELEMENT: Final = r'("([^"\\]|\\.)*"|(?!NULL[,}])[^"{},\\\s]+)'
_SPELLINGS: Final = {
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "integer[]": re.compile(r"\{(-?\d+(,-?\d+)*)?\}", re.ASCII),
    "text[]": re.compile(rf"\{{({_ELEMENT}(,{_ELEMENT})*)?\}}", re.ASCII | re.DOTALL),
}

BY_TABLE: Final[Mapping[str, Moved]] = {moved.table: moved for moved in MOVED}


class Header(NamedTuple):
    """
    What the first line says.

    Attributes:
        agent_id: Whose export it is; None: the whole organization's.
    """

    agent_id: str | None


class Line(NamedTuple):
    """
    One row on its way in.

    Attributes:
        number: Where it stands in the file.
        row: Of a memory, what a line of an export of memories holds; else a text or None for each column.
    """

    number: int
    table: str
    row: dict[str, Any]


def header_values(organization_id: str, agent_id: str | None, exported_at: datetime) -> dict[str, Any]:
    """Return what the first line holds."""
    return {
        "format": ARCHIVE.format,
        "version": ARCHIVE.version,
        "organization_id": organization_id,
        "agent_id": agent_id,
        "exported_at": exported_at.isoformat(),
    }


def line_values(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the line of a row holds."""
    return {"table": table, "row": row}


def header_of(values: dict[str, Any], place: str) -> Header:
    """
    Return what a first line says; *place* is what errors call it.

    Raises:
        InvalidInputError: A field is missing, unknown or of the wrong kind.
    """
    _check_fields(values, _HEADER_FIELDS, place)
    agent_id = values["agent_id"]
    if agent_id is not None and not isinstance(agent_id, str):
        raise InvalidInputError(f"{place}.agent_id", "is neither text nor null.")
    return Header(agent_id)


def line_of(values: dict[str, Any], number: int, columns: Mapping[str, Mapping[str, str]]) -> Line:
    """
    Return the row that a line holds.

    Args:
        values: The line.
        number: Where it stands.
        columns: Of each table, those that are moved; what a memory's line holds is looked at elsewhere.

    Raises:
        InvalidInputError: A field is missing, unknown or of the wrong kind.
    """
    place = f"line {number}"
    if values.keys() != _LINE_FIELDS:
        _check_fields(values, _LINE_FIELDS, place)
    table, row = values["table"], values["row"]
    if not isinstance(table, str) or table not in BY_TABLE:
        raise InvalidInputError(f"{place}.table", "is not a table that this agentdb knows.")
    if not isinstance(row, dict):
        raise InvalidInputError(f"{place}.row", "is no JSON object.")
    if table == MEMORIES_TABLE:
        return Line(number, table, row)
    moved, known = BY_TABLE[table], columns[table]
    if row.keys() != known.keys():
        _check_fields(row, (*moved.key, *moved.needs), f"{place}.row", known)
    for name, value in row.items():
        if value is not None:
            _check_value(value, known[name], f"{place}.row.{name}")
    return Line(number, table, row)


def _check_value(value: object, kind: str, place: str) -> None:
    """Refuse what PostgreSQL may read and never writes: ids are compared as texts, and Python has to read times."""
    if not isinstance(value, str):
        raise InvalidInputError(place, "is neither text nor null.")
    spelling = _SPELLINGS.get(kind)
    if (kind.startswith("timestamp") and not _is_utc(value)) or (spelling and not spelling.fullmatch(value)):
        raise InvalidInputError(place, f"is no {kind} as an export writes it.")


def _is_utc(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False


def renamed(row: Row, target: str) -> Row:
    """Return a row of one agent's archive as one of the agent *target*."""
    changes: Row = {column: target for column in AGENT_COLUMNS if row.get(column) is not None}
    return row | changes


def _check_fields(
    values: Mapping[str, Any], wanted: Collection[str], place: str, known: Collection[str] | None = None
) -> None:
    missing, unknown = set(wanted) - values.keys(), values.keys() - set(wanted if known is None else known)
    if missing:
        raise InvalidInputError(f"{place}.{min(missing)}", "is missing.")
    if unknown:
        raise InvalidInputError(f"{place}.{min(unknown)[:40]}", "is not a field that this agentdb knows.")
