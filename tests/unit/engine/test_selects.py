from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.selects import Ordering, read_select, write_template

INTEGER = plan.ArgumentType("int", "INTEGER", is_list=False)
NUMBER = plan.ArgumentType("bigint", None, is_list=False)


def template(text: str, *arguments: Any) -> plan.Template:
    """A statement of a text in which ? stands for an argument, ?? for a list."""
    fragments: list[plan.Fragment] = []
    for piece in text.replace("??", "\0list\0").replace("?", "\0one\0").split("\0"):
        match piece:
            case "list":
                fragments.append(plan.ParameterTuple("", ",", ""))
            case "one":
                fragments.append(plan.Parameter())
            case "":
                pass
            case _:
                fragments.append(plan.Chunk(piece))
    types = [NUMBER if isinstance(argument, str) else INTEGER for argument in arguments]
    return plan.Template(tuple(fragments), arguments, tuple(types))


KEYS = plan.Placeholder("@parent$id", "Int")
POSTS = template(
    'SELECT "public"."Post"."id", "public"."Post"."kind"::text, COALESCE("t0"."n", ?) AS "a, b) FROM "'
    ' FROM "public"."Post" LEFT JOIN "public"."x WHERE y" AS "t0" ON ("t0"."id") = ("public"."Post"."id")'
    ' WHERE ("public"."Post"."author_id" IN ?? AND (SELECT 1 FROM "b" WHERE 1=1 ORDER BY "c" LIMIT ?) = 1)'
    ' ORDER BY COALESCE("t0"."n", ?) DESC, "public"."Post"."id"ASC NULLS FIRST LIMIT ? OFFSET ?',
    *("0", KEYS, "1", "0", "5", "2"),
)


class TestReading:
    def test_takes_apart(self) -> None:
        """The parts are those outside of quotes and parentheses; columns go by what PostgreSQL calls them."""
        select = read_select(POSTS)
        assert select is not None
        assert list(select.columns) == ["id", "kind", "a, b) FROM "]
        assert select.columns["kind"] == '"public"."Post"."kind"::text'
        assert select.source.endswith('ON ("t0"."id") = ("public"."Post"."id")')
        assert select.condition.startswith('("public"."Post"."author_id" IN ')
        assert [item.direction for item in select.order] == ["DESC", "ASC NULLS FIRST"]
        assert select.order[1] == Ordering('"public"."Post"."id"', "ASC NULLS FIRST")

    def test_and_writing_give_the_same(self) -> None:
        """Put together again it is the same statement, but for a space that the compiler leaves out."""
        select = read_select(POSTS)
        assert select is not None
        written = write_template(select.text(), select.holes)
        assert (written.arguments, written.types) == (POSTS.arguments, POSTS.types)
        assert [type(fragment) for fragment in written.fragments] == [type(fragment) for fragment in POSTS.fragments]
        texts = [[each.text for each in one.fragments if isinstance(each, plan.Chunk)] for one in (written, POSTS)]
        assert texts[0] == [text.replace('"ASC', '" ASC') for text in texts[1]]

    def test_repeats_an_argument_with_its_text(self) -> None:
        """A text that stands in the statement twice has its arguments twice."""
        select = read_select(POSTS)
        assert select is not None
        twice = replace(select, condition=f"{select.condition} AND {select.condition}")
        assert write_template(twice.text(), twice.holes).arguments == ("0", KEYS, "1", KEYS, "1", "0", "5", "2")

    @pytest.mark.parametrize(
        ("page", "arguments", "is_whole"),
        [("OFFSET ?", ("0",), True), ("OFFSET ?", ("1",), False), ("LIMIT ? OFFSET ?", ("3", "0"), False)],
    )
    def test_tells_what_cuts_it(self, page: str, arguments: tuple[str, ...], is_whole: bool) -> None:
        """A statement is whole without LIMIT, from the first row on."""
        select = read_select(template(f'SELECT "a"."id" FROM "a" WHERE 1=1 {page}', *arguments))
        assert select is not None
        assert select.is_whole == is_whole

    @pytest.mark.parametrize(
        "text",
        [
            'INSERT INTO "a" ("id") VALUES (1) RETURNING "a"."id"',
            'SELECT COUNT(*) FROM "a" WHERE 1=1 OFFSET ?',
            'SELECT "a"."id", "b"."id" FROM "a", "b" WHERE 1=1 OFFSET ?',
            'SELECT "a"."id" FROM "a" OFFSET ?',
            'SELECT "a"."id" FROM "a" WHERE 1=1',
            'SELECT "a"."id" FROM "a" WHERE 1=1 ORDER BY "a"."id" OFFSET ?',
            'SELECT "a"."\U000f0000" FROM "a" WHERE 1=1 OFFSET ?',
        ],
    )
    def test_leaves_other_forms(self, text: str) -> None:
        """A statement of another form is not taken apart."""
        assert read_select(template(text, *["0"] * text.count("?"))) is None
