"""What `EnhancedAgentBase` records by itself: attempts, time-outs, tools, and exactly so under load."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from agentdb import (
    AgentConfig,
    EnhancedAgentBase,
    ExecutionTree,
    InvalidInputError,
    PrismaAgentClient,
    RetryPolicy,
    Settings,
    TaskTimeoutError,
    TokenUsage,
    tool,
)
from tests.wire import Wire

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client of the organization "acme"."""
    async with PrismaAgentClient(database_url, "acme") as connected:
        yield connected


class Worker(EnhancedAgentBase):
    """Does the function that it is given; its task is a list of what that returns or raises, one for each attempt."""

    def __init__(self, name: str = "worker", **options: Any) -> None:
        super().__init__(AgentConfig(name=name, category="OPERATIONAL", **options))
        self.attempts = 0

    async def execute_task(self, task: Any) -> Any:
        outcome = task["outcomes"][self.attempts]
        self.attempts += 1
        self.execution.usage.add(input=1)
        if isinstance(outcome, float):
            await asyncio.sleep(outcome)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def get_capabilities(self) -> list[str]:
        return self.config.capabilities

    @tool
    async def halve(self, number: int) -> int:
        """Halve an even number."""
        if number % 2:
            raise ValueError("odd")
        return number // 2


async def only_tree(client: PrismaAgentClient) -> ExecutionTree:
    (execution,) = await client.executions.list()
    return await client.executions.tree(execution.id)


QUICK = {"delay_seconds": 0.001}


class TestAttempts:
    """A task that fails is tried again, as the configuration says; all within one execution."""

    async def test_until_one_succeeds(self, client: PrismaAgentClient) -> None:
        """Each that failed is a step, and the tokens of all count."""
        worker = Worker(retry=RetryPolicy(attempts=3, **QUICK))
        await worker.initialize(client)

        assert await worker.execute_task({"type": "t", "outcomes": [KeyError("a"), ValueError("b"), "done"]}) == "done"

        tree = await only_tree(client)
        assert (tree.execution.status, tree.execution.result, tree.execution.kind) == ("completed", "done", "t")
        assert tree.execution.usage == TokenUsage(input=3)
        assert [(step.kind, step.name, step.error_type, step.message, step.success) for step in tree.steps] == [
            ("attempt", "retry", "KeyError", "'a'", False),
            ("attempt", "retry", "ValueError", "b", False),
        ]
        assert [step.data["attempt"] for step in tree.steps] == [1, 2]
        assert tree.children == []

    async def test_until_none_is_left(self, client: PrismaAgentClient) -> None:
        """The last exception is the task's own, as it was raised."""
        worker = Worker(retry=RetryPolicy(attempts=2, **QUICK))
        await worker.initialize(client)
        last = ValueError("last")

        with pytest.raises(ValueError, match="last") as caught:
            await worker.execute_task({"outcomes": [KeyError("first"), last]})

        assert caught.value is last
        tree = await only_tree(client)
        assert (tree.execution.status, tree.execution.error_type, len(tree.steps)) == ("failed", "ValueError", 1)

    async def test_not_when_another_attempt_would_not_help(self, client: PrismaAgentClient) -> None:
        """Other exceptions than those named, cancellations, and by default any."""
        for policy in (RetryPolicy(attempts=5, retry_on=(OSError,), **QUICK), RetryPolicy()):
            worker = Worker(retry=policy)
            await worker.initialize(client)
            with pytest.raises(KeyError):
                await worker.execute_task({"outcomes": [KeyError("x"), "never"]})
            assert worker.attempts == 1
        worker = Worker(retry=RetryPolicy(attempts=5, **QUICK))
        await worker.initialize(client)
        with pytest.raises(asyncio.CancelledError):
            await worker.execute_task({"outcomes": [asyncio.CancelledError(), "never"]})
        assert worker.attempts == 1

    async def test_a_task_that_takes_too_long(self, client: PrismaAgentClient) -> None:
        """Is cancelled and tried again like one that failed; a TimeoutError of its own stays its own."""
        worker = Worker(task_timeout_seconds=0.05, retry=RetryPolicy(attempts=3, **QUICK))
        await worker.initialize(client)

        assert await worker.execute_task({"outcomes": [60.0, "done"]}) == "done"
        worker.attempts = 0
        with pytest.raises(TaskTimeoutError, match=r"0\.05 s") as caught:
            await worker.execute_task({"outcomes": [60.0, 60.0, 60.0]})
        assert isinstance(caught.value, TimeoutError)
        own = TimeoutError("mine")
        worker.attempts = 0
        with pytest.raises(TimeoutError) as other:
            await worker.execute_task({"outcomes": [own, own, own]})

        assert other.value is own
        statuses = [(found.status, found.error_type) for found in await client.executions.list()]
        assert statuses == [
            ("failed", "TimeoutError"),
            ("failed", "agentdb.errors.TaskTimeoutError"),
            ("completed", None),
        ]

    @pytest.mark.parametrize(
        "options",
        [
            {"retry": {"attempts": 0}},
            {"retry": {"delay_seconds": -1}},
            {"retry": {"factor": 0.5}},
            {"retry": {"retry_on": ("ValueError",)}},
            {"retry": {"retry_on": (KeyboardInterrupt,)}},
            {"task_timeout_seconds": 0},
            {"task_timeout_seconds": float("inf")},
        ],
    )
    def test_policies_that_are_none(self, options: dict[str, Any]) -> None:
        """Refused when the configuration is built."""
        with pytest.raises(ValueError, match=r"retry|timeout"):
            AgentConfig(name="x", category="SUPPORT", **options)

    def test_waits_grow_and_are_bounded(self) -> None:
        """Without overflowing."""
        policy = RetryPolicy(attempts=100, delay_seconds=1, factor=10, max_delay_seconds=50)
        assert [policy.delay_after(attempt) for attempt in (1, 2, 3, 99, 1000)] == [1, 10, 50, 50, 50]


class Surprising(EnhancedAgentBase):
    """Has an attribute or a method of its own under every public name of its base."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="surprising", category="SUPPORT"))

    async def execute_task(self, task: Any) -> Any:
        return await self.twice(task)

    def get_capabilities(self) -> list[str]:
        return []

    @tool
    async def twice(self, number: int) -> int:
        """Double a number."""
        return 2 * number

    id = property(lambda self: "mine")
    client = property(lambda self: "mine")
    execution = property(lambda self: "mine")
    remember = recall = forget = record_metric = learn = None  # type: ignore[assignment]
    call_tool = choose = outcome = health = tool_schemas = None  # type: ignore[assignment]


async def test_one_that_overrides_everything_is_not_surprised(client: PrismaAgentClient) -> None:
    """Its tasks and tools are recorded all the same: nothing underneath goes through what a subclass may take."""
    own = {name for name in vars(Surprising) if not name.startswith("_")}
    lifecycle = {"initialize", "cleanup", "config"}
    assert {name for name in dir(EnhancedAgentBase) if not name.startswith("_")} - lifecycle <= own
    agent = Surprising()
    await agent.initialize(client)

    assert await agent.execute_task(21) == 42
    await agent.cleanup()

    tree = await only_tree(client)
    assert (tree.execution.status, tree.execution.result) == ("completed", 42)
    assert [(step.kind, step.name, step.success) for step in tree.steps] == [("tool", "twice", True)]


async def test_health_tells_of_agent_and_database(client: PrismaAgentClient) -> None:
    """Recent tasks with their outcome, and how the recording goes."""
    worker = Worker()
    await worker.initialize(client)
    assert (await worker.health()).executions.executions == 0
    await worker.execute_task({"outcomes": ["done"]})
    with pytest.raises(KeyError):
        await worker.execute_task({"outcomes": [0, KeyError("x")]})

    health = await worker.health()

    assert (health.status, health.agent_id) == ("ok", worker.id)
    assert (health.executions.executions, health.executions.completed, health.executions.failed) == (2, 1, 1)
    assert health.database.recording.lost_steps == 0


async def test_tools_add_no_round_trip_to_a_task(roundtrips: Wire, database_url: str) -> None:
    """Start and end, however many tools are called."""
    settings = Settings(organization_id="acme", database_url=roundtrips.url(database_url), flush_seconds=600)
    async with PrismaAgentClient(settings=settings) as client:
        crew = Crew(0)
        await crew.initialize(client)
        await crew.execute_task(0)
        with roundtrips.counting() as count:
            await crew.execute_task(1)

    assert count.trips == 2


async def test_agents_of_two_organizations_may_share_an_id(client: PrismaAgentClient) -> None:
    """Each one's execution is its own, also when one is called by the other."""

    class Caller(EnhancedAgentBase):
        def __init__(self) -> None:
            super().__init__(AgentConfig(name="caller", category="SUPPORT", id="same"))

        async def execute_task(self, task: EnhancedAgentBase | None) -> None:
            if task is None:
                caller.execution.usage.add(input=5)
            else:
                await task.execute_task(None)

        def get_capabilities(self) -> list[str]:
            return []

    elsewhere = client.for_organization("elsewhere")
    caller, called = Caller(), Caller()
    await caller.initialize(client)
    await called.initialize(elsewhere)

    await caller.execute_task(called)

    assert (await only_tree(client)).execution.usage == TokenUsage(input=5)
    assert (await only_tree(elsewhere)).execution.usage == TokenUsage()


async def test_an_agent_that_starts_spares_what_runs_beside_it(database_url: str) -> None:
    """Work that held the event loop up has kept the others from saying that they go on."""
    settings = Settings(
        organization_id="acme", database_url=database_url, heartbeat_seconds=600, abandoned_after_seconds=0.5
    )
    async with PrismaAgentClient(settings=settings) as client:
        worker = Worker()
        await worker.initialize(client)
        running = asyncio.create_task(worker.execute_task({"outcomes": [1.2]}))
        await asyncio.sleep(0.6)
        await Worker("another").initialize(client)
        await running

        assert (await only_tree(client)).execution.status == "completed"


@dataclass
class Score:
    """What happened, counted by those who did it."""

    called: Counter[str]
    failed: Counter[str]


SCORE = Score(Counter(), Counter())


class Crew(EnhancedAgentBase):
    """One of many; calls three tools in each task, of which some fail."""

    def __init__(self, number: int) -> None:
        super().__init__(AgentConfig(name=f"crew-{number}", category="OPERATIONAL"))
        self.number = number

    async def execute_task(self, task: int) -> int:
        await self.shared(task)
        try:
            await self.call_tool("brittle", number=task)
        except ValueError:
            self.execution.log("brittle has failed")
        self.execution.usage.add(input=task, output=2, reasoning=1)
        return (await self.shared(task + 1)) - 1

    def get_capabilities(self) -> list[str]:
        return []

    @tool
    async def shared(self, number: int) -> int:
        """Give the number back."""
        SCORE.called["shared"] += 1
        await asyncio.sleep(0)
        return number

    @tool
    async def brittle(self, number: int) -> int:
        """Fail for every third number."""
        SCORE.called["brittle"] += 1
        if number % 3 == 0:
            SCORE.failed["brittle"] += 1
            raise ValueError(number)
        return number


@pytest_asyncio.fixture
async def crew(client: PrismaAgentClient) -> AsyncIterator[list[Crew]]:
    """50 agents."""
    SCORE.called.clear()
    SCORE.failed.clear()
    made = [Crew(number) for number in range(50)]
    await asyncio.gather(*(one.initialize(client) for one in made))
    yield made
    await asyncio.gather(*(one.cleanup() for one in made))


async def test_counters_equal_the_events_exactly(client: PrismaAgentClient, crew: list[Crew]) -> None:
    """50 agents, 100 tasks each at the same time, three calls of tools in each."""
    tasks = range(100)
    results = await asyncio.gather(*(one.execute_task(task) for one in crew for task in tasks))

    assert results == [task for _ in crew for task in tasks]
    for one in (crew[0], crew[-1]):
        (stats,) = await client.executions.stats(one.id)
        assert (stats.executions, stats.completed, stats.running) == (100, 100, 0)
        assert stats.usage == TokenUsage(input=sum(tasks), output=200, reasoning=100)
    everyone = await client.executions.stats()
    assert sum(stats.completed for stats in everyone if stats.agent_id) == 5000
    assert SCORE.called == {"shared": 10_000, "brittle": 5000}
    for name in ("shared", "brittle"):
        catalogued, figures = await client.tools.get(name), await client.tools.stats(name)
        failed = SCORE.failed[name]
        assert (catalogued.calls, catalogued.calls - catalogued.successes) == (SCORE.called[name], failed)
        assert (figures.calls, figures.failures) == (SCORE.called[name], failed)
        assert len(figures.by_agent) == 50
        assert sum(part.calls for part in figures.by_agent.values()) == SCORE.called[name]
    recording = (await client.health_check()).recording
    assert (recording.waiting_steps, recording.lost_steps, recording.failures) == (0, 0, 0)
    tree = await client.executions.tree((await client.executions.list(crew[3].id, limit=1))[0].id)
    assert Counter(step.name for step in tree.steps if step.kind == "tool") == {"shared": 2, "brittle": 1}


async def test_arguments_that_do_not_fit_are_refused(client: PrismaAgentClient) -> None:
    """Before the tool runs."""
    crew = Crew(0)
    await crew.initialize(client)
    SCORE.called.clear()
    with pytest.raises(InvalidInputError, match="number"):
        await crew.call_tool("shared", number="many")
    assert SCORE.called["shared"] == 0
