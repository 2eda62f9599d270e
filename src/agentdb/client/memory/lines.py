"""
The lines of an export of memories: JSON, each sealed with a checksum. Pure.

::

    {"agent_id":…,"agents":[…],"exported_at":…,"format":"agentdb-memories","organization_id":…,"version":1,"sha256":…}
    {"access_count":0,"agent_id":…,"content":…, … ,"visibility":"agent","sha256":…}
    {"memories":1,"sha256":…}

A memory that was exported as it is encrypted has "sealed" in place of "content" and "metadata". If encrypted ones were
left out, the last line says how many, as "omitted".

A line's checksum is the SHA-256 of the rest of it as canonical JSON: keys sorted, no spaces, UTF-8. The last line's is
that of the checksums of all lines before it, one after the other as they are written.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from agentdb.errors import InvalidInputError
from agentdb.validation import check_json, parse_json

__all__ = ["MEMORIES", "MOST_CHARACTERS", "Layout", "LineReader", "LineWriter"]


class Layout(NamedTuple):
    """
    What an export is called in its first and last line.

    Attributes:
        format: The "format" of the first line.
        version: The "version" there.
        counted: What the last line counts: all lines but itself and the first.
    """

    format: str
    version: int
    counted: str


MEMORIES: Final = Layout("agentdb-memories", 1, "memories")
MOST_CHARACTERS: Final = 16_000_000
"""Of a line. A content of a million characters takes six million at most."""

_SEAL: Final = "sha256"
_SEAL_CHARACTERS: Final = 76
_OMITTED: Final = "omitted"


class LineWriter:
    """Seals the lines of one export."""

    def __init__(self, layout: Layout = MEMORIES) -> None:
        self._layout = layout
        self._checksums = hashlib.sha256()
        self._count = -1  # the header does not count

    def line(self, values: dict[str, Any], what: str) -> str:
        """
        Return the next line, the header first.

        Raises:
            InvalidInputError: No import would take it; *what* names it.
        """
        text = check_json(values, what)
        if len(text) + _SEAL_CHARACTERS > MOST_CHARACTERS:
            raise InvalidInputError(what, f"is too long to export: a line has at most {MOST_CHARACTERS:,} characters.")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        self._checksums.update(checksum.encode())
        self._count += 1
        return f'{text[:-1]},"{_SEAL}":"{checksum}"}}'

    def trailer(self, omitted: int = 0) -> str:
        """Return the last line; *omitted* says how many encrypted memories were left out."""
        left_out = f',"{_OMITTED}":{omitted}' if omitted else ""
        return f'{{"{self._layout.counted}":{self._count}{left_out},"{_SEAL}":"{self._checksums.hexdigest()}"}}'


class LineReader:
    """
    Opens the lines of one export: parses them and verifies their checksums.

    Attributes:
        number: Of the line that was read last, from 1.
    """

    def __init__(self, layout: Layout = MEMORIES) -> None:
        self.number: int = 0
        self._layout = layout
        self._trailer = {layout.counted, _SEAL}
        self._checksums = hashlib.sha256()
        self._count = -1
        self._is_finished = False

    @property
    def place(self) -> str:
        """What errors call the line that was read last."""
        return f"line {self.number}"

    def read(self, line: object) -> dict[str, Any] | None:
        """
        Return what the next line holds, the header first; None for the last line, and for an empty one.

        Raises:
            InvalidInputError: It is not what was exported.
        """
        self.number += 1
        text = self._text(line)
        if not text:
            return None
        if self._is_finished:
            raise self._refusal("stands after the end of the export.")
        values = self._parsed(text)
        if self._count < 0:
            self._check_format(values)
        elif values.keys() - {_OMITTED} == self._trailer:
            self._finish(values)
            return None
        return self._unsealed(values)

    def end(self) -> None:
        """
        Note that there are no more lines.

        Raises:
            InvalidInputError: The last one was not among them.
        """
        if self._count < 0:
            raise InvalidInputError("line 1", "is missing: there is nothing to import.")
        if not self._is_finished:
            raise InvalidInputError(f"line {self.number + 1}", "is missing: the export was cut off before its end.")

    def _text(self, line: object) -> str:
        if not isinstance(line, str):
            raise self._refusal(f"expected text, got {type(line).__name__}.")
        if len(line) > MOST_CHARACTERS:
            raise self._refusal(f"has more than {MOST_CHARACTERS:,} characters.")
        return line.strip(" \t\r\n")

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            values = parse_json(text)
        except (TypeError, ValueError, RecursionError):  # a TypeError for a lone surrogate
            values = None
        if not isinstance(values, dict):
            raise self._refusal("is no JSON object.")
        return values

    def _check_format(self, values: dict[str, Any]) -> None:
        layout = self._layout
        if values.get("format") != layout.format:
            what = f"an export of {layout.counted}"
            raise self._refusal(f'is not the beginning of {what}: "format" is not "{layout.format}".')
        if values.get("version") != layout.version:
            raise self._refusal(f'"version" is not {layout.version}, the one that this agentdb can read.')

    def _unsealed(self, values: dict[str, Any]) -> dict[str, Any]:
        claimed = values.pop(_SEAL, None)
        checksum = hashlib.sha256(check_json(values, self.place).encode()).hexdigest()
        if claimed != checksum:
            raise self._refusal("was changed: its checksum is another.")
        self._checksums.update(checksum.encode())
        self._count += 1
        return values

    def _finish(self, trailer: dict[str, Any]) -> None:
        if trailer[self._layout.counted] != self._count or trailer[_SEAL] != self._checksums.hexdigest():
            raise self._refusal("does not fit the lines before it: some are missing, added or out of place.")
        self._is_finished = True

    def _refusal(self, reason: str) -> InvalidInputError:
        return InvalidInputError(self.place, reason)
