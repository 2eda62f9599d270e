"""Writing without relations: create, update, upsert, delete and their many forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

pytestmark = pytest.mark.postgres


class TestCreate:
    async def test_answers_the_whole_record(self, db: Any, statements: list[str]) -> None:
        """The record comes back with what the client and the database have filled in, in one statement."""
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        user = await db.user.create({"email": "a@x", "roles": ["ADMIN", "GUEST"]})
        assert (user.id, user.email, user.role, user.roles) == (1, "a@x", "MEMBER", ["ADMIN", "GUEST"])
        assert (user.visits, user.credit, user.score, user.balance) == (0, 0, 0.5, Decimal(0))
        assert (user.is_active, user.settings, user.extra, user.avatar, user.tags) == (True, {}, None, None, [])
        assert user.created_at == user.updated_at >= before
        assert user.created_at.microsecond % 1000 == 0
        assert len(statements) == 1

    async def test_with_include(self, db: Any) -> None:
        """The new record's relations can be read with it."""
        user = await db.user.create({"email": "a@x"}, include={"posts": True, "profile": True})
        assert (user.posts, user.profile) == ([], None)

    async def test_mapped_names(self, db: Any, raw: Any) -> None:
        """Fields, tables and enum values go by their mapped names in the database."""
        await db.user.create({"email": "a@x", "role": "ADMIN", "manager": {"create": {"email": "boss"}}})
        row = await raw.fetchrow('SELECT role::text, "managerId" FROM users WHERE email = $1', "a@x")
        assert tuple(row) == ("administrator", 1)

    async def test_only_defaults(self, db: Any) -> None:
        """A record may consist of nothing but defaults."""
        row = await db.defaults.create({})
        assert row.number == 1
        assert len(row.cuid) == 25
        assert row.cuid[0] == "c"
        assert (UUID(row.uuid).version, UUID(row.uuid_native).version) == (4, 4)
        assert (len(row.nanoid), len(row.nanoid_8)) == (21, 8)
        assert row.now == row.updated
        assert row.server == "f3a12378fd3ee0628d3aca60323d24dc"
        assert (row.text, row.flag, row.whole, row.big) == ('a "quoted" text', True, -7, 9007199254740993)
        assert (row.double, row.exact, row.document, row.blob.decode()) == (
            1.5,
            Decimal("12.34"),
            {"a": [1, None]},
            b"hello",
        )
        assert row.moment == datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC)
        assert (row.role, row.texts, row.roles, row.note) == ("ADMIN", ["x", "y"], ["GUEST", "ADMIN"], None)

    async def test_generated_values_differ(self, db: Any) -> None:
        """Every record gets values of its own, also those that are made together."""
        await db.defaults.create_many([{}, {}, {}])
        rows = await db.defaults.find_many()
        assert all(len({getattr(row, name) for row in rows}) == 3 for name in ("cuid", "uuid", "uuid_native", "nanoid"))

    async def test_defaults_can_be_overridden(self, db: Any) -> None:
        """A given value wins over every default, @updatedAt included."""
        moment = datetime(2001, 2, 3, tzinfo=UTC)
        row = await db.defaults.create(
            {"number": 7, "cuid": "mine", "now": moment, "updated": moment, "texts": [], "role": "GUEST"}
        )
        assert (row.number, row.cuid, row.now, row.updated, row.texts, row.role) == (
            7,
            "mine",
            moment,
            moment,
            [],
            "GUEST",
        )


class TestUpdate:
    async def test_changes_what_is_given(self, db: Any) -> None:
        """Other fields keep their values; @updatedAt moves on."""
        old = await db.user.create({"email": "a@x", "name": "A", "updated_at": datetime(2001, 1, 1)})
        new = await db.user.update(where={"id": old.id}, data={"name": "B"})
        assert (new.name, new.email, new.created_at) == ("B", "a@x", old.created_at)
        assert new.updated_at > old.updated_at

    async def test_one_statement(self, db: Any, statements: list[str]) -> None:
        """A plain update is one statement."""
        await db.user.update(where={"id": 1}, data={"name": "B"})
        assert len(statements) == 1

    async def test_none_if_missing(self, db: Any) -> None:
        """Nothing to update is None, as it is with the Rust engine."""
        assert await db.user.update(where={"id": 1}, data={"name": "B"}) is None

    async def test_nothing_to_change(self, db: Any) -> None:
        """Empty data is no error."""
        await db.user.create({"email": "a@x"})
        assert (await db.user.update(where={"id": 1}, data={})).email == "a@x"

    @pytest.mark.parametrize(
        ("operation", "whole", "double"),
        [
            ({"increment": 3}, 13, 13.5),
            ({"decrement": 3}, 7, 7.5),
            ({"multiply": 3}, 30, 31.5),
            ({"divide": 3}, 3, 3.5),
            ({"set": 3}, 3, 3.0),
        ],
    )
    async def test_number_operations(self, db: Any, operation: dict[str, int], whole: int, double: float) -> None:
        """Numbers are changed in the database, so that no concurrent change is lost; whole numbers divide whole."""
        await db.types.create({"whole": 10, "double": 10.5, "big": 10, "exact": Decimal("10.5")})
        row = await db.types.update(
            where={"id": 1}, data={"whole": operation, "double": operation, "big": operation, "exact": operation}
        )
        assert (row.whole, row.double, row.big, row.exact) == (whole, double, whole, Decimal(str(double)))

    async def test_list_operations(self, db: Any) -> None:
        """A list is replaced, or something is added to its end."""
        await db.lists.create({"texts": ["a"], "roles": ["ADMIN"]})

        async def update(data: dict[str, Any]) -> Any:
            return await db.lists.update(where={"id": 1}, data=data)

        assert (await update({"texts": {"push": ["b", "c"]}})).texts == ["a", "b", "c"]
        assert (await update({"texts": {"push": "d"}, "roles": {"push": "GUEST"}})).texts == ["a", "b", "c", "d"]
        assert (await update({"texts": {"set": ["z"]}})).texts == ["z"]
        row = await update({"texts": [], "roles": ["MEMBER"]})
        assert (row.texts, row.roles) == ([], ["MEMBER"])

    async def test_keys_can_change(self, db: Any) -> None:
        """A record is found by its old key and answered with the new one."""
        await db.user.create({"email": "a@x"})
        assert (await db.user.update(where={"email": "a@x"}, data={"id": 7, "email": "b@x"})).id == 7

    async def test_to_none(self, db: Any, client_package: ModuleType) -> None:
        """None empties an optional field, a Json one too: that becomes SQL's NULL, while Json(None) is JSON's."""
        await db.user.create({"email": "a@x", "name": "A", "extra": client_package.Json({"a": 1})})
        user = await db.user.update(where={"id": 1}, data={"name": None, "extra": client_package.Json(None)})
        assert (user.name, user.extra) == (None, None)
        assert await db.user.count(where={"extra": None}) == 0
        await db.user.update(where={"id": 1}, data={"extra": None})
        assert await db.user.count(where={"extra": None}) == 1


class TestUpsert:
    @staticmethod
    async def upsert(db: Any, email: str, *, found: str, made: str) -> Any:
        return await db.user.upsert(
            where={"email": email},
            data={"create": {"email": email, "name": made}, "update": {"name": found, "visits": {"increment": 1}}},
        )

    async def test_creates_then_updates(self, db: Any) -> None:
        """What is not there is created, what is there is updated."""
        user = await self.upsert(db, "a@x", made="new", found="old")
        assert (user.name, user.visits) == ("new", 0)
        user = await self.upsert(db, "a@x", made="new", found="old")
        assert (user.name, user.visits) == ("old", 1)

    async def test_is_one_statement_if_the_keys_agree(self, db: Any, statements: list[str]) -> None:
        """Where key and data name the same value it is one INSERT … ON CONFLICT, which no other session can disturb."""
        await self.upsert(db, "a@x", made="new", found="old")
        assert len(statements) == 1
        assert "ON CONFLICT" in statements[0]

    async def test_compound_keys_too(self, db: Any, statements: list[str]) -> None:
        """…also with a key of several fields."""
        await db.user.create({"email": "a@x"})
        statements.clear()
        for views in (1, 2):
            post = await db.post.upsert(
                where={"author_id_title": {"author_id": 1, "title": "t"}},
                data={"create": {"author_id": 1, "title": "t"}, "update": {"views": views}},
            )
        assert (post.views, len(statements)) == (2, 2)

    async def test_keys_that_differ(self, db: Any) -> None:
        """Where they differ it looks first, in a transaction."""
        data = {"create": {"email": "b@x"}, "update": {"name": "updated"}}
        assert (await db.user.upsert(where={"email": "a@x"}, data=data)).email == "b@x"
        assert (await db.user.upsert(where={"email": "b@x"}, data=data)).name == "updated"

    async def test_equal_values_of_different_fields(self, db: Any, raw: Any) -> None:
        """Values that happen to be equal keep to their own fields, whatever their types."""
        data = {
            "create": {"id": 1, "email": "1", "visits": 1, "credit": 1, "score": 1.0, "name": "1"},
            "update": {"visits": {"increment": 1}, "score": 1, "name": "1"},
        }
        await db.user.upsert(where={"id": 1}, data=data)
        user = await db.user.upsert(where={"id": 1}, data=data)
        assert (user.id, user.email, user.visits, user.credit, user.score, user.name) == (1, "1", 2, 1, 1.0, "1")

    async def test_concurrently(self, db: Any) -> None:
        """Upserts of one key do not collide."""
        import asyncio

        await asyncio.gather(*(self.upsert(db, "a@x", made="new", found="old") for _ in range(20)))
        assert (await db.user.find_unique({"email": "a@x"})).visits == 19

    async def test_with_include(self, db: Any) -> None:
        """Relations are answered as well, created or updated."""
        data = {
            "create": {"email": "a@x", "posts": {"create": {"title": "t"}}},
            "update": {"posts": {"create": {"title": "u"}}},
        }
        for titles in (["t"], ["t", "u"]):
            user = await db.user.upsert(
                where={"email": "a@x"}, data=data, include={"posts": {"order_by": {"title": "asc"}}}
            )
            assert [post.title for post in user.posts] == titles


class TestDelete:
    async def test_answers_what_it_deleted(self, db: Any) -> None:
        """The record is answered once more, with its relations if they are included."""
        await db.user.create({"email": "a@x", "profile": {"create": {"bio": "b"}}})
        user = await db.user.delete(where={"email": "a@x"}, include={"profile": True})
        assert (user.email, user.profile.bio) == ("a@x", "b")
        assert await db.user.count() == await db.profile.count() == 0

    async def test_none_if_missing(self, db: Any) -> None:
        """Nothing to delete is None."""
        assert await db.user.delete(where={"id": 1}) is None


class TestMany:
    async def test_update_many(self, db: Any) -> None:
        """All that match are changed, and counted."""
        await db.user.create_many([{"email": "a"}, {"email": "b"}, {"email": "c", "visits": 5}])
        assert await db.user.update_many(where={"visits": 0}, data={"visits": {"increment": 2}, "name": "x"}) == 2
        assert await db.user.update_many(where={"visits": 99}, data={"name": "y"}) == 0
        assert await db.user.update_many(where={}, data={"role": "GUEST"}) == 3

    async def test_delete_many(self, db: Any) -> None:
        """All that match are deleted; without a filter that is all."""
        await db.user.create_many([{"email": "a"}, {"email": "b"}, {"email": "c"}])
        assert await db.user.delete_many(where={"email": {"in": ["a", "z"]}}) == 1
        assert await db.user.delete_many() == 2
        assert await db.user.delete_many() == 0
