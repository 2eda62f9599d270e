"""
What type checkers refuse: checked, never run. After each mistake stand the rule of mypy and that of pyright.

`tests/examples/test_typed_agent.py` checks that both find these mistakes and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agentdb import (
    AgentConfig,
    EnhancedAgentBase,
    Memory,
    MemoryEntry,
    MetricPoint,
    PrismaAgentClient,
    RetryPolicy,
    SearchWeights,
    TokenUsage,
    get_agent_client,
    tool,
)
from agentdb.engine import with_engine
from agentdb.prisma_client import Prisma
from agentdb.testing import MakeAgent


def models(memory: Memory) -> None:
    AgentConfig(name="a", category="HELPER")  # arg-type | reportArgumentType
    AgentConfig(name="a")  # call-arg | reportCallIssue
    AgentConfig(name="a", category="SUPPORT", retries=3)  # call-arg | reportCallIssue
    AgentConfig(name="a", category="SUPPORT", capabilities="reading")  # arg-type | reportArgumentType
    MemoryEntry(agent_id="a", content="x", importance="high")  # arg-type | reportArgumentType
    MemoryEntry(agent_id="a", content="x", visibility="everybody")  # arg-type | reportArgumentType
    MemoryEntry(agent_id="a", content="x", expires_at="tomorrow")  # arg-type | reportArgumentType
    MemoryEntry(agent_id="a", content="x", embedding="0.5")  # arg-type | reportArgumentType
    MemoryEntry("a", "x")  # call-arg | reportCallIssue
    MetricPoint(agent_id="a", name="n", value="1 s")  # arg-type | reportArgumentType
    TokenUsage(inputs=3)  # call-arg | reportCallIssue
    RetryPolicy(retry_on=ValueError)  # arg-type | reportArgumentType
    SearchWeights(lexical="more")  # arg-type | reportArgumentType
    memory.text  # attr-defined | reportAttributeAccessIssue
    memory.importance = 1.0  # misc | reportAttributeAccessIssue


async def resources(client: PrismaAgentClient, entry: MemoryEntry) -> None:
    await client.memories.store("The harbour freezes.")  # arg-type | reportArgumentType
    await client.memories.store(entry, on_duplicate="ignore")  # arg-type | reportArgumentType
    await client.memories.store_many(entry)  # arg-type | reportArgumentType
    await client.memories.search("a", "harbour", "10")  # call-arg | reportCallIssue
    await client.memories.search("a", limit="10")  # arg-type | reportArgumentType
    await client.memories.search("a", order="oldest")  # arg-type | reportArgumentType
    await client.memories.search("a", since="yesterday")  # arg-type | reportArgumentType
    await client.memories.search("a", importance=0.5)  # call-arg | reportCallIssue
    await client.memories.update("m", contents="x")  # call-arg | reportCallIssue
    client.memories.get("m").content  # attr-defined | reportAttributeAccessIssue
    client.memories.delete("m")  # unused-coroutine | reportUnusedCoroutine
    await client.agents.list(category="HELPER")  # arg-type | reportArgumentType
    await client.agents.list(status="asleep")  # arg-type | reportArgumentType
    (await client.agents.find("librarian")).id  # union-attr | reportOptionalMemberAccess
    await client.tools.record_call("t", "a", success=True)  # call-arg | reportCallIssue
    await client.tools.schemas("mistral")  # arg-type | reportArgumentType
    await client.executions.list(status="done")  # arg-type | reportArgumentType
    await client.executions.log("e", "x", "loud")  # arg-type | reportArgumentType
    await client.executions.finish("e", usage={"input": 3})  # arg-type | reportArgumentType
    async with client.executions.track("a", "task") as running:
        running.usage.add(inputs=3)  # call-arg | reportCallIssue
        running.cost = 0.1  # assignment | reportAttributeAccessIssue
    await client.metrics.record("a", "n", "fast")  # arg-type | reportArgumentType
    await client.metrics.series("a", "n", bucket="2h")  # arg-type | reportArgumentType
    await client.patterns.record("a", "prompt", "x", scope="world")  # arg-type | reportArgumentType
    with client.transaction():  # attr-defined | reportGeneralTypeIssues
        pass
    PrismaAgentClient(url="postgresql://")  # call-arg | reportCallIssue
    get_agent_client(embedder="openai")  # arg-type | reportArgumentType


async def prisma(client: PrismaAgentClient) -> None:
    await client.prisma.agentmemory.count(where={"agent_id": "a"})  # call-overload | reportArgumentType
    await client.prisma.agentmemory.find_many(take="10")  # arg-type | reportArgumentType
    await client.prisma.memory.find_many()  # attr-defined | reportAttributeAccessIssue
    with_engine("prisma")  # arg-type | reportArgumentType
    with_engine(Prisma)().agents  # attr-defined | reportAttributeAccessIssue


class NoVectors:
    model = "m"

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return []


class SyncVectors:
    model = "m"
    dimensions = 3

    def embed(self, texts: list[str]) -> list[list[float]]:
        return []


def embedders() -> None:
    PrismaAgentClient(embedder=NoVectors())  # arg-type | reportArgumentType
    PrismaAgentClient(embedder=SyncVectors())  # arg-type | reportArgumentType


class Agent(EnhancedAgentBase):
    async def execute_task(self, task: str) -> int:
        await self.look_up(7)  # arg-type | reportArgumentType
        await self.look_up("harbour", limit=3)  # call-arg | reportCallIssue
        self.look_up("harbour").upper()  # attr-defined | reportAttributeAccessIssue
        await self.remember(task, "high")  # arg-type | reportArgumentType
        await self.recall(task, "10")  # arg-type | reportArgumentType
        await self.recall(task, min_importance="0.5")  # arg-type | reportArgumentType
        await self.recall(task, minimum=0.5)  # call-arg | reportCallIssue
        await self.forget(before=datetime.now())  # call-arg | reportCallIssue
        self.execution.log(task, level="loud")  # arg-type | reportArgumentType
        await self.outcome(await self.choose("tone"))  # call-arg | reportCallIssue
        return "done"  # return-value | reportReturnType

    def get_capabilities(self) -> int:  # override | reportIncompatibleMethodOverride
        return 3

    @tool
    async def look_up(self, question: str) -> str:
        return question

    @tool  # type-var | reportArgumentType
    def no_coroutine(self, question: str) -> str:
        return question

    @tool(title="note")  # call-overload | reportCallIssue
    async def note(self, fact: str) -> None: ...


class Unfinished(EnhancedAgentBase):
    async def execute_task(self, task: str) -> None: ...


async def agents(agentdb_agent: MakeAgent) -> None:
    Unfinished(AgentConfig(name="a", category="SUPPORT"))  # abstract | reportAbstractUsage
    config = AgentConfig(name="a", category="support")
    async with Agent(config) as agent:
        (await agent.execute_task("x")).text  # attr-defined | reportAttributeAccessIssue
    (await agentdb_agent(Agent, config)).title  # attr-defined | reportAttributeAccessIssue
    await agentdb_agent(Agent)  # call-arg | reportCallIssue
    await agentdb_agent(Agent, "a")  # arg-type | reportArgumentType
