from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.plan_reader import read_plan
from agentdb.engine.pushdown import push_down
from agentdb.engine.request import Call, build_request
from agentdb.engine.schema import Datamodel, parse_schema
from agentdb.engine.statement import settle
from agentdb.engine.wasm import QueryCompiler
from tests.unit.engine.support import DATAMODEL, DIALECT, SCHEMA, model


@pytest.fixture(scope="module")
def compiler() -> QueryCompiler:
    return QueryCompiler(SCHEMA, schema_name="public")


class Planned:
    """The plan of a find_many as it was compiled, and as it was pushed down."""

    def __init__(self, compiler: QueryCompiler, name: str, datamodel: Datamodel = DATAMODEL, **arguments: Any) -> None:
        request = build_request(Call("find_many", arguments, model(name)), DATAMODEL, DIALECT)
        self.before = read_plan(compiler.compile(request.text))
        self.after = push_down(self.before, datamodel)

    @property
    def statements(self) -> list[str]:
        """The texts of the statements, less what stands in front of every column."""
        settled = [settle(node.template) for node in walk(self.after) if isinstance(node, plan.Query)]
        return [text.sql.replace('"public".', "") for text in settled if text is not None]

    @property
    def in_memory(self) -> list[plan.Operations]:
        """What is left to do in memory."""
        return [
            node.operations
            for node in walk(self.after)
            if isinstance(node, plan.Process) and isinstance(node.source, plan.Query | plan.Process)
        ]


def walk(value: Any) -> Iterator[plan.Node]:
    """Every node of a plan."""
    if isinstance(value, plan.Node):
        yield value
    if isinstance(value, plan.Node | plan.JoinChild):
        for field in dataclasses.fields(value):
            yield from walk(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from walk(item)


COLUMNS = '"Reaction"."id", "Reaction"."kind", "Reaction"."post_id", "Reaction"."number"'
NAMES = '"id", "kind", "post_id", "number"'


class TestUnchanged:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"where": {"id": 1}, "take": 3, "skip": 1, "order_by": {"kind": "asc"}},
            {"cursor": {"id": 1}, "take": 3},
            {"take": -3},
            {"include": {"comment": {"include": {"post": True, "reactions": True}}}},
        ],
    )
    def test_without_anything_to_gain(self, compiler: QueryCompiler, arguments: Any) -> None:
        """A plan that reads no more than it must stays as it is."""
        planned = Planned(compiler, "Reaction", **arguments)
        assert planned.after == planned.before

    @pytest.mark.parametrize("field", ["document", "plain_json", "citext", "xml", "timetz"])
    def test_where_sql_compares_otherwise(self, compiler: QueryCompiler, field: str) -> None:
        """Distinct in values that SQL compares otherwise than Prisma stays in memory."""
        planned = Planned(compiler, "Types", distinct=[field])
        assert planned.after == planned.before

    def test_of_a_table_unknown(self, compiler: QueryCompiler) -> None:
        """A statement on a table that is no model's is left alone."""
        planned = Planned(compiler, "Reaction", Datamodel(), distinct=["kind"])
        assert planned.after == planned.before

    def test_of_another_form(self) -> None:
        """A statement of a form that the compiler does not write today is left alone."""
        operations = plan.Operations(plan.Pagination(None, 1, None), None, None, is_reversed=False, nested={})
        query = plan.Query(plan.Template((plan.Chunk('SELECT "id" FROM "Reaction"'),), (), ()))
        assert push_down(plan.Process(query, operations), DATAMODEL) == plan.Process(query, operations)


class TestDistinct:
    def test_without_an_order(self, compiler: QueryCompiler) -> None:
        """The first row of each, in the order of reading."""
        planned = Planned(compiler, "Reaction", distinct=["kind"])
        assert planned.in_memory == []
        assert planned.statements == [
            f"SELECT {NAMES} FROM (SELECT * FROM (SELECT *, ROW_NUMBER()"
            ' OVER (PARTITION BY "kind" ORDER BY "@order0" ASC) AS "@turn"'
            f' FROM (SELECT {COLUMNS}, ROW_NUMBER() OVER () AS "@order0" FROM "Reaction" WHERE 1=1) AS "@rows")'
            ' AS "@rows" WHERE "@turn" = 1) AS "@rows" ORDER BY "@order0" ASC'
        ]

    def test_in_its_own_order(self, compiler: QueryCompiler) -> None:
        """Where the order begins with the distinct columns it is asked for within, so that reading can stop."""
        planned = Planned(compiler, "Reaction", distinct=["kind"], order_by={"kind": "desc"}, take=2, skip=1)
        assert planned.statements == [
            f"SELECT {NAMES} FROM (SELECT * FROM (SELECT *, ROW_NUMBER()"
            ' OVER (PARTITION BY "@order0" ORDER BY "@order0" DESC) AS "@turn"'
            f' FROM (SELECT {COLUMNS}, "Reaction"."kind" AS "@order0" FROM "Reaction" WHERE 1=1) AS "@rows"'
            ' ORDER BY "@order0" DESC) AS "@rows" WHERE "@turn" = 1) AS "@rows" LIMIT 2 OFFSET 1'
        ]

    def test_reversed(self, compiler: QueryCompiler) -> None:
        """What remains of a negative take is to turn the page round."""
        (operations,) = Planned(compiler, "Reaction", distinct=["kind"], take=-2).in_memory
        assert operations == plan.Operations(None, None, None, is_reversed=True, nested={})


class TestCursor:
    def test_among_ties(self, compiler: QueryCompiler) -> None:
        """Rows count from the cursor's on; the condition is the compiler's."""
        planned = Planned(compiler, "Reaction", cursor={"id": 5}, order_by={"kind": "asc"}, take=2)
        row = 'SELECT "Reaction"."kind" FROM "Reaction" WHERE ("Reaction"."id") = ($2)'
        assert planned.in_memory == []
        assert planned.statements == [
            f'SELECT {NAMES} FROM (SELECT * FROM (SELECT *, bool_or("id" = $1)'
            ' OVER (ORDER BY "@order0" ASC ROWS UNBOUNDED PRECEDING) AS "@started"'
            f' FROM (SELECT {COLUMNS}, "Reaction"."kind" AS "@order0" FROM "Reaction"'
            f' WHERE "Reaction"."kind" >= ({row})) AS "@rows" ORDER BY "@order0" ASC) AS "@rows" WHERE "@started")'
            ' AS "@rows" LIMIT 2'
        ]

    @pytest.mark.parametrize(
        ("order", "bound"),
        [
            ([{"kind": "asc"}, {"id": "asc"}], '("Reaction"."kind", "Reaction"."id") >= (SELECT'),
            ([{"kind": "desc"}, {"id": "desc"}], '("Reaction"."kind", "Reaction"."id") <= (SELECT'),
            ([{"kind": "asc"}, {"id": "desc"}], '("Reaction"."kind") >= (SELECT'),
            ([{"kind": "asc"}, {"number": "asc"}, {"id": "asc"}], '("Reaction"."kind") >= (SELECT'),
        ],
    )
    def test_over_several_columns(self, compiler: QueryCompiler, order: Any, bound: str) -> None:
        """A condition that an index can start from goes before it, on the columns that allow for it."""
        (statement,) = Planned(compiler, "Reaction", cursor={"id": 5}, order_by=order, take=2).statements
        assert f" WHERE ({bound}" in statement

    def test_over_a_column_that_may_be_null(self, compiler: QueryCompiler) -> None:
        """Nulls come after the last or before the first, so that no such condition holds."""
        order = [{"number": "asc"}, {"kind": "asc"}, {"id": "asc"}]
        (statement,) = Planned(compiler, "Reaction", cursor={"id": 5}, order_by=order, take=2).statements
        assert '("Reaction"."number") >=' not in statement

    def test_of_texts_without_case(self, compiler: QueryCompiler) -> None:
        """A cursor that SQL may find in several rows stays in memory."""
        schema = SCHEMA.replace("kind    String", "kind    String @db.Citext")
        arguments: Any = {
            "cursor": {"one_of_each": {"post_id": "a", "number": 1, "kind": "x"}},
            "order_by": {"kind": "asc"},
        }
        planned = Planned(compiler, "Reaction", parse_schema(schema), **arguments)
        assert planned.after == planned.before


class TestIncluded:
    def test_along_an_index(self, compiler: QueryCompiler) -> None:
        """Each parent's page is read by itself; each key is sent once."""
        planned = Planned(compiler, "Comment", include={"reactions": {"take": 2, "order_by": {"kind": "asc"}}})
        assert planned.statements[1] == (
            f'SELECT {NAMES} FROM unnest(CAST($1 AS text[]), CAST($2 AS integer[])) AS "@keys"("@key0", "@key1")'
            f' CROSS JOIN LATERAL (SELECT {COLUMNS}, "Reaction"."kind" AS "@order0" FROM "Reaction"'
            ' WHERE ("Reaction"."post_id" = "@keys"."@key0" AND "Reaction"."number" = "@keys"."@key1")'
            ' ORDER BY "@order0" ASC LIMIT 2) AS "@rows" ORDER BY "@order0" ASC'
        )
        (keys,) = [node for node in walk(planned.after) if isinstance(node, plan.Process)]
        assert (keys.source, keys.operations.distinct) == (plan.Get("@parent"), ("post_id", "number"))

    def test_without_an_index(self, compiler: QueryCompiler) -> None:
        """Without one, rows are numbered per parent."""
        planned = Planned(compiler, "Comment", include={"reactions": {"take": 2, "skip": 1}})
        assert planned.in_memory == []
        assert planned.statements[1] == (
            f"SELECT {NAMES} FROM (SELECT * FROM (SELECT *, ROW_NUMBER()"
            ' OVER (PARTITION BY "post_id", "number" ORDER BY "@order0" ASC) AS "@place"'
            f' FROM (SELECT {COLUMNS}, "Reaction"."id" AS "@order0" FROM "Reaction"'
            ' WHERE ("Reaction"."post_id" = ANY($1) AND "Reaction"."number" = ANY($2))) AS "@rows")'
            ' AS "@rows" WHERE "@place" > 1 AND "@place" <= 3) AS "@rows" ORDER BY "@order0" ASC'
        )

    @pytest.mark.parametrize(
        ("index", "order", "is_used"),
        [
            ("@@index([author_id, views, id])", {"views": "desc"}, True),
            ("@@index([author_id, views(sort: Desc)])", [{"views": "asc"}, {"title": "desc"}], True),
            ("@@index([author_id, reviewer_id])", {"reviewer_id": "desc"}, True),
            ("@@index([author_id, reviewer_id])", {"reviewer_id": {"sort": "desc", "nulls": "last"}}, False),
            ("@@index([author_id])", {"views": "desc"}, False),
            ("@@index([views, author_id])", {"views": "desc"}, False),
            ("@@index([author_id, views], type: Gin)", {"views": "desc"}, False),
            ("@@index([author_id, views])", {"comments": {"_count": "desc"}}, False),
        ],
    )
    def test_along_an_index_that_the_schema_declares(
        self, compiler: QueryCompiler, index: str, order: Any, is_used: bool
    ) -> None:
        """An index of the model serves if it leads from the key to the first column of the order."""
        datamodel = parse_schema(SCHEMA.replace("@@unique([author_id, title])", index))
        planned = Planned(compiler, "User", datamodel, include={"posts": {"take": 2, "order_by": order}})
        assert ("LATERAL" in planned.statements[1]) == is_used
        assert planned.in_memory == []

    def test_distinct(self, compiler: QueryCompiler) -> None:
        """Distinct holds for each parent, and its page is cut afterwards."""
        include = {"posts": {"distinct": ["views"], "take": 2, "order_by": {"title": "asc"}}}
        statement = Planned(compiler, "User", include=include).statements[1]
        turn, place = statement.index('PARTITION BY "views", "author_id"'), statement.index('PARTITION BY "author_id"')
        assert place < turn

    def test_many_to_many(self, compiler: QueryCompiler) -> None:
        """The key of a many-to-many relation is a column of the table between."""
        planned = Planned(compiler, "Post", include={"categories": {"take": 2}})
        assert planned.in_memory == []
        assert 'PARTITION BY "CategoryToPost@Post"' in planned.statements[1]

    def test_by_texts_without_case(self, compiler: QueryCompiler) -> None:
        """Keys that SQL finds equal and the join does not stay in memory."""
        schema = SCHEMA.replace("author_id   Int\n", "author_id   String @db.Citext\n")
        planned = Planned(compiler, "User", parse_schema(schema), include={"posts": {"take": 2}})
        assert planned.after == planned.before
