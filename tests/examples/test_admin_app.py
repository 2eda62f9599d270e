"""
The admin app of `examples/`: a Node application that owns the database takes agentdb's models and migrations in.

Its commands are Prisma's own. They ask a binary for what they do with the database, which has to be downloaded; here
Prisma's schema engine from npm takes its place (prisma/tools/schema-engine.mjs).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import hatch_build
from agentdb.postgres import migrate
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.examples.conftest import EXAMPLES, Installation, environment
from tests.integration.engine.generation import generate_in_place

pytestmark = pytest.mark.postgres

OWN = "20260901090000_init"
OURS = [migration.name for migration in migrate.find_migrations()]
NO_DIFFERENCE = "No difference detected."
DIFFERS = 2


class AdminApp:
    """
    A copy of the example, with its packages, at work on one database.

    Attributes:
        folder: Where it lies.
        url: The owner's login, as Node reads it.
        agents: The environment of an agent of the organization acme.
    """

    def __init__(self, folder: Path, database: Database, installed: Installation) -> None:
        self.folder = folder
        self.url = for_node(database.admin_url)
        self.agents: dict[str, Any] = {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}
        self._installed = installed

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run *command* in the folder, as the owner unless *variables* say otherwise."""
        environment = {
            "DATABASE_URL": self.url,
            "PRISMA_SCHEMA_ENGINE_BINARY": str(hatch_build.PRISMA / "tools" / "schema-engine.mjs"),
            "CHECKPOINT_DISABLE": "1",
        }
        return self._installed.run(*command, cwd=self.folder, check=check, **environment | variables)

    def prisma(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Prisma's command line, as `npx prisma` does."""
        return self.run("node_modules/.bin/prisma", *arguments, check=check, **variables)

    def diff(self, source: str, *, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Compare the schema's files with what *source* makes."""
        sources = {"database": ["--from-config-datasource"], "migrations": ["--from-migrations", "prisma/migrations"]}
        return self.prisma(
            "migrate", "diff", *sources[source], "--to-schema", "prisma", "--exit-code", check=check, **variables
        )


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The packages of the example, kept in pytest's cache until its lock file changes."""
    hatch_build.ensure_node_tools()
    cache = getattr(request.config, "cache", None)
    folder = tmp_path_factory.mktemp("admin-app") if cache is None else cache.mkdir("agentdb-admin-app")
    source = EXAMPLES / "admin-app"

    def install(made: Path) -> None:
        made.mkdir()
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(source / name, made / name)
        command = [hatch_build.find_tool("npm"), "ci", "--ignore-scripts", "--prefer-offline", "--fetch-retries=5"]
        try:
            hatch_build.run(command, cwd=made)
        except hatch_build.BuildError:  # some hundred packages: a connection that breaks off once is no failure
            hatch_build.run(command, cwd=made)

    name = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    with environment(folder, name, install) as made:
        yield made / "node_modules"


@pytest.fixture
def app(
    example: Callable[[str], Path], installed: Installation, node_modules: Path, blank_database: Database
) -> AdminApp:
    """The example on an empty database."""
    folder = example("admin-app")
    (folder / "node_modules").symlink_to(node_modules)
    return AdminApp(folder, blank_database, installed)


def for_node(url: str) -> str:
    """Return *url* as Node parses it: a user needs a host, which the socket's folder, a parameter, overrides."""
    return url.replace("@/", "@localhost/")


async def execute(database: Database, sql: str) -> None:
    """Run *sql* as the owner."""
    connection = await asyncpg.connect(**parse_url(database.admin_url).connect_arguments())
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def applied(database: Database) -> list[str]:
    """Return the names of the history, in the order in which they were applied."""
    connection = await asyncpg.connect(**parse_url(database.admin_url).connect_arguments())
    try:
        rows = await connection.fetch(
            "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL ORDER BY started_at"
        )
    finally:
        await connection.close()
    return [row[0] for row in rows]


async def test_the_admin_app_owns_the_database(app: AdminApp, blank_database: Database) -> None:
    """Prisma applies what was copied and sees no drift, agents work, and Node reads what they did."""
    await asyncio.to_thread(app.run, "agentdb", "migrate", "copy", "prisma")
    await asyncio.to_thread(app.prisma, "migrate", "deploy")

    assert await applied(blank_database) == [OWN, *OURS]
    assert "up to date" in (await asyncio.to_thread(app.prisma, "migrate", "status")).stdout
    superuser = for_node(blank_database.superuser_url)  # a shadow database of its own takes more than owning this one
    assert NO_DIFFERENCE in (await asyncio.to_thread(app.diff, "migrations", DATABASE_URL=superuser)).stdout

    await execute(blank_database, "INSERT INTO organizations (id, name) VALUES ('acme', 'Acme'), ('bolt', 'Bolt')")
    await asyncio.to_thread(app.run, "python", "agent.py", **app.agents)
    await asyncio.to_thread(app.run, "agentdb", "doctor", **app.agents)
    await asyncio.to_thread(app.prisma, "generate", DATABASE_URL="")
    report = await asyncio.to_thread(app.run, "node", "report.mjs")

    assert report.stdout.splitlines() == [
        "Acme: 1 agents, 1 executions, 100 tokens",
        '  harbourmaster: 1 memories, last completed {"berth":7}',
        "Bolt: 0 agents, 0 executions, 0 tokens",
    ]


async def test_agentdb_may_have_been_there_first(app: AdminApp, blank_database: Database) -> None:
    """
    Prisma finds its migrations applied and adds the app's own; it misses nothing of what it cannot say.

    Neither policies, functions, CHECKs and triggers are drift, nor a vector index; a column that nobody knows is.
    """
    app.run("agentdb", "migrate", "deploy")
    app.run("agentdb", "migrate", "copy", "prisma")
    app.prisma("migrate", "deploy")
    await execute(blank_database, VECTORS)
    app.run("agentdb", "index", "create", "--model", "tiny", "--dimensions", "3")

    same = app.diff("database")
    await execute(blank_database, "ALTER TABLE agents ADD COLUMN unknown text")
    other = app.diff("database", check=False)

    assert await applied(blank_database) == [*OURS, OWN]
    assert NO_DIFFERENCE in same.stdout
    assert (other.returncode, "unknown" in other.stdout) == (DIFFERS, True)
    assert app.run("agentdb", "migrate", "deploy").stdout == "nothing to apply: the database is up to date\n"


VECTORS = """
INSERT INTO agents (organization_id, id, name, category) VALUES ('acme', 'a', 'a', 'SUPPORT');
INSERT INTO agent_memories (organization_id, id, agent_id, content, content_hash, embedding, embedding_model)
SELECT 'acme', gen_random_uuid(), 'a', n::text, sha256(n::text::bytea), ARRAY[n, 1, 1]::vector, 'tiny'
FROM generate_series(1, 20) AS n
"""


def test_an_app_with_several_schemas(app: AdminApp) -> None:
    """Prisma takes the models as valid only if each names its schema, and they do."""
    schema = app.folder / "prisma" / "schema.prisma"
    text = schema.read_text(encoding="utf-8").replace('"postgresql"\n', '"postgresql"\n  schemas = ["app", "public"]\n')
    schema.write_text(re.sub(r"(  @@map.*\n)", r'\1  @@schema("app")\n', text), encoding="utf-8")

    app.run("agentdb", "migrate", "copy", "prisma")

    assert "valid" in app.prisma("validate").stdout


async def test_an_app_without_a_history_gets_one_first(app: AdminApp, blank_database: Database) -> None:
    """Where `prisma db push` made the tables, agentdb refuses until Prisma has recorded what is there."""
    own = app.folder / "prisma" / "migrations" / OWN / "migration.sql"
    await execute(blank_database, own.read_text(encoding="utf-8"))

    refused = app.run("agentdb", "migrate", "deploy", check=False)
    app.prisma("migrate", "resolve", "--applied", OWN)
    app.run("agentdb", "migrate", "deploy")
    app.run("agentdb", "migrate", "copy", "prisma")

    assert (refused.returncode, "P3005" in refused.stderr) == (1, True)
    assert await applied(blank_database) == [OWN, *OURS]
    assert "up to date" in app.prisma("migrate", "status").stdout


async def test_a_relation_of_the_app_to_agents(app: AdminApp, blank_database: Database) -> None:
    """The app may tie agents to its organizations, by a relation and a migration of its own; copying stays content."""
    app.run("agentdb", "migrate", "copy", "prisma")
    models = app.folder / "prisma" / "agentdb.prisma"
    text = models.read_text(encoding="utf-8")
    models.write_text(text.replace(BEFORE_RELATION, BEFORE_RELATION + RELATION, 1), encoding="utf-8")
    schema = app.folder / "prisma" / "schema.prisma"
    schema.write_text(
        schema.read_text(encoding="utf-8").replace("  users User[]\n", "  users  User[]\n  agents Agent[]\n"),
        encoding="utf-8",
    )

    superuser = for_node(blank_database.superuser_url)
    app.prisma("migrate", "deploy", DATABASE_URL=superuser)
    app.prisma("migrate", "dev", "--name", "agents_belong", DATABASE_URL=superuser)
    again = app.run("agentdb", "migrate", "copy", "prisma")

    assert again.stdout.startswith("nothing new")
    assert NO_DIFFERENCE in app.diff("database", DATABASE_URL=superuser).stdout
    assert app.run("python", "agent.py", check=False, **app.agents).returncode != 0  # there is no such organization
    connection = await asyncpg.connect(**parse_url(blank_database.superuser_url).connect_arguments())
    await connection.execute("INSERT INTO organizations (id, name) VALUES ('acme', 'Acme')")
    await connection.close()
    app.run("python", "agent.py", **app.agents)


BEFORE_RELATION = "  memories   AgentMemory[]\n"
RELATION = "  organization Organization @relation(fields: [organizationId], references: [id], onUpdate: Restrict)\n"


async def test_the_same_models_from_python(app: AdminApp, blank_database: Database, tmp_path: Path) -> None:
    """The README's recipe makes a schema for a Python client, which runs on the engine and knows both sides' tables."""
    app.run("agentdb", "migrate", "copy", "prisma")
    app.prisma("migrate", "deploy")
    await execute(
        blank_database,
        "INSERT INTO organizations (id, name) VALUES ('acme', 'Acme');"
        "INSERT INTO users (id, organization_id, email) VALUES ('1', 'acme', 'mia@example.com')",
    )
    readme = (app.folder / "README.md").read_text(encoding="utf-8")
    (recipe,) = [line for line in readme.splitlines() if line.startswith("{ cat")]
    app.run("sh", "-c", recipe)
    site = tmp_path / "site"
    site.mkdir()
    generate_in_place(app.folder / "python" / "schema.prisma", site)

    report = app.run("python", "python/report.py", DATABASE_URL=blank_database.admin_url, PYTHONPATH=str(site))

    assert report.stdout == "Acme: 1 users, 0 agents\n"
