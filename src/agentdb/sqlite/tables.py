"""What is in an SQLite file: its tables, and their rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from agentdb.sqlite.opening import unreadable

__all__ = ["Column", "SourceRow", "Table", "read_rows", "read_tables", "sql_name"]

_HIDDEN: Final = 1
_GENERATED: Final = (2, 3)
_ROW_NUMBERS: Final = ("rowid", "_rowid_", "oid")
_SHADOWS: Final = (
    "config",
    "content",
    "data",
    "docsize",
    "idx",
    "node",
    "parent",
    "rowid",
    "segdir",
    "segments",
    "stat",
)
_WITHOUT_ROWID: Final = re.compile(r"\bWITHOUT\s+ROWID\b[^)]*$", re.IGNORECASE)
_VIRTUAL: Final = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)


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
        cells: A value for each of the table's columns.
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
        virtual = [name for _, name, sql in entries if _VIRTUAL.match(sql)]
        shadows = {f"{name}_{suffix}" for name in virtual for suffix in _SHADOWS}
        return [
            _table(connection, "virtual" if name in virtual else kind, name, sql)
            for kind, name, sql in entries
            if name not in shadows
        ]
    except sqlite3.Error as error:
        raise unreadable(error) from error
    except UnicodeEncodeError:
        raise unreadable(sqlite3.DataError("the name of a table or a column is no UTF-8")) from None


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
    if kind == "table" and not _WITHOUT_ROWID.search(sql):
        rowid = next((number for number in _ROW_NUMBERS if number not in names), None)
    return Table(name, kind, columns, tuple(column for _, column in parts), rowid)


def read_rows(connection: sqlite3.Connection, table: Table) -> Iterator[SourceRow]:
    """
    Yield the rows of a table, in bounded memory.

    Raises:
        InvalidInputError: A page of it cannot be read.
    """
    names = [sql_name(column.name) for column in table.columns]
    selected = ", ".join([sql_name(table.rowid) if table.rowid else "NULL", *names])
    places = [index for index, column in enumerate(table.columns) if column.name in table.key]
    try:
        cursor = connection.execute(f"SELECT {selected} FROM {sql_name(table.name)}")
        for number, (rowid, *cells) in enumerate(cursor, 1):
            yield SourceRow(_label(rowid, cells, places, number), tuple(cells))
    except sqlite3.Error as error:
        raise unreadable(error) from error
    except UnicodeEncodeError:
        raise unreadable(sqlite3.DataError("the name of a column is no UTF-8")) from None


def _label(rowid: object, cells: Sequence[object], places: Sequence[int], number: int) -> str:
    if rowid is not None:
        return f"row {rowid}"
    if places:
        return f"row {', '.join(_short(cells[place]) for place in places)}"
    return f"row no. {number}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
