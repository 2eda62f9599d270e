"""
The engine behind a generated client: connect, query, batch, transactions. It awaits and decides nothing of its own.

It stands in for the abstract engine of prisma-client-py: the client reaches it through ``_engine`` for transactions and
through `with_engine` for everything else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agentdb.engine import raw
from agentdb.engine.compiler import PlaceholderRefusedError, Planner, planner_for
from agentdb.engine.errors import QueryError, transaction_closed, transaction_not_started
from agentdb.engine.executor import Run
from agentdb.engine.request import Call, Dialect, build_request
from agentdb.errors import PoolTimeoutError
from agentdb.postgres.driver import Driver, Transaction
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url

DEFAULT_SCHEMA = "public"


@dataclass(slots=True)
class OpenTransaction:
    """An interactive transaction: its driver and the timer that will end it."""

    driver: Transaction
    timer: asyncio.TimerHandle | None = None


class Engine:
    """
    Runs the queries of one generated client.

    Given a *driver* it borrows it: connecting and closing then leave the pool to its owner. Without one it opens a pool
    of its own to the URL that `connect` is given.
    """

    def __init__(self, schema: str, default_url: Callable[[], str], driver: Driver | None = None) -> None:
        self._schema = schema
        self._default_url = default_url
        self._driver = driver
        self._is_transaction = isinstance(driver, Transaction)
        self._pool: Pool | None = None
        self._planner: Planner | None = None
        self._transactions: dict[str, OpenTransaction] = {}
        self._closed: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._endings: set[asyncio.Task[None]] = set()

    # -- lifecycle: the names are those of prisma-client-py's abstract engine

    async def connect(self, timeout: timedelta, datasources: Sequence[Mapping[str, str]] | None = None) -> None:
        """Open the pool and load the compiler; both only once."""
        if self._driver is None:
            options = parse_url(datasources[0]["url"] if datasources else self._default_url())
            pool = Pool(options)
            async with asyncio.timeout(timeout.total_seconds()):
                await pool.open()
            self._pool, self._driver = pool, pool.driver()
            self._planner = planner_for(self._schema, options.schema or DEFAULT_SCHEMA)
        elif self._planner is None:
            self._planner = planner_for(self._schema, DEFAULT_SCHEMA)
        self._planner.start()

    def close(self, *, timeout: timedelta | None = None) -> None:
        """Nothing can be closed without awaiting; `aclose` does it."""

    async def aclose(self, *, timeout: timedelta | None = None) -> None:
        """Roll back what is still open and close the pool, if it is ours."""
        for id_ in list(self._transactions):
            await self._end(id_, "it was open when the client disconnected.", Transaction.rollback)
        pool, self._pool = self._pool, None
        if pool is not None:
            self._driver = None
            await pool.close()

    def stop(self, *, timeout: timedelta | None = None) -> None:
        """Close from outside a coroutine, when a client was forgotten: in the background if a loop runs."""
        if self._pool is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._keep(loop.create_task(self.aclose()))

    # -- queries

    @property
    def planner(self) -> Planner:
        """The planner of the client's schema."""
        assert self._planner is not None
        return self._planner

    def driver(self, transaction_id: str | None) -> Driver:
        """
        Return the pool's driver, or that of an open transaction.

        Raises:
            QueryError: The transaction is closed (P2028).
        """
        if transaction_id is None:
            assert self._driver is not None
            return self._driver
        return self._open(transaction_id).driver

    async def query(self, call: Call, dialect: Dialect, driver: Driver) -> Any:
        """Run one Prisma query and return its result."""
        planner = self.planner
        request = build_request(call, planner.datamodel, dialect)
        try:
            plan = planner.plan(request.text)
        except PlaceholderRefusedError:
            request = build_request(call, planner.datamodel, dialect, literal=True)
            plan = planner.plan(request.text)
        is_in_transaction = driver is not self._driver or self._is_transaction
        return await plan(Run(driver, is_in_transaction=is_in_transaction), request.scope)

    async def query_raw(self, sql: str, parameters: Sequence[Any], driver: Driver) -> dict[str, Any]:
        """Run SQL as it is and return ``{"columns", "types", "rows"}``."""
        result: dict[str, Any] = await driver.fetch(sql, parameters, bind=raw.bind)
        return result

    async def execute_raw(self, sql: str, parameters: Sequence[Any], driver: Driver) -> int:
        """Run SQL as it is and return how many rows it touched; without parameters it may be several statements."""
        if parameters:
            return await driver.execute(sql, parameters, bind=raw.bind)
        return raw.row_count(await driver.script(sql))

    async def together(self, work: Callable[[Driver], Awaitable[None]], driver: Driver) -> None:
        """Do *work* in one transaction."""
        async with driver.transaction() as transaction:
            await work(transaction)

    # -- interactive transactions

    async def start_transaction(self, *, content: str) -> str:
        """
        Open a transaction.

        Args:
            content: JSON with ``timeout`` (how long it may stay open) and ``max_wait`` (how long to wait for a
                connection), in milliseconds.
        """
        options = json.loads(content)
        try:
            driver = await self.driver(None).begin(timeout_seconds=options["max_wait"] / 1000)
        except PoolTimeoutError as error:
            raise transaction_not_started(str(error)) from error
        id_ = f"tx{next(self._ids)}"
        open_ = self._transactions[id_] = OpenTransaction(driver)
        milliseconds = options["timeout"]
        open_.timer = asyncio.get_running_loop().call_later(milliseconds / 1000, self._expire, id_, milliseconds)
        return id_

    async def commit_transaction(self, transaction_id: str) -> None:
        """Commit and forget the transaction."""
        self._open(transaction_id)
        await self._end(transaction_id, "it was committed.", Transaction.commit)

    async def rollback_transaction(self, transaction_id: str) -> None:
        """Roll back and forget the transaction."""
        self._open(transaction_id)
        await self._end(transaction_id, "it was rolled back.", Transaction.rollback)

    def _open(self, id_: str) -> OpenTransaction:
        open_ = self._transactions.get(id_)
        if open_ is None:
            raise transaction_closed(self._closed.get(id_, "it is not known to this client."))
        return open_

    async def _end(self, id_: str, reason: str, how: Callable[[Transaction], Awaitable[None]]) -> None:
        open_ = self._transactions.pop(id_)
        self._closed[id_] = reason
        if len(self._closed) > 1000:
            del self._closed[next(iter(self._closed))]
        if open_.timer is not None:
            open_.timer.cancel()
        await how(open_.driver)

    def _expire(self, id_: str, milliseconds: int) -> None:
        if id_ in self._transactions:
            reason = f"the timeout of this transaction was {milliseconds} ms and it has passed; it was rolled back."
            self._keep(asyncio.get_running_loop().create_task(self._end(id_, reason, Transaction.rollback)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def metrics(self, **_options: Any) -> Any:
        """The Rust engine's metrics, which this engine has none of."""
        raise QueryError("P2036", "Metrics are those of the Rust engine; this engine has none.")

