"""
A SQLite file, opened so that neither it nor its folder is touched.

How it is read depends on what is there:

- A file with a rollback journal is read in place, under SQLite's own shared lock.
- A file in WAL mode that nobody has open is read in place as well, as one that does not change: SQLite would put a -wal
  and a -shm file beside it otherwise. Whether it did change is looked at again when all is read.
- A file with a -wal beside it, or with the journal of a process that was killed, is copied to a private folder first:
  what is in these belongs to the data, and only a copy can be completed with it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentdb.errors import InvalidInputError

__all__ = ["FIELD", "LARGEST_BYTES", "READING_ERRORS", "Source", "open_source", "unreadable"]

FIELD: Final = "source"
"""What errors call the file."""

LARGEST_BYTES: Final = 64_000_000
"""Of a value that is read. What could be stored is less, and a value of a gigabyte would take several of memory."""

READING_ERRORS: Final = (sqlite3.Error, UnicodeError)
"""What reading raises: the second for names that are no UTF-8, in statements or in what SQLite says of them."""

_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_JOURNAL_MAGIC: Final = b"\xd9\xd5\x05\xf9 \xa1c\xd7"
_WAL_MODE: Final = 2
_WAIT_SECONDS: Final = 5.0
_BETWEEN_ATTEMPTS_SECONDS: Final = 0.1
_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
_PRAGMAS: Final = (
    "query_only = ON",
    "trusted_schema = OFF",  # a view of a stranger's file calls no function that does more than compute
    "cell_size_check = ON",  # a damaged page is noticed before it is believed
)
_STRANGERS: Final = (
    (b"** This file contains an SQLite 2", "is of SQLite 2, which SQLite 3 cannot read: dump it with sqlite 2 first."),
    (b"PRAGMA ", "is an SQL dump. Make a database of it: sqlite3 new.db < dump.sql"),
    (b"BEGIN ", "is an SQL dump. Make a database of it: sqlite3 new.db < dump.sql"),
    (b"CREATE ", "is an SQL dump. Make a database of it: sqlite3 new.db < dump.sql"),
    (b"\x1f\x8b", "is compressed (gzip): unpack it first."),
    (b"PK\x03\x04", "is a ZIP archive: unpack it first."),
    (_JOURNAL_MAGIC, "is the journal of a database: name the database itself."),
    (b"\x37\x7f\x06\x82", "is the -wal of a database: name the database itself."),
    (b"\x37\x7f\x06\x83", "is the -wal of a database: name the database itself."),
)


@dataclass(frozen=True)
class Source:
    """
    An open SQLite file, of one moment.

    Attributes:
        path: Where it is, links followed.
        connection: Reads it, in a transaction. What is no UTF-8 in a text comes as lone surrogates.
        is_copy: Whether a private copy is read, because a -wal or a journal belongs to it.
    """

    path: Path
    connection: sqlite3.Connection
    is_copy: bool
    _stamp: tuple[object, ...]

    def check_unchanged(self) -> None:
        """
        See to it that what was read is what was there.

        Raises:
            InvalidInputError: The file was written to while it was read in place.
        """
        if not self.is_copy and _stamp(self.path) != self._stamp:
            raise InvalidInputError(FIELD, "was changed while it was read: stop what writes to it and run it again.")


@contextmanager
def open_source(path: str | os.PathLike[str], *, wait_seconds: float = _WAIT_SECONDS) -> Iterator[Source]:
    """
    Open a SQLite file for reading.

    Args:
        path: The file.
        wait_seconds: How long another process may lock it.

    Raises:
        InvalidInputError: There is no such file, it is none of SQLite's, it is encrypted, damaged or locked; the text
            says which.
    """
    place = Path(path)
    header = _checked_header(place)
    place = place.resolve()
    with ExitStack() as stack:
        stamp = _stamp(place)
        is_copy = _is_beside(place, "-wal") or _has_hot_journal(place)
        if is_copy:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentdb-import-")))
            uri = _copied(place, folder, wait_seconds).as_uri()
        else:
            uri = f"{place.as_uri()}?mode=ro{'&immutable=1' if _WAL_MODE in header[18:20] else ''}"
        try:
            connection = stack.enter_context(closing(_connected(uri, wait_seconds)))
        except READING_ERRORS as error:
            raise unreadable(error) from error
        yield Source(place, connection, is_copy, stamp)


def unreadable(error: sqlite3.Error | UnicodeError) -> InvalidInputError:
    """Return our error for one of `READING_ERRORS`."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(_BUSY):
        reason = "is locked by another process that writes to it: stop the agent that has it open, or try again."
    elif name.startswith("SQLITE_NOTADB"):
        reason = _NOT_SQLITE
    elif name.startswith("SQLITE_CORRUPT"):
        reason = f"is damaged. {_RECOVER}"
    elif isinstance(error, UnicodeError):
        reason = f"has a name of a table or a column that is no UTF-8, or is damaged. {_RECOVER}"
    elif name.startswith("SQLITE_TOOBIG"):
        reason = f"holds a value of more than {LARGEST_BYTES:,} bytes in a row that has no number."
    elif name.startswith("SQLITE_FULL"):
        reason = f"takes more room than {tempfile.gettempdir()} has; TMPDIR may name another folder."
    else:
        reason = f"cannot be read: {error}."
    return InvalidInputError(FIELD, reason)


_RECOVER: Final = 'What can be saved: sqlite3 old.db ".recover" | sqlite3 saved.db'
_NOT_SQLITE: Final = (
    "is not an SQLite database, or it is encrypted (SQLCipher, SEE), which looks like noise: decrypt it first, as in "
    "SQLCipher's sqlcipher_export()."
)


def _checked_header(path: Path) -> bytes:
    """Return the first bytes of a file that may be SQLite's."""
    try:
        mode = path.stat().st_mode
        header = b""
        if stat.S_ISREG(mode):  # of anything else it might wait for ever
            with path.open("rb") as file:
                header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise InvalidInputError(FIELD, f"there is no file {path}.") from None
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the name
        raise InvalidInputError(FIELD, f"{path} cannot be read: {getattr(error, 'strerror', error)}.") from error
    if stat.S_ISDIR(mode):
        raise InvalidInputError(FIELD, f"{path} is a directory; name the file in it.")
    if not stat.S_ISREG(mode):
        raise InvalidInputError(FIELD, f"{path} is no regular file.")
    if not header:
        raise InvalidInputError(FIELD, f"{path} is empty: it has 0 bytes, and no table.")
    if not header.startswith(_MAGIC):
        reason = next((why for start, why in _STRANGERS if header.startswith(start)), _NOT_SQLITE)
        raise InvalidInputError(FIELD, f"{path} {reason}")
    return header


def _connected(uri: str, wait_seconds: float) -> sqlite3.Connection:
    """Return a connection in a transaction that sees one moment."""
    connection = sqlite3.connect(
        uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=16
    )
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BYTES)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        _begin_to_read(connection, wait_seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin_to_read(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Take the lock, and the moment. It is waited for here, for SQLite would let nobody interrupt it."""
    give_up = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith(_BUSY) or time.monotonic() >= give_up:
                raise
        else:
            return
        time.sleep(_BETWEEN_ATTEMPTS_SECONDS)


def _copied(place: Path, folder: Path, wait_seconds: float) -> Path:
    """
    Return a copy of a database with its -wal and its journal, as of one moment.

    A -wal that grows meanwhile does no harm: its frames have checksums, and what is not committed does not count. So it
    is enough that the database itself stays as it is, which a checkpoint, or a writer with a journal, would change.
    """
    copy = folder / "source.db"
    give_up = time.monotonic() + wait_seconds
    while True:
        before = _stamp(place)
        try:
            for suffix in ("", "-wal", "-journal"):
                beside = place.with_name(place.name + suffix)
                copy.with_name(copy.name + suffix).unlink(missing_ok=True)
                if not suffix or beside.exists():
                    shutil.copyfile(beside, copy.with_name(copy.name + suffix))
        except FileNotFoundError:
            pass  # its -wal went away at this moment: what was in it is in the database now, which has changed
        except OSError as error:
            raise InvalidInputError(
                FIELD, f"cannot be copied to {folder.parent}: {error.strerror}; TMPDIR may name another folder."
            ) from error
        else:
            if _stamp(place) == before:
                return copy
        if time.monotonic() >= give_up:
            raise InvalidInputError(FIELD, "is written to all the time: stop the agent that has it open.")
        time.sleep(_BETWEEN_ATTEMPTS_SECONDS)


def _is_beside(place: Path, suffix: str) -> bool:
    try:
        return place.with_name(place.name + suffix).stat().st_size > 0
    except OSError:
        return False


def _has_hot_journal(place: Path) -> bool:
    """Return whether a transaction was cut off, or is going on: its journal says what the file was like before."""
    try:
        with place.with_name(f"{place.name}-journal").open("rb") as journal:
            return journal.read(len(_JOURNAL_MAGIC)) == _JOURNAL_MAGIC
    except OSError:
        return False


def _stamp(place: Path) -> tuple[object, ...]:
    """Return what changes when a database is written to."""
    state = place.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns
