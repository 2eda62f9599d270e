"""Work that is done beside a test: on an event loop and a thread of its own; the test's own loop is left alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Aside", "run_aside"]

T = TypeVar("T")

_FOR_EVER: Final = 1e9


def run_aside(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on an event loop and a thread that end with it."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, work).result()


class Aside:
    """
    A way to the database of *url* that stays open, for synchronous code: each call blocks until it is done.

    Nothing is opened before the first call. `close` ends it.
    """

    def __init__(self, url: str) -> None:
        from agentdb.postgres.pool import Pool  # only those who need a database pay for the import
        from agentdb.postgres.url import parse_url

        # One connection for good: what it locks stays locked.
        self._pool = Pool(parse_url(url), application_name="agentdb-pytest", max_lifetime_seconds=_FOR_EVER)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def fetch(self, sql: str, *arguments: object) -> list[Record]:
        """Run one statement and return its rows."""
        rows: list[Record] = self._begin(self._fetch(sql, arguments)).result()
        return rows

    def run(self, sql: str) -> None:
        """Run a text of statements."""
        self._begin(self._run(sql)).result()

    async def run_awaited(self, sql: str) -> None:
        """Run a text of statements, and let the caller's event loop go on meanwhile."""
        await asyncio.wrap_future(self._begin(self._run(sql)))

    def close(self) -> None:
        """Close what is open. Doing it twice is fine."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._begin(self._pool.close()).result()
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _fetch(self, sql: str, arguments: Sequence[object]) -> list[Record]:
        await self._pool.open()
        rows: list[Record] = await self._pool.driver().fetch(sql, arguments)
        return rows

    async def _run(self, sql: str) -> None:
        await self._pool.open()
        await self._pool.driver().script(sql)

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="agentdb-pytest", daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)
