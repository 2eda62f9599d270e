"""The database that retrieval is measured on: ten organizations, each with an agent that remembers a tenth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from agentdb import PrismaAgentClient
from agentdb.client.memory.embedding_index import create_embedding_index, drop_embedding_index, owner_pool
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.url import parse_url
from agentdb.postgres.vector import encode_vector, pack_vector, vector_text
from benchmarks.placement import Placement
from benchmarks.retrieval.data import DIMENSIONS, MODEL, Fact, Source

__all__ = [
    "AGENT",
    "ORGANIZATION",
    "ORGANIZATIONS",
    "WRITER",
    "WRITERS",
    "RetrievalDatabase",
    "connect",
    "make_index",
    "open_retrieval_database",
]

ORGANIZATIONS = 10
ORGANIZATION = "tenant-3"
AGENT = "rememberer"
WRITER = "writer"
WRITERS = 16
_CHUNK = 10_000
_BUILD_MB = 4096  # a million memories take 1.2 GB
_COLUMNS = ("organization_id", "id", "agent_id", "content", "content_hash", "metadata", "embedding", "embedding_model",
    "occurred_at", "created_at")  # fmt: skip
_AGENTS = """INSERT INTO agents (organization_id, id, name, category)
    SELECT 'tenant-' || o, name, name, 'SUPPORT'
    FROM generate_series(0, $1 - 1) AS o, unnest(ARRAY[$2, $3]) AS name ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class RetrievalDatabase:
    """
    What the sides use.

    Attributes:
        client: Ours, as the application role, row-level security on.
        raw: A dedicated connection of the tables' owner, whom row-level security does not bind: for hand-written SQL
            the better case, for it can use every index.
        writers: Dedicated connections of the application role, their tenant set once.
        source: Makes new facts and questions.
    """

    client: PrismaAgentClient
    raw: asyncpg.Connection
    writers: list[asyncpg.Connection]
    source: Source
    placement: Placement


@asynccontextmanager
async def open_retrieval_database(
    server: EmbeddedServer, placement: Placement, memories: int, *, is_filled: bool = False
) -> AsyncIterator[RetrievalDatabase]:
    """Fill the server's tables with *memories*, unless they are there, index them, and open what both sides use."""
    source = Source()
    async with AsyncExitStack() as stack:
        raw = await connect(server.admin_url)
        stack.push_async_callback(raw.close)
        if not is_filled:
            await _fill(raw, source, memories)
            await make_index(server)
        await raw.execute("VACUUM (ANALYZE) agent_memories")
        await raw.execute("SET hnsw.iterative_scan = relaxed_order")
        await raw.execute("SET hnsw.ef_search = 100")
        client = await stack.enter_async_context(PrismaAgentClient(server.url, ORGANIZATION))
        writers = await asyncio.gather(*(connect(server.url) for _ in range(WRITERS)))
        for writer in writers:
            stack.push_async_callback(writer.close)
            await writer.execute("SELECT set_config('agentdb.organization_id', $1, false)", ORGANIZATION)
        yield RetrievalDatabase(client, raw, writers, source, placement)


def _records(facts: Iterator[Fact], start: int) -> Iterator[tuple[Any, ...]]:
    now = datetime.now(UTC)
    for number, fact in enumerate(facts, start):
        yield (f"tenant-{number % ORGANIZATIONS}", fact.id, AGENT, fact.content, fact.digest, fact.metadata,
            pack_vector(fact.vector), MODEL, now, now)  # fmt: skip


async def _fill(raw: asyncpg.Connection, source: Source, memories: int) -> None:
    await raw.execute(_AGENTS, ORGANIZATIONS, AGENT, WRITER)
    for start in range(0, memories, _CHUNK):
        records = _records(source.facts(min(_CHUNK, memories - start)), start)
        await raw.copy_records_to_table("agent_memories", columns=_COLUMNS, records=records)


async def make_index(server: EmbeddedServer, *, drop: bool = False) -> None:
    """Build the vector index, or drop it, as `agentdb index` does."""
    pool = owner_pool(parse_url(server.admin_url), memory_mb=_BUILD_MB)
    await pool.open()
    try:
        await (drop_embedding_index if drop else create_embedding_index)(pool.driver(), MODEL, DIMENSIONS)
    finally:
        await pool.close()


async def connect(url: str) -> asyncpg.Connection:
    """Connect as asyncpg's manual shows it, with binary forms of jsonb and vector, which are the quickest."""
    connection: asyncpg.Connection = await asyncpg.connect(**parse_url(url).connect_arguments())
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda text: b"\x01" + text.encode(),
        decoder=lambda data: data[1:].decode(),
        format="binary",
    )
    await connection.set_type_codec("vector", encoder=encode_vector, decoder=vector_text, format="binary")
    await connection.execute("SET jit = off")
    return connection
