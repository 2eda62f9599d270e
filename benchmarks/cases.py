"""The operations, and what each is when it is written by hand."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

from agentdb import MemoryEntry
from agentdb.engine import with_engine
from agentdb.ids import uuid7_text
from agentdb.prisma_client import Prisma
from benchmarks.database import AGENT, ORGANIZATION, WRITER, Database
from benchmarks.executions import make_execution_cases
from benchmarks.harness import Case, Work

__all__ = ["make_cases"]

# What a Memory holds.
_COLUMNS = """id, agent_id, content, metadata, importance, memory_type, visibility, sensitive, pinned, embedding_model,
    execution_id, created_at, occurred_at, expires_at, superseded_by_id, store_count, access_count, last_accessed_at"""
# What the generated client's AgentMemory holds.
_PRISMA_COLUMNS = f"{_COLUMNS}, organization_id, content_hash, superseded_at, updated_at"
_LIVING = "superseded_at IS NULL AND (expires_at IS NULL OR expires_at > now())"

_GET = f"SELECT {_COLUMNS} FROM agent_memories WHERE organization_id = $1 AND id = $2 AND {_LIVING}"
_NEWEST = f"""SELECT {_COLUMNS} FROM agent_memories WHERE organization_id = $1 AND agent_id = $2 AND {_LIVING}
    ORDER BY created_at DESC LIMIT 10"""
_FIND = f"SELECT {_PRISMA_COLUMNS} FROM agent_memories WHERE organization_id = $1 AND id = $2"
# A plain INSERT: without the ON CONFLICT that keeps a memory from being stored twice. Unnamed columns have defaults.
_FIELDS = ("organization_id", "id", "agent_id", "content", "content_hash", "metadata", "importance", "memory_type")
_STORE = f"INSERT INTO agent_memories ({', '.join(_FIELDS)}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
_STORE_MANY = f"""INSERT INTO agent_memories ({", ".join(_FIELDS)})
    SELECT $1, id, $2, content, hash, metadata::jsonb, importance, type
    FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::float8[], $8::text[])
        AS given (id, content, hash, metadata, importance, type)"""

_Fact = tuple[str, dict[str, Any], float]
_numbers = itertools.count()


def make_cases(database: Database) -> Iterator[Case]:
    """Make the cases of *database*, in the order of the table."""
    client, raw = database.client, database.raw
    chance = random.Random(1)  # the same ids in every run

    def some_id() -> str:
        return chance.choice(database.ids)

    yield Case(
        "get by id",
        lambda id: client.memories.get(id),
        {"asyncpg": lambda id: raw.fetchrow(_GET, ORGANIZATION, id)},
        bar=2.0,
        prepare=some_id,
        calls=20,
    )
    yield Case(
        "newest 10",
        lambda _: client.memories.list(AGENT, limit=10),
        {"asyncpg": lambda _: raw.fetch(_NEWEST, ORGANIZATION, AGENT)},
        bar=2.0,
        prepare=lambda: None,
        calls=20,
    )
    yield Case(
        "store",
        lambda fact: client.memories.store(_entry(fact)),
        {"asyncpg": lambda fact: raw.execute(_STORE, *_row(fact))},
        bar=1.6,
        prepare=_fact,
    )
    yield from make_execution_cases(database)
    yield from _store_many(database)
    yield from _prisma(database, some_id)


def _store_many(database: Database) -> Iterator[Case]:
    client, raw, owner = database.client, database.raw, database.owner

    async def unnest(facts: list[_Fact]) -> None:
        columns = list(zip(*map(_row, facts), strict=True))
        await raw.execute(_STORE_MANY, ORGANIZATION, WRITER, columns[1], *columns[3:])

    async def copy(facts: list[_Fact]) -> None:
        await owner.copy_records_to_table("agent_memories", columns=_FIELDS, records=map(_row, facts))

    ways = {
        "executemany": lambda facts: raw.executemany(_STORE, map(_row, facts)),
        "unnest": unnest,
        "COPY": copy,
    }

    def facts() -> list[_Fact]:
        return [_fact() for _ in range(1000)]

    # The caller has its entries in hand, as the other side has its tuples; the second case makes them on the clock.
    made: dict[int, list[MemoryEntry]] = {}

    def entries() -> list[_Fact]:
        given = facts()
        made.clear()
        made[id(given)] = [_entry(fact) for fact in given]
        return given

    yield Case(
        "store_many of 1,000",
        lambda given: client.memories.store_many(made[id(given)]),
        ways,
        bar=1.15,
        prepare=entries,
        calls=1,
        turns=2,
    )
    yield Case(
        "  entries made on the clock",
        lambda given: client.memories.store_many(map(_entry, given)),
        ways,
        bar=None,
        prepare=facts,
        calls=1,
        turns=2,
    )


def _prisma(database: Database, some_id: Any) -> Iterator[Case]:
    raw = database.raw
    on_engine: Any = with_engine(Prisma)  # whose constructor takes a driver, unlike the type that it has
    engine = on_engine(driver=database.client.driver)  # the engine alone, no organization bound
    scoped = database.client.prisma
    find: dict[str, Work] = {"asyncpg": lambda id: raw.fetchrow(_FIND, ORGANIZATION, id)}

    async def find_scoped(id: str) -> object:
        if not scoped.is_connected():
            await scoped.connect()
        where: Any = {"id": id}  # the scope completes the compound key
        return await scoped.agentmemory.find_unique(where=where)

    async def find_unscoped(id: str) -> object:
        if not engine.is_connected():
            await engine.connect()
        where = {"organizationId_id": {"organizationId": ORGANIZATION, "id": id}}
        return await engine.agentmemory.find_unique(where=where)

    yield Case("Prisma find_unique", find_unscoped, find, bar=1.8, prepare=some_id, calls=20)
    yield Case(
        "  through client.prisma (scoped)",
        find_scoped,
        find,
        bar=None,
        prepare=some_id,
        calls=20,
    )


def _fact() -> _Fact:
    """Return something to remember that was never said before: some 200 characters."""
    number = next(_numbers)
    text = f"Fact {number} of the benchmark: " + f"{random.getrandbits(128):032x} " * 5
    return text, {"number": number, "source": "benchmark"}, 0.5


def _entry(fact: _Fact) -> MemoryEntry:
    return MemoryEntry(agent_id=WRITER, content=fact[0], metadata=fact[1], importance=fact[2])


def _row(fact: _Fact) -> tuple[Any, ...]:
    """Return the row by hand: its id is of the same kind, its hash and its JSON have to be made here too."""
    content, metadata, importance = fact
    document = json.dumps(metadata)
    digest = hashlib.sha256(f"general\0{content}\0{document}".encode()).digest()
    return ORGANIZATION, uuid7_text(), WRITER, content, digest, document, importance, "general"
