"""The values that requests carry: of every type, at the edges, in the seed and not, and rarely of a wrong type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from types import ModuleType
from typing import Any

from agentdb.engine.schema import Datamodel, Field, Model, UniqueKey
from tests.oracle.dice import Dice, Slot

Row = Mapping[str, Any]

WRONG_PERCENT = 1
"""How often a value is one that its field may not take."""


def _moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# Midnight of 0001-01-01 is left out, because asyncpg takes it for minus infinity.
_BY_TYPE: Mapping[str, Sequence[Any]] = {
    "String": ["a", "b", "A", "é", "", "x%", "_", 'a "quote"', "it's", "back\\slash", "u1@x", "p1", "😀", " a "],
    "Boolean": [True, False],
    "Int": [1, 2, 0, 3, -5, 100, 2**31 - 1, -(2**31)],
    "BigInt": [1, 5, 0, 2**40, -7, 2**53 + 1, 2**63 - 1, -(2**63)],
    "Float": [0.5, 1.5, -2.25, 0.0, 1e10, 3, 0.1, 1e300],
    "Decimal": [Decimal(text) for text in ("1.5", "0", "-2.25", "12.34", "1000000.5", "0.005", "1e3", "-0.10")],
    "DateTime": [
        _moment(2024, 1, 1),
        _moment(2024, 2, 29, 12, 30, 15, 250_000),
        _moment(1969, 5, 5, 1, 2, 3),
        _moment(2050, 1, 1, 23, 59, 59, 999_000),
        _moment(1969, 5, 5, 1, 2, 3, 123_456),
        datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        datetime(2024, 1, 1),  # naive means UTC
        _moment(1, 1, 2),
        _moment(9999, 12, 31, 23, 59, 59),
    ],
}

_BY_NATIVE_TYPE: Mapping[str, Sequence[Any]] = {
    "Uuid": [
        "00000000-0000-0000-0000-000000000001",
        "6f1f61d0-5c8a-1a75-8d2f-5f2f3a3a1234",
        "6F1F61D0-5C8A-1A75-8D2F-5F2F3A3A1234",
    ],
    "Inet": ["10.0.0.1", "::1", "192.168.0.0/16"],
    "Bit": ["1010", "0000"],
    "VarBit": ["1", "10101", ""],
    "SmallInt": [1, -3, 0, 300, 32767],
    "Oid": [1, 0, 5000],
    "Char": ["ab", "abcd", "A", ""],
    "VarChar": ["a", "abc", "short", "é", "x%", ""],
    "Date": [_moment(2024, 1, 1), _moment(1969, 5, 5), _moment(2024, 2, 29), _moment(9999, 12, 31)],
    "Time": [_moment(1970, 1, 1, 12, 30, 15), _moment(1970, 1, 1), _moment(1970, 1, 1, 23, 59, 59, 999_000)],
    "Timetz": [_moment(1970, 1, 1, 12, 30, 15), _moment(1970, 1, 1)],
    "Real": [1.1, 0.5, -2.25, 0.0, 3],
    "Money": [Decimal("1.5"), Decimal(0), Decimal("12.34"), Decimal("-1234.5")],
    "Xml": [None],  # the embedded server knows no XML
    "Citext": ["a", "A", "B", "x%", "É", "é", ""],
}

_JSON: Sequence[Any] = [
    {"a": 1},
    [1, "two", None],
    "str",
    5,
    {"a": {"b": "deep"}},
    {},
    [],
    None,
    True,
    1.5,
    {"a": 1, "b": [1, 2, {"c": "x"}]},
    "",
    {"a": "é😀"},
]

_WRONG: Sequence[Any] = [
    "text", 1, 1.5, True, None, [], {}, 2**31, 2**63, -(2**63) - 1, _moment(2024, 1, 1), Decimal("1.5"), ["a"], [None],
    {"a": 1}, "2024-01-01", "2024-01-01T00:00:00Z", "1.5", "a\0b", float("nan"), float("inf"),
]  # fmt: skip


@dataclass(frozen=True)
class Values:
    """
    Chooses values of fields.

    Attributes:
        rows: Model name -> the rows of the seed, by field.
        package: The generated package.
    """

    datamodel: Datamodel
    rows: Mapping[str, Sequence[Row]]
    package: ModuleType
    _pools: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def slot(self, model: Model, field: Field, *, nullable: bool = False) -> Slot:
        """A place for one value of *field*; also for None if it is *nullable*, and rarely for a wrong value."""
        pool = self._pool(model, field)

        def choose(dice: Dice) -> Any:
            if nullable and dice.chance(10):
                return None
            return dice.pick(self.wrong if dice.chance(WRONG_PERCENT) else pool)

        return Slot(choose)

    def list_slot(self, model: Model, field: Field) -> Slot:
        """A place for a list of values of *field*."""
        one = self.slot(model, field)
        return Slot(lambda dice: [one.choose(dice) for _ in range(dice.number(0, 3))])

    def fresh_slot(self, model: Model, field: Field) -> Slot:
        """A place for a value of a unique field in a row to come: mostly one that no row has."""
        pool = self._pool(model, field)
        spare = _spare(field) or pool
        return Slot(lambda dice: dice.pick(pool if dice.chance(15) else spare))

    def key_slot(self, model: Model, key: UniqueKey) -> Slot:
        """A place for the ``where`` of one record by *key*: mostly of a record that is there."""
        rows = [row for row in self.rows[model.name] if all(row[name] is not None for name in key.fields)]
        slots = {name: self.slot(model, model.fields[name]) for name in key.fields}

        def choose(dice: Dice) -> dict[str, Any]:
            if rows and not dice.chance(15):
                row = dice.pick(rows)
                values = {name: row[name] for name in key.fields}
            else:
                values = {name: slot.choose(dice) for name, slot in slots.items()}
            return values if len(values) == 1 else {key.name: values}

        return Slot(choose)

    @cached_property
    def wrong(self) -> list[Any]:
        """Values that most fields may not take."""
        return [*_WRONG, self.package.Json({"a": 1}), self.package.Base64.encode(b"x")]

    def _pool(self, model: Model, field: Field) -> list[Any]:
        key = (model.name, field.name)
        if key not in self._pools:
            self._pools[key] = self._make_pool(model, field)
        return self._pools[key]

    def _make_pool(self, model: Model, field: Field) -> list[Any]:
        if field.kind == "enum":
            return [*self.datamodel.enums[field.type].values, *getattr(self.package.enums, field.type)]
        if field.type == "Json":
            return [self.package.Json(value) for value in _JSON]
        if field.type == "Bytes":
            return [self.package.Base64.encode(value) for value in (b"hello", b"", b"\x00\xff", b"\xff")]
        pool = list(_BY_NATIVE_TYPE.get(field.native_type or "") or _BY_TYPE[field.type])
        stored = [] if field.is_list else [row[field.name] for row in self.rows[model.name]]
        return [*dict.fromkeys(value for value in stored if value is not None), *pool]


def unique_keys(model: Model) -> list[UniqueKey]:
    """Return every key that names one record of *model*, the primary key first."""
    primary = [UniqueKey(model.id_name or model.id_fields[0], model.id_fields)] if model.id_fields else []
    return [*primary, *(key for key in model.uniques if key.fields != model.id_fields)]


def is_made_up(field: Field) -> bool:
    """Whether each side makes values of its own for *field*: an id, or the time."""
    return field.type in ("String", "DateTime") and (field.has_default or field.is_updated_at)


def _spare(field: Field) -> list[Any]:
    """Values that no row of the seed has in a unique field."""
    match field.type:
        case "String" if field.native_type == "Uuid":
            return [f"00000000-0000-0000-0000-0000000010{number:02}" for number in range(30)]
        case "String":
            return [f"new{number}" for number in range(30)]
        case "Int" | "BigInt":
            return list(range(1000, 1030))
        case "DateTime":
            return [_moment(2000, 1, 1 + number) for number in range(30)]
        case "Decimal":
            return [Decimal(1000 + number) for number in range(30)]
        case _:
            return []
