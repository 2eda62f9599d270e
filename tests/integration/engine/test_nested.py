"""Writing through relations: what a create or an update does to related records, in one transaction."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.postgres


@pytest.fixture
async def posts(db: Any) -> Any:
    """A function that answers (title, author, reviewer) of all posts by title."""

    async def read() -> list[tuple[str, int, int | None]]:
        rows = await db.post.find_many(order={"title": "asc"})
        return [(post.title, post.author_id, post.reviewer_id) for post in rows]

    return read


@pytest.fixture
async def two_users(db: Any) -> Any:
    """Users 1 and 2; user 1 has written posts p1 and p2."""
    await db.user.create_many([{"email": "1"}, {"email": "2"}])
    await db.post.create_many([{"id": "p1", "title": "a", "author_id": 1}, {"id": "p2", "title": "b", "author_id": 1}])
    return db


class TestCreate:
    async def test_of_one_and_of_many(self, db: Any, posts: Any) -> None:
        """A list relation takes one record or several, to any depth."""
        user = await db.user.create(
            {
                "email": "1",
                "profile": {"create": {"bio": "b"}},
                "posts": {
                    "create": [
                        {"title": "a", "comments": {"create": {"number": 1, "text": "t"}}},
                        {"title": "b", "reviewer": {"create": {"email": "2"}}},
                    ]
                },
            },
            include={"profile": True, "posts": {"include": {"comments": True}, "order_by": {"title": "asc"}}},
        )
        assert user.profile.bio == "b"
        assert [[comment.text for comment in post.comments] for post in user.posts] == [["t"], []]
        reviewer = await db.user.find_unique({"email": "2"})
        assert await posts() == [("a", user.id, None), ("b", user.id, reviewer.id)]

    async def test_all_or_nothing(self, db: Any, client_package: ModuleType) -> None:
        """One record that is refused leaves none behind."""
        with pytest.raises(client_package.errors.UniqueViolationError):
            await db.user.create({"email": "1", "posts": {"create": [{"title": "a"}, {"title": "a"}]}})
        assert await db.user.count() == await db.post.count() == 0

    async def test_is_one_transaction(self, db: Any, statements: list[str]) -> None:
        """Several records are created in one transaction, one record without any."""
        await db.user.create({"email": "1", "posts": {"create": {"title": "a"}}})
        assert (statements[0], statements[-1]) == ("BEGIN", "COMMIT")


class TestConnect:
    async def test_by_any_unique_key(self, two_users: Any, posts: Any) -> None:
        """A related record is found by whichever unique key."""
        await two_users.post.create(
            {"title": "c", "author": {"connect": {"email": "2"}}, "reviewer": {"connect": {"id": 1}}}
        )
        assert await posts() == [("a", 1, None), ("b", 1, None), ("c", 2, 1)]

    async def test_moves_what_another_had(self, two_users: Any, posts: Any) -> None:
        """Connecting a record to a new parent takes it from the old one."""
        key = {"author_id_title": {"author_id": 1, "title": "a"}}
        await two_users.user.update(where={"id": 2}, data={"posts": {"connect": [key, {"id": "p2"}]}})
        assert await posts() == [("a", 2, None), ("b", 2, None)]

    async def test_the_same_record_twice(self, two_users: Any, posts: Any) -> None:
        """Naming a record twice is naming it once."""
        await two_users.user.update(where={"id": 2}, data={"posts": {"connect": [{"id": "p1"}, {"id": "p1"}]}})
        assert await posts() == [("a", 2, None), ("b", 1, None)]

    async def test_missing(self, two_users: Any, client_package: ModuleType) -> None:
        """What is not there cannot be connected, and nothing else happens then."""
        with pytest.raises(client_package.errors.RecordNotFoundError) as caught:
            await two_users.post.create({"title": "c", "author": {"connect": {"id": 99}}})
        assert caught.value.code == "P2025"
        with pytest.raises(client_package.errors.DataError) as caught:
            await two_users.user.update(where={"id": 2}, data={"name": "x", "posts": {"connect": {"id": "p9"}}})
        assert caught.value.code == "P2018"
        assert (await two_users.user.find_unique({"id": 2})).name is None


class TestConnectOrCreate:
    async def test_both(self, two_users: Any) -> None:
        """What is there is connected, what is not is created."""
        for _ in range(2):
            await two_users.post.update(
                where={"id": "p1"},
                data={
                    "categories": {
                        "connect_or_create": [
                            {"where": {"name": name}, "create": {"name": name}} for name in ("x", "y")
                        ]
                    }
                },
            )
        assert await two_users.category.count() == 2
        post = await two_users.post.find_unique({"id": "p1"}, include={"categories": True})
        assert sorted(category.name for category in post.categories) == ["x", "y"]


class TestDisconnect:
    async def test_one(self, two_users: Any, posts: Any) -> None:
        """An optional relation is cut by True, and one that is not there stays so."""
        for _ in range(2):
            await two_users.post.update(where={"id": "p1"}, data={"reviewer": {"connect": {"id": 2}}})
            await two_users.post.update(where={"id": "p1"}, data={"reviewer": {"disconnect": True}})
            assert await posts() == [("a", 1, None), ("b", 1, None)]

    async def test_some_of_many(self, two_users: Any, posts: Any) -> None:
        """Of a list the named records are cut off."""
        data = {"reviewed": {"connect": [{"id": "p1"}, {"id": "p2"}]}}
        await two_users.user.update(where={"id": 2}, data=data)
        await two_users.user.update(where={"id": 2}, data={"reviewed": {"disconnect": [{"id": "p1"}]}})
        assert await posts() == [("a", 1, None), ("b", 1, 2)]

    async def test_a_required_relation(self, two_users: Any, client_package: ModuleType) -> None:
        """A required relation cannot be cut: P2014."""
        with pytest.raises(client_package.errors.DataError) as caught:
            await two_users.user.update(where={"id": 1}, data={"posts": {"disconnect": {"id": "p1"}}})
        assert caught.value.code == "P2014"
        assert "would violate the required relation" in str(caught.value)


class TestSet:
    async def test_replaces(self, two_users: Any, posts: Any) -> None:
        """What is named is connected, all else is cut off; an empty list cuts off everything."""
        for ids, expected in (["p1", "p2"], (2, 2)), (["p2"], (None, 2)), ([], (None, None)):
            await two_users.user.update(where={"id": 2}, data={"reviewed": {"set": [{"id": id_} for id_ in ids]}})
            assert tuple(reviewer for _, _, reviewer in await posts()) == expected


class TestUpdate:
    async def test_of_one(self, two_users: Any) -> None:
        """A single related record is updated."""
        await two_users.post.update(where={"id": "p1"}, data={"author": {"update": {"visits": {"increment": 2}}}})
        assert (await two_users.user.find_unique({"id": 1})).visits == 2

    async def test_of_one_among_many(self, two_users: Any) -> None:
        """Of a list, a record is updated by its key."""
        await two_users.user.update(
            where={"id": 1}, data={"posts": {"update": [{"where": {"id": "p1"}, "data": {"views": 5, "title": "z"}}]}}
        )
        post = await two_users.post.find_unique({"id": "p1"})
        assert (post.views, post.title) == (5, "z")

    async def test_of_many(self, two_users: Any) -> None:
        """…or all that match."""
        update = {"where": {"title": {"in": ["a", "b"]}}, "data": {"views": {"increment": 1}}}
        await two_users.user.update(where={"id": 1}, data={"posts": {"updateMany": [update]}})
        assert await two_users.post.count(where={"views": 1}) == 2

    @pytest.mark.parametrize(
        "data",
        [
            {"posts": {"update": {"where": {"id": "p1"}, "data": {"views": 5}}}},
            {"profile": {"update": {"bio": "x"}}},
            {"profile": {"delete": True}},
        ],
    )
    async def test_missing(self, two_users: Any, data: dict[str, Any]) -> None:
        """A record that is not related cannot be reached; the generated client's `update` answers None, as ever."""
        assert await two_users.user.update(where={"id": 2}, data={"name": "x"} | data) is None
        assert (await two_users.user.find_unique({"id": 2})).name is None
        assert (await two_users.post.find_unique({"id": "p1"})).views == 0


class TestUpsert:
    async def test_of_one(self, two_users: Any) -> None:
        """A single related record is created, then updated."""
        for bio in ("made", "found"):
            data = {"profile": {"upsert": {"create": {"bio": "made"}, "update": {"bio": "found"}}}}
            user = await two_users.user.update(where={"id": 1}, data=data, include={"profile": True})
            assert user.profile.bio == bio

    async def test_of_one_among_many(self, two_users: Any) -> None:
        """Of a list, by key."""
        upsert = {
            "where": {"id": "p3"},
            "create": {"id": "p3", "title": "c"},
            "update": {"views": {"increment": 1}},
        }
        for views in (0, 1):
            await two_users.user.update(where={"id": 1}, data={"posts": {"upsert": upsert}})
            assert (await two_users.post.find_unique({"id": "p3"})).views == views


class TestDelete:
    async def test_of_one(self, two_users: Any) -> None:
        """A single related record is deleted."""
        await two_users.user.update(where={"id": 1}, data={"profile": {"create": {}}})
        await two_users.user.update(where={"id": 1}, data={"profile": {"delete": True}})
        assert await two_users.profile.count() == 0

    async def test_some_of_many(self, two_users: Any, posts: Any, client_package: ModuleType) -> None:
        """Of a list by key, or all that match."""
        await two_users.user.update(where={"id": 1}, data={"posts": {"delete": [{"id": "p1"}]}})
        assert await posts() == [("b", 1, None)]
        with pytest.raises(client_package.errors.DataError) as caught:
            await two_users.user.update(where={"id": 2}, data={"posts": {"delete": {"id": "p2"}}})
        assert caught.value.code == "P2017"
        await two_users.user.update(where={"id": 1}, data={"posts": {"deleteMany": {"title": "b"}}})
        assert await posts() == []


class TestManyToMany:
    @pytest.fixture(autouse=True)
    async def categories(self, two_users: Any) -> None:
        await two_users.category.create_many([{"name": name} for name in ("x", "y", "z")])

    @staticmethod
    async def names(db: Any) -> list[str]:
        post = await db.post.find_unique({"id": "p1"}, include={"categories": {"order_by": {"name": "asc"}}})
        return [category.name for category in post.categories]

    @pytest.mark.parametrize(
        ("operation", "names"),
        [
            ({"connect": [{"id": 1}, {"name": "y"}]}, ["x", "y"]),
            ({"connect": {"id": 3}}, ["x", "z"]),
            ({"create": {"name": "new"}}, ["new", "x"]),
            ({"set": [{"id": 2}]}, ["y"]),
            ({"set": []}, []),
            ({"disconnect": [{"id": 1}]}, []),
            ({"delete": {"id": 1}}, []),
            ({"update": {"where": {"id": 1}, "data": {"name": "w"}}}, ["w"]),
            ({"create": {"name": "new"}, "connect": {"id": 2}, "disconnect": {"id": 1}}, ["new", "y"]),
        ],
    )
    async def test_operations(self, two_users: Any, operation: dict[str, Any], names: list[str]) -> None:
        """Records on both sides of an implicit table are joined and parted."""
        await two_users.post.update(where={"id": "p1"}, data={"categories": {"connect": {"id": 1}}})
        await two_users.post.update(where={"id": "p1"}, data={"categories": operation})
        assert await self.names(two_users) == names

    async def test_connecting_again(self, two_users: Any) -> None:
        """What is connected already stays connected once."""
        for _ in range(2):
            await two_users.post.update(where={"id": "p1"}, data={"categories": {"connect": {"id": 1}}})
        assert await self.names(two_users) == ["x"]

    async def test_from_the_other_side(self, two_users: Any) -> None:
        """Either side may write and read."""
        await two_users.category.update(where={"id": 1}, data={"posts": {"connect": [{"id": "p1"}, {"id": "p2"}]}})
        found = await two_users.category.find_many(where={"posts": {"some": {"id": "p2"}}}, include={"posts": True})
        assert [sorted(post.id for post in category.posts) for category in found] == [["p1", "p2"]]

    async def test_within_one_model(self, two_users: Any) -> None:
        """A model may be joined with itself."""
        await two_users.category.update(where={"id": 1}, data={"children": {"connect": [{"id": 2}, {"id": 3}]}})
        child = await two_users.category.find_unique({"id": 2}, include={"parents": True, "children": True})
        assert ([parent.id for parent in child.parents], child.children) == ([1], [])


class TestCompoundKeys:
    async def test_through_every_operation(self, two_users: Any) -> None:
        """A relation over several columns is written and read like any other."""
        key = {"post_id_number": {"post_id": "p1", "number": 1}}
        await two_users.comment.create({"number": 1, "text": "t", "post": {"connect": {"id": "p1"}}})
        await two_users.reaction.create({"kind": "a", "comment": {"connect": key}})
        await two_users.comment.update(where=key, data={"reactions": {"create": [{"kind": "b"}, {"kind": "c"}]}})
        comment = await two_users.comment.find_unique(key, include={"reactions": {"order_by": {"kind": "asc"}}})
        assert [reaction.kind for reaction in comment.reactions] == ["a", "b", "c"]
        await two_users.comment.update(where=key, data={"reactions": {"disconnect": [{"id": 1}]}})
        assert (await two_users.reaction.find_unique({"id": 1}, include={"comment": True})).comment is None
        assert await two_users.reaction.count(where={"comment": {"is": {"text": "t"}}}) == 2
