"""Through a real PgBouncer in transaction mode: no session state, no mixed tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentdb.errors import DatabaseError
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from tests.bouncer import running_bouncer
from tests.conftest import Database
from tests.debian import find_pgbouncer
from tests.integration.postgres.conftest import MakePool
from tests.integration.postgres.test_pool import TENANT, settle
from tests.wire import Wire


@pytest.fixture(params=["", "ignore_startup_parameters = jit"], ids=["strict", "lenient"])
def pgbouncer(
    request: pytest.FixtureRequest, server: EmbeddedServer, database: Database, pytestconfig: pytest.Config
) -> Iterator[str]:
    """The owner's URL of this test's database through PgBouncer, which does not say so."""
    with running_bouncer(find_pgbouncer(pytestconfig.cache), server, more=request.param) as bouncer:
        yield bouncer.url(database.admin_url)


async def test_it_is_found_out_and_the_tenant_goes_with_each_statement(
    make_pool: MakePool, pgbouncer: str, database: Database
) -> None:
    """Without pgbouncer=true in the URL as well, and at three round trips a statement."""
    wire = Wire(Path(parse_url(pgbouncer).host) / ".s.PGSQL.6432")
    await wire.open()
    try:
        pool = await make_pool(wire.url(pgbouncer.replace("&port=6432", "")))
        assert pool.options.pgbouncer
        for tenant, statement in (("org", 3), (None, 1)):
            driver = pool.driver(tenant)
            await driver.fetch(TENANT)
            with wire.counting() as alone:
                assert ((await driver.fetch(TENANT))[0][0] or None) == tenant
            with wire.counting() as together:
                async with driver.transaction() as tx:
                    assert ((await tx.fetch(TENANT))[0][0] or None) == tenant
            assert (alone.trips, together.trips) == (statement, 3)
        await pool.close()
    finally:
        await wire.close()


async def test_a_storm_of_tenants_and_cancellations(make_pool: MakePool, pgbouncer: str) -> None:
    """Six connections on three sessions, cancelled at any moment: everybody sees his own tenant, nothing stays open."""
    pool = await make_pool(pgbouncer + "&pgbouncer=true&connection_limit=6")

    async def work(number: int) -> None:
        tenant = f"org{number % 7}" if number % 7 else None
        driver = pool.driver(tenant)
        if number % 3:
            rows = await driver.fetch(f"{TENANT}, pg_sleep(0.001)")
            assert (rows[0][0] or None) == tenant
            return
        async with driver.transaction() as tx:
            assert ((await tx.fetch(TENANT))[0][0] or None) == tenant
            await tx.execute("SELECT 1 WHERE $1::int = 1", [number])

    for round_ in range(12):
        tasks = [asyncio.create_task(work(number)) for number in range(42)]
        await asyncio.sleep(0.002 * (round_ % 6))
        for task in tasks[:: 5 if round_ % 2 else 100]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in results if isinstance(each, Exception)]
    await settle(pool)
    assert not (await pool.driver().fetch(TENANT))[0][0]


async def test_errors_schema_copy_and_vectors(make_pool: MakePool, pgbouncer: str) -> None:
    """What the pool does elsewhere it does here too."""
    pool: Pool = await make_pool(pgbouncer + "&pgbouncer=true&schema=other")
    driver = pool.driver("org")
    await driver.script("CREATE SCHEMA other")
    await driver.script("CREATE TABLE t (j jsonb, v public.vector)")
    assert await driver.copy("t", ["j"], [("{}",)] * 3) == 3
    assert await pool.driver().execute("INSERT INTO t (v) VALUES ($1)", ["[1,2]"]) == 1
    assert (await driver.fetch("SELECT v FROM other.t WHERE v IS NOT NULL"))[0][0] == "[1,2]"
    with pytest.raises(DatabaseError) as raised:
        await driver.fetch("SELECT 1 / 0")
    assert raised.value.sqlstate == "22012"
    await settle(pool)
    assert len(await driver.fetch("SELECT * FROM t")) == 4
