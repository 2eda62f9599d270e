"""Steps on their way to the database, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agentdb import ConflictError, ConnectionFailedError, DatabaseError, NotConnectedError
from agentdb.client.execution import journal as journal_module
from agentdb.client.execution.journal import Journal
from agentdb.client.execution.steps import StepRow, new_step


class Database:
    """Writes what it is given, unless it is told to fail."""

    def __init__(self) -> None:
        self.written: list[StepRow] = []
        self.statements = 0
        self.error: BaseException | None = None
        self.poisoned: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def write(self, steps: Sequence[StepRow]) -> int:
        self.statements += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        if any(step.id in self.poisoned for step in steps):
            raise DatabaseError("refused", sqlstate="22P02")
        self.written += steps
        return len(steps)


def steps(count: int, execution_id: str | None = "e1") -> list[StepRow]:
    return [new_step("log", "info", "a", execution_id, message=f"{number}") for number in range(count)]


async def test_steps_are_written_together_a_moment_later() -> None:
    """In one statement, in their order."""
    database = Database()
    journal = Journal(database.write, 0.01)
    taken = steps(3)
    for step in taken:
        journal.put([step])

    assert len(journal) == 3
    await asyncio.sleep(0.05)
    assert (database.written, database.statements, len(journal)) == (taken, 1, 0)


async def test_those_of_an_execution_can_be_taken() -> None:
    """By whoever writes its end; the others stay."""
    journal = Journal(Database().write, 60)
    one, other = steps(2, "e1"), steps(1, "e2")
    journal.put([one[0], *other, one[1]])

    assert await journal.take("e1") == one
    assert await journal.take("e1") == []
    assert len(journal) == 1
    journal.forget()


async def test_taking_waits_for_those_that_are_on_their_way() -> None:
    """So that whoever reads after the end finds all of them."""
    database = Database()
    database.gate = asyncio.Event()
    journal = Journal(database.write, 0.001)
    journal.put(steps(2))
    await asyncio.sleep(0.02)
    taking = asyncio.create_task(journal.take("e1"))
    await asyncio.sleep(0.02)
    assert not taking.done()
    database.gate.set()

    assert await taking == []
    assert len(database.written) == 2


@pytest.mark.parametrize("error", [ConnectionFailedError(), DatabaseError(is_transient=True)])
async def test_what_another_try_may_write_waits(error: DatabaseError) -> None:
    """In its place, before what came since."""
    database = Database()
    database.error = error
    journal = Journal(database.write, 0.001)
    first = steps(2)
    journal.put(first)
    await asyncio.sleep(0.01)
    assert (len(journal), journal.lost) == (2, 0)
    database.error = None
    second = steps(1)
    journal.put(second)

    await journal.flush()

    assert database.written == [*first, *second]


async def test_a_step_that_is_refused_takes_no_other_with_it() -> None:
    """It is lost, and counted."""
    database = Database()
    journal = Journal(database.write, 60)
    taken = steps(100)
    database.poisoned = {taken[17].id, taken[80].id}
    journal.put(taken)

    await journal.flush()

    assert database.written == [step for step in taken if step.id not in database.poisoned]
    assert (journal.lost, len(journal)) == (2, 0)


async def test_others_do_not_keep_those_of_an_execution_waiting() -> None:
    """Neither who takes them nor a flush waits for what came later, though something always comes."""
    database = Database()
    journal = Journal(database.write, 0.001)
    batches = 0

    async def write(written: Sequence[StepRow]) -> int:
        nonlocal batches
        batches += 1
        if batches < 100:
            journal.put(steps(1, f"other {batches}"))
        await asyncio.sleep(0)
        return await database.write(written)

    journal = Journal(write, 0.001)
    journal.put(steps(2))
    await asyncio.sleep(0.002)
    await journal.take("e1")
    assert batches < 10

    batches = 0
    journal.put(steps(3, "e2"))
    await journal.flush()
    assert batches < 10
    assert [step.execution_id for step in database.written].count("e2") == 3

    batches = 100
    await asyncio.sleep(0.05)
    assert len(journal) == 0


async def test_what_is_written_at_once_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps and in characters, also of one execution; nothing is left out and the order stays."""
    monkeypatch.setattr(journal_module, "_MOST_AT_ONCE", 10)
    monkeypatch.setattr(journal_module, "_MOST_CHARACTERS_AT_ONCE", 1000)
    batches: list[list[StepRow]] = []

    async def write(written: Sequence[StepRow]) -> int:
        batches.append(list(written))
        return len(written)

    journal = Journal(write, 60)
    small, large = steps(25, "e1"), [new_step("log", "info", "a", "e2", message="x" * 600) for _ in range(5)]
    journal.put([*small, *large])
    await journal.flush()

    assert [step for batch in batches for step in batch] == [*small, *large]
    assert max(map(len, batches)) == 10
    assert [len(batch) for batch in batches if batch[0].execution_id == "e2"] == [2, 1]
    assert len(journal) == 0


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What does not fit is lost, counted and logged."""
    monkeypatch.setattr(journal_module, "_MOST_WAITING", 5)
    journal = Journal(Database().write, 60)
    journal.put(steps(8))

    assert (len(journal), journal.lost) == (5, 3)
    assert "lost" in caplog.text
    journal.forget()
    assert len(journal) == 0

    monkeypatch.setattr(journal_module, "_MOST_CHARACTERS_WAITING", 1000)
    journal = Journal(Database().write, 60)
    journal.put(new_step("log", "info", "a", "e1", data=f'{{"x":"{"y" * 600}"}}') for _ in range(4))
    assert (len(journal), journal.lost) == (2, 2)
    journal.forget()


async def test_a_cancelled_flush_loses_nothing() -> None:
    """What was on its way waits again."""
    database = Database()
    database.gate = asyncio.Event()
    journal = Journal(database.write, 60)
    taken = steps(3)
    journal.put(taken)
    flush = asyncio.create_task(journal.flush())
    await asyncio.sleep(0.01)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    database.gate.set()

    await journal.flush()

    assert database.written == taken


async def test_after_the_client_is_closed_there_is_nothing_to_write() -> None:
    """It drops what it has, without an error."""
    database = Database()
    database.error = NotConnectedError()
    journal = Journal(database.write, 60)
    journal.put(steps(1))

    await journal.flush()

    assert (len(journal), journal.lost) == (0, 0)


async def test_other_refusals_are_final() -> None:
    """A conflict will not pass by itself."""
    database = Database()
    database.error = ConflictError()
    journal = Journal(database.write, 60)
    journal.put(steps(3))

    await journal.flush()

    assert (len(journal), journal.lost) == (0, 3)
