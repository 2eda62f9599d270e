from __future__ import annotations
import asyncio, hashlib, time, random
from dataclasses import replace
import pytest
from agentdb import *
from agentdb.client.memory.rows import identity
from tests.integration.client.encrypting import KEYS, corpus, keyed
from tests.integration.client.transferring import administering
from agentdb.client.memory.sealing import *
pytestmark = pytest.mark.postgres

async def test_hash(database_url, agent, client, admin_url):
    e = MemoryEntry(agent_id=agent.id, content="tulip", metadata={"a": 1}, sensitive=True)
    await client.memories.store(e)
    async with keyed(database_url, "k1") as c:
        await c.memories.store(e)
        done = await c.rotate_keys(encrypt_plain=True)
        print(done)
        rows = await c.driver.fetch("SELECT content_hash FROM agent_memories")
    bare = hashlib.sha256(identity("general", "tulip", '{"a":1}')).digest()
    print("LEAK", bare in [r["content_hash"] for r in rows])

async def test_deep(database_url, agent, client, admin_url):
    await client.memories.store(MemoryEntry(agent_id=agent.id, content="x", sensitive=True))
    async with administering(admin_url) as con:
        await con.execute("update agent_memories set metadata = (repeat('{\"a\":', 3000) || '1' || repeat('}', 3000))::jsonb")
    async with keyed(database_url, "k1") as c:
        try:
            print(await c.rotate_keys(encrypt_plain=True))
        except BaseException as e: print("DEEP", type(e), str(e)[:200])
    async with administering(admin_url) as con:
        await con.execute("update agent_memories set metadata = ('{\"a\": 1' || repeat('0', 5000) || '}')::jsonb")
    async with keyed(database_url, "k1") as c:
        try:
            print(await c.rotate_keys(encrypt_plain=True))
        except BaseException as e: print("LONG", type(e), str(e)[:200])

async def test_block(database_url, agent, client):
    worst = 0.0
    stop = False
    async def watch():
        nonlocal worst
        while not stop:
            t = time.perf_counter(); await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - t - 0.001)
    async with keyed(database_url, "k1") as c:
        await c.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"{i}" + "x" * 4000, metadata={"a": i, "b": "c", "d": None}, sensitive=True) for i in range(3000))
    async with keyed(database_url, "k2", "k1") as c:
        w = asyncio.ensure_future(watch())
        t = time.perf_counter()
        r = await c.rotate_keys()
        t = time.perf_counter() - t
        stop = True; await w
        print("BLOCK rotate", worst * 1000, "ms; rows/s", 3000 / t)
        for what in ("list", "store_many", "rekey"):
            worst = 0.0; stop = False
            w = asyncio.ensure_future(watch())
            await asyncio.sleep(0.01)
            if what == "list":
                await c.memories.list(agent.id, limit=1000)
            elif what == "store_many":
                await c.memories.store_many([MemoryEntry(agent_id=agent.id, content=f"y{i}" + "x" * 900, metadata={"a": i, "b": "c", "d": None}, sensitive=True) for i in range(3000)])
            await asyncio.sleep(0.01)
            stop = True; await w
            print("BLOCK", what, worst * 1000)
    worst = 0; stop = False
    await client.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"{i}" + "x" * 4000, metadata={"a": i, "b": "c", "d": None}) for i in range(3000))
    w = asyncio.ensure_future(watch())
    await asyncio.sleep(0.01)
    worst = 0
    await client.memories.list(agent.id, limit=1000, include_shared=False, where={"b": "c"})
    stop = True; await w
    print("BLOCK plain list", worst * 1000)

async def test_hnsw(database_url, agent, client, admin_url, migrated=None):
    rnd = random.Random(1)
    async with keyed(database_url, "k1") as c:
        await c.memories.store_many(MemoryEntry(agent_id=agent.id, content=f"{i}", embedding=[rnd.gauss(0,1) for _ in range(384)], embedding_model="m", sensitive=True) for i in range(3000))
    async with administering(admin_url) as con:
        await con.execute("CREATE INDEX agent_memories_near_384_x_idx ON agent_memories USING hnsw ((l2_normalize(embedding)::halfvec(384)) halfvec_cosine_ops) WHERE embedding_model = 'm' AND embedding_dimensions = 384")
        print([r[0] for r in await con.fetch("select indexdef from pg_indexes where indexname like 'agent_memories_near%'")])
    async with keyed(database_url, "k2", "k1") as c:
        t = time.perf_counter(); r = await c.rotate_keys(); t = time.perf_counter() - t
        print("HNSW rows/s", 3000 / t, r)
        hits = await c.memories.search(agent.id, embedding=[rnd.gauss(0,1) for _ in range(384)], embedding_model="m", limit=20)
        print(len(hits))
