from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.engine.request import Call, Request, build_request, read_selection
from agentdb.engine.wasm import CompileError
from tests.unit.engine.support import DATAMODEL, DIALECT, Base64, Json, model

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def build(method: str, arguments: Mapping[str, Any], model_name: str = "User", *, literal: bool = False) -> Request:
    return build_request(Call(method, arguments, model(model_name)), DATAMODEL, DIALECT, literal=literal)


def arguments(method: str, model_name: str = "User", /, **given: Any) -> Any:
    """Return the arguments of the request, each placeholder as "%" and its value."""
    request = build(method, given, model_name)
    return _filled(json.loads(request.text)["query"]["arguments"], request.scope)


def _filled(value: Any, scope: Mapping[str, Any]) -> Any:
    match value:
        case {"$type": "Param", "value": {"name": name, "type": "List", "inner": {"type": inner}}}:
            return f"%{inner}{scope[name]}"
        case {"$type": "Param", "value": {"name": name, "type": type_}}:
            return f"%{type_} {scope[name]}"
        case dict():
            return {key: _filled(item, scope) for key, item in value.items()}
        case list():
            return [_filled(item, scope) for item in value]
        case _:
            return value


class TestRequest:
    def test_names(self) -> None:
        """The text names model, action, arguments and selection."""
        text = build("find_unique", {"where": {"id": 1}}, "Category").text
        param = {"$type": "Param", "value": {"name": "%0", "type": "Int"}}
        assert json.loads(text) == {
            "modelName": "Category",
            "action": "findUnique",
            "query": {"arguments": {"where": {"id": param}}, "selection": {"id": True, "name": True}},
        }

    def test_same_shape_same_text(self) -> None:
        """Calls that differ in nothing but values have one text."""
        one = build("update", {"where": {"id": 1}, "data": {"name": "a", "tags": ["x"]}})
        two = build("update", {"where": {"id": 2}, "data": {"name": "b", "tags": ["y", "z"]}})
        assert one.text == two.text
        assert (list(one.scope.values()), list(two.scope.values())) == ([1, "a", ["x"]], [2, "b", ["y", "z"]])

    def test_literal(self) -> None:
        """On request every value stays in the text."""
        request = build("find_many", {"where": {"name": {"in": ["a"]}, "balance": Decimal("1.5")}}, literal=True)
        where = json.loads(request.text)["query"]["arguments"]["where"]
        assert where == {"name": {"in": ["a"]}, "balance": {"$type": "Decimal", "value": "1.5"}}
        assert request.scope == {}

    def test_none_is_not_given(self) -> None:
        """An argument that is None is left out; a None within is a null."""
        assert arguments("find_many", where=None, take=None) == {}
        assert arguments("find_many", where={"name": None}) == {"where": {"name": None}}


class TestFilters:
    @pytest.mark.parametrize(
        ("where", "written"),
        [
            ({"name": "a"}, {"name": "%String a"}),
            ({"name": {"startswith": "a"}}, {"name": {"startsWith": "%String a"}}),
            (
                {"name": {"contains": "a", "mode": "insensitive"}},
                {"name": {"contains": "%String a", "mode": "insensitive"}},
            ),
            ({"name": {"not": {"in": ["a"]}}}, {"name": {"not": {"in": "%String['a']"}}}),
            ({"name": {"not": None}}, {"name": {"not": None}}),
            ({"id": {"not_in": (1, 2)}}, {"id": {"notIn": "%Int[1, 2]"}}),
            ({"id": {"in": [1, None]}}, {"id": {"in": [1, None]}}),
            ({"id": True}, {"id": True}),
            ({"role": "ADMIN"}, {"role": "ADMIN"}),
            ({"role": {"in": []}}, {"role": {"in": []}}),
            ({"tags": {"has": "a"}}, {"tags": {"has": "%String a"}}),
            ({"tags": {"has_every": ["a"]}}, {"tags": {"hasEvery": "%String['a']"}}),
            ({"tags": {"is_empty": True}}, {"tags": {"isEmpty": True}}),
            ({"tags": {"equals": ["a"]}}, {"tags": {"equals": "%String['a']"}}),
            ({"extra": None}, {"extra": {"equals": {"$type": "Enum", "value": "DbNull"}}}),
            ({"extra": {"not": None}}, {"extra": {"not": {"$type": "Enum", "value": "DbNull"}}}),
            ({"extra": Json(1)}, {"extra": {"equals": "%Json 1"}}),
            (
                {"extra": {"path": ["a"], "gt": Json(1)}},
                {"extra": {"path": ["a"], "gt": {"$type": "Json", "value": "1"}}},
            ),
            ({"extra": {"string_contains": "a"}}, {"extra": {"string_contains": "%String a"}}),
            ({"OR": [{"id": 1}, {"id": 2}]}, {"OR": [{"id": "%Int 1"}, {"id": "%Int 2"}]}),
            ({"NOT": {"id": 1}}, {"NOT": {"id": "%Int 1"}}),
            ({"posts": {"some": {"views": {"gt": 1}}}}, {"posts": {"some": {"views": {"gt": "%Int 1"}}}}),
            ({"manager": {"is_not": None}}, {"manager": {"isNot": None}}),
            ({"manager": {"name": "a"}}, {"manager": {"name": "%String a"}}),
            ({"manager": None}, {"manager": None}),
            ({"foo": {"bar": 1}}, {"foo": {"bar": 1}}),
            ({"posts": 5}, {"posts": 5}),
            ({1: 2, "name": {3: "a"}}, {"1": 2, "name": {"3": "%String a"}}),
            ({'a"b': 1}, {'a"b': 1}),
        ],
    )
    def test_conditions(self, where: Any, written: Any) -> None:
        """Each value becomes a placeholder where the compiler takes one, and stays where it does not."""
        assert arguments("find_many", where=where) == {"where": written}

    def test_compound_keys(self) -> None:
        """Fields within a compound key are fields of the model."""
        key = {"author_id_title": {"author_id": 1, "title": "t"}}
        assert arguments("find_unique", "Post", where=key) == {
            "where": {"author_id_title": {"author_id": "%Int 1", "title": "%String t"}}
        }

    def test_having(self) -> None:
        """An aggregate is compared with a value of its own type."""
        having = {"visits": {"_avg": {"gt": 1.5}, "_count": {"in": [1]}, "_max": {"lt": 5}}, "name": {"_count": 2}}
        assert arguments("group_by", by=["name"], having=having) == {
            "by": ["name"],
            "having": {
                "visits": {"_avg": {"gt": "%Float 1.5"}, "_count": {"in": "%Int[1]"}, "_max": {"lt": "%Int 5"}},
                "name": {"_count": "%Int 2"},
            },
        }

    def test_everything_else_is_literal(self) -> None:
        """What shapes the query is part of it: order, take, skip, distinct."""
        assert arguments("find_many", order_by={"name": "asc"}, take=5, skip=1, distinct=["name"]) == {
            "orderBy": {"name": "asc"},
            "take": 5,
            "skip": 1,
            "distinct": ["name"],
        }


class TestData:
    @pytest.mark.parametrize(
        ("data", "written"),
        [
            ({"name": "a", "visits": 1}, {"name": "%String a", "visits": "%Int 1"}),
            ({"visits": {"increment": 1}}, {"visits": {"increment": "%Int 1"}}),
            ({"visits": 1.5}, {"visits": "1.5"}),
            ({"numbers": [1.5]}, {"numbers": {"set": ["1.5"]}}),
            ({"score": 1}, {"score": "%Float 1"}),
            ({"balance": Decimal("1.5")}, {"balance": "%Float 1.5"}),
            ({"avatar": Base64("eA==")}, {"avatar": "%Bytes eA=="}),
            ({"created_at": MOMENT}, {"created_at": f"%DateTime {MOMENT}"}),
            ({"extra": Json([])}, {"extra": "%Json []"}),
            ({"extra": None}, {"extra": {"$type": "Enum", "value": "DbNull"}}),
            ({"settings": {}}, {"settings": {}}),
            ({"name": None}, {"name": None}),
            ({"tags": ["a"]}, {"tags": {"set": "%String['a']"}}),
            ({"tags": {"push": "a"}}, {"tags": {"push": "%String a"}}),
            ({"tags": {"push": ["a"]}}, {"tags": {"push": "%String['a']"}}),
            ({"tags": None}, {"tags": None}),
            ({"roles": ["ADMIN"]}, {"roles": {"set": ["ADMIN"]}}),
            ({"foo": 1}, {"foo": 1}),
            ({"profile": {"create": {"bio": "b"}}}, {"profile": {"create": {"bio": "%String b"}}}),
            ({"profile": {"delete": True}}, {"profile": {"delete": True}}),
            ({"profile": {"update": {"bio": "b"}}}, {"profile": {"update": {"bio": "%String b"}}}),
            (
                {"posts": {"update": [{"where": {"id": "p"}, "data": {"views": 1}}]}},
                {"posts": {"update": [{"where": {"id": "%String p"}, "data": {"views": "%Int 1"}}]}},
            ),
            (
                {"posts": {"upsert": {"where": {"id": "p"}, "create": {"title": "t"}, "update": {"views": 1}}}},
                {
                    "posts": {
                        "upsert": {
                            "where": {"id": "%String p"},
                            "create": {"title": "%String t"},
                            "update": {"views": "%Int 1"},
                        }
                    }
                },
            ),
            (
                {"posts": {"connect_or_create": {"where": {"id": "p"}, "create": {"title": "t"}}}},
                {"posts": {"connectOrCreate": {"where": {"id": "%String p"}, "create": {"title": "%String t"}}}},
            ),
            (
                {"posts": {"createMany": {"data": [{"title": "t"}], "skipDuplicates": True}}},
                {"posts": {"createMany": {"data": [{"title": "%String t"}], "skipDuplicates": True}}},
            ),
            ({"posts": {"deleteMany": {"views": {"gt": 1}}}}, {"posts": {"deleteMany": {"views": {"gt": "%Int 1"}}}}),
        ],
    )
    def test_values(self, data: Any, written: Any) -> None:
        """Values are taken out at any depth, as what their fields are."""
        assert arguments("update", data=data) == {"data": written}

    @pytest.mark.parametrize("operation", ["connect", "disconnect", "set"])
    def test_records_named_twice(self, operation: str) -> None:
        """A record that is named twice is named once: the compiler counts on it."""
        ids: list[dict[str, Any]] = [{"id": "p"}, {"id": "q"}, {"id": "p"}]
        written = arguments("update", data={"posts": {operation: ids}})
        assert written == {"data": {"posts": {operation: [{"id": "%String p"}, {"id": "%String q"}]}}}

    def test_many_rows(self) -> None:
        """Each row's values are placeholders of their own, equal ones too."""
        request = build("create_many", {"data": [{"email": "a"}, {"email": "a"}], "skipDuplicates": True})
        assert list(request.scope.values()) == ["a", "a"]

    def test_none_for_required_json(self) -> None:
        """None is no JSON document: where one is required the request is refused."""
        data = {"email": "a", "settings": None}
        for method, call in (
            ("create", {"data": data}),
            ("upsert", {"where": {"email": "a"}, "create": data, "update": {}}),
        ):
            with pytest.raises(CompileError, match="A value is required but not set") as caught:
                build(method, call)
            assert caught.value.code == "P2012"


class TestUpsert:
    @staticmethod
    def names(where: Any, create: Any) -> tuple[Any, Any]:
        request = build("upsert", {"where": where, "create": create, "update": {"name": "a"}})
        written = json.loads(request.text)["query"]["arguments"]
        return written["where"], written["create"]

    def test_keys_share_a_placeholder(self) -> None:
        """An equal value of the same field is the same placeholder: only so is the upsert one statement."""
        where, create = self.names({"email": "a"}, {"email": "a", "name": "b"})
        assert where["email"] == create["email"] != create["name"]

    @pytest.mark.parametrize(
        ("where", "create"),
        [
            ({"id": 1}, {"visits": 1}),
            ({"email": "a"}, {"name": "a"}),
            ({"email": "a"}, {"email": "b"}),
            ({"id": 1, "posts": {"some": {"views": 1}}}, {"visits": 1, "score": 1.0}),
        ],
    )
    def test_nothing_else_does(self, where: Any, create: Any) -> None:
        """Equal values of different fields, and different values of one, keep apart."""
        request = build("upsert", {"where": where, "create": create, "update": {}})
        assert len(request.scope) == request.text.count('"Param"')


class TestSelection:
    def test_includes(self) -> None:
        """An include is selected with its own arguments, and what is included in it."""
        include = {
            "posts": {"where": {"views": 1}, "order_by": {"id": "asc"}, "include": {"author": True}},
            "profile": False,
        }
        selection = json.loads(build("find_first", {"include": include}).text)["query"]["selection"]
        assert "profile" not in selection
        posts = selection["posts"]
        assert set(posts["arguments"]) == {"where", "orderBy"}
        assert posts["selection"]["title"] is True
        assert posts["selection"]["author"]["selection"]["email"] is True

    @pytest.mark.parametrize("value", [None, 1, "x"])
    def test_other_includes(self, value: Any) -> None:
        """An include is a bool or a dictionary."""
        with pytest.raises(TypeError, match="Expected `bool` or `dict` include value"):
            build("find_first", {"include": {"posts": value}})

    def test_root_selection(self) -> None:
        """What the generated client asks for instead of fields is read from its text."""
        assert read_selection(["count", "_count { _all id }", "_sum {\n visits \n}"]) == {
            "count": True,
            "_count": {"arguments": {}, "selection": {"_all": True, "id": True}},
            "_sum": {"arguments": {}, "selection": {"visits": True}},
        }
        with pytest.raises(CompileError, match="not found in enclosing type"):
            read_selection(["a { b { c } }"])


# -- whatever is asked, a request says the same with placeholders as without

VALUES = {
    "id": st.integers(-(2**31), 2**31 - 1),
    "name": st.none() | st.text(),
    "is_active": st.booleans(),
    "credit": st.integers(-(2**63), 2**63 - 1),
    "score": st.floats(allow_nan=False, allow_infinity=False),
    "balance": st.decimals(allow_nan=False, allow_infinity=False),
    "created_at": st.datetimes(),
}
OPERATORS = st.sampled_from(["equals", "not", "lt", "startswith", "contains"])
LISTS = st.sampled_from(["in", "not_in"])


def _conditions() -> st.SearchStrategy[dict[str, Any]]:
    def conditions(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return value | st.dictionaries(OPERATORS, value) | st.dictionaries(LISTS, st.lists(value, max_size=3))

    fields = st.fixed_dictionaries({}, optional={name: conditions(value) for name, value in VALUES.items()})
    return st.recursive(
        fields,
        lambda inner: (
            st.dictionaries(st.sampled_from(["AND", "OR", "NOT"]), st.lists(inner, max_size=2) | inner)
            | st.fixed_dictionaries({}, optional={"manager": inner, "reports": st.fixed_dictionaries({"some": inner})})
        ),
        max_leaves=8,
    )


@given(_conditions())
def test_placeholders_say_what_values_say(where: dict[str, Any]) -> None:
    """Putting the values back in place of the placeholders gives the literal request."""
    request = build("find_many", {"where": where})
    plain = json.loads(build("find_many", {"where": where}, literal=True).text)
    assert _restored(json.loads(request.text), request.scope) == plain


def _restored(value: Any, scope: Mapping[str, Any]) -> Any:
    match value:
        case {"$type": "Param", "value": {"name": name}}:
            return json.loads(build("find_many", {"take": scope[name]}, literal=True).text)["query"]["arguments"][
                "take"
            ]
        case dict():
            return {key: _restored(item, scope) for key, item in value.items()}
        case list():
            return [_restored(item, scope) for item in value]
        case _:
            return value
