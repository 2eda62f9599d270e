"""Pools on this test's database, closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest_asyncio

from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from tests.conftest import Database

MakePool = Callable[..., Awaitable[Pool]]


@pytest_asyncio.fixture
async def make_pool(database: Database) -> AsyncIterator[MakePool]:
    """Opens pools: `await make_pool(connection_limit=3)`; keyword arguments are fields of ConnectionOptions."""
    pools: list[Pool] = []

    async def make(url: str | None = None, *, max_lifetime_seconds: float = 1800.0, **changes: Any) -> Pool:
        options = replace(parse_url(url or database.admin_url), **changes)
        pool = Pool(options, max_lifetime_seconds=max_lifetime_seconds)
        pools.append(pool)
        await pool.open()
        return pool

    yield make
    for pool in pools:
        await pool.close(timeout_seconds=1.0)


@pytest_asyncio.fixture
async def pool(make_pool: MakePool) -> Pool:
    """A pool of three connections as the owner."""
    return await make_pool(connection_limit=3)
