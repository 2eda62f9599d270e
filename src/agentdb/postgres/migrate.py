"""
Applies prisma/migrations, interoperable with `prisma migrate deploy` in both directions.

Both keep their history in the table _prisma_migrations, compare migrations by the same checksum, and hold the same
advisory lock while they work; each can go on where the other stopped. An application may keep migrations of its own in
the same history; those of agentdb are told apart by their names, a number and ``_agentdb_``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import asyncpg

from agentdb import shipped
from agentdb.errors import ConfigurationError, DatabaseError, MigrationError
from agentdb.postgres.connection import quoted
from agentdb.postgres.driver import Driver
from agentdb.postgres.failures import translate, translate_connect
from agentdb.postgres.url import ConnectionOptions, parse_url

__all__ = ["Migration", "MigrationStatus", "check", "deploy", "find_migrations", "is_ours", "resolve", "status"]

logger: Final = logging.getLogger("agentdb.migrate")

# What `prisma migrate` locks, so that neither runs beside the other.
_LOCK: Final = 72707369
_LOCK_SECONDS: Final = 60.0
_LOCK_PAUSE_SECONDS: Final = 0.05
_TABLE: Final = "_prisma_migrations"
# Our migrations carry our name behind their number, because the history may be shared with an application that has its
# own, which may speak of agentdb, too: add_agentdb_tables.
_OURS: Final = re.compile(r"\d+_agentdb_")

_CREATE_TABLE: Final = """
CREATE TABLE {table} (
    "id"                    VARCHAR(36) PRIMARY KEY NOT NULL,
    "checksum"              VARCHAR(64) NOT NULL,
    "finished_at"           TIMESTAMPTZ,
    "migration_name"        VARCHAR(255) NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        TIMESTAMPTZ,
    "started_at"            TIMESTAMPTZ NOT NULL DEFAULT now(),
    "applied_steps_count"   INTEGER NOT NULL DEFAULT 0
)
"""
_READ: Final = """
SELECT migration_name, checksum, finished_at IS NOT NULL AS is_finished, rolled_back_at IS NOT NULL AS is_rolled_back
FROM {table} ORDER BY started_at
"""
_OTHER_TABLES: Final = """
SELECT count(*) FROM pg_class
WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p', 'f')
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
"""
# It may be ours, which members of agentdb_app read, or that of an application whose database has no agentdb yet.
_UNREADABLE: Final = (
    "This login may not read the history of migrations: it is no member of agentdb_app (as the tables' owner: "
    "GRANT agentdb_app TO <login>;), or the database has no agentdb tables yet. Run `agentdb migrate deploy`."
)
_CHECK: Final = f"""
SELECT migration_name, bool_or(finished_at IS NOT NULL) AS is_finished
FROM {_TABLE} WHERE rolled_back_at IS NULL GROUP BY migration_name
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One directory of prisma/migrations."""

    name: str
    source: Traversable

    def script(self) -> bytes:
        """Return the bytes of its migration.sql."""
        return (self.source / "migration.sql").read_bytes()

    def checksum(self) -> str:
        """Return the checksum that Prisma records: SHA-256 of the file's bytes, lower-case hexadecimal."""
        return hashlib.sha256(self.script()).hexdigest()

    def matches(self, checksum: str) -> bool:
        """Whether the file is the one that was applied; another kind of line end is no difference."""
        script = self.script()
        unix = script.replace(b"\r\n", b"\n")
        return checksum in {hashlib.sha256(each).hexdigest() for each in (script, unix, unix.replace(b"\n", b"\r\n"))}


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """
    What a database has of the migrations, all in name order.

    Attributes:
        applied: Migrations of this package that the database has.
        pending: Those that it lacks.
        failed: Those that began and did not end; nothing else is applied before they are resolved.
        edited: Those whose file has changed since it was applied.
        unknown: Migrations that the database has and this package does not.
        newer: Those of the unknown that are agentdb's: the database is newer than the package.
    """

    applied: list[str]
    pending: list[str]
    failed: list[str]
    edited: list[str]
    unknown: list[str]
    newer: list[str]

    @property
    def is_current(self) -> bool:
        """Whether the database fits this package."""
        return not (self.pending or self.failed or self.newer)


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    checksum: str
    is_finished: bool
    is_rolled_back: bool

    @property
    def is_applied(self) -> bool:
        return self.is_finished and not self.is_rolled_back

    @property
    def is_failed(self) -> bool:
        return not self.is_finished and not self.is_rolled_back


def find_migrations(directory: Path | Traversable | None = None) -> list[Migration]:
    """
    Return the migrations in name order.

    Args:
        directory: Where they are; None: in the installed package, else in the checkout.
    """
    root = directory or shipped.migrations()
    found = [Migration(entry.name, entry) for entry in root.iterdir() if (entry / "migration.sql").is_file()]
    return sorted(found, key=lambda migration: migration.name)


def is_ours(name: str) -> bool:
    """Whether a migration of this *name* is agentdb's, of whatever version."""
    return _OURS.match(name) is not None


async def deploy(database: str | ConnectionOptions, migrations: Path | Traversable | None = None) -> list[str]:
    """
    Apply the pending migrations; return their names. Any number of processes may do this at once.

    A migration and its record are one transaction: a process that is killed in the middle leaves nothing behind, and
    the next one begins again.

    Args:
        database: Where, as a role that may create tables.
        migrations: The directory of migrations; None takes the package's own.

    Raises:
        MigrationError: A migration failed now or earlier, or the schema holds tables but no history.
        ConnectionFailedError: The server cannot be reached.
        ConfigurationError: The URL leads to PgBouncer, which cannot hold the lock.
    """
    known = find_migrations(migrations)
    async with _connected(database) as session:
        rows = await session.rows()
        if rows is not None and not _pending(known, rows) and not any(row.is_failed for row in rows):
            return []
        async with session.locked():
            return await _apply_pending(session, known)


async def status(database: str | ConnectionOptions, migrations: Path | Traversable | None = None) -> MigrationStatus:
    """
    Compare a database with the migrations; changes nothing.

    Args:
        database: Where.
        migrations: The directory of migrations; None takes the package's own.
    """
    known = find_migrations(migrations)
    async with _connected(database) as session:
        rows = await session.rows() or []
    applied = {row.name: row.checksum for row in rows if row.is_applied}
    names = [migration.name for migration in known]
    unknown = sorted(applied.keys() - set(names))
    return MigrationStatus(
        applied=[name for name in names if name in applied],
        pending=[migration.name for migration in _pending(known, rows)],
        failed=sorted({row.name for row in rows if row.is_failed}),
        edited=[each.name for each in known if each.name in applied and not each.matches(applied[each.name])],
        unknown=unknown,
        newer=_newer(unknown),
    )


async def resolve(database: str | ConnectionOptions, name: str) -> bool:
    """
    Mark a failed migration as rolled back, so that the next `deploy` applies it again. Return whether there was one.

    Args:
        database: Where, as the role that migrates.
        name: The migration's name.
    """
    async with _connected(database) as session, session.locked():
        return await session.mark_rolled_back(name)


async def check(driver: Driver, migrations: Path | Traversable | None = None) -> None:
    """
    Refuse a database that does not fit this package. One query; the application role may run it.

    Args:
        driver: The way to the database.
        migrations: The directory of migrations; None takes the package's own.

    Raises:
        MigrationError: It is not migrated, older or newer than the package, or stuck in a failed migration.
    """
    try:
        rows = await driver.fetch(_CHECK)
    except DatabaseError as error:
        if error.sqlstate in ("42P01", "3F000"):  # no table; no schema
            raise _not_migrated() from error
        if error.sqlstate == "42501":
            raise MigrationError(_UNREADABLE) from error
        raise
    names = [migration.name for migration in find_migrations(migrations)]
    finished = {row["migration_name"] for row in rows if row["is_finished"]}
    failed = sorted(row["migration_name"] for row in rows if not row["is_finished"] and row["migration_name"] in names)
    if failed:
        raise _stuck(failed[0])
    newer = _newer(sorted(finished - set(names)))
    if newer:
        raise MigrationError(
            f"The database is newer than this agentdb: it has the migration {newer[0]}, which this version does not "
            "know. Upgrade agentdb: pip install --upgrade agentdb",
            migration=newer[0],
        )
    pending = [name for name in names if name not in finished]
    if len(pending) == len(names):
        raise _not_migrated()
    if pending:
        raise MigrationError(
            f"The database is older than this agentdb: it lacks {len(pending)} migration(s), the first is "
            f"{pending[0]}. Run `agentdb migrate deploy`.",
            migration=pending[0],
        )


async def _apply_pending(session: _Session, known: list[Migration]) -> list[str]:
    await session.prepare_schema()
    rows = await session.rows()  # again, under the lock: another process may have been faster
    if rows is None:
        await session.create_table()
        rows = []
    for row in rows:
        if row.is_failed:
            raise _stuck(row.name)
    pending = _pending(known, rows)
    for migration in pending:
        logger.info("applying a migration", extra={"migration": migration.name})
        await session.apply(migration)
    return [migration.name for migration in pending]


class _Session:
    """One connection that migrates."""

    def __init__(self, raw: Any, options: ConnectionOptions) -> None:
        self._raw = raw
        self._options = options
        self._schema = options.schema or "public"

    @property
    def _table(self) -> str:
        return f"{quoted(self._schema)}.{_TABLE}"

    async def find_schema(self) -> None:
        """Learn which schema unqualified names go to."""
        if self._options.schema is None:
            self._schema = await self._raw.fetchval("SELECT current_schema()") or "public"

    async def prepare_schema(self) -> None:
        """Make the schema that the URL names, as Prisma does."""
        if not await self._raw.fetchval("SELECT to_regnamespace($1) IS NOT NULL", quoted(self._schema)):
            await self._raw.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")

    async def rows(self) -> list[_Row] | None:
        """Return the history, oldest first; None when there is no table of it."""
        if await self._raw.fetchval("SELECT to_regclass($1)", self._table) is None:
            return None
        return [_Row(*row.values()) for row in await self._raw.fetch(_READ.format(table=self._table))]

    async def create_table(self) -> None:
        """Begin a history, unless the schema holds tables that have none."""
        if await self._raw.fetchval(_OTHER_TABLES, quoted(self._schema)):
            raise MigrationError(
                f"The schema {self._schema!r} holds tables but no history of migrations (P3005). Use an empty schema "
                "or database; or, if the tables are agentdb's, record what they have with `prisma migrate resolve`."
            )
        await self._raw.execute(_CREATE_TABLE.format(table=self._table))

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the lock that Prisma takes; a lost connection releases it."""
        deadline = time.monotonic() + _LOCK_SECONDS
        # Asking again and again, not waiting inside the server: a statement that waits holds a snapshot, for which a
        # CREATE INDEX CONCURRENTLY of the process that has the lock would wait in turn.
        while not await self._raw.fetchval(f"SELECT pg_try_advisory_lock({_LOCK})"):
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"Another migration of this database has been running for {_LOCK_SECONDS:.0f} s (P1002). "
                    "Wait for it and try again."
                )
            await asyncio.sleep(_LOCK_PAUSE_SECONDS)
        try:
            yield
        finally:
            if not self._raw.is_closed():
                await self._raw.execute(f"SELECT pg_advisory_unlock({_LOCK})")

    async def apply(self, migration: Migration) -> None:
        """Run one migration and record it."""
        identity = str(uuid.uuid4())
        try:
            try:
                await self._apply_at_once(migration, identity)
            except asyncpg.ActiveSQLTransactionError:
                # CREATE INDEX CONCURRENTLY and its like refuse to share a transaction; nothing has happened yet.
                await self._apply_alone(migration, identity)
        except asyncpg.PostgresError as error:
            await self._record_failure(migration, identity, error)
            reason = translate(error) or error
            raise MigrationError(
                f"Migration {migration.name} failed (P3018): {reason}. Nothing of it was applied unless it commits by "
                f"itself. When the cause is gone: `agentdb migrate resolve {migration.name}`, then deploy again.",
                migration=migration.name,
            ) from error

    async def _apply_at_once(self, migration: Migration, identity: str) -> None:
        # Several statements in one simple query are one transaction, the record included.
        script = migration.script().decode()
        await self._raw.execute(f"{self._insert(migration, identity)};\n{script}\n;{self._finish(identity)}")

    async def _apply_alone(self, migration: Migration, identity: str) -> None:
        await self._raw.execute(self._insert(migration, identity))
        await self._raw.execute(migration.script().decode())
        await self._raw.execute(self._finish(identity))

    async def _record_failure(self, migration: Migration, identity: str, error: asyncpg.PostgresError) -> None:
        if self._raw.is_closed():
            return
        if self._raw.is_in_transaction():
            await self._raw.execute("ROLLBACK")
        logs = _log_text(migration, error)
        await self._raw.execute(f"{self._insert(migration, identity)} ON CONFLICT (id) DO NOTHING")
        await self._raw.execute(f"UPDATE {self._table} SET logs = $1 WHERE id = $2", logs, identity)

    def _insert(self, migration: Migration, identity: str) -> str:
        name = migration.name.replace("'", "''")
        return (
            f"INSERT INTO {self._table} (id, checksum, migration_name, started_at) "
            f"VALUES ('{identity}', '{migration.checksum()}', '{name}', clock_timestamp())"
        )

    def _finish(self, identity: str) -> str:
        return (
            f"UPDATE {self._table} SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = '{identity}'"
        )

    async def mark_rolled_back(self, name: str) -> bool:
        """Mark the failed runs of *name*."""
        if await self.rows() is None:
            return False
        tag: str = await self._raw.execute(
            f"UPDATE {self._table} SET rolled_back_at = now() "
            "WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL",
            name,
        )
        return tag != "UPDATE 0"


@contextlib.asynccontextmanager
async def _connected(database: str | ConnectionOptions) -> AsyncIterator[_Session]:
    options = parse_url(database) if isinstance(database, str) else database
    if options.pgbouncer:
        raise ConfigurationError(
            "AGENTDB_MIGRATION_URL",
            "migrations hold a lock for a session, which PgBouncer cannot keep; give a URL that leads to PostgreSQL.",
        )
    # A migration may take long; a limit meant for the application's statements must not cut it off.
    options = replace(options, command_timeout_seconds=None)
    settings = {"application_name": "agentdb migrate", "jit": "off"}
    if options.schema is not None:
        settings["search_path"] = quoted(options.schema)
    try:
        raw = await asyncpg.connect(**options.connect_arguments(), statement_cache_size=0, server_settings=settings)
    except Exception as error:
        raise translate_connect(error, options) or error from error
    try:
        session = _Session(raw, options)
        await session.find_schema()
        yield session
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise translate(error) or error from error
    finally:
        with contextlib.suppress(Exception):
            await asyncio.shield(raw.close(timeout=2.0))


def _pending(known: Iterable[Migration], rows: Iterable[_Row]) -> list[Migration]:
    applied = {row.name for row in rows if row.is_applied}
    return [migration for migration in known if migration.name not in applied]


def _newer(unknown: list[str]) -> list[str]:
    return [name for name in unknown if is_ours(name)]


def _not_migrated() -> MigrationError:
    return MigrationError("The database has no agentdb tables yet. Run `agentdb migrate deploy`.")


def _stuck(name: str) -> MigrationError:
    return MigrationError(
        f"Migration {name} failed earlier, and no other is applied before that is resolved (P3009); the column logs of "
        f"{_TABLE} says why. When the cause is gone: `agentdb migrate resolve {name}`, then `agentdb migrate deploy`.",
        migration=name,
    )


def _log_text(migration: Migration, error: asyncpg.PostgresError) -> str:
    # As Prisma words it: its own `migrate resolve` and dashboards show this text.
    parts = [
        "A migration failed to apply. New migrations cannot be applied before the error is recovered from. "
        "Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve",
        f"Migration name: {migration.name}",
        f"Database error code: {error.sqlstate}",
        f"Database error:\nERROR: {error}",
    ]
    return "\n\n".join(parts) + "\n"
