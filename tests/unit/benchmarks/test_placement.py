"""Where the processes of a measurement run."""

from __future__ import annotations

import os

import pytest

from benchmarks import placement
from benchmarks.placement import Placement

SERVER, CLIENT = 100, 200


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """Where each process was put, on a machine with processors 2 and 3; 0 is this process."""
    found: dict[int, set[int]] = {}
    monkeypatch.setattr(placement, "_place", found.__setitem__)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 2}, raising=False)
    return found


def test_puts_all_on_one_processor_and_lets_them_go_again(places: dict[int, set[int]]) -> None:
    """One call at a time runs on the processor of the server."""
    made = Placement(SERVER)
    made.add(CLIENT)

    made.together()
    assert places == {SERVER: {3}, 0: {3}, CLIENT: {3}}
    assert made.description == "client and server share processor 3"

    made.apart()
    assert places == {SERVER: {3}, 0: {2}, CLIENT: {2}}

    made.remove(CLIENT)
    made.release()
    assert places == {SERVER: {2, 3}, 0: {2, 3}, CLIENT: {2}}


def test_leaves_them_where_the_system_cannot_or_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails where processes cannot be placed, and the table says so."""
    monkeypatch.setattr(placement, "_place", None)
    made = Placement(SERVER)
    made.together()
    assert made.description == "left to the scheduler"

    def refuse(process: int, processors: set[int]) -> None:
        raise PermissionError

    monkeypatch.setattr(placement, "_place", refuse)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    made = Placement(SERVER)
    made.together()
    assert made.description == "left to the scheduler"
