"""Raw queries: values in and out, with and without models, and their errors."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

pytestmark = pytest.mark.postgres


async def one(db: Any, sql: str, *arguments: Any) -> Any:
    """Return the only column of the first row."""
    rows = await db.query_raw(f"SELECT {sql} AS value", *arguments)
    return rows[0]["value"]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("1::int2", 1),
        ("1::int4", 1),
        ("9007199254740993::int8", 9007199254740993),
        ("1.1::float4", 1.1),
        ("0.1::float8", 0.1),
        ("1.50::numeric", 1.5),
        ("true", True),
        ("'text'", "text"),
        ("'text'::varchar", "text"),
        ("'ab'::char(4)", "ab  "),
        ("'x'::\"char\"", "x"),
        ("'Word'::citext", "Word"),
        ("'administrator'::user_role", "administrator"),
        ("""'{"a": [1, null]}'::json""", {"a": [1, None]}),
        ("""'{"a": [1, null]}'::jsonb""", {"a": [1, None]}),
        ("'null'::jsonb", None),
        ("'2024-02-29 12:30:15.25'::timestamp", "2024-02-29T12:30:15.250+00:00"),
        ("'2024-02-29 12:30:15+05'::timestamptz", "2024-02-29T07:30:15+00:00"),
        ("'2024-02-29'::date", "2024-02-29"),
        ("'12:30'::time", "12:30:00"),
        ("'hello'::bytea", "aGVsbG8="),
        ("'0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01'::uuid", "0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01"),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("B'1010'", "1010"),
        ("NULL::int", None),
        ("ARRAY[1, NULL]", [1, None]),
        ("ARRAY[1::int8]", [1]),
        ("ARRAY['a', NULL]", ["a", None]),
        ("ARRAY[1.5::numeric]", [1.5]),
        ("ARRAY[1.1::float4]", [1.1]),
        ("ARRAY['{}'::jsonb]", [{}]),
        ("ARRAY['2024-02-29'::date]", ["2024-02-29"]),
        ("ARRAY['administrator']::user_role[]", ["administrator"]),
        ("'{}'::int[]", []),
    ],
)
async def test_results(db: Any, sql: str, value: Any) -> None:
    """Without a model a value comes in the plain form that the Rust engine gave it."""
    result = await one(db, sql)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("sql", "argument", "value"),
    [
        ("$1::int4", 5, 5),
        ("$1::int8", 2**40, 2**40),
        ("$1::int4", "5", 5),
        ("$1::float8", 1, 1.0),
        ("$1::numeric", Decimal("1.5"), 1.5),
        ("$1::numeric", 1.5, 1.5),
        ("$1::numeric", "1.5", 1.5),
        ("$1::text", "a", "a"),
        ("$1::text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("$1::bool", True, True),
        ("$1::uuid", "0B9EF3A8-6B8B-7C9E-8F00-5F1F7CFB8D01", "0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01"),
        ("$1::uuid", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("$1::inet", "10.0.0.1", "10.0.0.1"),
        ("$1::varbit", "101", "101"),
        ("$1::citext", "Word", "Word"),
        ("$1::user_role", "administrator", "administrator"),
        ("$1::timestamptz", datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))), "2024-01-01T00:00:00+00:00"),
        ("$1::timestamptz", "2024-01-01T05:00:00+05:00", "2024-01-01T00:00:00+00:00"),
        ("$1::timestamp", datetime(2024, 1, 1), "2024-01-01T00:00:00+00:00"),
        ("$1::date", date(2024, 1, 1), "2024-01-01"),
        ("$1::date", datetime(2024, 1, 1, 23), "2024-01-01"),
        ("$1::time", time(12, 30), "12:30:00"),
        ("$1::bytea", b"hello", "aGVsbG8="),
        ("$1::bytea", "aGVsbG8=", "aGVsbG8="),
        ("$1::jsonb", {"a": [1, None]}, {"a": [1, None]}),
        ("$1::jsonb", [1, "x"], [1, "x"]),
        ("$1::int4[]", [1, None], [1, None]),
        ("$1::text[]", ["a"], ["a"]),
        ("$1::text[]", [], []),
        ("$1::text[]", ("a", "b"), ["a", "b"]),
        ("$1::jsonb[]", [{"a": 1}], [{"a": 1}]),
        ("$1::int4", None, None),
    ],
)
async def test_arguments(db: Any, sql: str, argument: Any, value: Any) -> None:
    """An argument is converted to the type that the server wants it in."""
    assert await one(db, sql, argument) == value


async def test_arguments_of_the_package(db: Any, client_package: ModuleType) -> None:
    """Its Json and Base64 are arguments too."""
    assert await one(db, "$1::jsonb", client_package.Json({"a": 1})) == {"a": 1}
    assert await one(db, "$1::bytea", client_package.Base64.encode(b"x")) == "eA=="
    assert await one(db, "$1::text", client_package.enums.Role.ADMIN) == "ADMIN"


class TestQueryRaw:
    async def test_rows(self, db: Any) -> None:
        """Rows are dictionaries, in the server's order; none is an empty list."""
        assert await db.query_raw("SELECT n, n * 2 AS double FROM generate_series(1, 2) n") == [
            {"n": 1, "double": 2},
            {"n": 2, "double": 4},
        ]
        assert await db.query_raw("SELECT 1 WHERE false") == []

    async def test_into_the_package_s_model(self, db: Any, client_package: ModuleType) -> None:
        """Given a model of the package, rows become its instances, every type in it."""
        made = await db.types.create(
            {
                "text": "t",
                "exact": Decimal("1.5"),
                "moment": datetime(2024, 1, 1, 0, 0, 0, 250_000, UTC),
                "document": client_package.Json({"a": 1}),
                "blob": client_package.Base64.encode(b"x"),
                "uuid": "0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01",
                "big": 2**60,
                "real": 1.1,
            }
        )
        rows = await db.query_raw('SELECT * FROM "Types" WHERE text = $1', "t", model=client_package.models.Types)
        assert rows == [made]
        assert await db.types.query_raw('SELECT * FROM "Types"') == [made]

    async def test_into_any_model(self, db: Any) -> None:
        """Any pydantic model will do."""

        class Row(BaseModel):
            day: date
            amount: Decimal

        assert await db.query_raw("SELECT '2024-01-01'::date AS day, 1.5 AS amount", model=Row) == [
            Row(day=date(2024, 1, 1), amount=Decimal("1.5"))
        ]

    async def test_query_first(self, db: Any, client_package: ModuleType) -> None:
        """The first row alone, or None."""
        assert await db.query_first("SELECT 1 AS n UNION ALL SELECT 2") == {"n": 1}
        assert await db.query_first("SELECT 1 AS n WHERE false") is None
        assert await db.user.query_first("SELECT * FROM users WHERE id = $1", 1) is None

    async def test_writes(self, db: Any) -> None:
        """A write may answer rows."""
        rows = await db.query_raw('INSERT INTO "Category" (name) VALUES ($1), ($2) RETURNING id, name', "a", "b")
        assert rows == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]

    async def test_without_rows(self, db: Any) -> None:
        """What answers no rows answers an empty list."""
        assert await db.query_raw('DELETE FROM "Category"') == []


class TestExecuteRaw:
    async def test_counts(self, db: Any) -> None:
        """It answers how many rows were touched."""
        insert = 'INSERT INTO "Category" (name) SELECT $1 || n FROM generate_series(1, $2::int) n'
        assert await db.execute_raw(insert, "c", 3) == 3
        assert await db.execute_raw('DELETE FROM "Category" WHERE id < $1', 3) == 2
        assert await db.execute_raw('DELETE FROM "Category" WHERE false') == 0

    async def test_several_statements(self, db: Any) -> None:
        """Without arguments the text may hold several statements; the last one counts."""
        assert (
            await db.execute_raw("""INSERT INTO "Category" (name) VALUES ('a'); UPDATE "Category" SET name = 'b'""")
            == 1
        )
        assert await db.execute_raw("CREATE TABLE scratch (id int); DROP TABLE scratch") == 0


class TestSchemaChanges:
    async def test_statements_outlive_them(self, db: Any) -> None:
        """A statement that was prepared before a table changed is prepared anew."""
        await db.execute_raw("CREATE TABLE scratch (id int)")
        try:
            assert await db.query_raw("SELECT * FROM scratch") == []
            await db.execute_raw("ALTER TABLE scratch ADD COLUMN name text; INSERT INTO scratch VALUES (1, 'a')")
            assert await db.query_raw("SELECT * FROM scratch") == [{"id": 1, "name": "a"}]
            await db.execute_raw("ALTER TABLE scratch ALTER COLUMN id TYPE text USING 'x' || id")
            assert await db.query_raw("SELECT * FROM scratch") == [{"id": "x1", "name": "a"}]
        finally:
            await db.execute_raw("DROP TABLE scratch")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "arguments", "code", "words"),
        [
            ("SELEC 1", (), "42601", "syntax error"),
            ("SELECT * FROM missing", (), "42P01", 'relation "missing" does not exist'),
            ("SELECT missing FROM users", (), "42703", 'column "missing" does not exist'),
            ("SELECT 1; SELECT 2", (), "42601", "multiple commands"),
            ("SELECT 1 / $1::int", (0,), "22012", "division by zero"),
            ("SELECT $1::int", ("x",), "N/A", "does not fit"),
            ("SELECT $1::int", ([1],), "N/A", "does not fit"),
            ("SELECT $1::bytea", (5,), "N/A", "does not fit"),
            ("SELECT $1::int2", (10**6,), "22000", "does not fit"),
            ("SELECT $1::int", (), "22000", "number of arguments"),
            ("SELECT 1", (1,), "22000", "number of arguments"),
        ],
    )
    async def test_queries(
        self, db: Any, client_package: ModuleType, sql: str, arguments: tuple[Any, ...], code: str, words: str
    ) -> None:
        """What the server refuses, or cannot be sent to it, is a RawQueryError with the server's code and words."""
        with pytest.raises(client_package.errors.RawQueryError, match=words) as caught:
            await db.query_raw(sql, *arguments)
        assert (caught.value.code, caught.value.meta["code"]) == ("P2010", code)

    @pytest.mark.parametrize(
        "sql", ["'1 day'::interval", "point(1, 2)", "int4range(1, 2)", "ROW(1, 2)", "ARRAY[point(1, 2)]"]
    )
    async def test_types_that_prisma_has_not(self, db: Any, client_package: ModuleType, sql: str) -> None:
        """A value of such a type is refused and the way out told; NULL, or the value cast to text, is read."""
        with pytest.raises(
            client_package.errors.RawQueryError, match=r"Failed to deserialize column of type .* casting"
        ):
            await one(db, sql)
        assert await one(db, f"({sql})::text")
        assert await one(db, "NULL::interval") is None

    async def test_execution(self, db: Any, client_package: ModuleType) -> None:
        """execute_raw fails likewise, with and without arguments."""
        await db.category.create({"name": "a"})
        for sql, arguments in (
            ("""INSERT INTO "Category" (name) VALUES ('a')""", ()),
            ('INSERT INTO "Category" (name) VALUES ($1)', ("a",)),
        ):
            with pytest.raises(client_package.errors.RawQueryError, match="duplicate key") as caught:
                await db.execute_raw(sql, *arguments)
            assert caught.value.meta["code"] == "23505"
