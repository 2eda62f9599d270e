"""`EnhancedAgentBase` on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agentdb import (
    AgentConfig,
    ConflictError,
    EnhancedAgentBase,
    InvalidInputError,
    NotConnectedError,
    NotFoundError,
    PrismaAgentClient,
    tool,
)
from tests.wire import Wire

pytestmark = pytest.mark.postgres


class Scout(EnhancedAgentBase):
    """Does what its task says."""

    def __init__(self, name: str = "scout", id: str | None = None) -> None:
        super().__init__(
            AgentConfig(name=name, category="OPERATIONAL", capabilities=["reading"], id=id, metadata={"k": "v"})
        )

    async def execute_task(self, task: Any) -> Any:
        match task:
            case {"fail": text}:
                raise ValueError(text)
            case {"ask": agent}:
                return await agent.execute_task({"echo": "asked"})
            case {"again": times}:
                self.execution.usage.add(input=1)
                return await self.execute_task({"again": times - 1}) if times else "done"
            case {"sleep": seconds}:
                await asyncio.sleep(seconds)
        return {"echo": task}

    def get_capabilities(self) -> list[str]:
        return self.config.capabilities

    @tool(description="Look a word up.")
    async def lookup(self, word: str, times: int = 1) -> str:
        if word == "bad":
            raise LookupError(word)
        return word * times


class Careful(Scout):
    """Adds to what its base does."""

    async def execute_task(self, task: Any) -> Any:
        return {"careful": await super().execute_task(task)}


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of an application."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")


@pytest_asyncio.fixture
async def scout(environment: None) -> AsyncIterator[Scout]:
    """An initialized agent."""
    async with Scout() as agent:
        yield agent


async def test_initialize_registers_the_agent_and_its_tools(scout: Scout) -> None:
    """As configured; a restart is the same agent."""
    agent = await scout.client.agents.get(scout.id)
    assert (agent.name, agent.capabilities, agent.metadata, agent.status) == (
        "scout",
        ["reading"],
        {"k": "v"},
        "active",
    )
    (found,) = await scout.client.get_tools(owner_agent_id=scout.id)
    assert (found.name, found.description, found.parameters["required"]) == ("lookup", "Look a word up.", ["word"])

    await scout.initialize()
    async with Scout() as again:
        assert again.id == scout.id
        assert (await again.client.tools.get("lookup")).version == 1


async def test_a_task_is_recorded(scout: Scout) -> None:
    """Its task, its result, its time."""
    assert await scout.execute_task({"n": 1}) == {"echo": {"n": 1}}

    (execution,) = await scout.client.executions.list(scout.id)
    assert (execution.status, execution.task, execution.result) == ("completed", {"n": 1}, {"echo": {"n": 1}})
    assert execution.parent_id is None


async def test_a_task_costs_two_round_trips(roundtrips: Wire, database_url: str) -> None:
    """Start and finish."""
    async with PrismaAgentClient(roundtrips.url(database_url), "acme") as client:
        agent = Scout()
        await agent.initialize(client)
        await agent.execute_task(0)
        with roundtrips.counting() as count:
            await agent.execute_task(1)
        assert count.trips == 2


async def test_a_task_that_fails_is_recorded_and_raises(scout: Scout) -> None:
    """The agent's own exception, unchanged."""
    with pytest.raises(ValueError, match="no good"):
        await scout.execute_task({"fail": "no good"})

    (execution,) = await scout.client.executions.list(scout.id)
    assert (execution.status, execution.error, execution.error_type) == ("failed", "no good", "ValueError")


async def test_a_task_that_is_cancelled_is_recorded(scout: Scout) -> None:
    """As cancelled, by a time-out too."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(scout.execute_task({"sleep": 60}), 0.2)

    (execution,) = await scout.client.executions.list(scout.id)
    assert execution.status == "cancelled"


async def test_nested_tasks_are_a_tree(scout: Scout) -> None:
    """Through other agents and through itself; each counts its own tokens."""
    async with Careful("careful") as careful:
        assert careful.client is scout.client
        assert await scout.execute_task({"ask": careful}) == {"careful": {"echo": {"echo": "asked"}}}
        await scout.execute_task({"again": 2})

        again, asked = (
            execution for execution in await scout.client.executions.list(scout.id) if not execution.parent_id
        )
        tree = await scout.client.executions.tree(asked.id)
        assert [child.execution.agent_id for child in tree.children] == [careful.id]
        tree = await scout.client.executions.tree(again.id)
        assert [tree.execution.task, tree.children[0].execution.task] == [{"again": 2}, {"again": 1}]
        assert tree.children[0].children[0].execution.usage.input == 1
        assert tree.execution.usage.input == 1


async def test_super_belongs_to_the_call_that_makes_it(environment: None) -> None:
    """One logical call is one execution, however deep the classes."""

    class Deeper(Careful):
        """One more."""

        async def execute_task(self, task: Any) -> Any:
            self.execution.usage.add(output=1)
            return await super().execute_task(task)

    async with Deeper() as agent:
        assert await agent.execute_task(task=1) == {"careful": {"echo": 1}}
        (execution,) = await agent.client.executions.list(agent.id)
        assert (execution.result, execution.usage.output) == ({"careful": {"echo": 1}}, 1)


async def test_what_is_not_json_is_recorded_as_text(scout: Scout) -> None:
    """The task gets it, and gives it back, as it is."""
    task = {"fn": print, "text": "\x00"}

    assert (await scout.execute_task(task))["echo"] is task

    (execution,) = await scout.client.executions.list(scout.id)
    assert execution.task["fn"] == repr(print)
    assert "replaced" in execution.task["text"]


async def test_remember_and_recall(scout: Scout) -> None:
    """The keyword arguments are the metadata."""
    id = await scout.remember("The harbour freezes in January.", 0.8, source="almanac", page=7)

    (hit,) = await scout.recall("When does it freeze?")
    assert (hit.id, hit.memory.importance) == (id, 0.8)
    assert hit.memory.metadata == {"source": "almanac", "page": 7}
    assert (await scout.recall(limit=1))[0].id == id
    wrongs: list[dict[str, Any]] = [{"content": ""}, {"content": "x", "importance": 2}, {"content": "x", "what": print}]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError):
            await scout.remember(**wrong)


async def test_metrics_and_patterns(scout: Scout) -> None:
    """Under the agent's own id."""
    await scout.record_metric("accuracy", 0.95, "percentage")
    pattern = await scout.learn("prompt", {"text": "be brief"}, name="brief")

    assert (await scout.client.metrics.summary(scout.id))["accuracy"].last == 0.95
    assert await scout.client.patterns.list(scout.id) == [pattern]


async def test_tool_calls_are_counted(scout: Scout) -> None:
    """By name or directly, good or bad; arguments that do not fit make a call that failed."""
    assert await scout.call_tool("lookup", word="a", times="3") == "aaa"
    assert await scout.lookup("b") == "b"
    with pytest.raises(LookupError, match="bad"):
        await scout.lookup("bad")
    for arguments in ({}, {"word": "a", "times": "many"}, {"word": "a", "wrod": "b"}):
        with pytest.raises(InvalidInputError, match=r"arguments\."):
            await scout.call_tool("lookup", **arguments)
    with pytest.raises(NotFoundError, match="tool"):
        await scout.call_tool("remember", content="x")

    counted = await scout.client.tools.get("lookup")
    assert (counted.calls, counted.successes) == (6, 2)
    assert counted.total_duration_ms > 0


async def test_cleaning_one_agent_up_leaves_the_other_working(environment: None) -> None:
    """They share one client; doing it twice takes nothing from the other."""
    one, other = Scout("one"), Scout("other")
    await one.initialize()
    await other.initialize()
    assert one.client is other.client

    await one.cleanup()
    await one.cleanup()

    await other.remember("still here")
    with pytest.raises(NotConnectedError):
        await one.remember("gone")
    await other.cleanup()
    with pytest.raises(NotConnectedError):
        await other.client.health_check()


async def test_an_agent_that_cannot_register_leaves_nothing_open(environment: None, scout: Scout) -> None:
    """The client is left again, and the next try may work."""
    impostor = Scout("scout", id="other-id")
    with pytest.raises(ConflictError):
        await impostor.initialize()
    with pytest.raises(NotConnectedError):
        await impostor.remember("x")

    await scout.cleanup()
    with pytest.raises(NotConnectedError):
        await scout.client.health_check()


async def test_a_given_client_is_borrowed(database_url: str) -> None:
    """It stays open at cleanup."""
    async with PrismaAgentClient(database_url, "other") as client:
        agent = Scout()
        await agent.initialize(client)
        await agent.remember("text")
        await agent.cleanup()

        assert [found.organization_id for found in await client.agents.list()] == ["other"]
        assert await client.memories.count(agent.id) == 1


async def test_an_agent_that_is_initialized_at_once_holds_its_client_once(environment: None) -> None:
    """So that one cleanup lets go of it, also one that does not wait for the initialization."""
    for _ in range(2):
        agent = Scout()
        await asyncio.gather(*(agent.initialize() for _ in range(5)))
        client = agent.client
        await agent.cleanup()
        with pytest.raises(NotConnectedError):
            await client.agents.list()

    opening = asyncio.create_task(agent.initialize())
    await asyncio.sleep(0)
    await agent.cleanup()
    await opening
    with pytest.raises(NotConnectedError):
        await client.agents.list()


async def test_an_agent_forgets_and_keeps_its_limit(database_url: str) -> None:
    """By metadata on request; beyond `max_memories`, the least valuable when it leaves."""

    class Collector(EnhancedAgentBase):
        def __init__(self) -> None:
            super().__init__(AgentConfig(name="collector", category="SUPPORT", max_memories=2))

        async def execute_task(self, task: Any) -> None: ...

        def get_capabilities(self) -> list[str]:
            return []

    async with PrismaAgentClient(database_url, "acme") as client:
        agent = Collector()
        await agent.initialize(client)
        for number in range(4):
            await agent.remember(f"fact {number}", importance=number / 10, number=number)
        assert await agent.forget({"number": 3}, dry_run=True) == 1
        assert await agent.forget({"number": 3}) == 1
        await agent.cleanup()

        assert {memory.content for memory in await client.memories.list(agent.id)} == {"fact 1", "fact 2"}
