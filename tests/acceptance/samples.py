"""Finds the code blocks of a Markdown file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """One code block: where it stands and what it says."""

    language: str
    title: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.title} (line {self.line})"


def samples(path: Path, language: str) -> list[Sample]:
    """Return the blocks of *language* in *path*, in order, each under its nearest heading."""
    text = path.read_text(encoding="utf-8")
    headings = [(match.start(), match["title"]) for match in _HEADING.finditer(text)]
    found = []
    for match in _BLOCK.finditer(text):
        if match["language"] == language:
            title = [heading for start, heading in headings if start < match.start()][-1]
            found.append(Sample(language, title, text.count("\n", 0, match.start()) + 2, match["code"]))
    return found
