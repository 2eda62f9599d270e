"""What tests of whole organizations share: one with rows in every table, and what all of its rows are."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from agentdb import AgentConfig, MemoryEntry, MetricPoint, PrismaAgentClient
from agentdb.client.database import TABLES
from tests.integration.client.transferring import administering

HOURS_AGO = datetime.now(UTC).replace(minute=30) - timedelta(hours=5)


async def fill(
    client: PrismaAgentClient, agents: tuple[str, ...] = ("scout-1", "pilot-1"), *, prices: bool = True
) -> None:
    """Give every agent rows in every table; each works with the next one."""
    for agent in agents:
        await client.agents.register(AgentConfig(name=agent, id=agent, category="SUPPORT", metadata={"likes": "fog"}))
    for agent, other in zip(agents, (*agents[1:], agents[0]), strict=True):
        await _remember(client, agent)
        await _work(client, agent, other)
        await _measure(client, agent)
        await _learn(client, agent)
    if prices:
        await client.prices.set("model-x", input="0.1234567891", output=15)
    await client.gathering.settle()


async def _remember(client: PrismaAgentClient, agent: str) -> None:
    first = await client.memories.store(
        MemoryEntry(agent_id=agent, content="The quay is empty.", embedding=[1.0, 0.1], embedding_model="m")
    )
    await client.memories.supersede(
        first, MemoryEntry(agent_id=agent, content="The quay is full.", metadata={"n": 1.5})
    )
    await client.memories.store(MemoryEntry(agent_id=agent, content="Shared.", visibility="organization"))
    await client.memories.store(MemoryEntry(agent_id=agent, content="Secret.", metadata={"who": "Ann"}, sensitive=True))


async def _work(client: PrismaAgentClient, agent: str, other: str) -> None:
    await client.tools.register(f"look_{agent}", "Look.", {"type": "object"}, owner_agent_id=agent)
    await client.tools.register(f"look_{agent}", "Look.", {"type": "object", "title": "far"}, owner_agent_id=agent)
    async with client.executions.track(agent, {"question": "deep?", "n": 12345678901234567890}) as execution:
        execution.log("asked", port="Bonn")
    child = await client.executions.start(other, "help", parent_id=execution.id)
    await client.tools.record_call(f"look_{agent}", agent, success=True, duration_ms=0.1, execution_id=execution.id)
    await client.tools.record_call(
        f"look_{agent}", other, success=False, duration_ms=2, execution_id=child.id, error="fog"
    )
    await client.tools.record_call(f"look_{agent}", agent, success=True, duration_ms=3)
    await client.executions.finish(child.id, {"answer": 12.5})


async def _measure(client: PrismaAgentClient, agent: str) -> None:
    points = [
        MetricPoint(agent_id=agent, name="depth", value=0.1 + n, unit="m", labels={"n": n}, recorded_at=HOURS_AGO)
        for n in range(3)
    ]
    await client.metrics.record_many(points)
    await client.metrics.roll_up()
    await client.metrics.record(agent, "depth", 7.25, "m", recorded_at=HOURS_AGO)  # late: the hour is marked


async def _learn(client: PrismaAgentClient, agent: str) -> None:
    pattern = await client.patterns.record(agent, "route", {"via": "north"}, name="north", half_life_days=30)
    for success in (True, True, False):
        await client.patterns.outcome(pattern.id, success)
    await client.patterns.quarantine(pattern.id, "storm")


async def checksums(admin_url: str, organization_id: str) -> dict[str, tuple[int, str]]:
    """Return of every table how many rows an organization has there, and a checksum of all that is in them."""
    found = {}
    async with administering(admin_url) as connection:
        for table in TABLES:
            rows = await connection.fetch(
                f"SELECT t::text AS row FROM {table} AS t WHERE organization_id = $1 ORDER BY 1", organization_id
            )
            text = "\n".join(row["row"] for row in rows)
            found[table] = len(rows), hashlib.sha256(text.encode()).hexdigest()
    return found


async def counts(admin_url: str, organization_id: str) -> dict[str, int]:
    """Return how many rows an organization has in every table where it has any."""
    return {table: rows for table, (rows, _) in (await checksums(admin_url, organization_id)).items() if rows}
