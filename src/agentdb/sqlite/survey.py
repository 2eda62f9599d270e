"""What the values of a table's columns tell of what they mean: on which scale, of how many agents."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from agentdb.sqlite.kinds import IGNORE, KINDS, plain_name
from agentdb.sqlite.opening import READING_ERRORS, unreadable
from agentdb.sqlite.recognition import TablePlan
from agentdb.sqlite.tables import sql_name
from agentdb.sqlite.values import SCALES, scale_of

__all__ = ["Survey", "names_of_tools", "survey", "without_double_counts"]

_SHARES: Final = ("importance", "confidence")
_TIMES: Final = {
    "memories": ("occurred_at",),
    "executions": ("started_at", "finished_at"),
    "metrics": ("recorded_at",),
    "calls": ("at",),
    "patterns": ("created_at",),
}
_TOTALS: Final = ("calls", "successes", "success_rate", "duration_ms", "duration_seconds")
_AGENTS: Final = ("agent", "agent_name", "agent_id")
_NUMBERS_OF: Final = """
SELECT min(v), max(v) FROM (
    SELECT CAST({column} AS REAL) AS v FROM {table}
    WHERE typeof({column}) IN ('integer', 'real') OR typeof({column}) = 'text' AND {column} GLOB '[-.0-9]*'
)
"""


class Survey(NamedTuple):
    """
    What a table is, now that its values were looked at.

    Attributes:
        rows: How many there are.
        scale: What importance, or confidence, is divided by.
        notes: What a reader should know.
    """

    plan: TablePlan
    rows: int
    scale: float
    notes: list[str]


def survey(connection: sqlite3.Connection, plan: TablePlan) -> Survey:
    """
    Look at the values of a table.

    Raises:
        InvalidInputError: A page of it cannot be read.
    """
    table, notes, scale = plan.table, _notes(plan), plan.importance_scale
    try:
        (rows,) = connection.execute(f"SELECT count(*) FROM {sql_name(table.name)}").fetchone()
        for column in table.columns:
            name = column.name
            if plan.targets.get(name) in _SHARES and scale is None:
                sql = _NUMBERS_OF.format(column=sql_name(name), table=sql_name(table.name))
                least, greatest = connection.execute(sql).fetchone()
                scale = scale_of(least, greatest)
                if scale is None:
                    plan = _kept_apart(plan, name)
                    notes.append(f"{name} goes from {least:g} to {greatest:g}, which is no scale that is known")
                elif scale != SCALES[0]:
                    notes.append(f"{name} goes from {least:g} to {greatest:g}: divided by {scale:g}")
            elif plain_name(name) in _AGENTS and name not in plan.only:
                sql = f"SELECT count(DISTINCT {sql_name(name)}) FROM {sql_name(table.name)}"
                (agents,) = connection.execute(sql).fetchone()
                if agents > 1:
                    notes.append(f"{name} names {agents} agents; `only` in a mapping takes the rows of one")
    except READING_ERRORS as error:
        raise unreadable(error) from error
    return Survey(plan, rows, scale or SCALES[0], notes)


def without_double_counts(connection: sqlite3.Connection, plans: Sequence[TablePlan]) -> list[TablePlan]:
    """Return *plans* so that calls of tools which are imported one by one do not count again as a tool's total."""
    if not any(plan.kind == "calls" and _has_rows(connection, plan) for plan in plans):
        return list(plans)
    return [
        replace(
            plan,
            targets={name: IGNORE if target in _TOTALS else target for name, target in plan.targets.items()},
            why=f"{plan.why}; its totals are left out, for they are counted from the calls",
        )
        if plan.kind == "tools" and {*plan.targets.values()} & {*_TOTALS}
        else plan
        for plan in plans
    ]


def names_of_tools(connection: sqlite3.Connection, plans: Sequence[TablePlan]) -> dict[object, str]:
    """Return the names of the tools that the file has, by their keys: calls may name a tool by its key."""
    names: dict[object, str] = {}
    for plan in plans:
        columns = plan.columns_of("name")
        if plan.kind == "tools" and len(plan.table.key) == 1 and columns and columns != [*plan.table.key]:
            key, name, table = map(sql_name, (*plan.table.key, *columns, plan.table.name))
            sql = f"SELECT {key}, {name} FROM {table} WHERE typeof({name}) = 'text' AND {key} IS NOT NULL"
            try:
                for number, said in connection.execute(sql):
                    names |= {number: said, str(number): said}
            except READING_ERRORS:
                pass  # what is said when the table itself is read
    return names


def _has_rows(connection: sqlite3.Connection, plan: TablePlan) -> bool:
    try:
        return connection.execute(f"SELECT 1 FROM {sql_name(plan.table.name)} LIMIT 1").fetchone() is not None
    except READING_ERRORS:
        return False


def _notes(plan: TablePlan) -> list[str]:
    notes = []
    if unplaced := _unplaced(plan):
        notes.append(f"left out, since {plan.kind} have no place for it: {', '.join(unplaced)}")
    times = _TIMES.get(plan.kind, ())
    if times and not any(plan.columns_of(name) for name in times):
        notes.append("no column says when: the time of the import")
    notes += [
        f"{name} is taken as seconds; a mapping may say duration_ms"
        for name in plan.columns_of("duration_seconds")
        if "sec" not in plain_name(name)
    ]
    values = plan.columns_of("value")
    if len(values) > 1:
        notes.append(f"each row is {len(values)} points, a metric for each column")
    return notes


def _unplaced(plan: TablePlan) -> list[str]:
    """Return the columns that are left out, though nobody said so and nothing else tells the same."""
    if plan.sureness == "mapped" or KINDS[plan.kind].rest:
        return []
    totals = {name for total in _TOTALS for name in KINDS[plan.kind].fields[total].columns}
    return [
        column.name
        for column in plan.table.columns
        if plan.targets[column.name] == IGNORE and not column.is_generated and plain_name(column.name) not in totals
    ]


def _kept_apart(plan: TablePlan, column: str) -> TablePlan:
    """Return *plan* with a column among those that have no field."""
    rest = KINDS[plan.kind].rest
    return replace(plan, targets={**plan.targets, column: f"{rest}.{column}"})
