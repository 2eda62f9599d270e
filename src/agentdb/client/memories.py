"""The `agent_memories` table: storing, reading, finding."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack

from agentdb.client.executions import running_id
from agentdb.client.memory_hits import lexical_hit, memory_of, recent_hit
from agentdb.client.memory_rows import (
    Key,
    MemoryRow,
    UniqueRows,
    array_parameters,
    in_chunks,
    memory_key,
    memory_row,
    unique_rows,
)
from agentdb.client.queries import load_queries, write_out
from agentdb.client.resource import Resource, known_uuid
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import parse_uuid
from agentdb.models import Memory, MemoryEntry, SearchResult
from agentdb.validation import (
    check_flag,
    check_limit,
    check_number,
    check_offset,
    check_text,
    check_time,
    checked,
)

if TYPE_CHECKING:
    from uuid import UUID


__all__ = ["Memories", "MemoryChanges", "OnDuplicate", "SearchOptions"]

OnDuplicate = Literal["return", "raise"]

_SQL: Final = load_queries("memories")
_MAX_QUERY_CHARACTERS: Final = 20_000
_KEYED_VERSION: Final = "8"

Ids = dict[Key, str]
"""The id that a memory got, by its key."""


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


class SearchOptions(TypedDict, total=False):
    """What narrows a search; see `Memories.search`."""

    min_importance: float | None
    memory_type: str | None
    since: datetime | None
    until: datetime | None
    include_shared: bool


class Memories(Resource):
    """
    What agents remember.

    A living memory is neither superseded nor expired. One that equals a living one of the same agent in type, content
    and metadata is not stored again: the id of the one that is there comes back and its *store_count* rises.
    """

    async def store(self, entry: MemoryEntry, *, on_duplicate: OnDuplicate = "return") -> str:
        """
        Store one memory, in one round trip.

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
        """
        return (await self._store([self._row(entry)], _refuses(on_duplicate)))[0]

    async def store_many(
        self, entries: Iterable[MemoryEntry], *, on_duplicate: OnDuplicate = "return"
    ) -> builtins.list[str]:
        """
        Store any number of memories, in bounded memory when *entries* is a generator.

        1,000 rows (or 4,000,000 characters) travel as one statement, which is stored whole or not at all. An error
        leaves the statements before it stored; within `client.transaction()` all is undone. Of a list, every entry is
        checked before the first statement; of a generator, those of a statement before it.

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
        """
        refuses = _refuses(on_duplicate)
        chunks: Iterable[builtins.list[MemoryRow]] = in_chunks(entries, self._client.embedder)
        if isinstance(entries, Sequence):
            chunks = list(chunks)
        ids: builtins.list[str] = []
        for rows in chunks:
            ids += await self._store(rows, refuses)
        return ids

    async def get(self, memory_id: str, *, include_expired: bool = False, include_superseded: bool = False) -> Memory:
        """
        Return one memory, in one round trip.

        Raises:
            NotFoundError: No living memory has this id; expired and superseded ones count on request.
        """
        wanted = known_uuid("memory", memory_id)
        expired = check_flag(include_expired, "include_expired")
        superseded = check_flag(include_superseded, "include_superseded")
        rows = await self._fetch(_SQL["get"], wanted, expired, superseded)
        if not rows:
            raise NotFoundError("memory", memory_id)
        return memory_of(rows[0])

    async def list(
        self,
        agent_id: str,
        *,
        limit: int = 100,
        offset: int = 0,
        memory_type: str | None = None,
        min_importance: float | None = None,
        include_shared: bool = False,
        include_expired: bool = False,
        include_superseded: bool = False,
    ) -> builtins.list[Memory]:
        """
        Return an agent's own living memories, newest first by when they were stored.

        Args:
            agent_id: Whose memories; an unknown agent has none.
            limit: Most memories to return, 1 to 1000.
            offset: How many to skip, 0 or more.
            memory_type: Only those of this type.
            min_importance: Only those at least this important, in [0, 1].
            include_shared: Also those that other agents share with the organization.
            include_expired: Also those past their time.
            include_superseded: Also those that a newer one replaced.
        """
        sql, arguments = write_out(
            _SQL["list_with_shared" if check_flag(include_shared, "include_shared") else "list"],
            check_text(agent_id, "agent_id"),
            check_flag(include_expired, "include_expired"),
            check_flag(include_superseded, "include_superseded"),
            _type(memory_type),
            _importance(min_importance),
            check_limit(limit),
            check_offset(offset),
        )
        return [memory_of(row) for row in await self._fetch(sql, *arguments)]

    async def search(
        self,
        agent_id: str,
        query: str | None = None,
        *,
        limit: int = 10,
        min_importance: float | None = None,
        memory_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        include_shared: bool = True,
    ) -> SearchResult:
        """
        Return the living memories that fit *query* best, in one round trip.

        A memory fits when it holds any of the query's words in any form ("runs" finds "running"); more of them, and
        more often, ranks higher. Without a query: the newest.

        Args:
            agent_id: Whose memories; for an unknown agent, only what is shared with the organization.
            query: At most 20,000 characters; None for the newest. Nothing but stop words or punctuation finds nothing.
                Of a memory its first 200,000 characters count.
            limit: Most hits to return, 1 to 1000.
            min_importance: Only those at least this important, in [0, 1].
            memory_type: Only those of this type.
            since: Only what happened then or later; a naive time is taken as UTC.
            until: Only what happened before; a naive time is taken as UTC.
            include_shared: Also what other agents share with the organization.

        Returns:
            Hits, best first, ties by newest. Without a query the score is the recency.

        Raises:
            InvalidInputError: An argument is out of range, or *since* is after *until*.
        """
        words = None if query is None else check_text(query, "query", at_least=0, at_most=_MAX_QUERY_CHARACTERS)
        sql, arguments = write_out(
            _SQL["recent" if words is None else "search"],
            check_text(agent_id, "agent_id"),
            check_flag(include_shared, "include_shared"),
            _type(memory_type),
            _importance(min_importance),
            *_period(since, until),
            check_limit(limit),
            *(() if words is None else (words,)),
        )
        rows = await self._fetch(sql, *arguments)
        if words is None:
            now = datetime.now(UTC)
            return SearchResult(recent_hit(row, now) for row in rows)
        return SearchResult(lexical_hit(row) for row in rows)

    async def count(self, agent_id: str | None = None, *, memory_type: str | None = None) -> int:
        """Return how many memories live: those of one agent, or of the whole organization."""
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        rows = await self._fetch(_SQL["count"], agent, _type(memory_type))
        return int(rows[0]["count"])

    async def update(self, memory_id: str, **changes: Unpack[MemoryChanges]) -> Memory:
        """
        Change a living memory in place; a new content drops its embedding. `supersede` keeps the old version instead.

        Args:
            memory_id: The memory.
            changes: The fields to change, as in `MemoryEntry`.

        Raises:
            NotFoundError: No living memory has this id.
            ConflictError: The agent has another memory equal to what this one would become.
            InvalidInputError: A field does not exist or its value does not fit.
        """
        wanted = known_uuid("memory", memory_id)
        unknown = changes.keys() - MemoryChanges.__annotations__.keys()
        if unknown:
            raise InvalidInputError(min(unknown), "is not a field that can be changed.")
        async with self._client.transaction() as transaction:
            memories = transaction.memories
            current = await memories._lock(wanted)
            fields = {name: getattr(current, name) for name in MemoryChanges.__annotations__}
            entry = checked(MemoryEntry, agent_id=current.agent_id, id=current.id, **{**fields, **changes})
            row = memories._row(entry)
            # of the row all but id and agent, and what its embedding is
            rows = await memories._fetch(_SQL["update"], wanted, *row[2:10], row.occurred_at, row.expires_at)
        return memory_of(rows[0])

    async def supersede(self, memory_id: str, entry: MemoryEntry) -> str:
        """
        Store *entry* in the place of a memory, which is kept as history.

        Returns:
            The id of the new memory. When *entry* has an idempotency key or an id, a retry returns the same one.

        Raises:
            NotFoundError: No living memory has this id.
            ConflictError: *entry* equals the memory that it is to replace.
            InvalidInputError: *entry* is another agent's, or cannot be stored.
        """
        wanted = known_uuid("memory", memory_id)
        async with self._client.transaction() as transaction:
            memories = transaction.memories
            row = memories._row(entry)
            try:
                current = await memories._lock(wanted)
            except NotFoundError:
                earlier = await memories._replacement(wanted, row) if _names_its_write(entry) else None
                if earlier is None:
                    raise
                return earlier
            if current.agent_id != entry.agent_id:
                raise InvalidInputError("agent_id", "is not the agent whose memory is to be replaced.")
            (replacement,) = await memories._store([row], refuses_duplicates=False)
            if replacement == current.id:
                raise ConflictError("The memory equals the one that it is to replace.")
            await memories._execute(_SQL["supersede"], wanted, parse_uuid(replacement))
        return replacement

    async def delete(self, memory_id: str) -> bool:
        """
        Delete a memory together with the older versions that it superseded.

        Returns:
            Whether there was such a memory.
        """
        wanted = parse_uuid(memory_id)
        return wanted is not None and await self._execute(_SQL["delete"], wanted) > 0

    async def _lock(self, memory_id: UUID) -> Memory:
        rows = await self._fetch(_SQL["lock"], memory_id)
        if not rows:
            raise NotFoundError("memory", str(memory_id))
        return memory_of(rows[0])

    async def _replacement(self, memory_id: UUID, row: MemoryRow) -> str | None:
        """Return the id of the memory that superseded this one, if it equals *row*."""
        rows = await self._fetch(_SQL["get"], memory_id, True, True)
        newer = rows[0]["superseded_by"] if rows else None
        return newer if newer in await self._landed([newer] if newer else [], {row.key}) else None

    async def _landed(self, ids: Sequence[str], keys: Collection[Key]) -> builtins.list[str]:
        """Return those of *ids* that are there and equal one of *keys*."""
        found = await self._fetch(_SQL["hashes"], ids) if ids else []
        return [row["id"] for row in found if memory_key(row["agent_id"], row["content_hash"]) in keys]

    def _row(self, entry: MemoryEntry) -> MemoryRow:
        return memory_row(entry, self._client.embedder)

    async def _store(self, rows: Sequence[MemoryRow], refuses_duplicates: bool) -> builtins.list[str]:
        """Store *rows* with one statement and return their ids in order."""
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
        execution_id = running_id(self._client)
        if len(unique.rows) == 1:
            row = unique.rows[0]
            arguments = (refuses_duplicates, execution_id, *row, unique.copies[0])
            return {unique.keys[0]: (await self._fetch(_SQL["store"], *arguments, agent=row.agent_id))[0]["id"]}
        parameters = array_parameters(unique)
        try:
            there = await self._fetch(_SQL["store_many"], refuses_duplicates, execution_id, *parameters)
        except NotFoundError:
            raise await self._unknown_agents(row.agent_id for row in unique.rows) from None
        ids = _own_ids(unique)
        ids.update((memory_key(row["agent_id"], row["content_hash"]), row["id"]) for row in there)
        return ids


def _own_ids(unique: UniqueRows) -> Ids:
    return {key: row.id for key, row in zip(unique.keys, unique.rows, strict=True)}


def _names_its_write(entry: MemoryEntry) -> bool:
    return entry.idempotency_key is not None or entry.id is not None


def _refuses(on_duplicate: OnDuplicate) -> bool:
    if on_duplicate not in ("return", "raise"):
        raise InvalidInputError("on_duplicate", 'expected "return" or "raise".')
    return on_duplicate == "raise"


def _type(memory_type: str | None) -> str | None:
    return None if memory_type is None else check_text(memory_type, "memory_type", at_most=100)


def _importance(least: float | None) -> float | None:
    return None if least is None else check_number(least, "min_importance", 0, 1)


def _period(since: datetime | None, until: datetime | None) -> tuple[datetime | None, datetime | None]:
    start = check_time(since, "since")
    end = check_time(until, "until")
    if start is not None and end is not None and start > end:
        raise InvalidInputError("since", "is after until.")
    return start, end
