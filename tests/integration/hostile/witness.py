"""What must stay, whatever is thrown at the client: the server's peace, its catalogue, other organizations' rows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from agentdb.client.database import TABLES
from agentdb.postgres.url import parse_url
from tests.conftest import Database

__all__ = ["OTHERS", "checksums", "superuser", "unharmed"]

OTHERS: Final = ("globex", "Acme", "acm\u00e9", "acme\u200b")
"""Other organizations, some with names much like ours, whose rows must stay as they are."""

# What objects there are, whose they are and who may do what with them; not what the server counts as it goes along.
_CATALOGUE: Final = {
    "pg_class": "relpages, reltuples, relallvisible, relallfrozen, relfrozenxid, relminmxid, relfilenode, relhasindex",
    "pg_proc": "",
    "pg_policy": "",
    "pg_attribute": "",
    "pg_constraint": "",
    "pg_trigger": "",
    "pg_index": "",
    "pg_namespace": "",
    "pg_type": "",
    "pg_extension": "",
    "pg_default_acl": "",
    "pg_roles": "",
    "pg_auth_members": "",
    "pg_db_role_setting": "",
    "pg_publication": "",
    "pg_event_trigger": "",
    "pg_rewrite": "",
    "pg_language": "",
    "pg_operator": "",
    "pg_cast": "",
    "pg_foreign_server": "",
    "pg_largeobject_metadata": "",
}
_ERROR: Final = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(\w{5}): (.*)")
# The server refuses a row: a key is taken, a row that it refers to is not there, a value is out of bounds on purpose;
# a name is too long for an index beside other names.
_HARMLESS: Final = ("23503", "23505", "23514", "54000")


async def superuser(database: Database) -> asyncpg.Connection:
    """Return a connection that no policy binds."""
    return await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())


async def checksums(connection: asyncpg.Connection, organizations: Collection[str] | None = None) -> Mapping[str, str]:
    """Return a checksum of the rows of each table: those of *organizations*, None: all."""
    found: dict[str, str] = {}
    for table in TABLES:
        found[table] = await connection.fetchval(
            f"""
            SELECT count(*) || ' ' || md5(coalesce(string_agg(digest, '' ORDER BY digest), ''))
            FROM (
                SELECT md5(to_jsonb(t)::text) AS digest FROM {table} AS t
                WHERE $1::text[] IS NULL OR organization_id = ANY ($1)
            ) AS digests
            """,
            None if organizations is None else list(organizations),
        )
    return found


async def _catalogue(connection: asyncpg.Connection, changing: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, counted in _CATALOGUE.items():
        if name in changing:
            continue
        columns = [column.strip() for column in counted.split(",") if column.strip()]
        found[name] = await connection.fetchval(
            f"""
            SELECT md5(string_agg(row::text, '' ORDER BY row::text))
            FROM (SELECT to_jsonb(c) - $1::text[] AS row FROM {name} AS c) AS rows
            """,
            columns,
        )
    return found


@asynccontextmanager
async def unharmed(
    database: Database,
    log: Path,
    *,
    others: Collection[str] = OTHERS,
    allowed: Collection[str] = (),
    changing: Collection[str] = (),
) -> AsyncIterator[asyncpg.Connection]:
    """
    Check that a block does no harm; inside it, connections are new ones.

    The server may not complain of anything but refused rows: no statement that it cannot read (42601), none that is not
    allowed or names what is not there (class 42), none that it fails over (XX). The catalogue stays as it is, and so do
    the rows of other organizations. Yields an administrator's connection.

    Args:
        database: The database.
        log: The server's log.
        others: The organizations that the block may not touch.
        allowed: SQLSTATEs that the block provokes on purpose.
        changing: Tables of the catalogue that it changes on purpose.
    """
    connection = await superuser(database)
    try:
        # The SQLSTATE is in the log only when it is verbose; a session reads this when it begins.
        for setting in (
            "log_error_verbosity = verbose",
            "log_min_messages = warning",
            "log_min_error_statement = error",
        ):
            await connection.execute(f'ALTER DATABASE "{database.name}" SET {setting}')
        before = await _catalogue(connection, changing), await checksums(connection, others)
        start = len(_read(log))
        yield connection
        after = await _catalogue(connection, changing), await checksums(connection, others)
        said = _read(log)[start:].decode(errors="replace")
        errors = [match for match in _ERROR.findall(said) if match[0] not in (*_HARMLESS, *allowed)]
        assert not errors, f"the server's log: {errors[:5]}"
        assert after == before
    finally:
        await connection.close()


def _read(log: Path) -> bytes:
    return log.read_bytes()
