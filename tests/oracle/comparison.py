"""What counts as the same: answers, tables and errors, each in one canonical form."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agentdb.engine.schema import Datamodel, Model
from tests.oracle.database import State
from tests.oracle.reads import Path

NOW_MARGIN = timedelta(minutes=10)

# -- what Prisma made up -------------------------------------------------------------------------------------------

_MADE_UP = re.compile(
    r"c[a-z0-9]{24}"  # cuid()
    r"|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"  # uuid()
)
_NANOID = re.compile(r"[\w-]{21}|[\w-]{8}")  # nanoid() and nanoid(8): no other value has these lengths
_NANOID_COLUMN = re.compile(r'("nanoid(?:_8)?":)"[\w-]{21}"|("nanoid(?:_8)?":)"[\w-]{8}"')
_STAMP = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00)?")


def _masked_text(text: str) -> str:
    return "<made up>" if _NANOID.fullmatch(text) else _MADE_UP.sub("<made up>", text)


def _is_now(moment: datetime) -> bool:
    return abs(datetime.now(UTC) - moment) < NOW_MARGIN


def _masked_stamp(found: re.Match[str]) -> str:
    moment = datetime.fromisoformat(found[0])
    return "<now>" if _is_now(moment.replace(tzinfo=UTC)) else found[0]


def _masked_row(row: str) -> str:
    row = _NANOID_COLUMN.sub(lambda found: f'{found[1] or found[2]}"<made up>"', row)
    return _STAMP.sub(_masked_stamp, _MADE_UP.sub("<made up>", row))


def tables_difference(ours: State, theirs: State) -> str | None:
    """Tell which rows only one side has; None if there are none."""
    found = []
    for table in ours:
        if ours[table] == theirs[table]:
            continue
        mine, other = sorted(map(_masked_row, ours[table])), sorted(map(_masked_row, theirs[table]))
        if mine != other:
            found.append(f"table {table}\n  ours:   {_without(mine, other)}\n  prisma: {_without(other, mine)}")
    return "\n".join(found) or None


def _without(rows: list[str], others: list[str]) -> str:
    only = Counter(rows) - Counter(others)
    return "\n          ".join(only.elements()) or "-"


# -- answers ---------------------------------------------------------------------------------------------------------


def answers_difference(ours: Any, theirs: Any, model: Model, datamodel: Datamodel, bags: frozenset[Path]) -> str | None:
    """Tell where two results of one call differ; None if nowhere."""
    return _first_difference(
        _in_order(_canonical(ours, model, datamodel), (), bags), _in_order(_untagged(theirs), (), bags), "result"
    )


def _untagged(value: Any) -> Any:
    """The canonical form of Prisma's answer, whose values say their types."""
    match value:
        case {"$type": str(type_), "value": inner}:
            return _scalar(inner, type_)
        case dict():
            return {key: _untagged(item) for key, item in value.items()}
        case list():
            return [_untagged(item) for item in value]
        case str():
            return _masked_text(value)
        case _:
            return value


def _canonical(value: Any, model: Model, datamodel: Datamodel) -> Any:
    """The canonical form of our answer, whose values are of the types that *model* says."""
    if isinstance(value, list):
        return [_canonical(item, model, datamodel) for item in value]
    if not isinstance(value, Mapping):
        return value
    record: dict[str, Any] = {}
    for name, item in value.items():
        field = model.fields.get(name)
        if field is None:  # `count`, or the fields under an aggregate
            record[name] = _canonical(item, model, datamodel)
        elif field.kind == "object":
            record[name] = _canonical(item, datamodel.models[field.type], datamodel)
        else:
            record[name] = (
                [_scalar(one, field.type) for one in item] if isinstance(item, list) else _scalar(item, field.type)
            )
    return record


def _scalar(value: Any, type_: str) -> Any:
    if value is None:
        return None
    match type_:
        case "DateTime" if isinstance(value, str | datetime):
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
            return "<now>" if _is_now(moment) else moment.isoformat()
        case "Decimal" if isinstance(value, str | Decimal):
            return f"Decimal({Decimal(value).normalize():f})"
        case "BigInt" if isinstance(value, str):
            return int(value)
        case "Json" if isinstance(value, str):
            return f"Json({json.dumps(json.loads(value), sort_keys=True)})"
        case _:
            return _masked_text(value) if isinstance(value, str) else value


def _in_order(value: Any, path: Path, bags: frozenset[Path]) -> Any:
    """Sort the lists whose order the call left open."""
    if isinstance(value, list):
        items = [_in_order(item, path, bags) for item in value]
        return sorted(items, key=repr) if path in bags else items
    if isinstance(value, dict):
        return {key: _in_order(value[key], (*path, key), bags) for key in sorted(value)}
    # JSON does not tell 3.0 from 3.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _first_difference(ours: Any, theirs: Any, where: str) -> str | None:
    match ours, theirs:
        case dict(), dict() if ours.keys() == theirs.keys():
            found = (_first_difference(ours[key], theirs[key], f"{where}.{key}") for key in ours)
        case list(), list() if len(ours) == len(theirs):
            found = (
                _first_difference(*both, f"{where}[{place}]")
                for place, both in enumerate(zip(ours, theirs, strict=True))
            )
        case _ if ours == theirs and type(ours) is type(theirs):
            return None
        case _:
            return f"at {where}\n  ours:   {ours!r}\n  prisma: {theirs!r}"
    return next((difference for difference in found if difference is not None), None)
