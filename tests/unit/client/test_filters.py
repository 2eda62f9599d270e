"""What a filter becomes, and what is no filter."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from agentdb import InvalidInputError
from agentdb.client.memory.filters import filter_path


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


def refused(where: Any, field: str = "where") -> InvalidInputError:
    """Return the error for *where*, which has to be short."""
    with pytest.raises(InvalidInputError) as caught:
        filter_path(where, field)
    assert len(str(caught.value)) < 300
    str(caught.value).encode()
    return caught.value


def nested(operator: str, levels: int) -> Any:
    where: Any = {"k": 1}
    for _ in range(levels):
        where = {operator: [where]}
    return where


def brackets(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"k": "v"}, '$."k" == "v"'),
        ({"k": {"eq": 5}}, '$."k" == 5'),
        ({"k": None}, '$."k" == null'),
        ({"k": True, "j": -0.5}, '$."k" == true && $."j" == -0.5'),
        ({"k": [1, "a"]}, 'exists($."k" ? (@.size() == 2 && @[0] == 1 && @[1] == "a"))'),
        ({"k": {"eq": {}}}, 'exists($."k" ? (!exists(@.keyvalue() ? (1 == 1))))'),
        (
            {"k": {"eq": {"a": 1, "b": [None]}}},
            'exists($."k" ? (@."a" == 1 && exists(@."b" ? (@.size() == 1 && @[0] == null))'
            ' && !exists(@.keyvalue() ? (@.key != "a" && @.key != "b"))))',
        ),
        ({"k": {"ne": 5}}, 'exists($."k" ? (@.type() == "number" && !exists(@ ? (@ == 5))))'),
        ({"k": {"gt": 1e300}}, '$."k" > 1e+300'),
        ({"k": {"gte": 1, "lt": 5}}, '$."k" >= 1 && $."k" < 5'),
        ({"k": {"lte": "b"}}, '$."k" <= "b"'),
        ({"k": {"in": [1, "a"]}}, 'exists($."k" ? (@ == 1 || @ == "a"))'),
        ({"k": {"in": []}}, 'exists($."k" ? (1 == 0))'),
        (
            {"k": {"nin": [1, "a"]}},
            'exists($."k" ? ((@.type() == "number" || @.type() == "string") && !exists(@ ? (@ == 1 || @ == "a"))))',
        ),
        ({"k": {"nin": []}}, 'exists($."k" ? ((1 == 1) && !exists(@ ? (1 == 0))))'),
        ({"k": {"exists": True}}, 'exists($."k")'),
        ({"k": {"exists": False}}, '!exists($ ? (exists($."k")))'),
        ({"k": {"contains": 5}}, 'exists($."k"[*] ? (@ == 5))'),
        ({"k": {"contains": "x"}}, 'exists($."k" ? (@ like_regex "x" flag "q" || exists(@[*] ? (@ == "x"))))'),
        ({"AND": [{"a": 1}, {"b": 2, "c": 3}]}, '$."a" == 1 && $."b" == 2 && $."c" == 3'),
        ({"OR": [{"a": 1}, {"b": 2}], "c": 3}, '($."a" == 1 || $."b" == 2) && $."c" == 3'),
        ({"NOT": [{"a": 1}, {"b": 2}]}, '!exists($ ? ($."a" == 1 || $."b" == 2))'),
        ({"NOT": {"a": 1}}, '!exists($ ? ($."a" == 1))'),
        ({"AND": []}, "1 == 1"),
        ({"OR": []}, "(1 == 0)"),
        ({"NOT": []}, "!exists($ ? (1 == 0))"),
        ({"OR": [{}, {"a": 1}]}, '(1 == 1 || $."a" == 1)'),
    ],
)
def test_what_each_operator_becomes(where: dict[str, Any], path: str) -> None:
    """Equality with a scalar stays plain, which indexes understand."""
    assert filter_path(where) == f"strict {path}"


def test_without_a_condition_there_is_no_path() -> None:
    """So that the statement can leave it out."""
    assert filter_path(None) is None
    assert filter_path({}) is None


def test_types_that_are_json_under_another_name() -> None:
    """Enums are what they hold; tuples, sets and any mapping are lists and objects."""
    where = {"k": {"in": (Colour.RED, Level.HIGH)}, Colour.RED: {"in": {1}}, "j": {"eq": MappingProxyType({"a": (1,)})}}

    assert filter_path(MappingProxyType(where)) == (
        'strict exists($."k" ? (@ == "red" || @ == 3)) && exists($."red" ? (@ == 1)) && '
        'exists($."j" ? (exists(@."a" ? (@.size() == 1 && @[0] == 1)) && !exists(@.keyvalue() ? (@.key != "a"))))'
    )


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ('" || 1 == 1 || "', r'"\" || 1 == 1 || \""'),
        ("\\", r'"\\"'),
        ('\\"', r'"\\\""'),
        ("a.b[*] ? (@ > 0)", '"a.b[*] ? (@ > 0)"'),
        ("$", '"$"'),
        ("", '""'),
        ("a\n\x01", r'"a\n\u0001"'),
        ("\u2028😀", '"\u2028😀"'),
    ],
)
def test_a_text_cannot_leave_its_quotes(text: str, literal: str) -> None:
    """Neither as a key nor as an operand of any kind."""
    assert filter_path({text: text}) == f"strict $.{literal} == {literal}"
    contains = f'exists($.{literal} ? (@ like_regex {literal} flag "q" || exists(@[*] ? (@ == {literal}))))'
    assert filter_path({text: {"contains": text}}) == f"strict {contains}"
    object = f'exists($."k" ? (@.{literal} == {literal} && !exists(@.keyvalue() ? (@.key != {literal}))))'
    assert filter_path({"k": {"eq": {text: text}}}) == f"strict {object}"


@pytest.mark.parametrize(
    ("where", "field", "reason"),
    [
        ([], "where", "a mapping, got list"),
        ("k", "where", "a mapping, got str"),
        ({1: 2}, "where", "a key that is no text but int"),
        ({None: 2}, "where", "a key that is no text but NoneType"),
        ({"a\x00b": 2}, "where.a\x00b", "NUL"),
        ({"a\ud800b": 2}, "where.a?b", "surrogate"),
        ({"AND": 1}, "where.AND", "a mapping or a list of mappings, got int"),
        ({"OR": [{"a": 1}, None]}, "where.OR[1]", "a mapping, got NoneType"),
        ({"NOT": {"AND": ["a"]}}, "where.NOT.AND[0]", "a mapping, got str"),
        ({"k": {1: 2}}, "where.k", "a key that is no text but int"),
        ({"k": {None: 2}}, "where.k", "a key that is no text but NoneType"),
        ({"k": "\x00"}, "where.k", "NUL"),
        ({"k": {"contains": "\udfff"}}, "where.k.contains", "surrogate"),
        ({"k": datetime.now(UTC)}, "where.k", "is datetime, which is not JSON"),
        ({"k": b"a"}, "where.k", "is bytes, which is not JSON"),
        ({"k": {1}}, "where.k", "is set, which is not JSON"),
        ({"k": {"in": [1, {2}]}}, "where.k.in[1]", "is set, which is not JSON"),
        ({"k": {"nin": [object()]}}, "where.k.nin[0]", "is object, which is not JSON"),
        ({"k": {"ne": [1, {"a": object()}]}}, "where.k.ne[1].a", "is object, which is not JSON"),
        ({"k": {"eq": {"a": {1: 2}}}}, "where.k.eq.a", "a key that is no text but int"),
        ({"k": {"eq": {"a": {"\x00": 2}}}}, "where.k.eq.a.\x00", "NUL"),
        ({"k": float("nan")}, "where.k", "NaN or infinite"),
        ({"k": {"lt": float("inf")}}, "where.k.lt", "NaN or infinite"),
        ({"k": {"gt": None}}, "where.k.gt", "a number, a text or a bool, got NoneType"),
        ({"k": {"gte": [1]}}, "where.k.gte", "a number, a text or a bool, got list"),
        ({"k": {"lt": {"a": 1}}}, "where.k.lt", "a number, a text or a bool, got dict"),
        ({"k": {"lte": datetime.now(UTC)}}, "where.k.lte", "a number, a text or a bool, got datetime"),
        ({"k": {"in": 5}}, "where.k.in", "a list, got int"),
        ({"k": {"in": "abc"}}, "where.k.in", "a list, got str"),
        ({"k": {"nin": {"a": 1}}}, "where.k.nin", "a list, got dict"),
        ({"k": {"exists": 1}}, "where.k.exists", "True or False, got int"),
        ({"k": {"exists": None}}, "where.k.exists", "True or False, got NoneType"),
    ],
)
def test_what_is_no_filter(where: Any, field: str, reason: str) -> None:
    """The error names the place."""
    error = refused(where)
    assert error.field == field
    assert reason in error.reason


def test_an_unknown_operator() -> None:
    """The error lists those there are; a mapping without any was perhaps meant as an object."""
    hint = 'use {"eq": {...}}'
    known = "eq, ne, gt, gte, lt, lte, in, nin, exists, contains"

    for where, field, hinted in (
        ({"confidence": {"gte2": 1}}, "where.confidence.gte2", True),
        ({"confidence": {"gte": 1, "gte2": 1}}, "where.confidence.gte2", False),
        ({"confidence": {}}, "where.confidence", True),
        ({"confidence": {"AND": []}}, "where.confidence.AND", True),
        ({"OR": [{"a": {"x" * 1_000_000: 1}}]}, f"where.OR[0].a.{'x' * 40}", True),
    ):
        error = refused(where)
        assert error.field == field
        assert known in error.reason
        assert (hint in error.reason) == hinted


def test_the_caller_names_the_argument() -> None:
    """The place starts with it."""
    assert refused({"k": {"in": 1}}, "metadata").field == "metadata.k.in"


def test_how_long_a_number_may_be() -> None:
    """1,000 digits, whatever Python's own limit; 0.1 + 0.2 is the decimal that JSON would say."""
    assert filter_path({"k": 10**1000 - 1}) == f'strict $."k" == {"9" * 1000}'
    assert filter_path({"k": {"gt": 0.1 + 0.2}}) == 'strict $."k" > 0.30000000000000004'
    for number in (10**1000, -(10**1000), 10**50_000):
        assert "1,000 digits" in refused({"k": number}).reason
        assert refused({"k": {"in": [1, [number]]}}).field == "where.k.in[1][0]"


@pytest.mark.parametrize("operator", ["AND", "OR", "NOT"])
def test_how_deep_conditions_may_nest(operator: str) -> None:
    """32 levels; whatever is deeper ends as our error."""
    assert filter_path(nested(operator, 32))
    endless: dict[str, Any] = {}
    endless[operator] = [endless]
    for where in (nested(operator, 33), nested(operator, 200), nested(operator, 100_000), endless):
        error = refused(where)
        assert error.field.startswith(f"where.{operator}[0].")
        assert "32 levels" in error.reason


def test_how_deep_values_may_nest() -> None:
    """32 levels of lists and objects, those of AND, OR and NOT around them included."""
    endless: list[Any] = []
    endless.append(endless)
    round_trip: dict[str, Any] = {}
    round_trip["a"] = [round_trip]

    assert filter_path({"k": brackets(32)})
    assert filter_path({"NOT": {"k": brackets(31)}})
    for operator in ("eq", "ne", "contains"):
        for value in (brackets(33), brackets(100_000), endless, round_trip):
            assert "32 levels" in refused({"k": {operator: value}}).reason
    assert "32 levels" in refused({"NOT": {"k": brackets(32)}}).reason
    assert "32 levels" in refused({"k": {"nin": [endless]}}).reason


def test_how_many_conditions_there_may_be() -> None:
    """1,000; every value that is compared is one, and so is what stands for an empty list."""
    many: list[tuple[Any, Any]] = [
        ({str(n): n for n in range(1000)}, {str(n): n for n in range(1001)}),
        ({"OR": [{"k": n} for n in range(1000)]}, {"OR": [{"k": n} for n in range(1001)]}),
        ({"k": {"in": list(range(1000))}}, {"k": {"in": list(range(1001))}}),
        ({"k": {"in": [[]] * 1000}}, {"k": {"in": [[]] * 1001}}),
        ({"k": list(range(999))}, {"k": list(range(1000))}),
        ({"k": {"eq": {str(n): n for n in range(999)}}}, {"k": {"eq": {str(n): n for n in range(1000)}}}),
        ({"AND": [{}] * 1000}, {"AND": [{}] * 1001}),
        ({"NOT": [{"k": {"exists": False}}] * 1000}, {"NOT": [{"k": {"exists": False}}] * 1001}),
    ]
    for fits, too_many in many:
        assert filter_path(fits)
        assert "1,000 conditions" in refused(too_many).reason


def test_many_ways_to_the_same_part_are_many_conditions() -> None:
    """2 ** 30 of them take no time."""
    where: Mapping[str, Any] = {"k": 1}
    for _ in range(30):
        where = {"AND": [where, where]}
    assert "1,000 conditions" in refused(where).reason


def test_how_much_text_there_may_be() -> None:
    """100,000 characters, keys included."""
    assert filter_path({"k": "x" * 99_999})
    assert filter_path({"x" * 99_999: "k"})
    for where in (
        {"k": "x" * 100_000},
        {"x" * 100_000: "k"},
        {"k": {"in": ["x" * 50_000, "y" * 50_000]}},
        {"k": {"eq": {"x" * 1_000_000: 1}}},
        {"AND": [{"k": "x" * 60_000}, {"j": ["x" * 60_000]}]},
        {"k": "é\x00" * 500_000},
    ):
        assert "100,000 characters" in refused(where).reason


def test_how_long_a_substring_may_be() -> None:
    """1,000 characters: the time that PostgreSQL takes grows with the square and more."""
    assert filter_path({"k": {"contains": "x" * 1000}})
    assert filter_path({"k": {"contains": ["x" * 1001]}})
    assert "at most 1,000 characters, got 1,000,000" in refused({"k": {"contains": "x" * 1_000_000}}).reason


def test_the_result_is_no_longer_than_the_filter() -> None:
    """A long key or a deep place is not repeated for each value."""
    deep: Any = list(range(900))
    for _ in range(31):
        deep = {"k" * 1000: deep}
    for where in ({"x" * 60_000: {"nin": list(range(1000))}}, {"k": {"ne": deep}}):
        path = filter_path(where)
        assert path is not None
        assert len(path) < 200_000


def test_errors_stay_short_wherever_they_are() -> None:
    """The place is cut in its middle."""
    where: Any = {"y" * 1000: {"eq": object()}}
    for _ in range(15):
        where = {"NOT": {"OR": [where]}}
    value: Any = object()
    for _ in range(20):
        value = {"é" * 1000: value}

    assert refused(where).field.startswith("where.NOT.OR[0].NOT.OR[0]")
    assert refused(where).field.endswith("yyy.eq")
    assert "…" in refused({"k": {"eq": value}}).field


def test_python_own_limit_of_digits_stays_what_it_was() -> None:
    """Nothing here has to change it."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(1001)
    try:
        assert filter_path({"k": 10**999})
        refused({"k": 10**5000})
    finally:
        sys.set_int_max_str_digits(limit)
