"""
Named SQL: what Prisma's query API cannot say, or says in more than one round trip.

A file holds blocks, each opened by `-- name: …` and a line of purpose. `{{x}}` in a block stands for the text of the
file's `-- fragment: x`. Every block takes the organization as $1; a test enumerates them.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping

__all__ = ["load_queries"]

_BLOCK = re.compile(r"^-- (name|fragment): (\w+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def load_queries(name: str) -> Mapping[str, str]:
    """Return the blocks of `<name>.sql` by their names."""
    source = pkgutil.get_data(__name__, f"{name}.sql")
    assert source is not None  # only a loader that cannot read data returns None
    _, *parts = _BLOCK.split(source.decode())
    blocks: dict[str, str] = {}
    fragments: dict[str, str] = {}
    for kind, block, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        target = blocks if kind == "name" else fragments
        target[block] = re.sub(r"\{\{(\w+)\}\}", lambda match: fragments[match[1]], _COMMENT.sub("", text).strip())
    return blocks
