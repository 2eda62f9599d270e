"""
The pool: lends a connection for one statement or one transaction.

It exists because the database library's own pool costs 45 us and a RESET round trip on every use. This one lends an
idle connection without creating a task, a future or a context manager, prefers a connection that is set to the caller's
tenant already, and cleans only a connection that was left unclean.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final
from weakref import WeakValueDictionary

from agentdb.errors import ConnectionFailedError, NotConnectedError, QueryTimeoutError
from agentdb.postgres.connection import Connection, FactsBySql
from agentdb.postgres.dialing import dial, dial_first, hang_up
from agentdb.postgres.driver import Driver
from agentdb.postgres.failures import is_changed_result, translate
from agentdb.postgres.session import PoolDriver
from agentdb.postgres.stats import PoolStats, time_out
from agentdb.postgres.tls import Tls, tls_of
from agentdb.postgres.url import ConnectionOptions

__all__ = ["Pool", "PoolStats"]

logger: Final = logging.getLogger("agentdb.postgres")

_CLEAN_SECONDS: Final = 5.0
_SWEEP_SECONDS: Final = 30.0
# A connection that rested longer may have been closed by the server without the event loop having looked yet.
_RESTED_SECONDS: Final = 1.0
_TURNS_TO_SEE_A_CLOSE: Final = 5
_TOO_MANY_CONNECTIONS: Final = "53300"


class Pool:
    """
    Connections to one database, for one event loop.

    Making a pool does nothing; `open` connects. Connections are made when they are needed, up to the limit of the URL's
    connection_limit; callers beyond it wait in order.

    Args:
        options: Where the database is; see `agentdb.postgres.url.parse_url`.
        application_name: What the server shows for these sessions, unless the URL names one.
        max_lifetime_seconds: Age at which a connection is replaced.
        max_idle_seconds: How long an unneeded connection is kept; one is always kept.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        *,
        application_name: str = "agentdb",
        max_lifetime_seconds: float = 1800.0,
        max_idle_seconds: float = 300.0,
    ) -> None:
        self._options = options
        self._application_name = application_name
        self._max_lifetime = max_lifetime_seconds
        self._max_idle = max_idle_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._facts: FactsBySql = WeakValueDictionary()
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._connecting = 0
        self._connectors: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Pool {self._options.masked()} {state}, {len(self._connections)} of {self._options.connection_limit}>"

    @property
    def options(self) -> ConnectionOptions:
        """Where the database is."""
        return self._options

    @property
    def is_open(self) -> bool:
        """Whether `open` was called, and `close` not since."""
        return self._loop is not None

    @property
    def is_orphaned(self) -> bool:
        """Whether it is open, but its event loop has been closed: nothing can be done with it but to open it anew."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def stats(self) -> PoolStats:
        """The state of the pool now."""
        now = time.monotonic()
        leases = [connection.leased_at for connection in self._connections if connection.leased_at is not None]
        return PoolStats(
            limit=self._options.connection_limit,
            size=len(self._connections),
            idle=len(self._idle),
            in_use=len(leases),
            connecting=self._connecting,
            waiting=len(self._waiters),
            oldest_lease_seconds=now - min(leases) if leases else None,
        )

    @property
    def tls(self) -> Tls | None:
        """What encrypts its connections; None when one of those that are open now is not encrypted."""
        found = [tls_of(connection.raw) for connection in self._connections]
        return found[0] if found and None not in found else None

    async def open(self) -> None:
        """
        Connect once, so that a wrong URL fails here. Opening an open pool does nothing.

        Raises:
            ConnectionFailedError: The server cannot be reached, or refused the role.
            ConfigurationError: A certificate cannot be read.
            NotConnectedError: The pool is open in another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed() and not self._is_of_another_process:
            raise self._not_open()
        self._forget_everything()
        self._process = os.getpid()
        connection, self._options = await dial_first(self._options, self._application_name, self._facts)
        self._loop = loop
        self._connections.add(connection)
        self._lend_or_keep(connection)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def close(self, *, timeout_seconds: float = 5.0) -> None:
        """
        Close every connection. Closing a closed pool does nothing.

        Args:
            timeout_seconds: How long to wait for connections that are in use; then they are cut off.

        Raises:
            NotConnectedError: The pool is open in another event loop.
        """
        loop = self._loop
        if loop is None:
            return
        if self._is_of_another_process or loop.is_closed():
            self._forget_everything()
            return
        if loop is not asyncio.get_running_loop():
            raise self._not_open()
        self._loop = None
        try:
            for task in self._connectors:
                task.cancel()
            self._refuse_waiters()
            await self._wait_until_drained(loop, timeout_seconds)
            # In order, also where a statement still runs: the server is told to stop it, and not left working.
            await asyncio.gather(*map(hang_up, self._connections))
        finally:
            self._forget_everything()

    def driver(self, tenant: str | None = None, *, when_committed: Callable[[], object] | None = None) -> Driver:
        """
        Return the way to the database for *tenant*: statements see the setting agentdb.organization_id as this text.

        Costs next to nothing and holds nothing. None: no tenant is set, so row-level security shows no rows.
        *when_committed* is called after each transaction that was begun here and committed, single calls aside.
        """
        return PoolDriver(self, tenant, when_committed)

    # What the drivers use.

    def take(self, tenant: str | None) -> Connection | None:
        """Lend an idle connection, one set to *tenant* if there is one; None when the caller has to `wait`."""
        if self._loop is not asyncio.get_running_loop():
            raise self._not_open()
        if not self._idle:
            return None
        now = time.monotonic()
        if now - self._idle[-1].returned_at > _RESTED_SECONDS:
            return None
        connection = self._pick(tenant)
        if connection is not None:
            connection.leased_at = now
        return connection

    async def wait(self, tenant: str | None, timeout_seconds: float | None = None) -> Connection:
        """Lend a connection, waiting in order for one to become free or be made."""
        if self._idle:
            # A few turns of the loop: to read the server's last words, the end of the stream, and to mark it closed.
            for _ in range(_TURNS_TO_SEE_A_CLOSE):
                await asyncio.sleep(0)
            connection = self._pick(tenant)
            if connection is not None:
                connection.leased_at = time.monotonic()
                return connection
        loop = self._loop
        if loop is None:
            raise self._not_open()
        limit = self._options.pool_timeout_seconds if timeout_seconds is None else timeout_seconds
        waiter: asyncio.Future[Connection] = loop.create_future()
        self._waiters.append(waiter)
        self._grow()
        timer = None if limit is None else loop.call_later(limit, self._expire, waiter, time.monotonic())
        try:
            return await waiter
        except BaseException:
            self._withdraw(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def give_back(self, connection: Connection) -> None:
        """Take a connection back. Never raises and never waits; an unclean one is cleaned in the background."""
        if connection not in self._connections:
            return
        raw = connection.raw
        now = time.monotonic()
        if self._loop is None or raw.is_closed() or now - connection.made_at > self._max_lifetime:
            self._discard(connection)
        elif connection.is_interrupted or connection.is_unsynced or raw.is_in_transaction():
            self.spawn(self._clean(connection))
        elif self._waiters:
            self._lend_or_keep(connection)
        else:
            connection.leased_at = None
            connection.returned_at = now
            self._idle.append(connection)

    def translate(self, error: BaseException, *, in_doubt: bool = False) -> BaseException:
        """Return what the caller gets for *error*."""
        ours = translate(error, in_doubt=in_doubt)
        if self._loop is None and isinstance(ours, QueryTimeoutError | ConnectionFailedError):
            return NotConnectedError("The client was closed while this statement ran.")
        return ours or error

    def forget(self, sql: str, error: BaseException) -> None:
        """Drop a prepared statement that the schema has outgrown, as *error* tells, on every connection."""
        for connection in self._connections:
            if is_changed_result(error):
                # A table has changed, so others will have outgrown it too. Each would cost a transaction to find out.
                connection.statements.clear()
            else:
                connection.statements.pop(sql, None)

    def check_loop(self) -> None:
        """
        Refuse another event loop than the pool's own: there, nobody would hear the server's answer.

        Raises:
            NotConnectedError: The pool is open in another event loop.
        """
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise self._not_open()

    def needs_transaction(self, tenant: str | None) -> bool:
        """Whether a statement has to carry its settings in a transaction: a pooler hands the sessions round."""
        return self._options.pgbouncer and (tenant is not None or self._options.schema is not None)

    @property
    def local_schema(self) -> str | None:
        """The schema that each transaction has to name; None where the session does, or nobody."""
        return self._options.schema if self._options.pgbouncer else None

    # Lending.

    def _pick(self, tenant: str | None) -> Connection | None:
        idle = self._idle
        while idle:
            position = -1
            if idle[-1].tenant != tenant:
                # Latest first, so that a busy tenant keeps its warm connection; else the one that rested longest.
                matches = (at for at in range(len(idle) - 2, -1, -1) if idle[at].tenant == tenant)
                position = next(matches, 0)
            connection = idle.pop(position)
            if not connection.raw.is_closed():
                return connection
            self._discard(connection)
        return None

    def _lend_or_keep(self, connection: Connection) -> None:
        """Hand a clean connection to the caller that has waited longest, or keep it."""
        now = time.monotonic()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                connection.leased_at = now
                waiter.set_result(connection)
                return
        connection.leased_at = None
        connection.returned_at = now
        self._idle.append(connection)

    def _withdraw(self, waiter: asyncio.Future[Connection]) -> None:
        """Clean up after a caller that stopped waiting; it may have been handed a connection in the same moment."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.give_back(waiter.result())

    def _expire(self, waiter: asyncio.Future[Connection], since: float) -> None:
        if waiter.done():
            return
        waiter.set_exception(time_out(self.stats, time.monotonic() - since))

    # Making and dropping connections.

    def _grow(self) -> None:
        """Start making connections for those who wait, up to the limit."""
        while (
            self._loop is not None
            and self._connecting < len(self._waiters)
            and len(self._connections) + self._connecting < self._options.connection_limit
        ):
            self._connecting += 1
            # In a task of its own: a caller that gives up does not throw the connection away, and one that gets another
            # connection first does not wait for this one.
            self.spawn(self._add_connection(), self._connectors)

    async def _add_connection(self) -> None:
        try:
            connection = await self._connect()
        except asyncio.CancelledError:
            self._connecting -= 1
            raise
        except Exception as error:  # whatever it is, the caller that waits must hear of it
            self._connecting -= 1
            self._connect_failed(error)
            return
        self._connecting -= 1
        if self._loop is None:
            connection.raw.terminate()
            return
        self._connections.add(connection)
        self._lend_or_keep(connection)

    def _connect_failed(self, error: Exception) -> None:
        if getattr(error, "sqlstate", None) == _TOO_MANY_CONNECTIONS and self._connections:
            return  # The server gives no more, but ours come back: keep waiting for one of these.
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                break
        self._grow()

    async def _connect(self) -> Connection:
        connection = await dial(self._options, self._application_name, self._facts)
        if self.tls is not None and tls_of(connection.raw) is None and not self._options.is_local:
            # sslmode=prefer allows it; but a server seldom unlearns TLS, and somebody on the way can make it look so.
            logger.warning("a further connection is not encrypted", extra={"address": self._options.address})
        # Connections made together must not all be replaced together.
        connection.made_at -= random.uniform(0.0, self._max_lifetime * 0.1)
        return connection

    def _discard(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._loop is not None and not connection.raw.is_closed():
            self.spawn(hang_up(connection))
        else:
            connection.raw.terminate()
        self._note_progress()
        self._grow()

    async def _clean(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_CLEAN_SECONDS):
                await connection.clean()
        except BaseException as error:
            connection.raw.terminate()
            self._discard(connection)
            if not isinstance(error, Exception):
                raise
            logger.info("dropped a connection that could not be cleaned", extra={"error": type(error).__name__})
        else:
            self.give_back(connection)

    def _sweep(self) -> None:
        """Close connections that nobody needed for long, or that are old; now and then, off the callers' path."""
        if self._loop is None:
            return
        now = time.monotonic()
        # The list is in the order of last use: the front has rested longest.
        for connection in list(self._idle):
            is_unneeded = now - connection.returned_at > self._max_idle and len(self._connections) > 1
            if is_unneeded or now - connection.made_at > self._max_lifetime or connection.raw.is_closed():
                self._idle.remove(connection)
                self._discard(connection)
        self._sweeper = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]] | None = None) -> None:
        """Run *work* in the background; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        (self._tasks if tasks is None else tasks).add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._connectors.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a background task of the pool failed", exc_info=task.exception())
        self._note_progress()

    # Closing.

    def _refuse_waiters(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(
                    NotConnectedError("The client was closed while this call waited for a connection.")
                )

    async def _wait_until_drained(self, loop: asyncio.AbstractEventLoop, timeout_seconds: float) -> None:
        self._drained = loop.create_future()
        self._note_progress()
        done, _ = await asyncio.wait([self._drained], timeout=timeout_seconds)
        if not done:
            logger.warning("closed the pool with connections in use", extra={"in_use": self.stats.in_use})

    def _note_progress(self) -> None:
        if self._drained is None or self._drained.done():
            return
        if not self._tasks and all(connection.leased_at is None for connection in self._connections):
            self._drained.set_result(None)

    def _forget_everything(self) -> None:
        """Cut off what is left, without waiting; also for a pool whose event loop has gone."""
        self._loop = None
        self._drained = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        # A forked child has the parent's sockets and its event loop's: to close them properly would close the parent's.
        if not self._is_of_another_process:
            for task in (*self._tasks, *self._connectors):
                if not task.get_loop().is_closed():
                    task.cancel()
            for connection in self._connections:
                with contextlib.suppress(RuntimeError):  # its event loop is closed; the socket goes with the object
                    connection.raw.terminate()
        self._tasks.clear()
        self._connectors.clear()
        self._connections.clear()
        self._idle.clear()
        self._waiters.clear()
        self._connecting = 0

    @property
    def _is_of_another_process(self) -> bool:
        return self._process != os.getpid()

    def _not_open(self) -> NotConnectedError:
        if self._loop is None:
            return NotConnectedError()
        return NotConnectedError(
            "This client was opened in another event loop, and its connections work only there. "
            "Open one client per event loop, or close it there and open it here: `async with client:`."
        )
