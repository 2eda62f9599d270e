"""Finds the code blocks of a Markdown page, and compares what was printed with what the page shows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    r"""
    ^(?P<indent>[ ]*)(?P<fence>`{3,})(?P<info>[^\n`]*)\n (?P<code>.*?) ^(?P=indent)(?P=fence)[ ]*$
    | ^<!--(?P<hidden_info>\w[^\n]*)\n (?P<hidden_code>.*?) ^-->$
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_HEADING = re.compile(r'^(?:#+ (?P<title>.+)| *=== "(?P<tab>.+)")$', re.MULTILINE)
_NUMBERS_VARY = re.compile(r"<!-- numbers vary -->\s*\Z")
_PIECE = re.compile(r"(?P<lines>^…\n)|(?P<text>…)|(?P<number>\d[\d,.]*(?P<unit> m?s\b)?)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """
    One code block.

    Attributes:
        language: The word behind the fence; empty for a drawing.
        title: The file that the reader saves it as; empty if it has none.
        heading: The heading or the tab that it stands under.
        line: Where its code begins, from 1.
        code: The code, without the block's own indentation.
        is_hidden: Whether it stands in a comment.
        numbers_vary: Whether the page says of this output that its numbers are an example.
    """

    language: str
    title: str
    heading: str
    line: int
    code: str
    is_hidden: bool
    numbers_vary: bool


def find_blocks(page: str) -> Iterator[Block]:
    """
    Yield the blocks of *page*, from top to bottom.

    Raises:
        ValueError: A block is not closed.
    """
    heading, end = "", 0
    for match in _BLOCK.finditer(page):
        between, end = page[end : match.start()], match.end()
        heading = next((found["title"] or found["tab"] for found in reversed([*_HEADING.finditer(between)])), heading)
        is_hidden = match["info"] is None
        info = match["hidden_info" if is_hidden else "info"].strip()
        title = re.search(r'\btitle="([^"]*)"', info)
        yield Block(
            language=info.partition(" ")[0],
            title=title[1] if title else "",
            heading=heading,
            line=page.count("\n", 0, match.start()) + 2,
            code=textwrap.dedent(match["hidden_code" if is_hidden else "code"]),
            is_hidden=is_hidden,
            numbers_vary=_NUMBERS_VARY.search(between) is not None,
        )
    if re.search(r"^ *```|^<!--\w", _BLOCK.sub("", page), re.MULTILINE):
        raise ValueError("a code block of the page is not closed, or is closed with another indentation")


def is_as_shown(shown: str, printed: str, *, numbers_vary: bool = False) -> bool:
    """
    Return whether *printed* is what the page shows.

    "…" stands for any text within a line, and alone in its line for any lines. Indentation and the number of blanks and
    of "─" do not matter, for it is what columns hold that makes them wide. With *numbers_vary* a number is any number,
    and a time may be one of seconds: the machine may have been busy.
    """

    def pattern(piece: re.Match[str]) -> str:
        if piece["number"]:
            return rf"\d[\d,.]*{' m?s' if piece['unit'] else ''}" if numbers_vary else re.escape(piece["number"])
        return r"(?:.*\n)*?" if piece["lines"] else ".*"

    shown, end, parts = _without_layout(shown), 0, []
    for piece in _PIECE.finditer(shown):
        parts += [re.escape(shown[end : piece.start()]), pattern(piece)]
        end = piece.end()
    return re.fullmatch("".join(parts) + re.escape(shown[end:]), _without_layout(printed)) is not None


def _without_layout(text: str) -> str:
    lines = (re.sub("─+", "─", re.sub(" +", " ", line)).strip() for line in text.strip("\n").splitlines())
    return "".join(f"{line}\n" for line in lines)
