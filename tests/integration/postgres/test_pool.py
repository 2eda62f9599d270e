"""The pool lends clean connections, in order, to the right tenant, and says clearly why it cannot."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from agentdb.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DatabaseError,
    InvalidArgumentError,
    NotConnectedError,
    PoolTimeoutError,
    QueryTimeoutError,
)
from agentdb.postgres.driver import Record, Statement
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.postgres.conftest import MakePool
from tests.wire import Wire

TENANT = "SELECT current_setting('agentdb.organization_id', true)"


async def settle(pool: Pool) -> None:
    """Wait until nothing is lent or being cleaned."""
    for _ in range(200):
        if pool.stats.in_use == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(pool.stats)


async def test_fetch_returns_records(pool: Pool) -> None:
    """Rows come back in order, readable by name and by position."""
    rows = await pool.driver().fetch("SELECT n, n * 2 AS double FROM generate_series(1, $1::int) n", [3])
    assert [tuple(row) for row in rows] == [(1, 2), (2, 4), (3, 6)]
    assert rows[2]["double"] == 6


async def test_execute_counts_rows(pool: Pool) -> None:
    """The number of rows is the command tag's; a statement without one counts none."""
    driver = pool.driver()
    assert await driver.execute("CREATE TABLE t (n int)") == 0
    assert await driver.execute("INSERT INTO t SELECT generate_series(1, $1::int)", [5]) == 5
    assert await driver.execute("UPDATE t SET n = n WHERE n > $1", [3]) == 2
    assert await driver.execute("DELETE FROM t WHERE n = $1", [99]) == 0


async def test_script_runs_several_statements_or_none(pool: Pool) -> None:
    """A script is one implicit transaction."""
    driver = pool.driver()
    assert await driver.script("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)") == "INSERT 0 2"
    with pytest.raises(DatabaseError):
        await driver.script("INSERT INTO t VALUES (3); SELECT 1 / 0")
    assert (await driver.fetch("SELECT count(*) FROM t"))[0][0] == 2


@pytest.mark.parametrize("sql", ["", ";", "-- nothing", "/* nothing */ ; ;"])
async def test_a_text_without_a_statement(pool: Pool, sql: str) -> None:
    """Nothing is run, and nothing is wrong with that."""
    driver = pool.driver()
    assert await driver.script(sql) == ""
    assert await driver.fetch(sql.rstrip("; ") or "") == []
    assert pool.stats.size == 1


@pytest.mark.parametrize("sql", ["SELECT '\0'", "SELECT 1; \0 SELECT 2", None, 1, b"SELECT 1"])
async def test_what_is_no_text(pool: Pool, sql: Any) -> None:
    """What would break the protocol is refused beforehand, and the connection stays, also within a transaction."""
    driver = pool.driver()
    async with driver.transaction() as transaction:
        for run in (driver.fetch, driver.execute, driver.script, transaction.fetch, transaction.script):
            with pytest.raises(InvalidArgumentError, match="SQL"):
                await run(sql)
        assert (await transaction.fetch("SELECT 1"))[0][0] == 1


async def test_json_travels_as_text(pool: Pool) -> None:
    """json and jsonb are text in both directions, whatever they hold."""
    text = '{"a": [1, "ü", null]}'
    row = (await pool.driver().fetch("SELECT $1::jsonb, $2::json, $3::jsonb[]", [text, text, [text, None]]))[0]
    assert list(row) == [text, text, [text, None]]


class Doubling:
    """A binding that doubles on the way in and negates on the way out."""

    made = 0

    def __init__(self, statement: Statement) -> None:
        Doubling.made += 1
        self.statement = statement

    def encode(self, arguments: Sequence[object]) -> Sequence[object]:
        return [argument * 2 for argument in arguments if isinstance(argument, int)]

    def decode(self, rows: list[Record]) -> Any:
        return [-row[0] for row in rows]


async def test_a_binding_is_made_once_per_statement(make_pool: MakePool) -> None:
    """A bind sees the server's types, and is called once although several connections prepare the statement."""
    pool = await make_pool(connection_limit=3)
    Doubling.made = 0
    driver = pool.driver()
    sql = "SELECT $1::int + (SELECT 0 FROM pg_sleep(0.02)) AS n"
    assert await asyncio.gather(*(driver.fetch(sql, [n], bind=Doubling) for n in (1, 2, 3))) == [[-2], [-4], [-6]]
    assert pool.stats.size == 3
    assert Doubling.made == 1


async def test_a_bind_sees_the_types(pool: Pool) -> None:
    """Parameter types and columns carry names, kinds and elements."""
    seen: list[Statement] = []

    def bind(statement: Statement) -> Doubling:
        seen.append(statement)
        return Doubling(statement)

    sql = "SELECT $1::int4 AS a, NULL::text[] AS b, NULL::agent_status AS c"
    await pool.driver().fetch(sql, [1], bind=bind)
    (statement,) = seen
    assert statement.sql == sql
    assert [type_.name for type_ in statement.parameter_types] == ["int4"]
    a, b, c = statement.columns
    assert (a.name, a.type.name, a.type.kind, a.type.schema) == ("a", "int4", "scalar", "pg_catalog")
    assert b.type.kind == "array"
    assert b.type.element is not None
    assert b.type.element.name == "text"
    assert (c.type.name, c.type.kind, c.type.schema) == ("agent_status", "scalar", "public")


async def test_each_call_sees_its_own_tenant(make_pool: MakePool) -> None:
    """However connections are passed on, a statement never runs under another's tenant, nor one without under any."""
    pool = await make_pool(connection_limit=2)
    tenants = ["a", "b", "c'; DROP TABLE agents; --", "ü" * 255, None] * 8
    rows = await asyncio.gather(*(pool.driver(tenant).fetch(TENANT) for tenant in tenants))
    assert [row[0][0] or None for row in rows] == tenants


async def test_row_level_security_follows_the_tenant(make_pool: MakePool, database: Database) -> None:
    """As the application role one sees the rows of one's tenant, and no rows without one."""
    pool = await make_pool(database.url)
    insert = "INSERT INTO agents (organization_id, id, name, category) VALUES ($1, 'x', 'x', 'SUPPORT')"
    for tenant in ("a", "b"):
        assert await pool.driver(tenant).execute(insert, [tenant]) == 1
    with pytest.raises(DatabaseError) as refused:
        await pool.driver("a").execute(insert, ["c"])
    assert refused.value.sqlstate == "42501"
    count = "SELECT organization_id FROM agents"
    assert [row[0] for row in await pool.driver("a").fetch(count)] == ["a"]
    assert await pool.driver(None).fetch(count) == []


async def test_a_warm_call_is_one_round_trip(make_pool: MakePool, roundtrips: Wire, database: Database) -> None:
    """One trip a statement while the connection stays with its tenant, one more to change it, never a reset."""
    pool = await make_pool(roundtrips.url(database.admin_url), connection_limit=1)
    a, b = pool.driver("a"), pool.driver("b")
    for driver in (a, b):
        await driver.fetch("SELECT 1")
    with roundtrips.counting() as switched:
        await a.fetch("SELECT 1")
    with roundtrips.counting() as warm:
        for _ in range(5):
            await a.fetch("SELECT 1")
            await a.execute("SELECT 1")
    with roundtrips.counting() as transaction:
        async with a.transaction() as tx:
            await tx.fetch("SELECT 1")
    with roundtrips.counting() as other_transaction:
        async with b.transaction() as tx:
            assert (await tx.fetch(TENANT))[0][0] == "b"
    assert switched.trips == 2
    assert warm.trips == 10
    assert transaction.trips == 3
    assert other_transaction.trips == 3 + 1  # its statement was not prepared yet
    assert (await a.fetch(TENANT))[0][0] == "a"


async def test_a_tenant_finds_its_connection_again(make_pool: MakePool, roundtrips: Wire, database: Database) -> None:
    """With as many connections as tenants nobody has to switch."""
    pool = await make_pool(roundtrips.url(database.admin_url), connection_limit=2)
    a, b = pool.driver("a"), pool.driver("b")
    await asyncio.gather(*(driver.fetch("SELECT 1 FROM pg_sleep(0.05)") for driver in (a, b)))
    with roundtrips.counting() as count:
        for _ in range(5):
            for driver in (a, b):
                await driver.fetch("SELECT 1 FROM pg_sleep(0.05)")
    assert count.trips == 10


async def test_connections_are_made_when_needed(pool: Pool) -> None:
    """One at first, more when calls come at once, never above the limit."""
    assert pool.stats.size == 1
    await asyncio.gather(*(pool.driver().fetch("SELECT pg_sleep(0.05)") for _ in range(12)))
    assert pool.stats.size == 3
    assert (pool.stats.idle, pool.stats.in_use, pool.stats.waiting) == (3, 0, 0)


async def test_callers_are_served_in_order(make_pool: MakePool) -> None:
    """Who waits longest is next."""
    pool = await make_pool(connection_limit=1)
    served: list[int] = []

    async def call(number: int) -> None:
        await pool.driver().fetch("SELECT 1")
        served.append(number)

    async with pool.driver().transaction():
        tasks = [asyncio.create_task(call(number)) for number in range(8)]
        await asyncio.sleep(0.01)
        assert pool.stats.waiting == 8
    await asyncio.gather(*tasks)
    assert served == list(range(8))


async def test_waiting_too_long_says_why(make_pool: MakePool) -> None:
    """The error has the figures that tell a leak from a pool that is too small."""
    pool = await make_pool(connection_limit=1, pool_timeout_seconds=0.1)
    async with pool.driver().transaction():
        with pytest.raises(PoolTimeoutError) as raised:
            await pool.driver().fetch("SELECT 1")
        with pytest.raises(PoolTimeoutError):
            await pool.driver().begin(timeout_seconds=0.01)
    error = raised.value
    assert (error.size, error.in_use, error.waiting) == (1, 1, 1)
    assert 0.1 <= error.waited_seconds < 1
    assert error.oldest_lease_seconds is not None
    assert "1 of 1 in use" in str(error)
    assert pool.stats.waiting == 0
    await pool.driver().fetch("SELECT 1")


async def test_a_cancelled_waiter_takes_nothing_along(make_pool: MakePool) -> None:
    """A caller that is cancelled while it waits, even in the moment it is served, leaves the connection to others."""
    pool = await make_pool(connection_limit=1)
    for delay in range(6):
        transaction = await pool.driver().begin()
        waiter = asyncio.create_task(pool.driver().fetch("SELECT 1"))
        await asyncio.sleep(0.005)
        finish = asyncio.create_task(transaction.rollback())
        for _ in range(delay):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(finish, waiter, return_exceptions=True)
        await settle(pool)
        assert pool.stats.idle == 1


async def test_a_cancelled_statement_is_stopped_and_its_connection_cleaned(pool: Pool) -> None:
    """The server does not go on working, and the connection serves again."""
    driver = pool.driver("a")
    task = asyncio.create_task(driver.fetch("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle(pool)
    assert pool.stats.size == 1
    active = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(30)'"
    assert (await driver.fetch(active + " AND state = 'active' AND pid <> pg_backend_pid()"))[0][0] == 0


async def test_storm_of_cancellations_leaks_nothing(make_pool: MakePool) -> None:
    """Cancelled at any moment, over and over: no connection lost, no tenant mixed up, no transaction open."""
    pool = await make_pool(connection_limit=3)

    async def work(number: int) -> None:
        tenant = f"org{number % 4}"
        driver = pool.driver(tenant)
        if number % 3:
            assert (await driver.fetch(f"{TENANT}, pg_sleep(0.002)"))[0][0] == tenant
            return
        async with driver.transaction() as tx:
            assert (await tx.fetch(TENANT))[0][0] == tenant

    for round_ in range(30):
        tasks = [asyncio.create_task(work(number)) for number in range(12)]
        await asyncio.sleep(0.0005 * (round_ % 9))
        for task in tasks[round_ % 2 :: 2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in results if isinstance(each, Exception)]
    await settle(pool)
    assert pool.stats.size <= 3
    for number in range(4):
        assert (await pool.driver(f"org{number}").fetch(TENANT))[0][0] == f"org{number}"


async def test_a_client_side_time_out_is_a_query_time_out(make_pool: MakePool) -> None:
    """socket_timeout ends a statement; the connection serves again."""
    pool = await make_pool(connection_limit=1, command_timeout_seconds=0.1)
    with pytest.raises(QueryTimeoutError):
        await pool.driver().fetch("SELECT pg_sleep(30)")
    await settle(pool)
    assert (await pool.driver().fetch("SELECT 1"))[0][0] == 1


async def test_a_server_side_time_out_is_a_query_time_out(make_pool: MakePool) -> None:
    """statement_timeout, given in the URL's options, as well."""
    pool = await make_pool(settings={"statement_timeout": "50ms"})
    with pytest.raises(QueryTimeoutError) as raised:
        await pool.driver().fetch("SELECT pg_sleep(30)")
    assert raised.value.sqlstate == "57014"


async def test_a_transaction_left_by_raw_sql_is_rolled_back(pool: Pool) -> None:
    """BEGIN in a script of the user's does not reach the next caller."""
    await pool.driver().script("CREATE TABLE t (n int)")
    await pool.driver().script("BEGIN; INSERT INTO t VALUES (1)")
    await settle(pool)
    assert await pool.driver().fetch("SELECT * FROM t") == []


async def test_a_wrong_argument_is_refused_before_it_is_sent(pool: Pool, roundtrips: Wire) -> None:
    """The error names the parameter, not the value; the connection stays clean."""
    with pytest.raises(InvalidArgumentError) as raised:
        await pool.driver().fetch("SELECT $1::int, $2::int", [1, "a secret"])
    assert raised.value.argument == 2
    assert raised.value.sqlstate == "22000"
    assert "secret" not in str(raised.value)
    with pytest.raises(InvalidArgumentError, match="number of arguments"):
        await pool.driver().fetch("SELECT $1::int", [])
    await settle(pool)


async def test_statements_are_bounded(make_pool: MakePool) -> None:
    """Prepared statements beyond the limit are closed, on the server too; those in use stay."""
    pool = await make_pool(connection_limit=1, statement_cache_size=4)
    driver = pool.driver()
    for number in range(20):
        await driver.fetch("SELECT 'kept'")
        await driver.fetch(f"SELECT {number}")
    names = [row[0] for row in await driver.fetch("SELECT statement FROM pg_prepared_statements")]
    assert len(names) <= 6
    assert "SELECT 'kept'" in names


async def test_old_connections_are_replaced(make_pool: MakePool) -> None:
    """A connection older than its lifetime is closed when it comes back."""
    pool = await make_pool(connection_limit=1, max_lifetime_seconds=0.0)
    first = (await pool.driver().fetch("SELECT pg_backend_pid()"))[0][0]
    second = (await pool.driver().fetch("SELECT pg_backend_pid()"))[0][0]
    assert first != second


async def test_idle_connections_are_closed_after_a_while(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep keeps one connection."""
    await asyncio.gather(*(pool.driver().fetch("SELECT pg_sleep(0.05)") for _ in range(3)))
    assert pool.stats.size == 3
    monkeypatch.setattr(pool, "_max_idle", 0.0)
    await asyncio.sleep(0.01)
    pool._sweep()
    assert pool.stats.size == 1


async def test_use_before_open_and_after_close(database: Database) -> None:
    """Both say how to open; closing twice and opening again is fine."""
    pool = Pool(parse_url(database.admin_url))
    with pytest.raises(NotConnectedError, match="async with"):
        await pool.driver().fetch("SELECT 1")
    await pool.close()
    await pool.open()
    await pool.open()
    await pool.driver().fetch("SELECT 1")
    await pool.close()
    await pool.close()
    with pytest.raises(NotConnectedError):
        await pool.driver().begin()
    await pool.open()
    await pool.driver().fetch("SELECT 1")
    await pool.close()


async def test_close_waits_a_while_and_then_cuts_off(make_pool: MakePool) -> None:
    """A short statement ends in peace, a long one is cut off; who waits is told."""
    pool = await make_pool(connection_limit=1)
    short = asyncio.create_task(pool.driver().fetch("SELECT pg_sleep(0.05)"))
    await asyncio.sleep(0.01)
    await pool.close(timeout_seconds=5)
    assert len(await short) == 1

    await pool.open()
    long = asyncio.create_task(pool.driver().fetch("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(pool.driver().fetch("SELECT 1"))
    await asyncio.sleep(0.01)
    await pool.close(timeout_seconds=0.05)
    with pytest.raises(NotConnectedError):
        await waiting
    with pytest.raises(NotConnectedError, match="closed while"):
        await long


async def test_close_survives_its_own_cancellation(make_pool: MakePool) -> None:
    """Cancelled in the middle of closing, the pool is closed all the same."""
    pool = await make_pool(connection_limit=1)
    long = asyncio.create_task(pool.driver().fetch("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(pool.close(timeout_seconds=30))
    await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(NotConnectedError):
        await long
    assert pool.stats.size == 0


async def test_another_event_loop_gets_a_clear_error(pool: Pool) -> None:
    """The remedy is in the text."""
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(pool.driver().fetch("SELECT 1"))
        except NotConnectedError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    (error,) = errors
    assert "event loop" in str(error)
    await pool.driver().fetch("SELECT 1")


async def test_a_url_that_leads_nowhere_fails_at_open() -> None:
    """The error says where it tried, and that the server may not run."""
    pool = Pool(parse_url("postgresql://u:secret@127.0.0.1:1/x"))
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1 .*refused.*agentdb doctor") as raised:
        await pool.open()
    assert "secret" not in repr(raised.value) + str(raised.value.__cause__) + repr(pool)
    assert not pool.is_open


async def test_an_unknown_database_or_role_is_named(make_pool: MakePool, database: Database) -> None:
    """What the server says is passed on, as a failed connection."""
    with pytest.raises(ConnectionFailedError, match="does not exist") as raised:
        await make_pool(database="no_such_database")
    assert raised.value.sqlstate == "3D000"
    assert not raised.value.is_transient
    with pytest.raises(ConnectionFailedError, match="no_such_role") as raised:
        await make_pool(user="no_such_role")
    assert raised.value.sqlstate is not None
    assert raised.value.sqlstate.startswith("28")


async def test_the_schema_of_the_url_is_the_search_path(make_pool: MakePool) -> None:
    """Unqualified names go there, whatever its name holds."""
    first = await make_pool()
    await first.driver().script('CREATE SCHEMA "My Schema"')
    pool = await make_pool(schema="My Schema")
    assert (await pool.driver().fetch("SELECT current_schema()"))[0][0] == "My Schema"


async def test_a_certificate_that_is_missing_is_a_configuration_error() -> None:
    """The file system's reason, no path of a traceback."""
    pool = Pool(parse_url("postgresql://u@db.invalid/x?sslmode=verify-full&sslrootcert=/no/such/file"))
    with pytest.raises(ConfigurationError, match="certificate"):
        await pool.open()
