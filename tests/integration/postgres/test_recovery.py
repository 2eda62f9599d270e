"""What the pool mends by itself, what it does not dare to repeat, and how it says so."""

from __future__ import annotations

import asyncio

import pytest

from agentdb.errors import CommitUnknownError, ConnectionFailedError, DatabaseError
from agentdb.postgres.pool import Pool
from tests.conftest import Database
from tests.integration.postgres.conftest import MakePool
from tests.integration.postgres.test_pool import settle
from tests.wire import Wire

KILL_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_a_statement_outlives_a_change_of_its_result(make_pool: MakePool) -> None:
    """After ALTER TABLE a prepared statement is prepared again, on every connection, unseen by the caller."""
    pool = await make_pool(connection_limit=3)
    driver = pool.driver()
    await driver.script("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    select = "SELECT * FROM t, (SELECT FROM pg_sleep(0.02)) s"
    await asyncio.gather(*(driver.fetch(select) for _ in range(3)))
    await driver.script("ALTER TABLE t ADD b text DEFAULT 'x'")
    for _ in range(4):
        rows = await asyncio.gather(*(driver.fetch(select) for _ in range(3)))
        assert [tuple(row[0]) for row in rows] == [(1, "x")] * 3


async def test_a_statement_outlives_a_change_of_its_parameters(pool: Pool) -> None:
    """A parameter that was prepared as text works when its column has become a number."""
    driver = pool.driver()
    await driver.script("CREATE TABLE t (a text); INSERT INTO t VALUES ('1')")
    assert len(await driver.fetch("SELECT a FROM t WHERE a = $1", ["1"])) == 1
    await driver.script("ALTER TABLE t ALTER a TYPE int USING a::int")
    with pytest.raises(DatabaseError):
        await driver.fetch("SELECT a FROM t WHERE a = $1", ["1"])  # prepared again, it takes a number
    assert len(await driver.fetch("SELECT a FROM t WHERE a = $1", [1])) == 1


async def test_deallocated_statements_are_prepared_again(make_pool: MakePool) -> None:
    """DEALLOCATE or DISCARD in somebody's script does not break the pool."""
    pool = await make_pool(connection_limit=1)
    driver = pool.driver()
    await driver.fetch("SELECT 1")
    await driver.script("DEALLOCATE ALL")
    assert (await driver.fetch("SELECT 1"))[0][0] == 1


async def test_in_a_transaction_a_stale_statement_is_a_transient_error(make_pool: MakePool) -> None:
    """It cannot be repeated there; the next transaction works."""
    pool = await make_pool(connection_limit=1)
    driver = pool.driver()
    await driver.script("CREATE TABLE t (a int)")
    await driver.fetch("SELECT * FROM t")
    somebody_else = await make_pool(connection_limit=1)
    await somebody_else.driver().script("ALTER TABLE t ADD b int")
    with pytest.raises(DatabaseError) as raised:
        async with driver.transaction() as tx:
            await tx.fetch("SELECT * FROM t")
    assert raised.value.is_transient
    async with driver.transaction() as tx:
        assert await tx.fetch("SELECT * FROM t") == []


async def test_a_composite_type_that_changed_is_read_anew(make_pool: MakePool) -> None:
    """The call that finds out fails, since its statement has run; the next one reads the new type."""
    pool = await make_pool(connection_limit=1)
    driver = pool.driver()
    await driver.script("CREATE TYPE pair AS (a int, b int)")
    assert tuple((await driver.fetch("SELECT (1, 2)::pair"))[0][0]) == (1, 2)
    await driver.script("ALTER TYPE pair ADD ATTRIBUTE c int")
    with pytest.raises(DatabaseError):
        await driver.fetch("SELECT (1, 2, 3)::pair")
        await driver.fetch("SELECT (1, 2, NULL)::pair")
        await driver.fetch("SELECT (1, 2)::pair")
    assert len((await driver.fetch("SELECT (1, 2, 3)::pair AS p"))[0][0]) == 3


async def test_connections_that_died_idle_are_replaced(make_pool: MakePool, database: Database) -> None:
    """A restart of the server between two calls is not seen, for reads and for writes."""
    pool = await make_pool(connection_limit=3)
    driver = pool.driver()
    await driver.script("CREATE TABLE t (n int)")
    await asyncio.gather(*(driver.fetch("SELECT pg_sleep(0.05)") for _ in range(3)))
    admin = await make_pool(database.superuser_url)
    assert (await admin.driver().fetch(KILL_OTHERS))[0][0] == 3
    await asyncio.sleep(0.05)
    assert await driver.execute("INSERT INTO t VALUES (1)") == 1
    async with driver.transaction() as tx:
        await tx.execute("INSERT INTO t VALUES (2)")
    assert (await driver.fetch("SELECT count(*) FROM t"))[0][0] == 2


async def test_a_connection_that_died_while_the_loop_slept_is_replaced(
    make_pool: MakePool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop gets a moment to notice before a rested connection is used."""
    import time

    pool = await make_pool(connection_limit=1)
    admin = await make_pool(database.superuser_url, connection_limit=1)
    monkeypatch.setattr("agentdb.postgres.pool._RESTED_SECONDS", 0.0)
    transaction = await admin.driver().begin()
    await transaction.execute(KILL_OTHERS)
    time.sleep(0.5)  # noqa: ASYNC251 - the loop must not see the end of the connection
    assert (await pool.driver().fetch("SELECT 1"))[0][0] == 1
    await transaction.rollback()


async def test_a_write_that_was_under_way_is_in_doubt(make_pool: MakePool, database: Database) -> None:
    """Lost in the middle, a lone write may have happened: it is not repeated, and the error says so."""
    pool = await make_pool(connection_limit=1)
    driver = pool.driver()
    await driver.script("CREATE TABLE t (n int)")
    admin = await make_pool(database.superuser_url, connection_limit=1)
    write = asyncio.create_task(driver.execute("INSERT INTO t SELECT 1 FROM pg_sleep(30)"))
    await asyncio.sleep(0.05)
    await admin.driver().fetch(KILL_OTHERS)
    with pytest.raises(CommitUnknownError, match="may or may not"):
        await write
    await driver.fetch("SELECT 1")


async def test_a_read_that_was_under_way_is_a_failed_connection(make_pool: MakePool, database: Database) -> None:
    """There is nothing to doubt; it may be tried again."""
    pool = await make_pool(connection_limit=1)
    admin = await make_pool(database.superuser_url, connection_limit=1)
    read = asyncio.create_task(pool.driver().fetch("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.05)
    await admin.driver().fetch(KILL_OTHERS)
    with pytest.raises(ConnectionFailedError) as raised:
        await read
    assert raised.value.is_transient


async def test_a_transaction_that_lost_its_connection_did_nothing(make_pool: MakePool, database: Database) -> None:
    """The statement fails, the block ends without another error, the pool goes on."""
    pool = await make_pool(connection_limit=1)
    driver = pool.driver()
    await driver.script("CREATE TABLE t (n int)")
    admin = await make_pool(database.superuser_url, connection_limit=1)
    with pytest.raises(ConnectionFailedError):
        async with driver.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
            await admin.driver().fetch(KILL_OTHERS)
            await asyncio.sleep(0.05)
            await tx.execute("INSERT INTO t VALUES (2)")
    assert await driver.fetch("SELECT * FROM t") == []
    assert pool.stats.in_use == 0


async def test_a_commit_that_was_under_way_is_in_doubt(
    make_pool: MakePool, database: Database, roundtrips: Wire
) -> None:
    """The network breaks between COMMIT and its answer."""
    pool = await make_pool(roundtrips.url(database.admin_url), connection_limit=1)
    driver = pool.driver()
    await driver.script(
        "CREATE TABLE t (n int); CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END'; "
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    transaction = await driver.begin()
    await transaction.execute("INSERT INTO t VALUES (1)")
    commit = asyncio.create_task(transaction.commit())
    await asyncio.sleep(0.05)
    roundtrips.cut()
    with pytest.raises(CommitUnknownError):
        await commit
    await asyncio.sleep(0.3)
    assert (await driver.fetch("SELECT count(*) FROM t"))[0][0] == 1  # it did


async def test_too_many_connections_waits_for_ours(make_pool: MakePool, database: Database) -> None:
    """When the server gives no more, callers share what there is."""
    first = await make_pool(database.superuser_url)
    await first.driver().script(f'ALTER DATABASE "{database.name}" CONNECTION LIMIT 2')
    pool = await make_pool(connection_limit=5)
    rows = await asyncio.gather(*(pool.driver().fetch("SELECT 1 FROM pg_sleep(0.01)") for _ in range(10)))
    assert len(rows) == 10
    assert pool.stats.size == 1


async def test_a_server_that_vanished_fails_every_caller(
    make_pool: MakePool, roundtrips: Wire, database: Database
) -> None:
    """Nobody waits for the pool's time-out when there is nothing to connect to."""
    pool = await make_pool(roundtrips.url(database.admin_url), connection_limit=2)
    assert roundtrips._server is not None
    roundtrips._server.close()
    path = roundtrips._directory / ".s.PGSQL.5432"
    path.unlink()
    roundtrips.cut()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        results = await asyncio.gather(*(pool.driver().fetch("SELECT 1") for _ in range(6)), return_exceptions=True)
    assert all(isinstance(each, ConnectionFailedError) for each in results)
    await settle(pool)
