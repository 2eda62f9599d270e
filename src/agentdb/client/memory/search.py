"""Finding memories: by id, by time, by words, by meaning."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypedDict

from agentdb.client.memory.filters import Where
from agentdb.client.memory.hits import ranked_hit, recent_hit
from agentdb.client.memory.resource import MemoryResource
from agentdb.client.memory.retrieval import SearchWeights, index_name
from agentdb.client.memory.scope import MemoryScope
from agentdb.client.memory.vectors import dimensions_of, packed_vector
from agentdb.client.queries import Written, load_queries, row_offset, row_step, write_out
from agentdb.client.resource import known_uuid
from agentdb.errors import DimensionMismatchError, EmbeddingError, InvalidInputError, NotFoundError
from agentdb.models import Memory, SearchResult
from agentdb.moments import utc_now
from agentdb.validation import VectorLike, check_flag, check_limit, check_offset, check_text

if TYPE_CHECKING:
    from agentdb.client.memory.accesses import Accesses
    from agentdb.postgres.driver import Record

__all__ = ["MemorySearch", "Order", "SearchOptions"]

logger: Final = logging.getLogger("agentdb.client")

Order = Literal["newest", "most_important"]

_SQL: Final = load_queries("memories")
_SEARCH: Final = load_queries("memory_search")
_MAX_QUERY_CHARACTERS: Final = 20_000


class SearchOptions(TypedDict, total=False):
    """What a search is by, and what narrows it; see `MemorySearch.search`."""

    embedding: VectorLike | None
    embedding_model: str | None
    min_importance: float | None
    memory_type: str | None
    where: Where | None
    since: datetime | None
    until: datetime | None
    as_of: datetime | None
    include_shared: bool
    order: Order
    weights: SearchWeights | Mapping[str, Any] | None


class _Vector(NamedTuple):
    """A vector to search by, in pgvector's binary form."""

    packed: bytes
    model: str
    dimensions: int


class MemorySearch(MemoryResource):
    """What of `client.memories` reads."""

    async def get(self, memory_id: str, *, include_expired: bool = False, include_superseded: bool = False) -> Memory:
        """
        Return one memory, in one round trip.

        Args:
            memory_id: Its id.
            include_expired: Also if it is past its time.
            include_superseded: Also if a newer one replaced it.

        Raises:
            NotFoundError: No living memory has this id; expired and superseded ones count on request.
        """
        wanted = known_uuid("memory", memory_id)
        expired = check_flag(include_expired, "include_expired")
        superseded = check_flag(include_superseded, "include_superseded")
        rows = await self._fetch(_SQL["get"], wanted, expired, superseded)
        if not rows:
            raise NotFoundError("memory", memory_id)
        return self._memories(rows)[0]

    async def list(
        self,
        agent_id: str,
        *,
        limit: int = 100,
        offset: int = 0,
        memory_type: str | None = None,
        min_importance: float | None = None,
        where: Where | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
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
            where: Only those whose metadata this fits, as in `search`.
            since: Only what happened then or later; a naive time is taken as UTC.
            until: Only what happened before; a naive time is taken as UTC.
            as_of: Those that lived at that time, as in `search`.
            include_shared: Also those that other agents share with the organization.
            include_expired: Also those past their time.
            include_superseded: Also those that a newer one replaced.

        Raises:
            InvalidInputError: An argument is out of range, or *since* is after *until*.
        """
        scope = MemoryScope.of(
            check_text(agent_id, "agent_id"),
            self._seals,
            include_shared=include_shared,
            memory_type=memory_type,
            min_importance=min_importance,
            since=since,
            until=until,
            where=where,
            as_of=as_of,
        )
        sql, arguments = write_out(
            _SQL[scope.block("list")],
            *scope.parameters,
            check_flag(include_expired, "include_expired"),
            check_flag(include_superseded, "include_superseded"),
            row_step(check_limit(limit)),
            row_offset(check_offset(offset)),
        )
        return self._memories((await self._fetch(sql, *arguments))[:limit])

    async def history(self, memory_id: str) -> builtins.list[Memory]:
        """
        Return all versions of a memory, oldest first: what it superseded, itself, and what superseded it.

        Raises:
            NotFoundError: No memory has this id, or all of its versions have expired.
        """
        rows = await self._fetch(_SQL["history"], known_uuid("memory", memory_id))
        if not rows:
            raise NotFoundError("memory", memory_id)
        return self._memories(rows)

    async def count(
        self,
        agent_id: str | None = None,
        *,
        memory_type: str | None = None,
        min_importance: float | None = None,
        where: Where | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        include_shared: bool = False,
    ) -> int:
        """
        Return how many memories live: those of one agent, or of the whole organization; narrowed as by `list`.

        Args:
            agent_id: Whose memories; None: those of all agents.
            memory_type: Only those of this type.
            min_importance: Only those at least this important, in [0, 1].
            where: Only those whose metadata this fits, as in `search`.
            since: Only what happened then or later; a naive time is taken as UTC.
            until: Only what happened before; a naive time is taken as UTC.
            as_of: Those that lived at that time, as in `search`.
            include_shared: Also those that other agents share with the organization.

        Raises:
            InvalidInputError: An argument is out of range, or *since* is after *until*.
        """
        scope = MemoryScope.of(
            agent_id,
            self._seals,
            include_shared=include_shared,
            memory_type=memory_type,
            min_importance=min_importance,
            since=since,
            until=until,
            where=where,
            as_of=as_of,
        )
        sql, arguments = write_out(_SQL[scope.block("count")], *scope.parameters)
        return int((await self._fetch(sql, *arguments))[0]["count"])

    async def search(
        self,
        agent_id: str,
        query: str | None = None,
        *,
        embedding: VectorLike | None = None,
        limit: int = 10,
        min_importance: float | None = None,
        memory_type: str | None = None,
        where: Where | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        include_shared: bool = True,
        order: Order = "newest",
        weights: SearchWeights | Mapping[str, Any] | None = None,
        embedding_model: str | None = None,
    ) -> SearchResult:
        """
        Return the living memories that fit best, in one round trip.

        By words: a memory fits when it holds any of the query's words in any form ("runs" finds "running"); rare words
        count more, and a memory that holds more of them ranks higher. By meaning: the nearer its embedding, the higher.
        A client with an embedder does both, the query being embedded first. Being recent and being important then
        raise a score within bounds. `agentdb.client.memory.retrieval` has the formula, and `MemoryHit.parts` what a
        score is made of. Without a query and an embedding: the newest, or the most important.

        When the query cannot be embedded, its words are searched for, and the result's *embedding_error* says why.

        Args:
            agent_id: Whose memories; for an unknown agent, only what is shared with the organization.
            query: At most 20,000 characters, of which the 64 longest different words count. Nothing but stop words or
                punctuation finds nothing by words; nothing but white space finds nothing at all. Of a memory its first
                200,000 characters count.
            embedding: A vector of d finite numbers in place of the query's, d as the embedder has it, else 1 to 16,000.
            limit: Most hits to return, 1 to 1000.
            min_importance: Only those at least this important, in [0, 1].
            memory_type: Only those of this type.
            where: Only those whose metadata this fits: `{"key": value}` or `{"key": {"gte": 1, "lt": 5}}` with eq, ne,
                gt, gte, lt, lte, in, nin, exists, contains; combined by AND, OR, NOT. See
                `agentdb.client.memory.filters`.
            since: Only what happened then or later; a naive time is taken as UTC.
            until: Only what happened before; a naive time is taken as UTC.
            as_of: What lived at that time: stored by then and superseded later, if at all. What has expired by now is
                never found, and what `update` changed is found as it is now.
            include_shared: Also what other agents share with the organization.
            order: Without query and embedding: "newest" or "most_important".
            weights: What counts how much: a `SearchWeights`, or some of its fields as a mapping. A weight of 0 leaves
                words or meaning out.
            embedding_model: What made *embedding*; None: the client's embedder, else "unnamed". Memories whose
                embedding another model made are found by their words only.

        Returns:
            Hits, best first, ties by newest. *exact* is False when an approximate index was used (a scope of a few
            thousand memories is scanned, a larger one searched by the index of its model, if there is one) or a word
            is so frequent that not all that hold it were looked at. In a hybrid search both arms then looked at all;
            how far cosines are stretched depends on the candidates, of which more limit makes more.

        Raises:
            InvalidInputError: An argument is out of range, or *since* is after *until*.
            DimensionMismatchError: *embedding* has another length than the client's embedder makes.
        """
        words = None if query is None else check_text(query, "query", at_least=0, at_most=_MAX_QUERY_CHARACTERS)
        weighing = SearchWeights.of(weights)
        scope = MemoryScope.of(
            check_text(agent_id, "agent_id"),
            self._seals,
            include_shared=include_shared,
            memory_type=memory_type,
            min_importance=min_importance,
            since=since,
            until=until,
            where=where,
            as_of=as_of,
        )
        most = check_limit(limit)
        vector = None if embedding is None else self._vector(embedding, embedding_model)
        by_importance = _is_by_importance(order)
        if words is None and vector is None:
            return await self._recent(scope, most, weighing, by_importance=by_importance)
        if vector is None and not (words or "").strip():
            return SearchResult()
        error = None
        if vector is None and weighing.semantic > 0 and words is not None:
            vector, error = await self._embedded_query(words)
        if weighing.semantic == 0 and words is not None:
            vector = None
        if weighing.lexical == 0 and vector is not None:
            words = None
        return await self._ranked(scope, most, weighing, words, vector, error)

    async def _recent(
        self, scope: MemoryScope, limit: int, weights: SearchWeights, *, by_importance: bool
    ) -> SearchResult:
        sql, arguments = write_out(_SQL[scope.block("recent")], *scope.parameters, by_importance, row_step(limit))
        rows = (await self._fetch(sql, *arguments))[:limit]
        now = utc_now()
        accesses = self._recalled(rows)
        seals = self._seals
        return SearchResult(recent_hit(row, accesses, seals, now, weights, by_importance=by_importance) for row in rows)

    async def _ranked(
        self,
        scope: MemoryScope,
        limit: int,
        weights: SearchWeights,
        words: str | None,
        vector: _Vector | None,
        error: str | None,
    ) -> SearchResult:
        large = self._client.gathering.large_scopes
        most = row_step(limit)
        kind = (scope, vector and vector[1:], weights, most)
        is_hybrid = words is not None and vector is not None
        lexical, semantic, *boosts = weights.as_parameters()
        candidates = max(20, 2 * most) if is_hybrid else most
        parameters: tuple[Any, ...] = (*scope.parameters, most, candidates, words, *boosts)
        if vector is not None:
            index = index_name(vector.model, vector.dimensions)
            is_even = weights.recency == weights.importance == 0 or large.is_even(kind)
            indexed = _indexed_candidates(most, is_even=is_even, is_hybrid=is_hybrid)
            parameters += (vector.packed, Written(vector.model), vector.dimensions, index, kind in large, indexed)
        if is_hybrid:
            parameters += (lexical, semantic)
        if words is not None:
            parameters += (weights.least_share,)
        block = "words" if vector is None else scope.block("hybrid" if is_hybrid else "near")
        sql, arguments = write_out(_SEARCH[block], *parameters)
        rows = (await self._fetch(sql, *arguments))[:limit]
        accesses = self._recalled(rows)
        if rows and rows[0]["is_indexed"] and kind not in large:
            large.add(kind, is_even=rows[0]["is_even"])
        seals = self._seals
        hits = (ranked_hit(row, accesses, seals, has_words=words is not None) for row in rows)
        return SearchResult(hits, exact=not rows or rows[0]["is_exact"], embedding_error=error)

    def _recalled(self, rows: Sequence[Record]) -> Accesses:
        """Count a recall of each row's memory; return what is counted so far."""
        accesses = self._accesses
        accesses.note([row["id"] for row in rows])
        return accesses

    async def _embedded_query(self, query: str) -> tuple[_Vector | None, str | None]:
        embedding = self._embedding
        if embedding is None:
            return None, None
        try:
            packed = await embedding.embed_one(query)
        except EmbeddingError as error:
            logger.warning("a query could not be embedded; searching by its words", extra={"model": embedding.model})
            return None, str(error)
        return _Vector(packed, embedding.model, embedding.dimensions), None

    def _vector(self, values: VectorLike, model: str | None) -> _Vector:
        packed = packed_vector(values, "embedding")
        dimensions = dimensions_of(packed)
        embedding = self._embedding
        if model is not None:
            check_text(model, "embedding_model")
        if embedding is None or model not in (None, embedding.model):
            return _Vector(packed, model or "unnamed", dimensions)
        if dimensions != embedding.dimensions:
            raise DimensionMismatchError(embedding.dimensions, dimensions)
        return _Vector(packed, embedding.model, dimensions)


def _indexed_candidates(limit: int, *, is_even: bool, is_hybrid: bool) -> int:
    """
    Return how many memories a search takes from the index, which knows nothing of boosts, for *limit* hits.

    Each costs. Where boosts were seen to tell hardly any memories apart, some more than are wanted will do. Else four
    times as many: of 788 turns of dialogues with importances and ages all over, these hold 97 of 100 that a scan finds.
    """
    if is_even:
        return limit + max(1, limit // (4 if is_hybrid else 10))
    return min(4 * limit, limit + 1000)


def _is_by_importance(order: Order) -> bool:
    if order not in ("newest", "most_important"):
        raise InvalidInputError("order", 'expected "newest" or "most_important".')
    return order == "most_important"
