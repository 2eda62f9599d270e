"""Maps records of columns to records of fields, for results that were joined or processed before: pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agentdb.engine import plan
from agentdb.engine.readers import Enums, record_reader

MapValue = Callable[[Any], Any]


def map_shape(shape: plan.Shape, enums: Enums) -> MapValue:
    """Return the function that gives a value the form *shape*."""
    match shape:
        case plan.AffectedRowsShape():
            return lambda count: {"count": count}
        case plan.FieldShape(column):
            one = _map_object(plan.ObjectShape({"value": shape}, None, skip_nulls=False), enums)
            return lambda value: one({column: value})["value"]
        case plan.ObjectShape():
            return _map_object(shape, enums)


def json_shape(shape: plan.Shape) -> plan.Shape:
    """Return *shape* with its values as they stand in a JSON response."""
    match shape:
        case plan.FieldShape():
            return replace(shape, is_json=True)
        case plan.ObjectShape(fields):
            return replace(shape, fields={name: json_shape(field) for name, field in fields.items()})
        case _:
            return shape


def _map_object(shape: plan.ObjectShape, enums: Enums) -> MapValue:
    read = record_reader(shape, enums, lambda name, inner: _nested(name, inner, enums))
    skips_nulls = shape.skip_nulls

    def many(value: Any) -> Any:
        if isinstance(value, str):
            value = json.loads(value)
        if isinstance(value, list):
            return read([record for record in value if record is not None] if skips_nulls else value)
        return None if value is None else read([value])[0]

    return many


def _nested(name: str, shape: plan.Shape, enums: Enums) -> MapValue:
    if not isinstance(shape, plan.ObjectShape):
        raise plan.UnknownPlanError(f"The query compiler put a row count into field {name!r}.")
    return _map_object(shape, enums)
