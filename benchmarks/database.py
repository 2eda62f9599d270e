"""The database that is measured on: an embedded server of its own, filled before the clock starts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from agentdb import PrismaAgentClient
from agentdb.postgres.embedded import EmbeddedServer, ensure_embedded
from agentdb.postgres.url import parse_url
from benchmarks.placement import Placement, place

__all__ = ["AGENT", "ORGANIZATION", "WRITER", "Database", "open_database"]

ORGANIZATIONS = 5
ORGANIZATION = "organization-3"
AGENT = "reader"
WRITER = "writer"

_AGENTS = """
INSERT INTO agents (organization_id, id, name, category)
SELECT 'organization-' || o, name, name, 'SUPPORT'
FROM generate_series(1, $1) AS o, unnest(ARRAY['reader', 'writer']) AS name
"""
# Some 200 characters each, like a sentence or two; a minute apart, in the past.
_MEMORIES = """
INSERT INTO agent_memories
    (organization_id, id, agent_id, content, content_hash, metadata, importance, occurred_at, created_at)
SELECT 'organization-' || 1 + n % $2, gen_random_uuid(), 'reader', content, sha256(content::bytea),
    jsonb_build_object('number', n, 'source', 'benchmark'), n % 11 / 10.0, at, at
FROM generate_series(1, $1) AS n,
    LATERAL (SELECT 'Memory ' || n || ' of the benchmark: ' || repeat(md5(n::text) || ' ', 5) AS content,
        now() - n * interval '1 minute' AS at) AS made
"""


@dataclass(frozen=True, slots=True)
class Database:
    """
    What the two sides use.

    Attributes:
        server: What it is on.
        placement: Where its processes run, and this one.
        client: Ours, bound to the organization that is measured.
        raw: A dedicated connection of the same role, its tenant set once; used as asyncpg's manual shows it.
        owner: A dedicated connection of the tables' owner, whom row-level security does not bind: COPY is refused to
            roles that it binds.
        ids: The memories that the organization has from the start.
        version: PostgreSQL's.
    """

    server: EmbeddedServer
    placement: Placement
    client: PrismaAgentClient
    raw: asyncpg.Connection
    owner: asyncpg.Connection
    ids: list[str]
    version: str


@asynccontextmanager
async def open_database(memories: int) -> AsyncIterator[Database]:
    """Start a server with its data in a temporary directory, fill it, and remove it all afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="agentdb-bench-"))
    server = await ensure_embedded(directory)  # durable, as by default
    try:
        placement = await place(server.superuser_url)
        async with PrismaAgentClient(server.url, ORGANIZATION) as client:
            raw, owner = await _connect(server.url), await _connect(server.admin_url)
            try:
                await owner.execute(_AGENTS, ORGANIZATIONS)
                await owner.execute(_MEMORIES, memories, ORGANIZATIONS)
                await owner.execute("ANALYZE")
                await raw.execute("SELECT set_config('agentdb.organization_id', $1, false)", ORGANIZATION)
                ids = [str(row[0]) for row in await raw.fetch("SELECT id FROM agent_memories")]
                yield Database(server, placement, client, raw, owner, ids, await raw.fetchval("SHOW server_version"))
            finally:
                await raw.close()
                await owner.close()
            placement.release()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def _connect(url: str) -> asyncpg.Connection:
    connection: asyncpg.Connection = await asyncpg.connect(**parse_url(url).connect_arguments())
    # asyncpg copies in PostgreSQL's binary formats only, and knows none for jsonb: a version byte and the text.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda text: b"\x01" + text.encode(),
        decoder=lambda data: data[1:].decode(),
        format="binary",
    )
    return connection
