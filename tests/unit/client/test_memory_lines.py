"""The lines of an export: sealed and opened."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import InvalidInputError
from agentdb.client.memory.lines import MEMORIES, MOST_CHARACTERS, LineReader, LineWriter

HEADER = {"format": MEMORIES.format, "version": MEMORIES.version}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def written(documents: list[dict[str, Any]]) -> list[str]:
    writer = LineWriter()
    return [*(writer.line(document, "it") for document in [HEADER, *documents]), writer.trailer()]


def read(lines: list[str]) -> list[dict[str, Any]]:
    reader = LineReader()
    found = [values for line in lines if (values := reader.read(line)) is not None]
    reader.end()
    return found


@given(st.lists(st.dictionaries(TEXT.filter(lambda name: name != "sha256"), JSON, min_size=1, max_size=4), max_size=4))
def test_what_was_written_is_read(documents: list[dict[str, Any]]) -> None:
    """Whatever JSON holds; a line is one line."""
    lines = written(documents)

    assert read(lines) == [HEADER, *documents]
    assert read([f"{line}\n" for line in lines]) == [HEADER, *documents]
    assert not any("\n" in line or "\r" in line for line in lines)


def test_a_checksum_is_what_the_documentation_says() -> None:
    """So that others can write and check it: of canonical JSON, and of all checksums."""
    lines = written([{"b": "é", "a": [1.5]}])
    checksums = [json.loads(line)["sha256"] for line in lines]

    assert lines[1].startswith('{"a":[1.5],"b":"é","sha256":"')
    assert checksums[1] == hashlib.sha256('{"a":[1.5],"b":"é"}'.encode()).hexdigest()
    assert checksums[2] == hashlib.sha256("".join(checksums[:2]).encode()).hexdigest()
    assert json.loads(lines[2])["memories"] == 1


@given(st.data())
def test_no_character_can_be_changed(data: st.DataObject) -> None:
    """Changed, taken out or put in anywhere, it is refused or says the same."""
    lines = written([{"n": n, "text": "Größe\n"} for n in range(2)])
    text = "\n".join(lines)
    place = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.sampled_from(['"', "0", "a", "\\", " ", "\n", "é", "\ud800", ""]))
    rest = place + data.draw(st.integers(0, 1))

    try:
        found = read((text[:place] + new + text[rest:]).split("\n"))
    except InvalidInputError:
        return
    assert found == read(lines)


@pytest.mark.parametrize("document", [{"x": "\x00"}, {"x": ["\ud800"]}, {"x": float("nan")}, {"x": b""}])
def test_nothing_is_written_that_cannot_be_read(document: dict[str, Any]) -> None:
    """The writer names what it could not write."""
    with pytest.raises(InvalidInputError, match=r"memory 7\.x"):
        LineWriter().line(document, "memory 7")


def test_the_longest_line() -> None:
    """What is written is short enough to be read."""
    room = MOST_CHARACTERS - len(written([{"x": ""}])[1])
    longest = written([{"x": "x" * room}])

    assert len(longest[1]) == MOST_CHARACTERS
    assert len(read(longest)) == 2
    with pytest.raises(InvalidInputError, match="16,000,000"):
        written([{"x": "x" * (room + 1)}])


def test_empty_lines_count() -> None:
    """A place is a line of the file."""
    reader = LineReader()
    lines = written([{"x": 1}])
    for line in (lines[0], "", lines[1]):
        reader.read(line)

    assert reader.place == "line 3"
    with pytest.raises(InvalidInputError, match="line 4: is missing"):
        reader.end()
