"""`.env`, made from the template that explains every setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from agentdb import shipped
from agentdb.errors import InvalidInputError

__all__ = ["fill_template", "read_template", "unmentioned"]

_SETTING: Final = re.compile(r"^\s*#?\s*(?:export\s+)?(?P<name>[A-Z][A-Z0-9_]*)\s*=", re.MULTILINE)
_VARIABLE: Final = "${"
# What every reader of such files takes as it is: that of Python, that of Node and a shell.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_:/@.,?&=%+~-]*")


def read_template() -> str:
    """Return the template: a comment and a line that is commented out for each setting."""
    return shipped.env_template().read_text(encoding="utf-8")


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """
    Return *template* with *values* set.

    Args:
        template: Holds a line ``# NAME=an example`` for each name.
        values: By name, no line ends in them.

    Raises:
        InvalidInputError: A value would be read as another than it is.
    """
    lines = template.splitlines()
    for name, value in values.items():
        if _VARIABLE in value:
            raise InvalidInputError(
                name, f"holds {_VARIABLE}, with which a variable begins in .env, in quotes too. In a URL write %24{{."
            )
        (number,) = [number for number, line in enumerate(lines) if line.startswith(f"# {name}=")]
        lines[number] = f"{name}={_quoted(value)}"
    return "\n".join(lines) + "\n"


def unmentioned(template: str, text: str) -> list[str]:
    """Return the settings of *template* that *text*, a file `.env`, neither sets nor has in a comment; in its order."""
    known = {match["name"] for match in _SETTING.finditer(text)}
    return [match["name"] for match in _SETTING.finditer(template) if match["name"] not in known]


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    # Single quotes keep a shell from taking "$" for the beginning of a variable.
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
