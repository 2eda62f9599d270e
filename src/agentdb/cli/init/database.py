"""What `agentdb init` finds in the database, and makes there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agentdb.cli.doctor.check import Check, failed, ok, warning
from agentdb.cli.doctor.connection import encrypted, reached, writable
from agentdb.cli.doctor.facts import ask_server
from agentdb.cli.doctor.structure import extension
from agentdb.cli.doctor.tenancy import policies, role
from agentdb.client.database import TABLES
from agentdb.client.walls import look_at_walls
from agentdb.errors import AgentDBError, MigrationError
from agentdb.postgres import migrate
from agentdb.postgres.embedded import start_embedded
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import ConnectionOptions, parse_url

if TYPE_CHECKING:
    from agentdb.cli.doctor.facts import Server
    from agentdb.config import Settings
    from agentdb.postgres.driver import Driver

__all__ = ["Found", "connected", "look", "make_tables"]

_MAKE: Final = "agentdb migrate deploy   make the tables"
_EXAMINE: Final = "agentdb doctor           look at everything, with a remedy for what is wrong"
_WATCH: Final = "agentdb demo             watch an agent work"
_STATS: Final = "agentdb stats            see what your own agents did, once there are any"
_AGAIN: Final = "agentdb init             again, when that is put right"
_CORRECT: Final = "correct DATABASE_URL in .env"
_REMEDY: Final = "Run `agentdb migrate deploy`."  # with this end errors of agentdb.postgres.migrate
_OTHER_LOGIN: Final = "If another login may: set AGENTDB_MIGRATION_URL in .env, then `agentdb migrate deploy`."
_NOT_ALLOWED: Final = "42501"


@dataclass(frozen=True, slots=True)
class Found:
    """
    What was found.

    Attributes:
        connection: What there is to say of the connection and of the server.
        tables: What there is to say of the tables, and of who sees which rows.
        lacks_tables: Whether there is a database, and what agentdb works with is not all in it.
        next_steps: What to do now, three lines at most.
    """

    connection: list[Check]
    tables: list[Check]
    lacks_tables: bool
    next_steps: list[str]


@asynccontextmanager
async def connected(options: ConnectionOptions) -> AsyncIterator[Pool]:
    """Open a pool for a few statements."""
    pool = Pool(replace(options, connection_limit=1), application_name="agentdb init")
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def look(settings: Settings) -> Found:
    """Connect as agents will, and say what is there; no failure of the database is raised."""
    try:
        url = settings.database_url or (await start_embedded(settings.data_dir)).url
        async with connected(parse_url(url, require_tls=settings.require_tls)) as pool:
            return await _look(pool, settings)
    except AgentDBError as error:
        check = failed("connection", str(error).removesuffix(" Try `agentdb doctor`."))
        first = _AGAIN if settings.is_embedded else _CORRECT
        return Found([check], [], lacks_tables=False, next_steps=[first, _EXAMINE])


async def make_tables(settings: Settings) -> Check | None:
    """Apply the migrations, as the login that may; return what went wrong, None if nothing did."""
    url, variable = settings.migration_url, "AGENTDB_MIGRATION_URL"
    try:
        if url is None:
            url, variable = settings.database_url, "DATABASE_URL"
        if url is None:
            url = (await start_embedded(settings.data_dir)).admin_url
        await migrate.deploy(parse_url(url, variable=variable, require_tls=settings.require_tls))
    except AgentDBError as error:
        is_forbidden = getattr(error.__cause__, "sqlstate", None) == _NOT_ALLOWED
        return failed("tables", str(error), _OTHER_LOGIN if is_forbidden and settings.migration_url is None else "")
    return None


async def _look(pool: Pool, settings: Settings) -> Found:
    driver = pool.driver()
    server = await ask_server(driver)
    connection = [reached(server, pool), encrypted(server, pool), *_obstacles(server)]
    if any(check.state == "failed" for check in connection):
        return Found(connection, [], lacks_tables=False, next_steps=[_AGAIN, _EXAMINE])
    try:
        await migrate.check(driver)
    except MigrationError as error:
        text = str(error)
        if text.endswith(_REMEDY):
            missing = warning("tables", text.removesuffix(_REMEDY).strip(), "agentdb migrate deploy")
            return Found(connection, [missing], lacks_tables=True, next_steps=[_MAKE, _EXAMINE, _WATCH])
        return Found(connection, [failed("tables", text)], lacks_tables=False, next_steps=[_EXAMINE])  # newer, or stuck
    return Found(connection, await _walls(driver, settings), lacks_tables=False, next_steps=[_EXAMINE, _WATCH, _STATS])


def _obstacles(server: Server) -> list[Check]:
    """Return what keeps tables from being made here. That pgvector is not in the database yet does not: it will be."""
    checks = [writable(server)]
    if server.row["vector"] is not None or server.row["vector_available"] is None:
        checks.append(extension(server))
    return [check for check in checks if check.state == "failed"]


async def _walls(driver: Driver, settings: Settings) -> list[Check]:
    walls = await look_at_walls(driver, TABLES)
    tables = ok("tables", f"all {len(TABLES)} are there, as this version has them")
    return [tables, role(walls, settings), policies(walls)]
