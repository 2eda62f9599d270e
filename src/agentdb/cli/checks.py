"""What `agentdb doctor` looks at, from the ground up: a check that fails ends those that stand on it."""

from __future__ import annotations

import platform
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from agentdb.client.database import TABLES
from agentdb.client.walls import Walls, look_at_walls
from agentdb.errors import AgentDBError

if TYPE_CHECKING:
    from agentdb.config import Settings
    from agentdb.postgres.driver import Driver, Record
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["Check", "examine"]

_SERVER = """
SELECT current_setting('server_version') AS version,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_encrypted_there,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector
"""
# The schemas in the search path of the functions that run as the owner of the tables, where the application might put a
# function or an operator of its own that they would call.
_OPEN_SCHEMAS = """
SELECT array_agg(n.nspname::text ORDER BY n.nspname) FROM pg_namespace AS n
WHERE n.oid IN (
        SELECT relnamespace FROM pg_class WHERE oid = to_regclass('agents')
        UNION SELECT extnamespace FROM pg_extension WHERE extname = 'vector'
    )
    AND (has_schema_privilege('agentdb_app', n.oid, 'CREATE') OR $1 AND has_schema_privilege(n.oid, 'CREATE'))
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
    from agentdb.config import Settings, check_encryption

    settings = Settings.load()
    check_encryption(settings)  # as each client does
    return settings


def _described(settings: Settings) -> str:
    from agentdb.cli.output import shorten_path
    from agentdb.postgres.embedded import default_data_dir

    if settings.is_embedded:
        where = f"embedded server, data in {shorten_path(settings.data_dir or default_data_dir())}"
    else:
        where = _options(settings.database_url or "").masked()
    return f"organization {settings.organization_id!r}, {where}"


def _options(url: str, *, require_tls: bool = False) -> ConnectionOptions:
    from agentdb.postgres.url import parse_url

    return parse_url(url, require_tls=require_tls)


async def _examine_database(settings: Settings) -> AsyncIterator[Check]:
    from agentdb.client.memory.embedding_kinds import sort_indexes
    from agentdb.postgres import migrate
    from agentdb.postgres.embedded import ensure_embedded
    from agentdb.postgres.pool import Pool

    url = settings.database_url or (await ensure_embedded(settings.data_dir)).url
    pool = Pool(_options(url, require_tls=settings.require_tls), application_name="agentdb doctor")
    await pool.open()
    try:
        driver = pool.driver()
        server = (await driver.fetch(_SERVER))[0]
        yield await _connection(driver, server, pool)
        yield _extension(server)
        await migrate.check(driver)
        yield Check("migrations", "ok", "the database fits this version")
        walls = await look_at_walls(driver, TABLES)
        yield _tenancy(walls, settings)
        yield _policies(walls.unguarded)
        yield _schemas((await driver.fetch(_OPEN_SCHEMAS, (walls.is_bound,)))[0][0] or [])
        yield _encryption(settings)
        yield _access_log(settings)
        yield _indexes(*await sort_indexes(driver))
    finally:
        await pool.close()


async def _connection(driver: Driver, server: Record, pool: Pool) -> Check:
    start = time.perf_counter()
    await driver.fetch("SELECT 1")
    latency = (time.perf_counter() - start) * 1000
    options, tls = pool.options, pool.tls
    way = f"PostgreSQL {server['version'].split()[0]}, {latency:.1f} ms a round trip"
    if tls is not None:
        way += f", encrypted with {tls.version} ({tls.cipher})"
    elif not options.is_local:
        way += ", not encrypted"
    if options.pgbouncer:
        is_encrypted = server["is_encrypted_there"]
        way += f", through a pooler whose own connection is {'' if is_encrypted else 'not '}encrypted"
    if tls is not None or options.is_local:
        return Check("connection", "ok", way)
    remedy = "Add sslmode=verify-full and sslrootcert=FILE to DATABASE_URL."
    return Check("connection", "warning", way, remedy)


def _extension(server: Record) -> Check:
    if server["vector"]:
        return Check("extension", "ok", f"pgvector {server['vector']}")
    return Check("extension", "failed", "pgvector is not in this database", "As a superuser: CREATE EXTENSION vector;")


def _tenancy(walls: Walls, settings: Settings) -> Check:
    if walls.is_above_policies or walls.is_owner:
        why = "is superuser or has BYPASSRLS" if walls.is_above_policies else "owns the tables"
        return Check(
            "role",
            "failed" if settings.require_rls else "warning",
            f"{walls.role} {why}: organizations are kept apart by the client alone",
            "Connect as a login role that is only a member of agentdb_app: GRANT agentdb_app TO <role>;",
        )
    if walls.is_application:
        return Check("role", "ok", f"{walls.role} is bound by row-level security")
    remedy = f"As the owner: GRANT agentdb_app TO {walls.role};"
    return Check("role", "failed", f"{walls.role} is no member of agentdb_app, so it sees no rows", remedy)


def _policies(unguarded: list[str]) -> Check:
    if not unguarded:
        return Check("row-level security", "ok", f"on all {len(TABLES)} tables, by the policy tenant_isolation alone")
    return Check(
        "row-level security",
        "failed",
        f"off, or with another policy than tenant_isolation, on {', '.join(unguarded)}",
        "As the owner: ALTER TABLE … ENABLE ROW LEVEL SECURITY; drop policies that are not agentdb's, and make "
        "tenant_isolation anew as prisma/migrations has it.",
    )


def _schemas(open_ones: list[str]) -> Check:
    if not open_ones:
        return Check("schema", "ok", "the application can put nothing of its own beside the tables")
    revoke = " ".join(f'REVOKE CREATE ON SCHEMA "{name}" FROM PUBLIC, agentdb_app;' for name in open_ones)
    return Check(
        "schema",
        "warning",
        f"the application may create functions in {', '.join(open_ones)}, which those that run as the tables' owner "
        "might call",
        f"As the owner: {revoke}",
    )


def _encryption(settings: Settings) -> Check:
    keys = list(settings.encryption_keys)
    if not keys:
        remedy = "Set AGENTDB_ENCRYPTION_KEYS=k1:$(openssl rand -base64 32)"
        if settings.require_encryption:
            return Check("encryption", "failed", "no key: no sensitive memory can be stored", f"{remedy}.")
        remedy += "; AGENTDB_REQUIRE_ENCRYPTION=1 insists on it."
        return Check("encryption", "warning", "no key: sensitive memories are stored as plain text", remedy)
    what = ", ".join(["sensitive memories", *sorted(settings.encrypt)])
    older = f"; {', '.join(keys[1:])} can still be read" if keys[1:] else ""
    return Check("encryption", "ok", f"{what} with key {keys[0]}{older}")


def _access_log(settings: Settings) -> Check:
    if settings.access_log:
        return Check("access log", "ok", "in the database, and as the logger agentdb.access")
    return Check("access log", "ok", "as the logger agentdb.access; AGENTDB_ACCESS_LOG=1 keeps it in the database too")


def _indexes(valid: list[str], broken: list[str]) -> Check:
    # Whether one is missing cannot be said here: row-level security hides how many memories the others have.
    if not broken:
        finding = f"{len(valid)} in use" if valid else "none: searches by meaning look at all that is in scope"
        return Check("vector indexes", "ok", finding)
    finding = f"{', '.join(broken)} is not used: its build broke off"
    return Check("vector indexes", "warning", finding, "As the owner of the tables: agentdb index create")
