"""What `agentdb init` finds in the database, and makes there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from agentdb.cli.doctor.check import Check, failed, ok, warning
from agentdb.client.database import TABLES
from agentdb.client.walls import Walls, look_at_walls
from agentdb.errors import AgentDBError, MigrationError
from agentdb.postgres import migrate
from agentdb.postgres.embedded import start_embedded
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import ConnectionOptions, parse_url

if TYPE_CHECKING:
    from agentdb.config import Settings

__all__ = ["Found", "connected", "look", "make_tables"]

_MAKE: Final = "agentdb migrate deploy   make the tables"
_EXAMINE: Final = "agentdb doctor           look at everything, with a remedy for what is wrong"
_WATCH: Final = "agentdb demo             watch an agent work"
_STATS: Final = "agentdb stats            see what your own agents did, once there are any"
_CORRECT: Final = "correct DATABASE_URL in .env"
_REMEDY: Final = "Run `agentdb migrate deploy`."  # with this end errors of agentdb.postgres.migrate
_OWN_LOGIN: Final = "CREATE ROLE agents LOGIN PASSWORD '…' IN ROLE agentdb_app;"


@dataclass(frozen=True, slots=True)
class Found:
    """
    What was found.

    Attributes:
        connection: What there is to say of the connection.
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
            return await _look(pool)
    except AgentDBError as error:
        check = failed("connection", str(error).removesuffix(" Try `agentdb doctor`."))
        return Found([check], [], lacks_tables=False, next_steps=[_CORRECT, _EXAMINE])


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
        remedy = (
            "Where another login owns the database: set AGENTDB_MIGRATION_URL in .env, then `agentdb migrate deploy`"
        )
        return failed("tables", str(error), "" if settings.migration_url else remedy)
    return None


async def _look(pool: Pool) -> Found:
    driver = pool.driver()
    start = time.perf_counter()
    (row,) = await driver.fetch("SELECT split_part(current_setting('server_version'), ' ', 1)")
    milliseconds = (time.perf_counter() - start) * 1000
    connection = [
        ok("connection", f"PostgreSQL {row[0]} at {pool.options.masked()}, {milliseconds:.1f} ms a round trip"),
        _tls(pool),
    ]
    try:
        await migrate.check(driver)
    except MigrationError as error:
        text = str(error)
        if text.endswith(_REMEDY):
            missing = warning("tables", text.removesuffix(_REMEDY).strip(), "agentdb migrate deploy")
            return Found(connection, [missing], lacks_tables=True, next_steps=[_MAKE, _EXAMINE, _WATCH])
        return Found(connection, [failed("tables", text)], lacks_tables=False, next_steps=[_EXAMINE])  # newer, or stuck
    walls = await look_at_walls(driver, TABLES)
    tables = [ok("tables", f"all {len(TABLES)} are there, as this version has them"), _tenancy(walls)]
    return Found(connection, tables, lacks_tables=False, next_steps=[_EXAMINE, _WATCH, _STATS])


def _tls(pool: Pool) -> Check:
    tls = pool.tls
    if tls is not None:
        return ok("TLS", f"the connection is encrypted, {tls.version}")
    if pool.options.is_local:
        return ok("TLS", "none, and none needed: the server is on this machine")
    return warning(
        "TLS", "the connection is not encrypted", "Add sslmode=verify-full and sslrootcert=FILE to DATABASE_URL."
    )


def _tenancy(walls: Walls) -> Check:
    if not walls.stand:
        return warning(
            "tenancy",
            f"the client alone keeps organizations apart: {walls.gap}",
            f"As an administrator: {_OWN_LOGIN} Then use that login in DATABASE_URL.",
        )
    if not walls.is_application:
        remedy = f"As the owner: GRANT agentdb_app TO {walls.role};"
        return failed("tenancy", f"{walls.role} is no member of agentdb_app, so it sees no rows", remedy)
    return ok("tenancy", f"two walls: the client, and row-level security, which binds {walls.role}")
