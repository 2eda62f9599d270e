"""What a client's connections are when nothing is left of a call."""

from __future__ import annotations

import asyncio
from typing import Any


async def rest(client: Any, raw: Any) -> tuple[int, int, int]:
    """Return, after a moment, how many connections are lent, callers wait, and sessions are in a transaction."""
    state = (-1, -1, -1)
    for _ in range(100):
        stats = client._engine._pool.stats
        sessions = await raw.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND (state LIKE 'idle in transaction%' OR state = 'active')"
        )
        state = (stats.in_use, stats.waiting, sessions)
        if state == (0, 0, 0):
            break
        await asyncio.sleep(0.01)
    return state


async def lent(client: Any) -> int:
    """Return, after a moment, how many connections are lent; one may still be cleaned of what was refused."""
    for _ in range(100):
        if client._engine._pool.stats.in_use == 0:
            return 0
        await asyncio.sleep(0.01)
    return int(client._engine._pool.stats.in_use)
