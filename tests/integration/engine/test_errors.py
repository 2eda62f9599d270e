"""What goes wrong is the generated client's own error: class, code, meta and words that existing code matches on."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.postgres

Call = dict[str, Any]


def call(method: str, model: str = "user", **arguments: Any) -> tuple[str, str, dict[str, Any]]:
    return model, method, arguments


def nested(depth: int) -> dict[str, Any]:
    """A condition in *depth* others."""
    where: dict[str, Any] = {"id": 1}
    for _ in range(depth):
        where = {"AND": [where]}
    return where


@pytest.fixture
async def fail(db: Any, client_package: ModuleType) -> Any:
    """A function that answers the error of a call."""

    async def run(call: tuple[str, str, dict[str, Any]]) -> Any:
        model, method, arguments = call
        with pytest.raises(client_package.errors.PrismaError) as caught:
            await getattr(getattr(db, model), method)(**arguments)
        return caught.value

    return run


class TestRefusedBeforehand:
    @pytest.mark.parametrize(
        ("call", "place"),
        [
            (call("find_first", where={"foo": 1}), "findFirstUser.where.foo"),
            (call("find_first", where={"posts": {"some": {"foo": 1}}}), "findFirstUser.where.posts.some.foo"),
            (call("find_first", where={"name": {"foo": "x"}}), "findFirstUser.where.name.foo"),
            (call("find_first", include={"posts": {"foo": 1}}), "findFirstUser.posts.foo"),
            (call("find_first", order={"foo": "asc"}), "findFirstUser.orderBy.foo"),
            (call("find_many", cursor={"foo": 1}), "findManyUser.cursor.foo"),
            (call("find_many", distinct=["foo"]), "findManyUser.distinct"),
            (call("find_unique", where={}), "findUniqueUser.where"),
            (call("find_unique", where={"name": "x"}), "findUniqueUser.where"),
            (call("find_first", where="x"), "findFirstUser.where"),
            (call("create", data={"email": "a", "foo": 1}), "createOneUser.data.foo"),
            (call("create", data="x"), "createOneUser.data"),
            (call("group_by", by=["foo"]), "groupByUser.by"),
        ],
    )
    async def test_unknown_fields(self, fail: Any, client_package: ModuleType, call: Any, place: str) -> None:
        """An unknown field, operator or key is FieldNotFoundError, naming the place."""
        error = await fail(call)
        assert type(error) is client_package.errors.FieldNotFoundError
        assert error.code == "P2009"
        assert place in str(error)

    async def test_unknown_selection(self, fail: Any, client_package: ModuleType) -> None:
        """An unknown field to count has its old words."""
        error = await fail(call("count", select={"foo": True}))
        assert type(error) is client_package.errors.FieldNotFoundError
        assert str(error).startswith("Field 'foo' not found in enclosing type")

    async def test_a_page_before_the_first(self, fail: Any, client_package: ModuleType) -> None:
        """A list cannot be skipped backwards."""
        for skipping in (call("find_many", skip=-1), call("find_many", include={"posts": {"skip": -1}})):
            error = await fail(skipping)
            assert (type(error), error.code) == (client_package.errors.InputError, "P2019")
            assert "found: -1" in str(error)

    @pytest.mark.parametrize(
        "call",
        [
            call("create", data={"email": "a", "credit": 2**64}),
            call("create", data={"email": "a", "visits": -(2**63) - 1}),
            call("find_first", where={"id": {"in": [1, 10**30]}}),
            call("find_many", take=2**63),
        ],
    )
    async def test_numbers_beyond_64_bits(self, fail: Any, client_package: ModuleType, call: Any) -> None:
        """No field can hold them, and Prisma has a code of its own for them."""
        error = await fail(call)
        assert (type(error), error.code) == (client_package.errors.DataError, "P2033")

    @pytest.mark.parametrize(
        "call",
        [
            call("find_first", where={"name": 5}),
            call("find_first", where={"id": "x"}),
            call("find_first", where={"id": True}),
            call("find_first", where={"id": {"in": [1, "x"]}}),
            call("create", data={"email": "a", "visits": 1.5}),
            call("update", where={"id": 1}, data={"visits": {"increment": 1.5}}),
            call("create", data={"email": "a", "numbers": [1.5]}),
            call("create", data={"email": "a", "score": float("nan")}),
            call("create", data={"email": "a", "score": float("-inf")}),
            call("create", data={"email": "a", "balance": Decimal("NaN")}),
            call("create", data={"email": "a", "role": "NOPE"}),
            call("create", data={"email": "a", "roles": ["NOPE"]}),
            call("find_first", where={"role": "administrator"}),
            call("find_many", take="x"),
            call("group_by", by=[]),
            call("update", where={"id": 1}, data={"visits": {"increment": 1, "set": 3}}),
            call("create", "post", data={"title": "t", "author_id": 1, "author": {"connect": {"id": 1}}}),
            call("find_first", where=nested(200)),
            call("find_first", where=nested(20_000)),
        ],
    )
    async def test_wrong_values(self, fail: Any, client_package: ModuleType, call: Any) -> None:
        """A value of another type, or one that is none, is refused; a float is not cut down to an Int."""
        error = await fail(call)
        assert isinstance(error, client_package.errors.DataError)
        assert error.code == "P2009"

    @pytest.mark.parametrize(
        "call",
        [
            call("create", data={}),
            call("create", data={"email": None}),
            call("create", data={"email": "a", "settings": None}),
            call("create", "post", data={"title": "t"}),
            call("update", where={"id": 1}, data={"email": None}),
            call("find_unique", where={"id": None}),
            call("create_many", data=[{"name": "x"}]),
        ],
    )
    async def test_missing_values(self, fail: Any, client_package: ModuleType, call: Any) -> None:
        """What has to be given and is not, or is None, is MissingRequiredValueError."""
        error = await fail(call)
        assert type(error) is client_package.errors.MissingRequiredValueError
        assert "A value is required but not set" in str(error)

    @pytest.mark.parametrize(
        "call",
        [
            call("group_by", by=["name"], order={"id": "asc"}),
            call("group_by", by=["name"], having={"id": 1}),
        ],
    )
    async def test_groups(self, fail: Any, client_package: ModuleType, call: Any) -> None:
        """What groups are ordered or filtered by has to be part of them."""
        error = await fail(call)
        assert (type(error), error.code) == (client_package.errors.InputError, "P2019")

    @pytest.mark.parametrize("field", ["foo", "name"])
    async def test_includes(self, fail: Any, client_package: ModuleType, field: str) -> None:
        """Only relations can be included."""
        error = await fail(call("find_first", include={field: True}))
        assert type(error) is client_package.errors.UnknownRelationalFieldError
        assert str(error) == f'Field: "{field}" either does not exist or is not a relational field on the User model'

    @pytest.mark.parametrize(
        "call",
        [
            call("find_first", include={"posts": None}),
            call("create", "types", data={"blob": b"x"}),
            call("create", "types", data={"text": object()}),
            call("find_first", "types", where={"moment": date(2024, 1, 1)}),
        ],
    )
    async def test_what_is_no_value(self, db: Any, call: Any) -> None:
        """What no field could hold is a TypeError, as it has always been."""
        model, method, arguments = call
        with pytest.raises(TypeError):
            await getattr(getattr(db, model), method)(**arguments)

    async def test_what_its_user_has_taught_it(self, db: Any, client_package: ModuleType) -> None:
        """…unless the user has registered how it is written."""

        class Celsius:
            degrees = 20

        serializer = import_module(f"{client_package.__name__}._builder").serializer
        serializer.register(Celsius, lambda value: value.degrees)
        assert (await db.types.create({"whole": Celsius()})).whole == 20


class TestRefusedByTheDatabase:
    @pytest.fixture(autouse=True)
    async def user(self, db: Any) -> None:
        await db.user.create({"email": "a"})

    async def test_unique(self, db: Any, fail: Any, client_package: ModuleType) -> None:
        """A value that is taken is UniqueViolationError, naming the columns."""
        error = await fail(call("create", data={"email": "a"}))
        assert type(error) is client_package.errors.UniqueViolationError
        assert (error.code, error.meta["target"], error.meta["modelName"]) == ("P2002", ["email"], "User")
        assert str(error) == "Unique constraint failed on the fields: (`email`)"
        await db.post.create({"title": "t", "author_id": 1})
        error = await fail(call("create", "post", data={"title": "t", "author_id": 1}))
        assert error.meta["target"] == ["author_id", "title"]

    async def test_mapped_columns(self, db: Any, raw: Any, fail: Any) -> None:
        """The columns go by their names in the database."""
        await raw.execute('CREATE UNIQUE INDEX scratch ON users ("managerId")')
        try:
            await db.user.create({"email": "b", "manager_id": 1})
            error = await fail(call("create", data={"email": "c", "manager_id": 1}))
        finally:
            await raw.execute("DROP INDEX scratch")
        assert error.meta["target"] == ["managerId"]

    async def test_foreign_key(self, db: Any, fail: Any, client_package: ModuleType) -> None:
        """A row that refers to none, or is referred to, is ForeignKeyViolationError."""
        error = await fail(call("create", "post", data={"title": "t", "author_id": 99}))
        assert type(error) is client_package.errors.ForeignKeyViolationError
        assert (error.code, error.meta["field_name"]) == ("P2003", "Post_author_id_fkey (index)")
        assert str(error) == "Foreign key constraint failed on the field: `Post_author_id_fkey (index)`"
        await db.post.create({"title": "t", "author_id": 1})
        error = await fail(call("delete", where={"id": 1}))
        assert error.code in ("P2003", "P2014")

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            ({"varchar": "x" * 20}, "P2000"),
            ({"char": "x" * 20}, "P2000"),
            ({"smallint": 40_000}, "P2020"),
            ({"whole": 2**31}, "P2020"),
            ({"numeric": Decimal(10) ** 9}, "P2020"),
            ({"uuid": "x"}, "P2023"),
            ({"inet": "x"}, "P2023"),
            ({"bit": "12"}, "P2023"),
            ({"bit": "101"}, "P2039"),
            ({"text": "a\0b"}, "P2039"),
            ({"text": "a\ud800"}, "P2023"),
            ({"moment": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))}, "P2023"),
        ],
    )
    async def test_values(self, fail: Any, client_package: ModuleType, data: dict[str, Any], code: str) -> None:
        """A value that its column cannot take is a DataError whose code says why."""
        error = await fail(call("create", "types", data=data))
        assert (type(error), error.code) == (client_package.errors.DataError, code)
        assert error.meta.get("modelName", "Types") == "Types"

    async def test_bad_base64(self, fail: Any, client_package: ModuleType) -> None:
        """Base64 that is none is refused, and not taken for no bytes."""
        for text in ("x", "!!!!"):
            error = await fail(call("create", "types", data={"blob": client_package.Base64.fromb64(text)}))
            assert (type(error), error.code) == (client_package.errors.DataError, "P2009")
            assert "base64" in str(error)

    async def test_text_that_is_no_json(self, fail: Any) -> None:
        """Of a Json field a text is the document's, as it was for the Rust engine."""
        error = await fail(call("create", "types", data={"document": "{"}))
        assert error.code == "P2009"
        assert "`document`" in str(error)

    @pytest.mark.parametrize(
        ("data", "code"),
        [({"divide": 0}, "P2039"), ({"increment": 2**31 - 1}, None), ({"multiply": 2**31 - 1}, "P2020")],
    )
    async def test_arithmetic(self, db: Any, fail: Any, data: dict[str, int], code: str | None) -> None:
        """What the database cannot compute is an error too."""
        await db.user.update(where={"id": 1}, data={"visits": 0 if code is None else 2})
        update = call("update", where={"id": 1}, data={"visits": data})
        if code is None:
            assert (await db.user.update(**update[2])).visits == 2**31 - 1
        else:
            assert (await fail(update)).code == code

    async def test_missing_tables_and_columns(self, raw: Any, fail: Any, client_package: ModuleType) -> None:
        """A database that is not as the schema says is TableNotFoundError, or P2022 for a column."""
        await raw.execute('ALTER TABLE "Moment" RENAME TO elsewhere')
        try:
            error = await fail(call("find_many", "moment"))
            assert type(error) is client_package.errors.TableNotFoundError
            assert (error.code, error.table) == ("P2021", "public.Moment")
        finally:
            await raw.execute('ALTER TABLE elsewhere RENAME TO "Moment"')
        await raw.execute('ALTER TABLE "Moment" RENAME label TO elsewhere')
        try:
            error = await fail(call("find_many", "moment"))
            assert (error.code, error.meta["column"]) == ("P2022", "Moment.label")
        finally:
            await raw.execute('ALTER TABLE "Moment" RENAME elsewhere TO label')

    async def test_null_in_a_column_that_is_not_null(self, raw: Any, fail: Any) -> None:
        """A NULL that the schema allows and the database does not is P2011."""
        await raw.execute('ALTER TABLE "Category" ADD COLUMN scratch text NOT NULL')
        try:
            error = await fail(call("create", "category", data={"name": "a"}))
        finally:
            await raw.execute('ALTER TABLE "Category" DROP COLUMN scratch')
        assert (error.code, error.meta["constraint"]) == ("P2011", ["scratch"])

    async def test_values_that_the_schema_does_not_know(self, db: Any, raw: Any, fail: Any) -> None:
        """An enum value that was added behind the schema's back is P2023, not a KeyError."""
        await db.types.create({"role": "ADMIN"})
        await raw.execute("ALTER TYPE user_role RENAME VALUE 'administrator' TO 'chief'")
        try:
            error = await fail(call("find_many", "types"))
        finally:
            await raw.execute("ALTER TYPE user_role RENAME VALUE 'chief' TO 'administrator'")
        assert error.code == "P2023"
        assert "chief" in str(error)

    async def test_deadlock(self, db: Any, client_package: ModuleType) -> None:
        """Of two transactions that wait for one another, one fails with P2034: try again."""
        import asyncio

        await db.user.create({"email": "b"})
        both = asyncio.Barrier(2)

        async def one(first: int, second: int) -> None:
            async with db.tx() as tx:
                await tx.user.update(where={"id": first}, data={"name": "x"})
                await both.wait()
                await tx.user.update(where={"id": second}, data={"name": "x"})

        results = await asyncio.gather(one(1, 2), one(2, 1), return_exceptions=True)
        errors = [result for result in results if result is not None]
        assert [(type(error), getattr(error, "code", None)) for error in errors] == [
            (client_package.errors.DataError, "P2034")
        ]

    async def test_statement_timeout(self, db: Any, client_package: ModuleType) -> None:
        """A statement that the server stops for taking too long is P1008."""
        with pytest.raises(client_package.errors.DataError) as caught:
            async with db.tx() as tx:
                await tx.execute_raw("SET LOCAL statement_timeout = 50")
                await tx.query_raw("SELECT pg_sleep(5)")
        assert caught.value.code == "P1008"


class TestCauses:
    async def test_the_original_is_kept(self, db: Any, fail: Any) -> None:
        """The error that was translated stands behind the one that is raised, down to the database library's."""
        await db.user.create({"email": "a"})
        error = await fail(call("create", data={"email": "a"}))
        assert error.__cause__.sqlstate == "23505"
        assert type(error.__cause__.__cause__).__name__ == "UniqueViolationError"
        assert error.__suppress_context__

    async def test_no_value_is_told(self, fail: Any) -> None:
        """An error of a value tells what is wrong with it, and not the whole of it."""
        error = await fail(call("create", "types", data={"varchar": "secret" * 1000}))
        assert "secret" not in str(error)

    async def test_a_crash_of_the_compiler(
        self, db: Any, client_package: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A request that crashes the compiler fails alone."""
        from agentdb.engine import request

        with monkeypatch.context() as patch:
            patch.setitem(request.ACTIONS, "find_first", "findWhatever")
            with pytest.raises(client_package.errors.DataError) as caught:
                await db.user.find_first(order={"visits": "desc"})
        assert caught.value.code == "P2023"
        assert await db.user.find_first() is None


@pytest.mark.parametrize(
    "call",
    [
        call("find_many", "category", where={"id": 2**40}),
        call("create_many", "types", data=[{"smallint": 70_000}, {"smallint": 1}]),
        call("update_many", "category", where={"name": "\ud800"}, data={"name": "x"}),
    ],
)
async def test_what_is_refused_before_it_is_sent_locks_nothing(raw: Any, fail: Any, call: Any) -> None:
    """A value that cannot be sent leaves no lock behind on the connection that its statement was prepared on."""
    await fail(call)
    await raw.execute("SET lock_timeout = '3s'")
    await raw.execute('TRUNCATE "Category", "Types" CASCADE')
