"""Row ids."""

from __future__ import annotations

import os
import random
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.ids import keyed_uuid, parse_uuid, uuid7_text


def test_uuid7_is_unique_rises_and_holds_the_time() -> None:
    """Ids of one process sort in the order in which they were made."""
    before = time.time_ns() // 1_000_000
    made = [uuid7_text() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000

    assert made == sorted(set(made))
    first = uuid.UUID(made[0])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)
    assert before <= first.int >> 80 <= after


def test_uuid7_rises_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order within a process does not depend on the clock."""
    first = uuid7_text()
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert uuid7_text() > first


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_other_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the same instant, and whatever the application seeds."""
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    random.seed(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        random.seed(1)
        os.write(writing, uuid7_text().encode())
        os._exit(0)
    os.waitpid(child, 0)

    theirs, ours = os.read(reading, 36).decode(), uuid7_text()
    os.close(reading)
    os.close(writing)
    assert theirs[:18] == ours[:18]
    assert theirs != ours


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_keyed_uuid_is_a_function_of_its_parts(one: list[str], other: list[str]) -> None:
    """Equal parts give one id, other parts another, wherever they are cut."""
    one, other = ([part.encode(errors="replace").decode() for part in parts] for parts in (one, other))

    assert keyed_uuid(*one) == keyed_uuid(*one)
    assert (keyed_uuid(*one) == keyed_uuid(*other)) == (one == other)
    assert (keyed_uuid(*one).version, keyed_uuid(*one).variant) == (8, uuid.RFC_4122)


@pytest.mark.parametrize("text", ["", "x", 7, None, "0" * 31])
def test_what_is_no_uuid_is_none(text: object) -> None:
    """A look-up by it can answer "not found"."""
    assert parse_uuid(text) is None
    assert parse_uuid(str(uuid.UUID(int=7))) == uuid.UUID(int=7) == parse_uuid(uuid.UUID(int=7))
