"""
Interactive transactions: opened by a client, ended by it or by their timeout, whichever comes first.

A transaction whose time has passed is rolled back at once, also while a statement of it is running: that statement is
cancelled. Whatever happens, and at whichever await the caller is cancelled, its connection leaves the transaction.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from agentdb.engine.errors import (
    transaction_aborted,
    transaction_closed,
    transaction_not_found,
    transaction_not_started,
)
from agentdb.errors import DatabaseError, NotConnectedError, PoolTimeoutError
from agentdb.postgres.driver import Driver, Transaction

logger: Final = logging.getLogger("agentdb.engine")

MAX_REMEMBERED = 1000
"""Of how many ended transactions it is remembered how they ended, to say so when one of them is used."""

_FAILED_TRANSACTION = "25P02"


@dataclass(slots=True)
class OpenTransaction:
    """
    A transaction that nobody has ended yet.

    Attributes:
        driver: Runs statements in it.
        timeout_seconds: How long it may stay open.
        loop: The event loop it was opened in.
        started_at: When it was opened, on the clock of the event loop.
        timer: Rolls it back when its time has passed.
    """

    driver: Transaction
    timeout_seconds: float
    loop: asyncio.AbstractEventLoop
    started_at: float
    timer: asyncio.TimerHandle

    @property
    def ends_at(self) -> float:
        """When its time has passed, on the clock of the event loop."""
        return self.started_at + self.timeout_seconds


class Transactions:
    """The interactive transactions of one engine, by id."""

    def __init__(self) -> None:
        self._open: dict[str, OpenTransaction] = {}
        self._ended: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, driver: Driver, *, max_wait_seconds: float, timeout_seconds: float) -> str:
        """
        Open a transaction on *driver* and return its id.

        Raises:
            QueryError: No connection became free within *max_wait_seconds* (P2028).
        """
        try:
            transaction = await driver.begin(timeout_seconds=max_wait_seconds)
        except PoolTimeoutError as error:
            raise transaction_not_started(str(error)) from error
        id_ = f"tx{next(self._ids)}"
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_seconds, self._expire, id_)
        self._open[id_] = OpenTransaction(transaction, timeout_seconds, loop, loop.time(), timer)
        return id_

    @asynccontextmanager
    async def use(self, id_: str, operation: str = "query") -> AsyncIterator[Transaction]:
        """
        Lend the transaction's driver for one operation, which is cancelled when the transaction's time has passed.

        Raises:
            QueryError: The transaction has ended, before or during the operation (P2028).
        """
        opened = self._open.get(id_)
        if opened is None:
            raise self._closed(id_, operation)
        try:
            async with asyncio.timeout_at(opened.ends_at) as limit:
                yield opened.driver
        except TimeoutError as error:
            if not limit.expired():
                raise
            self._expire(id_)
            raise self._closed(id_, operation) from error

    async def commit(self, id_: str) -> None:
        """
        Commit the transaction and forget it.

        Raises:
            QueryError: It had ended before, or a statement in it had failed, so that it was rolled back (P2028).
            DatabaseError: The server refused the commit; all is rolled back.
        """
        driver = self._take(id_, "commit")
        self._note(id_, "a committed transaction")
        try:
            await driver.commit()
        except BaseException as error:
            self._note(id_, "a transaction that was rolled back")
            # For a caller that was cancelled before the COMMIT left; the driver ignores it when all is over already.
            self._spawn(driver.rollback())
            if isinstance(error, DatabaseError) and error.sqlstate == _FAILED_TRANSACTION:
                raise transaction_aborted(str(error)) from error
            raise

    async def roll_back(self, id_: str) -> None:
        """
        Roll the transaction back and forget it.

        Raises:
            QueryError: It had ended before (P2028).
        """
        driver = self._take(id_, "rollback")
        self._note(id_, "a transaction that was rolled back")
        await asyncio.shield(self._spawn(driver.rollback()))

    async def close(self) -> None:
        """Roll back what is still open and wait for what is ending."""
        for id_ in list(self._open):
            driver = self._take(id_, "rollback")
            self._spawn(driver.rollback())
            self._note(id_, "a transaction that was rolled back when its client disconnected")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, id_: str, operation: str) -> Transaction:
        opened = self._open.get(id_)
        if opened is None:
            raise self._closed(id_, operation)
        if opened.loop is not asyncio.get_running_loop() and not opened.loop.is_closed():
            raise NotConnectedError("This transaction was opened in another event loop, and can be ended only there.")
        del self._open[id_]
        opened.timer.cancel()
        return opened.driver

    def _expire(self, id_: str) -> None:
        opened = self._open.get(id_)
        if opened is None:
            return
        driver = self._take(id_, "rollback")
        passed = asyncio.get_running_loop().time() - opened.started_at
        self._note(
            id_,
            "an expired transaction. The timeout for this transaction was "
            f"{opened.timeout_seconds * 1000:.0f} ms, however {passed * 1000:.0f} ms passed since the start of the "
            "transaction. Consider increasing the interactive transaction timeout or doing less work in the "
            "transaction",
        )
        self._spawn(driver.rollback())

    def _note(self, id_: str, what: str) -> None:
        self._ended[id_] = what
        if len(self._ended) > MAX_REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _closed(self, id_: str, operation: str) -> Exception:
        what = self._ended.get(id_)
        if what is None:
            return transaction_not_found()
        return transaction_closed(f"A {operation} cannot be executed on {what}.")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.info("a transaction could not be rolled back; its connection is gone", exc_info=task.exception())
