"""
The pytest plugin.

It is loaded in every test run of an environment that agentdb is installed in, so it imports nothing of agentdb until
one of its fixtures is used: that keeps other runs quick, and the coverage of agentdb itself whole.

Fixtures: `agentdb_url`, `agentdb_client`, `agentdb_agent`, `agentdb_embedder`. They work with pytest-asyncio in its
auto and in its strict mode.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from agentdb import EnhancedAgentBase, PrismaAgentClient
    from agentdb.testing.embedder import HashEmbedder

try:
    from pytest_asyncio import fixture as async_fixture  # which strict mode insists on
except ImportError:
    async_fixture = pytest.fixture  # type: ignore[assignment]  # another plugin runs asynchronous fixtures

AgentT = TypeVar("AgentT", bound="EnhancedAgentBase")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --agentdb-url."""
    parser.getgroup("agentdb").addoption(
        "--agentdb-url",
        metavar="URL",
        help="a migrated database for the agentdb fixtures; default: an embedded server with temporary data",
    )


@pytest.fixture(scope="session")
def agentdb_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """The URL of a migrated database, connecting as the application's role: --agentdb-url, else an embedded server."""
    url = pytestconfig.getoption("--agentdb-url")
    if url:
        yield url
        return
    from agentdb.testing.server import temporary_server

    with temporary_server() as temporary_url:
        yield temporary_url


@async_fixture
async def agentdb_client(agentdb_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A connected client of an organization that only this test uses; all its rows are gone afterwards."""
    from agentdb.testing.organization import erase_organization, new_client

    client = new_client(agentdb_url)
    await client.connect()
    yield client
    async with client:  # opens it again if the test has closed it
        await erase_organization(client)


@async_fixture
async def agentdb_agent(agentdb_client: PrismaAgentClient) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """
    Make an agent: ``await agentdb_agent(MyAgent, ...)`` gives an initialized one in *agentdb_client*'s organization.

    Arguments after the class go to its constructor. Every agent made is cleaned up after the test.
    """
    async with AsyncExitStack() as made:

        async def make(agent_class: Callable[..., AgentT], *arguments: Any, **named: Any) -> AgentT:
            agent = agent_class(*arguments, **named)
            await agent.initialize(agentdb_client)
            made.push_async_callback(agent.cleanup)
            return agent

        yield make


@pytest.fixture
def agentdb_embedder() -> HashEmbedder:
    """An embedder without a model: texts that share words are near each other, and a text gives one vector for ever."""
    from agentdb.testing.embedder import HashEmbedder

    return HashEmbedder()
