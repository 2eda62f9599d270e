"""Opening a SQLite file: what is none is told, and nothing is touched."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentdb import InvalidInputError
from agentdb.sqlite.opening import open_source


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE memories (content TEXT)")
        connection.executemany("INSERT INTO memories VALUES (?)", [("x" * 1000,)] * 20)
        connection.commit()
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "is not an SQLite database, or it is encrypted"),
        (bytes(range(256)) * 16, "SQLCipher"),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;", "is an SQL dump"),
        (b"CREATE TABLE x(y);", "is an SQL dump"),
        (b"\x1f\x8b\x08\x00", "is compressed"),
        (b"PK\x03\x04", "is a ZIP archive"),
        (b"\x37\x7f\x06\x82" + bytes(40), "is the -wal of a database"),
        (b"** This file contains an SQLite 2.1 database **", "is of SQLite 2"),
        (b"SQLite format 3\0", "is not an SQLite database"),
        (b"SQLite format 3\0" + b"\xff" * 5000, "is not an SQLite database"),
    ],
)
def test_what_is_none(tmp_path: Path, content: bytes, words: str) -> None:
    """Each kind of file that people mistake for one is named, with what to do."""
    path = tmp_path / "old.db"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=words), open_source(path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["old.db"]


def test_what_is_no_file(tmp_path: Path) -> None:
    """A missing file, a directory, a pipe, which would wait for ever, and a name that cannot be one."""
    os.mkfifo(tmp_path / "pipe")
    for path, words in {
        tmp_path / "missing.db": "there is no file [^:]*missing.db",
        tmp_path: "[^:]* is a directory; name the file in it",
        tmp_path / "pipe": "[^:]*pipe is no regular file",
        Path("/dev/zero"): "/dev/zero is no regular file",
        Path("a\0b"): "[^:]* cannot be read: embedded null byte",
    }.items():
        with pytest.raises(InvalidInputError, match=rf"^source: {words}\.$"), open_source(path):
            pass


def test_a_locked_file(old: Path) -> None:
    """It is waited for, and then said."""
    with closing(sqlite3.connect(old, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InvalidInputError, match="locked by another process"), open_source(old, wait_seconds=0.05):
            pass
        writer.execute("ROLLBACK")
    with open_source(old) as source:
        assert source.connection.execute("SELECT count(*) FROM memories").fetchone() == (20,)


def test_a_file_that_was_cut_off(old: Path) -> None:
    """Its first page says how many there should be."""
    os.truncate(old, 8192)
    with pytest.raises(InvalidInputError, match="is damaged"), open_source(old):
        pass


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """SQLite says what is wrong with a definition in its own bytes, which may be no text."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE memories (content TEXT)")
        connection.commit()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE\xd5\xffABLE"))
    with pytest.raises(InvalidInputError, match="is no UTF-8, or is damaged"), open_source(path):
        pass


def test_a_file_that_changes(tmp_path: Path) -> None:
    """A file in WAL mode that nobody had open is read in place; if somebody has written to it meanwhile, it is said."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE memories (content TEXT)")
        connection.commit()
    with open_source(path) as source:
        source.check_unchanged()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("INSERT INTO memories VALUES ('new')")
            connection.commit()
        with pytest.raises(InvalidInputError, match="was changed while it was read"):
            source.check_unchanged()


def test_nothing_is_written(old: Path) -> None:
    """Whatever is tried through the connection."""
    before = old.read_bytes(), old.stat().st_mtime_ns
    with open_source(old) as source:
        for sql in ("DELETE FROM memories", "CREATE TABLE other (x)", "PRAGMA user_version = 7"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                source.connection.execute(sql)
    assert (old.read_bytes(), old.stat().st_mtime_ns) == before
    assert [file.name for file in old.parent.iterdir()] == ["old.db"]


def test_a_link(old: Path, tmp_path: Path) -> None:
    """It is followed, so that the -wal beside the file itself is found."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "link.db").symlink_to(old)
    with open_source(folder / "link.db") as source:
        assert source.path == old.resolve()
