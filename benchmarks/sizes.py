"""
`python -m benchmarks.sizes [--memories N]`: how many bytes a row of each table takes, and how fast rows are written.

Stores through a client what agents store, one kind after the other, and asks PostgreSQL what that took. The figures of
docs/explanation/scale.md come from here.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
from rich.console import Console
from rich.table import Table

from agentdb import AgentConfig, EnhancedAgentBase, MemoryEntry, MetricPoint, PrismaAgentClient, Settings, tool
from agentdb.postgres.embedded import ensure_embedded
from agentdb.postgres.url import parse_url
from benchmarks.retrieval.data import DIMENSIONS, MODEL, Source

__all__ = ["Size", "measure_sizes"]

ORGANIZATION: Final = "sizes"
_BATCH: Final = 1000
_TOOL_CALLS: Final = 3
_SIZES: Final = """
SELECT pg_table_size($1::regclass) AS heap, pg_indexes_size($1::regclass) AS indexes,
    (SELECT count(*) FROM {table}) AS rows
"""
_INDEX: Final = f"""
CREATE INDEX ON agent_memories USING hnsw ((embedding::vector({DIMENSIONS})) vector_cosine_ops)
"""


@dataclass(frozen=True, slots=True)
class Size:
    """
    What rows of a table took.

    Attributes:
        what: Which rows.
        rows: How many of them were written.
        heap: Bytes of the table for one of them, TOAST included.
        indexes: Bytes of its indexes for one of them.
        rate: Rows written in a second, by one task.
    """

    what: str
    rows: int
    heap: float
    indexes: float
    rate: float


class _Worker(EnhancedAgentBase):
    def __init__(self) -> None:
        super().__init__(AgentConfig(name="worker", category="SUPPORT"))

    def get_capabilities(self) -> list[str]:
        return []

    async def execute_task(self, task: dict[str, Any]) -> dict[str, Any]:
        for number in range(_TOOL_CALLS):
            await self.look(number)
        self.execution.usage.add(input=900, output=120)
        return {"answer": 42, "because": "none of them has gone"}

    @tool
    async def look(self, number: int) -> int:
        """Look whether it is still there."""
        return number


async def measure_sizes(memories: int) -> list[Size]:
    """Measure, with *memories* of each kind and as many rows of the other tables."""
    async with _database() as (client, owner):
        agent = (await client.agents.register(AgentConfig(name="writer", category="SUPPORT"))).id
        source = Source()

        async def store(count: int, *, embedded: bool) -> None:
            facts = list(source.facts(count))
            for start in range(0, count, _BATCH):
                await client.memories.store_many(
                    MemoryEntry(
                        agent_id=agent,
                        content=fact.content,
                        metadata={"source": "sizes"},
                        embedding=fact.vector if embedded else None,
                        embedding_model=MODEL if embedded else None,
                    )
                    for fact in facts[start : start + _BATCH]
                )

        async def record(count: int) -> None:
            now = datetime.now(UTC)
            for start in range(0, count, _BATCH):
                await client.metrics.record_many(
                    MetricPoint(
                        agent_id=agent,
                        name="latency",
                        value=float(at),
                        unit="ms",
                        recorded_at=now - timedelta(milliseconds=at),
                    )
                    for at in range(start, start + _BATCH)
                )

        async def work(count: int) -> None:
            worker = _Worker()
            await worker.initialize(client)
            for _ in range(count):
                await worker.execute_task({"type": "analysis", "question": "How many of the forty-two are left?"})
            await worker.cleanup()

        async def learn(count: int) -> None:
            pattern = await client.patterns.record(agent, "prompt", {"text": "Be brief."}, name="brief")
            for at in range(count):
                await client.patterns.outcome(pattern.id, at % 3 > 0)

        async def log(count: int) -> None:
            settings = replace(client.settings, access_log=True)
            async with PrismaAgentClient(settings=settings) as logged:
                for _ in range(count):
                    await logged.agents.get(agent)

        async def index(_: int) -> None:
            await owner.execute(_INDEX)

        few = max(memories // 10, 1)
        measure = _Measure(owner)
        await measure.rows("memory", "agent_memories", memories, lambda n: store(n, embedded=False))
        await measure.rows(
            f"memory with {DIMENSIONS} dimensions", "agent_memories", memories, lambda n: store(n, embedded=True)
        )
        await measure.rows("its vector index", "agent_memories", memories, index, makes_rows=False)
        await measure.rows("point of a metric", "agent_metrics", memories, record)
        await measure.rows(f"execution, {_TOOL_CALLS} calls of a tool", "agent_executions", few, work)
        await measure.rows("step of it", "agent_steps", few * _TOOL_CALLS, None)
        await measure.rows("outcome of a pattern", "learning_outcomes", few, learn)
        await measure.rows("entry of the access log", "access_log", few, log)
        return measure.sizes


class _Measure:
    """Compares a table before and after."""

    def __init__(self, owner: asyncpg.Connection) -> None:
        self._owner = owner
        self.sizes: list[Size] = []

    async def rows(
        self,
        what: str,
        table: str,
        count: int,
        write: Callable[[int], Awaitable[None]] | None,
        *,
        makes_rows: bool = True,
    ) -> None:
        """Measure *count* rows of *table* that *write* makes; None: they are there."""
        before = (0, 0, 0) if write is None else await self._size(table)
        began = time.perf_counter()
        if write is not None:
            await write(count)
        seconds = time.perf_counter() - began
        heap, indexes, rows = (b - a for a, b in zip(before, await self._size(table), strict=True))
        made = rows if makes_rows else count
        self.sizes.append(Size(what, made, heap / made, indexes / made, made / seconds if write else float("nan")))

    async def _size(self, table: str) -> Sequence[int]:
        await self._owner.execute(f"VACUUM ANALYZE {table}")
        row = await self._owner.fetchrow(_SIZES.format(table=table), table)
        assert row is not None
        return tuple(row)


@asynccontextmanager
async def _database() -> AsyncIterator[tuple[PrismaAgentClient, asyncpg.Connection]]:
    directory = Path(tempfile.mkdtemp(prefix="agentdb-sizes-"))
    server = await ensure_embedded(directory)  # durable, as by default
    try:
        settings = Settings(organization_id=ORGANIZATION, database_url=server.url)
        owner = await asyncpg.connect(**parse_url(server.superuser_url).connect_arguments())
        try:
            async with PrismaAgentClient(settings=settings) as client:
                yield client, owner
        finally:
            await owner.close()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _print(sizes: Sequence[Size]) -> None:
    table = Table("", "rows", "table, bytes", "indexes, bytes", "rows/s")
    for size in sizes:
        rate = "" if size.rate != size.rate else f"{size.rate:,.0f}"
        table.add_row(size.what, f"{size.rows:,}", f"{size.heap:,.0f}", f"{size.indexes:,.0f}", rate)
    Console().print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=50_000, help="rows of a kind; a multiple of 1,000")
    _print(asyncio.run(measure_sizes(parser.parse_args().memories)))


if __name__ == "__main__":
    main()
