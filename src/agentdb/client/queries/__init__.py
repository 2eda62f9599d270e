"""
Named SQL: what Prisma's query API cannot say, or says in more than one round trip.

A file holds blocks, each opened by `-- name: …` and a line of purpose. `{{x}}` in a block stands for the text of the
file's `-- fragment: x`, or of files that its first line names: `-- uses: memories`. Every block takes the organization
as $1; a test enumerates them.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

__all__ = ["Bound", "Written", "load_queries", "row_offset", "row_step", "write_out"]

_USES = re.compile(r"-- uses: (\w+(?:, \w+)*)\n")
_BLOCK = re.compile(r"^-- (name|fragment): (\w+)\n", re.MULTILINE)
_FRAGMENT = re.compile(r"\{\{(\w+)\}\}")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)
_PARAMETER = re.compile(r"\$(\d+)")
_LARGEST_WRITTEN: Final = 16_000
_STEPS: Final = (1, 5, 10, 20, 50, 100, 200, 500, 1000)


class Written(str):
    """A text that `write_out` writes out: for what the planner has to know, as the predicate of an index."""

    __slots__ = ()


class Bound(int):
    """A number that `write_out` leaves a parameter: it has too many values for a statement each."""


def load_queries(name: str) -> Mapping[str, str]:
    """
    Return the blocks of `<name>.sql` by their names.

    A block with the fragment `memories` is there twice: as `x`, which reads the table, and as `x_filtered`, which reads
    the fragment `memories_filtered` in its place.
    """
    texts, fragments = _read(name)
    blocks = {block: _filled(text, fragments) for block, text in texts.items()}
    fragments["memories"] = fragments.get("memories_filtered", "")
    filtered = {block: _filled(text, fragments) for block, text in texts.items()}
    return blocks | {f"{block}_filtered": text for block, text in filtered.items() if text != blocks[block]}


def _read(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return blocks and fragments of a file as they are written, and with them the fragments that it uses."""
    data = pkgutil.get_data(__name__, f"{name}.sql")
    assert data is not None  # only a loader that cannot read data returns None
    source = data.decode()
    uses = _USES.match(source)
    blocks: dict[str, str] = {}
    fragments: dict[str, str] = {}
    for used in uses[1].split(", ") if uses else ():
        fragments |= _read(used)[1]
    _, *parts = _BLOCK.split(source)
    for kind, block, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        target = blocks if kind == "name" else fragments
        target[block] = _COMMENT.sub("", text).strip()
    return blocks, fragments


def _filled(text: str, fragments: Mapping[str, str]) -> str:
    """Return *text* with every fragment in its place, and theirs in them."""
    while "{{" in text:
        text = _FRAGMENT.sub(lambda match: fragments[match[1]], text)
    return text


def write_out(sql: str, *arguments: object) -> tuple[str, list[object]]:
    """
    Return *sql* with what is not asked for written out, and the arguments that remain parameters.

    PostgreSQL takes an optional filter or a LIMIT that are parameters for dear, and so makes a new plan for each call:
    0.1 to 0.2 ms, as much as the rest of a short query. Written out, `NULL IS NULL OR …` is gone before the planning.

    Args:
        sql: A block; $1 stays, it is the organization.
        arguments: The values of $2, $3 …: None, booleans, whole numbers up to 16,000 and `Written` are written out.
    """
    constants = tuple(_written(argument) for argument in arguments)
    rest = [argument for argument, constant in zip(arguments, constants, strict=True) if constant is None]
    return _specialized(sql, constants), rest


def row_step(limit: int) -> int:
    """Return the next larger of a few limits: each is a statement of its own, which a session keeps."""
    return next(step for step in _STEPS if step >= limit)


def row_offset(offset: int) -> int:
    """Return *offset* as a parameter, unless it is none: then the plan serves every call."""
    return Bound(offset) if offset else 0


def _written(argument: object) -> str | None:
    if argument is None:
        return "NULL"
    if isinstance(argument, int) and 0 <= argument <= _LARGEST_WRITTEN and not isinstance(argument, Bound):
        return str(argument).lower()
    if isinstance(argument, Written):
        # an escape string means the same whatever the session's standard_conforming_strings
        return "E'" + argument.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return None


@lru_cache(maxsize=512)
def _specialized(sql: str, constants: tuple[str | None, ...]) -> str:
    numbers = iter(range(2, len(constants) + 2))
    texts = ["$1", *(f"${next(numbers)}" if constant is None else constant for constant in constants)]
    return _PARAMETER.sub(lambda match: texts[int(match[1]) - 1], sql)
