"""
Calls that nobody should make: good calls of every kind, and what is done to them.

A good call is a template. A `Fault` replaces, adds, renames, removes or wraps something at one place of its arguments,
wherever that is, so that bad values turn up at every depth and not only where somebody has thought of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

from tests.integration.engine.junk import MOMENT, nested

MOST_STEPS = 20  # so far down an earlier fault is looked for another place; it may be a cycle

Arguments = dict[str, Any]
Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class Template:
    """A call that works: the client's attribute for the model, the method, and its arguments."""

    model: str
    method: str
    arguments: Arguments


def templates(package: ModuleType) -> list[Template]:
    """Return good calls of every method, which together touch every type of field and every kind of relation."""
    json, base64 = package.Json, package.Base64
    types: dict[str, Any] = {
        "text": "a",
        "flag": True,
        "whole": 1,
        "big": 2**40,
        "double": 1.5,
        "exact": Decimal("1.5"),
        "moment": MOMENT,
        "document": json({"a": [1]}),
        "blob": base64.encode(b"x"),
        "role": "ADMIN",
        "char": "abcd",
        "varchar": "a",
        "uuid": str(UUID(int=1)),
        "inet": "127.0.0.1",
        "citext": "A",
        "bit": "1010",
        "varbit": "101",
        "smallint": 1,
        "oid": 1,
        "real": 1.5,
        "numeric": Decimal("1.5"),
        "money": Decimal("1.5"),
        "timestamp": MOMENT,
        "timestamptz": MOMENT,
        "date": MOMENT,
        "time": MOMENT,
        "timetz": MOMENT,
        "plain_json": json([1]),
    }
    lists: dict[str, list[Any]] = {
        "texts": ["a", "b"],
        "flags": [True],
        "wholes": [1, 2],
        "bigs": [2**40],
        "doubles": [1.5],
        "exacts": [Decimal("1.5")],
        "moments": [MOMENT],
        "documents": [json({"a": 1})],
        "blobs": [base64.encode(b"x")],
        "roles": ["ADMIN"],
        "uuids": [str(UUID(int=1))],
        "citexts": ["A"],
        "inets": ["127.0.0.1"],
        "bits": ["1010"],
        "smallints": [1],
        "reals": [1.5],
        "dates": [MOMENT],
        "times": [MOMENT],
        "instants": [MOMENT],
    }
    comparable = [name for name in types if name not in {"document", "plain_json", "flag", "role", "blob"}]
    filters: list[Arguments] = [{name: {"equals": value}} for name, value in types.items() if name != "plain_json"]
    filters += [{name: {"in": [types[name]], "not": {"gt": types[name]}}} for name in comparable]
    filters += [{name: {"has": value[0]}} for name, value in lists.items()]
    filters += [{name: {"has_some": value}, "NOT": [{name: {"is_empty": True}}]} for name, value in lists.items()]
    of_lists = {"texts", "wholes", "moments"}
    calls: list[tuple[str, str, Arguments]] = [
        (
            "user",
            "find_unique",
            {"where": {"id": 1}, "include": {"posts": {"where": {"views": {"gte": 0}}, "take": 2}}},
        ),
        ("user", "find_unique_or_raise", {"where": {"email": "a"}}),
        ("user", "find_first", {"where": {"name": {"contains": "a", "mode": "insensitive"}}, "order": {"id": "asc"}}),
        ("user", "find_first_or_raise", {"where": {"id": {"in": [1, 2]}}, "skip": 0}),
        (
            "user",
            "find_many",
            {
                "take": 5,
                "skip": 1,
                "where": {"AND": [{"id": 1}, {"OR": [{"name": None}, {"NOT": [{"score": {"lt": 1.5}}]}]}]},
                "cursor": {"id": 1},
                "order": [{"id": "asc"}, {"email": "desc"}],
                "distinct": ["name"],
                "include": {"profile": True, "manager": {"include": {"reports": {"order_by": {"id": "asc"}}}}},
            },
        ),
        ("user", "find_many", {"where": {"posts": {"some": {"title": "t", "categories": {"none": {"name": "c"}}}}}}),
        ("user", "find_many", {"where": {"manager": {"is": {"email": "a"}}, "profile": {"is_not": {"bio": "x"}}}}),
        ("user", "find_many", {"where": {"settings": {"path": ["a"], "equals": json(1)}, "roles": {"has": "ADMIN"}}}),
        ("comment", "find_unique", {"where": {"post_id_number": {"post_id": "p", "number": 1}}}),
        ("reaction", "find_unique", {"where": {"one_of_each": {"post_id": "p", "number": 1, "kind": "k"}}}),
        ("post", "find_many", {"where": {"author": {"is": {"id": 1}}}, "order": {"title": "asc"}, "take": -2}),
        ("moment", "find_unique", {"where": {"at": MOMENT}}),
        ("user", "count", {"where": {"id": 1}, "take": 1, "select": {"_all": True, "name": True}}),
        (
            "user",
            "group_by",
            {
                "by": ["name", "role"],
                "where": {"id": {"gt": 0}},
                "having": {"score": {"_avg": {"gt": 0.1}}, "name": {"not": "x"}},
                "order": [{"name": "asc"}],
                "take": 5,
                "skip": 0,
                "count": {"_all": True},
                "sum": {"visits": True},
                "avg": {"score": True},
                "min": {"id": True},
                "max": {"credit": True},
            },
        ),
        (
            "user",
            "create",
            {"data": {"email": "new", "tags": ["a"], "numbers": {"set": [1]}, "balance": Decimal("1.5")}},
        ),
        (
            "user",
            "create",
            {
                "data": {
                    "email": "new",
                    "profile": {"create": {"bio": "b"}},
                    "posts": {
                        "create": [{"title": "x", "categories": {"create": [{"name": "new"}], "connect": [{"id": 1}]}}],
                        "connect": [{"id": "p"}],
                    },
                    "manager": {"connect": {"id": 1}},
                },
                "include": {"posts": True},
            },
        ),
        ("comment", "create", {"data": {"post_id": "p", "number": 7, "text": "x"}}),
        ("types", "create", {"data": types}),
        ("types", "create_many", {"data": [{"id": 50, "whole": 1, "text": "a"}, {"id": 51}], "skip_duplicates": True}),
        ("lists", "create", {"data": lists}),
        ("user", "create_many", {"data": [{"email": "m", "visits": 3}, {"email": "n", "settings": json({})}]}),
        ("user", "update", {"where": {"id": 1}, "data": {"visits": {"increment": 1}, "name": None, "role": "GUEST"}}),
        ("types", "update", {"where": {"id": 1}, "data": types}),
        ("lists", "update", {"where": {"id": 1}, "data": {name: {"push": lists[name]} for name in sorted(of_lists)}}),
        (
            "user",
            "update",
            {
                "where": {"email": "a"},
                "data": {
                    "posts": {
                        "update": [{"where": {"id": "p"}, "data": {"views": {"multiply": 2}}}],
                        "create": [{"title": "y"}],
                    },
                    "manager": {"disconnect": True},
                    "profile": {"upsert": {"create": {"bio": "x"}, "update": {"bio": "y"}}},
                },
            },
        ),
        (
            "post",
            "update",
            {
                "where": {"id": "p"},
                "data": {
                    "categories": {"set": [{"id": 1}], "delete": [], "disconnect": [{"name": "c"}]},
                    "comments": {"deleteMany": [{"number": 9}]},
                },
                "include": {"categories": True},
            },
        ),
        ("user", "update_many", {"where": {"name": "zz"}, "data": {"score": {"divide": 2.5}, "tags": {"set": ["x"]}}}),
        (
            "user",
            "upsert",
            {
                "where": {"email": "a"},
                "data": {"create": {"email": "a", "credit": 2**40}, "update": {"extra": json(None), "born_on": MOMENT}},
            },
        ),
        ("user", "delete", {"where": {"id": 2}}),
        ("reaction", "delete", {"where": {"id": 1}, "include": {"comment": True}}),
        ("types", "delete_many", {"where": {"id": 99}}),
    ]
    calls += [("lists" if next(iter(where)) in lists else "types", "find_first", {"where": where}) for where in filters]
    return [Template(*call) for call in calls]


KEYS = (
    *("id", "email", "name", "posts", "author", "author_id", "profile", "foo", "", "\0", "\ud800", "a b", '"', "$type"),
    *("AND", "OR", "NOT", "equals", "in", "notIn", "not_in", "not", "lt", "gte", "contains", "mode", "search", "has"),
    *("path", "string_contains", "array_contains", "some", "every", "none", "is", "is_not", "isNot", "set", "push"),
    *("increment", "divide", "create", "connect", "connect_or_create", "disconnect", "update", "upsert", "delete"),
    *("delete_many", "update_many", "createMany", "where", "data", "include", "select", "take", "cursor", "distinct"),
    *("_count", "_avg", "_all", "post_id_number", "post_id", "number", "_relevance", "sort", "nulls", "__class__"),
)


# -- what is done to a call -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fault:
    """
    One change of a call's arguments.

    Attributes:
        kind: replace, remove, add, rename, list, dict or deep.
        place: Which of the places it is done at, modulo how many there are.
        key: The key for add, rename and dict.
        value: Which of the bad values it is for replace and add, modulo how many there are.
    """

    kind: str
    place: int
    key: str
    value: int

    def apply(self, arguments: Arguments, values: Mapping[str, Callable[[], Any]]) -> Arguments:
        """Return *arguments* with this fault; they themselves stay as they are."""
        paths = list(_paths(arguments))
        if not paths:
            return arguments
        bad = list(values.values())[self.value % len(values)]
        changed: Arguments = _changed(arguments, paths[self.place % len(paths)], self._change(bad))
        return changed

    def _change(self, bad: Callable[[], Any]) -> Callable[[Any, str | int], Any]:
        """Return the function from a container and a key in it to the container with the fault."""
        wraps: dict[str, Callable[[Any], Any]] = {
            "replace": lambda _old: bad(),
            "list": lambda old: [old],
            "dict": lambda old: {self.key: old},
            "deep": lambda old: nested(old, lambda value: {"AND": [value]}),
            "add": lambda old: {**old, self.key: bad()} if isinstance(old, dict) else bad(),
        }

        def change(container: Any, key: str | int) -> Any:
            if self.kind == "remove":
                return _without(container, key)
            if self.kind == "rename" and isinstance(container, dict) and isinstance(key, str):
                return {self.key if name == key else name: item for name, item in container.items()}
            return _with(container, key, wraps.get(self.kind, wraps["replace"])(container[key]))

        return change


KINDS = ("replace", "replace", "replace", "add", "rename", "remove", "list", "dict", "deep")


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if len(path) > MOST_STEPS:
        return
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def _changed(container: Any, path: Path, change: Callable[[Any, str | int], Any]) -> Any:
    if len(path) == 1:
        return change(container, path[0])
    return _with(container, path[0], _changed(container[path[0]], path[1:], change))


def _with(container: Any, key: str | int, value: Any) -> Any:
    if isinstance(container, dict):
        return {**container, key: value}
    return [value if place == key else item for place, item in enumerate(container)]


def _without(container: Any, key: str | int) -> Any:
    if isinstance(container, dict):
        return {name: item for name, item in container.items() if name != key}
    return [item for place, item in enumerate(container) if place != key]
