"""Calls that read: every find, count and group_by, with every argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentdb.engine.schema import Field, Model
from tests.oracle.dice import Dice, Slot
from tests.oracle.filters import Filters
from tests.oracle.values import Values, is_made_up, unique_keys

MAX_INCLUDE_DEPTH = 3

Path = tuple[str, ...]

_SORTS = ["asc", "desc"]
_NUMBERS = frozenset({"Int", "BigInt", "Float", "Decimal"})
_COMPARABLE = _NUMBERS | {"String", "DateTime"}


class Reads:
    """
    Chooses calls that read.

    Args:
        among_new: There may be new rows, whose made-up values make no order.

    Attributes:
        bags: The paths, from the result on, of the lists whose order the call leaves open.
    """

    def __init__(self, dice: Dice, values: Values, *, among_new: bool = False) -> None:
        self.dice = dice
        self.among_new = among_new
        self.values = values
        self.models = values.datamodel.models
        self.filters = Filters(dice, values, among_new=among_new)
        self.bags: set[Path] = set()

    def call(self, model: Model) -> tuple[str, dict[str, Any]]:
        """A method and its arguments."""
        find = ["find_many"] * 5 + ["find_first"] * 2 + ["find_unique", "find_unique_or_raise", "find_first_or_raise"]
        method = self.dice.pick([*find, "count", "count", "group_by", "group_by"])
        match method:
            case "find_unique" | "find_unique_or_raise":
                return method, {"where": self.filters.one(model), **self.include(model, (), percent=60)}
            case "find_first" | "find_first_or_raise":
                arguments = self._many(model, (), is_first=True)
                arguments.pop("take", None)
                return method, arguments
            case "count":
                return method, self._count(model)
            case "group_by":
                return method, self._group_by(model)
            case _:
                return method, self._many(model, ())

    # -- lists of records

    def _many(self, model: Model, path: Path, *, is_first: bool = False) -> dict[str, Any]:
        """Arguments of a find of several, or of an included list; *is_first* where only the first record counts."""
        dice = self.dice
        arguments: dict[str, Any] = {}
        if dice.chance(55):
            arguments["where"] = self.filters.where(model, 1 if path else 0)
        forms = ["total", "total", "total", "implicit", "implicit" if is_first else "open"]
        if self.among_new and any(is_made_up(model.fields[name]) for name in model.id_fields):
            forms = ["key" if is_first else "open"]
        match dice.pick(forms):
            case "key":
                arguments["where"] = self.values.key_slot(model, unique_keys(model)[0])
            case "total":
                arguments["order"] = self._total_order(model)
                arguments |= self._page(model)
                if dice.chance(15):
                    arguments["distinct"] = [field.name for field in dice.some(self._sortable(model), 1, 2)]
            case "implicit":  # a page without an order is one of the list by its key
                page = self._page(model)
                if is_first:
                    page.pop("take", None)
                arguments |= page or {"skip": 1}
            case _:
                self.bags.add(path)
                if dice.chance(40):
                    arguments["order"] = self._order(model)
        if path and "order" in arguments:
            arguments["order_by"] = arguments.pop("order")
        return arguments | self.include(model, path, percent=50)

    def _page(self, model: Model) -> dict[str, Any]:
        """What cuts a list."""
        dice = self.dice
        page: dict[str, Any] = {}
        if dice.chance(35):
            page["take"] = dice.pick([1, 2, 3, 0, -1, -2, 10])
        if dice.chance(25):
            page["skip"] = dice.pick([1, 2])
        if dice.chance(15) and not _has_decimal_key(model):
            page["cursor"] = self.filters.one(model)
        if dice.chance(1):
            page[dice.pick(["take", "skip"])] = dice.pick(["1", 1.5, True, 2**31, 2**63])
        return page

    def include(self, model: Model, path: Path, *, percent: int) -> dict[str, Any]:
        """An ``include`` argument in *percent* of cases, where there is something to include."""
        relations = [field for field in model.fields.values() if field.kind == "object"]
        if not relations or len(path) >= MAX_INCLUDE_DEPTH or not self.dice.chance(percent):
            return {}
        chosen = self.dice.some(relations, 1, 2)
        return {"include": {field.name: self._included(field, (*path, field.name)) for field in chosen}}

    def _included(self, field: Field, path: Path) -> Any:
        model = self.models[field.type]
        if self.dice.chance(20):
            if field.is_list:
                self.bags.add(path)
            return True
        if field.is_list:
            return self._many(model, path)
        arguments = self.include(model, path, percent=60)
        if field.is_optional and self.dice.chance(20):
            arguments["where"] = self.filters.where(model, 1)
        return arguments or True

    # -- orders

    def _total_order(self, model: Model) -> list[dict[str, Any]]:
        """An order that ties no two records: the key comes last."""
        order = [] if self.dice.chance(50) else self._order(model)
        named = {name for entry in order for name in entry}
        return [*order, *({name: self.dice.pick(_SORTS)} for name in model.id_fields if name not in named)]

    def _order(self, model: Model) -> list[dict[str, Any]]:
        chosen = self.dice.some([*self._sortable(model), *_relations(model)], 1, 2)
        order: list[dict[str, Any]] = [{field.name: self._sort(field)} for field in chosen]
        return [*order, {"unknown": "asc"}] if self.dice.chance(1) else order

    def _sort(self, field: Field) -> Any:
        dice = self.dice
        direction = "up" if dice.chance(1) else dice.pick(_SORTS)
        if field.kind != "object":
            if field.is_optional and dice.chance(40):
                return {"sort": direction, "nulls": dice.pick(["first", "last"])}
            return direction
        if field.is_list:
            return {"_count": direction}
        model = self.models[field.type]
        further = _relations(model) if dice.chance(20) else self._sortable(model)
        related = dice.pick(further or self._sortable(model))
        return {related.name: direction if related.kind != "object" else self._sort(related)}

    def _sortable(self, model: Model, *, with_lists: bool = False) -> list[Field]:
        """The fields that the database can order and group by."""
        return [
            field
            for field in model.fields.values()
            if field.kind != "object"
            and (with_lists or not field.is_list)
            and field.type != "Json"
            and field.native_type != "Xml"
            and not (self.among_new and is_made_up(field))
        ]

    # -- aggregates

    def _count(self, model: Model) -> dict[str, Any]:
        dice = self.dice
        arguments: dict[str, Any] = {}
        if dice.chance(60):
            arguments["where"] = self.filters.where(model)
        if dice.chance(40):
            arguments |= self._page(model)
        if dice.chance(60):
            arguments["select"] = self._selected(_countable(model))
        return arguments

    def _group_by(self, model: Model) -> dict[str, Any]:
        dice = self.dice
        by = dice.some(self._sortable(model, with_lists=dice.chance(10)), 1, 2)
        names = [field.name for field in by]
        arguments: dict[str, Any] = {"by": names}
        if dice.chance(40):
            arguments["where"] = self.filters.where(model)
        if dice.chance(80):
            arguments["order"] = [{name: dice.pick(_SORTS)} for name in names]
            if dice.chance(30):
                arguments["take"] = dice.pick([2, 1, -1, 0])
            if dice.chance(20):
                arguments["skip"] = 1
        else:
            self.bags.add(())
        for name, fields in _aggregates(model).items():
            if fields and dice.chance(35):
                arguments[name] = True if name == "count" and dice.chance(20) else self._selected(fields)
        if dice.chance(30):
            arguments["having"] = self._having(model, by)
        return arguments

    def _selected(self, names: Sequence[str]) -> dict[str, bool]:
        return dict.fromkeys(self.dice.some(names, 1, 3), True)

    def _having(self, model: Model, by: Sequence[Field]) -> dict[str, Any]:
        dice = self.dice
        if dice.chance(15):
            return {dice.pick(["AND", "OR", "NOT"]): [self._having(model, by) for _ in range(dice.number(1, 2))]}
        if dice.chance(20):
            field = dice.pick(by)
            return {field.name: self.filters.scalar(model, field)}
        aggregate, names = dice.pick([(name, names) for name, names in _aggregates(model).items() if names])
        name = dice.pick([name for name in names if name != "_all"])
        operator = dice.pick(["gt", "gte", "lt", "lte", "equals", "not", "in"])
        if aggregate == "count":
            number = Slot(lambda dice: dice.pick([1, 0, 2, 3]))
            return {name: {"_count": {operator: [number] if operator == "in" else number}}}
        value = self.values.slot(model, model.fields[name])
        return {name: {f"_{aggregate}": {operator: [value] if operator == "in" else value}}}


def _relations(model: Model) -> list[Field]:
    return [field for field in model.fields.values() if field.kind == "object"]


def _has_decimal_key(model: Model) -> bool:
    """Whether a cursor may hold a Decimal: Prisma compares its text with the database's, and finds 0.00 not to be 0."""
    return any(model.fields[name].type == "Decimal" for key in unique_keys(model) for name in key.fields)


def _countable(model: Model) -> list[str]:
    return [*(field.name for field in model.fields.values() if field.kind != "object"), "_all"]


def _aggregates(model: Model) -> dict[str, list[str]]:
    """Aggregate -> the fields it takes."""
    single = [field for field in model.fields.values() if field.kind != "object" and not field.is_list]
    numbers = [field.name for field in single if field.type in _NUMBERS]
    comparable = [field.name for field in single if field.type in _COMPARABLE]
    return {"count": _countable(model), "sum": numbers, "avg": numbers, "min": comparable, "max": comparable}
