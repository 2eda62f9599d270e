from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentdb.engine import transactions
from agentdb.engine.errors import QueryError
from agentdb.engine.transactions import Transactions
from agentdb.errors import DatabaseError, PoolTimeoutError


class FakeTransaction:
    """Counts how it is ended; *slow* makes each ending wait."""

    def __init__(self, *, slow: float = 0, failure: BaseException | None = None) -> None:
        self.slow = slow
        self.failure = failure
        self.log: list[str] = []

    async def commit(self) -> None:
        await asyncio.sleep(self.slow)
        if self.failure is not None:
            raise self.failure
        self.log.append("commit")

    async def rollback(self) -> None:
        if self.log:
            return
        await asyncio.sleep(self.slow)
        self.log.append("rollback")


class FakePool:
    def __init__(self, transaction: FakeTransaction, failure: Exception | None = None) -> None:
        self.transaction = transaction
        self.failure = failure
        self.waits: list[float | None] = []

    async def begin(self, *, timeout_seconds: float | None = None) -> FakeTransaction:
        self.waits.append(timeout_seconds)
        if self.failure is not None:
            raise self.failure
        return self.transaction


Start = Callable[..., Awaitable[str]]


@pytest.fixture
def open_ones() -> Transactions:
    return Transactions()


@pytest.fixture
def start(open_ones: Transactions) -> Start:
    async def begin(transaction: FakeTransaction, timeout_seconds: float = 60) -> str:
        pool: Any = FakePool(transaction)
        return await open_ones.start(pool, max_wait_seconds=1, timeout_seconds=timeout_seconds)

    return begin


async def use(open_ones: Transactions, id_: str) -> None:
    async with open_ones.use(id_):
        pass


async def test_lends_its_driver(open_ones: Transactions, start: Start) -> None:
    """While it is open its driver is lent, to any number at once."""
    transaction = FakeTransaction()
    id_ = await start(transaction)
    async with open_ones.use(id_) as first, open_ones.use(id_) as second:
        assert first is second is transaction  # type: ignore[comparison-overlap]


async def test_no_connection(open_ones: Transactions) -> None:
    """Where no connection becomes free in time, that is P2028 and nothing is open."""
    pool: Any = FakePool(FakeTransaction(), PoolTimeoutError("nobody came back"))
    with pytest.raises(QueryError, match="Unable to start a transaction in the given time"):
        await open_ones.start(pool, max_wait_seconds=1.5, timeout_seconds=1)
    assert pool.waits == [1.5]


@pytest.mark.parametrize(
    ("end", "log", "words"),
    [("commit", ["commit"], "a committed transaction"), ("roll_back", ["rollback"], "that was rolled back")],
)
async def test_ends_once(open_ones: Transactions, start: Start, end: str, log: list[str], words: str) -> None:
    """An ended transaction remembers how it ended."""
    transaction = FakeTransaction()
    id_ = await start(transaction)
    await getattr(open_ones, end)(id_)
    assert transaction.log == log
    for again in (open_ones.commit, open_ones.roll_back):
        with pytest.raises(QueryError, match=words):
            await again(id_)
    with pytest.raises(QueryError, match=f"A query cannot be executed on .*{words}"):
        await use(open_ones, id_)


async def test_unknown(open_ones: Transactions) -> None:
    """An id that was never given is not found."""
    with pytest.raises(QueryError, match="Transaction not found"):
        await open_ones.commit("tx1")


async def test_a_failed_commit(open_ones: Transactions, start: Start) -> None:
    """A commit that the server refuses was a rollback, and is remembered as one."""
    transaction = FakeTransaction(failure=DatabaseError("refused", sqlstate="23503"))
    id_ = await start(transaction)
    with pytest.raises(DatabaseError, match="refused"):
        await open_ones.commit(id_)
    with pytest.raises(QueryError, match="that was rolled back"):
        await use(open_ones, id_)


async def test_a_commit_of_what_has_failed(open_ones: Transactions, start: Start) -> None:
    """A transaction in which a statement had failed cannot be committed, which must not go unnoticed."""
    id_ = await start(FakeTransaction(failure=DatabaseError("a statement had failed", sqlstate="25P02")))
    with pytest.raises(QueryError, match="could not be committed: a statement had failed") as caught:
        await open_ones.commit(id_)
    assert caught.value.code == "P2028"


@pytest.mark.parametrize("end", ["commit", "roll_back"])
async def test_cancellation(open_ones: Transactions, start: Start, end: str) -> None:
    """An ending that is cancelled before it reached the server is a rollback."""
    transaction = FakeTransaction(slow=0.05)
    id_ = await start(transaction)
    task = asyncio.create_task(getattr(open_ones, end)(id_))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await open_ones.close()
    assert transaction.log == ["rollback"]


async def test_expiry(open_ones: Transactions, start: Start) -> None:
    """When its time has passed it is rolled back, and says how long it had."""
    transaction = FakeTransaction()
    id_ = await start(transaction, 0.02)
    await asyncio.sleep(0.05)
    assert transaction.log == ["rollback"]
    with pytest.raises(QueryError, match="A commit cannot be executed on an expired transaction") as caught:
        await open_ones.commit(id_)
    assert "timeout for this transaction was 20 ms, however" in caught.value.text


async def test_expiry_during_an_operation(open_ones: Transactions, start: Start) -> None:
    """What runs when time is up is cancelled."""
    transaction = FakeTransaction()
    id_ = await start(transaction, 0.02)
    with pytest.raises(QueryError, match="A query cannot be executed on an expired transaction"):
        async with open_ones.use(id_):
            await asyncio.sleep(10)
    await open_ones.close()
    assert transaction.log == ["rollback"]


async def test_other_timeouts(open_ones: Transactions, start: Start) -> None:
    """A TimeoutError that is not its own passes."""
    id_ = await start(FakeTransaction())
    with pytest.raises(TimeoutError, match="mine"):
        async with open_ones.use(id_):
            raise TimeoutError("mine")
    await use(open_ones, id_)


async def test_an_ended_one_does_not_expire(open_ones: Transactions, start: Start) -> None:
    """The timer of a committed transaction does nothing any more."""
    transaction = FakeTransaction()
    id_ = await start(transaction, 0.2)
    await open_ones.commit(id_)
    await asyncio.sleep(0.3)
    assert transaction.log == ["commit"]


async def test_close(open_ones: Transactions, start: Start) -> None:
    """Closing rolls back all that is open and waits for it."""
    both = [FakeTransaction(slow=0.02), FakeTransaction()]
    ids = [await start(transaction) for transaction in both]
    await open_ones.close()
    assert [transaction.log for transaction in both] == [["rollback"], ["rollback"]]
    with pytest.raises(QueryError, match="disconnected"):
        await use(open_ones, ids[0])


async def test_memory_is_bounded(open_ones: Transactions, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many ended transactions the last ones are remembered."""
    monkeypatch.setattr(transactions, "MAX_REMEMBERED", 3)
    ids = [await start(FakeTransaction()) for _ in range(5)]
    for id_ in ids:
        await open_ones.commit(id_)
    with pytest.raises(QueryError, match="not found"):
        await use(open_ones, ids[0])
    with pytest.raises(QueryError, match="committed"):
        await use(open_ones, ids[4])
