"""`@tool`: what is recorded of calls, and that recording is never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, field_validator

from agentdb import (
    AgentConfig,
    EnhancedAgentBase,
    InvalidInputError,
    NotFoundError,
    PrismaAgentClient,
    Settings,
    Step,
    tool,
)
from tests.wire import Wire

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client of the organization "acme"."""
    async with PrismaAgentClient(database_url, "acme") as connected:
        yield connected


@dataclass
class Point:
    """Becomes JSON."""

    x: float


class Place(BaseModel):
    """Has a validator with a mistake."""

    city: str

    @field_validator("city")
    @classmethod
    def known(cls, city: str) -> str:
        return {"Bonn": city}[city]


class Scout(EnhancedAgentBase):
    """Has tools of every kind; its task is what it does."""

    def __init__(self, name: str = "scout") -> None:
        super().__init__(AgentConfig(name=name, category="OPERATIONAL"))

    async def execute_task(self, task: Any) -> Any:
        return await task(self)

    def get_capabilities(self) -> list[str]:
        return []

    @tool
    async def lookup(self, word: str, *more: int, times: int = 1) -> str:
        """Look a word up."""
        if word == "bad":
            raise LookupError(word)
        return word * times

    @tool
    async def change(self, words: list[Any]) -> int:
        """Change what it is given."""
        words.append("changed")
        return len(words)

    @tool
    async def wait(self, seconds: float) -> None:
        """Take its time."""
        await asyncio.sleep(seconds)

    @tool
    async def answer(self, result: Any) -> Any:
        """Return anything."""
        return result

    @tool
    async def total(self, numbers: Any) -> int:
        """Add up."""
        return sum(numbers)

    @tool
    async def reach(self, place: Place) -> str:
        """Never get so far."""
        return place.city

    @tool
    async def count_down(self, number: int) -> int:
        """Call itself."""
        return await self.count_down(number - 1) if number else 0


class Careful(Scout):
    """Adds to what its base does."""

    @tool
    async def lookup(self, word: str, *more: int, times: int = 1) -> str:
        """Look a word up with care."""
        return "careful " + await super().lookup(word, *more, times=times)

    async def wait(self, seconds: float) -> None:
        await super().wait(seconds)


@pytest_asyncio.fixture
async def scout(client: PrismaAgentClient) -> AsyncIterator[Scout]:
    """An initialized agent."""
    agent = Scout()
    await agent.initialize(client)
    yield agent
    await agent.cleanup()


async def calls_in(client: PrismaAgentClient, agent: EnhancedAgentBase, task: Any) -> list[Step]:
    """Run *task* as one of *agent*'s and return what it left of calls."""
    await asyncio.gather(agent.execute_task(task), return_exceptions=True)
    (execution, *_) = await client.executions.list(agent.id, limit=1)
    return [step for step in (await client.executions.tree(execution.id)).steps if step.kind == "tool"]


async def test_a_call_is_recorded_with_all_there_is(client: PrismaAgentClient, scout: Scout) -> None:
    """Arguments by their names, also those given by place; how it went and what it took."""

    async def task(agent: Scout) -> None:
        await agent.lookup("a", 1, 2, times=3)
        await agent.call_tool("lookup", word="b", times="2")
        with pytest.raises(LookupError, match="bad"):
            await agent.lookup("bad")

    first, second, third = await calls_in(client, scout, task)

    assert (first.name, first.agent_id, first.success, first.error_type) == ("lookup", scout.id, True, None)
    assert first.data == {"arguments": {"word": "a", "more": [1, 2], "times": 3}}
    assert second.data == {"arguments": {"word": "b", "times": 2}}
    assert (third.success, third.message, third.error_type) == (False, "bad", "LookupError")
    assert all(step.duration_ms is not None and step.duration_ms >= 0 for step in (first, second, third))
    stats = await client.tools.stats("lookup")
    assert (stats.calls, stats.failures) == (3, 1)


async def test_arguments_are_kept_as_they_were_given(client: PrismaAgentClient, scout: Scout) -> None:
    """The method may change them; what is no JSON of them is kept as text, what cannot be stored is marked."""
    strange = {"set": {1}, "object": Point, "nul": "\x00", "nan": float("nan")}

    async def task(agent: Scout) -> None:
        words: list[Any] = ["a"]
        await agent.change(words)
        assert words == ["a", "changed"]
        await agent.change([Point(1.5), strange])
        await agent.lookup("a", **{"wrong": 1})

    plain, odd, wrong = await calls_in(client, scout, task)

    assert plain.data == {"arguments": {"words": ["a"]}}
    point, kept = odd.data["arguments"]["words"]
    assert (point, kept["set"], kept["nan"]) == ({"x": 1.5}, [1], "nan")
    assert "Point" in kept["object"]
    assert "\ufffd" in kept["nul"]
    assert (wrong.success, wrong.error_type) == (False, "TypeError")
    assert wrong.data == {"arguments": {"word": "a", "wrong": 1}}


async def test_arguments_are_not_used_up(client: PrismaAgentClient, scout: Scout) -> None:
    """What can be read only once is left to the method to read."""

    async def task(agent: Scout) -> None:
        for iterator in (iter([1, 2]), (number for number in (1, 2)), map(int, "12")):
            assert await agent.total(iterator) == 3
        assert await agent.call_tool("total", numbers=iter([1, 2])) == 3

    steps = await calls_in(client, scout, task)

    assert [step.success for step in steps] == [True] * 4
    assert all(step.data["arguments"]["numbers"].startswith("<") for step in steps)


async def test_a_call_that_is_cancelled_is_recorded(client: PrismaAgentClient, scout: Scout) -> None:
    """As one that failed; by a time limit or with its task."""

    async def limited(agent: Scout) -> None:
        await asyncio.wait_for(agent.wait(60), 0.01)

    async def cancelled(agent: Scout) -> None:
        waiting = asyncio.create_task(agent.wait(60))
        await asyncio.sleep(0)
        waiting.cancel()
        await waiting

    for task in (limited, cancelled):
        (step,) = await calls_in(client, scout, task)
        assert step.success is False
        assert step.error_type is not None
        assert step.error_type.endswith("CancelledError")
    assert (await client.tools.stats("wait")).failures == 2


@pytest.mark.parametrize("by_name", [False, True])
async def test_a_result_that_is_no_json_is_refused(client: PrismaAgentClient, scout: Scout, by_name: bool) -> None:
    """However the tool is called, and the call has failed; anything else the caller gets as it is."""

    async def answer(result: Any) -> Any:
        return await (scout.call_tool("answer", result=result) if by_name else scout.answer(result))

    results: list[Any] = [{"a": 1}, Point(1.5), {1, 2}, [None]]
    for result in results:
        assert await answer(result) is result
    refused: list[Any] = [float("nan"), object(), {"a": [Scout]}, Point(float("inf"))]
    for result in refused:
        with pytest.raises(InvalidInputError, match="JSON") as caught:
            await answer(result)
        assert caught.value.field == "answer"

    stats = await client.tools.stats("answer")
    assert (stats.successes, stats.failures) == (4, 4)


async def test_arguments_that_do_not_fit_are_a_failed_call(client: PrismaAgentClient, scout: Scout) -> None:
    """The error names the argument; an unknown tool is no call of anything."""

    async def task(agent: Scout) -> None:
        for arguments, field in (
            ({}, "word"),
            ({"word": "a", "times": "many"}, "times"),
            ({"word": "a", "more": [1, "x"]}, r"more\.1"),
            ({"word": "a", "wrod": "b"}, "wrod"),
        ):
            with pytest.raises(InvalidInputError, match=rf"arguments\.{field}"):
                await agent.call_tool("lookup", **arguments)
        with pytest.raises(KeyError):
            await agent.call_tool("reach", place={"city": "Ulm"})
        for name in ("none", "remember", "execute_task"):
            with pytest.raises(NotFoundError, match=name):
                await agent.call_tool(name)

    steps = await calls_in(client, scout, task)

    assert [(step.success, step.error_type) for step in steps] == [
        *[(False, "agentdb.errors.InvalidInputError")] * 4, (False, "KeyError")
    ]  # fmt: skip
    assert steps[1].data == {"arguments": {"word": "a", "times": "many"}}


async def test_a_method_of_the_base_class_belongs_to_the_call(client: PrismaAgentClient) -> None:
    """One call is recorded, as the subclass's; a tool that calls itself is called again."""
    careful = Careful()
    await careful.initialize(client)
    assert await careful.lookup("a") == "careful a"
    assert await careful.count_down(3) == 0

    assert {tool.name: tool.calls for tool in await client.tools.list(owner_agent_id=careful.id)} == {
        "answer": 0, "change": 0, "count_down": 4, "lookup": 1, "reach": 0, "total": 0,
    }  # fmt: skip
    assert (await client.tools.get("lookup")).description == "Look a word up with care."


async def test_a_call_is_of_the_execution_that_made_it(client: PrismaAgentClient, scout: Scout) -> None:
    """Whichever agent's tool it is; outside of one it is the agent's own."""
    helper = Scout("helper")
    await helper.initialize(client)

    async def inner(agent: Scout) -> None:
        await agent.lookup("inner")

    async def task(agent: Scout) -> None:
        await helper.lookup("borrowed")
        await asyncio.gather(*(helper.lookup("at once") for _ in range(3)))
        await helper.execute_task(inner)

    outer = await calls_in(client, scout, task)
    await helper.lookup("alone")

    assert [(step.agent_id, step.data["arguments"]["word"]) for step in outer] == [
        (scout.id, word) for word in ["borrowed", *["at once"] * 3]
    ]
    (nested,) = await client.executions.list(helper.id)
    assert nested.parent_id == outer[0].execution_id
    (step,) = (await client.executions.tree(nested.id)).steps
    assert (step.agent_id, step.data["arguments"]["word"]) == (helper.id, "inner")
    stats = await client.tools.stats("lookup")
    assert {id: part.calls for id, part in stats.by_agent.items()} == {scout.id: 4, helper.id: 2}


async def test_calls_cost_no_round_trip(roundtrips: Wire, database_url: str) -> None:
    """Neither in a task nor outside of one, and registering costs one for all tools."""
    settings = Settings(organization_id="acme", database_url=roundtrips.url(database_url), flush_seconds=600)
    async with PrismaAgentClient(settings=settings) as client:
        first, agent = Scout("first"), Scout()
        await first.initialize(client)
        with roundtrips.counting() as count:
            await agent.initialize(client)
        assert count.trips == 3  # the agent, its tools, and a look for what a killed process has abandoned
        with roundtrips.counting() as count:
            await asyncio.gather(*(agent.lookup("a") for _ in range(20)))
            await agent.call_tool("lookup", word="a")
        assert count.trips == 0


async def test_recording_is_never_in_the_way(
    client: PrismaAgentClient, scout: Scout, caplog: pytest.LogCaptureFixture
) -> None:
    """A tool that is gone, a client that was closed, a recording that fails: results and errors are the tool's own."""
    await client.driver.execute("DELETE FROM agent_tools")
    assert await scout.lookup("a") == "a"
    with pytest.raises(LookupError, match="bad"):
        await scout.lookup("bad")
    await client.gathering.journal.flush()
    assert await client.driver.fetch("SELECT FROM agent_steps") == []

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no recording today")

    client.tools.note_call = fail  # type: ignore[method-assign]
    assert await scout.lookup("a") == "a"
    with pytest.raises(LookupError, match="bad"):
        await scout.lookup("bad")
    assert caplog.text.count("a call of a tool could not be recorded") == 2

    waiting = asyncio.create_task(scout.wait(0.01))
    await asyncio.sleep(0)
    await client.disconnect()
    await waiting


async def test_redaction_that_fails_leaves_a_mark(database_url: str) -> None:
    """And neither argument nor error."""

    def redact(value: Any, field: str) -> Any:
        raise KeyError(field)

    async with PrismaAgentClient(database_url, "acme", redact=redact) as client:
        agent = Scout()
        await agent.initialize(client)
        with pytest.raises(LookupError):
            await agent.lookup("bad")
        assert (await client.tools.stats("lookup")).failures == 1
        (row,) = await client.driver.fetch("SELECT message, data::text FROM agent_steps")
        assert "bad" not in row["message"] + row["data"]


async def test_a_tool_that_is_gone_from_the_class_is_deprecated(client: PrismaAgentClient, scout: Scout) -> None:
    """When the agent is initialized without it; its calls stay."""

    class Less(EnhancedAgentBase):
        """The same agent in a newer version."""

        def __init__(self) -> None:
            super().__init__(AgentConfig(name="scout", category="OPERATIONAL", version="2"))

        async def execute_task(self, task: Any) -> Any: ...

        def get_capabilities(self) -> list[str]:
            return []

        @tool
        async def lookup(self, words: list[str]) -> list[str]:
            """Look words up."""
            return words

    await scout.wait(0)
    await Less().initialize(client)

    status = {tool.name: (tool.status, tool.version) for tool in await client.tools.list(include_deprecated=True)}
    gone = ("deprecated", 1)
    assert status.pop("lookup") == ("active", 2)
    assert status == dict.fromkeys(["answer", "change", "count_down", "reach", "total", "wait"], gone)
    assert (await client.tools.stats("wait")).calls == 1


async def test_an_agent_whose_tools_cannot_be_registered_is_not(client: PrismaAgentClient) -> None:
    """Nothing is half-written."""

    class Twice(Scout):
        """Two tools of one name."""

        @tool(name="lookup")
        async def find(self) -> None: ...

    with pytest.raises(InvalidInputError, match="both called 'lookup'"):
        await Twice().initialize(client)
    assert [*await client.agents.list(), *await client.tools.list()] == []
