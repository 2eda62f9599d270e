"""Storing memories, and changing, replacing and deleting them."""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict, Unpack

from agentdb.client.execution.running import note_memory, running_id
from agentdb.client.flow import Breath
from agentdb.client.memory.resource import MemoryResource
from agentdb.client.memory.rows import (
    Key,
    MemoryRow,
    UniqueRows,
    array_parameters,
    in_chunks,
    memory_key,
    memory_row,
    rows_of,
    unique_rows,
    with_embedding,
)
from agentdb.client.queries import load_queries
from agentdb.client.resource import in_halves, known_uuid
from agentdb.errors import (
    ConflictError,
    EmbeddingError,
    InvalidInputError,
    NotFoundError,
)
from agentdb.ids import parse_uuid
from agentdb.models import Memory, MemoryEntry
from agentdb.validation import checked

if TYPE_CHECKING:
    from uuid import UUID

    from agentdb.client.memory.embedding import Embedding
    from agentdb.postgres.driver import Record

__all__ = ["MemoryChanges", "MemoryStore", "OnDuplicate"]

logger: Final = logging.getLogger("agentdb.client")

OnDuplicate = Literal["return", "raise"]

_SQL: Final = load_queries("memories")
_KEYED_VERSION: Final = "8"

Ids = dict[Key, str]
"""The id that a memory got, by its key."""


class _Embedded(NamedTuple):
    """A content and its embedding, or why it has none."""

    content: str
    vector: bytes | None
    error: str | None


class MemoryChanges(TypedDict, total=False):
    """What `Memories.update` may change."""

    content: str
    metadata: dict[str, Any]
    importance: float
    memory_type: str
    visibility: Literal["agent", "organization"]
    sensitive: bool
    pinned: bool
    occurred_at: datetime
    expires_at: datetime | None


class MemoryStore(MemoryResource):
    """What of `client.memories` writes single memories, or many at once."""

    async def store(self, entry: MemoryEntry, *, on_duplicate: OnDuplicate = "return") -> str:
        """
        Store one memory, in one round trip.

        Calls of one organization that run at the same time travel together: while one is on its way the next ones
        gather and go as one statement. Each is answered when its own row is committed, and a row that cannot be stored
        fails its own call alone. A client with an embedder embeds the content first; when that fails, the memory is
        stored all the same, marked by *embedding_error*, for `reembed` to repair.

        A sensitive memory is encrypted where the client has a key, and the embedder does not see it unless
        AGENTDB_EMBED_SENSITIVE is set; an embedding that the entry brings is stored.

        Args:
            entry: The memory.
            on_duplicate: When an equal memory lives: "return" its id, or "raise" ConflictError.

        Returns:
            The memory's id: that of the equal one if there is one.

        A write that is retried with the same idempotency key, or the same id, lands once, returns the same id and is
        not counted again, also when its memory was superseded since. The key is kept as the memory's id and nowhere
        else, which has its limits. A write that found an equal memory under another id leaves no trace of its key: the
        retry returns the same id, but raises *store_count* again. A retry after the memory was deleted, or after it
        expired and an equal one took its place, is a new write. A retry after `update` changed what makes memories
        equal is a ConflictError.

        Raises:
            NotFoundError: The agent is not registered.
            ConflictError: Another memory has the entry's id or key; an equal one lives and *on_duplicate* is "raise".
            InvalidInputError: *entry* cannot be stored.
            DimensionMismatchError: Its embedding has another length than the client's embedder makes.
            EncryptionError: It is sensitive, there is no key, and AGENTDB_REQUIRE_ENCRYPTION is set.
        """
        refuses_duplicates = _refuses(on_duplicate)
        row = await self._ready(entry)
        if refuses_duplicates or self._client.in_transaction:
            (memory_id,) = await self._store([row], refuses_duplicates)
        else:
            self._note_sent(_SQL["store"])
            memory_id = await self._client.gathering.bursts.put(row)
        note_memory(self._client, "store", [memory_id])
        return memory_id

    async def store_many(
        self, entries: Iterable[MemoryEntry], *, on_duplicate: OnDuplicate = "return"
    ) -> builtins.list[str]:
        """
        Store any number of memories, in bounded memory when *entries* is a generator.

        1,000 rows (or 4,000,000 characters) travel as one statement, which is stored whole or not at all. An error
        leaves the statements before it stored; within `client.transaction()` all is undone. Of a list, every entry is
        checked before the first statement; of a generator, those of a statement before it. Contents are embedded as in
        `store`; once the embedder has failed for all of a statement, the rest is stored without trying.

        Args:
            entries: The memories, of one or several agents. Equal ones among them are stored once: with the id, or
                key, of the first.
            on_duplicate: When an equal memory lives: "return" its id, or "raise" ConflictError.

        Returns:
            The id for each entry, in the order given.

        Raises:
            NotFoundError: An agent is not registered.
            ConflictError: As for `store`.
            InvalidInputError: An entry cannot be stored; the field names it, as in "entries[3].metadata.x".
            EncryptionError: As for `store`.
        """
        refuses = _refuses(on_duplicate)
        embedding, failed = self._embedding, ""
        chunks = in_chunks(map(self._storable, rows_of(entries, embedding, running_id(self._client))))
        if isinstance(entries, Sequence):
            chunks = _again([chunk async for chunk in chunks])
        ids: builtins.list[str] = []
        async for chunk in chunks:
            rows = chunk
            if failed:
                rows = [with_embedding(row, None, error=failed) if self._lacks_embedding(row) else row for row in rows]
            elif embedding is not None:
                rows, failed = await self._all_embedded(rows, embedding)
            stored = await self._store(await self._all_sealed(rows), refuses)
            note_memory(self._client, "store", stored)
            ids += stored
        return ids

    async def update(self, memory_id: str, **changes: Unpack[MemoryChanges]) -> Memory:
        """
        Change a living memory in place; a new content gets an embedding of its own, or has none without an embedder.
        `supersede` keeps the old version instead.

        What becomes sensitive is encrypted, and loses its embedding unless AGENTDB_EMBED_SENSITIVE is set; what is
        sensitive no more becomes plain text, and gets an embedding. Every change encrypts with the newest key.

        Args:
            memory_id: The memory.
            changes: The fields to change, as in `MemoryEntry`.

        Raises:
            NotFoundError: No living memory has this id.
            ConflictError: The agent has another memory equal to what this one would become.
            InvalidInputError: A field does not exist or its value does not fit.
            EncryptionError: The memory is encrypted and there is no key that opens it; or as for `store`.
        """
        wanted = known_uuid("memory", memory_id)
        unknown = changes.keys() - MemoryChanges.__annotations__.keys()
        if unknown:
            raise InvalidInputError(min(unknown), "is not a field that can be changed.")
        # before anything is locked, since it may take a while
        made = None if self._embedding is None else await self._embedding_of_change(wanted, changes, self._embedding)
        async with self._client.transaction() as transaction:
            memories = transaction.memories
            record = await memories._lock(wanted)
            (current,) = memories._memories([record])
            fields = {name: getattr(current, name) for name in MemoryChanges.__annotations__}
            entry = checked(MemoryEntry, agent_id=current.agent_id, id=current.id, **{**fields, **changes})
            row = memories._row(entry)
            if made is not None and made.content == entry.content and self._embeds(sensitive=entry.sensitive):
                row = with_embedding(row, self._embedding, made.vector, made.error)
            is_new = row.embedding is not None and current.embedding_model is None
            is_hidden = record["sealed"] is None and not self._embeds(sensitive=entry.sensitive)
            keeps_embedding = entry.content == current.content and not is_new and not is_hidden
            row = memories._sealed(row)
            await memories._rekey([row])
            # of the row all but id and agent, and what does not change
            rows = await memories._fetch(
                _SQL["update"],
                wanted,
                *row[2:10],
                row.occurred_at,
                row.expires_at,
                row.embedding,
                row.embedding_model,
                row.embedding_error,
                row.sealed,
                row.lookups,
                keeps_embedding,
            )
        note_memory(self._client, "update", [str(wanted)])
        return self._memories(rows)[0]

    async def supersede(self, memory_id: str, entry: MemoryEntry) -> str:
        """
        Store *entry* in the place of a memory, which is kept as history.

        Returns:
            The id of the new memory. When *entry* has an idempotency key or an id, a retry returns the same one.

        Raises:
            NotFoundError: No living memory has this id.
            ConflictError: *entry* equals the memory that it is to replace.
            InvalidInputError: *entry* is another agent's, or cannot be stored.
            EncryptionError: As for `store`.
        """
        wanted = known_uuid("memory", memory_id)
        row = await self._ready(entry)
        async with self._client.transaction() as transaction:
            memories = transaction.memories
            try:
                current = await memories._lock(wanted)
            except NotFoundError:
                earlier = await memories._replacement(wanted, row) if _names_its_write(entry) else None
                if earlier is None:
                    raise
                return earlier
            if current["agent_id"] != entry.agent_id:
                raise InvalidInputError("agent_id", "is not the agent whose memory is to be replaced.")
            (replacement,) = await memories._store([row], refuses_duplicates=False)
            if replacement == current["id"]:
                raise ConflictError("The memory equals the one that it is to replace.")
            await memories._execute(_SQL["supersede"], wanted, parse_uuid(replacement))
        note_memory(self._client, "supersede", [replacement, str(wanted)])
        return replacement

    async def delete(self, memory_id: str) -> bool:
        """
        Delete a memory together with the older versions that it superseded.

        Returns:
            Whether there was such a memory.

        Raises:
            InvalidInputError: *memory_id* is no id.
        """
        wanted = parse_uuid(memory_id)
        deleted = 0 if wanted is None else await self._execute(_SQL["delete"], wanted)
        if deleted:
            note_memory(self._client, "delete", [str(wanted)], deleted)
        return deleted > 0

    async def _lock(self, memory_id: UUID) -> Record:
        rows = await self._fetch(_SQL["lock"], memory_id)
        if not rows:
            raise NotFoundError("memory", str(memory_id))
        return rows[0]

    async def _replacement(self, memory_id: UUID, row: MemoryRow) -> str | None:
        """Return the id of the memory that superseded this one, if it equals *row*."""
        await self._rekey([row])
        rows = await self._fetch(_SQL["get"], memory_id, True, True)
        newer = rows[0]["superseded_by"] if rows else None
        return newer if newer in await self._landed([newer] if newer else [], {row.key}) else None

    async def _landed(self, ids: Sequence[str], keys: Collection[Key]) -> builtins.list[str]:
        """Return those of *ids* that are there and equal one of *keys*."""
        found = await self._fetch(_SQL["hashes"], ids) if ids else []
        return [row["id"] for row in found if memory_key(row["agent_id"], row["content_hash"]) in keys]

    def _row(self, entry: MemoryEntry) -> MemoryRow:
        return self._storable(memory_row(entry, self._embedding, running_id(self._client)))

    async def _ready(self, entry: MemoryEntry) -> MemoryRow:
        """Return the row of *entry* as it is sent: with its embedding, and sealed if it is sensitive."""
        row = self._row(entry)
        if self._embedding is not None and self._lacks_embedding(row):
            row = with_embedding(row, self._embedding, *await self._made(row.content, self._embedding))
        return self._sealed(row)

    async def _all_sealed(self, rows: Sequence[MemoryRow]) -> builtins.list[MemoryRow]:
        """Return *rows*, the sensitive ones sealed; let others run between some and the next."""
        done, breath = [], Breath()
        for row in rows:
            done.append(self._sealed(row))
            if row.sensitive:
                await breath.take()
        return done

    # Embedding.

    def _lacks_embedding(self, row: MemoryRow) -> bool:
        return row.embedding is None and self._embeds(sensitive=row.sensitive)

    async def _embedding_of_change(
        self, memory_id: UUID, changes: MemoryChanges, embedding: Embedding
    ) -> _Embedded | None:
        """Return the content that a change has to be embedded with, and its embedding; None if it needs none."""
        has_keys = self._client.key_ring is not None
        if "content" not in changes and not (has_keys and changes.get("sensitive") is False):
            return None
        content, sensitive = changes.get("content"), changes.get("sensitive")
        if has_keys and (content is None or sensitive is None):
            (current,) = self._memories(await self._living(memory_id))
            if content is None and current.embedding_model is not None:
                return None
            content = current.content if content is None else content
            sensitive = current.sensitive if sensitive is None else sensitive
        if not isinstance(content, str) or not self._embeds(sensitive=bool(sensitive)):
            return None
        checked(MemoryEntry, agent_id="-", content=content)
        return _Embedded(content, *await self._made(content, embedding))

    async def _living(self, memory_id: UUID) -> Sequence[Record]:
        rows = await self._fetch(_SQL["get"], memory_id, False, False)
        if not rows:
            raise NotFoundError("memory", str(memory_id))
        return rows

    async def _made(self, content: str, embedding: Embedding) -> tuple[bytes | None, str | None]:
        """Return the embedding of *content*, or else why there is none."""
        try:
            return await embedding.embed_one(content), None
        except EmbeddingError as error:
            logger.warning("a memory is stored without its embedding", extra={"model": embedding.model})
            return None, str(error)

    async def _all_embedded(
        self, rows: Sequence[MemoryRow], embedding: Embedding
    ) -> tuple[builtins.list[MemoryRow], str]:
        """Return the rows with their embeddings, and why all of them failed, "" if they did not."""
        missing = [row for row in rows if self._lacks_embedding(row)]
        made = await asyncio.gather(*(self._made(row.content, embedding) for row in missing))
        results = iter(made)
        done = [with_embedding(row, embedding, *next(results)) if self._lacks_embedding(row) else row for row in rows]
        failed = bool(made) and all(vector is None for vector, _ in made)
        return done, (made[-1][1] or "") if failed else ""

    # Sending.

    async def store_rows(self, rows: Sequence[MemoryRow]) -> Sequence[str | BaseException]:
        """Store rows of several callers, as `store` has them made; return for each its id, or what is wrong with it."""
        results: builtins.list[str | BaseException] = []
        async for chunk in in_chunks(rows):
            results += await in_halves(chunk, lambda rows: self._store(rows, refuses_duplicates=False))
        return results

    async def _store(self, rows: Sequence[MemoryRow], refuses_duplicates: bool) -> builtins.list[str]:
        """Store *rows* with one statement and return their ids in order; they are sealed if they have to be."""
        await self._rekey(rows)
        keys = [row.key for row in rows]
        unique = unique_rows(rows, keys)
        if refuses_duplicates and len(unique.rows) < len(rows):
            raise ConflictError("Two of the entries are equal.", constraint="agent_memories_living_content_key")
        try:
            ids = await self._insert(unique, refuses_duplicates)
        except ConflictError as error:
            # Perhaps an earlier try of this very write landed, and its memory was superseded since. In a transaction
            # the error has undone everything anyway.
            if error.constraint != "agent_memories_pkey" or self._client.in_transaction:
                raise
            ids = await self._insert_rest(unique, refuses_duplicates, error)
        ids.update(await self._retries(unique, ids))
        return [ids[key] for key in keys]

    async def _retries(self, unique: UniqueRows, ids: Ids) -> Ids:
        """Return the own ids of those rows that an equal memory answered for though they had landed before."""
        elsewhere = {
            row.id: key
            for key, row in zip(unique.keys, unique.rows, strict=True)
            if ids[key] != row.id and row.id[14] == _KEYED_VERSION
        }
        landed = await self._landed(list(elsewhere), elsewhere.values()) if elsewhere else []
        return {elsewhere[id]: id for id in landed}

    async def _insert_rest(self, unique: UniqueRows, refuses_duplicates: bool, conflict: ConflictError) -> Ids:
        """Store those of the rows that are not there under their own id; raise *conflict* if that explains nothing."""
        found = await self._fetch(_SQL["hashes"], [row.id for row in unique.rows])
        landed = {row["id"]: memory_key(row["agent_id"], row["content_hash"]) for row in found}
        if not landed or any(landed.get(row.id, row.key) != row.key for row in unique.rows):
            raise conflict
        rest = unique.without(landed.keys())
        stored = await self._insert(rest, refuses_duplicates) if rest.rows else {}
        return _own_ids(unique) | stored

    async def _insert(self, unique: UniqueRows, refuses_duplicates: bool) -> Ids:
        """Send the rows, again if they collided with another transaction; return the id of each by its key."""
        return await self._retried(lambda: self._send(unique, refuses_duplicates))

    async def _send(self, unique: UniqueRows, refuses_duplicates: bool) -> Ids:
        if len(unique.rows) == 1:
            row = unique.rows[0]
            arguments = (refuses_duplicates, *row, unique.copies[0])
            return {unique.keys[0]: (await self._fetch(_SQL["store"], *arguments, agent=row.agent_id))[0]["id"]}
        parameters = array_parameters(unique)
        try:
            there = await self._fetch(_SQL["store_many"], refuses_duplicates, *parameters)
        except NotFoundError:
            raise await self._unknown_agents(row.agent_id for row in unique.rows) from None
        ids = _own_ids(unique)
        ids.update((memory_key(row["agent_id"], row["content_hash"]), row["id"]) for row in there)
        return ids


async def _again(chunks: Iterable[builtins.list[MemoryRow]]) -> AsyncIterator[builtins.list[MemoryRow]]:
    for chunk in chunks:
        yield chunk


def _own_ids(unique: UniqueRows) -> Ids:
    return {key: row.id for key, row in zip(unique.keys, unique.rows, strict=True)}


def _names_its_write(entry: MemoryEntry) -> bool:
    return entry.idempotency_key is not None or entry.id is not None


def _refuses(on_duplicate: OnDuplicate) -> bool:
    if on_duplicate not in ("return", "raise"):
        raise InvalidInputError("on_duplicate", 'expected "return" or "raise".')
    return on_duplicate == "raise"
