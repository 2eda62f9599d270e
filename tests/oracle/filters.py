"""Filters: the ``where`` of every call, over every type, list and relation."""

from __future__ import annotations

from typing import Any

from agentdb.engine.schema import Field, Model
from tests.oracle.dice import Dice, Slot, filled
from tests.oracle.values import Values, is_made_up, unique_keys

MAX_DEPTH = 3

_PATHS = [["a"], ["a", "b"], ["0"], ["b", "2", "c"], []]


class Filters:
    """
    Chooses filters.

    Args:
        among_new: There may be new rows, whose made-up values are not to be compared with anything.
    """

    def __init__(self, dice: Dice, values: Values, *, among_new: bool) -> None:
        self.dice = dice
        self.among_new = among_new
        self.values = values
        self.models = values.datamodel.models

    def one(self, model: Model) -> Any:
        """A filter that names one record: a unique key, sometimes with more conditions beside it."""
        key = self.values.key_slot(model, self.dice.pick(unique_keys(model)))
        if not self.dice.chance(5):
            return key
        more = self.where(model, MAX_DEPTH)
        return Slot(lambda dice: {**filled(more, dice), **key.choose(dice)})

    def where(self, model: Model, depth: int = 0) -> dict[str, Any]:
        """A filter of *model*, less deep than `MAX_DEPTH`."""
        dice = self.dice
        chosen: dict[str, Any] = {}
        for _ in range(dice.pick([1, 1, 2, 2, 0, 3])):
            if depth < MAX_DEPTH and dice.chance(20):
                operator = dice.pick(["AND", "OR", "NOT"])
                if operator != "OR" and dice.chance(40):
                    chosen[operator] = self.where(model, depth + 1)
                else:
                    chosen[operator] = [self.where(model, depth + 1) for _ in range(dice.number(0, 2))]
                continue
            field = dice.pick(list(model.fields.values()))
            if field.kind != "object":
                chosen[field.name] = self.scalar(model, field)
            elif depth < MAX_DEPTH:
                chosen[field.name] = self._related(field, depth + 1)
        if dice.chance(1):
            chosen["unknown"] = 1
        return chosen

    def _related(self, field: Field, depth: int) -> Any:
        dice, model = self.dice, self.models[field.type]
        if field.is_list:
            return {
                operator: self.where(model, depth)
                for operator in dice.some(["some", "every", "none"], 1, 2 if dice.chance(10) else 1)
            }
        forms = ["is", "is_not", "plain"]
        form = dice.pick([*forms, "null"] if field.is_optional else forms)
        if form == "plain":
            return self.where(model, depth)
        if form == "null":
            return dice.pick([None, {"is": None}, {"is_not": None}])
        return {form: self.where(model, depth)}

    def scalar(self, model: Model, field: Field, *, is_nested: bool = False) -> Any:
        """A filter of one field that holds no record."""
        if field.is_list:
            return self._list(model, field)
        if field.type == "Json":
            return self._json(model, field)
        dice = self.dice
        value = self.values.slot(model, field)
        form = dice.pick(self._operators(field))
        match form:
            case "plain":
                return self.values.slot(model, field, nullable=field.is_optional)
            case "in" | "not_in":
                return {form: self.values.list_slot(model, field)}
            case "null":
                return {dice.pick(["equals", "not"]): None}
            case "insensitive":
                operator = dice.pick(["contains", "startswith", "endswith", "equals", "not", "lt"])
                return {operator: value, "mode": dice.pick(["insensitive", "default"])}
            case "search":
                return {"search": Slot(lambda dice: dice.pick(["a", "a & b", "a | b", "!a", "x"]))}
            case "not" if not is_nested and dice.chance(30):
                return {"not": self.scalar(model, field, is_nested=True)}
            case "range":
                both = dice.pick([("gte", "lt"), ("gt", "lte"), ("gt", "not"), ("lte", "in")])
                return {
                    name: self.values.list_slot(model, field) if name == "in" else self.values.slot(model, field)
                    for name in both
                }
            case _:
                return {form: value}

    def _operators(self, field: Field) -> list[str]:
        operators = ["equals", "not", "plain"]
        if field.type != "Boolean":
            operators += ["in", "not_in"]
        if field.is_optional:
            operators.append("null")
        if self.among_new and is_made_up(field):
            return operators
        if field.type not in ("Boolean", "Bytes") and field.kind != "enum":
            operators += ["lt", "lte", "gt", "gte", "range"]
        if field.type == "String" and field.native_type != "Uuid":
            operators += ["contains", "startswith", "endswith", "insensitive", "search"]
        return operators

    def _list(self, model: Model, field: Field) -> Any:
        match self.dice.pick(["has", "has_some", "has_every", "is_empty", "equals", "null"]):
            case "has":
                return {"has": self.values.slot(model, field)}
            case "is_empty":
                return {"is_empty": self.dice.pick([True, False])}
            case "null":
                return {"equals": None}
            case operator:
                return {operator: self.values.list_slot(model, field)}

    def _json(self, model: Model, field: Field) -> Any:
        dice, json = self.dice, self.values.package.Json
        path = dice.pick(_PATHS)
        match dice.pick(["equals", "not", "plain", "path", "text", "array", "range", "null"]):
            case "null":
                return dice.pick([None, {"equals": None}, {"not": None}])
            case "plain":
                return self.values.slot(model, field)
            case "path":
                return {"path": path, dice.pick(["equals", "not"]): self.values.slot(model, field)}
            case "text":
                operator = dice.pick(["string_contains", "string_starts_with", "string_ends_with"])
                return {"path": path, operator: Slot(lambda dice: dice.pick(["d", "deep", "p", "%", ""]))}
            case "array":
                operator = dice.pick(["array_contains", "array_starts_with", "array_ends_with"])
                within = {"path": path} if dice.chance(30) else {}
                return {
                    **within,
                    operator: Slot(lambda dice: json(dice.pick([1, "two", [1], None, [2, 1], {"c": "x"}]))),
                }
            case "range":
                bound = Slot(lambda dice: json(dice.pick([0, 1, 2, "d", 1.5])))
                return {"path": path, dice.pick(["gt", "gte", "lt", "lte"]): bound}
            case operator:
                return {operator: self.values.slot(model, field)}
