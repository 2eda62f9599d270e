"""The pytest plugin, seen from a project that uses it: pytest runs in a process of its own, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from agentdb.client.database import TABLES
from agentdb.postgres.url import parse_url
from tests.conftest import Database

pytest_plugins = ["pytester"]

AGENT = """
from agentdb import AgentConfig, EnhancedAgentBase, MemoryEntry, tool

class Echo(EnhancedAgentBase):
    def __init__(self, name="echo"):
        super().__init__(AgentConfig(name=name, category="SUPPORT"))

    async def execute_task(self, task):
        await self.remember(f"heard {task}")
        return await self.repeat(task)

    @tool
    async def repeat(self, text: str) -> str:
        return text

    def get_capabilities(self):
        return ["echoing"]
"""

TESTS = (
    AGENT
    + """
organizations = set()

async def test_client(agentdb_client):
    health = await agentdb_client.health_check()
    assert health.tenancy == "row-level-security"
    organizations.add(agentdb_client.organization_id)

async def test_another_test_has_another_organization(agentdb_client):
    assert await agentdb_client.agents.list() == []
    organizations.add(agentdb_client.organization_id)
    assert len(organizations) == 2

async def test_agent(agentdb_agent, agentdb_client):
    agent = await agentdb_agent(Echo)
    assert await agent.execute_task("hello") == "hello"
    assert [hit.content for hit in await agent.recall("hello")] == ["heard hello"]
    assert agent.client is agentdb_client
    other = await agentdb_agent(Echo, name="other")
    assert {each.name for each in await agentdb_client.agents.list()} == {"echo", "other"}
    assert await other.recall("hello") == []

async def test_embedder(agentdb_embedder):
    first, again, other = await agentdb_embedder.embed(["red car", "red car", "blue sky"])
    assert first == again != other
    assert len(first) == agentdb_embedder.dimensions
"""
)


def _run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # What pytest-asyncio asks every project to set.
    return pytester.runpytest_subprocess("-q", "-o", "asyncio_default_fixture_loop_scope=function", *arguments)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_fixtures_work_in_both_modes_of_pytest_asyncio(
    mode: str, pytester: pytest.Pytester, database: Database
) -> None:
    """Nothing has to be imported; strict mode takes the usual marker."""
    marker = "import pytest\npytestmark = pytest.mark.asyncio\n" if mode == "strict" else ""
    pytester.makepyfile(marker + TESTS)

    result = _run(pytester, "-o", f"asyncio_mode={mode}", "--agentdb-url", database.url, "-W", "error")

    result.assert_outcomes(passed=4)


async def test_a_test_leaves_no_row(pytester: pytest.Pytester, database: Database) -> None:
    """Whatever it stored is gone afterwards, also when it failed in the middle or closed its client."""
    pytester.makepyfile(
        AGENT
        + """
async def test_fails(agentdb_agent, agentdb_client):
    agent = await agentdb_agent(Echo)
    await agent.execute_task("hello")
    await agentdb_client.tools.register("hammer", "hits", {}, owner_agent_id=agent.id)
    await agent.record_metric("accuracy", 1.0)
    pattern = await agent.learn("prompt", "short", name="short")
    await agent.outcome(await agent.choose("prompt"), True)
    await agentdb_client.patterns.quarantine(pattern.id, "a test")
    await agentdb_client.prices.set("m", input=1, output=2)
    raise RuntimeError("on purpose")

async def test_closes(agentdb_agent, agentdb_client):
    await (await agentdb_agent(Echo)).execute_task("hello")
    await agentdb_client.disconnect()
"""
    )

    _run(pytester, "-o", "asyncio_mode=auto", "--agentdb-url", database.url).assert_outcomes(failed=1, passed=1)

    owner = await asyncpg.connect(**parse_url(database.admin_url).connect_arguments())
    try:
        for table in TABLES:
            assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    finally:
        await owner.close()


def test_starts_a_server_of_its_own(pytester: pytest.Pytester) -> None:
    """Without --agentdb-url there is an embedded server, with nothing of it left behind."""
    pytester.makepyfile(
        """
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

async def test_server(agentdb_url, agentdb_client):
    assert (await agentdb_client.health_check()).status == "ok"
    Path("socket.txt").write_text(parse_qs(urlsplit(agentdb_url).query)["host"][0])
"""
    )

    _run(pytester, "-o", "asyncio_mode=auto").assert_outcomes(passed=1)

    socket = Path((pytester.path / "socket.txt").read_text())
    assert not socket.exists()


def test_an_unreachable_server_is_one_clear_error(pytester: pytest.Pytester) -> None:
    """The test errs in set-up, naming the address and not the password."""
    pytester.makepyfile("async def test_client(agentdb_client): ...")

    url = "postgresql://somebody:secret-word@127.0.0.1:1/nothing"
    result = _run(pytester, "-o", "asyncio_mode=auto", "--agentdb-url", url, "--tb=line")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ConnectionFailedError*127.0.0.1:1*"])
    assert "secret-word" not in result.stdout.str() + result.stderr.str()


def test_help_names_the_option(pytester: pytest.Pytester) -> None:
    """`pytest --help` shows it under agentdb."""
    pytester.runpytest_subprocess("--help").stdout.fnmatch_lines(["agentdb:", "*--agentdb-url=URL*"])


def test_loading_the_plugin_loads_no_database_library(pytester: pytest.Pytester) -> None:
    """A run that uses no fixture of it pays next to nothing for it."""
    pytester.makepyfile(
        """
import sys

def test_modules():
    assert "agentdb.testing.plugin" in sys.modules
    assert not {"asyncpg", "wasmtime", "agentdb.prisma_client"} & set(sys.modules)
"""
    )

    _run(pytester).assert_outcomes(passed=1)
