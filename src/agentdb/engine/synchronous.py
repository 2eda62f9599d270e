"""
The engine for synchronous clients: the same engine, on an event loop in a thread of its own.

One thread serves every synchronous client of the process. The callers' threads hand it coroutines and wait, so any
number of threads may share a client, its pool and its transactions.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar
from weakref import WeakSet

from agentdb.engine.engine import Engine
from agentdb.engine.request import Call

T = TypeVar("T")

_EXIT_SECONDS = 5.0


class Portal:
    """An event loop in a thread of its own, which dies with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="agentdb-engine", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* there and return its result. Whatever interrupts the wait, ^C for one, cancels the work."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # does nothing to what has ended
            raise

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start *work* there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


class SynchronousEngine:
    """
    The engine of one synchronous client.

    A process that was forked gets an engine of its own on first use: the thread stays with the parent, and so do the
    connections.

    Args:
        make: Makes the engine that it stands for.
    """

    def __init__(self, make: Callable[[], Engine]) -> None:
        self._make = make
        self._engine = make()
        self._process = os.getpid()
        self._options: tuple[timedelta, Sequence[Mapping[str, str]] | None] | None = None
        self._inherited: list[Engine] = []
        self._lock = threading.Lock()

    # -- the names are those of prisma-client-py's abstract engine

    def connect(self, timeout: timedelta, datasources: Sequence[Mapping[str, str]] | None = None) -> None:
        """Open the pool and load the compiler, as `Engine.connect` does."""
        _portal().call(self._engine.connect(timeout, datasources))
        self._options = (timeout, datasources)
        _open_engines.add(self)

    def close(self, *, timeout: timedelta | None = None) -> None:
        """Roll back what is still open and close the pool."""
        self._options = None
        _open_engines.discard(self)
        if self._process == os.getpid():
            _portal().call(self._engine.aclose(timeout=timeout))

    def stop(self, *, timeout: timedelta | None = None) -> Future[None] | None:
        """Close without waiting, when a client was forgotten; return what tells the end, if anything was open."""
        if self._options is None or self._process != os.getpid():
            return None
        self._options = None
        return _portal().submit(self._engine.aclose(timeout=timeout))

    def run(self, call: Call, transaction_id: str | None = None) -> Any:
        """Run one call of the client, as `Engine.run` does."""
        return _portal().call(self._current().run(call, transaction_id))

    def run_together(self, calls: Sequence[Call], transaction_id: str | None = None) -> None:
        """Run several calls, all or none."""
        _portal().call(self._current().run_together(calls, transaction_id))

    def start_transaction(self, *, content: str) -> str:
        """Open a transaction and return its id, as `Engine.start_transaction` does."""
        return _portal().call(self._current().start_transaction(content=content))

    def commit_transaction(self, transaction_id: str) -> None:
        """Commit and forget the transaction."""
        _portal().call(self._current().commit_transaction(transaction_id))

    def rollback_transaction(self, transaction_id: str) -> None:
        """Roll back and forget the transaction."""
        _portal().call(self._current().rollback_transaction(transaction_id))

    def metrics(self, **options: Any) -> Any:
        """Return the figures, as `Engine.metrics` does."""
        return _portal().call(self._current().metrics(**options))

    def _current(self) -> Engine:
        """Return the engine of this process."""
        if self._process == os.getpid():
            return self._engine
        with self._lock:
            if self._process != os.getpid():
                self._inherited.append(self._engine)  # kept: to collect it would close the parent's connections
                self._engine = self._make()
                if self._options is not None:
                    _portal().call(self._engine.connect(*self._options))
                    _open_engines.add(self)
                self._process = os.getpid()
        return self._engine


_lock = threading.Lock()
_portals: dict[int, Portal] = {}
_open_engines: WeakSet[SynchronousEngine] = WeakSet()


def _portal() -> Portal:
    """Return the portal of this process, which a fork does not inherit: the thread stays with the parent."""
    process = os.getpid()
    portal = _portals.get(process)
    if portal is None:
        with _lock:
            portal = _portals.get(process) or _portals.setdefault(process, Portal())
    return portal


def _forget_the_parent() -> None:
    """Leave behind what a forked process cannot use, and locks that nobody is left to release."""
    global _lock
    _lock = threading.Lock()
    _open_engines.clear()


def _close_all() -> None:
    """Close what is still open when the interpreter exits, so that the server need not wonder."""
    for closing in [engine.stop() for engine in list(_open_engines)]:
        if closing is not None:
            with suppress(Exception):
                closing.result(_EXIT_SECONDS)


os.register_at_fork(after_in_child=_forget_the_parent)
atexit.register(_close_all)
