"""The database as several clients share it: opened by the first, checked once, closed by the last."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import warnings
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from agentdb.client.walls import look_at_walls
from agentdb.errors import ConfigurationError, NotConnectedError
from agentdb.models import HealthReport, PoolHealth

if TYPE_CHECKING:
    from pathlib import Path

    from agentdb.client.gathering import Gathering
    from agentdb.client.walls import Walls
    from agentdb.config import Settings
    from agentdb.postgres.driver import Driver
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import ConnectionOptions
    from agentdb.security.encryption import KeyRing

__all__ = ["TABLES", "Database"]

logger: Final = logging.getLogger("agentdb.client")

TABLES: Final = (
    "agents",
    "agent_memories",
    "agent_tools",
    "agent_tool_versions",
    "agent_executions",
    "agent_steps",
    "agent_metrics",
    "agent_metric_rollups",
    "agent_metric_late_hours",
    "learning_patterns",
    "learning_pattern_changes",
    "learning_outcomes",
    "model_prices",
    "access_log",
)
"""Every table, each of which has an organization in every row."""

_NOT_APART: Final = (
    "Only the client keeps organizations apart: {gap}. Connect as a login role that is only a member of agentdb_app; "
    "`agentdb doctor` says more."
)
_NOT_ENCRYPTED: Final = (
    "The connection to {address} is not encrypted: whoever is on the way reads and changes all that is stored. Add "
    "sslmode=verify-full and sslrootcert=FILE to DATABASE_URL; AGENTDB_REQUIRE_TLS=1 refuses to go on without."
)

_ELSEWHERE: Final = (
    "This client is connected in another event loop; disconnect it there. Use one client per event loop: "
    "`get_agent_client()` gives each its own."
)

_WRITING_SECONDS: Final = 2.0

_named_directories: set[str] = set()
_databases: WeakSet[Database] = WeakSet()
_inherited: list[Pool] = []


def _forget_inherited() -> None:
    """In a forked process: leave what the parent holds open to the parent, whose sockets these are."""
    for database in _databases:
        database.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_inherited)


class Database:
    """
    A pool and those who hold it open. Belongs to the event loop in which it was opened; making one does nothing.

    Args:
        settings: Where the database is.

    Attributes:
        gatherings: By organization, what its calls gather in this process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool: Pool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._holders: dict[object, int] = {}
        self.gatherings: dict[str, Gathering] = {}
        _databases.add(self)

    async def open(self, holder: object, *, counts: bool) -> None:
        """
        Connect, unless it is open, and hold it open for *holder*.

        Args:
            holder: Who holds it.
            counts: Whether a holder that opens again holds it once more, and has to close as often.

        Raises:
            NotConnectedError: It is open in another event loop.
        """
        self._enter_loop()
        async with self._lock:
            if self._pool is None:
                self._pool = await self._connect()
            if counts or holder not in self._holders:
                self._holders[holder] = self._holders.get(holder, 0) + 1

    async def close(self, holder: object) -> None:
        """
        Let go of one hold of *holder*; the last one closes the pool. Without a hold it does nothing.

        Raises:
            NotConnectedError: It is open in another event loop, and stays open there.
        """
        if holder not in self._holders:
            return
        pool = self._pool
        self._enter_loop()
        if pool is not None and self._pool is None:  # its loop has gone; what is left of it is cut off
            await pool.close()
            return
        closing: Pool | None = None
        try:
            async with self._lock:
                holds = self._holders.pop(holder, 0)
                if holds > 1:
                    self._holders[holder] = holds - 1
                if self._holders or self._pool is None:
                    return
                closing = self._pool
                try:
                    await self._write_gathered()
                finally:
                    self._pool = None
        finally:
            if closing is not None:
                self._forget_gathered()
                await closing.close()

    async def _write_gathered(self) -> None:
        """Write what has gathered and is not written yet; for a moment, for nobody shall wait long to leave."""
        flushes = (gathering.flush() for gathering in list(self.gatherings.values()))
        try:
            async with asyncio.timeout(_WRITING_SECONDS):
                await asyncio.gather(*flushes)
        except TimeoutError:
            logger.warning("some of what had gathered could not be written before the client was closed")
        for gathering in self.gatherings.values():
            gathering.access_log.give_up()
        recordings = [gathering.recording for gathering in self.gatherings.values()]
        steps, ends = (sum(getattr(each, name) for each in recordings) for name in ("waiting_steps", "unwritten_ends"))
        if steps or ends:
            logger.error("what executions left behind is lost", extra={"steps": steps, "ends": ends})

    @property
    def pool(self) -> Pool:
        """
        The open pool.

        Raises:
            NotConnectedError: It is not open.
        """
        if self._pool is None:
            raise NotConnectedError
        return self._pool

    @cached_property
    def key_ring(self) -> KeyRing | None:
        """What encrypts and decrypts; None where there is no key."""
        keys = self.settings.encryption_keys
        if not keys:
            return None
        from agentdb.security.encryption import KeyRing  # only those who encrypt pay for the import

        return KeyRing(keys)

    @property
    def place(self) -> tuple[str | None, Path | None]:
        """Where the database is: equal for those that are the same one."""
        return self.settings.database_url, self.settings.data_dir

    @property
    def namespace(self) -> str | None:
        """The database and its schema, as OpenTelemetry names them; None while it is not open."""
        if self._pool is None:
            return None
        options = self._pool.options
        return "|".join(filter(None, (options.database, options.schema))) or None

    async def health(self, driver: Driver, organization_id: str, gathering: Gathering) -> HealthReport:
        """Return how the database and the way to it are; one round trip, which is timed."""
        started = time.perf_counter()
        walls = await look_at_walls(driver, TABLES)
        latency_ms = (time.perf_counter() - started) * 1000
        stats, tls = self.pool.stats, self.pool.tls
        return HealthReport(
            status="ok" if walls.stand else "degraded",
            server_version=walls.server_version,
            schema_version=walls.schema_version,
            organization_id=organization_id,
            role=walls.role,
            tenancy="row-level-security" if walls.stand else "application-only",
            unguarded_tables=walls.unguarded,
            tls=tls is not None,
            tls_version=tls.version if tls else None,
            tls_cipher=tls.cipher if tls else None,
            encryption_key=next(iter(self.settings.encryption_keys), None),
            latency_ms=latency_ms,
            pool=PoolHealth(size=stats.limit, idle=stats.idle, in_use=stats.in_use, waiting=stats.waiting),
            recording=gathering.recording,
            access_log=gathering.access_log_health,
        )

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._pool is not None and self._loop is not None and not self._loop.is_closed():
            raise NotConnectedError(_ELSEWHERE)
        # The loop of before is gone, and with it whatever was open there.
        self._loop, self._lock, self._pool = loop, asyncio.Lock(), None
        self._holders.clear()
        for gathering in self.gatherings.values():
            gathering.access_log.give_up()
        self._forget_gathered()

    def forget(self) -> None:
        """Drop what was opened before this process was forked, and touch nothing of it."""
        if self._pool is not None:
            _inherited.append(self._pool)  # kept, so that no finalizer touches the parent's connections
        self._loop, self._lock, self._pool = None, asyncio.Lock(), None
        self._holders.clear()
        self._forget_gathered()

    def _forget_gathered(self) -> None:
        for gathering in self.gatherings.values():
            gathering.forget()

    async def _connect(self) -> Pool:
        from agentdb.postgres import migrate  # asyncpg and all that follows are loaded when they are first needed
        from agentdb.postgres.pool import Pool

        pool = Pool(await self._options())
        await pool.open()
        try:
            driver = pool.driver()
            await migrate.check(driver)
            self._refuse_gaps(await look_at_walls(driver, TABLES))
            _warn_unencrypted(pool)
        except BaseException:
            await pool.close()
            raise
        return pool

    async def _options(self) -> ConnectionOptions:
        from agentdb.postgres.url import parse_url

        settings = self.settings
        options = parse_url(settings.database_url or await self._embedded_url(), require_tls=settings.require_tls)
        if settings.pool_size is not None:
            options = replace(options, connection_limit=settings.pool_size)
        if settings.pool_timeout_seconds is not None:
            options = replace(options, pool_timeout_seconds=settings.pool_timeout_seconds or None)
        return options

    async def _embedded_url(self) -> str:
        from agentdb.postgres.embedded import ensure_embedded

        server = await ensure_embedded(self.settings.data_dir)
        directory = str(server.data_dir)
        logger.info("using the embedded server", extra={"data_dir": directory})
        if directory not in _named_directories:
            _named_directories.add(directory)
            sys.stderr.write(
                f"agentdb: DATABASE_URL is not set; using the embedded PostgreSQL, its data in {directory}\n"
            )
        return server.url

    def _refuse_gaps(self, walls: Walls) -> None:
        if walls.stand:
            return
        text = _NOT_APART.format(gap=walls.gap)
        if self.settings.require_rls:
            raise ConfigurationError("DATABASE_URL", f"{text} AGENTDB_REQUIRE_RLS refuses to go on.")
        logger.warning("row-level security does not keep organizations apart", extra={"gap": walls.gap})
        warnings.warn(text, stacklevel=2)


def _warn_unencrypted(pool: Pool) -> None:
    """Warn of a way to the database that leaves the machine unencrypted."""
    options = pool.options
    if options.is_local or pool.tls is not None:
        return
    logger.warning("the connection is not encrypted", extra={"address": options.address})
    warnings.warn(_NOT_ENCRYPTED.format(address=options.address), stacklevel=2)
