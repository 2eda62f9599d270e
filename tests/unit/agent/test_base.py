"""`EnhancedAgentBase`, as far as it goes without a database."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentdb import AgentConfig, AgentDBError, EnhancedAgentBase, InvalidInputError, NotConnectedError

CONFIG = AgentConfig(name="agent", category="SUPPORT", capabilities=["reading"])


class Minimal(EnhancedAgentBase):
    """Overrides what is abstract, nothing else."""

    def __init__(self) -> None:
        super().__init__(CONFIG)

    async def execute_task(self, task: Any) -> Any:
        return task

    def get_capabilities(self) -> list[str]:
        return self.config.capabilities


def test_the_configuration_is_there_before_initialize() -> None:
    """Capabilities and all."""
    assert Minimal().get_capabilities() == ["reading"]


async def test_use_before_initialize_says_how() -> None:
    """Every way in names the agent's class and both ways to open it."""
    agent = Minimal()
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: agent.execute_task({}),
        lambda: agent.remember("text"),
        lambda: agent.recall("text"),
        lambda: agent.record_metric("name", 1.0),
        lambda: agent.learn("type", {}),
    ]
    for use in uses:
        with pytest.raises(NotConnectedError, match=r"Minimal is not initialized.*async with.*initialize\(\)"):
            await use()
    for name in ("client", "id"):
        with pytest.raises(NotConnectedError):
            getattr(agent, name)
    with pytest.raises(AgentDBError, match="execute_task"):
        agent.execution  # noqa: B018 - the access is what is tested
    await agent.cleanup()


def test_a_sync_task_is_refused() -> None:
    """When the agent is made, not when its first task is lost."""

    class Sync(Minimal):
        """Forgot the async."""

        def execute_task(self, task: Any) -> Any:
            return task

    with pytest.raises(InvalidInputError, match=r"Sync\.execute_task must be an `async def`"):
        Sync()


def test_a_decorated_task_is_fine() -> None:
    """What wraps an async def may be a plain def."""

    def decorated(method: Any) -> Any:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call

    class Decorated(Minimal):
        """Wrapped."""

        execute_task = decorated(Minimal.execute_task)

    assert inspect.iscoroutinefunction(Decorated().execute_task)


def test_the_two_methods_are_abstract() -> None:
    """And nothing else is."""
    assert EnhancedAgentBase.__abstractmethods__ == {"execute_task", "get_capabilities"}


def test_only_a_config_is_a_config() -> None:
    """The old base took a dict."""
    with pytest.raises(InvalidInputError, match="AgentConfig"):
        EnhancedAgentBase.__init__(object.__new__(Minimal), {"name": "agent"})  # type: ignore[arg-type]


def test_few_names_are_taken() -> None:
    """So that a subclass's own attributes rarely collide."""
    assert {name for name in dir(EnhancedAgentBase) if not name.startswith("_")} == {
        "call_tool",
        "choose",
        "cleanup",
        "client",
        "execute_task",
        "execution",
        "forget",
        "get_capabilities",
        "health",
        "id",
        "initialize",
        "learn",
        "outcome",
        "recall",
        "record_metric",
        "remember",
        "tool_schemas",
    }
