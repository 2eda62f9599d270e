"""A million memories: loaded through the client in bounded memory, and searched beside a tenth of them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator

from agentdb import MemoryEntry, PrismaAgentClient
from agentdb.postgres.embedded import EmbeddedServer
from benchmarks.harness import Check, Measurement, compare
from benchmarks.placement import Placement
from benchmarks.retrieval.cases import make_search_cases
from benchmarks.retrieval.data import MODEL, Source
from benchmarks.retrieval.database import AGENT, ORGANIZATIONS, make_index, open_retrieval_database

__all__ = ["measure_large"]

_CHUNK = 10_000
_MOST_TIMES_SLOWER = 2.0
_MOST_GROWTH_MB = 200.0


async def measure_large(
    server: EmbeddedServer, placement: Placement, *, memories: int, rounds: int, tell: Callable[[str], object]
) -> list[Measurement | Check]:
    """Measure searches among a tenth of *memories*, then among all of them."""
    tell(f"{memories // 10:,} memories")
    async with open_retrieval_database(server, placement, memories // 10) as database:
        few = [await compare(case, rounds=rounds) for case in make_search_cases(database)]
    placement.release()  # what is measured is how much is stored, not by whom
    before = _resident_mb()
    await make_index(server, drop=True)  # it is built sooner over what is there than row by row
    started = time.perf_counter()
    await _load(server, memories // 10, memories, tell)
    seconds = time.perf_counter() - started
    growth = _resident_mb() - before
    tell("the index is built")
    await make_index(server)
    placement.together()
    async with open_retrieval_database(server, placement, memories, is_filled=True) as database:
        tell(f"{memories:,} memories")
        many = [await compare(case, rounds=rounds) for case in make_search_cases(database)]
    checks = [
        Check(f"loaded through store_many, rows/s (of {memories * 9 // 10:,})", memories * 0.9 / seconds, None),
        Check("  growth of the process meanwhile", growth, _MOST_GROWTH_MB, "MB"),
        *(
            Check(
                f"{one.name.strip()}: slower by, in %",
                100 * (other.ours_ms / one.ours_ms - 1),
                100 * (_MOST_TIMES_SLOWER - 1),
            )
            for one, other in zip(few, many, strict=True)
        ),
    ]
    return [*few, *many, *checks]


async def _load(server: EmbeddedServer, start: int, end: int, tell: Callable[[str], object]) -> None:
    """Store what is missing."""
    source = Source(seed=2)
    for number in range(ORGANIZATIONS):

        def entries(count: int, number: int = number) -> Iterator[MemoryEntry]:
            for done in range(0, count, _CHUNK):
                tell(f"tenant {number + 1} of {ORGANIZATIONS}: {done:,} of {count:,} stored")
                for fact in source.facts(min(_CHUNK, count - done)):
                    yield MemoryEntry(
                        agent_id=AGENT,
                        content=fact.content,
                        metadata={"n": 1},
                        embedding=fact.vector,
                        embedding_model=MODEL,
                    )

        async with PrismaAgentClient(server.url, f"tenant-{number}") as client:
            await client.memories.store_many(entries((end - start) // ORGANIZATIONS))


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
