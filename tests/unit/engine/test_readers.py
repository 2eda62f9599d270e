from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.engine import plan
from agentdb.engine.readers import column_reader, field_reader, is_in_row, record_reader
from tests.unit.engine.support import FakeStatement


def shape(**fields: plan.Shape) -> plan.ObjectShape:
    return plan.ObjectShape(fields, None, skip_nulls=False)


def field(column: str, type_: str, *, is_list: bool = False) -> plan.FieldShape:
    return plan.FieldShape(column, type_, is_list, None)


def test_objects_within_a_row() -> None:
    """An aggregate stands in the row of its group."""
    wanted = shape(name=field("n", "string"), _sum=shape(views=field("s", "int")))
    columns = FakeStatement(columns={"s": "int8", "n": "text"}).columns
    assert is_in_row(wanted)
    assert field_reader(wanted, {}, columns)([(1, "a"), (None, "b")]) == [
        {"name": "a", "_sum": {"views": 1}},
        {"name": "b", "_sum": {"views": None}},
    ]


def test_what_was_joined_is_not_in_the_row() -> None:
    """A relation is read from what was joined."""
    posts = plan.ObjectShape({}, source="@posts", skip_nulls=False)
    assert not is_in_row(shape(posts=posts))
    read = record_reader(shape(posts=posts), {}, lambda _name, _shape: len)
    assert read([{"@posts": [1, 2]}]) == [{"posts": 2}]


def test_no_fields() -> None:
    """A record may have no fields, and a row no columns."""
    assert record_reader(shape(), {}, lambda _name, _shape: len)([{}, {}]) == [{}, {}]
    assert column_reader([])([(), ()]) == [{}, {}]


def test_moments_are_cut_to_milliseconds() -> None:
    """Those in whole milliseconds, nearly all, are handed on as they are; infinity becomes the last moment."""
    whole = datetime(2024, 1, 1, 0, 0, 0, 5000, UTC)
    read = field_reader(shape(at=field("at", "datetime")), {}, FakeStatement(columns={"at": "timestamp"}).columns)
    records = read([(whole,), (whole.replace(microsecond=5999),), (None,), (datetime.max,), (datetime.min,)])
    assert records[0]["at"] is whole
    assert [record["at"] for record in records] == [
        whole,
        whole,
        None,
        datetime.max.replace(microsecond=999_000, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
    ]


@given(st.text(), st.text())
def test_no_name_is_code(column: str, name: str) -> None:
    """A column or field may be called anything."""
    read = field_reader(shape(**{name: field(column, "int")}), {}, FakeStatement(columns={column: "int4"}).columns)
    assert read([(1,)]) == [{name: 1}]
    assert column_reader(FakeStatement(columns={column: "int4"}).columns)([(1,)]) == [{column: 1}]


@pytest.mark.parametrize(
    ("type_", "value", "read"),
    [("string", 5, "5"), ("int", "5", 5), ("float", 5, 5.0), ("boolean", "true", True), ("json", {"a": 1}, '{"a": 1}')],
)
def test_values_of_another_type(type_: str, value: Any, read: Any) -> None:
    """What is known of a joined record is its field's type alone: a value of that type stays, others become it."""
    fields = record_reader(shape(x=field("x", type_)), {}, lambda _name, _shape: len)
    assert fields([{"x": value}, {"x": read}, {"x": None}]) == [{"x": read}, {"x": read}, {"x": None}]
