"""Distinct, cursor, take and skip in SQL: what is read and sent for them, and that the answers are those of memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentdb.engine import compiler
from agentdb.engine.compiler import Planner
from agentdb.engine.pushdown import push_down
from agentdb.postgres.connection import Connection
from agentdb.postgres.driver import Bind, Statement

pytestmark = pytest.mark.postgres


class Exchange(NamedTuple):
    """A statement that was sent, its arguments, and how many rows came back."""

    sql: str
    arguments: tuple[Any, ...]
    rows: int


@pytest.fixture
def exchanges(db: Any, monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """Every statement that a client sends from now on."""
    found: list[Exchange] = []
    original = Connection.fetch

    async def fetch(self: Connection, sql: str, arguments: Sequence[object], bind: Bind) -> Any:
        rows: list[Any] = []

        def noting(statement: Statement) -> Any:
            binding = bind(statement)

            def decode(received: list[Any]) -> Any:
                rows.extend(received)
                return binding.decode(received)

            return SimpleNamespace(encode=binding.encode, decode=decode)

        answer = await original(self, sql, arguments, noting)
        found.append(Exchange(sql, tuple(arguments), len(rows)))
        return answer

    monkeypatch.setattr(Connection, "fetch", fetch)
    return found


# -- how much is read -------------------------------------------------------------------------------------------------

AUTHORS, POSTS_EACH = 50, 200


@pytest.fixture
async def library(db: Any, raw: asyncpg.Connection[asyncpg.Record]) -> Any:
    """50 authors with 200 posts each; the first 500 posts have 20 comments each."""
    await raw.execute(
        f"""
        INSERT INTO "users" ("email", "updatedAt") SELECT 'u' || n, now() FROM generate_series(1, {AUTHORS}) n;
        INSERT INTO "Post" ("id", "title", "views", "author_id")
            SELECT 'p' || n, 't' || lpad((n / {AUTHORS})::text, 4, '0'), n * 7919 % 100, n % {AUTHORS} + 1
            FROM generate_series(0, {AUTHORS * POSTS_EACH - 1}) n;
        INSERT INTO "Comment" ("post_id", "number", "text")
            SELECT 'p' || n % 500, n / 500, 'c' || n FROM generate_series(0, 9999) n;
        INSERT INTO "Reaction" ("post_id", "number", "kind")
            SELECT 'p' || n % 500, 0, 'k' || lpad((n / 500)::text, 2, '0') FROM generate_series(0, 9999) n;
        INSERT INTO "Category" ("name") SELECT 'c' || n FROM generate_series(1, 5) n;
        INSERT INTO "_CategoryToPost" ("A", "B") SELECT n % 5 + 1, 'p' || n FROM generate_series(0, 999) n;
        ANALYZE
        """
    )
    return db


async def rows_read(db: Any, table: str, model: str, **arguments: Any) -> tuple[int, Any]:
    """Return how many rows of a table the server read for a find_many, and the answer."""
    async with db.tx() as transaction:
        answer = await getattr(transaction, model).find_many(**arguments)
        read = await transaction.query_raw(
            "SELECT (seq_tup_read + COALESCE(idx_tup_fetch, 0))::int AS n FROM pg_stat_xact_user_tables"
            " WHERE relname = $1",
            table,
        )
    return read[0]["n"], answer


class TestTakeInInclude:
    async def test_along_an_index(self, library: Any, exchanges: list[Exchange]) -> None:
        """Where the key and the order have an index, only the rows taken are read."""
        posts = {"take": 3, "skip": 1, "order_by": {"title": "desc"}}
        read, users = await rows_read(library, "Post", "user", take=10, include={"posts": posts})
        assert [[post.title for post in user.posts] for user in users] == [["t0198", "t0197", "t0196"]] * 10
        assert exchanges[1].rows == 30
        assert read <= 10 * (3 + 1)

    async def test_along_the_index_of_a_compound_key(self, library: Any, exchanges: list[Exchange]) -> None:
        """A key of several columns serves the same, and its columns are not mixed with another parent's."""
        include = {"reactions": {"take": 2, "order_by": {"kind": "asc"}}}
        read, comments = await rows_read(library, "Reaction", "comment", where={"number": 0}, take=40, include=include)
        assert [[one.kind for one in comment.reactions] for comment in comments] == [["k00", "k01"]] * 40
        assert exchanges[1].rows == 80
        assert read <= 80

    async def test_without_an_index(self, library: Any, exchanges: list[Exchange]) -> None:
        """Without one the children are read, but only the rows taken are sent."""
        _, users = await rows_read(library, "Post", "user", take=10, include={"posts": {"take": -2}})
        assert exchanges[1].rows == 20
        by_id = sorted(f"p{n}" for n in range(0, AUTHORS * POSTS_EACH, AUTHORS))
        assert [post.id for post in users[0].posts] == by_id[-2:]

    async def test_many_to_many(self, library: Any, exchanges: list[Exchange]) -> None:
        """A many-to-many list is cut per parent, too."""
        include = {"posts": {"take": 4, "order_by": {"id": "desc"}}}
        _, categories = await rows_read(library, "Post", "category", include=include)
        assert [len(category.posts) for category in categories] == [4] * 5
        assert exchanges[1].rows == 20


class TestDistinct:
    async def test_in_the_order_of_an_index(self, library: Any, exchanges: list[Exchange]) -> None:
        """Where the order begins with the distinct columns, reading stops at the limit."""
        read, posts = await rows_read(
            library, "Post", "post", distinct=["author_id"], order=[{"author_id": "desc"}, {"title": "asc"}], take=3
        )
        assert [(post.author_id, post.title) for post in posts] == [(50, "t0000"), (49, "t0000"), (48, "t0000")]
        assert exchanges[0].rows == 3
        assert read <= 4 * POSTS_EACH

    async def test_in_another_order(self, library: Any, exchanges: list[Exchange]) -> None:
        """Otherwise all is read, but one row of each is sent."""
        await rows_read(library, "Post", "post", distinct=["author_id"], order={"id": "asc"})
        assert exchanges[0].rows == AUTHORS


class TestCursor:
    async def test_among_ties(self, library: Any, exchanges: list[Exchange]) -> None:
        """In an order with ties, what ties with the cursor is read, and the page."""
        read, posts = await rows_read(
            library, "Post", "post", cursor={"id": "p5010"}, order={"author_id": "asc"}, take=3
        )
        assert posts[0].id == "p5010"
        assert exchanges[0].rows == 3
        assert read <= POSTS_EACH + 10

    async def test_over_two_columns(self, library: Any, exchanges: list[Exchange]) -> None:
        """In an order by two columns of an index, reading starts at the cursor."""
        order = [{"author_id": "asc"}, {"title": "asc"}]
        read, posts = await rows_read(library, "Post", "post", cursor={"id": "p5010"}, order=order, take=3, skip=1)
        assert [post.title for post in posts] == ["t0101", "t0102", "t0103"]
        assert read <= 10

    async def test_over_a_compound_id(self, library: Any, exchanges: list[Exchange]) -> None:
        """So it does in the order that a compound id has by itself."""
        cursor = {"post_id_number": {"post_id": "p300", "number": 18}}
        read, comments = await rows_read(library, "Comment", "comment", cursor=cursor, take=3)
        assert [(comment.post_id, comment.number) for comment in comments] == [("p300", 18), ("p300", 19), ("p301", 0)]
        assert read <= 10

    async def test_page_by_page(self, library: Any) -> None:
        """Pages by a cursor meet every record once."""
        seen: list[str] = []
        where, order = {"author_id": {"lt": 3}}, [{"views": "desc"}, {"reviewer_id": "asc"}, {"id": "asc"}]
        page = await library.post.find_many(where=where, order=order, take=70)
        while page:
            seen += [post.id for post in page]
            page = await library.post.find_many(where=where, order=order, take=70, skip=1, cursor={"id": seen[-1]})
        assert len(seen) == len(set(seen)) == 2 * POSTS_EACH

    async def test_that_the_filter_leaves_out(self, library: Any) -> None:
        """A cursor's record that is not among those asked for starts nothing."""
        arguments = {"cursor": {"id": "p5010"}, "order": {"views": "asc"}}
        assert await library.post.find_many(where={"author_id": 1}, **arguments) == []
        assert await library.post.find_many(cursor={"id": "p"}, order={"views": "asc"}) == []


class TestKeys:
    async def test_are_sent_once(self, library: Any, exchanges: list[Exchange]) -> None:
        """Parents that share a key send it once; at the next level, too."""
        include = {"author": {"include": {"posts": {"take": 1, "order_by": {"title": "asc"}}}}}
        await library.post.find_many(where={"author_id": {"in": [7, 8]}}, include=include)
        posts, users, more = exchanges
        assert (posts.rows, users.rows, more.rows) == (2 * POSTS_EACH, 2, 2)
        assert [sorted(keys) for (keys,) in (users.arguments, more.arguments)] == [[7, 8]] * 2

    async def test_of_parents_that_come_twice_are_sent_once(self, library: Any, exchanges: list[Exchange]) -> None:
        """A parent reached along several ways of a many-to-many relation asks once for its children."""
        include = {
            "posts": {"take": 1, "order_by": {"id": "asc"}, "include": {"categories": True, "comments": {"take": 1}}}
        }
        await library.category.update({"posts": {"connect": [{"id": "p0"}]}}, {"id": 2})
        exchanges.clear()
        await library.category.find_many(where={"id": {"in": [1, 2]}}, include=include)
        assert [exchange.rows for exchange in exchanges] == [2, 2, 2, 1]
        assert [exchange.arguments for exchange in exchanges[2:]] == [(["p0"],), (["p0"],)]

    async def test_of_several_columns_are_sent_once(self, library: Any, exchanges: list[Exchange]) -> None:
        """A key of several columns is sent once where it is sent as pairs, and each of its values where it is not."""
        include = {"comment": {"include": {"reactions": {"take": 1, "order_by": {"kind": "desc"}}}}}
        await library.reaction.find_many(where={"post_id": {"in": ["p1", "p2"]}}, include=include)
        _, comments, reactions = exchanges
        assert (sorted(comments.arguments[0]), comments.arguments[1]) == (["p1", "p2"], [0])
        assert sorted(zip(*reactions.arguments, strict=True)) == [("p1", 0), ("p2", 0)]

    async def test_of_no_parent_are_not_sent(self, library: Any, exchanges: list[Exchange]) -> None:
        """Where there is no parent, or none with a key, its children are not asked for."""
        assert await library.user.find_many(where={"id": 0}, include={"posts": {"take": 1}}) == []
        assert len(exchanges) == 1
        posts = await library.post.find_many(take=2, include={"reviewer": {"include": {"posts": True}}})
        assert [post.reviewer for post in posts] == [None, None]
        assert len(exchanges) == 2


# -- that the answers are the same ------------------------------------------------------------------------------------


@pytest.fixture
async def in_memory(db: Any, prisma_class: type[Any], url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A client of the same database whose plans stay as the compiler wrote them."""
    async with prisma_class(datasource={"url": url}, use_dotenv=False) as client:
        engine = client._engine
        planner = Planner(engine._schema, engine._schema_name)
        monkeypatch.setattr(
            compiler,
            "push_down",
            lambda node, datamodel: node if datamodel is planner.datamodel else push_down(node, datamodel),
        )
        engine._planner = planner
        yield client


@pytest.fixture
async def crowd(db: Any, raw: asyncpg.Connection[asyncpg.Record]) -> Any:
    """A few records of everything, with many ties and nulls."""
    await raw.execute(
        """
        INSERT INTO "users" ("email", "name", "visits", "role", "score", "managerId", "updatedAt")
            SELECT 'u' || n, CASE WHEN n % 3 > 0 THEN 'n' || n % 2 END, n % 2,
                   (ARRAY['MEMBER', 'administrator', 'GUEST'])[n % 3 + 1]::"user_role", n % 4, NULLIF(n / 3, 0), now()
            FROM generate_series(1, 8) n;
        INSERT INTO "Post" ("id", "title", "views", "published", "author_id", "reviewer_id")
            SELECT 'p' || n * 11 % 30, 't' || n, n % 4, n % 3 = 0, n * n % 6 + 1, NULLIF(n % 4, 0)
            FROM generate_series(0, 29) n;
        INSERT INTO "Comment" ("post_id", "number", "text", "author_id")
            SELECT 'p' || n % 7, n / 7, 'x' || n % 5, NULLIF(n % 5, 0) FROM generate_series(0, 27) n;
        INSERT INTO "Reaction" ("kind", "post_id", "number")
            SELECT 'k' || n % 3, CASE WHEN n % 4 > 0 THEN 'p' || n % 7 END, CASE WHEN n % 4 > 0 THEN n % 3 END
            FROM generate_series(1, 40) n ON CONFLICT DO NOTHING;
        INSERT INTO "Category" ("name") SELECT 'c' || n * 7 % 6 FROM generate_series(1, 6) n;
        INSERT INTO "_CategoryToPost" ("A", "B") SELECT a, 'p' || b FROM generate_series(1, 6) a,
            generate_series(0, 29) b WHERE (a + b) % 4 = 0;
        INSERT INTO "_tree" ("A", "B") SELECT a, b FROM generate_series(1, 6) a, generate_series(1, 6) b
            WHERE (a * b) % 3 = 1
        """
    )
    return db


class Model(NamedTuple):
    """What calls on a model are made of; *key* makes every order total."""

    key: tuple[str, ...]
    fields: tuple[str, ...]
    nullable: tuple[str, ...]
    lists: dict[str, str]
    records: dict[str, str]
    orders: tuple[dict[str, Any], ...]
    cursors: tuple[dict[str, Any], ...]
    filters: tuple[dict[str, Any], ...]


MODELS = {
    "user": Model(
        ("id",),
        ("visits", "role", "score"),
        ("name", "manager_id"),
        {"posts": "post", "reviewed": "post", "comments": "comment", "reports": "user"},
        {"manager": "user"},
        ({"posts": {"_count": "desc"}}, {"manager": {"email": "asc"}}),
        ({"id": 3}, {"email": "u5"}, {"id": 99}),
        ({"visits": 1}, {"name": None}, {"posts": {"some": {"published": True}}}, {"role": {"in": ["ADMIN", "GUEST"]}}),
    ),
    "post": Model(
        ("id",),
        ("views", "published", "author_id"),
        ("reviewer_id",),
        {"categories": "category", "comments": "comment"},
        {"author": "user", "reviewer": "user"},
        ({"author": {"name": "desc"}}, {"title": "asc"}, {"author_id": "desc"}, {"author_id": "asc"}),
        ({"id": "p4"}, {"id": "p17"}, {"author_id_title": {"author_id": 2, "title": "t1"}}),
        ({"published": True}, {"views": {"in": [0, 2]}}, {"OR": [{"views": 1}, {"reviewer_id": None}]}),
    ),
    "comment": Model(
        ("post_id", "number"),
        ("text",),
        ("author_id",),
        {"reactions": "reaction"},
        {"post": "post", "author": "user"},
        ({"number": "desc"}, {"post": {"views": "asc"}}),
        ({"post_id_number": {"post_id": "p3", "number": 1}},),
        ({"number": {"gt": 0}}, {"text": {"contains": "1"}}),
    ),
    "reaction": Model(
        ("id",),
        ("kind",),
        ("post_id", "number"),
        {},
        {"comment": "comment"},
        ({"comment": {"text": "desc"}},),
        ({"id": 7}, {"one_of_each": {"post_id": "p1", "number": 1, "kind": "k1"}}),
        ({"kind": {"not": "k1"}},),
    ),
    "category": Model(
        ("id",),
        ("name",),
        (),
        {"posts": "post", "parents": "category", "children": "category"},
        {},
        ({"posts": {"_count": "asc"}},),
        ({"id": 2}, {"name": "c3"}),
        ({"posts": {"some": {"views": 1}}},),
    ),
}

DIRECTIONS = st.sampled_from(["asc", "desc"])
NULLS = st.builds(lambda sort, nulls: {"sort": sort, "nulls": nulls}, DIRECTIONS, st.sampled_from(["first", "last"]))


@st.composite
def lists(draw: st.DrawFn, name: str, order: str, depth: int) -> dict[str, Any]:
    """The arguments of a list of records: an order that is total, and what cuts it."""
    model = MODELS[name]
    by_field = st.one_of(
        *(st.builds(lambda sort, field=field: {field: sort}, DIRECTIONS) for field in model.fields + model.nullable),
        *(st.builds(lambda sort, field=field: {field: sort}, NULLS) for field in model.nullable),
        *map(st.just, model.orders),
    )
    orders = draw(st.lists(by_field, max_size=2, unique_by=lambda item: next(iter(item))))
    ordered = {field for item in orders for field in item}
    orders += [{field: draw(DIRECTIONS)} for field in model.key if field not in ordered]
    arguments = {
        order: orders,
        "where": draw(st.sampled_from([None, None, *model.filters])),
        "take": draw(st.sampled_from([None, None, 1, 2, 3, -1, -2, -3])),
        "skip": draw(st.sampled_from([None, None, 0, 1, 2])),
        "cursor": draw(st.sampled_from([None, None, None, *model.cursors])),
        "distinct": draw(st.one_of(st.none(), st.none(), distinct_fields(name))),
        "include": draw(includes(name, depth)) if depth else None,
    }
    return {key: value for key, value in arguments.items() if value is not None}


def distinct_fields(name: str) -> st.SearchStrategy[list[str]]:
    """One or two fields of a model."""
    model = MODELS[name]
    return st.lists(st.sampled_from(model.fields + model.nullable), min_size=1, max_size=2, unique=True)


@st.composite
def includes(draw: st.DrawFn, name: str, depth: int) -> dict[str, Any]:
    """One or two relations of a model, lists more often than records."""
    model = MODELS[name]
    names = [*model.lists, *model.lists, *model.records]
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return {
        field: draw(lists(model.lists[field], "order_by", depth - 1))
        if field in model.lists
        else ({"include": draw(includes(model.records[field], depth - 1))} if depth > 1 else True)
        for field in chosen
    }


CALLS = st.tuples(st.sampled_from(sorted(MODELS)), st.integers(0, 2)).flatmap(
    lambda chosen: st.tuples(st.just(chosen[0]), lists(chosen[0], "order", chosen[1]))
)
CHECKED = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def plain(value: Any) -> Any:
    """Return the answer as values that can be compared."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None else value.model_dump()


class TestAnswers:
    @CHECKED
    @given(call=CALLS)
    async def test_are_those_of_memory(self, crowd: Any, in_memory: Any, call: tuple[str, dict[str, Any]]) -> None:
        """Whatever lists are asked for, they are those that memory makes of the compiler's own plan."""
        model, arguments = call
        ours = await getattr(crowd, model).find_many(**arguments)
        assert plain(ours) == plain(await getattr(in_memory, model).find_many(**arguments))

    @pytest.mark.parametrize("model", sorted(MODELS))
    async def test_are_the_first_met_without_an_order(self, crowd: Any, in_memory: Any, model: str) -> None:
        """Of records alike in the distinct fields, the first in the order of reading is kept."""
        for field in MODELS[model].fields + MODELS[model].nullable:
            ours = await getattr(crowd, model).find_many(distinct=[field])
            assert plain(ours) == plain(await getattr(in_memory, model).find_many(distinct=[field]))

    async def test_of_texts_that_sql_finds_equal(self, db: Any, in_memory: Any) -> None:
        """Texts that only the database holds to be equal are distinct; and so is JSON by its text."""
        for text, document in [("a", "1"), ("A", "1.0"), ("a", "1")]:
            await db.query_raw(
                f"INSERT INTO \"Types\" (citext, plain_json, document) VALUES ('{text}', '{document}', '{document}')"
            )
        for field, count in [("citext", 2), ("plain_json", 2), ("document", 2)]:
            found = await db.types.find_many(distinct=[field])
            assert len(found) == len(await in_memory.types.find_many(distinct=[field])) == count
