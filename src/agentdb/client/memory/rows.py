"""From memory entries to the parameters of the blocks `store` and `store_many`: pure."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.client.memory.vectors import packed_vector
from agentdb.errors import DimensionMismatchError, InvalidInputError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import MemoryEntry
from agentdb.validation import check_iterable, check_json, storable_text

if TYPE_CHECKING:
    from datetime import datetime

    from agentdb.client.memory.embedding import Embedding

__all__ = [
    "Key",
    "MemoryRow",
    "UniqueRows",
    "array_parameters",
    "identity",
    "in_chunks",
    "memory_key",
    "memory_row",
    "rows_of",
    "unique_rows",
    "with_embedding",
]

CHUNK_ROWS: Final = 1000
CHUNK_CHARACTERS: Final = 4_000_000
_MAX_ERROR_CHARACTERS: Final = 200
# 384 numbers take 35 µs to check and pack: 100 rows keep an event loop for 4 ms.
_ROWS_AT_A_TIME: Final = 100


Key = bytes
"""What equal memories have in common: hash and agent, as one text of bytes because those sort and hash fastest."""


class MemoryRow(NamedTuple):
    """One row, in the order of the parameters of the block `store`."""

    id: str
    agent_id: str
    content: str
    content_hash: bytes
    metadata: str
    importance: float
    memory_type: str
    visibility: str
    sensitive: bool
    pinned: bool
    embedding: bytes | None
    embedding_model: str | None
    embedding_error: str | None
    execution_id: str | None
    occurred_at: datetime | None
    expires_at: datetime | None
    sealed: bytes | None = None
    lookups: str = "{}"

    @property
    def key(self) -> Key:
        """What equal memories have in common."""
        return memory_key(self.agent_id, self.content_hash)


# What a column is when no entry says otherwise, in the order of the row; the first four have no default.
_DEFAULTS: Final = ("{}", 0.5, "general", "agent", False, False, None, None, None, None, None, None, None, "{}")


def memory_key(agent_id: str, content_hash: bytes) -> Key:
    """Return the key of the memories of this agent with this hash."""
    return content_hash + agent_id.encode()


def identity(memory_type: str, content: str, metadata: str) -> bytes:
    """Return what of a memory makes it equal to others of its agent; what is stored is a hash of it."""
    return f"{memory_type}\0{content}\0{metadata}".encode()  # no part can hold a NUL, so it separates them


def memory_row(entry: MemoryEntry, embedding: Embedding | None, execution_id: str | None) -> MemoryRow:
    """
    Return the row that *entry* becomes.

    Args:
        entry: The memory.
        embedding: The client's; an embedding of the entry must be as long as those that it makes.
        execution_id: The execution that stores it.
    """
    if not isinstance(entry, MemoryEntry):
        raise InvalidInputError("entry", f"expected a MemoryEntry, got {type(entry).__name__}.")
    # It was checked when the entry was built, but a dict or a list can have been changed since.
    metadata = check_json(entry.metadata, "metadata")
    return MemoryRow(
        _row_id(entry),
        entry.agent_id,
        entry.content,
        hashlib.sha256(identity(entry.memory_type, entry.content, metadata)).digest(),
        metadata,
        entry.importance,
        entry.memory_type,
        entry.visibility,
        entry.sensitive,
        entry.pinned,
        None if entry.embedding is None else packed_vector(entry.embedding, "embedding"),
        None if entry.embedding is None else _embedding_model(entry, len(entry.embedding), embedding),
        None,
        execution_id,
        entry.occurred_at,
        entry.expires_at,
    )


def _row_id(entry: MemoryEntry) -> str:
    if entry.id is None:
        key = entry.idempotency_key
        return uuid7_text() if key is None else str(keyed_uuid(entry.agent_id, key))
    if entry.idempotency_key is not None:
        raise InvalidInputError("idempotency_key", "an id is one already; give one of them.")
    return entry.id


def _embedding_model(entry: MemoryEntry, dimensions: int, embedding: Embedding | None) -> str:
    if embedding is None:
        return entry.embedding_model or "unnamed"
    if dimensions != embedding.dimensions:
        raise DimensionMismatchError(embedding.dimensions, dimensions)
    return entry.embedding_model or embedding.model


def with_embedding(
    row: MemoryRow, embedding: Embedding | None, vector: bytes | None = None, error: str | None = None
) -> MemoryRow:
    """Return *row* with a vector that *embedding* made of its content, or with the reason why there is none."""
    return row._replace(
        embedding=vector,
        embedding_model=None if vector is None or embedding is None else embedding.model,
        embedding_error=None if error is None else storable_text(error, _MAX_ERROR_CHARACTERS)[:255],
    )


def rows_of(
    entries: Iterable[MemoryEntry], embedding: Embedding | None, execution_id: str | None
) -> Iterator[MemoryRow]:
    """Yield the row of each of *entries*; errors name the entry."""
    for index, entry in enumerate(check_iterable(entries, "entries")):
        try:
            yield memory_row(entry, embedding, execution_id)
        except InvalidInputError as error:
            raise _located(error, f"entries[{index}]") from error


async def in_chunks(rows: Iterable[MemoryRow]) -> AsyncIterator[list[MemoryRow]]:
    """Yield rows as many at a time as travel well as one statement; let others run between some and the next."""
    chunk: list[MemoryRow] = []
    characters = 0
    for number, row in enumerate(rows, 1):
        chunk.append(row)
        characters += len(row.content) + len(row.metadata) + len(row.sealed or b"")
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
        if number % _ROWS_AT_A_TIME == 0:
            await asyncio.sleep(0)
    if chunk:
        yield chunk


def _located(error: InvalidInputError, place: str) -> InvalidInputError:
    field = place if error.field == "entry" else f"{place}.{error.field}"
    if isinstance(error, DimensionMismatchError):
        return DimensionMismatchError(error.expected, error.actual, field)
    return InvalidInputError(field, error.reason)


@dataclass(frozen=True, slots=True)
class UniqueRows:
    """
    Rows of which no two are equal, in the order of their keys.

    Attributes:
        keys: The key of each.
        positions: Where each stood first.
        copies: How often it was there.
    """

    rows: list[MemoryRow]
    keys: list[Key]
    positions: list[int]
    copies: list[int]

    def without(self, ids: Collection[str]) -> UniqueRows:
        """Return those whose id is not among *ids*."""
        kept = [index for index, row in enumerate(self.rows) if row.id not in ids]
        return UniqueRows(
            [self.rows[index] for index in kept],
            [self.keys[index] for index in kept],
            [self.positions[index] for index in kept],
            [self.copies[index] for index in kept],
        )


def unique_rows(rows: Sequence[MemoryRow], keys: Sequence[Key]) -> UniqueRows:
    """
    Return *rows* without their duplicates, ordered by key.

    Always in this order: two batches that share memories then wait for each other in one direction only.
    """
    # backwards, so that of equal keys the first position is the one that stays
    positions = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
    order = sorted(positions)
    places = [positions[key] for key in order]
    chosen = [rows[place] for place in places]
    if len(order) == len(keys):
        return UniqueRows(chosen, order, places, [1] * len(order))
    # Of equal rows the first stays, with the embedding of the first that has one. A write that is there twice under one
    # id is one write.
    equals: dict[Key, list[MemoryRow]] = {}
    for key, row in zip(keys, rows, strict=True):
        equals.setdefault(key, []).append(row)
    return UniqueRows(
        [_embedded_as(row, equals[key]) for key, row in zip(order, chosen, strict=True)],
        order,
        places,
        [len({row.id for row in equals[key]}) for key in order],
    )


def _embedded_as(row: MemoryRow, equals: Sequence[MemoryRow]) -> MemoryRow:
    other = row if row.embedding else next((each for each in equals if each.embedding), row)
    return row._replace(
        embedding=other.embedding, embedding_model=other.embedding_model, embedding_error=other.embedding_error
    )


def array_parameters(unique: UniqueRows) -> list[object]:
    """
    Return the parameters of the block `store_many` from its $3 on: the agent when it is one, then an array per column.

    A column that is its default in every row goes as an empty array.
    """
    columns: list[Sequence[Any]] = list(zip(*unique.rows, strict=True))
    agents = columns[1]
    agent_id = agents[0] if _is_all(agents, agents[0]) else None
    if agent_id is not None:
        columns[1] = ()
    spared = [
        () if _is_all(column, default) else column for column, default in zip(columns[4:], _DEFAULTS, strict=True)
    ]
    copies = () if _is_all(unique.copies, 1) else unique.copies
    return [agent_id, *columns[:4], *spared, copies, unique.positions]


def _is_all(column: Sequence[Any], value: object) -> bool:
    return column.count(value) == len(column)
