"""Memories with embeddings by the thousand, and the owner's way to the database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from agentdb.client.memory.embedding_index import BuildProgress, create_embedding_index, owner_pool
from agentdb.client.memory.embedding_kinds import sort_indexes
from agentdb.postgres.driver import Driver
from agentdb.postgres.url import parse_url

HELD_UP = "waiting for writers before build"

# Row n lies in cluster n % 20; where that is, the model says. importance is n % 100 hundredths, metadata has n.
_FILL = """
INSERT INTO agent_memories
    (organization_id, id, agent_id, content, content_hash, metadata, importance, embedding, embedding_model)
SELECT $1, gen_random_uuid(), $2, 'note ' || n, sha256(convert_to($3 || ' ' || n, 'UTF8')), jsonb_build_object('n', n),
    n % 100 / 100.0, made.embedding, $3
FROM generate_series(1, $5) AS n, LATERAL (
    SELECT array_agg(center.x + $6 * (random() - 0.5) ORDER BY center.place)::vector AS embedding
    FROM (
        SELECT place, sin(hashtextextended($3 || ' ' || n % 20, place)) AS x FROM generate_series(1, $4) AS place
    ) AS center
    WHERE n > 0
) AS made
"""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Driver]:
    """The way to the database as the owner of the tables."""
    pool = owner_pool(parse_url(url))
    await pool.open()
    try:
        yield pool.driver()
    finally:
        await pool.close()


async def fill(
    owner: Driver,
    *,
    agent: str = "scout-1",
    organization: str = "acme",
    model: str = "m",
    dimensions: int = 8,
    count: int = 3000,
    spread: float = 0.5,
) -> None:
    """Store memories of a registered agent: the same ones for the same arguments, *spread* about 20 centres."""
    async with owner.transaction() as transaction:
        await transaction.script("SELECT setseed(0.42)")
        await transaction.execute(_FILL, (organization, agent, model, dimensions, count, spread))
    await owner.script("ANALYZE agent_memories")


async def vectors(owner: Driver, model: str = "m", *, organization: str = "acme") -> dict[str, list[float]]:
    """Return the embeddings of a model by the ids of their memories."""
    rows = await owner.fetch(
        "SELECT id::text AS id, embedding::float4[] AS numbers FROM agent_memories "
        "WHERE embedding_model = $1 AND organization_id = $2 ORDER BY (metadata->>'n')::int",
        (model, organization),
    )
    return {row["id"]: list(row["numbers"]) for row in rows}


def near(vector: list[float], distance: float = 0.1, *, seed: int = 1) -> list[float]:
    """Return a vector near another."""
    dice = random.Random(seed)
    return [x + dice.uniform(-distance, distance) for x in vector]


def nearest(query: list[float], stored: dict[str, list[float]], limit: int) -> list[str]:
    """Return the ids of what lies nearest by the cosine, nearest first: the truth that an index is measured by."""
    matrix = np.array(list(stored.values()))
    cosines = matrix @ np.array(query) / np.linalg.norm(matrix, axis=1)
    ids = list(stored)
    return [ids[place] for place in np.argsort(-cosines)[:limit]]


@asynccontextmanager
async def held_up(owner: Driver) -> AsyncIterator[None]:
    """Hold builds up while the block runs: they wait for the end of a transaction that has written to the table."""
    async with owner.transaction() as writer:
        await writer.script("LOCK TABLE agent_memories IN ROW EXCLUSIVE MODE")
        yield


class BrokenOffError(Exception):
    """Somebody pressed Ctrl-C."""


async def is_broken(owner: Driver) -> bool:
    """Whether there is an index that nobody builds any more, and that is not whole."""
    return bool((await sort_indexes(owner))[1])


async def break_off(owner: Driver, model: str, dimensions: int) -> None:
    """Leave behind what a build that was broken off leaves."""

    def stop(progress: BuildProgress) -> None:
        if progress.phase == HELD_UP:  # before, there is nothing to leave behind
            raise BrokenOffError

    async with held_up(owner):
        with pytest.raises(BrokenOffError):
            await create_embedding_index(owner, model, dimensions, progress=stop)
        # The server hears of it a moment later; were nothing held up any more, it could be done by then.
        await until(lambda: is_broken(owner))


async def until(is_so: Callable[[], Any]) -> None:
    """Wait until *is_so* returns something true, awaited where it has to be; ten seconds at most."""
    async with asyncio.timeout(10):
        while True:
            found = is_so()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


class Phases(list[str]):
    """Hears how far a build is, and remembers its phases."""

    def __call__(self, progress: BuildProgress) -> None:
        assert progress.done <= progress.total or not progress.total
        self.append(progress.phase)
