"""
Memory stays where it is: after many shapes of query, many calls of one shape, and many crashes of the compiler.

`MEMORY_CALLS` sets how many calls each test makes; a hundred thousand take some ten minutes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agentdb.engine import shapes, transactions
from agentdb.engine.compiler import Planner, planner_for
from agentdb.engine.wasm import CompilerTrapError

pytestmark = pytest.mark.postgres

CALLS = int(os.environ.get("MEMORY_CALLS", "120"))
CACHED_PLANS = 20
CACHED_STATEMENTS = 15
SLACK = 64 << 10
LEAST_LEAK = 100  # bytes a call: an object or two
MEGABYTE = 1 << 20
PANIC = '{"modelName":"User","action":"nope","query":{"arguments":{},"selection":{"id":true}}}'

Call = Callable[[int], Awaitable[Any]]


@pytest.fixture
def schema(prisma_class: type[Any]) -> str:
    """The text of the schema, as the generated package carries it."""
    return str(prisma_class()._packaged_schema_path.read_text(encoding="utf-8"))


@pytest.fixture
async def small(
    prisma_class: type[Any], url: str, db: Any, schema: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """A client with one connection and small caches, which are full soon."""
    monkeypatch.setattr(planner_for(schema, "public"), "_max_plans", CACHED_PLANS)
    monkeypatch.setattr(shapes, "MAX_TEXTS", CACHED_PLANS)
    monkeypatch.setattr(transactions, "MAX_REMEMBERED", 10)
    options = f"connection_limit=1&statement_cache_size={CACHED_STATEMENTS}"
    async with prisma_class(datasource={"url": f"{url}&{options}"}, use_dotenv=False) as client:
        await client.user.create({"email": "a", "posts": {"create": {"title": "t"}}})
        yield client


async def growth(call: Call, *, warm: int, calls: int) -> int:
    """Return by how many bytes Python's memory has grown in *calls* calls, after *warm* others."""
    for number in range(warm):
        await call(number)
    gc.collect()
    tracemalloc.start()
    try:
        # What replaces something that was there before the start would count as growth: go once round the caches.
        for number in range(warm, 2 * warm):
            await call(number)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2 * warm, 2 * warm + calls):
            await call(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def resident() -> int:
    """Return how many bytes this process holds in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class TestShapes:
    async def test_many(self, small: Any, schema: str, client_package: ModuleType) -> None:
        """Every call of another shape: plans and statements stay within their bounds, and nothing else grows."""
        planner = planner_for(schema, "public")

        async def call(number: int) -> None:
            match number % 4:
                case 0:
                    await small.user.find_many(take=number + 1, include={"posts": {"take": number + 1}})
                case 1:
                    await small.user.find_first(where={"OR": [{"id": 1}] * (number % 20), "role": "GUEST"}, skip=number)
                case 2:
                    await small.query_raw(f"SELECT $1::int AS one, {number} AS number", 1)
                case 3:
                    with pytest.raises(client_package.errors.FieldNotFoundError) as caught:
                        await small.user.find_first(where={f"unknown_{number}": 1})
                    # match=… would keep each of the expressions
                    assert f"unknown_{number}" in str(caught.value)

        assert await growth(call, warm=4 * CACHED_PLANS, calls=CALLS) < SLACK + LEAST_LEAK * CALLS
        assert len(planner) <= CACHED_PLANS
        (connection,) = small._engine._pool._connections
        assert len(connection.statements) <= CACHED_STATEMENTS
        prepared = await small.query_raw("SELECT count(*)::int AS count FROM pg_prepared_statements")
        assert prepared[0]["count"] <= CACHED_STATEMENTS + 5

    async def test_of_one(self, small: Any) -> None:
        """Calls of one shape, with other values each time, leave nothing behind."""

        async def call(number: int) -> None:
            await small.user.find_unique({"email": str(number)}, include={"posts": True})
            await small.user.update(where={"email": "a"}, data={"name": str(number), "visits": {"increment": 1}})
            await small.user.create({"email": f"b{number}", "posts": {"create": [{"title": str(number)}]}})
            await small.post.delete_many(where={"title": str(number)})
            await small.user.delete({"email": f"b{number}"})
            await small.query_raw("SELECT $1::int AS one", number)
            async with small.tx() as tx:
                await tx.user.count(where={"id": number})
            async with small.batch_() as batch:
                batch.user.update_many(where={"id": number}, data={"name": "x"})

        assert await growth(call, warm=30, calls=CALLS) < SLACK + LEAST_LEAK * CALLS

    async def test_of_errors(self, small: Any, client_package: ModuleType) -> None:
        """Calls that fail, at every stage, leave nothing behind."""

        async def call(number: int) -> None:
            fails: list[Callable[[], Awaitable[Any]]] = [
                lambda: small.user.find_first(where={"nope": number}),
                lambda: small.user.find_first(where={"id": "x"}),
                lambda: small.user.create({"email": "a"}),
                lambda: small.user.find_unique_or_raise({"email": str(number)}),
                lambda: small.query_raw("SELECT 1 / 0"),
                lambda: small.user.create({"email": "b", "posts": {"create": {"title": "x" * 100}}}),
            ]
            for fail in fails:
                with pytest.raises(client_package.errors.PrismaError):
                    await fail()
            task = asyncio.ensure_future(small.user.count())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        assert await growth(call, warm=30, calls=CALLS) < SLACK + LEAST_LEAK * CALLS


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
class TestCrashes:
    """A crash of the compiler costs its instance, some megabytes, which have to come back."""

    def test_of_one_after_the_other(self, schema: str) -> None:
        """A hundred crashes in a row need no more memory than a few; a good request after each works."""
        planner = Planner(schema, "public")
        used = []
        for number in range(100):
            with pytest.raises(CompilerTrapError):
                planner.plan(PANIC)
            planner.plan(PANIC.replace("nope", "findMany").replace("{}", f'{{"take":{number}}}'))
            used.append(resident())
        assert used[-1] - used[9] < 32 * MEGABYTE

    def test_in_threads(self, schema: str) -> None:
        """Threads that share a compiler may crash it under one another; each gets its own answer."""
        planner = Planner(schema, "public")
        wrong: list[str] = []
        start = threading.Barrier(3)

        def work(thread: int) -> None:
            start.wait(10)
            for number in range(20):
                request = PANIC.replace("nope", "findMany").replace("{}", f'{{"take":{thread * 100 + number}}}')
                try:
                    planner.plan(request)
                    planner.plan(PANIC)
                except CompilerTrapError:
                    continue
                except Exception as error:
                    wrong.append(repr(error))
                else:
                    wrong.append("no crash")

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        before = resident()
        for number in range(20):
            with pytest.raises(CompilerTrapError):
                planner.plan(PANIC)
            planner.plan(PANIC.replace("nope", "findMany").replace("{}", f'{{"skip":{number}}}'))
        assert resident() - before < 32 * MEGABYTE

    async def test_while_others_run(self, db: Any, schema: str) -> None:
        """A crash fails its own call only: queries before, beside and after it answer, and soon."""
        await db.user.create({"email": "a"})
        planner = planner_for(schema, "public")

        async def crash() -> None:
            with pytest.raises(CompilerTrapError):
                planner.plan(PANIC)

        started = time.perf_counter()
        for number in range(10):
            queries = [db.user.find_many(take=1, skip=0, where={"id": {"gt": -each - number}}) for each in range(3)]
            results = await asyncio.gather(*queries, crash(), db.user.find_many(take=number + 7))
            assert [len(rows) for rows in results if rows is not None] == [1, 1, 1, 1]
        assert time.perf_counter() - started < 5
