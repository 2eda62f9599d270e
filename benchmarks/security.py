"""What encryption costs: a memory, a task, a change of keys. The other side is the same call without it."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from agentdb import MemoryEntry, PrismaAgentClient
from agentdb.client.encryption.seals import Seals
from agentdb.client.memory.rows import memory_row
from agentdb.client.memory.sealing import open_memory, sealed_row
from agentdb.security.encryption import KeyRing
from benchmarks.database import ORGANIZATION, WRITER, Database
from benchmarks.harness import Case, Check, Measurement, compare

__all__ = ["NOTES", "measure_security"]

NOTES = (
    "the other side is agentdb without keys; 1 kB of text and three entries of metadata, a task and a result of 1 kB. "
    "Encryption alone by the processor's clock. A change of keys reads, decrypts, encrypts and writes each row, client "
    "and server on a processor each."
)

_OLD, _NEW = os.urandom(32), os.urandom(32)
_MOST_MS_A_MEMORY = 0.060
_MOST_MS_A_ROW = 1000 / 2000
_KILOBYTE = "x" * 1000
_REPEATED = 500
_AT_ONCE = 500

_numbers = itertools.count()


async def measure_security(
    database: Database, *, rows: int, rounds: int, tell: Callable[[str], object]
) -> list[Measurement | Check]:
    """Measure encryption alone, what it adds to calls, then a change of keys over *rows* memories and executions."""
    tell("encryption of 1 kB")
    measured: list[Measurement | Check] = [*_alone(rounds)]
    async with _keyed(database, old=_OLD) as client:
        for case in (_store(client, database.client), _task(client, database.client)):
            tell(case.name)
            measured.append(await compare(case, rounds=rounds))
        tell(f"{rows:,} encrypted memories and executions")
        await _fill(client, rows)
    async with _keyed(database, new=_NEW, old=_OLD) as client:
        tell("a change of keys")
        database.placement.apart()
        started = time.perf_counter()
        done = await client.rotate_keys()
        milliseconds = (time.perf_counter() - started) * 1000
        database.placement.together()
    return [*measured, Measurement("change of keys, per row", milliseconds / sum(done.rows.values()), _MOST_MS_A_ROW)]


@asynccontextmanager
async def _keyed(database: Database, **keys: bytes) -> AsyncIterator[PrismaAgentClient]:
    """Open a client that encrypts memories and executions."""
    settings = replace(database.client.settings, encryption_keys=keys, encrypt=frozenset({"executions"}))
    async with PrismaAgentClient(settings=settings) as client:
        yield client


def _alone(rounds: int) -> list[Measurement]:
    """Measure what awaits nothing."""
    row = memory_row(_entry(), None, None)
    seals = Seals(KeyRing({"old": _OLD}), ORGANIZATION)
    sealed = sealed_row(row, seals).sealed or b""

    def milliseconds(work: Callable[[], object]) -> float:
        started = time.thread_time()
        for _ in range(_REPEATED):
            work()
        return (time.thread_time() - started) * 1000 / _REPEATED

    works: dict[str, Callable[[], object]] = {
        "encrypt a memory of 1 kB": lambda: sealed_row(row, seals),
        "decrypt it": lambda: open_memory(row.id, sealed, seals),
    }
    return [
        Measurement(name, statistics.median(milliseconds(work) for _ in range(rounds)), _MOST_MS_A_MEMORY)
        for name, work in works.items()
    ]


def _store(client: PrismaAgentClient, plain: PrismaAgentClient) -> Case:
    return Case(
        "store an encrypted memory",
        lambda entry: client.memories.store(entry),
        {"plain": lambda entry: plain.memories.store(entry.model_copy(update={"sensitive": False}))},
        bar=None,
        prepare=_entry,
    )


def _task(client: PrismaAgentClient, plain: PrismaAgentClient) -> Case:
    return Case(
        "an encrypted task, start to end",
        lambda _: _work(client),
        {"plain": lambda _: _work(plain)},
        bar=None,
        prepare=lambda: None,
    )


async def _work(client: PrismaAgentClient) -> None:
    async with client.executions.track(WRITER, {"type": "analysis", "text": _KILOBYTE}) as execution:
        execution.result = _KILOBYTE


async def _fill(client: PrismaAgentClient, rows: int) -> None:
    for start in range(0, rows, _AT_ONCE):
        count = min(_AT_ONCE, rows - start)
        await client.memories.store_many([_entry() for _ in range(count)])
        await asyncio.gather(*(_work(client) for _ in range(count)))


def _entry() -> MemoryEntry:
    """Return a sensitive memory that was never stored before."""
    number = next(_numbers)
    metadata = {"number": number, "source": "benchmark", "subject": "alice"}
    return MemoryEntry(agent_id=WRITER, content=f"{number} {_KILOBYTE}", metadata=metadata, sensitive=True)
