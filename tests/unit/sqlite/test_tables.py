"""What is in a file: its tables, and their rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from agentdb.sqlite.tables import read_rows, read_tables


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def names(connection: sqlite3.Connection) -> list[str]:
    return [table.name for table in read_tables(connection)]


def test_text_that_is_searched_elsewhere(connection: sqlite3.Connection) -> None:
    """A table that a full-text table takes its text from is the agent's own, though called like one of SQLite's."""
    connection.execute("CREATE TABLE memory_content (id INTEGER PRIMARY KEY, content TEXT)")
    connection.execute("CREATE VIRTUAL TABLE memory USING fts5(content, content='memory_content', content_rowid='id')")
    connection.execute("CREATE VIRTUAL TABLE notes USING fts4(note)")
    connection.execute("CREATE TABLE notes_data (note TEXT)")  # of FTS5, and this is FTS4
    assert names(connection) == ["memory_content", "memory", "notes", "notes_data"]


def test_a_module_that_is_not_there(connection: sqlite3.Connection) -> None:
    """A vector index of an extension: what it keeps for itself holds no memories, though its name says so."""
    for name in ("info", "chunks", "rowids", "vector_chunks00", "metadatatext00", "auxiliary"):
        connection.execute(f"CREATE TABLE memories_vec_{name} (key TEXT, value, data)")
    connection.execute("CREATE TABLE memories_vec_notes (note TEXT)")
    connection.execute("PRAGMA writable_schema = ON")
    sql = "CREATE VIRTUAL TABLE memories_vec USING vec0(embedding float[3])"
    connection.execute("INSERT INTO sqlite_master VALUES ('table', 'memories_vec', 'memories_vec', 0, ?)", (sql,))
    connection.execute("PRAGMA writable_schema = RESET")
    assert [(table.name, table.kind) for table in read_tables(connection)] == [
        ("memories_vec_notes", "table"),
        ("memories_vec", "virtual"),
    ]


def test_as_many_columns_as_there_can_be(connection: sqlite3.Connection) -> None:
    """Their rows have no number: that would be a column too many."""
    connection.execute(f"CREATE TABLE wide ({', '.join(f'c{n}' for n in range(2000))})")
    connection.execute("INSERT INTO wide (c1999) VALUES ('last')")
    (table,) = read_tables(connection)
    (row,) = read_rows(connection, table)
    assert (row.label, row.cells[-1], len(row.cells)) == ("row no. 1", "last", 2000)


def test_values_that_are_too_large(connection: sqlite3.Connection) -> None:
    """A row with one is named and not read; the others are, wherever it stands."""
    connection.execute("CREATE TABLE notes (note TEXT)")
    large = [n in (1, 4, 5, 9) for n in range(1, 10)]
    connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 5000 if each else "x",) for each in large])
    (table,) = read_tables(connection)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4000)
    rows = list(read_rows(connection, table))
    assert [row.label for row in rows] == [f"row {n}" for n in range(1, 10)]
    assert [row.cells == () for row in rows] == large


def test_numbers_of_any_size(connection: sqlite3.Connection) -> None:
    """The least and the greatest number of a row there can be."""
    connection.execute("CREATE TABLE notes (note TEXT)")
    connection.executemany("INSERT INTO notes (rowid, note) VALUES (?, 'x')", [(-(2**63),), (2**63 - 1,)])
    (table,) = read_tables(connection)
    assert [row.label for row in read_rows(connection, table)] == [f"row {-(2**63)}", f"row {2**63 - 1}"]
