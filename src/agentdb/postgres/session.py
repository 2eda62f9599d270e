"""The drivers of a pool: each call borrows a connection, runs, gives it back, and translates what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from agentdb.postgres.connection import Connection
from agentdb.postgres.driver import Bind, Driver, Transaction
from agentdb.postgres.failures import is_lost_connection
from agentdb.postgres.transaction import PoolTransaction, TransactionBlock

if TYPE_CHECKING:
    from agentdb.postgres.pool import Pool

__all__ = ["PoolDriver"]

Operation = Callable[..., Awaitable[Any]]


class PoolDriver(Driver):
    """One tenant's way to the database through a pool; every call is a transaction of its own."""

    __slots__ = ("_pool", "_tenant", "_when_committed")

    def __init__(self, pool: Pool, tenant: str | None, when_committed: Callable[[], object] | None) -> None:
        self._pool = pool
        self._tenant = tenant
        self._when_committed = when_committed

    def __repr__(self) -> str:
        return f"<PoolDriver tenant={self._tenant!r} of {self._pool!r}>"

    # These return the coroutine of `_run` itself: one of their own would cost every statement half a microsecond.

    def fetch(
        self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None
    ) -> Coroutine[Any, Any, Any]:
        return self._run(Connection.fetch, sql, arguments, bind)

    def execute(
        self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None
    ) -> Coroutine[Any, Any, int]:
        return self._run(Connection.execute, sql, arguments, bind)

    def script(self, sql: str) -> Coroutine[Any, Any, str]:
        return self._run(Connection.script, sql)

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        schema: str | None = None,
    ) -> int:
        count: int = await self._run(Connection.copy, table, columns, records, schema)
        return count

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return TransactionBlock(self)

    async def begin(self, *, timeout_seconds: float | None = None) -> Transaction:
        return await self._begin(timeout_seconds, self._when_committed)

    async def _begin(
        self, timeout_seconds: float | None, when_committed: Callable[[], object] | None
    ) -> PoolTransaction:
        pool = self._pool
        is_second = False
        while True:
            connection = pool.take(self._tenant) or await pool.wait(self._tenant, timeout_seconds)
            try:
                if pool.options.pgbouncer:
                    await connection.begin_locally(self._tenant, pool.local_schema)
                else:
                    await connection.begin(self._tenant)
            except BaseException as error:
                self._give_back(connection, error)
                if is_lost_connection(error) and not is_second:
                    is_second = True
                    continue
                raise pool.translate(error) from error
            return PoolTransaction(pool, connection, when_committed=when_committed)

    async def _run(self, operation: Operation, sql: str, *rest: Any) -> Any:
        """Run one operation on a borrowed connection; run it again if the first time did nothing at all."""
        pool = self._pool
        tenant = self._tenant
        if pool.needs_transaction(tenant):
            return await self._run_in_transaction(operation, sql, *rest)
        is_second = False
        while True:
            connection = pool.take(tenant)
            if connection is None:
                connection = await pool.wait(tenant)
            try:
                if connection.tenant != tenant:
                    await connection.set_tenant(tenant)
                result = await operation(connection, sql, *rest)
            except BaseException as error:
                self._give_back(connection, error)
                if not is_second and self._did_nothing(connection, sql, error):
                    is_second = True
                    continue
                raise pool.translate(error, in_doubt=connection.is_in_doubt(sql, error)) from error
            pool.give_back(connection)
            return result

    async def _run_in_transaction(self, operation: Operation, sql: str, *rest: Any) -> Any:
        """Run one operation in a transaction that carries the tenant: three round trips."""
        is_second = False
        while True:
            transaction = await self._begin(None, None)
            connection = transaction.connection
            try:
                result = await operation(connection, sql, *rest)
            except BaseException as error:
                connection.note(error)
                transaction.abandon()
                if not is_second and self._did_nothing(connection, sql, error):
                    is_second = True
                    continue
                raise self._pool.translate(error) from error
            await transaction.commit()
            return result

    def _give_back(self, connection: Connection, error: BaseException) -> None:
        connection.note(error)
        self._pool.give_back(connection)

    def _did_nothing(self, connection: Connection, sql: str, error: BaseException) -> bool:
        """Whether the statement cannot have had an effect, and may well succeed the second time."""
        if connection.is_stale(sql, error):
            self._pool.forget(sql, error)
            return True
        return is_lost_connection(error) and not connection.was_sent(error)
