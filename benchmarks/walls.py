"""What keeping organizations apart and logging each access cost, beside the same calls with neither."""

from __future__ import annotations

import itertools
import logging
import os
import random
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from agentdb import MemoryEntry, PrismaAgentClient
from benchmarks.database import WRITER, Database
from benchmarks.harness import Case, Measurement, Work, compare

__all__ = ["NOTES", "measure_walls"]

NOTES = (
    "as agentdb_app, bound by row-level security, each access logged to a file; the other side is agentdb as the "
    "owner of the tables, whom no policy binds, without a log."
)

_MOST = 1.10
_numbers = itertools.count()
_ACCESS = logging.getLogger("agentdb.access")


async def measure_walls(database: Database, *, rounds: int, tell: Callable[[str], object]) -> list[Measurement]:
    """Measure get and store with both walls, with the access log too, and with the log in the database."""
    measured = []
    async with _opened(database) as (bound, tabled, bare):
        with _listening():
            for case in (
                *_cases(database, bound, bare, "walls"),
                *_cases(database, bound, bare, "walls and log", is_heard=True, bar=_MOST),
                *_cases(database, tabled, bare, "walls, log in the database", is_heard=True, bar=_MOST),
            ):
                tell(case.name)
                measured.append(await compare(case, rounds=rounds))
    return measured


@asynccontextmanager
async def _opened(database: Database) -> AsyncIterator[tuple[PrismaAgentClient, PrismaAgentClient, PrismaAgentClient]]:
    """Open a client that is bound, one that logs in the database too, and one that nothing binds."""
    settings = database.client.settings
    unbound = replace(settings, database_url=database.server.admin_url)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Only the client keeps organizations apart")
        async with (
            PrismaAgentClient(settings=settings) as bound,
            PrismaAgentClient(settings=replace(settings, access_log=True)) as tabled,
            PrismaAgentClient(settings=unbound) as bare,
        ):
            yield bound, tabled, bare


@contextmanager
def _listening() -> Iterator[None]:
    """Write the access log to a file that keeps nothing, as an application writes it to one that does."""
    with open(os.devnull, "w", encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        level, propagates = _ACCESS.level, _ACCESS.propagate
        _ACCESS.addHandler(handler)
        _ACCESS.setLevel(logging.INFO)
        _ACCESS.propagate = False
        try:
            yield
        finally:
            _ACCESS.removeHandler(handler)
            _ACCESS.setLevel(level)
            _ACCESS.propagate = propagates


def _cases(
    database: Database,
    client: PrismaAgentClient,
    bare: PrismaAgentClient,
    what: str,
    *,
    is_heard: bool = False,
    bar: float | None = None,
) -> Iterator[Case]:
    chance = random.Random(1)
    yield Case(
        f"get by id: {what}",
        _heard(client.memories.get, is_heard=is_heard),
        {"neither": _heard(bare.memories.get, is_heard=False)},
        bar=bar,
        prepare=lambda: chance.choice(database.ids),
        calls=20,
    )
    yield Case(
        f"store: {what}",
        _heard(client.memories.store, is_heard=is_heard),
        {"neither": _heard(bare.memories.store, is_heard=False)},
        bar=bar,
        prepare=_entry,
    )


def _heard(work: Work, *, is_heard: bool) -> Work:
    """Return *work* with the access log on or off while it runs."""

    async def done(given: object) -> object:
        _ACCESS.disabled = not is_heard
        try:
            return await work(given)
        finally:
            _ACCESS.disabled = False

    return done


def _entry() -> MemoryEntry:
    """Return a memory of some 200 characters that was never stored before."""
    content = f"wall {next(_numbers)}: {'what an agent keeps in mind ' * 7}"
    return MemoryEntry(agent_id=WRITER, content=content, metadata={"source": "benchmark"})
