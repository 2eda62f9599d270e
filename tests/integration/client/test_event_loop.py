"""An event loop goes on turning while memories are stored and found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentdb import Agent, MemoryEntry, PrismaAgentClient
from tests.integration.client.encrypting import keyed

pytestmark = pytest.mark.postgres

LONGEST_MS = 20.0


async def longest_pause(work: Callable[[], Awaitable[Any]]) -> float:
    """
    Return the longest time in milliseconds for which *work* let nobody else run.

    It is this thread's time at the processor, so that what else the machine does plays no part.
    """
    longest = 0.0
    is_over = False

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while not is_over:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await work()
    is_over = True
    await watcher
    return longest * 1000


async def test_nothing_blocks_it(client: PrismaAgentClient, agent: Agent) -> None:
    """Neither a batch of 1,000 with embeddings nor a search of 100 hits; the best of three: a machine may be busy."""
    batches = [
        [
            MemoryEntry(agent_id=agent.id, content=f"harbour {batch} {n}", embedding=[float(n + 1), *[0.1] * 383])
            for n in range(1000)
        ]
        for batch in range(3)
    ]
    stored = [await longest_pause(lambda entries=entries: client.memories.store_many(entries)) for entries in batches]  # type: ignore[misc]
    vector = [1.0] * 384
    found = [
        await longest_pause(lambda: client.memories.search(agent.id, "harbour", embedding=vector, limit=100))
        for _ in range(3)
    ]

    assert min(stored) < LONGEST_MS
    assert min(found) < LONGEST_MS


async def test_sealing_does_not_block_it(agent: Agent, database_url: str) -> None:
    """Neither a change of keys nor a batch of 1,000 sensitive memories, under two keys; the best of three."""
    stored, rotated = [], []
    for batch, keys in enumerate((("k2", "k1"), ("k1", "k2"), ("k2", "k1"))):
        entries = [
            MemoryEntry(agent_id=agent.id, content=f"{batch} {n} {'x' * 4000}", metadata={"n": n}, sensitive=True)
            for n in range(1000)
        ]
        async with keyed(database_url, *keys) as client:
            stored.append(await longest_pause(lambda c=client, e=entries: c.memories.store_many(e)))  # type: ignore[misc]
        async with keyed(database_url, *reversed(keys)) as client:
            rotated.append(await longest_pause(client.rotate_keys))

    assert min(stored) < LONGEST_MS
    assert min(rotated) < LONGEST_MS
