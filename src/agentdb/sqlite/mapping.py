"""
What a person says of a file's tables, as TOML. Pure, but for reading the file.

::

    timezone = "Europe/Berlin"            # of times that name none; UTC if it is not said
    embedding_model = "all-MiniLM-L6-v2"  # what made the embeddings, which are left out if it is not said

    [tables.facts]
    kind = "memories"                     # or tools, calls, executions, metrics, patterns, ignore
    importance_scale = 10                 # from 0 to this; what the column tells, if it is not said

    [tables.facts.columns]
    number = "key"                        # tells rows apart; the primary key, if it is not said
    fact = "content"
    stars = "importance"
    source = "metadata.origin"            # under another name
    scratch = "ignore"

    [tables.facts.constants]
    memory_type = "fact"

    [tables.facts.only]
    agent = "researcher"                  # only the rows that have this

What it does not say of a table or a column is recognised as without it.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from agentdb.errors import InvalidInputError
from agentdb.sqlite.kinds import IGNORE, KEY, KINDS
from agentdb.sqlite.recognition import TablePlan, recognize
from agentdb.sqlite.tables import Table
from agentdb.validation import check_text

__all__ = ["Mapping", "TableMapping", "load_mapping", "mapping_text", "plan_tables", "read_mapping"]

_SETTINGS: Final = ("timezone", "embedding_model", "tables")
_TABLE_SETTINGS: Final = ("kind", "importance_scale", "columns", "constants", "only")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SEVERAL: Final = {"memories": ("content", "metadata"), "metrics": ("value", "labels")}
"""Fields that several columns may become: they are joined, or a point each."""


@dataclass(frozen=True)
class TableMapping:
    """
    What is said of one table.

    Attributes:
        kind: memories, tools, calls, executions, metrics, patterns or ignore; None: what is recognised.
        columns: What becomes of columns, by their names: a field, a key of the rest such as "metadata.origin", "key" or
            "ignore". What becomes of the others is recognised.
        constants: What is the same in every row, by field.
        only: What columns have to hold for a row to be taken.
        importance_scale: Importance, or confidence, is from 0 to this; None: what the column tells.
    """

    kind: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)
    only: dict[str, object] = field(default_factory=dict)
    importance_scale: float | None = None


@dataclass(frozen=True)
class Mapping:
    """
    What is said of a file.

    Attributes:
        tables: What is said of its tables, by their names; the others are recognised.
        timezone: Of times that name none, as "Europe/Berlin".
        embedding_model: What made the embeddings; None: they are left out, unless a column says it.
    """

    tables: dict[str, TableMapping] = field(default_factory=dict)
    timezone: str = "UTC"
    embedding_model: str | None = None


def load_mapping(path: str | os.PathLike[str]) -> Mapping:
    """
    Return the mapping that a TOML file holds.

    Raises:
        InvalidInputError: The file cannot be read, or `read_mapping` refuses it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            "mapping", f"{path} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    return read_mapping(text)


def read_mapping(text: str) -> Mapping:
    """
    Return the mapping that *text* holds.

    Raises:
        InvalidInputError: It is no TOML, or names a setting, a kind or a time zone that there is not.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError("mapping", f"is not TOML: {error}.") from error
    _check_names(values, _SETTINGS, "mapping", "a setting")
    zone = _text(values.get("timezone", "UTC"), "mapping.timezone")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        raise InvalidInputError(
            "mapping.timezone", 'is not a time zone that is known, as "Europe/Berlin" is.'
        ) from None
    model = values.get("embedding_model")
    tables = _object(values.get("tables", {}), "mapping.tables")
    return Mapping(
        {name: _table(each, f"mapping.tables.{name}") for name, each in tables.items()},
        zone,
        None if model is None else _text(model, "mapping.embedding_model"),
    )


def plan_tables(tables: Sequence[Table], mapping: Mapping) -> list[TablePlan]:
    """
    Return what becomes of each table.

    Raises:
        InvalidInputError: The mapping names a table, a column or a field that there is not, or leaves out what a table
            of its kind has to have.
    """
    known = {table.name: table for table in tables}
    _check_names(mapping.tables, known, "mapping.tables", "a table of the file")
    return [_plan(table, mapping.tables.get(table.name)) for table in tables]


def mapping_text(plans: Iterable[TablePlan], mapping: Mapping) -> str:
    """Return the mapping that says what *plans* do, to be edited."""
    lines = [f"timezone = {_toml(mapping.timezone)}"]
    if mapping.embedding_model is None:
        lines.append('# embedding_model = "..."  what made the embeddings; they are left out without')
    else:
        lines.append(f"embedding_model = {_toml(mapping.embedding_model)}")
    for plan in plans:
        place = f"tables.{_key(plan.table.name)}"
        lines += ["", f"[{place}]  # {_comment(plan)}", f"kind = {_toml(plan.kind)}"]
        if plan.importance_scale is not None:
            lines.append(f"importance_scale = {_toml(plan.importance_scale)}")
        parts = {"columns": plan.targets, "constants": plan.constants, "only": plan.only}
        for part, values in parts.items():
            if values and plan.is_taken:
                lines += ["", f"[{place}.{part}]", *(f"{_key(key)} = {_toml(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _plan(table: Table, said: TableMapping | None) -> TablePlan:
    if said is None:
        return recognize(table)
    place = f"mapping.tables.{table.name}"
    if said.kind == IGNORE:
        return TablePlan(table, IGNORE, sureness="mapped", why="the mapping leaves it out")
    _check_names(said.columns, [column.name for column in table.columns], f"{place}.columns", "a column of the table")
    _check_names(said.only, [column.name for column in table.columns], f"{place}.only", "a column of the table")
    kind = said.kind or recognize(table).kind
    if kind == IGNORE:
        raise InvalidInputError(
            f"{place}.kind", f"is missing: {recognize(table).why}. It is one of {', '.join(KINDS)}."
        )
    plan = recognize(table, kind=kind, claimed=said.columns, stated=said.constants.keys())
    for column, target in said.columns.items():
        _check_target(target, kind, f"{place}.columns.{column}")
    for name in said.constants:
        _check_target(name, kind, f"{place}.constants.{name}")
    plan = replace(
        plan,
        constants={name: value for name, value in plan.constants.items() if name not in plan.targets.values()}
        | said.constants,
        only=said.only,
        importance_scale=said.importance_scale,
        why="by the mapping",
    )
    _check_plan(plan, place)
    return plan


def _check_plan(plan: TablePlan, place: str) -> None:
    fields = KINDS[plan.kind].fields
    there = [target for target in plan.targets.values() if target not in (KEY, IGNORE) and "." not in target]
    twice = next((name for name in there if there.count(name) > 1 and name not in _SEVERAL.get(plan.kind, ())), None)
    if twice is not None:
        raise InvalidInputError(f"{place}.columns", f"say twice what {twice} is.")
    for name, known in fields.items():
        if known.is_required and name not in {*there, *plan.constants}:
            raise InvalidInputError(
                f"{place}.columns", f"do not say which column is {name}, which {plan.kind} have to have."
            )


def _check_target(target: str, kind: str, place: str) -> None:
    name, _, key = target.partition(".")
    rest = KINDS[kind].rest
    if target in (KEY, IGNORE) or (
        name in KINDS[kind].fields and ((not key and "." not in target) or (key and name == rest))
    ):
        return
    possible = [*KINDS[kind].fields, *([f"{rest}.NAME"] if rest else []), KEY, IGNORE]
    raise InvalidInputError(place, f"{target[:100]!r} is no field of {kind}. There are {', '.join(possible)}.")


def _table(values: object, place: str) -> TableMapping:
    said = _object(values, place)
    _check_names(said, _TABLE_SETTINGS, place, "a setting of a table")
    kind = said.get("kind")
    if kind is not None and kind not in (*KINDS, IGNORE):
        raise InvalidInputError(f"{place}.kind", f"is none of {', '.join(KINDS)}, {IGNORE}.")
    scale = said.get("importance_scale")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < 1e9):
        raise InvalidInputError(f"{place}.importance_scale", "expected a number above 0.")
    columns = _object(said.get("columns", {}), f"{place}.columns")
    constants = dict(_flat(_object(said.get("constants", {}), f"{place}.constants")))
    only = _object(said.get("only", {}), f"{place}.only")
    for part, every in (("constants", constants), ("only", only)):
        for name, value in every.items():
            if not isinstance(value, str | int | float):
                raise InvalidInputError(f"{place}.{part}.{name}", "expected text, a number, true or false.")
    return TableMapping(
        kind,
        {name: _text(target, f"{place}.columns.{name}") for name, target in columns.items()},
        constants,
        only,
        None if scale is None else float(scale),
    )


def _flat(values: dict[str, Any], before: str = "") -> Iterable[tuple[str, object]]:
    """Yield dotted names: TOML reads ``metadata.source = 1`` as a table in a table."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _check_names(named: Iterable[str], known: Iterable[str], place: str, what: str) -> None:
    choices = list(known)
    for name in named:
        if name not in choices:
            near = difflib.get_close_matches(name, choices, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(choices)[:300] or 'none'}."
            raise InvalidInputError(place, f"{name[:100]!r} is not {what}.{hint}")


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInputError(place, "expected a table.")
    return value


def _text(value: object, place: str) -> str:
    return check_text(value, place)


def _comment(plan: TablePlan) -> str:
    why = plan.why if plan.sureness in ("mapped", "no") else f"{plan.sureness}: {plan.why}"
    return " ".join(why.split())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
