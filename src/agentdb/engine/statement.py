"""
The SQL text of one statement of a plan. Pure.

Most statements have one text, settled when the plan is compiled. ``IN (…)`` becomes ``= ANY($n)``, so that one text and
one prepared statement serve lists of every length. What cannot be written so is rendered at each run, its lists padded
to powers of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentdb.engine import plan

MAX_PARAMETERS = 32767
"""The most parameters of one statement: the protocol counts them in 16 bits, and Prisma leaves the sign bit alone."""


class TooManyParametersError(Exception):
    """A statement would need more parameters than PostgreSQL takes."""


@dataclass(frozen=True, slots=True)
class SettledText:
    """
    A statement with its text settled.

    Attributes:
        sql: The text, parameters as $1, $2 …
        arguments: What each parameter is.
        lists: The places of those that are lists compared with ``= ANY``: their items need not repeat.
    """

    sql: str
    arguments: tuple[plan.PlanValue, ...]
    lists: frozenset[int]


def settle(template: plan.Template) -> SettledText | None:
    """Return the statement with its text settled; None when the text depends on the arguments."""
    text: list[str] = [""]
    arguments: list[plan.PlanValue] = []
    lists: set[int] = set()
    values = iter(template.arguments)
    for fragment in template.fragments:
        if isinstance(fragment, plan.Chunk):
            text.append(fragment.text)
            continue
        value = next(values)
        place = f"${len(arguments) + 1}"
        if isinstance(fragment, plan.ParameterTuple):
            comparison = _as_array_comparison(text[-1], fragment)
            if comparison is None:
                return None
            text[-1] = comparison
            lists.add(len(arguments))
            place += ")"
        elif isinstance(fragment, plan.ParameterTupleList):
            return None
        elif _is_inline(value, text[-1]):
            text.append(str(value))
            continue
        arguments.append(value)
        text.append(place)
    return SettledText("".join(text), tuple(arguments), frozenset(lists))


def _as_array_comparison(before: str, fragment: plan.ParameterTuple) -> str | None:
    """Rewrite the text before a list: ``x IN`` to ``x = ANY(``, ``x NOT IN`` to ``x <> ALL(``. None: it is neither."""
    if fragment.prefix or fragment.suffix:
        return None
    if before.endswith(" NOT IN "):
        return before.removesuffix(" NOT IN ") + " <> ALL("
    if before.endswith(" IN "):
        return before.removesuffix(" IN ") + " = ANY("
    return None


def _is_inline(value: plan.PlanValue, before: str) -> bool:
    """
    Whether a constant of the plan stands in the text: LIMIT does, where the server's planner sees it, and OFFSET 0.

    Another OFFSET is a parameter, or every page that somebody turns would be a statement to prepare.
    """
    if not (isinstance(value, str) and value.isdigit()):
        return False
    return before.endswith(" LIMIT ") or (value == "0" and before.endswith(" OFFSET "))


def render(template: plan.Template, values: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """
    Render a statement whose text depends on its arguments.

    Returns:
        One (SQL, arguments) pair; several when the list of tuples is too long for one statement.

    Raises:
        TooManyParametersError: The parameters that cannot be split are too many.
    """
    consumers = [fragment for fragment in template.fragments if not isinstance(fragment, plan.Chunk)]
    tuples = next((place for place, each in enumerate(consumers) if isinstance(each, plan.ParameterTupleList)), None)
    if tuples is None or not values[tuples]:
        return [_render(template, values)]
    rows = values[tuples]
    room = (MAX_PARAMETERS - len(values)) // max(1, max(map(len, rows)))
    chunks = [rows[start : start + room] for start in range(0, len(rows), room)]
    return [_render(template, [*values[:tuples], chunk, *values[tuples + 1 :]]) for chunk in chunks]


def _render(template: plan.Template, values: Sequence[Any]) -> tuple[str, list[Any]]:
    text: list[str] = []
    flat: list[Any] = []

    def place(value: Any) -> str:
        flat.append(value)
        return f"${len(flat)}"

    arguments = iter(values)
    for fragment in template.fragments:
        match fragment:
            case plan.Chunk(chunk):
                text.append(chunk)
            case plan.Parameter():
                text.append(place(next(arguments)))
            case plan.ParameterTuple(prefix, separator, suffix):
                items = padded(next(arguments))
                inner = separator.join([f"{prefix}{place(item)}{suffix}" for item in items])
                text.append(f"({inner or 'NULL'})")
            case plan.ParameterTupleList(prefix, separator, suffix, group_separator):
                groups = [f"{prefix}{separator.join(map(place, row))}{suffix}" for row in next(arguments)]
                text.append(group_separator.join(groups))
    if len(flat) > MAX_PARAMETERS:
        raise TooManyParametersError
    return "".join(text), flat


def padded(values: Any) -> list[Any]:
    """Return the items, the last one repeated up to a power of two: few texts for lists of many lengths."""
    items = values if isinstance(values, list) else [values]
    if len(items) < 3:
        return items
    return items + [items[-1]] * ((1 << (len(items) - 1).bit_length()) - len(items))
