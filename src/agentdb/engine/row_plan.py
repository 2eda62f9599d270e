"""Reads what one row of a ``createMany`` puts into its columns out of the compiler's plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agentdb.engine import plan


@dataclass(frozen=True, slots=True)
class Cell:
    """
    What a row puts into one column.

    Attributes:
        before: The SQL before the value, ``CAST(`` for one.
        after: The SQL behind it.
        value: The value itself.
        type: The compiler's name of the column's type; None where *after* says what the value is.
    """

    before: str
    after: str
    value: plan.PlanValue
    type: str | None


@dataclass(frozen=True, slots=True)
class RowPlan:
    """
    The insertion of one row.

    Attributes:
        table: The table's name, as SQL writes it.
        cells: Column, as SQL writes it -> what comes into it.
        tail: What stands behind the row: nothing, or ``ON CONFLICT DO NOTHING``.
    """

    table: str
    cells: Mapping[str, Cell]
    tail: str


_IDENTIFIER = r'"(?:[^"]|"")*"'
_INSERT = re.compile(
    rf"INSERT INTO ({_IDENTIFIER}(?:\.{_IDENTIFIER})?) \(({_IDENTIFIER}(?:,{_IDENTIFIER})*)\) VALUES \("
)
_MARK = "\0"


def read_row_plan(node: plan.Node) -> RowPlan | None:
    """Read the plan of a ``createMany`` of one row; None if it is not the insertion of plain values."""
    generated: dict[str, plan.PlanValue] = {}
    match node:
        case plan.DataMap(plan.Let(bindings, plan.Execute(template)), plan.AffectedRowsShape()):
            for name, binding in bindings:
                if not isinstance(binding, plan.Value):
                    return None
                generated[name] = binding.value
        case plan.DataMap(plan.Execute(template), plan.AffectedRowsShape()):
            pass
        case _:
            return None
    if any(isinstance(each, plan.ParameterTuple | plan.ParameterTupleList) for each in template.fragments):
        return None
    text = "".join([each.text if isinstance(each, plan.Chunk) else _MARK for each in template.fragments])
    head = _INSERT.match(text)
    if head is None:
        return None
    columns = re.findall(_IDENTIFIER, head[2])
    texts, tail = _split_row(text, head.end())
    if len(texts) != len(columns) or _MARK in tail:
        return None
    arguments = iter(zip(template.arguments, template.types, strict=True))
    cells = {}
    for column, cell in zip(columns, texts, strict=True):
        before, mark, after = cell.partition(_MARK)
        if not mark:
            return None  # DEFAULT, which only a row of VALUES can say
        value, type_ = next(arguments)
        if isinstance(value, plan.Placeholder):
            value = generated.get(value.name, value)
        cells[column] = Cell(before, after, value, None if type_ is None else type_.db_type)
    return RowPlan(head[1], cells, tail)


def _split_row(text: str, start: int) -> tuple[list[str], str]:
    """Split the row that starts at *start* into its cells, and what comes behind its closing parenthesis."""
    cells: list[str] = []
    depth, begin, place = 0, start, start
    while place < len(text):
        character = text[place]
        if character == '"':
            place = text.index('"', place + 1)
        elif character == "(":
            depth += 1
        elif character == ")":
            if depth == 0:
                return [*cells, text[begin:place]], text[place + 1 :]
            depth -= 1
        elif character == "," and depth == 0:
            cells.append(text[begin:place])
            begin = place + 1
        place += 1
    return [], ""
