"""Maps records of columns to records of fields, for results that were joined or processed before: pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agentdb.engine import plan
from agentdb.engine.binding import Enums, field_converts

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


def _map_object(shape: plan.ObjectShape, enums: Enums) -> MapValue:
    scalars = [(name, field) for name, field in shape.fields.items() if isinstance(field, plan.FieldShape)]
    columns = [(name, field.column) for name, field in scalars]
    converts, lists = field_converts(scalars, enums, [None] * len(scalars))
    others = [(name, field) for name, field in shape.fields.items() if not isinstance(field, plan.FieldShape)]
    nested = [(name, _nested(name, field, enums)) for name, field in others]

    def one(record: Mapping[str, Any]) -> dict[str, Any]:
        fields = {name: record[column] for name, column in columns}
        for name, convert in converts:
            value = fields[name]
            if value is not None:
                fields[name] = convert(value)
        for name, convert in lists:
            fields[name] = convert(fields[name])
        for name, read in nested:
            fields[name] = read(record)
        return fields

    def many(value: Any) -> Any:
        if isinstance(value, str):
            value = json.loads(value)
        if isinstance(value, list):
            return [one(record) for record in value if record is not None or not shape.skip_nulls]
        return None if value is None else one(value)

    return many


def _nested(name: str, shape: plan.Shape, enums: Enums) -> Callable[[Mapping[str, Any]], Any]:
    if not isinstance(shape, plan.ObjectShape):
        raise plan.UnknownPlanError(f"The query compiler put a row count into field {name!r}.")
    read, source = _map_object(shape, enums), shape.source
    return read if source is None else lambda record: read(record[source])
