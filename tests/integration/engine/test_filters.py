"""What `where` can say: of scalars, lists, Json, enums, relations, and of their absence."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

pytestmark = pytest.mark.postgres


@pytest.fixture
def texts(db: Any) -> Any:
    """A function that answers which texts of Types match a filter of *field*."""

    async def find(where: dict[str, Any]) -> list[str | None]:
        return [row.text for row in await db.types.find_many(where=where, order={"id": "asc"})]

    return find


class TestText:
    @pytest.fixture(autouse=True)
    async def rows(self, db: Any) -> None:
        await db.types.create_many(
            [{"text": text} for text in ("apple", "Apple pie", "100% pure", "under_score", None)]
        )

    @pytest.mark.parametrize(
        ("condition", "found"),
        [
            ("apple", ["apple"]),
            ({"equals": "apple"}, ["apple"]),
            ({"not": "apple"}, ["Apple pie", "100% pure", "under_score"]),
            ({"not": {"contains": "pple"}}, ["100% pure", "under_score"]),
            ({"in": ["apple", "under_score"]}, ["apple", "under_score"]),
            ({"in": []}, []),
            ({"not_in": ["apple", "under_score"]}, ["Apple pie", "100% pure"]),
            ({"contains": "pple"}, ["apple", "Apple pie"]),
            ({"startswith": "A"}, ["Apple pie"]),
            ({"endswith": "e"}, ["apple", "Apple pie", "100% pure", "under_score"]),
            ({"contains": "APPLE", "mode": "insensitive"}, ["apple", "Apple pie"]),
            ({"equals": "APPLE", "mode": "insensitive"}, ["apple"]),
            ({"gt": "a", "lt": "b"}, ["apple"]),
            ({"search": "apple & pie"}, ["Apple pie"]),
            (None, [None]),
            ({"equals": None}, [None]),
            ({"not": None}, ["apple", "Apple pie", "100% pure", "under_score"]),
        ],
    )
    async def test_conditions(self, texts: Any, condition: Any, found: list[str | None]) -> None:
        """Each condition finds what SQL would; what is NULL is found by nothing but None."""
        assert await texts({"text": condition}) == found

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ({"OR": [{"text": "apple"}, {"text": "under_score"}]}, ["apple", "under_score"]),
            ({"OR": []}, []),
            ({"AND": []}, ["apple", "Apple pie", "100% pure", "under_score", None]),
            ({"AND": [{"text": {"contains": "pple"}}, {"text": {"contains": "pie"}}]}, ["Apple pie"]),
            ({"NOT": [{"text": {"contains": "pple"}}, {"text": None}]}, ["100% pure", "under_score"]),
            ({"NOT": {"text": "apple"}}, ["Apple pie", "100% pure", "under_score"]),
            ({"AND": {"OR": [{"text": "apple"}], "NOT": [{"id": 99}]}}, ["apple"]),
        ],
    )
    async def test_logic(self, texts: Any, where: dict[str, Any], found: list[str | None]) -> None:
        """AND, OR and NOT take lists and single conditions, inside one another."""
        assert await texts(where) == found


class TestOtherScalars:
    async def test_numbers(self, db: Any, texts: Any) -> None:
        """Numbers of every kind are compared as numbers."""
        await db.types.create({"text": "low", "whole": -5, "big": -(2**40), "double": -1.5, "exact": Decimal("-0.10")})
        await db.types.create({"text": "high", "whole": 5, "big": 2**40, "double": 1.5, "exact": Decimal("0.30")})
        assert await texts({"whole": {"gte": -5, "lt": 5}}) == ["low"]
        assert await texts({"big": {"gt": 2**33}}) == ["high"]
        assert await texts({"double": {"lte": 0}}) == ["low"]
        assert await texts({"exact": Decimal("0.3")}) == ["high"]
        assert await texts({"exact": {"in": [Decimal("-0.1"), 7]}}) == ["low"]

    async def test_booleans(self, db: Any, texts: Any) -> None:
        """A Boolean is equal or not."""
        await db.types.create_many([{"text": "yes", "flag": True}, {"text": "no", "flag": False}, {"text": "open"}])
        assert await texts({"flag": True}) == ["yes"]
        assert await texts({"flag": {"not": True}}) == ["no"]
        assert await texts({"flag": {"equals": False}}) == ["no"]

    async def test_moments(self, db: Any, texts: Any) -> None:
        """Moments are equal whatever zone they are given in, a naive one is UTC, and microseconds are cut off."""
        moment = datetime(2024, 2, 29, 12, 30, 15, 250_999, tzinfo=UTC)
        await db.types.create({"text": "it", "moment": moment, "timestamptz": moment})
        for same in (
            moment,
            moment.replace(tzinfo=None),
            moment.astimezone(timezone(timedelta(hours=5))),
            moment.replace(microsecond=250_000),
        ):
            assert await texts({"moment": same}) == ["it"]
            assert await texts({"timestamptz": {"in": [same]}}) == ["it"]
        assert await texts({"moment": {"lt": moment - timedelta(milliseconds=1)}}) == []

    async def test_enums(self, db: Any, texts: Any, client_package: ModuleType) -> None:
        """An enum goes by its Prisma name, as text, as the generated member or as any other str-valued member."""

        class Mine(enum.Enum):
            ADMIN = "ADMIN"

        await db.types.create_many([{"text": "a", "role": "ADMIN"}, {"text": "m", "role": "MEMBER"}, {"text": "none"}])
        assert await texts({"role": "ADMIN"}) == ["a"]
        assert await texts({"role": client_package.enums.Role.ADMIN}) == ["a"]
        assert await texts({"role": Mine.ADMIN}) == ["a"]
        assert await texts({"role": {"in": ["ADMIN", "GUEST"]}}) == ["a"]
        assert await texts({"role": {"not": "ADMIN"}}) == ["m"]
        assert await texts({"role": None}) == ["none"]

    async def test_bytes(self, db: Any, texts: Any, client_package: ModuleType) -> None:
        """Bytes are compared as bytes."""
        encode = client_package.Base64.encode
        await db.types.create_many([{"text": "a", "blob": encode(b"\x00\xff")}, {"text": "b", "blob": encode(b"")}])
        assert await texts({"blob": encode(b"\x00\xff")}) == ["a"]
        assert await texts({"blob": {"not": encode(b"\x00\xff")}}) == ["b"]

    async def test_native_types(self, db: Any, texts: Any) -> None:
        """Text that stands for a uuid, an address, bits or case-insensitive text is compared as such."""
        value = UUID("0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01")
        await db.types.create(
            {"text": "it", "uuid": str(value), "inet": "10.0.0.1", "bit": "1010", "citext": "Word", "char": "ab"}
        )
        assert await texts({"uuid": str(value).upper()}) == ["it"]
        assert await texts({"uuid": {"in": [value]}}) == ["it"]
        assert await texts({"inet": "10.0.0.1"}) == ["it"]
        assert await texts({"bit": {"in": ["1010"]}}) == ["it"]
        assert await texts({"citext": {"in": ["wORD"]}}) == ["it"]
        assert await texts({"citext": "wORD"}) == ["it"]
        assert await texts({"char": "ab"}) == ["it"]

    async def test_dates_and_times(self, db: Any, texts: Any) -> None:
        """Of a date field the date counts, of a time field the time."""
        await db.types.create({"text": "it", "date": datetime(2024, 2, 29), "time": datetime(1970, 1, 1, 12, 30)})
        assert await texts({"date": datetime(2024, 2, 29, 23, 59)}) == ["it"]
        assert await texts({"time": datetime(2000, 5, 5, 12, 30)}) == ["it"]
        assert await texts({"date": {"lt": datetime(2024, 2, 29)}}) == []


class TestLists:
    @pytest.fixture(autouse=True)
    async def rows(self, db: Any) -> None:
        await db.lists.create({"texts": ["a", "b"], "roles": ["ADMIN"], "wholes": [1, 2]})
        await db.lists.create({"texts": [], "wholes": [2]})
        await db.lists.create({"texts": ["b"]})

    @pytest.mark.parametrize(
        ("where", "ids"),
        [
            ({"texts": {"has": "b"}}, [1, 3]),
            ({"texts": {"has_some": ["a", "z"]}}, [1]),
            ({"texts": {"has_every": ["a", "b"]}}, [1]),
            ({"texts": {"has_every": []}}, [1, 2, 3]),
            ({"texts": {"is_empty": True}}, [2]),
            ({"texts": {"equals": ["a", "b"]}}, [1]),
            ({"texts": {"equals": []}}, [2]),
            ({"wholes": {"has": 2}}, [1, 2]),
            ({"roles": {"has": "ADMIN"}}, [1]),
            ({"roles": {"equals": ["ADMIN"]}}, [1]),
            ({"NOT": {"texts": {"has": "a"}}}, [2, 3]),
        ],
    )
    async def test_conditions(self, db: Any, where: dict[str, Any], ids: list[int]) -> None:
        """A list is searched for one, some or all of its items, and compared whole."""
        assert [row.id for row in await db.lists.find_many(where=where, order={"id": "asc"})] == ids


class TestJson:
    @pytest.fixture(autouse=True)
    async def rows(self, db: Any, client_package: ModuleType) -> None:
        json = client_package.Json
        for name, document in {
            "object": json({"a": {"b": "deep"}, "n": 2, "list": [1, "x"]}),
            "list": json([1, "two", None]),
            "text": json("text"),
            "json null": json(None),
            "sql null": None,
        }.items():
            await db.types.create({"text": name, "document": document})

    async def test_whole_values(self, texts: Any, client_package: ModuleType) -> None:
        """A Json field is compared whole, whatever the order of keys."""
        json = client_package.Json
        assert await texts({"document": json({"n": 2, "list": [1, "x"], "a": {"b": "deep"}})}) == ["object"]
        assert await texts({"document": {"equals": json("text")}}) == ["text"]
        assert await texts({"document": {"not": json("text")}}) == ["object", "list", "json null"]

    async def test_paths(self, texts: Any, client_package: ModuleType) -> None:
        """A path leads to the part that is compared."""
        json = client_package.Json
        assert await texts({"document": {"path": ["a", "b"], "equals": json("deep")}}) == ["object"]
        assert await texts({"document": {"path": ["list", "0"], "equals": json(1)}}) == ["object"]
        assert await texts({"document": {"path": ["a", "b"], "string_contains": "ee"}}) == ["object"]
        assert await texts({"document": {"path": ["a", "b"], "string_starts_with": "de"}}) == ["object"]
        assert await texts({"document": {"path": ["a", "b"], "string_ends_with": "ep"}}) == ["object"]

    async def test_comparisons(self, texts: Any, client_package: ModuleType) -> None:
        """Numbers and texts within are compared; these values stay in the request, for the compiler looks at them."""
        json = client_package.Json
        assert await texts({"document": {"path": ["n"], "gt": json(1)}}) == ["object"]
        assert await texts({"document": {"path": ["n"], "gte": json(2), "lt": json(3)}}) == ["object"]
        assert await texts({"document": {"path": ["n"], "gt": json(2)}}) == []

    async def test_lists_within(self, texts: Any, client_package: ModuleType) -> None:
        """A list within is searched, and looked at from both ends."""
        json = client_package.Json
        assert await texts({"document": {"path": ["list"], "array_contains": json(["x"])}}) == ["object"]
        assert await texts({"document": {"array_starts_with": json(1)}}) == ["list"]
        assert await texts({"document": {"array_ends_with": json(None)}}) == ["list"]

    async def test_none_is_sql_null(self, texts: Any, client_package: ModuleType) -> None:
        """None finds SQL's NULL, as it does for every other type; Json(None) finds the JSON value null."""
        json = client_package.Json
        assert await texts({"document": None}) == ["sql null"]
        assert await texts({"document": {"equals": None}}) == ["sql null"]
        assert await texts({"document": {"not": None}}) == ["object", "list", "text", "json null"]
        assert await texts({"document": json(None)}) == ["json null"]


class TestRelations:
    @pytest.fixture(autouse=True)
    async def rows(self, db: Any) -> None:
        await db.user.create({"email": "a", "profile": {"create": {"bio": "x"}}})
        await db.user.create({"email": "b"})
        await db.post.create(
            {"title": "one", "views": 1, "author_id": 1, "reviewer_id": 2, "categories": {"create": {"name": "c"}}}
        )
        await db.post.create({"title": "two", "views": 9, "author_id": 1})

    @pytest.mark.parametrize(
        ("where", "emails"),
        [
            ({"posts": {"some": {"views": {"gt": 5}}}}, ["a"]),
            ({"posts": {"some": {}}}, ["a"]),
            ({"posts": {"every": {"views": {"gt": 5}}}}, ["b"]),
            ({"posts": {"none": {}}}, ["b"]),
            ({"profile": {"is": {"bio": "x"}}}, ["a"]),
            ({"profile": {"is_not": {"bio": "x"}}}, ["b"]),
            ({"profile": {"bio": "x"}}, ["a"]),
            ({"profile": None}, ["b"]),
            ({"profile": {"is": None}}, ["b"]),
            ({"profile": {"is_not": None}}, ["a"]),
            ({"posts": {"some": {"categories": {"some": {"name": "c"}}}}}, ["a"]),
            ({"reviewed": {"some": {"author": {"is": {"email": "a"}}}}}, ["b"]),
        ],
    )
    async def test_conditions(self, db: Any, where: dict[str, Any], emails: list[str]) -> None:
        """Records are found by what is related to them, through any number of relations."""
        assert [user.email for user in await db.user.find_many(where=where, order={"id": "asc"})] == emails

    async def test_absent_relation(self, db: Any) -> None:
        """A record without its optional relation is found by None."""
        assert [post.title for post in await db.post.find_many(where={"reviewer": None})] == ["two"]
        assert [post.title for post in await db.post.find_many(where={"reviewer": {"is_not": None}})] == ["one"]


async def test_an_empty_list_of_xml(db: Any) -> None:
    """Nothing is in it, although the database cannot compare two values of the type."""
    await db.types.create({})
    assert await db.types.find_many(where={"xml": {"in": []}}) == []
    assert await db.types.find_unique(where={"id": 1, "xml": {"in": []}}) is None
