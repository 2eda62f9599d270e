"""
The compiler's SELECT statements, taken apart and put together again. Pure.

An argument is one character of the text, a *hole*, so that a statement can be cut, moved and repeated as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agentdb.engine import plan

IDENTIFIER = r'"(?:[^"]|"")+"'

# Characters that no name has; they stand for arguments.
_FIRST_HOLE, _LAST_HOLE = 0xF0000, 0xFFFFD
HOLE = f"[{chr(_FIRST_HOLE)}-{chr(_LAST_HOLE)}]"
_HOLES = re.compile(f"({HOLE})")


class Hole(NamedTuple):
    """An argument: the fragment that consumes it, its value and its type."""

    fragment: plan.Fragment
    value: plan.PlanValue
    type: plan.ArgumentType | None


class Ordering(NamedTuple):
    """An item of ORDER BY; *direction* is all that follows its expression, ``DESC NULLS LAST`` for one."""

    expression: str
    direction: str


@dataclass(frozen=True, slots=True)
class Select:
    """
    ``SELECT … FROM … WHERE … [ORDER BY …] [LIMIT n] OFFSET n``.

    Attributes:
        columns: Name of each result column -> its expression.
        source: What follows FROM: a table, and joins with it.
        condition: What follows WHERE.
        page: The text of LIMIT and OFFSET.
        holes: Character -> the argument it stands for, of all the texts.
    """

    columns: Mapping[str, str]
    source: str
    condition: str
    order: tuple[Ordering, ...]
    page: str
    holes: Mapping[str, Hole]

    @property
    def is_whole(self) -> bool:
        """Whether it answers every row: it has no LIMIT, and its OFFSET is 0."""
        holes = _HOLES.findall(self.page)
        return len(holes) == 1 and self.holes[holes[0]].value == "0"

    def text(self) -> str:
        """Return the whole statement."""
        columns = ", ".join(self.columns.values())
        order = ", ".join(f"{each.expression} {each.direction}" for each in self.order)
        tail = (f" ORDER BY {order}" if order else "") + self.page
        return f"SELECT {columns} FROM {self.source} WHERE {self.condition}{tail}"


def quoted(name: str) -> str:
    """Return a name as an identifier. Names are as they stand in the statement, their quotes doubled."""
    return f'"{name}"'


def read_select(template: plan.Template) -> Select | None:
    """Take a statement apart; None for one that is of another form."""
    opened = _open(template)
    if opened is None:
        return None
    text, holes = opened
    found = _SELECT.fullmatch(_outline(text))
    if found is None:
        return None
    part = {name: text[slice(*found.span(name))] for name in found.groupdict()}
    items = items_of(part["columns"])
    columns = {name[1][1:-1]: item for item in items if (name := _COLUMN_NAME.fullmatch(item))}
    order = [_ORDERING.fullmatch(item) for item in items_of(part["order"])] if part["order"] else []
    orderings = tuple(Ordering(each[1], each[2]) for each in order if each)
    if len(columns) < len(items) or len(orderings) < len(order):
        return None
    return Select(columns, part["source"], part["condition"], orderings, part["page"], holes)


def write_template(text: str, holes: Mapping[str, Hole]) -> plan.Template:
    """Make the statement of a text and its holes."""
    fragments: list[plan.Fragment] = []
    arguments: list[Hole] = []
    for piece in filter(None, _HOLES.split(text)):
        hole = holes.get(piece)
        fragments.append(plan.Chunk(piece) if hole is None else hole.fragment)
        if hole is not None:
            arguments.append(hole)
    return plan.Template(
        tuple(fragments), tuple(hole.value for hole in arguments), tuple(hole.type for hole in arguments)
    )


def _open(template: plan.Template) -> tuple[str, Mapping[str, Hole]] | None:
    """Return the text with its holes; None if some text already has such a character."""
    arguments = zip(template.arguments, template.types, strict=True)
    holes: dict[str, Hole] = {}
    text: list[str] = []
    for fragment in template.fragments:
        if isinstance(fragment, plan.Chunk):
            if _HOLES.search(fragment.text):
                return None
            text.append(fragment.text)
        else:
            character = chr(_FIRST_HOLE + len(holes))
            holes[character] = Hole(fragment, *next(arguments))
            text.append(character)
    return "".join(text), holes


# -- the grammar: keywords and commas count only outside quotes and parentheses ----------------------------------------

_SELECT = re.compile(
    r"SELECT (?P<columns>(?:(?! FROM ).)+) FROM (?P<source>(?:(?! WHERE ).)+) WHERE (?P<condition>.+?)"
    rf"(?: ORDER BY (?P<order>.+?))?(?P<page>(?: LIMIT {HOLE})? OFFSET {HOLE})",
    re.DOTALL,
)
_ORDERING = re.compile(r"(.+?) ?((?:ASC|DESC)(?: NULLS (?:FIRST|LAST))?)", re.DOTALL)
# An alias, or a column's own name, which it keeps when it is cast.
_COLUMN_NAME = re.compile(rf".*?({IDENTIFIER})(?:::\w+(?:\[\])?)?", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"]|"")*"' + r"|'(?:[^']|'')*'")
_INNERMOST = re.compile(r"\([^()]*\)")


def _outline(text: str) -> str:
    """Return *text* with all that stands in quotes or parentheses blotted out, character for character."""
    outline, count = _QUOTED.sub(_blot, text), 1
    while count:
        outline, count = _INNERMOST.subn(_blot, outline)
    return outline


def _blot(found: re.Match[str]) -> str:
    return "_" * len(found[0])


def items_of(text: str) -> list[str]:
    """Split a list at its outermost commas."""
    cuts = [found.span() for found in re.finditer(", ?", _outline(text))]
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]
