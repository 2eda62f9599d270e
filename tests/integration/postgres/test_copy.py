"""COPY and vectors: binary, checked, all or nothing."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agentdb.errors import DatabaseError, InvalidArgumentError
from agentdb.postgres.pool import Pool
from agentdb.postgres.vector import pack_vector
from tests.conftest import Database
from tests.integration.postgres.conftest import MakePool
from tests.integration.postgres.test_pool import settle

TABLE = "CREATE TABLE c (id uuid, t text, j jsonb, k json, v vector, at timestamptz, m numeric, a text[])"
COLUMNS = ("id", "t", "j", "k", "v", "at", "m", "a")


@pytest.fixture
async def table(pool: Pool) -> str:
    await pool.driver().script(TABLE)
    return "c"


async def test_copy_takes_every_type_we_store(pool: Pool, table: str) -> None:
    """json as text, vectors packed, the rest as Python's own types; None is NULL."""
    now = datetime.now(UTC)
    record = (uuid.uuid4(), "ü", '{"a": 1}', "[1]", pack_vector([1, 0.5]), now, Decimal("1.50"), ["x", None])
    driver = pool.driver()
    assert await driver.copy(table, COLUMNS, [record, (None,) * 8]) == 2
    row, empty = await driver.fetch(f"SELECT {', '.join(COLUMNS)} FROM c")
    assert list(row) == [*record[:4], "[1,0.5]", *record[5:]]
    assert set(empty) == {None}


async def test_copy_inside_a_transaction(pool: Pool, table: str) -> None:
    """It belongs to the transaction."""
    with pytest.raises(KeyError):
        async with pool.driver().transaction() as tx:
            assert await tx.copy(table, ["t"], [("x",)], schema="public") == 1
            raise KeyError
    assert await pool.driver().fetch("SELECT * FROM c") == []


async def test_copy_from_an_async_iterable(pool: Pool, table: str) -> None:
    """Records may come one by one, and be none at all."""

    async def records() -> AsyncIterator[tuple[str]]:
        for number in range(3):
            yield (str(number),)

    assert await pool.driver().copy(table, ["t"], records()) == 3
    assert await pool.driver().copy(table, ["t"], []) == 0


async def test_a_record_that_does_not_fit_loads_nothing(pool: Pool, table: str) -> None:
    """The error is about the argument; the connection is cleaned; nothing was written."""
    with pytest.raises(InvalidArgumentError):
        await pool.driver().copy(table, ["t", "m"], [("x", Decimal(1)), ("y", "no number")])
    with pytest.raises(InvalidArgumentError):
        await pool.driver().copy(table, ["t", "m"], [("x",)])
    await settle(pool)
    assert await pool.driver().fetch("SELECT * FROM c") == []


async def test_the_callers_own_error_passes(pool: Pool, table: str) -> None:
    """An error of the iterable is the caller's, unchanged."""

    def records() -> Iterator[tuple[str]]:
        yield ("x",)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await pool.driver().copy(table, ["t"], records())
    await settle(pool)
    assert await pool.driver().fetch("SELECT * FROM c") == []


async def test_copy_is_refused_under_row_level_security(make_pool: MakePool, database: Database) -> None:
    """PostgreSQL has no COPY FROM for a role with policies; the error says what to use."""
    pool = await make_pool(database.url)
    with pytest.raises(DatabaseError, match="unnest") as raised:
        await pool.driver("org").copy(
            "agents", ["organization_id", "id", "name", "category"], [("org", "1", "a", "SUPPORT")]
        )
    assert raised.value.sqlstate == "0A000"


async def test_unnest_is_the_way_under_row_level_security(make_pool: MakePool, database: Database) -> None:
    """Arrays of every column, packed vectors among them, in one statement."""
    pool = await make_pool(database.admin_url)
    await pool.driver().script(TABLE)
    sql = "INSERT INTO c (t, j, v) SELECT * FROM unnest($1::text[], $2::jsonb[], $3::vector[])"
    vectors = [pack_vector([1, 2]), None, pack_vector([3, 4])]
    assert await pool.driver().execute(sql, [["a", "b", "c"], ["{}", "[]", None], vectors]) == 3
    rows = await pool.driver().fetch("SELECT t, j, v FROM c ORDER BY t")
    assert [tuple(row) for row in rows] == [("a", "{}", "[1,2]"), ("b", "[]", None), ("c", None, "[3,4]")]


async def test_a_vector_may_be_given_in_any_form(pool: Pool) -> None:
    """Packed, as text, as a list; it comes back as pgvector's text, every float32 exactly."""
    random.seed(7)
    numbers = [random.uniform(-1, 1) for _ in range(384)]
    for value in (pack_vector(numbers), str(numbers), numbers):
        row = (await pool.driver().fetch("SELECT $1::vector AS v, $1::vector::text AS t", [value]))[0]
        assert row["v"] == row["t"]


async def test_a_bad_vector_is_refused(pool: Pool) -> None:
    """Before it is sent when it is no vector at all, by the server when it is none that it stores."""
    for bad in ("1,2", "[1,x]", [float("nan")], [1e39], ["a"], 5):
        with pytest.raises(InvalidArgumentError):
            await pool.driver().fetch("SELECT $1::vector", [bad])
    with pytest.raises(DatabaseError, match="at least 1 dimension"):
        await pool.driver().fetch("SELECT $1::vector", ["[]"])


async def test_the_vector_type_may_come_later(blank_database: Database) -> None:
    """A connection that was there before the extension learns of it when it meets the type."""
    from agentdb.postgres.url import parse_url

    pool = Pool(parse_url(blank_database.superuser_url + "&connection_limit=1"))
    await pool.open()
    try:
        await pool.driver().script("DROP EXTENSION vector")
        await pool.driver().fetch("SELECT 1")
        await pool.driver().script("CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext")
        row = (await pool.driver().fetch("SELECT $1::ext.vector", [pack_vector([1])]))[0]
        assert row[0] == "[1]"
    finally:
        await pool.close()
