"""What every test has: a scrubbed environment, a server for the session, and a database of its own for whoever asks."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import settings

from agentdb.postgres import migrate
from agentdb.postgres.cluster import SUPERUSER
from agentdb.postgres.embedded import APPLICATION_ROLE, OWNER_ROLE, EmbeddedServer, start_embedded
from agentdb.postgres.url import parse_url
from tests.wire import Wire

TEMPLATE = "agentdb_template"
# What changes how programs print, or how pytest runs, on some machines and in some CI services.
OF_THE_MACHINE = {
    "COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES", "NO_COLOR", "PYTEST_ADDOPTS", "PYTHONWARNINGS", "PY_COLORS",
    "TTY_COMPATIBLE", "TTY_INTERACTIVE",
}  # fmt: skip

# A busy machine makes an example slow, not wrong.
settings.register_profile("agentdb", deadline=None)
settings.load_profile("agentdb")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the server by the fixture that it uses."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


@pytest.fixture(scope="session", autouse=True)
def reachable_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Servers that run as other accounts, because we are root, reach their data below pytest's folders."""
    base = tmp_path_factory.getbasetemp()
    for folder in (base.parent, base):
        folder.chmod(0o755)


@pytest.fixture(autouse=True)
def scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's own reaches a test."""
    for name in list(os.environ):
        if name.startswith(("AGENTDB_", "PG")) or name in {"DATABASE_URL", "ORGANIZATION_ID"} | OF_THE_MACHINE:
            monkeypatch.delenv(name)


@dataclass(frozen=True)
class Database:
    """
    A database that lives for one test.

    Attributes:
        name: Its name.
        url: For the application: role agentdb_app, bound by row-level security.
        admin_url: For migrations: the role that owns the tables.
        superuser_url: For what only an administrator may do.
    """

    name: str
    url: str
    admin_url: str
    superuser_url: str


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """An embedded server for the session, nothing left behind."""
    directory = Path(tempfile.mkdtemp(prefix="agentdb-test-"))
    started = asyncio.run(start_embedded(directory, durable=False))
    try:
        yield started
    finally:
        started.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def template(server: EmbeddedServer) -> str:
    """The name of a migrated database to clone."""

    async def make() -> None:
        await _administer(server, f'CREATE DATABASE "{TEMPLATE}" OWNER "{OWNER_ROLE}"')
        await _administer(server, "CREATE EXTENSION vector", TEMPLATE)
        await migrate.deploy(server.url_for(OWNER_ROLE, TEMPLATE))

    asyncio.run(make())
    return TEMPLATE


@pytest_asyncio.fixture
async def database(server: EmbeddedServer, template: str) -> AsyncIterator[Database]:
    """A migrated, empty database of this test's own; fails the test if it leaves a connection open."""
    made = await _make_database(server, template)
    yield made
    leaked = await _drop_database(server, made)
    assert not leaked, f"connections left open: {leaked}"


@pytest.fixture(scope="module")
def shared_database(server: EmbeddedServer, template: str) -> Iterator[Database]:
    """A migrated database for all tests of a file that do not get in each other's way; one of its own takes longer."""
    made = asyncio.run(_make_database(server, template))
    yield made
    leaked = asyncio.run(_drop_database(server, made))
    assert not leaked, f"connections left open: {leaked}"


@pytest_asyncio.fixture
async def blank_database(server: EmbeddedServer) -> AsyncIterator[Database]:
    """A database of this test's own without any table."""
    made = await _make_database(server, "template1")
    await _administer(server, "CREATE EXTENSION vector", made.name)
    yield made
    leaked = await _drop_database(server, made)
    assert not leaked, f"connections left open: {leaked}"


@pytest.fixture
def database_url(database: Database) -> str:
    """The application's URL of this test's database."""
    return database.url


@pytest.fixture
def admin_url(database: Database) -> str:
    """The owner's URL of this test's database."""
    return database.admin_url


@pytest.fixture
def superuser_url(database: Database) -> str:
    """The administrator's URL of this test's database."""
    return database.superuser_url


@pytest_asyncio.fixture
async def roundtrips(server: EmbeddedServer) -> AsyncIterator[Wire]:
    """
    Counts round trips on the wire::

        client = PrismaAgentClient(roundtrips.url(database_url), ...)
        with roundtrips.counting() as count:
            await client.memories.get(id)
        assert count.trips == 1
    """
    wire = Wire(Path(parse_url(server.url).host) / ".s.PGSQL.5432")
    await wire.open()
    yield wire
    await wire.close()


async def _make_database(server: EmbeddedServer, template: str) -> Database:
    name = f"test_{uuid.uuid4().hex[:12]}"
    await _administer(server, f'CREATE DATABASE "{name}" OWNER "{OWNER_ROLE}" TEMPLATE "{template}"')
    urls = (server.url_for(role, name) for role in (APPLICATION_ROLE, OWNER_ROLE, SUPERUSER))
    return Database(name, *urls)


async def _drop_database(server: EmbeddedServer, database: Database) -> list[str]:
    sessions = "SELECT application_name || ': ' || query FROM pg_stat_activity WHERE datname = $1"
    connection = await _superuser(server, "postgres")
    try:
        for _ in range(50):  # a session ends a moment after its socket
            leaked = [row[0] for row in await connection.fetch(sessions, database.name)]
            if not leaked:
                break
            await asyncio.sleep(0.02)
        await connection.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')
    finally:
        await connection.close()
    return leaked


async def _administer(server: EmbeddedServer, sql: str, database: str = "postgres") -> None:
    connection = await _superuser(server, database)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _superuser(server: EmbeddedServer, database: str) -> asyncpg.Connection:
    options = parse_url(server.url_for(SUPERUSER, database))
    return await asyncpg.connect(**options.connect_arguments())
