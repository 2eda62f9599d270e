from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agentdb.engine.records import Ops, Page, attach, difference, have_keys, map_field, process


def ops(**given: Any) -> Ops:
    defaults: dict[str, Any] = {
        "page": None,
        "distinct": None,
        "linking_fields": None,
        "is_reversed": False,
        "nested": {},
    }
    return Ops(**(defaults | given))


def rows(*ids: Any) -> list[dict[str, Any]]:
    return [{"id": id_} for id_ in ids]


class TestAttach:
    @staticmethod
    def joined(parents: Any, children: Any, **options: Any) -> Any:
        on = [("id", "parent")]
        given: dict[str, Any] = {"on": on, "field": "x", "is_unique": False, "has_strict_keys": True} | options
        attach(parents, children, **given)
        return parents

    def test_lists(self) -> None:
        """Every parent gets its children in their order; parents with equal keys get the same ones."""
        children = [{"parent": 2, "n": 1}, {"parent": 1, "n": 2}, {"parent": 2, "n": 3}, {"parent": 9, "n": 4}]
        parents = self.joined(rows(1, 2, 2, 3), children)
        assert [[child["n"] for child in parent["x"]] for parent in parents] == [[2], [1, 3], [1, 3], []]

    def test_single_records(self) -> None:
        """Of a unique relation a parent gets the record, or None."""
        parents = self.joined(rows(1, 2), [{"parent": 1}], is_unique=True)
        assert [parent["x"] for parent in parents] == [{"parent": 1}, None]

    def test_one_parent_and_no_child(self) -> None:
        """Either side may be a single record, and the children may be none."""
        assert self.joined({"id": 1}, {"parent": 1})["x"] == [{"parent": 1}]
        assert self.joined({"id": 1}, None)["x"] == []

    def test_no_column(self) -> None:
        """Nothing is joined by no columns, as the plan of ``take: 0`` has it: every parent gets the empty list."""
        assert self.joined(rows(1, 2), [], on=[]) == [{"id": 1, "x": []}, {"id": 2, "x": []}]

    def test_several_columns(self) -> None:
        """Keys of several columns must agree in all of them."""
        children = [{"p": 1, "q": 1}, {"p": 1, "q": 2}]
        parents = self.joined([{"a": 1, "b": 2}], children, on=[("a", "p"), ("b", "q")])
        assert parents[0]["x"] == [children[1]]

    def test_columns_of_different_types(self) -> None:
        """Where the columns may differ in type their text is compared."""
        children = [{"parent": UUID(int=1)}]
        assert self.joined([{"id": str(UUID(int=1))}], children, has_strict_keys=False)[0]["x"] == children


def test_map_field() -> None:
    """A field is taken of one record or of each; what has none gives None."""
    assert map_field([{"id": 1}, {}], "id") == [1, None]
    assert map_field({"id": 1}, "id") == 1
    assert map_field(None, "id") is None
    assert map_field([[{"id": 1}]], "id") == [[1]]


def test_difference() -> None:
    """Records are compared by some of their fields."""
    source = [{"id": 1, "n": "a"}, {"id": 2, "n": "b"}]
    assert difference(source, [{"id": 2, "n": "z"}], ["id"]) == source[:1]
    assert difference(source, [], ["id"]) == source
    assert difference(source[0], None, ["id"]) == source[:1]


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({"a": 1, "b": 2}, True),
        ([{"a": 1, "b": None}, {"a": 1, "b": 2}], True),
        ([{"a": 1, "b": None}, {"a": None, "b": 2}], False),
        ([], False),
    ],
)
def test_have_keys(parents: Any, expected: bool) -> None:
    """A parent can have children when no column of its key is null."""
    assert have_keys(parents, [("a", "x"), ("b", "y")]) == expected


class TestProcess:
    @pytest.mark.parametrize(
        ("page", "ids"),
        [
            (Page(None, 2, None), [1, 2]),
            (Page(None, None, 3), [4, 5]),
            (Page(None, 0, None), []),
            (Page({"id": 3}, 2, None), [3, 4]),
            (Page({"id": 3}, None, 1), [4, 5]),
            (Page({"id": 9}, None, None), []),
            (Page(None, 2, 99), []),
        ],
    )
    def test_pages(self, page: Page, ids: list[int]) -> None:
        """A page starts at its cursor, skips and takes."""
        assert process(rows(1, 2, 3, 4, 5), ops(page=page)) == rows(*ids)

    def test_pages_for_each_parent(self) -> None:
        """With linking fields each group is cut by itself."""
        children = [{"p": 1, "n": 1}, {"p": 2, "n": 2}, {"p": 1, "n": 3}, {"p": 2, "n": 4}]
        page = process(children, ops(page=Page(None, 1, None), linking_fields=("p",)))
        assert [child["n"] for child in page] == [1, 2]

    def test_distinct(self) -> None:
        """The first of equal records is kept, for each parent by itself."""
        records = [{"p": 1, "a": 1}, {"p": 1, "a": 1}, {"p": 2, "a": 1}]
        assert process(records, ops(distinct=("a",))) == records[:1]
        assert process(records, ops(distinct=("a",), linking_fields=("p",))) == [records[0], records[2]]
        assert process([{"a": [1]}, {"a": [1]}], ops(distinct=("a",))) == [{"a": [1]}]

    def test_order_of_operations(self) -> None:
        """Distinct comes before the page, and the page before reversing."""
        records = rows(1, 1, 2, 3)
        assert process(records, ops(distinct=("id",), page=Page(None, 2, None), is_reversed=True)) == rows(2, 1)

    def test_nested(self) -> None:
        """What is attached to records is processed as well."""
        inner = ops(page=Page(None, 1, None))
        parents = [{"x": rows(1, 2)}, {"x": None}]
        assert process(parents, ops(nested={"x": inner})) == [{"x": rows(1)}, {"x": None}]

    @pytest.mark.parametrize(
        ("page", "is_kept"),
        [
            (None, True),
            (Page(None, 1, None), True),
            (Page(None, None, 1), False),
            (Page(None, 0, None), False),
            (Page({"id": 1}, None, None), True),
            (Page({"id": 2}, None, None), False),
        ],
    )
    def test_one_record(self, page: Page | None, is_kept: bool) -> None:
        """A single record is on the page or it is not."""
        assert process({"id": 1}, ops(page=page)) == ({"id": 1} if is_kept else None)
        assert process(None, ops(page=page)) is None

    @pytest.mark.parametrize(
        ("stored", "given"),
        [
            (datetime(2024, 1, 1, 12), "2024-01-01T12:00:00+00:00"),
            (datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 12, tzinfo=UTC)),
            (date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)),
            (time(12), datetime(1970, 1, 1, 12, tzinfo=UTC)),
            (UUID(int=1), str(UUID(int=1))),
            (b"x", "eA=="),
            (5, "5"),
            (Decimal("1.50"), Decimal("1.5")),
            (1.5, Decimal("1.5")),
            (True, True),
            ("a", "a"),
        ],
    )
    def test_cursors_of_every_type(self, stored: Any, given: Any) -> None:
        """A cursor comes as the request has it, a record as the database has it."""
        assert process([{"id": stored}], ops(page=Page({"id": given}, None, None))) == [{"id": stored}]
