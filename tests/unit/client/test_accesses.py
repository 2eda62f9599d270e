"""Counting recalls off the path of those who recall."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from agentdb.client.memory.accesses import Access, Accesses
from agentdb.errors import ConnectionFailedError


class Table:
    """Where the counts go; fails on demand, and holds a write up until it is let go."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.writes = 0
        self.fails = False
        self.held: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def write(self, ids: Sequence[str], accesses: Sequence[Access]) -> list[str]:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise ConnectionFailedError
        self.writes += 1
        counts = dict(zip(ids, (access.times for access in accesses), strict=True))
        self.counts.update({id: times for id, times in counts.items() if id not in self.held})
        return [id for id in ids if id in self.held]


async def test_what_gathers_is_written_once() -> None:
    """After the delay; meanwhile it is pending."""
    table = Table()
    accesses = Accesses(table.write, 0.01)

    for _ in range(5):
        accesses.note(["a", "b"])
    accesses.note(["a"])
    pending = accesses.pending("a")
    assert pending is not None
    assert pending.times == 6
    assert accesses.pending("c") is None
    await asyncio.sleep(0.1)

    assert table.counts == {"a": 6, "b": 5}
    assert table.writes == 1
    assert accesses.pending("a") is None


async def test_what_is_on_its_way_is_still_pending() -> None:
    """A reader at that moment sees neither too much nor too little."""
    table = Table()
    table.gate = asyncio.Event()
    accesses = Accesses(table.write, 0.001)
    accesses.note(["a"])
    await asyncio.sleep(0.02)
    accesses.note(["a"])

    pending = accesses.pending("a")
    assert pending is not None
    assert pending.times == 2
    table.gate.set()
    await accesses.flush()
    assert table.counts == {"a": 2}


async def test_a_failure_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and tried again with what came since."""
    table = Table()
    table.fails = True
    accesses = Accesses(table.write, 0.001)
    accesses.note(["a"])
    await asyncio.sleep(0.01)
    accesses.note(["a", "b"])
    table.fails = False
    await accesses.flush()

    assert table.counts == {"a": 2, "b": 1}
    assert "recalls could not be counted yet" in caplog.text


async def test_more_than_travel_well_go_in_parts() -> None:
    """A thousand at a time."""
    table = Table()
    accesses = Accesses(table.write, 60)
    accesses.note([str(number) for number in range(2500)])
    await accesses.flush()

    assert table.writes == 3
    assert len(table.counts) == 2500


async def test_nothing_recalled_nothing_written() -> None:
    """No timer, no task."""
    table = Table()
    accesses = Accesses(table.write, 0.001)
    accesses.note([])
    await asyncio.sleep(0.01)
    await accesses.flush()

    assert table.writes == 0


async def test_what_is_held_elsewhere_is_counted_later() -> None:
    """Nobody waits for it, and none of it is lost."""
    table = Table()
    table.held = {"a"}
    accesses = Accesses(table.write, 60)
    accesses.note(["a", "b"])
    await accesses.flush()
    assert table.counts == {"b": 1}

    table.held = set()
    accesses.note(["a"])
    await accesses.flush()
    assert table.counts == {"a": 2, "b": 1}


async def test_a_cancelled_write_loses_nothing() -> None:
    """What was on its way is gathered again."""
    table = Table()
    table.gate = asyncio.Event()
    accesses = Accesses(table.write, 60)
    accesses.note(["a"])
    flushing = asyncio.create_task(accesses.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.wait([flushing])

    table.gate.set()
    await accesses.flush()
    assert table.counts == {"a": 1}
