"""What the oracle takes for the same, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from agentdb.engine.schema import parse_schema
from tests.oracle.comparison import answers_difference, tables_difference
from tests.oracle.setting import SCHEMA

DATAMODEL = parse_schema(SCHEMA.read_text(encoding="utf-8"))


def compare(ours: Any, theirs: Any, bags: frozenset[tuple[str, ...]] = frozenset()) -> str | None:
    return answers_difference(ours, theirs, DATAMODEL.models["User"], DATAMODEL, bags)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"id": 1, "score": 3.0}, {"id": 1, "score": 3}),
        ({"credit": 2**60}, {"credit": {"$type": "BigInt", "value": str(2**60)}}),
        ({"balance": Decimal("1.50")}, {"balance": {"$type": "Decimal", "value": "1.5"}}),
        ({"settings": '{"a": 1, "b": 2}'}, {"settings": {"$type": "Json", "value": '{"b":2,"a":1}'}}),
        (
            {"created_at": datetime(2024, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)},
            {"created_at": {"$type": "DateTime", "value": "2024-01-01T00:00:00.250123+00:00"}},
        ),
        ({"created_at": datetime.now(UTC)}, {"created_at": {"$type": "DateTime", "value": f"{datetime.now(UTC)}"}}),
        ({"name": "c" + "a" * 24}, {"name": "c" + "b" * 24}),
        ({"manager": {"posts": [{"views": 1}]}}, {"manager": {"posts": [{"views": 1}]}}),
        (None, None),
    ],
)
def test_one_answer_in_two_forms_is_the_same(ours: Any, theirs: Any) -> None:
    """The form in which a value travels makes no difference, nor does what a generator made up."""
    assert compare(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ([{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}], "result[0].id"),
        ([{"id": 1}], [], "result"),
        ({"id": True}, {"id": 1}, "result.id"),
        ({"name": None}, {"name": ""}, "result.name"),
        ({"id": 1}, {"id": 1, "name": "a"}, "result"),
        ({"settings": '"1"'}, {"settings": {"$type": "Json", "value": "1"}}, "result.settings"),
        ({"posts": [{"views": 1}]}, {"posts": [{"views": 2}]}, "result.posts[0].views"),
    ],
)
def test_a_difference_is_named_by_its_place(ours: Any, theirs: Any, where: str) -> None:
    """Another order, value, type or field is a difference, and the text tells where."""
    difference = compare(ours, theirs)

    assert difference is not None
    assert difference.startswith(f"at {where}\n")


def test_a_list_without_an_order_is_a_bag() -> None:
    """Where a call leaves the order open, only the rows count, each as often as it comes."""
    ours, theirs = [{"posts": [{"id": "p1"}, {"id": "p2"}]}], [{"posts": [{"id": "p2"}, {"id": "p1"}]}]

    assert compare(ours, theirs) is not None
    assert compare(ours, theirs, frozenset({("posts",)})) is None
    assert compare(ours, [{"posts": [{"id": "p2"}, {"id": "p2"}]}], frozenset({("posts",)})) is not None


def test_tables_differ_by_their_rows() -> None:
    """Rows are compared without their order, and what a generator or the clock made counts as the same."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    made_up = '{"id":"00000000-0000-4000-8000-00000000000%d","nanoid_8":"abcdefg%d","now":"%s"}'

    assert tables_difference({"t": [made_up % (1, 1, now), "{}"]}, {"t": ["{}", made_up % (2, 2, now)]}) is None
    assert tables_difference({"t": ["{}"]}, {"t": []}) == "table t\n  ours:   {}\n  prisma: -"
    assert tables_difference({"t": ['{"a":"2024-01-01T00:00:00"}']}, {"t": ['{"a":"2024-01-02T00:00:00"}']}) is not None
