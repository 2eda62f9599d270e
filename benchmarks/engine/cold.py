"""
What a plan costs that is not in the cache: the call without its plan, less the same call with it.

Plans and the texts of requests are forgotten, but not the compiler, nor the statements that the server has prepared:
the difference is the plan.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.engine.database import EngineDatabase
from benchmarks.harness import Measurement

__all__ = ["measure_cold_plans"]


async def measure_cold_plans(database: EngineDatabase, *, times: int) -> list[Measurement]:
    """Measure both kinds of plan that have a bar, *times* times each."""
    authors = database.client.author

    def find() -> Awaitable[object]:
        awaited: Awaitable[object] = authors.find_unique(where={"id": 1})
        return awaited

    async def create_nested() -> None:
        posts = [{"title": "first", "content": "text"}, {"title": "second", "content": "text"}]
        fields = {"email": "new@example.org", "name": "New", "country": "none", "posts": {"create": posts}}
        made = await authors.create(data=fields)
        await database.raw.execute("DELETE FROM posts WHERE author_id = $1", made.id)
        await database.raw.execute("DELETE FROM authors WHERE id = $1", made.id)

    return [
        Measurement("cold plan: find_unique", await _plan_ms(database.client, find, times), 1.0),
        Measurement("cold plan: nested create", await _plan_ms(database.client, create_nested, times), 4.0),
    ]


async def _plan_ms(client: Any, call: Callable[[], Awaitable[object]], times: int) -> float:
    await call()
    gc.collect()
    differences = []
    for _ in range(times):
        _forget_plans(client)
        cold = await _milliseconds(call)
        differences.append(cold - await _milliseconds(call))
    return statistics.median(differences)


async def _milliseconds(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return (time.perf_counter() - start) * 1000


def _forget_plans(client: Any) -> None:
    """Empty the caches, for which there is no public way: nobody but a benchmark wants it."""
    planner = client._engine._planner
    planner._plans.clear()
    planner.shapes = type(planner.shapes)(planner.datamodel)
