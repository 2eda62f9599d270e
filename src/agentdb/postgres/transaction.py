"""
An open transaction on a borrowed connection, and savepoints in it.

Concurrent calls queue on one lock, so `asyncio.gather` inside a transaction works. While a savepoint is open, calls
from elsewhere wait for its end: what they write must not vanish with somebody else's savepoint.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from agentdb.errors import DatabaseError, TransactionClosedError
from agentdb.postgres.connection import Connection
from agentdb.postgres.driver import Bind, Driver, Transaction
from agentdb.postgres.failures import is_lost_connection

if TYPE_CHECKING:
    from agentdb.postgres.pool import Pool

__all__ = ["PoolTransaction", "TransactionBlock"]

logger: Final = logging.getLogger("agentdb.postgres")

# How long a cancelled caller waits to learn how its COMMIT ended.
_COMMIT_GRACE_SECONDS: Final = 5.0
_ABORTED: Final = "25P02"

_inside: ContextVar[tuple[PoolTransaction, ...]] = ContextVar("agentdb_savepoints", default=())


class PoolTransaction(Transaction):
    """A transaction, or a savepoint when it has a parent; *when_committed* is called when a transaction is."""

    def __init__(
        self,
        pool: Pool,
        connection: Connection,
        parent: PoolTransaction | None = None,
        *,
        when_committed: Callable[[], object] | None = None,
    ) -> None:
        self._pool = pool
        self._when_committed = when_committed
        self._connection = connection
        self._parent = parent
        self._root: PoolTransaction = self if parent is None else parent._root
        self._lock: asyncio.Lock = asyncio.Lock() if parent is None else parent._lock
        self._child: PoolTransaction | None = None
        self._outcome: str | None = None
        self._ended: asyncio.Event | None = None if parent is None else asyncio.Event()
        self._savepoints = 0
        self._name = ""
        if parent is not None:
            self._root._savepoints += 1
            self._name = f"agentdb_{self._root._savepoints}"

    def __repr__(self) -> str:
        return f"<PoolTransaction {self._name} {self._outcome or 'open'}>"

    @property
    def connection(self) -> Connection:
        """The connection it runs on."""
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether it was neither committed nor rolled back."""
        return self._outcome is None

    async def fetch(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> Any:
        await self._turn()
        async with self._lock:
            self._check_usable()
            try:
                return await self._connection.fetch(sql, arguments, bind)
            except BaseException as error:
                raise self._failed(sql, error) from error

    async def execute(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> int:
        await self._turn()
        async with self._lock:
            self._check_usable()
            try:
                return await self._connection.execute(sql, arguments, bind)
            except BaseException as error:
                raise self._failed(sql, error) from error

    async def script(self, sql: str) -> str:
        await self._turn()
        async with self._lock:
            self._check_usable()
            try:
                return await self._connection.script(sql)
            except BaseException as error:
                raise self._failed(sql, error) from error

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        schema: str | None = None,
    ) -> int:
        await self._turn()
        async with self._lock:
            self._check_usable()
            try:
                return await self._connection.copy(table, columns, records, schema)
            except BaseException as error:
                raise self._failed("copy", error) from error

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return TransactionBlock(self)

    async def begin(self, *, timeout_seconds: float | None = None) -> Transaction:
        await self._turn()
        if self._child is not None:
            return await self._child.begin()  # Opened in this very context: it is the innermost one that grows.
        self._check_usable()
        child = self._child = PoolTransaction(self._pool, self._connection, self)
        try:
            async with self._lock:
                await self._connection.script(f"SAVEPOINT {child._name}")
        except BaseException as error:
            child._end("rolled back")
            raise self._failed("savepoint", error) from error
        _inside.set((*(each for each in _inside.get() if each.is_open), child))
        return child

    async def commit(self) -> None:
        await self._turn()
        async with self._lock:
            self._check_open()
            if self._parent is not None:
                await self._release()
            else:
                await self._commit()

    async def rollback(self) -> None:
        if not self.is_open:
            return
        await self._turn()
        async with self._lock:
            if self._outcome is not None:
                return
            if self._parent is not None:
                await self._undo()
            elif self._connection.is_interrupted or self._connection.raw.is_closed():
                self._end("rolled back")
            else:
                await self._finish_root("ROLLBACK", "rolled back", in_doubt=False)

    def abandon(self) -> None:
        """Roll back without waiting: for a caller that is being cancelled. The pool finishes it in the background."""
        if not self.is_open:
            return
        if self._parent is not None or self._lock.locked():
            # A savepoint needs a statement to undo it; and another task's statement may be running.
            self._pool.spawn(self._roll_back_quietly())
        else:
            self._end("rolled back")

    async def _turn(self) -> None:
        """Wait while a savepoint of somebody else is open."""
        self._pool.check_loop()
        while (child := self._child) is not None and child not in _inside.get():
            assert child._ended is not None
            await child._ended.wait()

    async def _commit(self) -> None:
        if self._connection.is_interrupted:
            self._end("rolled back")
            raise _aborted()
        raw = self._connection.raw
        if not raw.is_in_transaction() and not raw.is_closed():
            # COMMIT would do nothing and be answered all the same, also after a ROLLBACK that nobody else has seen.
            self._end("ended by a statement in it")
            raise _ended_inside()
        tag = await self._finish_root("COMMIT", "committed", in_doubt=True)
        if tag == "ROLLBACK":
            self._outcome = "rolled back"
            raise _aborted()
        if self._when_committed is not None:
            self._when_committed()

    async def _finish_root(self, command: str, outcome: str, *, in_doubt: bool) -> str:
        self._connection.is_executing = False
        try:
            return await _shielded(self._connection.script(command), command)
        except BaseException as error:
            outcome = "rolled back" if isinstance(error, Exception) else outcome
            self._connection.note(error)
            was_sent = self._connection.was_sent(error)
            raise self._pool.translate(error, in_doubt=in_doubt and was_sent) from error
        finally:
            self._end(outcome)

    async def _release(self) -> None:
        if not self._connection.is_interrupted:
            try:
                await self._connection.script(f"RELEASE SAVEPOINT {self._name}")
            except BaseException as error:
                ours = self._failed("release", error)
                if isinstance(error, Exception):
                    await self._undo()
                raise ours from error
            self._end("committed")
            return
        await self._undo()
        raise _aborted()

    async def _undo(self) -> None:
        """Roll back to the savepoint; the transaction around it is usable again."""
        try:
            await self._connection.script(f"ROLLBACK TO SAVEPOINT {self._name}; RELEASE SAVEPOINT {self._name}")
            # The library sent that only after the pending cancellation was over.
            self._connection.is_interrupted = False
        except BaseException as error:
            raise self._failed("rollback", error) from error
        finally:
            self._end("rolled back")

    async def _roll_back_quietly(self) -> None:
        try:
            await self.rollback()
        except DatabaseError:
            logger.info("a transaction could not be rolled back; its connection is gone", exc_info=True)

    def _end(self, outcome: str) -> None:
        if self._child is not None:
            self._child._end(outcome)
        self._outcome = outcome
        if self._parent is None:
            self._pool.give_back(self._connection)
            return
        self._parent._child = None
        assert self._ended is not None
        self._ended.set()

    def _failed(self, sql: str, error: BaseException) -> BaseException:
        connection = self._connection
        connection.note(error)
        ours = self._pool.translate(error)
        if connection.is_stale(sql, error):
            self._pool.forget(sql, error)
            if isinstance(ours, DatabaseError):
                ours.is_transient = True  # The transaction is lost, but the next one prepares the statement again.
        elif is_lost_connection(error):
            self._root._end("lost")
        return ours

    def _check_open(self) -> None:
        if self._outcome is not None:
            raise TransactionClosedError(f"Transaction already closed: it was {self._outcome}.")

    def _check_usable(self) -> None:
        self._check_open()
        if self._connection.is_interrupted:
            raise _aborted()
        if not self._connection.raw.is_in_transaction():
            raise _ended_inside()


class TransactionBlock(AbstractAsyncContextManager[Transaction]):
    """Commits when the block ends, rolls back when an error or a cancellation leaves it."""

    __slots__ = ("_driver", "_transaction")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._transaction: PoolTransaction | None = None

    async def __aenter__(self) -> Transaction:
        transaction = await self._driver.begin()
        assert isinstance(transaction, PoolTransaction)
        self._transaction = transaction
        return transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if transaction is None or not transaction.is_open:
            return
        if error is None:
            await transaction.commit()
        elif isinstance(error, Exception):
            await transaction._roll_back_quietly()
        else:
            transaction.abandon()


def _ended_inside() -> TransactionClosedError:
    return TransactionClosedError("Transaction already closed: a statement in it said COMMIT or ROLLBACK.")


def _aborted() -> DatabaseError:
    return DatabaseError(
        "The transaction was rolled back, because a statement in it had failed, timed out or been cancelled.",
        sqlstate=_ABORTED,
    )


async def _shielded(work: Coroutine[Any, Any, str], command: str) -> str:
    """Run *work* to its end even if the caller is cancelled; half a COMMIT helps nobody. Costs about 15 us."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task], timeout=_COMMIT_GRACE_SECONDS)
        if not task.done() or task.exception() is not None:
            task.cancel()
            logger.warning("a cancelled caller does not learn how its transaction ended", extra={"command": command})
        raise
