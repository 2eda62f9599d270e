"""What the desk did, read with a client of its own: no agent runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agentdb import (
    Agent,
    Execution,
    LearningPattern,
    Memory,
    MemoryEntry,
    MetricPoint,
    MetricSeries,
    PrismaAgentClient,
    SearchWeights,
    TokenUsage,
    ToolStats,
)
from agentdb.prisma_client.enums import MemoryVisibility
from agentdb.prisma_client.models import AgentMemory
from agentdb.prisma_client.types import AgentMemoryInclude, AgentMemoryWhereInput


@dataclass(frozen=True)
class Report:
    """A day of one agent."""

    agent: Agent
    completed: int
    median_ms: float | None
    tokens: int
    cost: Decimal | None
    answers: MetricSeries
    tools: Sequence[ToolStats]
    tones: Sequence[LearningPattern]


async def daily_report(client: PrismaAgentClient, name: str) -> Report | None:
    """Return the report of the agent of this name; None when there is none."""
    agent = await client.agents.find(name)
    if agent is None:
        return None
    figures = (await client.executions.stats(agent.id, hours=24)).total
    return Report(
        agent=agent,
        completed=figures.completed,
        median_ms=figures.p50_ms,
        tokens=figures.usage.total,
        cost=figures.cost,
        answers=await client.metrics.series(agent.id, "answer_length", hours=24, bucket="1h"),
        tools=await client.tools.rank(),
        tones=await client.patterns.list(agent.id, min_confidence=0.0, pattern_type="tone"),
    )


async def last_execution(client: PrismaAgentClient, agent: Agent) -> tuple[Execution, list[str]] | None:
    """Return what the agent did last, and the names of its steps."""
    for execution in await client.executions.list(agent.id, status="completed", limit=1):
        tree = await client.executions.tree(execution.id)
        return tree.execution, [step.name for step in tree.steps]
    return None


async def move_in(client: PrismaAgentClient, agent: Agent, facts: Sequence[str]) -> list[str]:
    """Store all facts, or none, and count them in the same transaction."""
    async with client.transaction() as transaction:
        entries = [
            MemoryEntry(
                agent_id=agent.id,
                content=fact,
                metadata={"kind": "fact"},
                importance=0.8,
                visibility="organization",
                expires_at=datetime.now(UTC) + timedelta(days=365),
            )
            for fact in facts
        ]
        ids = await transaction.memories.store_many(entries)
        point = MetricPoint(
            agent_id=agent.id, name="facts", value=len(set(ids)), unit="facts", labels={"by": "move_in"}
        )
        await transaction.metrics.record_many([point])
        return ids


async def closest(client: PrismaAgentClient, agent: Agent, embedding: Sequence[float]) -> list[tuple[Memory, float]]:
    """Return the memories nearest to a vector, with their scores."""
    weights = SearchWeights(lexical=0, semantic=1, half_life=timedelta(days=90))
    found = await client.memories.search(agent.id, embedding=embedding, min_importance=0.5, weights=weights)
    return [(hit.memory, hit.score) for hit in found]


async def run_by_hand(client: PrismaAgentClient, agent: Agent, question: str) -> Execution:
    """Record an execution without the base class, as code does that has one of its own."""
    async with client.executions.track(agent.id, {"question": question}, kind="by hand") as running:
        running.usage.add(input=10, output=5, reasoning=2)
        running.result = {"answer": 42}
    started = await client.executions.start(agent.id, question, model="small-1")
    return await client.executions.finish(started.id, "done", usage=TokenUsage(input=10, output=5), cost=Decimal("0.1"))


async def important_memories(client: PrismaAgentClient, agent: Agent) -> list[AgentMemory]:
    """Return rows as Prisma has them, each with its agent: the whole query API, typed, of this organization alone."""
    where: AgentMemoryWhereInput = {
        "agentId": agent.id,
        "importance": {"gte": 0.5},
        "OR": [{"pinned": True}, {"content": {"contains": "ticket"}}, {"visibility": MemoryVisibility.organization}],
    }
    include: AgentMemoryInclude = {"agent": True}
    return await client.prisma.agentmemory.find_many(
        where=where, include=include, order={"importance": "desc"}, take=10
    )
