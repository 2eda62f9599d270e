"""
The chain of the access log: what makes any change of it visible. Pure; the database computes the same.

The canonical form of an entry is a JSON array, as PostgreSQL writes a jsonb: a comma and a space between items, in
texts nothing escaped but what has to be. So no two entries have one form.

    ["agentdb access log 1", organization_id, id, at (microseconds since 1970), agent_id, user_name, operation,
    table_names, row_ids, row_count, duration_ms (its eight bytes in hexadecimal), outcome]

digest = SHA-256(canonical form), made by the database when the entry is written; chain = SHA-256(chain of the entry
before, position as eight bytes, digest), made a moment later. The first entry follows no bytes at all.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.errors import InvalidInputError

if TYPE_CHECKING:
    from agentdb.models import AccessEntry

__all__ = ["ChainCheck", "Head", "chain_of", "digest_of", "on_one_line", "parse_head"]

_FORMAT: Final = "agentdb access log 1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD: Final = re.compile(r"(\d{1,18}):((?:[0-9a-fA-F]{64})?)")
_MOST_PROBLEMS: Final = 100
_json: Final = json.JSONEncoder(ensure_ascii=False).encode


class Head(NamedTuple):
    """Where a chain ends: the place of the last entry, and its chain; 0 and no bytes when there is none."""

    position: int
    chain: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.chain.hex()}"


def parse_head(text: object) -> Head:
    """
    Return a head that was written as "POSITION:HEX".

    Raises:
        InvalidInputError: *text* is none.
    """
    match = _HEAD.fullmatch(text) if isinstance(text, str) else None
    if match is None or (match[1].strip("0") == "") != (match[2] == ""):
        raise InvalidInputError("expected_head", "expected POSITION:HEX, as an audit gives it: 64 digits of 0-9 a-f.")
    return Head(int(match[1]), bytes.fromhex(match[2]))


def digest_of(entry: AccessEntry) -> bytes:
    """Return the SHA-256 of *entry*'s canonical form, 32 bytes."""
    form = [
        _FORMAT,
        entry.organization_id,
        entry.id,
        (entry.at - _EPOCH) // timedelta(microseconds=1),
        entry.agent_id,
        entry.user_name,
        entry.operation,
        entry.table_names,
        entry.row_ids,
        entry.row_count,
        None if entry.duration_ms is None else struct.pack(">d", entry.duration_ms).hex(),
        entry.outcome,
    ]
    return hashlib.sha256(_json(form).encode()).digest()


def chain_of(previous: bytes, position: int, digest: bytes) -> bytes:
    """Return the chain of the entry at *position*, 32 bytes; *previous* is that of the one before."""
    return hashlib.sha256(previous + struct.pack(">q", position) + digest).digest()


def on_one_line(name: str) -> str:
    """Return a name as a line can hold it: what would begin another line, or what a terminal obeys, is escaped."""
    if name.isprintable():
        return name
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


class ChainCheck:
    """
    Reads the chained entries of one organization in the order of their positions, and finds what was tampered with.

    A problem is told where it is, and the entries after it are checked all the same: against what the table says that
    the one before was. Whoever may change the table and recomputes every chain after his change leaves no problem of
    this kind; the head that was kept elsewhere tells.

    Args:
        expected: A head that the chain had at some time.

    Attributes:
        entries: How many were read.
        head: Where the chain ends so far.
        problems: What is wrong; at most 100.
    """

    def __init__(self, expected: Head | None = None) -> None:
        self.entries: int = 0
        self.head: Head = Head(0, b"")
        self.problems: list[str] = []
        self._expected = expected

    def read(self, entry: AccessEntry) -> None:
        """Check the next entry, which has a position."""
        assert entry.position is not None  # it is chained
        chain = entry.chain or b""  # whoever owns the table may have made it NULL
        self._check_place(entry.position)
        digest = digest_of(entry)
        if digest != entry.digest:
            self._note(f"position {entry.position}: the entry was changed")
        elif self._is_next(entry.position) and chain_of(self.head.chain, entry.position, digest) != chain:
            self._note(
                f"position {entry.position}: does not follow from the entry before; one of them was replaced, "
                "inserted or moved"
            )
        self.entries += 1
        self.head = Head(entry.position, chain)
        if self._expected is not None and self._expected.position == entry.position:
            self._check_expected(self._expected)

    def end(self) -> None:
        """Say that there are no more entries."""
        if self._expected is not None and self._expected.position > self.head.position:
            self._note(
                f"position {self._expected.position}: was there once; the log ends at {self.head.position}, "
                "what came after was deleted"
            )

    def _is_next(self, position: int) -> bool:
        return position == self.head.position + 1

    def _check_place(self, position: int) -> None:
        missing = position - self.head.position - 1
        if missing == 1:
            self._note(f"position {position - 1}: the entry was deleted")
        elif missing > 1:
            self._note(f"positions {self.head.position + 1} to {position - 1}: the entries were deleted")
        elif missing < 0:
            self._note(f"position {position}: an entry was inserted; it has a place that no other can have")

    def _check_expected(self, expected: Head) -> None:
        if self.head.chain != expected.chain:
            self._note(
                f"position {expected.position}: is not what its head was once; it, or an earlier one, was changed"
            )

    def _note(self, problem: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)
