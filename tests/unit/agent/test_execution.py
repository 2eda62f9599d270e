"""What of a task can be recorded: everything."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections import deque
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, model_serializer

from agentdb.agent.execution import recordable
from agentdb.validation import json_text


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int


class Model(BaseModel):
    """A model."""

    name: str


class Broken:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


LOOP: list[Any] = []
LOOP.append(LOOP)


def test_json_stays_as_it_is() -> None:
    """The same object, not a copy."""
    task = {"type": "analysis", "data": [1, 2.5, None, True, "text"]}
    assert recordable(task) is task


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (Point(1), {"x": 1}),
        (Model(name="n"), {"name": "n"}),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"at": "2026-01-01T00:00:00Z"}),
        ({"seen": {"a"}}, {"seen": ["a"]}),
        ({"raw": b"\xff"}, {"raw": "_w=="}),
        ([math.nan, math.inf], ["nan", "inf"]),
    ],
)
def test_what_is_like_json_becomes_json(value: Any, recorded: Any) -> None:
    """Models, dataclasses, dates, tuples, bytes, NaN."""
    assert recordable(value) == recorded


@pytest.mark.parametrize(
    "value", [object(), Broken(), LOOP, {"x": Broken()}, lambda: None, "a\x00b", {"k\x00": "\ud800"}]
)
def test_the_rest_is_recorded_as_text(value: Any) -> None:
    """Recording must not make a task fail."""
    assert json_text(recordable(value))


@pytest.mark.parametrize(
    "wrap",
    [lambda one: one, lambda one: {"a": [one]}, lambda one: (1, one), lambda one: Point(one), lambda one: deque([one])],
)
@pytest.mark.parametrize("make", [lambda: (n for n in "abc"), lambda: map(str, "abc"), lambda: io.StringIO("abc")])
def test_what_can_be_gone_through_once_is_left_to_the_task(wrap: Any, make: Any) -> None:
    """What was read for the record would be empty for who wanted it, and an endless one is never read up."""
    once = make()

    assert json_text(recordable(wrap(once)))

    assert "".join(once) == "abc"
    assert json_text(recordable(wrap(itertools.count())))


class Unwilling(BaseModel):
    """Cannot be dumped."""

    x: int = 1

    @model_serializer
    def dump(self) -> Any:
        raise RuntimeError("no")


@dataclasses.dataclass(slots=True)
class Unset:
    """Has a field without a value."""

    x: int


@pytest.mark.parametrize("value", [Unwilling(), Unset.__new__(Unset)])
def test_what_refuses_to_be_read_is_recorded_all_the_same(value: Any) -> None:
    """Whatever it raises."""
    assert json_text(recordable(value))


@given(
    st.recursive(st.floats() | st.binary() | st.text() | st.none(), lambda each: st.lists(each) | st.sets(st.text()))
)
def test_nothing_is_unrecordable(value: Any) -> None:
    """Whatever it is, it is JSON afterwards."""
    assert json_text(recordable(value))
