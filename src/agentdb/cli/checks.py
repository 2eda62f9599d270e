"""What `agentdb doctor` looks at, from the ground up: a check that fails ends those that stand on it."""

from __future__ import annotations

import platform
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from agentdb.client.database import TABLES
from agentdb.errors import AgentDBError

if TYPE_CHECKING:
    from agentdb.config import Settings
    from agentdb.postgres.driver import Driver, Record
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["Check", "examine"]

_SERVER = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector
"""
_ROLE = """
SELECT current_user AS name, rolsuper OR rolbypassrls AS is_above_policies,
    EXISTS (SELECT FROM pg_class WHERE oid = ANY ($1::regclass[]) AND pg_has_role(relowner, 'USAGE')) AS is_owner,
    coalesce(pg_has_role(to_regrole('agentdb_app'), 'USAGE'), false) AS is_application
FROM pg_roles WHERE rolname = current_user
"""
_UNGUARDED = """
SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
WHERE oid = ANY ($1::regclass[])
    AND NOT (relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid))
"""


@dataclass(frozen=True, slots=True)
class Check:
    """
    One check.

    Attributes:
        finding: What was found, in words.
        remedy: What to do; empty when all is well.
    """

    name: str
    state: Literal["ok", "warning", "failed"]
    finding: str
    remedy: str = ""


async def examine() -> AsyncIterator[Check]:
    """Make the checks, each after what it stands on."""
    yield _versions()
    yield await _engine()
    try:
        settings = _settings()
        yield Check("settings", "ok", _described(settings))
        async for check in _examine_database(settings):
            yield check
    except AgentDBError as error:
        # These errors say themselves what to do; only this they need not say here.
        finding = str(error).removesuffix(" Try `agentdb doctor`.")
        yield Check(_SUBJECTS.get(type(error).__name__, "connection"), "failed", finding)


_SUBJECTS = {"ConfigurationError": "settings", "InvalidInputError": "settings", "MigrationError": "migrations"}


def _versions() -> Check:
    packages = ("agentdb", "asyncpg", "prisma", "wasmtime")
    found = ", ".join(f"{name} {_version(name)}" for name in packages)
    return Check("versions", "ok", f"{found}, Python {platform.python_version()}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed as a package)"


async def _engine() -> Check:
    """Load the generated client and Prisma's compiler, which only a damaged installation lacks."""
    start = time.perf_counter()
    try:
        from agentdb.client.prisma import scoped_prisma
        from agentdb.config import EMBEDDED_ORGANIZATION
        from agentdb.postgres.pool import Pool
        from agentdb.postgres.url import ConnectionOptions

        # on a pool that is never opened: connecting such a client loads the engine and nothing else
        await scoped_prisma(Pool(ConnectionOptions()).driver(), EMBEDDED_ORGANIZATION).connect()
    except Exception as error:  # whatever is wrong with the installation, it is one line here
        remedy = "Install agentdb again: pip install --force-reinstall agentdb (in a checkout: make setup)"
        return Check("engine", "failed", f"{type(error).__name__}: {error}", remedy)
    return Check("engine", "ok", f"loaded in {(time.perf_counter() - start) * 1000:.0f} ms")


def _settings() -> Settings:
    from agentdb.config import Settings

    return Settings.load()


def _described(settings: Settings) -> str:
    from agentdb.cli.output import shorten_path
    from agentdb.postgres.embedded import default_data_dir

    if settings.is_embedded:
        where = f"embedded server, data in {shorten_path(settings.data_dir or default_data_dir())}"
    else:
        where = _options(settings.database_url or "").masked()
    return f"organization {settings.organization_id!r}, {where}"


def _options(url: str) -> ConnectionOptions:
    from agentdb.postgres.url import parse_url

    return parse_url(url)


async def _examine_database(settings: Settings) -> AsyncIterator[Check]:
    from agentdb.client.memory.embedding_kinds import sort_indexes
    from agentdb.postgres import migrate
    from agentdb.postgres.embedded import ensure_embedded
    from agentdb.postgres.pool import Pool

    url = settings.database_url or (await ensure_embedded(settings.data_dir)).url
    pool = Pool(_options(url), application_name="agentdb doctor")
    await pool.open()
    try:
        driver = pool.driver()
        server = (await driver.fetch(_SERVER))[0]
        yield await _connection(driver, server, pool.options)
        yield _extension(server)
        await migrate.check(driver)
        yield Check("migrations", "ok", "the database fits this version")
        yield _tenancy((await driver.fetch(_ROLE, (TABLES,)))[0], settings)
        yield _policies((await driver.fetch(_UNGUARDED, (TABLES,)))[0][0] or [])
        yield _indexes(*await sort_indexes(driver))
    finally:
        await pool.close()


async def _connection(driver: Driver, server: Record, options: ConnectionOptions) -> Check:
    start = time.perf_counter()
    await driver.fetch("SELECT 1")
    latency = (time.perf_counter() - start) * 1000
    finding = f"PostgreSQL {server['version'].split()[0]}, {latency:.1f} ms a round trip"
    if server["tls"] or options.is_local:
        return Check("connection", "ok", finding + (", encrypted" if server["tls"] else ""))
    return Check("connection", "warning", f"{finding}, not encrypted", "Add sslmode=require to DATABASE_URL.")


def _extension(server: Record) -> Check:
    if server["vector"]:
        return Check("extension", "ok", f"pgvector {server['vector']}")
    return Check("extension", "failed", "pgvector is not in this database", "As a superuser: CREATE EXTENSION vector;")


def _tenancy(role: Record, settings: Settings) -> Check:
    name = role["name"]
    if not role["is_above_policies"] and not role["is_owner"]:
        if role["is_application"]:
            return Check("role", "ok", f"{name} is bound by row-level security")
        remedy = f"As the owner: GRANT agentdb_app TO {name};"
        return Check("role", "failed", f"{name} is no member of agentdb_app, so it sees no rows", remedy)
    why = "owns the tables" if role["is_owner"] and not role["is_above_policies"] else "is superuser or has BYPASSRLS"
    return Check(
        "role",
        "failed" if settings.require_rls else "warning",
        f"{name} {why}: organizations are kept apart by the client alone",
        "Connect as a login role that is only a member of agentdb_app: GRANT agentdb_app TO <role>;",
    )


def _policies(unguarded: list[str]) -> Check:
    if not unguarded:
        return Check("row-level security", "ok", f"on all {len(TABLES)} tables")
    remedy = "The migrations switch it on: as the owner, ALTER TABLE … ENABLE ROW LEVEL SECURITY;"
    return Check("row-level security", "failed", f"off on {', '.join(unguarded)}", remedy)


def _indexes(valid: list[str], broken: list[str]) -> Check:
    # Whether one is missing cannot be said here: row-level security hides how many memories the others have.
    if not broken:
        finding = f"{len(valid)} in use" if valid else "none: searches by meaning look at all that is in scope"
        return Check("vector indexes", "ok", finding)
    finding = f"{', '.join(broken)} is not used: its build broke off"
    return Check("vector indexes", "warning", finding, "As the owner of the tables: agentdb index create")
