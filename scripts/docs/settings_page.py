"""The page of settings, made of `.env.example`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ASSIGNMENT: Final = re.compile(r"# (?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


@dataclass(frozen=True)
class Setting:
    """
    Variables that are explained together.

    Attributes:
        names: Each variable, with the value that stands in the file.
        meaning: What they mean, with unit and default.
    """

    names: dict[str, str]
    meaning: str


def settings_page(text: str) -> str:
    """Return the Markdown of the settings that *text*, the file `.env.example`, tells of."""
    return "\n".join(_section(setting) for setting in read_settings(text))


def read_settings(text: str) -> list[Setting]:
    """Return the settings of *text*: blocks of comments, each ending with one variable or more."""
    settings = []
    for block in text.split("\n\n"):
        names, meaning = {}, []
        for line in filter(None, block.splitlines()):
            assignment = _ASSIGNMENT.fullmatch(line)
            if assignment:
                names[assignment["name"]] = assignment["value"]
            else:
                meaning.append(line.removeprefix("#").removeprefix(" "))
        if names:
            settings.append(Setting(names, " ".join(meaning)))
    return settings


def _section(setting: Setting) -> str:
    first, *others = setting.names
    heading = ", ".join(f"`{name}`" for name in setting.names)
    anchors = "".join(f'<span id="{name.lower()}"></span>' for name in others)
    values = "\n".join(f"{name}={value}" for name, value in setting.names.items())
    return f"## {heading} {{ #{first.lower()} }}\n\n{anchors}{setting.meaning}\n\n```bash\n{values}\n```\n"
