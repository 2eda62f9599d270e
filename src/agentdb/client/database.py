"""The database as several clients share it: opened by the first, checked once, closed by the last."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from agentdb.errors import ConfigurationError, NotConnectedError
from agentdb.models import HealthReport, PoolHealth, RecordingHealth

if TYPE_CHECKING:
    from pathlib import Path

    from agentdb.client.gathering import Gathering
    from agentdb.config import Settings
    from agentdb.postgres.driver import Driver
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import ConnectionOptions
    from agentdb.security.encryption import KeyRing

__all__ = ["TABLES", "Database"]

logger = logging.getLogger("agentdb.client")

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
)
"""Every table, each of which has an organization in every row."""

_FACTS: Final = f"""
SELECT current_user::text AS role, current_setting('server_version') AS server_version,
    (SELECT bool_and(row_security_active(name)) FROM unnest(ARRAY{[*TABLES]}) AS name) AS is_bound,
    coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls,
    coalesce((SELECT max(migration_name) FROM _prisma_migrations
        WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL AND strpos(migration_name, '_agentdb_') > 0), '')
        AS schema_version
"""
_NOT_BOUND: Final = (
    "agentdb is connected as role {role!r}, which row-level security does not bind (it is superuser, owns the tables "
    "or has BYPASSRLS): only the client keeps organizations apart. Connect as a member of agentdb_app."
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


@dataclass(frozen=True, slots=True)
class _Facts:
    role: str
    server_version: str
    is_bound: bool
    tls: bool
    schema_version: str


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

    async def health(self, driver: Driver, organization_id: str, recording: RecordingHealth) -> HealthReport:
        """Return how the database and the way to it are; one round trip, which is timed."""
        started = time.perf_counter()
        facts = await _facts(driver)
        latency_ms = (time.perf_counter() - started) * 1000
        stats = self.pool.stats
        return HealthReport(
            status="ok" if facts.is_bound else "degraded",
            server_version=facts.server_version,
            schema_version=facts.schema_version,
            organization_id=organization_id,
            role=facts.role,
            tenancy="row-level-security" if facts.is_bound else "application-only",
            tls=facts.tls,
            latency_ms=latency_ms,
            pool=PoolHealth(size=stats.limit, idle=stats.idle, in_use=stats.in_use, waiting=stats.waiting),
            recording=recording,
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
            self._refuse_unbound(await _facts(driver))
        except BaseException:
            await pool.close()
            raise
        return pool

    async def _options(self) -> ConnectionOptions:
        from agentdb.postgres.url import parse_url

        settings = self.settings
        options = parse_url(settings.database_url or await self._embedded_url())
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

    def _refuse_unbound(self, facts: _Facts) -> None:
        if facts.is_bound:
            return
        text = _NOT_BOUND.format(role=facts.role)
        if self.settings.require_rls:
            raise ConfigurationError("DATABASE_URL", f"{text} AGENTDB_REQUIRE_RLS refuses to go on.")
        logger.warning("row-level security does not bind the role", extra={"role": facts.role})
        warnings.warn(text, stacklevel=2)


async def _facts(driver: Driver) -> _Facts:
    (row,) = await driver.fetch(_FACTS)
    return _Facts(**dict(row.items()))
