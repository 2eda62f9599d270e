"""`@tool`, as far as it goes without a database."""

from __future__ import annotations

from typing import Any

import pytest

from agentdb import AgentConfig, EnhancedAgentBase, InvalidInputError, NotConnectedError, tool
from agentdb.agent.tools import parameters_of, tools_of


class Toolbox(EnhancedAgentBase):
    """An agent with tools."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="toolbox", category="SUPPORT"))

    async def execute_task(self, task: Any) -> Any:
        return task

    def get_capabilities(self) -> list[str]:
        return []

    @tool(description="Look a word up.")
    async def lookup(self, word: str, limit: int = 3) -> list[str]:
        """Not used: a description was given."""
        return [word] * limit

    @tool
    async def ping(self) -> str:
        """Answer."""
        return "pong"

    @tool(name="renamed")
    async def original(self) -> None:
        pass


def test_a_tool_has_a_name_a_description_and_a_schema() -> None:
    """From the decorator, else from the method."""
    found = {mark.name: (mark.description, parameters_of(method)) for mark, method in tools_of(Toolbox())}

    assert sorted(found) == ["lookup", "ping", "renamed"]
    assert found["ping"][0] == "Answer."
    assert found["renamed"][0] == ""
    description, schema = found["lookup"]
    assert description == "Look a word up."
    assert schema["required"] == ["word"]
    assert schema["properties"]["limit"] == {"default": 3, "title": "Limit", "type": "integer"}


def test_a_subclass_keeps_and_replaces_tools() -> None:
    """A method that is overridden without the decorator is no tool any more."""

    class Other(Toolbox):
        """Without ping."""

        async def ping(self) -> str:
            return "no tool"

    assert sorted(mark.name for mark, _ in tools_of(Other())) == ["lookup", "renamed"]


def test_a_tool_is_an_async_def() -> None:
    """A plain def is refused where it is written."""
    with pytest.raises(InvalidInputError, match="async def"):

        @tool  # type: ignore[arg-type]
        def sync(self: Any) -> None:
            pass


def test_a_signature_without_a_schema_is_refused() -> None:
    """The error names the method."""

    class Opaque(Toolbox):
        """Takes what JSON has no type for."""

        @tool
        async def odd(self, value: Broken) -> None:
            pass

    class_tools = {mark.name: method for mark, method in tools_of(Opaque())}
    with pytest.raises(InvalidInputError) as caught:
        parameters_of(class_tools["odd"])
    assert caught.value.field == "odd"


class Broken:
    """Not a type that pydantic knows."""


async def test_a_tool_before_initialize_says_how() -> None:
    """Its call could not be counted."""
    with pytest.raises(NotConnectedError, match="initialize"):
        await Toolbox().ping()
