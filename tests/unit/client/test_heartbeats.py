"""Which executions run here, told now and then, without a database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agentdb import AgentDBError, ConflictError, ConnectionFailedError, QueryTimeoutError
from agentdb.client.execution.heartbeats import Heartbeats


async def test_an_end_that_is_slow_to_fail_holds_up_no_heartbeat() -> None:
    """Else the others would be taken for abandoned; ends are tried side by side."""
    events: list[str] = []

    async def beat(running: Sequence[str]) -> Sequence[str]:
        events.append("beat")
        return running

    async def write() -> None:
        events.append("end begins")
        await asyncio.sleep(0.01)
        events.append("end fails")
        raise QueryTimeoutError

    heartbeats = Heartbeats(beat, 0.005)
    heartbeats.begin("e1")
    for number in range(2):
        heartbeats.end_later(f"e{number + 2}", write)
    await asyncio.sleep(0.012)
    heartbeats.forget()
    await asyncio.sleep(0.02)

    assert events[:5] == ["beat", "end begins", "end begins", "end fails", "end fails"]


@pytest.mark.parametrize(
    ("error", "unwritten", "is_told"),
    [(ConnectionFailedError(), 1, False), (ConflictError(), 0, False), (AgentDBError("no"), 0, True)],
)
async def test_an_end_that_will_never_be_written_is_given_up(
    error: AgentDBError, unwritten: int, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """That is logged, unless it is there already; one that another try may write is kept."""

    async def beat(running: Sequence[str]) -> Sequence[str]:
        return running

    async def write() -> None:
        raise error

    heartbeats = Heartbeats(beat, 60)
    heartbeats.begin("e1")
    heartbeats.end_later("e1", write)
    await heartbeats.flush()

    assert heartbeats.unwritten == unwritten
    assert heartbeats.running == ["e1"] * unwritten
    assert ("given up" in caplog.text) == is_told
    heartbeats.forget()
