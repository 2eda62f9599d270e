"""The engine under its own schema: `client_package` is generated from schema.prisma, `db` is its client, connected."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from agentdb.engine import with_engine
from agentdb.postgres.cluster import SUPERUSER
from agentdb.postgres.embedded import EmbeddedServer
from tests.integration.engine.generation import digest, generate_client, generate_synchronous_client, make_ddl

SCHEMA = Path(__file__).with_name("schema.prisma")
PACKAGE = "agentdb_test_client"
SYNCHRONOUS_PACKAGE = "agentdb_test_client_sync"


@pytest.fixture(scope="session")
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated packages and schema.sql; pytest's cache keeps it until something it is of changes."""
    cache = getattr(request.config, "cache", None)
    folder = tmp_path_factory.mktemp("engine") if cache is None else cache.mkdir("agentdb-engine")
    made = folder / digest(SCHEMA)
    if not made.exists():
        for outdated in folder.iterdir():
            shutil.rmtree(outdated)
        unfinished = folder / "unfinished"
        unfinished.mkdir()
        (unfinished / "schema.sql").write_text(make_ddl(SCHEMA), encoding="utf-8")
        generate_client(SCHEMA, unfinished / PACKAGE)
        generate_synchronous_client(SCHEMA, unfinished / SYNCHRONOUS_PACKAGE)
        unfinished.rename(made)
    return made


@pytest.fixture(scope="session")
def client_package(generated: Path) -> Iterator[ModuleType]:
    """The generated package: `errors`, `models`, `enums`, `Json`, `Base64` …"""
    sys.path.insert(0, str(generated))
    yield importlib.import_module(PACKAGE)
    sys.path.remove(str(generated))


@pytest.fixture(scope="session")
def prisma_class(client_package: ModuleType) -> type[Any]:
    """The generated client on the engine."""
    return with_engine(client_package.Prisma)


@pytest.fixture(scope="session")
def url(generated: Path, server: EmbeddedServer) -> str:
    """The URL of a database with the tables of the schema, empty."""

    async def run(database: str, sql: str) -> None:
        connection = await asyncpg.connect(server.url_for(SUPERUSER, database))
        await connection.execute(sql)
        await connection.close()

    async def make() -> None:
        await run("postgres", f'CREATE DATABASE "{PACKAGE}"')
        await run(PACKAGE, "CREATE EXTENSION citext;" + (generated / "schema.sql").read_text(encoding="utf-8"))

    asyncio.run(make())
    return server.url_for(SUPERUSER, PACKAGE)


@pytest.fixture
async def raw(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection past the engine: to look at what it wrote, and to prepare what it reads."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def db(prisma_class: type[Any], url: str, raw: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Any]:
    """The client, connected to a database with empty tables whose numbers start at 1; its pool gets everything back."""
    tables = await raw.fetchval(
        "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"
    )
    await raw.execute(f"TRUNCATE {tables} RESTART IDENTITY")
    async with prisma_class(datasource={"url": url}, use_dotenv=False) as client:
        yield client
        pool = client._engine._pool
    assert pool.stats.in_use == 0


@pytest.fixture
def statements(db: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL of every statement that the client sends from now on."""
    from agentdb.postgres.connection import Connection

    sent: list[str] = []

    def record(name: str) -> Callable[..., Any]:
        original = getattr(Connection, name)

        async def recorded(self: Connection, sql: str, *rest: Any) -> Any:
            sent.append(sql)
            return await original(self, sql, *rest)

        return recorded

    for name in ("fetch", "execute", "script"):
        monkeypatch.setattr(Connection, name, record(name))
    return sent
