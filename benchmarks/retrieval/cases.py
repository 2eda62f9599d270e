"""The operations, and what each is when it is written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from agentdb import MemoryEntry
from agentdb.postgres.vector import pack_vector
from benchmarks.harness import Case
from benchmarks.retrieval.data import DIMENSIONS, MODEL, Fact
from benchmarks.retrieval.database import AGENT, ORGANIZATION, WRITER, RetrievalDatabase

__all__ = ["make_cases", "make_search_cases"]

# What a Memory holds.
_COLUMNS = """id, agent_id, content, metadata, importance, memory_type, visibility, sensitive, pinned, embedding_model,
    embedding_error, execution_id, created_at, occurred_at, expires_at, superseded_by_id, store_count, access_count,
    last_accessed_at"""
_LIVING = "superseded_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
_SCOPE = f"organization_id = $1 AND (agent_id = $2 OR visibility = 'organization') AND {_LIVING}"
_NEAR = f"""SELECT {_COLUMNS}, embedding <=> $3 AS distance FROM agent_memories
    WHERE {_SCOPE} AND embedding_model = '{MODEL}' AND embedding_dimensions = {DIMENSIONS}
    ORDER BY l2_normalize(embedding)::halfvec({DIMENSIONS}) <=> l2_normalize($3)::halfvec({DIMENSIONS}) LIMIT 10"""
_WORDS = f"""SELECT {_COLUMNS}, ts_rank(content_tsv, to_tsquery('english', $3)) AS rank FROM agent_memories
    WHERE {_SCOPE} AND content_tsv @@ to_tsquery('english', $3) ORDER BY rank DESC LIMIT 10"""
_FIELDS = ("organization_id", "id", "agent_id", "content", "content_hash", "metadata", "importance", "memory_type")
_STORE = f"INSERT INTO agent_memories ({', '.join(_FIELDS)}) VALUES ($1, $2, $3, $4, $5, $6, 0.5, 'general')"
_STORE_NEAR = f"""INSERT INTO agent_memories ({", ".join(_FIELDS)}, embedding, embedding_model)
    VALUES ($1, $2, $3, $4, $5, $6, 0.5, 'general', $7, '{MODEL}')"""
_MANY = f"""INSERT INTO agent_memories ({", ".join(_FIELDS)})
    SELECT $1, id, $2, content, hash, metadata::jsonb, 0.5, 'general'
    FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::text[]) AS given (id, content, hash, metadata)"""
_MANY_NEAR = f"""INSERT INTO agent_memories ({", ".join(_FIELDS)}, embedding, embedding_model)
    SELECT $1, id, $2, content, hash, metadata::jsonb, 0.5, 'general', embedding, '{MODEL}'
    FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::vector[])
        AS given (id, content, hash, metadata, embedding)"""
_EACH = 20


def make_search_cases(database: RetrievalDatabase) -> Iterator[Case]:
    """Make the cases that read, in the order of the table."""
    memories, raw, source = database.client.memories, database.raw, database.source

    def vector() -> Any:
        return source.vectors(1)[0]

    async def near(given: Any) -> Any:
        return await raw.fetch(_NEAR, ORGANIZATION, AGENT, given)

    async def worded(words: str) -> Any:
        return await raw.fetch(_WORDS, ORGANIZATION, AGENT, words.replace(" ", " | "))

    yield Case("vector top 10", lambda given: memories.search(AGENT, embedding=given, embedding_model=MODEL),
        {"asyncpg": near}, bar=1.25, prepare=vector)  # fmt: skip
    yield Case("text top 10, 5 words", lambda words: memories.search(AGENT, words), {"asyncpg": worded}, bar=1.3,
        prepare=lambda: source.words(5), calls=5)  # fmt: skip
    yield Case("hybrid top 10, beside raw text", lambda given: memories.search(AGENT, given[0], embedding=given[1],
        embedding_model=MODEL), {"asyncpg": lambda given: worded(given[0])}, bar=1.3,
        allowance_ms=1.0,
        prepare=lambda: (source.words(5), vector()), calls=5)  # fmt: skip
    yield Case("  beside raw vector", lambda given: memories.search(AGENT, given[0], embedding=given[1],
        embedding_model=MODEL), {"asyncpg": lambda given: near(given[1])}, bar=None,
        prepare=lambda: (source.words(5), vector()), calls=5)  # fmt: skip


def make_cases(database: RetrievalDatabase) -> Iterator[Case]:
    """Make all cases, in the order of the table."""
    yield from make_search_cases(database)
    memories, source = database.client.memories, database.source
    writer = database.writers[0]
    yield Case("store with embedding", lambda given: memories.store(given[1]),
        {"asyncpg": lambda given: writer.execute(_STORE_NEAR, *_row(given[0]), given[0].vector)}, bar=1.15,
        prepare=lambda: _pair(next(source.facts(1)), near=True))  # fmt: skip
    yield from _many(database)
    yield _at_once(database)


def _many(database: RetrievalDatabase) -> Iterator[Case]:
    memories, source, writer, owner = database.client.memories, database.source, database.writers[0], database.raw

    async def unnest(given: Any) -> None:
        columns = list(zip(*(_row(fact) for fact, _ in given), strict=True))
        vectors = [[pack_vector(fact.vector) for fact, _ in given]] if given[0][1].embedding else []
        await writer.execute(_MANY_NEAR if vectors else _MANY, ORGANIZATION, WRITER, columns[1], *columns[3:], *vectors)

    async def copy(given: Any) -> None:
        has_vectors = given[0][1].embedding is not None
        columns = [field for field in _FIELDS if field not in ("importance", "memory_type")]
        rows = [(*_row(fact), pack_vector(fact.vector), MODEL) if has_vectors else _row(fact) for fact, _ in given]
        columns += ["embedding", "embedding_model"] if has_vectors else []
        await owner.copy_records_to_table("agent_memories", columns=columns, records=rows)

    async def executemany(given: Any) -> None:
        if given[0][1].embedding:
            await writer.executemany(_STORE_NEAR, [(*_row(fact), fact.vector) for fact, _ in given])
        else:
            await writer.executemany(_STORE, [_row(fact) for fact, _ in given])

    for name, near, bar in (("store_many of 1,000 with embeddings", True, 1 / 0.95), ("  without", False, 1 / 0.9)):
        yield Case(
            name,
            lambda given: memories.store_many([entry for _, entry in given]),
            {"unnest": unnest, "COPY": copy, "executemany": executemany},
            bar=bar,
            prepare=lambda near=near: [_pair(fact, near=near) for fact in source.facts(1000)],  # type: ignore[misc]
            calls=1,
            turns=2,
        )


def _at_once(database: RetrievalDatabase) -> Case:
    memories, source, writers = database.client.memories, database.source, database.writers

    async def ours(given: Any) -> None:
        async def work(pairs: Any) -> None:
            for _, entry in pairs:
                await memories.store(entry)

        await asyncio.gather(*map(work, given))

    async def dedicated(given: Any) -> None:
        async def work(connection: Any, pairs: Any) -> None:
            for fact, _ in pairs:
                await connection.execute(_STORE, *_row(fact))

        await asyncio.gather(*map(work, writers, given))

    return Case(
        f"{len(writers)} writers at once, throughput",
        ours,
        {"connections": dedicated},
        bar=1.5,
        prepare=lambda: [[_pair(fact, near=False) for fact in source.facts(_EACH)] for _ in writers],
        calls=1,
        turns=4,
        operations=len(writers) * _EACH,
        is_throughput=True,
    )


def _pair(fact: Fact, *, near: bool) -> tuple[Fact, MemoryEntry]:
    """Return the fact and the entry that a caller has in hand: made before the clock starts."""
    entry = MemoryEntry(
        agent_id=WRITER,
        content=fact.content,
        metadata={"number": int(fact.metadata[10:-1])},
        embedding=fact.vector if near else None,
        embedding_model=MODEL if near else None,
    )
    return fact, entry


def _row(fact: Fact) -> tuple[Any, ...]:
    return ORGANIZATION, fact.id, WRITER, fact.content, fact.digest, fact.metadata
