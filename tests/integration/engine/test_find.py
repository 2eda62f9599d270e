"""Reading: find_unique, find_first, find_many with every argument, count and group_by."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.postgres


@pytest.fixture
async def people(db: Any) -> Any:
    """Ann manages Bob and Cid; Ann wrote three posts, Bob one; the first post has two comments."""
    ann = await db.user.create(
        {
            "email": "ann@example.org",
            "name": "Ann",
            "visits": 3,
            "role": "ADMIN",
            "tags": ["a", "b"],
            "posts": {
                "create": [
                    {"id": "p1", "title": "one", "views": 10, "published": True},
                    {"id": "p2", "title": "two", "views": 20},
                    {"id": "p3", "title": "three", "views": 30, "published": True},
                ]
            },
            "profile": {"create": {"bio": "first"}},
        }
    )
    await db.user.create(
        {"email": "bob@example.org", "name": "Bob", "visits": 1, "manager": {"connect": {"id": ann.id}}}
    )
    await db.user.create({"email": "cid@example.org", "visits": 1, "manager_id": ann.id})
    await db.post.create({"id": "p4", "title": "four", "views": 20, "author_id": 2, "reviewer_id": 1})
    await db.comment.create_many(
        [
            {"post_id": "p1", "number": 1, "text": "first", "author_id": 2},
            {"post_id": "p1", "number": 2, "text": "second"},
        ]
    )
    return db


class TestFindUnique:
    async def test_by_id(self, people: Any) -> None:
        """A record is found by its id, with all its scalar fields and no relation."""
        user = await people.user.find_unique({"id": 1})
        assert (user.email, user.name, user.role, user.tags, user.posts) == (
            "ann@example.org",
            "Ann",
            "ADMIN",
            ["a", "b"],
            None,
        )

    async def test_by_another_unique_field(self, people: Any) -> None:
        """Every unique field finds."""
        assert (await people.user.find_unique({"email": "bob@example.org"})).id == 2

    async def test_by_compound_keys(self, people: Any) -> None:
        """A compound id goes by its fields' names, a compound unique key by its name if it has one."""
        comment = await people.comment.find_unique({"post_id_number": {"post_id": "p1", "number": 2}})
        assert comment.text == "second"
        assert (await people.post.find_unique({"author_id_title": {"author_id": 1, "title": "two"}})).id == "p2"
        await people.reaction.create(
            {"kind": "like", "comment": {"connect": {"post_id_number": {"post_id": "p1", "number": 1}}}}
        )
        key = {"one_of_each": {"post_id": "p1", "number": 1, "kind": "like"}}
        assert (await people.reaction.find_unique(key)).kind == "like"

    async def test_none(self, people: Any) -> None:
        """Where there is no record the answer is None."""
        assert await people.user.find_unique({"id": 99}) is None

    async def test_or_raise(self, people: Any, client_package: ModuleType) -> None:
        """…or an error, for who asks for one."""
        assert (await people.user.find_unique_or_raise({"id": 1})).name == "Ann"
        with pytest.raises(client_package.errors.RecordNotFoundError) as caught:
            await people.user.find_unique_or_raise({"id": 99})
        assert caught.value.code == "P2025"
        assert "depends on one or more records that were required but not found" in str(caught.value)

    async def test_includes(self, people: Any) -> None:
        """Relations are read when they are included, to any depth."""
        user = await people.user.find_unique(
            {"id": 1}, include={"posts": {"include": {"comments": {"include": {"author": True}}}}, "profile": True}
        )
        assert user.profile.bio == "first"
        comments = {
            post.id: [(one.text, one.author and one.author.name) for one in post.comments] for post in user.posts
        }
        assert comments == {"p1": [("first", "Bob"), ("second", None)], "p2": [], "p3": []}


class TestFindFirst:
    async def test_takes_the_first_by_order(self, people: Any) -> None:
        """The order says which is first."""
        assert (await people.post.find_first(order={"views": "desc"})).id == "p3"
        assert (await people.post.find_first(order={"views": "desc"}, skip=1, where={"author_id": 1})).id == "p2"

    async def test_none_or_error(self, people: Any, client_package: ModuleType) -> None:
        """No match is None, or RecordNotFoundError from the method that says so."""
        assert await people.post.find_first(where={"title": "none"}) is None
        with pytest.raises(client_package.errors.RecordNotFoundError):
            await people.post.find_first_or_raise(where={"title": "none"})


class TestFindMany:
    async def test_everything(self, people: Any) -> None:
        """Without arguments it answers all records; None for an argument is none."""
        assert len(await people.user.find_many()) == 3
        assert len(await people.user.find_many(where=None, take=None, order=None, include=None)) == 3
        assert len(await people.user.find_many(where={})) == 3

    async def test_order(self, people: Any) -> None:
        """Several orders apply one after the other."""
        posts = await people.post.find_many(order=[{"views": "desc"}, {"title": "asc"}])
        assert [post.title for post in posts] == ["three", "four", "two", "one"]

    async def test_nulls_can_go_first(self, people: Any) -> None:
        """Where NULLs go can be said."""
        users = await people.user.find_many(order={"name": {"sort": "asc", "nulls": "first"}})
        assert [user.name for user in users] == [None, "Ann", "Bob"]

    async def test_order_by_relation(self, people: Any) -> None:
        """Records are ordered by a field of a related one, or by how many there are."""
        by_count = await people.user.find_many(order=[{"posts": {"_count": "desc"}}, {"id": "asc"}])
        assert [user.id for user in by_count] == [1, 2, 3]
        by_author = await people.post.find_many(order=[{"author": {"email": "desc"}}, {"id": "asc"}])
        assert [post.id for post in by_author] == ["p4", "p1", "p2", "p3"]

    async def test_take_and_skip(self, people: Any) -> None:
        """A negative take counts from the end, and keeps the order."""
        order = {"id": "asc"}
        assert [p.id for p in await people.post.find_many(order=order, take=2, skip=1)] == ["p2", "p3"]
        assert [p.id for p in await people.post.find_many(order=order, take=-2)] == ["p3", "p4"]
        assert await people.post.find_many(order=order, take=0) == []

    async def test_cursor(self, people: Any) -> None:
        """A cursor starts the page at a record, the record included."""
        order = {"id": "asc"}
        assert [p.id for p in await people.post.find_many(order=order, cursor={"id": "p2"}, take=2)] == ["p2", "p3"]
        assert [p.id for p in await people.post.find_many(order=order, cursor={"id": "p2"}, skip=1)] == ["p3", "p4"]
        assert [p.id for p in await people.post.find_many(order=order, cursor={"id": "p3"}, take=-2)] == ["p2", "p3"]
        assert await people.post.find_many(order=order, cursor={"id": "none"}) == []

    async def test_distinct(self, people: Any) -> None:
        """Of records with equal fields the first is kept."""
        posts = await people.post.find_many(distinct=["views"], order={"id": "asc"})
        assert [post.id for post in posts] == ["p1", "p2", "p3"]

    async def test_include_with_arguments(self, people: Any) -> None:
        """An included list is filtered, ordered and cut for each parent by itself."""
        users = await people.user.find_many(
            order={"id": "asc"},
            include={"posts": {"where": {"views": {"gt": 10}}, "order_by": {"views": "desc"}, "take": 1}},
        )
        assert [[post.id for post in user.posts] for user in users] == [["p3"], ["p4"], []]

    async def test_include_false(self, people: Any) -> None:
        """False includes nothing."""
        assert (await people.user.find_first(include={"posts": False})).posts is None

    async def test_self_relation(self, people: Any) -> None:
        """Both sides of a model's relation with itself are read."""
        ann = await people.user.find_unique(
            {"id": 1}, include={"reports": {"order_by": {"id": "asc"}}, "manager": True}
        )
        assert ([user.id for user in ann.reports], ann.manager) == ([2, 3], None)
        assert (await people.user.find_unique({"id": 2}, include={"manager": True})).manager.name == "Ann"

    async def test_a_shared_parent_is_asked_for_once(self, people: Any, statements: list[str]) -> None:
        """However many records refer to one, its key is sent once; and a list of any length is the same statement."""
        posts = await people.post.find_many(order={"id": "asc"}, include={"author": True})
        assert [post.author.name for post in posts] == ["Ann", "Ann", "Ann", "Bob"]
        assert len(statements) == 2
        assert "= ANY($1)" in statements[1]

    async def test_no_child_query_without_parents(self, people: Any, statements: list[str]) -> None:
        """Nothing is asked for where there is no parent."""
        assert await people.user.find_many(where={"id": 99}, include={"posts": True}) == []
        assert len(statements) == 1

    async def test_pages(self, people: Any, statements: list[str]) -> None:
        """Turning the pages of a list takes one statement, whose text does not say which page."""
        pages = [await people.user.find_many(order={"id": "asc"}, take=1, skip=number) for number in (1, 2, 3)]
        assert [[user.id for user in page] for page in pages][:1] == [[2]]
        assert len(set(statements)) == 1

    async def test_a_long_list_of_values(self, people: Any, statements: list[str]) -> None:
        """Fifty thousand values are one parameter, and as many as two are the same statement."""
        assert len(await people.user.find_many(where={"id": {"in": list(range(50_000))}})) == 3
        assert len(await people.user.find_many(where={"id": {"in": [1, 2]}})) == 2
        assert len(await people.user.find_many(where={"id": {"not_in": list(range(3, 50_000))}})) == 2
        assert statements[0] == statements[1]


class TestCount:
    async def test_all(self, people: Any) -> None:
        """Without a selection it is a number."""
        assert await people.post.count() == 4
        assert await people.post.count(where={"published": True}) == 2

    async def test_of_a_page(self, people: Any) -> None:
        """Take, skip and cursor limit what is counted, also under a filter."""
        assert await people.post.count(take=3) == 3
        assert await people.post.count(take=3, skip=2) == 2
        assert await people.post.count(take=1, where={"published": True}) == 1
        assert await people.post.count(cursor={"id": "p3"}) == 2

    async def test_of_fields(self, people: Any) -> None:
        """A field counts where it is not NULL."""
        assert await people.user.count(select={"_all": True, "name": True, "manager_id": True}) == {
            "_all": 3,
            "name": 2,
            "manager_id": 2,
        }


class TestGroupBy:
    async def test_aggregates(self, people: Any) -> None:
        """Groups carry every aggregate that was asked for, as plain JSON values."""
        groups = await people.post.group_by(
            ["author_id"],
            count=True,
            sum={"views": True},
            avg={"views": True},
            min={"title": True},
            max={"views": True},
            order={"author_id": "asc"},
        )
        assert groups == [
            {
                "author_id": 1,
                "_count": {"_all": 3},
                "_sum": {"views": 60},
                "_avg": {"views": 20.0},
                "_min": {"title": "one"},
                "_max": {"views": 30},
            },
            {
                "author_id": 2,
                "_count": {"_all": 1},
                "_sum": {"views": 20},
                "_avg": {"views": 20.0},
                "_min": {"title": "four"},
                "_max": {"views": 20},
            },
        ]

    async def test_values_are_json(self, db: Any) -> None:
        """A moment comes as text with milliseconds and Z, a Decimal as plain text."""
        moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
        await db.types.create_many(
            [{"moment": moment, "exact": Decimal("1.50")}, {"moment": moment, "exact": Decimal(2)}]
        )
        assert await db.types.group_by(["moment"], sum={"exact": True}) == [
            {"moment": "2024-02-29T12:00:00.000Z", "_sum": {"exact": "3.5"}}
        ]

    async def test_having(self, people: Any) -> None:
        """Groups are filtered by their own fields and by aggregates."""

        async def authors(having: dict[str, Any]) -> list[int]:
            groups = await people.post.group_by(["author_id"], having=having, order={"author_id": "asc"})
            return [group["author_id"] for group in groups]

        assert await authors({"views": {"_sum": {"gt": 20}}}) == [1]
        assert await authors({"views": {"_count": {"lt": 2}}}) == [2]
        assert await authors({"views": {"_avg": {"gte": 19.5}}}) == [1, 2]
        assert await authors({"author_id": {"in": [2, 3]}}) == [2]
        assert await authors({"OR": [{"author_id": 1}, {"views": {"_max": {"equals": 20}}}]}) == [1, 2]

    async def test_having_does_not_flood_the_plans(self, people: Any) -> None:
        """A number compared with in `having` is no part of the plan."""
        planner = people._engine._planner
        await people.post.group_by(["author_id"], having={"views": {"_avg": {"gt": 0.5}, "_count": {"gt": 0}}})
        before = len(planner)
        for number in range(20):
            await people.post.group_by(
                ["author_id"], having={"views": {"_avg": {"gt": 1.5 + number}, "_count": {"gt": number}}}
            )
        assert len(planner) == before

    async def test_page_of_groups(self, people: Any) -> None:
        """Take and skip cut the groups; where filters the records before."""
        groups = await people.post.group_by(
            ["views"],
            where={"author_id": 1},
            order={"views": "desc"},
            take=2,
            skip=1,
            count={"_all": True, "title": True},
        )
        assert groups == [
            {"views": 20, "_count": {"_all": 1, "title": 1}},
            {"views": 10, "_count": {"_all": 1, "title": 1}},
        ]
