"""
Approximate indexes over embeddings: one for each model and length that has many memories.

All embeddings live in one column, whatever their model and length. An index holds those of one kind, in half precision,
under the name that `index_name` gives it: a search uses it where its scope is large, and scans where there is none.

This is an administrator's work and takes no organization: only the owner of the tables can make an index, and
row-level security does not bind the owner, so what is counted here are everybody's memories.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.client.memory.embedding_kinds import (
    EmbeddingKind,
    IndexState,
    check_owner,
    find_index,
    list_embedding_kinds,
)
from agentdb.client.memory.retrieval import MAX_INDEXED_DIMENSIONS, index_name
from agentdb.client.queries import Written, write_out
from agentdb.errors import ConfigurationError, DatabaseError, InvalidInputError
from agentdb.validation import check_count, check_text

if TYPE_CHECKING:
    from agentdb.postgres.driver import Driver, Record
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import ConnectionOptions

__all__ = [
    "BuildProgress",
    "EmbeddingKind",
    "IndexState",
    "create_embedding_index",
    "drop_embedding_index",
    "list_embedding_kinds",
    "owner_pool",
]

_MAX_DIMENSIONS: Final = 16_000
_MAX_MEMORY_MB: Final = 1_000_000
_PAUSE_SECONDS: Final = 0.25
_CONNECTIONS: Final = 3  # one that holds the lock, one that builds, one that looks how far it is

_CREATE: Final = """
CREATE INDEX CONCURRENTLY {name} ON agent_memories
USING hnsw ((l2_normalize(embedding)::halfvec($3)) halfvec_cosine_ops) WITH (m = $4, ef_construction = $5)
WHERE embedding_model = $2 AND embedding_dimensions = $3
"""
_PROGRESS: Final = """
SELECT phase, lockers_done, lockers_total, blocks_done, blocks_total, tuples_done, tuples_total
FROM pg_stat_progress_create_index WHERE relid = to_regclass('agent_memories')
"""

# The lock belongs to a transaction that does nothing else. It must hold no snapshot, or a build waits for it as for any
# older transaction: so READ COMMITTED, and everything over the simple protocol, which leaves no open portal behind.
_BEGIN_HOLDING: Final = """
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
_TRY_TO_LOCK: Final = "SELECT WHERE pg_try_advisory_xact_lock(72707370)"
_LOCKED: Final = "SELECT 1"
_SHARED_MEMORY_REMEDY: Final = (
    "Build with less memory than the server's container may share (--memory-mb 60), or let it share more (docker run "
    "--shm-size)."
)


class BuildProgress(NamedTuple):
    """
    How far a build is.

    Attributes:
        phase: What it does, in PostgreSQL's words; several times it waits for transactions that are older.
        done: How much of the phase is done, in blocks, rows or transactions.
        total: Of how much; 0 when that is not known.
    """

    phase: str
    done: int
    total: int


Report = Callable[[BuildProgress], object]


def owner_pool(options: ConnectionOptions, *, memory_mb: int = 1024) -> Pool:
    """
    Return a pool, not yet open, for the work here: no time limit cuts a build off, and it has memory.

    Args:
        options: Where, as the owner of the tables.
        memory_mb: Most memory of a build, 1 to 1,000,000 MB. One that needs more goes on several times as slowly.

    Raises:
        ConfigurationError: The URL leads to PgBouncer.
        InvalidInputError: *memory_mb* is out of range.
    """
    from agentdb.postgres.pool import Pool  # asyncpg is loaded when it is first needed

    memory = f"{check_count(memory_mb, 'memory_mb', _MAX_MEMORY_MB)}MB"
    if options.pgbouncer:
        raise ConfigurationError(
            options.variable, "an index is built in a session of its own; give a URL that leads to PostgreSQL."
        )
    settings = {"statement_timeout": "0", "lock_timeout": "0", "maintenance_work_mem": memory}
    unlimited = replace(
        options,
        command_timeout_seconds=None,
        connection_limit=max(_CONNECTIONS, options.connection_limit),
        settings={**options.settings, **settings},
    )
    return Pool(unlimited, application_name="agentdb index")


async def create_embedding_index(
    driver: Driver,
    model: str,
    dimensions: int,
    *,
    m: int = 16,
    ef_construction: int = 64,
    progress: Report | None = None,
) -> bool:
    """
    Build the index of one kind of embeddings while the table is read and written; False if a valid one is there.

    What a build that broke off left behind is dropped first. Any number of processes may do this at once: one builds,
    the others wait for it. A build waits for every transaction that is older than itself.

    Args:
        driver: The way to the database as the owner of the tables: a pool's, of three connections or more, best that
            of `owner_pool`.
        model: What made the embeddings.
        dimensions: How long they are.
        m: Neighbours of each embedding in the graph, 2 to 100; more find more, and take more memory and time.
        ef_construction: Candidates for these, twice *m* to 1,000.
        progress: Called now and then with how far the build is, also while another process builds; an exception of it
            ends the build.

    Raises:
        InvalidInputError: The embeddings are too long to be indexed, or an argument is out of range.
        ConfigurationError: The role does not own the tables.
        MigrationError: There are no tables.
    """
    name, sql = _statement(model, dimensions, m, ef_construction)
    await check_owner(driver)
    async with _alone(driver, progress):
        index = await _settled(driver, name, progress)
        if index is not None and index["is_valid"]:
            return False
        if index is not None:
            await driver.script(f"DROP INDEX CONCURRENTLY {index['sql_name']}")
        await _watched(driver, driver.script(sql), progress)
    return True


async def drop_embedding_index(driver: Driver, model: str, dimensions: int) -> bool:
    """
    Drop the index of one kind of embeddings, whole or not; searches scan then. Return whether there was one.

    Args:
        driver: As for `create_embedding_index`.
        model: What made the embeddings.
        dimensions: How long they are.

    Raises:
        InvalidInputError: An argument is out of range.
        ConfigurationError: The role does not own the tables.
        MigrationError: There are no tables.
    """
    name = index_name(check_text(model, "model"), check_count(dimensions, "dimensions", _MAX_DIMENSIONS))
    await check_owner(driver)
    async with _alone(driver, None):
        index = await find_index(driver, name)
        if index is not None:
            await driver.script(f"DROP INDEX CONCURRENTLY {index['sql_name']}")
    return index is not None


def _statement(model: str, dimensions: int, m: int, ef_construction: int) -> tuple[str, str]:
    """Return the index's name and the statement that builds it, the model written as `search` writes it."""
    check_text(model, "model")
    if check_count(dimensions, "dimensions", _MAX_DIMENSIONS) > MAX_INDEXED_DIMENSIONS:
        raise InvalidInputError(
            "dimensions",
            f"pgvector indexes at most {MAX_INDEXED_DIMENSIONS:,}; longer embeddings are scanned, which is exact.",
        )
    if check_count(m, "m", 100) < 2:
        raise InvalidInputError("m", "expected a whole number, 2 to 100.")
    if check_count(ef_construction, "ef_construction", 1000) < max(4, 2 * m):
        raise InvalidInputError("ef_construction", f"expected {max(4, 2 * m)} or more, twice m.")
    name = index_name(model, dimensions)
    sql, _ = write_out(_CREATE.replace("{name}", name), Written(model), dimensions, m, ef_construction)
    return name, sql


@asynccontextmanager
async def _alone(driver: Driver, progress: Report | None) -> AsyncIterator[None]:
    """Let one process at a time make or drop an index."""
    async with driver.transaction() as holder:
        await holder.script(_BEGIN_HOLDING)
        # Asking again and again: a statement that waits in the server holds a snapshot.
        while await holder.script(_TRY_TO_LOCK) != _LOCKED:
            await _report(driver, progress)
            await asyncio.sleep(_PAUSE_SECONDS)
        yield


async def _settled(driver: Driver, name: str, progress: Report | None) -> Record | None:
    """Return the index that is there once nobody builds it: of a process that was killed, the server may go on."""
    index = await find_index(driver, name)
    while index is not None and index["is_building"]:
        await _report(driver, progress)
        await asyncio.sleep(_PAUSE_SECONDS)
        index = await find_index(driver, name)
    # Once more: what became valid in the moment of the look was seen neither valid nor being built.
    return index if index is None or index["is_valid"] else await find_index(driver, name)


async def _watched(driver: Driver, build: Awaitable[str], progress: Report | None) -> None:
    """Await *build*, and report how far it is meanwhile."""
    task = asyncio.ensure_future(build)
    try:
        while not (await asyncio.wait([task], timeout=_PAUSE_SECONDS))[0]:
            await _report(driver, progress)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    try:
        task.result()
    except DatabaseError as error:
        if "shared memory segment" not in str(error):
            raise
        # Workers that build together share all of the build's memory; a container has 64 MB to share.
        raise DatabaseError(f"{error}. {_SHARED_MEMORY_REMEDY}", sqlstate=error.sqlstate) from error


async def _report(driver: Driver, progress: Report | None) -> None:
    if progress is None:
        return
    for row in await driver.fetch(_PROGRESS):
        phase = row["phase"]
        what = "lockers" if phase.startswith("waiting") else "blocks" if row["blocks_total"] else "tuples"
        progress(BuildProgress(phase, row[f"{what}_done"], row[f"{what}_total"]))
