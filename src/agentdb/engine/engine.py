"""
The engine behind a generated client: connect, query, batch, transactions. It awaits and decides nothing of its own.

It stands in for the abstract engine of prisma-client-py: the client reaches it through ``_engine``. Whatever goes wrong
leaves it as an error of the client's own package, from what caused it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from agentdb.engine import raw
from agentdb.engine.bulk import create_many
from agentdb.engine.compiler import PlaceholderRefusedError, Planner, planner_for
from agentdb.engine.errors import FAILURES
from agentdb.engine.package import Package
from agentdb.engine.request import Call, build_request
from agentdb.engine.steps import Run
from agentdb.engine.transactions import Transactions
from agentdb.engine.watching import Watch
from agentdb.errors import AgentDBError
from agentdb.postgres.driver import Driver, Transaction
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url

DEFAULT_SCHEMA = "public"


class Engine:
    """
    Runs the queries of one generated client.

    Given a *driver* it borrows it and can run at once: connecting and closing then leave the pool to its owner. Without
    one it opens a pool of its own to the URL that `connect` is given.
    """

    def __init__(
        self,
        package: Package,
        schema: str,
        default_url: Callable[[], str],
        *,
        driver: Driver | None = None,
        schema_name: str | None = None,
        log_queries: bool = False,
    ) -> None:
        self._package = package
        self._schema = schema
        self._schema_name = schema_name or DEFAULT_SCHEMA
        self._default_url = default_url
        self._watch = Watch(is_logging=log_queries)
        self._borrowed = None if driver is None else self._watch.driver(driver)
        self._driver = self._borrowed
        self._is_inside = isinstance(driver, Transaction)
        self._pool: Pool | None = None
        self._planner: Planner | None = None
        self._transactions = Transactions()
        self._connecting = asyncio.Lock()
        self._stopping: asyncio.Task[None] | None = None

    # -- lifecycle: the names are those of prisma-client-py's abstract engine

    async def connect(
        self,
        timeout: timedelta,  # noqa: ASYNC109 - it is the generated client that passes it
        datasources: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        """
        Open the pool and load the compiler; both only once.

        Raises:
            EngineConnectionError: The client's own; the database cannot be reached, or not in time.
        """
        try:
            async with self._connecting:
                if self._driver is None:
                    async with asyncio.timeout(timeout.total_seconds()):
                        await self._open_pool(datasources)
                # Not in that time: the first start on a machine compiles the compiler, whatever the database does.
                await self._ready()
        except TimeoutError as error:
            text = f"Could not connect to the database within {timeout.total_seconds():g} s."
            raise self._package.connection_error(text) from error
        except AgentDBError as error:
            raise self._package.connection_error(str(error)) from error
        except FAILURES as error:  # of the compiler, on the schema
            raise self._package.own_error(error) from error

    async def _open_pool(self, datasources: Sequence[Mapping[str, str]] | None) -> None:
        pool = self._watch.pool(parse_url(datasources[0]["url"] if datasources else self._default_url()))
        await pool.open()
        self._pool, self._driver = pool, self._watch.driver(pool.driver())
        self._schema_name = pool.options.schema or DEFAULT_SCHEMA

    @property
    def is_orphaned(self) -> bool:
        """Whether the event loop that it was connected in has been closed."""
        return self._pool is not None and self._pool.is_orphaned

    async def _ready(self) -> tuple[Driver, Planner]:
        """Return what a call runs on, the compiler loaded."""
        if self._driver is None:
            raise self._package.not_connected()
        if self._planner is None:
            planner = planner_for(self._schema, self._schema_name)
            if not planner.is_started:
                # In a thread: where no compiled form of the compiler is cached, making one takes seconds.
                await asyncio.to_thread(planner.start)
            self._planner = planner
        return self._driver, self._planner

    def close(self, *, timeout: timedelta | None = None) -> None:
        """Nothing can be closed without awaiting; `aclose` does it."""

    async def aclose(self, *, timeout: timedelta | None = None) -> None:  # noqa: ASYNC109 - as above
        """Roll back what is still open and close the pool, if it is ours."""
        if self._pool is not None and not self.is_orphaned:
            with self._own_errors():
                self._pool.check_loop()  # before anything is forgotten
        await self._transactions.close()
        pool, self._pool, self._driver = self._pool, None, self._borrowed
        if pool is not None:
            await pool.close()

    def stop(self, *, timeout: timedelta | None = None) -> None:
        """Close from outside a coroutine, when a client was forgotten: in the background if a loop runs."""
        if self._pool is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._stopping = loop.create_task(self.aclose())
        # In another event loop than its own the pool cannot be closed; nobody is left who could be told.
        self._stopping.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def metrics(self, *, format: str, global_labels: Mapping[str, str] | None) -> Any:
        """Return the figures of this engine in the form named ``json`` or ``prometheus``."""
        if not self._watch.is_on:
            self._watch.is_on = True
            self._borrowed = self._borrowed and self._watch.driver(self._borrowed)
            self._driver = self._driver and self._watch.driver(self._driver)
        metrics = self._watch.metrics
        tell = metrics.prometheus if format == "prometheus" else metrics.report
        return tell(self._pool, global_labels)

    # -- queries

    def run(self, call: Call, transaction_id: str | None = None) -> Coroutine[Any, Any, Any]:
        """Run one call of the client, in one of its open transactions or alone, and return its ``result``."""
        watch = self._watch
        watch.metrics.calls += 1
        work = self._run(call, transaction_id)
        return watch.time(work) if watch.is_on else work

    async def _run(self, call: Call, transaction_id: str | None) -> Any:
        try:
            driver, planner = self._driver, self._planner
            if driver is None or planner is None:
                driver, planner = await self._ready()
            if transaction_id is None:
                return await self._start(call, planner, driver, is_inside=self._is_inside)
            async with self._transactions.use(transaction_id) as transaction:
                return await self._start(call, planner, transaction, is_inside=True)
        except FAILURES as error:
            raise self._package.own_error(error, call) from error

    async def run_together(self, calls: Sequence[Call], transaction_id: str | None = None) -> None:
        """Run several calls, all or none."""
        call: Call | None = None

        async def run_all(outer: Driver) -> None:
            nonlocal call
            async with outer.transaction() as transaction:
                for call in calls:
                    self._watch.metrics.calls += 1
                    with self._watch.call():
                        await self._start(call, planner, transaction, is_inside=True)

        try:
            driver, planner = await self._ready()
            if transaction_id is None:
                await run_all(driver)
            else:
                async with self._transactions.use(transaction_id, "batch query") as opened:
                    await run_all(opened)
        except FAILURES as error:
            raise self._package.own_error(error, call) from error

    def _start(self, call: Call, planner: Planner, driver: Driver, *, is_inside: bool) -> Awaitable[Any]:
        """Start one call on *driver*, which is a transaction if *is_inside*."""
        if call.model is None or call.method in raw.METHODS:
            return raw.run(call, driver)
        if call.method == "create_many":
            return self._create_many(call, planner, Run(driver, is_in_transaction=is_inside))
        return self._run_plan(call, planner, Run(driver, is_in_transaction=is_inside))

    async def _create_many(self, call: Call, planner: Planner, run: Run) -> Any:
        answer = await create_many(call, planner, self._package.dialect, run)
        return await self._run_plan(call, planner, run) if answer is None else answer

    def _run_plan(self, call: Call, planner: Planner, run: Run) -> Awaitable[Any]:
        dialect = self._package.dialect
        request = planner.shapes.request(call, dialect)
        try:
            plan = planner.plan(request.text)
        except PlaceholderRefusedError:
            request = build_request(call, planner.datamodel, dialect, literal=True)
            plan = planner.plan(request.text)
        return plan(run, request.scope)

    # -- interactive transactions

    async def start_transaction(self, *, content: str) -> str:
        """
        Open a transaction and return its id.

        Args:
            content: JSON with ``timeout`` (how long it may stay open) and ``max_wait`` (how long to wait for a
                connection), in milliseconds.
        """
        options = json.loads(content)
        if self._driver is None:
            raise self._package.not_connected()
        with self._own_errors():
            return await self._transactions.start(
                self._driver,
                max_wait_seconds=options["max_wait"] / 1000,
                timeout_seconds=options["timeout"] / 1000,
            )

    async def commit_transaction(self, transaction_id: str) -> None:
        """Commit and forget the transaction."""
        with self._own_errors():
            await self._transactions.commit(transaction_id)

    async def rollback_transaction(self, transaction_id: str) -> None:
        """Roll back and forget the transaction."""
        with self._own_errors():
            await self._transactions.roll_back(transaction_id)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise self._package.own_error(error) from error
