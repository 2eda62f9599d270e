"""
What a plan does to records in memory: join, distinct, cursor, pagination, difference. Pure functions on dictionaries.

A record is a mutable dict of column -> the value as the driver delivers it. Two records are compared by the tuple of
some of their columns, as the database would with ``IS NOT DISTINCT FROM``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID

from agentdb.engine.values import _bytes, utc

Rec = dict[str, Any]
Key = tuple[Any, ...]


def key_of(record: Mapping[str, Any], columns: Sequence[str]) -> Key:
    """Return the values of *columns*, hashable."""
    return tuple([_hashable(record[column]) for column in columns])


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def loose(key: Key) -> Key:
    """Return *key* as text: for the rare join between columns of different types."""
    return tuple([None if part is None else str(part) for part in key])


def as_list(value: Any) -> list[Any]:
    """Return *value* if it is a list, else a list of it."""
    return value if isinstance(value, list) else [value]


def attach(
    parents: Rec | list[Rec],
    children: Rec | list[Rec] | None,
    *,
    on: Sequence[tuple[str, str]],
    field: str,
    is_unique: bool,
    has_strict_keys: bool,
) -> None:
    """
    Give every parent its children under *field*: a record or None if *is_unique*, else a list in the order given.

    Args:
        on: Pairs of (parent column, child column) that are equal.
        has_strict_keys: False when the two columns may be of different types.
    """
    parent_key = _key_reader([parent for parent, _ in on], has_strict_keys)
    child_key = _key_reader([child for _, child in on], has_strict_keys)
    groups: dict[Any, list[Rec]] = {}
    for child in as_list(children):
        if child is not None:
            groups.setdefault(child_key(child), []).append(child)
    for parent in as_list(parents):
        found = groups.get(parent_key(parent))
        if is_unique:
            parent[field] = found[-1] if found else None
        else:
            parent[field] = [*found] if found else []


def _key_reader(columns: Sequence[str], is_strict: bool) -> Callable[[Rec], Any]:
    """Return the function that tells a record's key; relations have no lists in their keys, so it is hashable."""
    if not columns:  # nothing is to be joined, as with `take: 0`
        return lambda _record: ()
    read = itemgetter(*columns)
    if is_strict:
        return read
    return (lambda record: loose((read(record),))) if len(columns) == 1 else (lambda record: loose(read(record)))


def have_keys(parents: Rec | list[Rec], on: Sequence[tuple[str, str]]) -> bool:
    """Whether any parent can have children by *on*, as for `attach`: one with a null in its key has none."""
    columns = [parent for parent, _ in on]
    return any(None not in [parent[column] for column in columns] for parent in as_list(parents))


def map_field(value: Any, field: str) -> Any:
    """Return *field* of a record, of each of a list of records, or *value* itself when it is neither."""
    if isinstance(value, list):
        return [map_field(item, field) for item in value]
    return value.get(field) if isinstance(value, dict) else value


def difference(source: Any, other: Any, fields: Sequence[str]) -> list[Any]:
    """Return the records of *source* that *other* lacks, compared by *fields*, in their order."""
    known = {None if item is None else key_of(item, fields) for item in as_list(other)}
    return [item for item in as_list(source) if (None if item is None else key_of(item, fields)) not in known]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list; *cursor* (column -> value) names its first record before *skip*."""

    cursor: Mapping[str, Any] | None
    take: int | None
    skip: int | None


@dataclass(frozen=True, slots=True)
class Ops:
    """In-memory operations with every value known; the fields are those of the plan's ``Operations``."""

    page: Page | None
    distinct: tuple[str, ...] | None
    linking_fields: tuple[str, ...] | None
    is_reversed: bool
    nested: Mapping[str, Ops]


def process(value: Any, ops: Ops) -> Any:
    """Apply *ops* to one record (which they may remove) or to a list of records."""
    if value is None:
        return None
    return _process_many(value, ops) if isinstance(value, list) else _process_one(value, ops)


def _process_one(record: Rec, ops: Ops) -> Rec | None:
    page = ops.page
    if page is not None and (
        (page.skip or 0) > 0 or page.take == 0 or (page.cursor is not None and not _matches(record, page.cursor))
    ):
        return None
    return _process_nested(record, ops)


def _process_many(records: list[Rec], ops: Ops) -> list[Rec]:
    if ops.distinct is not None:
        records = _distinct(records, ops.distinct + (ops.linking_fields or ()))
    if ops.page is not None:
        page = ops.page
        groups = [records] if ops.linking_fields is None else _groups(records, ops.linking_fields)
        records = [record for group in groups for record in _slice(group, page)]
    if ops.is_reversed:
        records = records[::-1]
    return [_process_nested(record, ops) for record in records] if ops.nested else records


def _process_nested(record: Rec, ops: Ops) -> Rec:
    for field, nested in ops.nested.items():
        record[field] = process(record[field], nested)
    return record


def _distinct(records: Iterable[Rec], columns: Sequence[str]) -> list[Rec]:
    first: dict[Key, Rec] = {}
    for record in records:
        first.setdefault(key_of(record, columns), record)
    return list(first.values())


def _groups(records: Iterable[Rec], columns: Sequence[str]) -> Iterable[list[Rec]]:
    groups: dict[Key, list[Rec]] = {}
    for record in records:
        groups.setdefault(key_of(record, columns), []).append(record)
    return groups.values()


def _slice(records: list[Rec], page: Page) -> list[Rec]:
    start = 0
    if page.cursor is not None:
        found = (index for index, record in enumerate(records) if _matches(record, page.cursor))
        start = next(found, len(records))
    start += page.skip or 0
    return records[start:] if page.take is None else records[start : start + page.take]


def _matches(record: Rec, cursor: Mapping[str, Any]) -> bool:
    return all(_equals(record[column], value) for column, value in cursor.items())


def _equals(stored: Any, given: Any) -> bool:
    """Compare a value from the database with one from a request, which may be the text of it."""
    match stored:
        case datetime() | date() | time():
            return utc(stored) == utc(given)
        case UUID():
            return stored == (given if isinstance(given, UUID) else UUID(str(given)))
        case bytes():
            return stored == _bytes(given)
        case bool() | None:
            return bool(stored == given)
        case int() | float() | Decimal():
            return Decimal(str(stored)) == Decimal(str(given))
        case _:
            return bool(stored == given or str(stored) == str(given))
