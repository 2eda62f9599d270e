"""Transactions end as their block says, whatever happens inside; savepoints nest; concurrent calls queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentdb.errors import DatabaseError, TransactionClosedError, TransactionConflictError
from agentdb.postgres.driver import Driver, Transaction
from agentdb.postgres.pool import Pool
from tests.conftest import Database
from tests.integration.postgres.conftest import MakePool
from tests.integration.postgres.test_pool import settle
from tests.wire import Wire


@pytest.fixture
async def table(pool: Pool) -> str:
    """A table of numbers."""
    await pool.driver().script("CREATE TABLE t (n int PRIMARY KEY)")
    return "t"


async def add(driver: Driver, number: int) -> None:
    await driver.execute("INSERT INTO t VALUES ($1)", [number])


async def tenant_of(driver: Driver) -> str | None:
    (row,) = await driver.fetch("SELECT current_setting('agentdb.organization_id', true)")
    tenant: str | None = row[0]
    return tenant


async def numbers(driver: Driver) -> list[int]:
    return [row[0] for row in await driver.fetch("SELECT n FROM t ORDER BY n")]


@pytest.mark.usefixtures("table")
async def test_a_block_commits_or_rolls_back(pool: Pool) -> None:
    """At its end it commits; an error rolls back and passes on."""
    driver = pool.driver()
    async with driver.transaction() as tx:
        await add(tx, 1)
        assert await numbers(driver) == []
    with pytest.raises(KeyError):
        async with driver.transaction() as tx:
            await add(tx, 2)
            raise KeyError
    assert await numbers(driver) == [1]
    assert pool.stats.in_use == 0


@pytest.mark.usefixtures("table")
async def test_begin_needs_an_end(pool: Pool) -> None:
    """What begin returns is committed or rolled back by hand; then it is closed."""
    tx = await pool.driver().begin()
    await add(tx, 1)
    await tx.commit()
    with pytest.raises(TransactionClosedError, match="Transaction already closed: it was committed"):
        await tx.fetch("SELECT 1")
    with pytest.raises(TransactionClosedError):
        await tx.commit()
    await tx.rollback()

    tx = await pool.driver().begin()
    await add(tx, 2)
    await tx.rollback()
    await tx.rollback()
    with pytest.raises(TransactionClosedError, match="rolled back"):
        await tx.execute("SELECT 1")
    assert await numbers(pool.driver()) == [1]


@pytest.mark.usefixtures("table")
async def test_a_block_may_be_ended_inside(pool: Pool) -> None:
    """Committing or rolling back inside the block is its end."""
    async with pool.driver().transaction() as tx:
        await add(tx, 1)
        await tx.rollback()
    async with pool.driver().transaction() as tx:
        await add(tx, 2)
        await tx.commit()
    assert await numbers(pool.driver()) == [2]


@pytest.mark.usefixtures("table")
async def test_concurrent_calls_queue(pool: Pool) -> None:
    """gather inside a transaction works: one connection, one call after the other."""
    async with pool.driver().transaction() as tx:
        await asyncio.gather(*(add(tx, number) for number in range(20)))
        assert len(await numbers(tx)) == 20
    assert len(await numbers(pool.driver())) == 20


@pytest.mark.usefixtures("table")
async def test_one_failing_in_a_gather_rolls_back_all(pool: Pool) -> None:
    """The others, which gather leaves running, find the transaction closed and write nothing elsewhere."""
    with pytest.raises(ZeroDivisionError):
        async with pool.driver().transaction() as tx:

            async def fail() -> None:
                await add(tx, 1)
                raise ZeroDivisionError

            others = [asyncio.create_task(add(tx, number)) for number in range(10, 20)]
            await asyncio.gather(fail(), *others)
    results = await asyncio.gather(*others, return_exceptions=True)
    assert all(each is None or isinstance(each, TransactionClosedError) for each in results)
    await settle(pool)
    assert await numbers(pool.driver()) == []


@pytest.mark.usefixtures("table")
async def test_a_failed_statement_aborts_the_transaction(pool: Pool) -> None:
    """As PostgreSQL has it: nothing runs after an error, and COMMIT does not pretend."""
    with pytest.raises(DatabaseError, match="rolled back") as raised:
        async with pool.driver().transaction() as tx:
            await add(tx, 1)
            with pytest.raises(DatabaseError):
                await tx.execute("SELECT 1 / 0")
            with pytest.raises(DatabaseError) as aborted:
                await tx.execute("SELECT 1")
            assert aborted.value.sqlstate == "25P02"
    assert raised.value.sqlstate == "25P02"
    assert await numbers(pool.driver()) == []


@pytest.mark.usefixtures("table")
async def test_a_cancelled_statement_aborts_the_transaction(pool: Pool) -> None:
    """A time-out that the caller swallows leaves no half transaction: what follows is refused, the commit too."""
    with pytest.raises(DatabaseError) as raised:
        async with pool.driver().transaction() as tx:
            await add(tx, 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await tx.execute("SELECT pg_sleep(30)")
            with pytest.raises(DatabaseError, match="cancelled"):
                await add(tx, 2)
    assert raised.value.sqlstate == "25P02"
    await settle(pool)
    assert await numbers(pool.driver()) == []
    assert pool.stats.size == 1


@pytest.mark.usefixtures("table")
async def test_cancelling_a_block_rolls_back(pool: Pool) -> None:
    """At once for the caller, in the background for the connection."""

    async def work() -> None:
        async with pool.driver().transaction() as tx:
            await add(tx, 1)
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(pool)
    assert await numbers(pool.driver()) == []
    assert pool.stats.size == 1


@pytest.mark.usefixtures("table")
async def test_a_commit_is_not_cut_in_half(pool: Pool) -> None:
    """Cancelled during COMMIT, the caller waits for its end: all or nothing, and the connection is clean."""
    await pool.driver().script(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END'; "
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()"
    )

    async def work() -> None:
        async with pool.driver().transaction() as tx:
            await add(tx, 1)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await numbers(pool.driver()) == [1]
    await settle(pool)


@pytest.mark.usefixtures("table")
async def test_an_error_at_commit_is_the_servers(pool: Pool) -> None:
    """A deferred constraint speaks at the end."""
    await pool.driver().script(
        "CREATE TABLE parent (n int PRIMARY KEY); "
        "ALTER TABLE t ADD FOREIGN KEY (n) REFERENCES parent DEFERRABLE INITIALLY DEFERRED"
    )
    with pytest.raises(DatabaseError) as raised:
        async with pool.driver().transaction() as tx:
            await add(tx, 1)
    assert raised.value.sqlstate == "23503"
    assert raised.value.table == "t"
    assert raised.value.constraint == "t_n_fkey"
    assert pool.stats.in_use == 0


@pytest.mark.usefixtures("table")
async def test_savepoints_nest(pool: Pool) -> None:
    """A transaction in a transaction undoes only its own work, and what was done after an error inside it stands."""
    async with pool.driver().transaction() as tx:
        await add(tx, 1)
        with pytest.raises(DatabaseError):
            async with tx.transaction() as inner:
                await add(inner, 2)
                async with inner.transaction() as innermost:
                    await add(innermost, 3)
                await add(inner, 1)  # there already
        async with tx.transaction() as inner:
            await add(inner, 4)
            with pytest.raises(KeyError):
                async with inner.transaction() as innermost:
                    await add(innermost, 5)
                    raise KeyError
        await add(tx, 6)
    assert await numbers(pool.driver()) == [1, 4, 6]


@pytest.mark.usefixtures("table")
async def test_a_savepoint_survives_a_swallowed_error_and_a_time_out(pool: Pool) -> None:
    """Its commit says that it was rolled back; the transaction around it goes on."""
    async with pool.driver().transaction() as tx:
        await add(tx, 1)
        with pytest.raises(DatabaseError, match=r"rolled back|aborted"):
            async with tx.transaction() as inner:
                await add(inner, 2)
                with pytest.raises(DatabaseError):
                    await inner.execute("SELECT 1 / 0")
        with pytest.raises(DatabaseError, match="rolled back"):
            async with tx.transaction() as inner:
                await add(inner, 3)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await inner.execute("SELECT pg_sleep(30)")
        await add(tx, 4)
    assert await numbers(pool.driver()) == [1, 4]


@pytest.mark.usefixtures("table")
async def test_concurrent_savepoints_do_not_mix(pool: Pool) -> None:
    """What one task writes does not vanish with the savepoint of another."""

    async def write(tx: Transaction, number: int) -> None:
        async with tx.transaction() as inner:
            await add(inner, number)
            await asyncio.sleep(0.001)
            if number % 2:
                raise KeyError

    async with pool.driver().transaction() as tx:
        results = await asyncio.gather(
            *(write(tx, number) for number in range(10)),
            *(add(tx, number) for number in range(100, 105)),
            return_exceptions=True,
        )
    assert sum(isinstance(each, KeyError) for each in results) == 5
    assert await numbers(pool.driver()) == [0, 2, 4, 6, 8, 100, 101, 102, 103, 104]


@pytest.mark.usefixtures("table")
async def test_the_outer_transaction_used_inside_a_savepoint_is_inside_it(pool: Pool) -> None:
    """A function that was handed the outer one does not wait for ever, and nests where it was called."""
    async with asyncio.timeout(5), pool.driver().transaction() as tx:
        with pytest.raises(KeyError):
            async with tx.transaction():
                await add(tx, 1)
                async with tx.transaction() as innermost:
                    await add(innermost, 2)
                await asyncio.gather(add(tx, 3), add(tx, 4))
                raise KeyError
        await add(tx, 5)
    assert await numbers(pool.driver()) == [5]


@pytest.mark.usefixtures("table")
async def test_committing_outside_closes_what_is_open_inside(pool: Pool) -> None:
    """A savepoint that nobody ended goes with its transaction."""
    tx = await pool.driver().begin()
    inner = await tx.begin()
    await add(inner, 1)
    await tx.commit()
    with pytest.raises(TransactionClosedError):
        await add(inner, 2)
    await inner.rollback()
    assert await numbers(pool.driver()) == [1]


async def test_a_serialization_failure_may_be_tried_again(make_pool: MakePool, database: Database) -> None:
    """Two transactions that collide: one gets a conflict, marked as transient."""
    pool = await make_pool(connection_limit=2)
    driver = pool.driver()
    await driver.script("CREATE TABLE c (n int); INSERT INTO c VALUES (0)")

    async def increment(barrier: asyncio.Barrier) -> None:
        async with driver.transaction() as tx:
            await tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            (row,) = await tx.fetch("SELECT n FROM c")
            await barrier.wait()
            await tx.execute("UPDATE c SET n = $1", [row[0] + 1])

    barrier = asyncio.Barrier(2)
    results = await asyncio.gather(increment(barrier), increment(barrier), return_exceptions=True)
    (failure,) = [each for each in results if each is not None]
    assert isinstance(failure, TransactionConflictError)
    assert failure.is_transient
    assert failure.sqlstate == "40001"


async def test_a_savepoint_costs_one_round_trip_at_each_end(
    make_pool: MakePool, roundtrips: Wire, database: Database
) -> None:
    """SAVEPOINT, the work, RELEASE."""
    pool = await make_pool(roundtrips.url(database.admin_url), connection_limit=1)
    async with pool.driver().transaction() as tx:
        await tx.fetch("SELECT 1")
        with roundtrips.counting() as count:
            async with tx.transaction() as inner:
                await inner.fetch("SELECT 1")
    assert count.trips == 3


@pytest.mark.usefixtures("table")
async def test_storm_of_cancellations_in_savepoints(make_pool: MakePool) -> None:
    """Cancelled anywhere in nested blocks: a transaction is whole or absent, and no connection is lost."""
    pool = await make_pool(connection_limit=2)

    async def work(number: int) -> None:
        async with pool.driver().transaction() as tx:
            await add(tx, number * 2)
            async with tx.transaction() as inner:
                await add(inner, number * 2 + 1)
            await asyncio.gather(*(tx.fetch("SELECT 1") for _ in range(3)))

    for round_ in range(25):
        tasks = [asyncio.create_task(work(round_ * 10 + number)) for number in range(6)]
        await asyncio.sleep(0.0008 * (round_ % 12))
        for task in tasks[::2]:
            task.cancel()
        results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in results if isinstance(each, Exception)]
    await settle(pool)
    found = await numbers(pool.driver())
    assert [n for n in found if n % 2 == 0] == [n - 1 for n in found if n % 2]
    assert 1 <= pool.stats.size <= 2


async def test_a_commit_in_raw_sql_does_not_hand_the_rest_to_another_tenant(make_pool: MakePool) -> None:
    """A transaction that its own SQL ends is closed, and the session it leaves is still its tenant's."""
    pool = await make_pool(connection_limit=1)
    assert await tenant_of(pool.driver("a")) == "a"

    transaction = await pool.driver("b").begin()
    await transaction.script("COMMIT")
    with pytest.raises(TransactionClosedError, match="said COMMIT or ROLLBACK"):
        await tenant_of(transaction)
    await transaction.rollback()
    chained = await pool.driver("c").begin()
    await chained.script("ROLLBACK AND CHAIN")
    assert await tenant_of(chained) == "c"
    await chained.rollback()
    assert await tenant_of(pool.driver("a")) == "a"


async def test_a_temporary_table_stands_in_for_none_of_ours(make_pool: MakePool) -> None:
    """What raw SQL leaves in a session does not catch the rows of the next tenant."""
    pool = await make_pool(connection_limit=1)
    await pool.driver("a").script("CREATE TEMP TABLE agents (LIKE public.agents)")

    (row,) = await pool.driver("b").fetch("SELECT 'agents'::regclass::text AS name, 'pg_temp.agents'::regclass::oid")

    assert row["name"] == "agents"
