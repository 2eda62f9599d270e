"""A server that asks for a password: the wrong one is refused in words that do not repeat it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from agentdb import PrismaAgentClient
from agentdb.errors import ConnectionFailedError
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.url import parse_url
from tests.conftest import Database

LOGIN = "guarded_app"
RIGHT, WRONG = "right-canary", "wrong-canary"


@pytest_asyncio.fixture
async def guarded(server: EmbeddedServer, database: Database) -> AsyncIterator[str]:
    """The URL, with a %s for the password, of a member of agentdb_app whom the server asks for one."""
    rules = server.data_dir / "postgres" / "pg_hba.conf"
    before = rules.read_text()
    connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    try:
        await connection.execute(f"CREATE ROLE {LOGIN} LOGIN PASSWORD '{RIGHT}' IN ROLE agentdb_app")
        rules.write_text(f"local all {LOGIN} scram-sha-256\n{before}")
        await connection.execute("SELECT pg_reload_conf(), pg_sleep(0.2)")
        parts = urlsplit(database.url)
        yield f"postgresql://{LOGIN}:%s@localhost{parts.path}?{parts.query}"
        rules.write_text(before)
        await connection.execute(f"SELECT pg_reload_conf(); DROP ROLE {LOGIN}")
    finally:
        await connection.close()


async def test_a_wrong_password_is_refused_and_never_printed(guarded: str) -> None:
    """The right one connects, bound by row-level security; of the wrong one no text along the error's causes speaks."""
    async with PrismaAgentClient(guarded % RIGHT, "acme") as client:
        assert (await client.health_check()).tenancy == "row-level-security"

    with pytest.raises(ConnectionFailedError, match=r"refused role 'guarded_app'.*Check the user name") as raised:
        await PrismaAgentClient(guarded % WRONG, "acme").connect()

    error: BaseException | None = raised.value
    while error is not None:
        assert WRONG not in f"{error!s} {error!r}"
        error = error.__cause__ or error.__context__
