"""The database, and the generated client, that the engine is measured on."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from agentdb.engine import with_engine
from agentdb.postgres.cluster import SUPERUSER
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.url import parse_url
from benchmarks.placement import Placement
from benchmarks.prisma_node import NoNodeError, PrismaNode, make_node_client, open_prisma_node
from tests.integration.engine.generation import generate_client, make_ddl

__all__ = ["AT_ONCE", "AUTHORS", "POSTS_EACH", "EngineDatabase", "open_engine_database"]

AUTHORS = 1000
POSTS_EACH = 5
AT_ONCE = 16

_SCHEMA = Path(__file__).with_name("schema.prisma")
_PACKAGE = "agentdb_bench_client"
_DATABASE = "engine"

# Nothing waits for the disk, or its slowness would hide what the sides differ in.
_DROP = f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)"
_CREATE = f"CREATE DATABASE {_DATABASE}"
_NO_WAITING = f"ALTER DATABASE {_DATABASE} SET synchronous_commit = off"
_FILL_AUTHORS = """
INSERT INTO authors (email, name, country, score)
SELECT 'author-' || n || '@example.org', 'Author ' || n, 'country ' || n % 20, n FROM generate_series(1, $1) AS n
"""
# In turn, so that an author's posts are not neighbours; a minute apart, one in two published.
_FILL_POSTS = """
INSERT INTO posts (author_id, title, content, views, published, created_at)
SELECT 1 + n % $1::int, 'Post ' || n, repeat(md5(n::text) || ' ', 5), n % 100, n / $1::int % 2 = 0,
    now() - n * interval '1 minute'
FROM generate_series(0, $1::int * $2::int - 1) AS n
"""


@dataclass(frozen=True, slots=True)
class EngineDatabase:
    """
    What the sides use.

    Attributes:
        client: The generated client on the engine, with room for `AT_ONCE` connections.
        raw: A dedicated connection, used as asyncpg's manual shows it.
        raw_many: `AT_ONCE` dedicated connections; and *raw_pool*, as many in asyncpg's pool.
        node: Prisma 7; None where it cannot run, and then *no_node* says why.
    """

    client: Any
    raw: asyncpg.Connection
    raw_many: list[asyncpg.Connection]
    raw_pool: asyncpg.Pool
    node: PrismaNode | None
    no_node: str


@asynccontextmanager
async def open_engine_database(
    server: EmbeddedServer, placement: Placement, *, with_node: bool, warm_up_ms: int
) -> AsyncIterator[EngineDatabase]:
    """
    Generate the clients, make and fill a database on *server*, and connect all sides to it.

    Args:
        placement: Where the processes run.
        with_node: Whether Prisma 7 is measured too, if it can.
        warm_up_ms: For how long it repeats each operation first.
    """
    url = server.url_for(SUPERUSER, _DATABASE)
    options = parse_url(url).connect_arguments()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentdb-bench-")))
        await asyncio.to_thread(generate_client, _SCHEMA, folder / _PACKAGE)
        await _make_database(server, await asyncio.to_thread(make_ddl, _SCHEMA))
        node, no_node = None, "not asked for"
        if with_node:
            try:
                await asyncio.to_thread(make_node_client, _SCHEMA, folder / "node-client")
                placement.release()
                node = await stack.enter_async_context(open_prisma_node(folder / "node-client", url, warm_up_ms))
            except NoNodeError as error:
                no_node = str(error)

        if node is not None:
            placement.add(node.pid)
            stack.callback(placement.remove, node.pid)
        placement.together()
        raw_many = [await asyncpg.connect(**options) for _ in range(AT_ONCE)]
        for connection in raw_many:
            stack.push_async_callback(connection.close)
        raw_pool = await stack.enter_async_context(asyncpg.create_pool(**options, min_size=AT_ONCE, max_size=AT_ONCE))
        client = with_engine(_import(folder).Prisma)(datasource={"url": f"{url}&connection_limit={AT_ONCE}"})
        await stack.enter_async_context(client)
        yield EngineDatabase(client, raw_many[0], raw_many, raw_pool, node, no_node)


async def _make_database(server: EmbeddedServer, ddl: str) -> None:
    administrator = await asyncpg.connect(**parse_url(server.superuser_url).connect_arguments())
    for statement in (_DROP, _CREATE, _NO_WAITING):
        await administrator.execute(statement)
    await administrator.close()
    owner = await asyncpg.connect(**parse_url(server.url_for(SUPERUSER, _DATABASE)).connect_arguments())
    await owner.execute(ddl)
    await owner.execute(_FILL_AUTHORS, AUTHORS)
    await owner.execute(_FILL_POSTS, AUTHORS, POSTS_EACH)
    await owner.execute("VACUUM ANALYZE")
    await owner.close()


def _import(folder: Path) -> Any:
    for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
        del sys.modules[name]  # of a folder that is gone
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(_PACKAGE)
    finally:
        sys.path.remove(str(folder))
