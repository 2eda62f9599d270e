"""Maps records of columns to records of fields, for results that were joined or processed before: pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agentdb.engine import plan
from agentdb.engine.statement import field_decoder

Enums = Mapping[str, Mapping[str, str]]


def map_shape(shape: plan.Shape, enums: Enums) -> Callable[[Any], Any]:
    """Return the function that gives a value the form *shape*."""
    match shape:
        case plan.AffectedRowsShape():
            return lambda count: {"count": count}
        case plan.FieldShape():
            convert = field_decoder(shape, enums, None)
            return convert or (lambda value: value)
        case plan.ObjectShape():
            return _map_object(shape, enums)


def _map_object(shape: plan.ObjectShape, enums: Enums) -> Callable[[Any], Any]:
    fields = [_field(name, field, enums) for name, field in shape.fields.items()]

    def one(record: Mapping[str, Any]) -> dict[str, Any]:
        return {name: read(record) for name, read in fields}

    def many(value: Any) -> Any:
        if isinstance(value, str):
            value = json.loads(value)
        if isinstance(value, list):
            return [one(record) for record in value if record is not None or not shape.skip_nulls]
        return None if value is None else one(value)

    return many


def _field(name: str, shape: plan.Shape, enums: Enums) -> tuple[str, Callable[[Mapping[str, Any]], Any]]:
    convert = map_shape(shape, enums)
    match shape:
        case plan.FieldShape(column):
            return name, lambda record: convert(record[column])
        case plan.ObjectShape(source=None):
            return name, convert
        case plan.ObjectShape(source=source):
            return name, lambda record: convert(record[source])
        case _:
            raise plan.UnknownPlanError(f"The query compiler put a row count into field {name!r}.")
