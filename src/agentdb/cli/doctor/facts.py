"""What the database says, gathered in a few round trips; what is made of it, the checks decide."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.client.database import TABLES
from agentdb.client.memory.embedding_kinds import sort_indexes
from agentdb.client.queries import load_queries
from agentdb.client.walls import Walls, look_at_walls

if TYPE_CHECKING:
    from agentdb.postgres.driver import Driver, Record

__all__ = [
    "Clock",
    "Database",
    "Organization",
    "Part",
    "Server",
    "TableSize",
    "VectorIndex",
    "ask_database",
    "ask_organization",
    "ask_server",
]

_READINGS: Final = 3
_NO_VALUE: Final = "?"

# Of other roles' sessions the view tells no more than that they are there, and this counts them.
_SERVER: Final = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS version_number,
    current_setting('server_encoding') AS encoding,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS is_encrypted_there,
    pg_is_in_recovery() AS is_replica, current_setting('default_transaction_read_only')::boolean AS is_read_only,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector,
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS vector_available,
    current_setting('max_connections')::int AS most_connections,
    current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
    (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS sessions,
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_limit,
    (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_limit,
    current_setting('statement_timeout') AS statement_timeout, current_setting('lock_timeout') AS lock_timeout,
    current_setting('idle_in_transaction_session_timeout') AS idle_timeout, current_setting('TimeZone') AS time_zone
"""
# The schemas in the search path of the functions that run as the owner of the tables, where the application might put a
# function or an operator of its own that they would call.
_OPEN_SCHEMAS: Final = """
SELECT array_agg(n.nspname::text ORDER BY n.nspname) FROM pg_namespace AS n
WHERE n.oid IN (
        SELECT relnamespace FROM pg_class WHERE oid = to_regclass('agents')
        UNION SELECT extnamespace FROM pg_extension WHERE extname = 'vector'
    )
    AND (has_schema_privilege('agentdb_app', n.oid, 'CREATE') OR $1 AND has_schema_privilege(n.oid, 'CREATE'))
"""
# An index that is being built is not valid either; who builds one is in the view, and holds this lock on its table.
_PARTS: Final = """
WITH tables AS (SELECT unnest($1::text[]::regclass[])::oid AS oid)
SELECT 'index' AS kind, c.relname::text AS name, i.indrelid::regclass::text AS table, CASE
        WHEN i.indisvalid AND i.indisready THEN 'ok'
        WHEN EXISTS (
            SELECT FROM pg_stat_progress_create_index AS p JOIN pg_locks AS l ON l.pid = p.pid
            WHERE p.datname = current_database() AND coalesce(p.index_relid, i.indexrelid) = i.indexrelid
                AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
        ) THEN 'building' ELSE 'invalid' END AS state
FROM pg_index AS i JOIN tables AS t ON t.oid = i.indrelid JOIN pg_class AS c ON c.oid = i.indexrelid
UNION ALL
SELECT 'constraint', conname::text, conrelid::regclass::text, CASE WHEN convalidated THEN 'ok' ELSE 'not validated' END
FROM pg_constraint JOIN tables AS t ON t.oid = conrelid WHERE contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
SELECT 'trigger', tgname::text, tgrelid::regclass::text, CASE WHEN tgenabled IN ('D', 'R') THEN 'disabled' ELSE 'ok' END
FROM pg_trigger JOIN tables AS t ON t.oid = tgrelid WHERE NOT tgisinternal
"""
_SIZES: Final = """
SELECT c.relname::text AS name, greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) AS size_bytes,
    coalesce(s.n_live_tup, 0) AS live, coalesce(s.n_dead_tup, 0) AS dead, current_setting('autovacuum')::boolean AND NOT
        coalesce('autovacuum_enabled=false' = ANY (c.reloptions), false) AS is_vacuumed
FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.oid = ANY ($1::text[]::regclass[]) ORDER BY 3 DESC, 1
"""
# How often each index of embeddings served a search since the statistics were reset.
_VECTOR_INDEXES: Final = """
SELECT indexrelname::text AS name, idx_scan AS scans, pg_relation_size(indexrelid) AS size_bytes
FROM pg_stat_user_indexes
WHERE relid = to_regclass('agent_memories') AND starts_with(indexrelname::text, 'agent_memories_near_')
"""
# How late upkeep is: what should be gone by now, or ended, or rolled up. Each is the end of an index.
_ORGANIZATION: Final = """
SELECT (SELECT count(*) FROM agents WHERE organization_id = $1) AS agents,
    EXISTS (SELECT FROM agent_memories WHERE organization_id = $1) AS has_memories,
    (SELECT count(*) FROM (
        SELECT FROM agent_memories WHERE organization_id = $1 AND embedding_error IS NOT NULL LIMIT 10000
    ) AS waiting) AS unembedded,
    (SELECT min(expires_at) FROM agent_memories WHERE organization_id = $1 AND expires_at IS NOT NULL) AS expired_at,
    (SELECT min(heartbeat_at) FROM agent_executions WHERE organization_id = $1 AND status = 'running') AS silent_since,
    (SELECT max(starts_at) FROM agent_metric_rollups WHERE organization_id = $1) AS rolled_up_to,
    EXISTS (
        SELECT FROM agent_metrics WHERE organization_id = $1 AND recorded_at < now() - interval '1 day'
    ) AS has_old_points,
    now() AS now
"""


class Clock(NamedTuple):
    """How far the server's clock is ahead of this machine's, give or take half of the round trip; both in seconds."""

    ahead: float
    uncertainty: float


@dataclass(frozen=True, slots=True)
class Server:
    """
    What can be asked of any database.

    Attributes:
        row: The columns of the query above.
        latency_ms: The shortest round trip.
        clock: As read in that round trip.
    """

    row: Record
    latency_ms: float
    clock: Clock


class Part(NamedTuple):
    """An index, a constraint or a trigger of one of our tables; *state* is "ok", or what is wrong with it."""

    kind: str
    name: str
    table: str
    state: str


class TableSize(NamedTuple):
    """What a table takes with its indexes, of all organizations; rows by the server's statistics."""

    name: str
    rows: int
    size_bytes: int
    live: int
    dead: int
    is_vacuumed: bool


class VectorIndex(NamedTuple):
    """An index of embeddings, and how often it served a search."""

    name: str
    scans: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Database:
    """
    What the catalogue says of our tables; the same to every role.

    Attributes:
        open_schemas: Those that the application may put something into.
        vector_indexes: Those that searches can use.
        broken_vector_indexes: What builds that broke off left behind.
    """

    walls: Walls
    open_schemas: Sequence[str]
    parts: Sequence[Part]
    sizes: Sequence[TableSize]
    vector_indexes: Sequence[VectorIndex]
    broken_vector_indexes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Organization:
    """
    What there is of the organization of the settings; row-level security shows no other's.

    Attributes:
        row: The columns of the query above.
        keys: Of how many rows each key has sealed something, by its id.
    """

    row: Record
    keys: Mapping[str, int]


async def ask_server(driver: Driver) -> Server:
    """Return what the server says of itself, and how far away it is."""
    (row,) = await driver.fetch(_SERVER)
    readings = [await _read_clock(driver) for _ in range(_READINGS)]
    best = min(readings, key=lambda reading: reading.uncertainty)
    return Server(row, 2000 * best.uncertainty, best)


async def ask_database(driver: Driver) -> Database:
    """Return what the catalogue says; the database is migrated."""
    tables = [*TABLES]
    walls = await look_at_walls(driver, TABLES)
    valid, broken = await sort_indexes(driver)
    indexes = [VectorIndex(**row) for row in await driver.fetch(_VECTOR_INDEXES)]
    return Database(
        walls,
        (await driver.fetch(_OPEN_SCHEMAS, (walls.is_bound,)))[0][0] or [],
        [Part(**row) for row in await driver.fetch(_PARTS, (tables,))],
        [TableSize(**row) for row in await driver.fetch(_SIZES, (tables,))],
        [index for index in indexes if index.name in valid],
        broken,
    )


async def ask_organization(driver: Driver, organization_id: str) -> Organization:
    """Return what there is of an organization; *driver* is set to it."""
    (row,) = await driver.fetch(_ORGANIZATION, (organization_id,))
    keys: dict[str, int] = {}
    for found in await driver.fetch(load_queries("rotation")["keys_in_use"], (organization_id,)):
        key = _text(found["key"])
        keys[key] = keys.get(key, 0) + found["count"]
    return Organization(row, keys)


async def _read_clock(driver: Driver) -> Clock:
    started, before = time.perf_counter(), _now()  # in this order: whatever lies between them is part of the round trip
    (row,) = await driver.fetch("SELECT clock_timestamp() AS now")
    taken = time.perf_counter() - started
    # The server read its clock somewhere between the two ends of the round trip.
    return Clock((row["now"] - before).total_seconds() - taken / 2, taken / 2)


def _now() -> datetime:
    return datetime.now(UTC)


def _text(key: object) -> str:
    return key.decode() if isinstance(key, bytes) and key.isascii() else _NO_VALUE
