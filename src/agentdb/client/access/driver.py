"""Raw SQL as operations: what `client.driver` is."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from agentdb.client.access.entries import enter
from agentdb.client.access.operations import Operation, is_watched, running_operation
from agentdb.client.access.statements import may_write, named_tables, stands_alone
from agentdb.postgres.driver import Bind, Driver, Transaction

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient

__all__ = ["WatchedDriver", "WatchedTransaction", "watched_driver"]

T = TypeVar("T")


def watched_driver(client: PrismaAgentClient, inner: Driver) -> WatchedDriver:
    """Return *inner* with every statement of it an operation of *client*."""
    return WatchedTransaction(client, inner) if isinstance(inner, Transaction) else WatchedDriver(client, inner)


class WatchedDriver(Driver):
    """
    A driver of which every statement is an operation, or a part of the one that is running.

    Where the table is on, SQL that may change something runs in one transaction with its entry. SQL that begins or ends
    transactions itself cannot: its entry comes a moment later, as that of what only reads does.
    """

    def __init__(self, client: PrismaAgentClient, inner: Driver) -> None:
        self._client = client
        self._inner = inner

    async def fetch(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> Any:
        return await self._run("sql.fetch", sql, lambda driver: driver.fetch(sql, arguments, bind=bind))

    async def execute(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> int:
        return await self._run("sql.execute", sql, lambda driver: driver.execute(sql, arguments, bind=bind))

    async def script(self, sql: str) -> str:
        return await self._run("sql.script", sql, lambda driver: driver.script(sql))

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        schema: str | None = None,
    ) -> int:
        return await self._run(
            "sql.copy", f"COPY INTO {table}", lambda driver: driver.copy(table, columns, records, schema=schema)
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with self._inner.transaction() as inner:
            yield WatchedTransaction(self._client, inner)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    async def begin(self, *, timeout_seconds: float | None = None) -> Transaction:
        return WatchedTransaction(self._client, await self._inner.begin(timeout_seconds=timeout_seconds))

    async def _run(self, name: str, sql: str, send: Callable[[Driver], Awaitable[T]]) -> T:
        client = self._client
        if not is_watched(client):
            return await send(self._inner)
        operation = running_operation(client)
        if operation is not None:
            return await self._send(operation, sql, send)
        with Operation(client, name) as operation:
            result = await self._send(operation, sql, send)
            # What a column called id, or a tag, holds is not known here.
            operation.tell(_count_of(result))
        return result

    async def _send(self, operation: Operation, sql: str, send: Callable[[Driver], Awaitable[T]]) -> T:
        writes = may_write(sql)
        operation.touches(named_tables(sql), changes=writes)
        if not writes or not self._client.keeps_access_log or stands_alone(sql):
            return await send(self._inner)
        if isinstance(self._inner, Transaction):
            return await self._send_with_entry(operation, self._inner, send)
        async with self._inner.transaction() as transaction:
            return await self._send_with_entry(operation, transaction, send)

    async def _send_with_entry(
        self, operation: Operation, transaction: Transaction, send: Callable[[Driver], Awaitable[T]]
    ) -> T:
        result = await send(transaction)
        await enter(transaction, self._client.organization_id, operation.entry(_count_of(result)))
        operation.has_been_entered()
        return result


class WatchedTransaction(WatchedDriver, Transaction):
    """The same of an open transaction."""

    _inner: Transaction

    async def commit(self) -> None:
        await self._inner.commit()

    async def rollback(self) -> None:
        await self._inner.rollback()


def _count_of(result: object) -> int | None:
    if isinstance(result, list):
        return len(result)
    return result if isinstance(result, int) else None
