"""What the client does elsewhere it does through PgBouncer: the same tests, the application's URL leading there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agentdb import Agent, MemoryEntry, PrismaAgentClient, Settings
from agentdb.cli.doctor.examination import examine
from agentdb.postgres.embedded import EmbeddedServer
from tests.bouncer import running_bouncer
from tests.certificates import Authority
from tests.conftest import Database
from tests.debian import find_pgbouncer
from tests.integration.client.conftest import agent, client  # noqa: F401 - fixtures
from tests.integration.client.test_agents import *  # noqa: F403
from tests.integration.client.test_executions import *  # noqa: F403
from tests.integration.client.test_memories import *  # noqa: F403

pytestmark = pytest.mark.postgres

_SESSIONS = 3  # that PgBouncer has with the server; a client opens ten to PgBouncer


@pytest.fixture
def database_url(server: EmbeddedServer, database: Database, pytestconfig: pytest.Config) -> Iterator[str]:
    """The application's URL through PgBouncer in transaction mode."""
    with running_bouncer(find_pgbouncer(pytestconfig.cache), server, sessions=_SESSIONS) as bouncer:
        yield bouncer.url(database.url)


async def test_the_walls_stand(client: PrismaAgentClient) -> None:  # noqa: F811
    """The setting that row-level security reads goes with each transaction."""
    health = await client.health_check()

    assert client._database.pool.options.pgbouncer
    assert (health.status, health.tenancy, health.role) == ("ok", "row-level-security", "agentdb_app")
    assert await client.driver.fetch("SELECT 1 FROM agents") == []


async def test_statements_are_repeated_on_other_sessions(client: PrismaAgentClient, agent: Agent) -> None:  # noqa: F811
    """A statement that was prepared on one session runs on another, whichever PgBouncer hands out."""
    sessions = set()
    for _ in range(20):
        stored = (client.memories.store(MemoryEntry(agent_id=agent.id, content=f"text {n}")) for n in range(10))
        await asyncio.gather(*stored)
        rows = await asyncio.gather(
            *(client.driver.fetch("SELECT pg_backend_pid(), pg_sleep(0.001)") for _ in range(9))
        )
        sessions |= {row[0][0] for row in rows}
        assert len(await client.memories.list(agent.id)) == 10
    assert len(sessions) >= _SESSIONS


async def test_savepoints(client: PrismaAgentClient, agent: Agent) -> None:  # noqa: F811
    """A transaction of a transaction is undone alone; Prisma, SQL and the resources share it."""
    async with client.transaction() as tx:
        kept = await tx.memories.store(MemoryEntry(agent_id=agent.id, content="kept"))
        with pytest.raises(ZeroDivisionError):
            async with tx.transaction() as inner:
                await inner.prisma.agentmemory.delete_many()
                assert await inner.memories.count() == 0
                _ = 1 / 0
        assert (await tx.driver.fetch("SELECT count(*) FROM agent_memories"))[0][0] == 1
    assert (await client.memories.get(kept)).content == "kept"


async def test_cancellation_in_the_middle_of_a_burst(client: PrismaAgentClient, agent: Agent) -> None:  # noqa: F811
    """Who gives up loses no connection and leaves no tenant behind; the others get what is theirs."""
    other = client.for_organization("other")
    for round_ in range(10):
        mine = [asyncio.create_task(client.memories.search(agent.id, "text")) for _ in range(20)]
        theirs = [asyncio.create_task(other.agents.list()) for _ in range(20)]
        await asyncio.sleep(0.002 * round_)
        for task in (*mine[::3], *theirs[::2]):
            task.cancel()
        results = await asyncio.gather(*mine, *theirs, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) or each == [] for each in results)
        assert [each.id for each in await client.agents.list()] == [agent.id]
    assert (await client.health_check()).pool.in_use == 0


async def test_tls_ends_at_the_pooler(
    server: EmbeddedServer,
    database: Database,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Health tells of this process's own connection; doctor says that the pooler's is another matter."""
    directory = tmp_path_factory.mktemp("tls")
    identity = Authority(directory, "ours").issue("pooler", ["localhost", "127.0.0.1"])
    more = (
        "listen_addr = 127.0.0.1\nclient_tls_sslmode = require\n"
        "client_tls_cert_file = {directory}/pooler.crt\nclient_tls_key_file = {directory}/pooler.key"
    )
    files = [identity.certificate, identity.key]
    with running_bouncer(find_pgbouncer(pytestconfig.cache), server, more=more, files=files) as bouncer:
        url = bouncer.url(
            database.url, host="127.0.0.1", sslmode="verify-full", sslrootcert=str(directory / "ours.pem")
        )
        settings = Settings(organization_id="acme", database_url=url, require_tls=True, require_rls=True)
        async with PrismaAgentClient(settings=settings) as client:
            health = await client.health_check()
            assert (health.status, health.tls, health.tls_version) == ("ok", True, "TLSv1.3")
            (row,) = await client.driver.fetch("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert not row[0]
        monkeypatch.chdir(directory)
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("ORGANIZATION_ID", "acme")
        found = {check.name: check async for check in examine()}
        assert found["tls"].state == "ok"
        assert "encrypted with TLSv1.3" in found["tls"].finding
        assert "through a pooler whose own connection is not encrypted" in found["tls"].finding
        assert (found["pool"].state, found["pool"].remedy.split(":")[0]) == (
            "warning",
            "Add pgbouncer=true to DATABASE_URL",
        )
