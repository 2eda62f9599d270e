"""Values that no argument of a call should have."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import math
from collections import OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, ModuleType
from typing import Any
from uuid import UUID

MEGABYTE = 1 << 20
DEEP = 1_000

MOMENT = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)


class Letter(enum.StrEnum):
    A = "a"


class Colour(enum.IntEnum):
    RED = 1


class Unprintable:
    """Something that fails when anybody looks at it."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class Odd(dt.tzinfo):
    """A time zone that answers *offset*; an exception it raises."""

    def __init__(self, offset: Any) -> None:
        self._offset = offset

    def utcoffset(self, _when: dt.datetime | None) -> Any:
        if isinstance(self._offset, Exception):
            raise self._offset
        return self._offset

    def tzname(self, _when: dt.datetime | None) -> str:
        return "odd"

    def dst(self, _when: dt.datetime | None) -> None:
        return None


def nested(value: Any, wrap: Callable[[Any], Any], depth: int = DEEP) -> Any:
    """Return *value* in *depth* others."""
    for _ in range(depth):
        value = wrap(value)
    return value


def cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["AND"] = value
    return value


def cyclic_list() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def parameter(name: str) -> dict[str, Any]:
    """A placeholder as the engine itself writes it."""
    return {"$type": "Param", "value": {"name": name, "type": "String"}}


def junk(package: ModuleType) -> dict[str, Callable[[], Any]]:
    """Return bad values by name: each is made when it is needed, for some can be looked at only once."""
    json, base64 = package.Json, package.Base64

    def same(value: Any) -> Callable[[], Any]:
        return lambda: value

    def of(key: str, make: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: {key: make()}

    numbers = [0, -1, 1, 2, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400, -(10**5000)]
    floats = [0.5, -0.0, 1e16, 1e308, 5e-324, 2.0**63, math.inf, -math.inf, math.nan]
    decimals = ["NaN", "sNaN", "Infinity", "-Infinity", "1E+1000000", "1E-1000000", "0E+100", "1" * 200]
    texts = ["", "x", "1", "1.5", "true", "null", "\0", "a\0b", "\ud800", "\udfff\ud800", '"', "\\", "}{", "é" * 30]
    texts += [
        "2024-01-01",
        "2024-01-01T00:00:00Z",
        "2024-13-45T99:99:99Z",
        "00000000-0000-0000-0000-000000000001",
        "$1",
    ]
    texts += ["ADMIN", "administrator", "asc", "name", "id", "posts", "_all", "_count", "%0", "@parent"]
    keys = [
        "AND",
        "set",
        "equals",
        "not",
        "in",
        "path",
        "connect",
        "create",
        "increment",
        "is",
        "some",
        "_count",
        "foo",
    ]
    values: dict[str, Callable[[], Any]] = {
        **{f"int {place}": same(value) for place, value in enumerate(numbers)},
        **{f"float {value}": same(value) for value in floats},
        **{f"Decimal {value[:12]}": same(Decimal(value)) for value in decimals},
        **{f"str {value!a}": same(value) for value in texts},
        **{f"{{{key}: None}}": of(key, same(None)) for key in keys},
        **{f"{{{key}: {{}}}}": of(key, dict) for key in keys},
        **{f"{{{key}: []}}": of(key, list) for key in keys},
        **{f"{{{key}: 1}}": of(key, same(1)) for key in keys},
        **{f"{{{key}: object}}": of(key, object) for key in keys},
        "None": same(None),
        "True": lambda: True,
        "False": lambda: False,
        "a megabyte of text": lambda: "x" * MEGABYTE,
        "a megabyte of NUL": lambda: "\0" * MEGABYTE,
        "many numbers": lambda: [1] * 10_000,
        "a megabyte of bytes": lambda: b"x" * MEGABYTE,
        "a long key": lambda: {"k" * MEGABYTE: 1},
        "many keys": lambda: {f"k{number}": number for number in range(10_000)},
        "bytes": lambda: b"x",
        "bytearray": lambda: bytearray(b"x"),
        "memoryview": lambda: memoryview(b"x"),
        "[]": list,
        "{}": dict,
        "()": tuple,
        "set": lambda: {1, "x"},
        "frozenset": lambda: frozenset({1}),
        "[None]": lambda: [None],
        "[[]]": lambda: [[]],
        "[{}]": lambda: [{}],
        "[1, 'x', None]": lambda: [1, "x", None, 1.5],
        "[object]": lambda: [object()],
        "{1: 2}": lambda: {1: 2},
        "{None: None}": lambda: {None: None},
        "{(): 1}": lambda: {(): 1},
        "{b'x': 1}": lambda: {b"x": 1},
        "{surrogate: 1}": lambda: {"\ud800": 1},
        "a placeholder": lambda: parameter("%0"),
        "an unknown placeholder": lambda: parameter("%99"),
        "a field reference": lambda: {"$type": "FieldRef", "value": {"_ref": "id", "_container": "User"}},
        "a raw value": lambda: {"$type": "Raw", "value": "1"},
        "a tagged enum": lambda: {"$type": "Enum", "value": "DbNull"},
        "a bad tag": lambda: {"$type": "DateTime", "value": "x"},
        "an unknown tag": lambda: {"$type": "Nope", "value": 1},
        "a tag of nothing": lambda: {"$type": "Json"},
        "Json of NaN": lambda: json({"a": math.nan}),
        "Json of an object": lambda: json(object()),
        "Json of a surrogate": lambda: json("\ud800"),
        "Json of NUL": lambda: json({"a": "\0"}),
        "Json of cycles": lambda: json(cyclic_list()),
        "Json that is deep": lambda: json(nested(1, lambda value: [value])),
        "Json of a megabyte": lambda: json("x" * MEGABYTE),
        "Json of 10**400": lambda: json(10**400),
        "Json of bytes": lambda: json(b"x"),
        "Json of odd keys": lambda: json({(): 1}),
        **{f"Base64 {value!a}": same(base64.fromb64(value)) for value in ("x", "====", "a b", "\0")},
        "Base64 of odd bytes": lambda: base64(b"\xff\xfe"),
        "Base64 of text": lambda: base64("eA=="),
        "datetime.min": lambda: dt.datetime.min,
        "datetime.max": lambda: dt.datetime.max,
        "before year 1": lambda: dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
        "after year 9999": lambda: dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-14))),
        "a time zone of None": lambda: MOMENT.replace(tzinfo=Odd(None)),
        "a time zone of text": lambda: MOMENT.replace(tzinfo=Odd("x")),
        "a time zone of a year": lambda: MOMENT.replace(tzinfo=Odd(dt.timedelta(days=365))),
        "a time zone that fails": lambda: MOMENT.replace(tzinfo=Odd(ZeroDivisionError("no offset"))),
        "a time zone of seconds": lambda: MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(seconds=1, microseconds=7))),
        "date": lambda: dt.date(2024, 1, 1),
        "time": lambda: dt.time(12),
        "timedelta": lambda: dt.timedelta(1),
        "UUID": lambda: UUID(int=1),
        "an address": lambda: ipaddress.ip_address("::1"),
        "a path": lambda: PurePosixPath("/x"),
        "complex": lambda: 1j,
        "Fraction": lambda: Fraction(1, 3),
        "a str enum": lambda: Letter.A,
        "an int enum": lambda: Colour.RED,
        "object": object,
        "class": lambda: object,
        "function": lambda: nested,
        "ellipsis": lambda: ...,
        "NotImplemented": lambda: NotImplemented,
        "an exception": lambda: ValueError("x"),
        "unprintable": Unprintable,
        "generator": lambda: (number for number in range(3)),
        "range": lambda: range(3),
        "deque": lambda: deque([1]),
        "OrderedDict": lambda: OrderedDict(id=1),
        "defaultdict": lambda: defaultdict(dict, id=1),
        "MappingProxyType": lambda: MappingProxyType({"id": 1}),
        "UserDict": lambda: UserDict(id=1),
        "module": lambda: package,
        "a model": lambda: package.models.Category.model_construct(id=1, name="x"),
        "a model's class": lambda: package.models.User,
        "a cyclic dict": cyclic_dict,
        "a cyclic list": cyclic_list,
        "deep lists": lambda: nested(1, lambda value: [value]),
        "deep dicts": lambda: nested(1, lambda value: {"AND": value}),
        "deep conditions": lambda: nested({"id": 1}, lambda value: {"NOT": [value]}),
        "very deep lists": lambda: nested(1, lambda value: [value], 50_000),
    }
    return values
