"""
What one test works with: a client of an organization of its own, and the agents that it makes.

It is opened and closed on the event loop that the test runs on, whoever runs that: `loops.py` finds out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from agentdb import PrismaAgentClient
from agentdb.testing.organization import erase_organization

if TYPE_CHECKING:
    from agentdb import EnhancedAgentBase
    from agentdb.testing.failures import Failures

__all__ = ["MakeAgent", "Stage", "open_stage"]

P = ParamSpec("P")
AgentT = TypeVar("AgentT", bound="EnhancedAgentBase")


class MakeAgent(Protocol):
    """What the fixture `agentdb_agent` is."""

    async def __call__(self, agent_class: Callable[P, AgentT], /, *arguments: P.args, **named: P.kwargs) -> AgentT:
        """Return an initialized agent: *agent_class* called with the rest. It is cleaned up after the test."""


class Stage:
    """A test's client, agents and failures."""

    client: PrismaAgentClient
    """The connected client."""
    loop: asyncio.AbstractEventLoop
    """The event loop that all of it belongs to."""

    def __init__(self, client: PrismaAgentClient, agents: contextlib.AsyncExitStack, failures: Failures | None) -> None:
        self.client = client
        self.loop = asyncio.get_running_loop()
        self._agents = agents
        self._failures = failures

    def __repr__(self) -> str:
        return f"<Stage {self.client.organization_id}>"

    async def make_agent(self, agent_class: Callable[P, AgentT], /, *arguments: P.args, **named: P.kwargs) -> AgentT:
        """Do what `MakeAgent` says."""
        agent = agent_class(*arguments, **named)
        await agent.initialize(self.client)
        self._agents.push_async_callback(agent.cleanup)
        return agent

    def end_failures(self) -> None:
        """Let the database work again: the test is over."""
        if self._failures is not None:
            self._failures.end()


@contextlib.asynccontextmanager
async def open_stage(
    url: str, organization_id: str, failures: Failures | None, *, is_shared: bool
) -> AsyncIterator[Stage]:
    """
    Open a stage at the database of *url*, and clear it away afterwards.

    Args:
        url: Where.
        organization_id: Whose; one that nobody else uses.
        failures: What the test makes fail; nothing of it fails the clearing away.
        is_shared: Whether others use the database: then all rows of the test are deleted.
    """
    client = PrismaAgentClient(url, organization_id)
    await client.connect()
    try:
        async with contextlib.AsyncExitStack() as agents:
            stage = Stage(client, agents, failures)
            yield stage
            stage.end_failures()
    finally:
        try:
            if is_shared:
                await client.connect()  # again, if the test has closed it
                await erase_organization(client)
        finally:
            await client.disconnect()
