"""
Watches what a client sends to its database: counts it for `metrics`, and prints it for ``log_queries``.

A wrapper around the pool and its drivers, so that neither they nor what uses them know of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterable, Awaitable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from time import perf_counter
from types import TracebackType
from typing import Any, TypeVar

from agentdb.engine.metrics import Histogram, Metrics
from agentdb.postgres.connection import Connection
from agentdb.postgres.driver import Bind, Driver, Transaction
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import ConnectionOptions

T = TypeVar("T")


class Watch:
    """
    What is done with everything that is seen.

    Attributes:
        metrics: The figures.
        is_logging: Whether every statement is printed, without its values.
        is_on: Whether statements are looked at at all. Only from when somebody asks: it takes a microsecond of each.
    """

    __slots__ = ("is_logging", "is_on", "metrics")

    def __init__(self, *, is_logging: bool = False) -> None:
        self.metrics: Metrics = Metrics()
        self.is_logging: bool = is_logging
        self.is_on: bool = is_logging

    async def time(self, call: Awaitable[T]) -> T:
        """Await *call*, a call of the client, and count it."""
        with self.call():
            return await call

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count what happens inside as a call of the client."""
        metrics = self.metrics
        metrics.active += 1
        started = perf_counter()
        try:
            yield
        finally:
            metrics.active -= 1
            metrics.queries.add(perf_counter() - started)

    def pool(self, options: ConnectionOptions) -> Pool:
        """Return a new pool whose waits and closed connections are counted."""
        return _WatchedPool(options, self.metrics)

    def driver(self, driver: Driver) -> Driver:
        """Return *driver*, watched if that is on."""
        return _WatchedDriver(driver, self, self.metrics.statements) if self.is_on else driver

    def note(self, histogram: Histogram, sql: str, started: float) -> None:
        """Note that the statement *sql* has ended, which began at *started*."""
        passed = perf_counter() - started
        histogram.add(passed)
        if self.is_logging:
            # one line of JSON on the standard output, as the Rust engine wrote it
            fields = {"item_type": "query", "is_query": True, "query": sql, "duration_ms": round(passed * 1000, 3)}
            sys.stdout.write(json.dumps({"level": "INFO", "fields": fields, "target": "agentdb.engine"}) + "\n")


class _WatchedPool(Pool):
    """A pool that tells what it keeps no account of itself."""

    def __init__(self, options: ConnectionOptions, metrics: Metrics) -> None:
        super().__init__(options)
        self._metrics = metrics

    async def wait(self, tenant: str | None, timeout_seconds: float | None = None) -> Connection:
        started = perf_counter()
        try:
            return await super().wait(tenant, timeout_seconds)
        finally:
            self._metrics.waits.add(perf_counter() - started)

    def _discard(self, connection: Connection) -> None:
        self._metrics.closed += 1
        super()._discard(connection)


class _WatchedDriver(Driver):
    """Hands everything on, and notes it."""

    __slots__ = ("_driver", "_histogram", "_watch")

    def __init__(self, driver: Driver, watch: Watch, histogram: Histogram) -> None:
        self._driver = driver
        self._watch = watch
        self._histogram = histogram

    async def fetch(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> Any:
        started = perf_counter()
        try:
            return await self._driver.fetch(sql, arguments, bind=bind)
        finally:
            self._watch.note(self._histogram, sql, started)

    async def execute(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> int:
        return await self._watched(sql, self._driver.execute(sql, arguments, bind=bind))

    async def script(self, sql: str) -> str:
        return await self._watched(sql, self._driver.script(sql))

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        schema: str | None = None,
    ) -> int:
        return await self._watched(f"COPY {table}", self._driver.copy(table, columns, records, schema=schema))

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return _WatchedBlock(self)

    async def begin(self, *, timeout_seconds: float | None = None) -> Transaction:
        inner = await self._watched("BEGIN", self._driver.begin(timeout_seconds=timeout_seconds))
        return _WatchedTransaction(inner, self._watch)

    async def _watched(self, sql: str, work: Awaitable[T]) -> T:
        started = perf_counter()
        try:
            return await work
        finally:
            self._watch.note(self._histogram, sql, started)


class _WatchedTransaction(_WatchedDriver, Transaction):
    """An open transaction, watched."""

    __slots__ = ()

    _driver: Transaction

    def __init__(self, transaction: Transaction, watch: Watch) -> None:
        super().__init__(transaction, watch, watch.metrics.statements_inside)

    async def commit(self) -> None:
        await self._watched("COMMIT", self._driver.commit())

    async def rollback(self) -> None:
        await self._watched("ROLLBACK", self._driver.rollback())


class _WatchedBlock(AbstractAsyncContextManager[Transaction]):
    """A transaction's block, its BEGIN and its end watched."""

    def __init__(self, outer: _WatchedDriver) -> None:
        self._outer = outer
        self._block = outer._driver.transaction()

    async def __aenter__(self) -> Transaction:
        outer = self._outer
        inner = await outer._watched("BEGIN", self._block.__aenter__())
        return _WatchedTransaction(inner, outer._watch)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        started = perf_counter()
        try:
            return await self._block.__aexit__(kind, error, trace)
        finally:
            watch = self._outer._watch
            watch.note(watch.metrics.statements_inside, "COMMIT" if error is None else "ROLLBACK", started)
