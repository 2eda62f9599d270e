"""Which kind of table a table is, and what its columns mean: by their names, and by what stands together. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from agentdb.sqlite.kinds import IGNORE, KEY, KINDS, plain_name
from agentdb.sqlite.tables import Column, Table

__all__ = ["Sureness", "TablePlan", "recognize"]

Sureness = Literal["mapped", "certain", "likely", "no"]

_NAMED_WELL: Final = 3  # what a fitting name of the table is worth, in columns
_KEYS: Final = re.compile(
    r"(row_?)?(id|uuid|guid|pk)|(memory|task|execution|run|job|tool|metric|pattern|log|call|message|entry|record)_id"
)
# Columns of any table are called so: they tell nothing of its kind.
_ANYWHERE: Final = frozenset(
    {
        "type", "category", "kind", "status", "state", "score", "weight", "priority", "name", "key", "title", "desc",
        "description", "summary", "help", "doc", "metadata", "meta", "context", "extra", "attributes", "properties",
        "tags", "result", "results", "output", "response", "answer", "outcome", "success", "input", "data",
        "parameters", "params",
    }
)  # fmt: skip
# Tables of settings by key and value, whatever they are settings of; and no memory, though "memory_config" says so.
_SETTINGS: Final = re.compile(r"(config(uration)?|settings?|options|preferences|schema|versions?|meta(data)?|info)$")
_ASKED: Final = ("user_input", "user_message", "user_query", "question", "prompt", "query", "input", "human")
_ANSWERED: Final = (
    "agent_response", "assistant_response", "bot_response", "ai_response", "response", "answer", "reply", "output",
    "assistant",
)  # fmt: skip
_ONE_TEXT: Final = frozenset({"content", "memory", "text", "body", "message"})
_NUMBERS: Final = ("INT", "REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL")
_MEMORY_TYPES: Final = (
    (r"conversation|message|chat|dialog|interaction", "conversation"),
    (r"knowledge|facts?(_|$)", "fact"),
    (r"notes?(_|$)", "note"),
    (r"episod|event|experience", "episode"),
    (r"observation", "observation"),
    (r"reflection|thought", "reflection"),
    (r"insight", "insight"),
    (r"document", "document"),
)


@dataclass(frozen=True)
class TablePlan:
    """
    What becomes of a table.

    Attributes:
        kind: Its kind; "ignore": it is left out.
        targets: What becomes of each column: the name of a field, a field and a key of it as "metadata.source", "key"
            or "ignore".
        constants: What is the same in every row, by the same names.
        only: What columns have to hold for a row to be taken.
        importance_scale: The number that importance, or confidence, is divided by; None: what the column tells.
        sureness: "mapped": a person said so; "certain": name and columns fit; "likely": the columns do; "no".
        why: Why it is left out, or what told its kind.
    """

    table: Table
    kind: str
    targets: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)
    only: Mapping[str, object] = field(default_factory=dict)
    importance_scale: float | None = None
    sureness: Sureness = "no"
    why: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether its rows are imported."""
        return self.kind != IGNORE

    def columns_of(self, name: str) -> list[str]:
        """Return the columns that become the field *name*, in the table's order."""
        return [column.name for column in self.table.columns if self.targets.get(column.name) == name]


class _Candidate(NamedTuple):
    kind: str
    fields: dict[str, str]
    score: int
    is_named: bool
    tells: list[str]


def recognize(
    table: Table,
    *,
    kind: str | None = None,
    claimed: Mapping[str, str] | None = None,
    stated: Collection[str] = (),
) -> TablePlan:
    """
    Return what a table most likely is.

    Args:
        table: The table.
        kind: What it is known to be; None: find out.
        claimed: Columns of which it is known what becomes of them.
        stated: Fields that no column has to be, for they are known otherwise.
    """
    claimed = claimed or {}
    known = {*claimed.values(), *stated}
    if kind is None and table.kind == "view":
        return _left_out(table, "a view: what it shows is in other tables; a mapping may name it")
    if kind is None and table.kind == "virtual":
        return _left_out(table, "a virtual table, as for full-text search; a mapping may name it")
    name = plain_name(table.name)
    columns = {plain_name(column.name) for column in table.columns}
    if kind is None and _SETTINGS.search(name) and {"key", "value"} <= columns:
        return _left_out(table, "settings by key and value; a mapping may name it")
    free = [column for column in table.columns if column.name not in claimed]
    candidates = [_candidate(key, name, table, free, known) for key in KINDS if kind in (None, key)]
    fitting = [each for each in candidates if kind is not None or (_is_whole(each, known) and _is_told(each))]
    if not fitting:
        return _left_out(table, _missing(candidates))
    best = max(fitting, key=lambda each: each.score)
    targets = _targets(table, best, claimed)
    constants: dict[str, object] = {}
    if best.kind == "memories" and "memory_type" not in targets.values() and (word := _memory_type(name)):
        constants["memory_type"] = word
    sure: Sureness = "mapped" if kind is not None else "certain" if best.is_named else "likely"
    return TablePlan(table, best.kind, targets, constants, sureness=sure, why=_reason(best))


def _candidate(key: str, table_name: str, table: Table, free: Sequence[Column], known: Collection[str]) -> _Candidate:
    kind = KINDS[key]
    is_named = kind.tables.search(table_name) is not None
    fields = _dialogue(free) if key == "memories" and "content" not in known else {}
    for name, field_ in kind.fields.items():
        if name not in known and name not in fields.values():
            column = _column_for(
                field_.columns, f"{_singular(key)}_", [each for each in free if each.name not in fields]
            )
            if column is not None:
                fields[column] = name
    if key == "metrics" and is_named and "value" not in {*known, *fields.values()}:
        fields |= _wide(free, fields, table)
    tells = [
        column for column, name in fields.items() if kind.fields[name].tells and plain_name(column) not in _ANYWHERE
    ]
    score = len(fields) + (_NAMED_WELL if is_named else 0)
    return _Candidate(key, fields, score, is_named, tells)


def _column_for(names: Sequence[str], prefix: str, free: Sequence[Column]) -> str | None:
    """Return the column that has the first of *names* that there is, with the prefix or without."""
    there = {plain_name(column.name): column.name for column in reversed(free)}
    return next((there[each] for name in names for each in (name, prefix + name) if each in there), None)


def _dialogue(free: Sequence[Column]) -> dict[str, str]:
    """Return the columns of what was asked and what was answered, where a row has both; they are one memory."""
    names = {plain_name(column.name): column.name for column in free}
    asked = next((names[name] for name in _ASKED if name in names), None)
    answered = next((names[name] for name in _ANSWERED if name in names), None)
    if asked is None or answered is None or _ONE_TEXT & names.keys():
        return {}
    return {asked: "content", answered: "content"}


def _wide(free: Sequence[Column], fields: Mapping[str, str], table: Table) -> dict[str, str]:
    """Return the columns with a number each, where every column is a metric of its own and a row a moment."""
    if "recorded_at" not in fields.values():
        return {}
    return {
        column.name: "value"
        for column in free
        if column.type.startswith(_NUMBERS)
        and column.name not in table.key
        and fields.get(column.name) in (None, "name")
        and not plain_name(column.name).endswith("id")
    }


def _is_whole(candidate: _Candidate, known: Collection[str]) -> bool:
    there = {*candidate.fields.values(), *known}
    return all(name in there for name, field_ in KINDS[candidate.kind].fields.items() if field_.is_required)


def _is_told(candidate: _Candidate) -> bool:
    if candidate.kind == "calls" and not {"success", "at", "arguments"} & {*candidate.fields.values()}:
        return False  # a table of totals, a row for each tool
    return candidate.is_named or bool(candidate.tells)


def _targets(table: Table, best: _Candidate, claimed: Mapping[str, str]) -> dict[str, str]:
    rest = KINDS[best.kind].rest
    targets: dict[str, str] = {}
    for column in table.columns:
        known = claimed.get(column.name) or best.fields.get(column.name)
        if known is None and _is_only_key(column, table):
            known = KEY
        if known is None and (column.is_generated or not rest):
            known = IGNORE
        targets[column.name] = known or f"{rest}.{column.name}"
    return targets


def _is_only_key(column: Column, table: Table) -> bool:
    """Return whether a column does no more than tell rows apart."""
    is_named_so = _KEYS.fullmatch(plain_name(column.name)) is not None
    return table.key == (column.name,) and (is_named_so or column.type == "INTEGER")


def _memory_type(name: str) -> str | None:
    return next((word for pattern, word in _MEMORY_TYPES if re.search(pattern, name)), None)


def _singular(kind: str) -> str:
    return "memory" if kind == "memories" else "task" if kind == "executions" else kind.removesuffix("s")


def _left_out(table: Table, why: str) -> TablePlan:
    return TablePlan(table, IGNORE, why=why)


def _missing(candidates: Sequence[_Candidate]) -> str:
    """Return why a table is none that is known."""
    named = next((each for each in candidates if each.is_named), None)
    if named is None:
        return "neither its name nor its columns are those of a kind that is known"
    wanted = [
        name
        for name, field_ in KINDS[named.kind].fields.items()
        if field_.is_required and name not in named.fields.values()
    ]
    if not wanted:
        return f"its name is one of {named.kind}, and its columns are not"
    return f"its name is one of {named.kind}, and no column is known as {' or '.join(wanted)}"


def _reason(best: _Candidate) -> str:
    if best.is_named:
        return "by its name and columns"
    return f"by its columns {', '.join(best.tells)}"
