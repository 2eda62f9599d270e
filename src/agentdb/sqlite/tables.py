"""What is in an SQLite file: its tables, and their rows."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from agentdb.sqlite.opening import READING_ERRORS, unreadable

__all__ = ["Column", "SourceRow", "Table", "read_rows", "read_tables", "sql_name"]

_HIDDEN: Final = 1
_GENERATED: Final = (2, 3)
_ROW_NUMBERS: Final = ("rowid", "_rowid_", "oid")
_BEFORE_THE_FIRST: Final = -math.inf  # of any number of a row
_MOST_COLUMNS: Final = 2000  # of a table, and of what is selected
# What a virtual table keeps in tables of its own, by the module that it is of: NAME_content and the like.
_SHADOWS: Final = {
    "fts3": "content|segments|segdir|docsize|stat",
    "fts4": "content|segments|segdir|docsize|stat",
    "fts5": "config|content|data|docsize|idx",
    "rtree": "node|parent|rowid",
    "geopoly": "node|parent|rowid",
    "vec0": r"info|chunks|rowids|auxiliary|(vector_|metadata)chunks\d+|metadatatext\d+",
    "vss0": "index|data",
}
_WITHOUT_ROWID: Final = re.compile(r"\bWITHOUT\s+ROWID\b[^)]*$", re.IGNORECASE)
_VIRTUAL: Final = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*\bUSING\s+(\w+)", re.IGNORECASE | re.DOTALL)
_OTHERS_CONTENT: Final = re.compile(r"\bcontent\s*=", re.IGNORECASE)


class Column(NamedTuple):
    """
    A column of a table.

    Attributes:
        type: As it was declared, upper case; may be empty.
        is_generated: Whether SQLite computes it from the others.
    """

    name: str
    type: str
    is_generated: bool = False


class Table(NamedTuple):
    """
    A table of the file.

    Attributes:
        kind: "table", "view" or "virtual" (full-text search and the like).
        key: The columns of its primary key; empty: there is none.
        rowid: What SQLite's own number of a row is called; None: rows have none.
    """

    name: str
    kind: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    rowid: str | None = None


class SourceRow(NamedTuple):
    """
    A row as it was read.

    Attributes:
        label: What a report calls it: its rowid, else its primary key, else its place.
        cells: A value for each of the table's columns; nothing, if one has more bytes than a connection takes.
    """

    label: str
    cells: tuple[object, ...]


def sql_name(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def read_tables(connection: sqlite3.Connection) -> list[Table]:
    """
    Return the tables of a file in the order in which they were made, without SQLite's own.

    Raises:
        InvalidInputError: The file is damaged, or a name in it is no UTF-8.
    """
    try:
        entries = connection.execute(
            "SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
        ).fetchall()
        virtual = {name: _shadows(name, sql) for _, name, sql in entries if _VIRTUAL.match(sql)}
        return [
            _table(connection, "virtual" if name in virtual else kind, name, sql)
            for kind, name, sql in entries
            if not any(shadows.fullmatch(name) for shadows in virtual.values())
        ]
    except READING_ERRORS as error:
        raise unreadable(error) from error


def _shadows(name: str, sql: str) -> re.Pattern[str]:
    """Return what the tables are called that belong to a virtual one, and hold nothing that is not in it."""
    found = _VIRTUAL.match(sql)
    suffixes = _SHADOWS.get(found[1].lower(), "") if found else ""
    if _OTHERS_CONTENT.search(sql):  # the text is in a table of the agent's, which may be called so
        suffixes = suffixes.replace("content|", "")
    return re.compile(f"{re.escape(name)}_({suffixes})" if suffixes else r"(?!)")


def _table(connection: sqlite3.Connection, kind: str, name: str, sql: str) -> Table:
    try:
        rows = connection.execute(f"PRAGMA table_xinfo({sql_name(name)})").fetchall()
    except sqlite3.OperationalError:  # a virtual table of a module that is not there, a view of a table that is gone
        rows = []
    columns = tuple(
        Column(column, (declared or "").upper(), hidden in _GENERATED)
        for _, column, declared, _, _, _, hidden in rows
        if hidden != _HIDDEN
    )
    parts = sorted((place, column) for _, column, _, _, _, place, _ in rows if place)
    names = {column.name.lower() for column in columns}
    rowid = None
    if kind == "table" and len(columns) < _MOST_COLUMNS and not _WITHOUT_ROWID.search(sql):
        rowid = next((number for number in _ROW_NUMBERS if number not in names), None)
    return Table(name, kind, columns, tuple(column for _, column in parts), rowid)


def read_rows(connection: sqlite3.Connection, table: Table) -> Iterator[SourceRow]:
    """
    Yield the rows of a table, in bounded memory.

    Raises:
        InvalidInputError: A page of it cannot be read.
    """
    places = [index for index, column in enumerate(table.columns) if column.name in table.key]
    columns = ", ".join(sql_name(column.name) for column in table.columns)
    try:
        if table.rowid is not None:
            for rowid, *cells in _numbered(connection, table.name, sql_name(table.rowid), columns):
                yield SourceRow(f"row {rowid}", tuple(cells))
        else:
            cursor = connection.execute(f"SELECT {columns} FROM {sql_name(table.name)}")
            for number, row in enumerate(cursor, 1):
                yield SourceRow(_label(row, places, number), row)
    except READING_ERRORS as error:
        raise unreadable(error) from error


def _numbered(connection: sqlite3.Connection, table: str, rowid: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Yield a table's rows, each with its number before it; the number alone of one that holds too large a value."""
    source, last = sql_name(table), _BEFORE_THE_FIRST
    rest = f"FROM {source} WHERE {rowid} > ? ORDER BY {rowid}"
    while True:
        try:
            for row in connection.execute(f"SELECT {rowid}, {columns} {rest}", (last,)):
                yield row
                last = row[0]
        except sqlite3.DataError as error:
            if not _is_too_large(error):
                raise
        else:
            return
        # Python reads ahead, so it may be the row after the next one: that is looked at alone.
        row = connection.execute(f"SELECT {rowid} {rest} LIMIT 1", (last,)).fetchone()
        try:
            row = connection.execute(f"SELECT {rowid}, {columns} FROM {source} WHERE {rowid} = ?", row).fetchone()
        except sqlite3.DataError as error:
            if not _is_too_large(error):
                raise
        yield row
        last = row[0]


def _is_too_large(error: sqlite3.DataError) -> bool:
    return error.sqlite_errorname == "SQLITE_TOOBIG"


def _label(cells: Sequence[object], places: Sequence[int], number: int) -> str:
    if places:
        return f"row {', '.join(_short(cells[place]) for place in places)}"
    return f"row no. {number}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
