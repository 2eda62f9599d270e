"""Calls that write: every create, update, upsert and delete, with every nested write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentdb.engine.schema import Field, Model
from tests.oracle.dice import Dice, Slot
from tests.oracle.reads import Reads
from tests.oracle.values import Values, unique_keys

MAX_NESTING = 2

_NUMBERS = frozenset({"Int", "BigInt", "Float", "Decimal"})
_NUMBER_OPERATIONS = ["increment", "decrement", "multiply", "divide", "set"]


class Writes:
    """Chooses calls that write."""

    def __init__(self, dice: Dice, values: Values) -> None:
        self.dice = dice
        self.values = values
        self.models = values.datamodel.models
        self.reads = Reads(dice, values, among_new=True)
        self.filters = self.reads.filters

    def call(self, model: Model) -> tuple[str, dict[str, Any]]:
        """A method and its arguments."""
        methods = ["create", "update", "upsert", "delete", "create_many", "update_many", "delete_many"]
        match self.dice.pick([*methods, "create", "update", "update", "upsert"]):
            case "create":
                return "create", {"data": self._create(model), **self._include(model)}
            case "update":
                arguments = {"where": self.filters.one(model), "data": self._update(model)}
                return "update", arguments | self._include(model)
            case "upsert":
                return "upsert", self._upsert(model) | self._include(model)
            case "delete":
                return "delete", {"where": self.filters.one(model), **self._include(model)}
            case "create_many":
                rows = [self._scalars(model, with_keys=True) for _ in range(self.dice.pick([2, 1, 3, 0, 5, 12]))]
                skip = {"skip_duplicates": True} if self.dice.chance(40) else {}
                return "create_many", {"data": rows, **skip}
            case "update_many":
                return "update_many", {"where": self.filters.where(model), "data": self._changes(model)}
            case _:
                return "delete_many", {"where": self.filters.where(model)} if self.dice.chance(90) else {}

    def _include(self, model: Model) -> dict[str, Any]:
        return self.reads.include(model, (), percent=30)

    def _upsert(self, model: Model) -> dict[str, Any]:
        """An upsert; often with one key in ``where`` and in ``create``: then the database does it in one statement."""
        data = {"create": self._create(model), "update": self._update(model)}
        marks = {SAME_KEY: True} if self.dice.chance(60) else {}
        return {"where": self.filters.one(model), "data": data, **marks}

    # -- new records

    def _create(self, model: Model, depth: int = 0, parent: str | None = None) -> dict[str, Any]:
        """
        The data of a new record.

        Args:
            depth: How many records it is nested in.
            parent: The relation that leads back to where it is nested.
        """
        dice = self.dice
        # Prisma takes the keys of a record's relations or the relations themselves, not both.
        with_keys = dice.chance(20)
        data = self._scalars(model, with_keys=with_keys, parent=parent)
        for field in model.fields.values():
            if field.kind != "object" or field.name == parent or (with_keys and _keys(field)):
                continue
            is_required = not field.is_list and not field.is_optional and bool(_keys(field))
            if dice.chance(2) if is_required else depth >= MAX_NESTING or not dice.chance(20):
                continue
            data[field.name] = self._nested(model, field, depth, ["connect", "create", "connect_or_create"])
        if dice.chance(1):
            data["unknown"] = 1
        return data

    def _scalars(self, model: Model, *, with_keys: bool, parent: str | None = None) -> dict[str, Any]:
        """Values for the fields that hold no record; *with_keys*, for those too that a relation would fill."""
        dice = self.dice
        filled_by_relation = (
            _keys(model.fields[parent]) if with_keys and parent else () if with_keys else _foreign_keys(model)
        )
        data: dict[str, Any] = {}
        for field in model.fields.values():
            if field.kind == "object" or field.name in filled_by_relation:
                continue
            is_required = not (field.is_optional or field.has_default or field.is_list or field.is_updated_at)
            if not dice.chance(2) if is_required else dice.chance(12 if _is_in_key(model, field) else 25):
                data[field.name] = self._value(model, field)
        return data

    def _value(self, model: Model, field: Field) -> Any:
        if field.is_list:
            return self.values.list_slot(model, field)
        if _is_in_key(model, field) and field.name not in _foreign_keys(model):
            return self.values.fresh_slot(model, field)
        return self.values.slot(model, field, nullable=field.is_optional)

    # -- changes

    def _update(self, model: Model, depth: int = 0, parent: str | None = None) -> dict[str, Any]:
        with_keys = self.dice.chance(20)
        data = self._changes(model, with_keys=with_keys, parent=parent)
        for field in model.fields.values():
            if field.kind != "object" or field.name == parent or (with_keys and _keys(field)):
                continue
            if depth < MAX_NESTING and self.dice.chance(30):
                operations = ["connect", "create", "connect_or_create", "update", "upsert"]
                if field.is_list:
                    operations += ["disconnect", "set", "delete", "updateMany", "deleteMany"]
                elif field.is_optional:
                    operations += ["disconnect", "delete"]
                data[field.name] = self._nested(model, field, depth, operations)
        return data

    def _changes(self, model: Model, *, with_keys: bool = True, parent: str | None = None) -> dict[str, Any]:
        """Changes of the fields that hold no record; *with_keys*, of those too that a relation fills."""
        dice = self.dice
        excluded = _keys(model.fields[parent]) if with_keys and parent else () if with_keys else _foreign_keys(model)
        fields = [field for field in model.fields.values() if field.kind != "object" and field.name not in excluded]
        chosen = [field for field in dice.some(fields, 0, 3) if dice.chance(30) or not _is_in_key(model, field)]
        return {field.name: self._change(model, field) for field in chosen}

    def _change(self, model: Model, field: Field) -> Any:
        dice = self.dice
        value = self._value(model, field)
        if field.is_list:
            one = self.values.slot(model, field)
            return dice.pick([value, {"set": value}, {"push": one}, {"push": self.values.list_slot(model, field)}])
        if field.type in _NUMBERS and dice.chance(50):
            operation = dice.pick(_NUMBER_OPERATIONS)
            return {operation: Slot(lambda dice: dice.pick([1, 2, 3, 0, -1]))}
        return value

    # -- records in records

    def _nested(self, model: Model, field: Field, depth: int, operations: list[str]) -> dict[str, Any]:
        """Nested writes of *field*: one operation, now and then two."""
        if depth >= MAX_NESTING:
            operations = ["connect"]
        chosen = self.dice.some(operations, 1, 2 if field.is_list and self.dice.chance(15) else 1)
        return {operation: self._operation(model, field, depth, operation) for operation in chosen}

    def _operation(self, model: Model, field: Field, depth: int, operation: str) -> Any:
        dice = self.dice
        one = self._operands(model, field, depth)[operation]
        if not field.is_list:
            return True if operation in ("disconnect", "delete") and not dice.chance(15) else one()
        if dice.chance(20):
            return one()
        return [one() for _ in range(dice.pick([1, 2, 0] if operation == "set" else [1, 2, 3]))]

    def _operands(self, model: Model, field: Field, depth: int) -> dict[str, Callable[[], Any]]:
        """Nested operation -> what makes one of its operands."""
        related = self.models[field.type]
        parent = _opposite(self.models, model, field)

        def create() -> Any:
            return self._create(related, depth + 1, parent)

        def update() -> Any:
            return self._update(related, depth + 1, parent)

        def key() -> Any:
            return self.filters.one(related)

        def within(data: dict[str, Any]) -> dict[str, Any]:
            return {"where": key(), **data} if field.is_list else data

        return {
            "create": create,
            "connect": key,
            "connect_or_create": lambda: {"where": key(), "create": create()},
            "disconnect": key if field.is_list else lambda: self.filters.where(related, 2),
            "set": key,
            "delete": key if field.is_list else lambda: self.filters.where(related, 2),
            "update": lambda: within({"data": update()}) if field.is_list or self.dice.chance(20) else update(),
            "upsert": lambda: within({"create": create(), "update": update()}),
            "updateMany": lambda: {
                "where": self.filters.where(related, 2),
                "data": self._changes(related, parent=parent),
            },
            "deleteMany": lambda: self.filters.where(related, 2),
        }


SAME_KEY = "same key"
"""Marks the arguments of an upsert whose ``create`` repeats the key of its ``where``; see `with_same_key`."""


def with_same_key(model: Model, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the filled *arguments* of an upsert, the key of ``where`` repeated in ``create`` if they are so marked."""
    if arguments.pop(SAME_KEY, False):
        for key in unique_keys(model):
            value = arguments["where"].get(key.name)
            if value is not None:
                create = arguments["data"]["create"]
                for field in model.fields.values():
                    if set(_keys(field)) & set(key.fields):
                        create.pop(field.name, None)
                create |= value if len(key.fields) > 1 else {key.name: value}
    return arguments


def _keys(field: Field) -> tuple[str, ...]:
    return field.relation.fields if field.relation else ()


def _foreign_keys(model: Model) -> set[str]:
    return {name for field in model.fields.values() for name in _keys(field)}


def _is_in_key(model: Model, field: Field) -> bool:
    return field.name in model.id_fields or any(field.name in key.fields for key in model.uniques)


def _opposite(models: dict[str, Model], model: Model, field: Field) -> str | None:
    """The name of the other side of a relation's *field*."""
    related = models[field.type]
    name = field.relation and field.relation.name
    for other in related.fields.values():
        is_other_side = related is not model or other.name != field.name
        is_same_relation = other.type == model.name and (other.relation and other.relation.name) == name
        if other.kind == "object" and is_same_relation and is_other_side:
            return other.name
    return None
