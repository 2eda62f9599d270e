from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from agentdb.engine import plan
from agentdb.engine.mapping import json_shape, map_shape

NAME = plan.FieldShape("the_name", "string", is_list=False, enum=None)
TAGS = plan.FieldShape("tags", "string", is_list=True, enum=None)
SUM = plan.FieldShape("sum", "decimal", is_list=False, enum=None)
USER = plan.ObjectShape({"name": NAME, "tags": TAGS}, source=None, skip_nulls=False)


def test_records() -> None:
    """Each record takes the shape; no record at all stays None."""
    read = map_shape(USER, {})
    assert read([{"the_name": "a", "tags": None, "more": 1}]) == [{"name": "a", "tags": []}]
    assert read({"the_name": "a", "tags": ["x"]}) == {"name": "a", "tags": ["x"]}
    assert read(None) is None
    assert read([]) == []


def test_nested_records() -> None:
    """A relation is read from where it was attached, an aggregate from the row itself."""
    posts = plan.ObjectShape({"name": NAME}, source="@posts", skip_nulls=False)
    total = plan.ObjectShape({"price": SUM}, source=None, skip_nulls=False)
    shape = plan.ObjectShape({"name": NAME, "posts": posts, "_sum": total}, source=None, skip_nulls=False)
    row = {"the_name": "a", "sum": Decimal("1.50"), "@posts": [{"the_name": "p"}]}
    assert map_shape(shape, {})(row) == {"name": "a", "posts": [{"name": "p"}], "_sum": {"price": Decimal("1.5")}}
    assert map_shape(shape, {})(row | {"@posts": None})["posts"] is None


def test_nulls_in_lists() -> None:
    """A list may have records left out of it."""
    shape = plan.ObjectShape({"name": NAME}, source=None, skip_nulls=True)
    assert map_shape(shape, {})([None, {"the_name": "a"}]) == [{"name": "a"}]


def test_records_that_the_database_joined() -> None:
    """Records may come as JSON text."""
    assert map_shape(USER, {})('[{"the_name": "a", "tags": []}]') == [{"name": "a", "tags": []}]


@pytest.mark.parametrize(
    ("shape", "value", "read"),
    [
        (plan.AffectedRowsShape(), 3, {"count": 3}),
        (NAME, "a", "a"),
        (SUM, None, None),
        (TAGS, None, []),
        (
            plan.FieldShape("x", "datetime", is_list=False, enum=None),
            datetime(2024, 1, 1),
            datetime(2024, 1, 1, tzinfo=UTC),
        ),
        (plan.FieldShape("x", "enum", is_list=False, enum="Role"), "administrator", "ADMIN"),
    ],
)
def test_other_shapes(shape: plan.Shape, value: Any, read: Any) -> None:
    """A count becomes an object, a bare value is converted."""
    assert map_shape(shape, {"Role": {"administrator": "ADMIN"}})(value) == read


def test_a_count_within() -> None:
    """A row count is no field."""
    with pytest.raises(plan.UnknownPlanError, match="row count"):
        map_shape(plan.ObjectShape({"x": plan.AffectedRowsShape()}, None, skip_nulls=False), {})


def test_the_form_of_json() -> None:
    """Where no model parses the result, moments and decimals are texts, at any depth."""
    when = plan.FieldShape("when", "datetime", is_list=False, enum=None)
    shape = plan.ObjectShape(
        {"name": NAME, "_max": plan.ObjectShape({"when": when, "sum": SUM}, None, skip_nulls=False)},
        None,
        skip_nulls=False,
    )
    row = {"the_name": "a", "when": datetime(2024, 2, 29, tzinfo=UTC), "sum": Decimal("1.50")}
    assert map_shape(json_shape(shape), {})([row, dict.fromkeys(row)]) == [
        {"name": "a", "_max": {"when": "2024-02-29T00:00:00.000Z", "sum": "1.5"}},
        {"name": None, "_max": {"when": None, "sum": None}},
    ]
