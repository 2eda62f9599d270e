"""The life of memories as a whole: forgetting, sweeping, counting recalls, embedding anew."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.client.execution.running import note_memory
from agentdb.client.memory.accesses import Access
from agentdb.client.memory.filters import needs_keys, says_anything
from agentdb.client.memory.resource import MemoryResource
from agentdb.client.memory.scope import MemoryScope
from agentdb.client.memory.sealing import open_memory
from agentdb.client.queries import load_queries, write_out
from agentdb.errors import ConfigurationError, EmbeddingError, InvalidInputError
from agentdb.ids import NIL_UUID
from agentdb.validation import check_count, check_flag, check_text, check_time, storable_text

if TYPE_CHECKING:
    from agentdb.client.memory.embedding import Embedding
    from agentdb.client.memory.filters import Where
    from agentdb.postgres.driver import Record

__all__ = ["MemoryUpkeep", "Progress", "Reembedded", "Swept"]

Progress = Callable[[int, int], object]
"""Hears how much is done, and of how much."""

_SQL: Final = load_queries("memories")
_SWEPT_AT_ONCE: Final = 10_000
_MAX_ERROR_CHARACTERS: Final = 200


class Swept(NamedTuple):
    """What a sweep deleted."""

    expired: int
    """Memories past their time."""
    surplus: int
    """Memories beyond the *max_memories* of their agents."""


class Reembedded(NamedTuple):
    """What became of memories that were to be embedded."""

    embedded: int
    """How many have a new embedding."""
    failed: int
    """How many could not be embedded; those without an older embedding have an *embedding_error*."""


class MemoryUpkeep(MemoryResource):
    """What of `client.memories` works on many memories at once."""

    async def forget(
        self,
        where: Where | None = None,
        *,
        agent_id: str | None = None,
        memory_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        stored_before: datetime | None = None,
        dry_run: bool = False,
    ) -> int:
        """
        Delete memories for good, in one statement: all that fit, or none.

        Pinned, expired and superseded ones are deleted too, and with each the older versions that it superseded.

        Args:
            where: Only those whose metadata this fits, as in `search`; encrypted ones by equality only.
            agent_id: Only this agent's; None: the whole organization's, which takes a *where*.
            memory_type: Only those of this type.
            since: Only what happened then or later; a naive time is taken as UTC.
            until: Only what happened before; a naive time is taken as UTC.
            stored_before: Only what was stored before; a naive time is taken as UTC.
            dry_run: Delete nothing, only count.

        Returns:
            How many were, or would be, deleted, older versions included.

        Raises:
            InvalidInputError: There is neither a *where* nor an *agent_id*, or an argument is out of range.
            EncryptionError: The client lacks the key of a memory that *where* may fit; nothing is deleted.
        """
        if agent_id is None and not says_anything(where):
            raise InvalidInputError(
                "where", "is missing, and so is agent_id: that would forget everything of the organization."
            )
        scope = MemoryScope.of(agent_id, self._seals, memory_type=memory_type, since=since, until=until, where=where)
        ring = self._client.key_ring
        keys = [key_id.encode() for key_id in ring.ids] if ring else []
        rest = check_time(stored_before, "stored_before"), keys if needs_keys(where) else None
        if check_flag(dry_run, "dry_run"):
            sql, arguments = write_out(_SQL[scope.block("forgettable")], *scope.parameters[:-1], *rest)
            count = int((await self._fetch(sql, *arguments))[0]["count"])
            return count or await self._nothing(scope, *rest)
        sql, arguments = write_out(_SQL[scope.block("forget")], *scope.parameters[:-1], *rest)
        deleted = await self._retried(lambda: self._execute(sql, *arguments)) or await self._nothing(scope, *rest)
        note_memory(self._client, "forget", [], deleted)
        return deleted

    async def _nothing(self, scope: MemoryScope, stored_before: datetime | None, keys: Sequence[bytes] | None) -> int:
        """Return 0; EncryptionError if nothing was forgotten because a memory of the scope does not open."""
        if keys is not None:
            everything = replace(scope, path=None, lookup_path=None)
            sql, arguments = write_out(_SQL["closed"], *everything.parameters[:-1], stored_before, keys)
            for row in await self._fetch(sql, *arguments):
                open_memory(row["id"], row["sealed"], self._seals)
        return 0

    async def sweep(self, *, agent_id: str | None = None, dry_run: bool = False) -> Swept:
        """
        Delete what has expired, and of agents that have *max_memories* the least valuable of what is too much.

        How valuable a memory is: half its importance, three tenths how recently it happened or was recalled (half-life
        30 days), two tenths how often it was recalled, n / (n + 1). Pinned ones stay. In steps of 10,000, each a
        transaction of its own: a sweep that is broken off has done a part, and the next one does the rest.

        Args:
            agent_id: Only this agent's memories; None: the organization's.
            dry_run: Delete nothing, only count; older versions of what would be deleted are not counted.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        if check_flag(dry_run, "dry_run"):
            (row,) = await self._fetch(_SQL["sweepable"], None, agent)
            return Swept(row["expired"], row["surplus"])
        return Swept(await self._sweep(_SQL["sweep_expired"], agent), await self._sweep(_SQL["sweep_surplus"], agent))

    async def _sweep(self, sql: str, agent_id: str | None) -> int:
        swept = 0
        while done := await self._retried(lambda: self._execute(sql, _SWEPT_AT_ONCE, agent_id)):
            swept += done
        return swept

    async def reembed(
        self,
        agent_id: str | None = None,
        *,
        only_missing: bool = False,
        batch_size: int = 256,
        progress: Progress | None = None,
    ) -> Reembedded:
        """
        Embed with the client's embedder what another model embedded, or nothing did.

        Repairs what was stored while the embedder failed, and moves memories to a new model. Superseded ones move too.
        Encrypted ones are left alone unless AGENTDB_EMBED_SENSITIVE is set.
        Each step is a transaction of its own; a call that was broken off is resumed by the next, which finds what is
        left. Meanwhile everything stays readable: a search by meaning finds what its own model has embedded so far,
        one by words everything, and a client that still has the old embedder finds what is not moved yet.

        Args:
            agent_id: Only this agent's memories; None: the organization's.
            only_missing: Only those without any embedding.
            batch_size: Memories per step, 1 to 10,000.
            progress: Called after each step with how many are done and how many there were to do.

        Raises:
            ConfigurationError: The client has no embedder.
            EmbeddingError: The embedder does not answer, for none of a step; the steps before are kept.
            EncryptionError: A memory is encrypted, is to be embedded, and there is no key that opens it.
        """
        embedding = self._embedding
        if embedding is None:
            raise ConfigurationError("embedder", "the client has none: PrismaAgentClient(embedder=…).")
        size = check_count(batch_size, "batch_size", 10_000)
        what = (
            None if agent_id is None else check_text(agent_id, "agent_id"),
            embedding.model,
            embedding.dimensions,
            check_flag(only_missing, "only_missing"),
            self._client.settings.embed_sensitive,
        )
        total = int((await self._fetch(_SQL["to_embed_count"], NIL_UUID, *what))[0]["count"])
        after, embedded, failed = NIL_UUID, 0, 0
        while rows := await self._fetch(_SQL["to_embed"], after, *what, size):
            after = rows[-1]["id"]
            done = await self._reembed(rows, embedding)
            embedded += done.embedded
            failed += done.failed
            if progress is not None:
                progress(embedded + failed, max(total, embedded + failed))
        return Reembedded(embedded, failed)

    async def _reembed(self, rows: Sequence[Record], embedding: Embedding) -> Reembedded:
        seals = self._seals
        contents = [
            row["content"] if row["sealed"] is None else open_memory(row["id"], row["sealed"], seals).content
            for row in rows
        ]
        made = await asyncio.gather(*map(embedding.embed_one, contents), return_exceptions=True)
        errors = [outcome for outcome in made if isinstance(outcome, BaseException)]
        for error in errors:
            if not isinstance(error, EmbeddingError) or (len(errors) == len(made) and error.is_transient):
                raise error
        vectors = [None if isinstance(outcome, BaseException) else outcome for outcome in made]
        reasons = [
            storable_text(str(outcome), _MAX_ERROR_CHARACTERS)[:255] if isinstance(outcome, BaseException) else None
            for outcome in made
        ]
        columns = (*([row[name] for row in rows] for name in ("id", "content", "sealed")), vectors, reasons)
        await self._retried(lambda: self._execute(_SQL["embedded"], embedding.model, *columns))
        return Reembedded(len(made) - len(errors), len(errors))

    async def count_recalls(self, memory_ids: Sequence[str], accesses: Sequence[Access]) -> builtins.list[str]:
        """
        Add recalls to the counts of memories; searches have it done for them a moment later.

        Returns:
            The ids of memories that somebody else is writing just now, and that were not counted.
        """
        columns: tuple[Any, ...] = (
            list(memory_ids),
            [access.times for access in accesses],
            [access.last_at for access in accesses],
        )
        return [row["id"] for row in await self._retried(lambda: self._fetch(_SQL["accessed"], *columns))]
