from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdb.engine import shapes
from agentdb.engine.request import ACTIONS, MAX_KEPT_CHARACTERS, Call, Request, build_request
from agentdb.engine.shapes import Shapes
from agentdb.engine.wasm import CompileError
from tests.unit.engine.support import DATAMODEL, DIALECT, Base64, Json, model

USER, LISTS = model("User"), model("Lists")
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def call(method: str, arguments: Mapping[str, Any], of: type = USER, *root: str) -> Call:
    return Call(method, arguments, of, root or None)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls whose request was written, not remembered."""
    calls: list[Call] = []

    def build(call: Call, *arguments: Any, **options: Any) -> Request:
        calls.append(call)
        return build_request(call, *arguments, **options)

    monkeypatch.setattr(shapes, "build_request", build)
    return calls


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        ("find_unique", {"where": {"id": 1}}, {"where": {"id": 2}}),
        ("find_many", {"where": {"name": {"in": ["a"]}}}, {"where": {"name": {"in": ["b", "c"]}}}),
        ("find_many", {"take": 5, "where": {"name": "a"}}, {"take": 5, "where": {"name": "b"}}),
        ("find_many", {"include": {"posts": {"where": {"views": 1}}}}, {"include": {"posts": {"where": {"views": 2}}}}),
        (
            "find_many",
            {"where": {"OR": [{"name": "a"}, {"score": 0.5}], "extra": {"path": ["a"], "equals": Json(1)}}},
            {"where": {"OR": [{"name": "b"}, {"score": 1.5}], "extra": {"path": ["a"], "equals": Json([2])}}},
        ),
        (
            "create",
            {
                "data": {
                    "email": "a",
                    "role": "ADMIN",
                    "tags": ["x"],
                    "name": None,
                    "posts": {"create": {"title": "t"}},
                }
            },
            {"data": {"email": "b", "role": "ADMIN", "tags": [], "name": None, "posts": {"create": {"title": "u"}}}},
        ),
        (
            "update",
            {"where": {"id": 1}, "data": {"visits": {"increment": 1}, "balance": Decimal(1), "born_on": MOMENT}},
            {"where": {"id": 2}, "data": {"visits": {"increment": 5}, "balance": Decimal("2.5"), "born_on": MOMENT}},
        ),
    ],
)
def test_a_second_call(learned: list[Call], method: str, first: Any, second: Any) -> None:
    """The second call of a shape is not written: its values go where those of the first went."""
    known = Shapes(DATAMODEL)
    for arguments in (first, second, first):
        assert known.request(call(method, arguments), DIALECT) == build_request(
            call(method, arguments), DATAMODEL, DIALECT
        )
    assert len(learned) == 1


@pytest.mark.parametrize(
    ("method", "first", "second"),
    [
        ("find_many", {"take": 1}, {"take": 2}),
        ("find_many", {"take": 1}, {"take": True}),
        ("find_many", {"where": {"role": "ADMIN"}}, {"where": {"role": "GUEST"}}),
        ("find_many", {"where": {"id": 1}}, {"where": {"id": 2**31}}),
        ("find_many", {"where": {"id": 1}}, {"where": {"id": True}}),
        ("find_many", {"where": {"role": {"in": ["ADMIN"]}}}, {"where": {"role": {"in": ["GUEST"]}}}),
        ("find_many", {"where": {"documents": {"equals": [Json(1)]}}}, {"where": {"documents": {"equals": [Json(2)]}}}),
        ("find_many", {"where": {"name": {"contains": "", "mode": ""}}}, {"where": {"name": {"contains": ""}}}),
        ("find_many", {"include": {"posts": True}}, {"include": {"posts": False}}),
        ("find_many", {"order": [{"name": "asc"}]}, {"order": {"name": "asc"}}),
        ("create", {"data": {"name": "a"}}, {"data": {"name": None}}),
        (
            "update",
            {"data": {"posts": {"connect": [{"id": "a"}, {"id": "a"}]}}},
            {"data": {"posts": {"connect": [{"id": "a"}, {"id": "b"}]}}},
        ),
        (
            "upsert",
            {"where": {"id": 1}, "data": {"create": {"id": 1}, "update": {}}},
            {"where": {"id": 1}, "data": {"create": {"id": 2}, "update": {}}},
        ),
        ("count", {"take": 1}, {"take": 1, "skip": None}),
    ],
)
def test_another_shape(method: str, first: Any, second: Any) -> None:
    """Calls that differ in more than values of one type have requests of their own."""
    known = Shapes(DATAMODEL)
    for arguments in (first, second, first, second):
        assert known.request(call(method, arguments), DIALECT) == build_request(
            call(method, arguments), DATAMODEL, DIALECT
        )


def test_models_and_selections(learned: list[Call]) -> None:
    """Equal arguments of another model, method or selection are another shape."""
    known = Shapes(DATAMODEL)
    texts = {
        known.request(call(method, {"where": {}}, of, *root), DIALECT).text
        for method in ("find_many", "find_first")
        for of in (USER, LISTS)
        for root in ((), ("id",), ("id", "name"))
    }
    assert len(texts) == len(learned) == 12


def test_values_that_change_later() -> None:
    """A list or a Json that its owner changes after the call does not change what is remembered."""
    known = Shapes(DATAMODEL)
    by, document = ["name"], Json({"a": 1})
    arguments = {"distinct": by, "where": {"extra": {"path": ["a"], "gt": document}}}
    first = known.request(call("find_many", arguments), DIALECT)
    by.append("email")
    document.data = 2
    second = known.request(call("find_many", arguments), DIALECT)
    assert first != second == build_request(call("find_many", arguments), DATAMODEL, DIALECT)


def test_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many shapes there are, only so many are remembered; none whose text is long."""
    monkeypatch.setattr(shapes, "MAX_TEXTS", 50)
    known = Shapes(DATAMODEL)
    for number in range(500):
        known.request(call("find_many", {"take": number}), DIALECT)
        known.request(call("find_many", {"where": {f"x{number}": 1}}), DIALECT)
        assert len(known) <= 50
    before = len(known)
    known.request(call("find_many", {"where": {"role": {"in": ["ADMIN"] * MAX_KEPT_CHARACTERS}}}), DIALECT)
    assert len(known) == before


VALUES = st.sampled_from(
    [
        *(0, 1, True, 2**31, 2**63, 0.5, float("nan"), "a", "ADMIN", "asc", "insensitive", "", None, b"x"),
        *(MOMENT, MOMENT.astimezone(timezone(timedelta(hours=5))), MOMENT.replace(tzinfo=None), Decimal("1.5")),
        *(Decimal("NaN"), UUID(int=1), Json(1), Json(None), Base64("eA=="), [], ["a"], [1, "a"], [None], [[1]], ("a",)),
        {"a"},
    ]
)
NAMES = st.sampled_from(
    [
        *("id", "name", "role", "tags", "roles", "posts", "profile", "extra", "settings", "score", "author", "foo"),
        *("AND", "OR", "NOT", "some", "is", "is_not", "equals", "not", "in", "contains", "mode", "path", "_max", "gt"),
        *("create", "connect", "connect_or_create", "set", "push", "update", "where", "data", "increment", "include"),
    ]
)
NESTED = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.dictionaries(NAMES, inner, max_size=3), st.lists(inner, max_size=2)),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["where", "data", "take", "order", "cursor", "include", "by", "having", "create", "update"]),
    NESTED,
    max_size=3,
)
SHARED = Shapes(DATAMODEL)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(sorted(ACTIONS)), ARGUMENTS, st.data())
def test_equals_what_would_be_written(method: str, arguments: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is passed, the request is that which writing it gives, or fails in the same way."""
    other = _with_other_values(arguments, data)
    for given_arguments in (arguments, other, arguments, other):
        one = call(method, given_arguments)
        assert _outcome(lambda one=one: SHARED.request(one, DIALECT)) == _outcome(
            lambda one=one: build_request(one, DATAMODEL, DIALECT)
        )


def _with_other_values(arguments: Any, data: st.DataObject) -> Any:
    """A copy in which some of the values are others."""
    match arguments:
        case dict():
            return {key: _with_other_values(value, data) for key, value in arguments.items()}
        case list():
            return [_with_other_values(value, data) for value in arguments]
        case _:
            return data.draw(VALUES) if data.draw(st.booleans()) else copy.copy(arguments)


def _outcome(build: Any) -> str:
    try:
        return repr(build())
    except (TypeError, AttributeError, ValueError, KeyError, CompileError) as error:
        return repr(type(error))
