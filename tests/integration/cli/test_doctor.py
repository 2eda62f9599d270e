"""`agentdb doctor`."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode

import asyncpg
import pytest

from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.cli.conftest import Command, Outcome
from tests.integration.client.many_vectors import break_off, opened

pytestmark = pytest.mark.postgres

NAMES = [
    "versions",
    "engine",
    "settings",
    "connection",
    "extension",
    "migrations",
    "role",
    "row-level security",
    "schema",
    "encryption",
    "access log",
    "vector indexes",
]

KEYS = "k2:" + b64encode(bytes(range(32))).decode() + ",k1:" + b64encode(bytes(32)).decode()


def _execute(url: str, *statements: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(**parse_url(url).connect_arguments())
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(work())


def _states(outcome: Outcome) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(outcome.out)["checks"]}


def _examine(agentdb: Command, url: str, **variables: str) -> Outcome:
    return agentdb("doctor", "--json", DATABASE_URL=url, ORGANIZATION_ID="acme", **variables)


def test_all_is_well(database: Database, agentdb: Command) -> None:
    """One line per check, exit status 0."""
    outcome = agentdb("doctor", DATABASE_URL=database.url, ORGANIZATION_ID="acme", AGENTDB_ENCRYPTION_KEYS=KEYS)

    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line[2:20].strip() for line in lines] == NAMES
    assert {line[0] for line in lines} == {"✓"}


def test_json_for_programs(database: Database, agentdb: Command) -> None:
    """The same checks as JSON."""
    outcome = _examine(agentdb, database.url, AGENTDB_ENCRYPTION_KEYS=KEYS)

    assert _states(outcome) == dict.fromkeys(NAMES, "ok")


def test_a_blank_database(blank_database: Database, agentdb: Command) -> None:
    """The remedy is the command that migrates; what stands on the tables is not looked at."""
    outcome = agentdb("doctor", DATABASE_URL=blank_database.url, ORGANIZATION_ID="acme")

    assert outcome.status == 1
    last = outcome.out.splitlines()[-1]
    assert last.startswith("✗ migrations")
    assert "agentdb migrate deploy" in last


def test_no_extension(blank_database: Database, agentdb: Command) -> None:
    """A database without pgvector is named, with the statement that brings it."""
    _execute(blank_database.superuser_url, "DROP EXTENSION vector")

    outcome = agentdb("doctor", DATABASE_URL=blank_database.url, ORGANIZATION_ID="acme")

    assert outcome.status == 1
    assert "CREATE EXTENSION vector" in outcome.out


@pytest.mark.parametrize("role", ["admin_url", "superuser_url"])
def test_a_role_above_row_level_security(role: str, database: Database, agentdb: Command) -> None:
    """The owner and a superuser work, with a warning; AGENTDB_REQUIRE_RLS makes it a failure."""
    tolerated = _examine(agentdb, getattr(database, role))
    refused = _examine(agentdb, getattr(database, role), AGENTDB_REQUIRE_RLS="1")

    assert (tolerated.status, _states(tolerated)["role"]) == (0, "warning")
    assert (refused.status, _states(refused)["role"]) == (1, "failed")


def test_a_table_without_row_level_security(database: Database, agentdb: Command) -> None:
    """A wall that somebody took down is found."""
    _execute(database.admin_url, "ALTER TABLE agent_memories DISABLE ROW LEVEL SECURITY")

    outcome = agentdb("doctor", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert outcome.status == 1
    assert "on agent_memories" in outcome.out


@pytest.mark.parametrize(
    "statement",
    [
        "DROP POLICY tenant_isolation ON agents",
        "ALTER POLICY tenant_isolation ON agents USING (true)",
        "ALTER POLICY tenant_isolation ON agents WITH CHECK (true)",
        "CREATE POLICY more ON agents USING (true)",
        "CREATE POLICY more ON agents FOR SELECT TO agentdb_app USING (id = 'a')",
    ],
)
def test_a_policy_that_somebody_changed(statement: str, database: Database, agentdb: Command) -> None:
    """Row-level security is on, and the table is open or closed all the same."""
    _execute(database.admin_url, statement)

    outcome = _examine(agentdb, database.url)

    assert (outcome.status, _states(outcome)["row-level security"]) == (1, "failed")
    assert "on agents" in outcome.out


def test_further_restrictions_are_welcome(database: Database, agentdb: Command) -> None:
    """A restrictive policy, and one for another role, open nothing."""
    _execute(
        database.admin_url,
        "CREATE POLICY less ON agents AS RESTRICTIVE USING (id <> 'a')",
        "CREATE POLICY more ON agents TO agentdb_owner USING (true)",
    )

    assert _states(_examine(agentdb, database.url))["row-level security"] == "ok"


def test_a_schema_that_the_application_can_write_in(database: Database, agentdb: Command) -> None:
    """The functions that run as the owner look there: a warning, with the statement that closes it."""
    _execute(database.superuser_url, "GRANT CREATE ON SCHEMA public TO agentdb_app")

    outcome = _examine(agentdb, database.url)

    assert (outcome.status, _states(outcome)["schema"]) == (0, "warning")
    remedy = next(check["remedy"] for check in json.loads(outcome.out)["checks"] if check["name"] == "schema")
    _execute(database.superuser_url, remedy.removeprefix("As the owner: "))
    assert _states(_examine(agentdb, database.url))["schema"] == "ok"


def test_no_key(database: Database, agentdb: Command) -> None:
    """Sensitive memories are plain text then: a warning. No key is ever printed."""
    outcome = _examine(agentdb, database.url)
    with_key = agentdb("doctor", DATABASE_URL=database.url, ORGANIZATION_ID="acme", AGENTDB_ENCRYPTION_KEYS=KEYS)

    assert (outcome.status, _states(outcome)["encryption"]) == (0, "warning")
    assert "with key k2; k1 can still be read" in with_key.out
    assert not any(key.partition(":")[2] in with_key.out for key in KEYS.split(","))


def test_a_key_that_is_asked_for(database: Database, agentdb: Command) -> None:
    """Without one, sensitive memories are refused and not plain text; a client that should encrypt is not even made."""
    required = _examine(agentdb, database.url, AGENTDB_REQUIRE_ENCRYPTION="1")
    asked = _examine(agentdb, database.url, AGENTDB_ENCRYPT="executions")

    assert (required.status, _states(required)["encryption"]) == (1, "failed")
    assert "plain text" not in required.out
    assert (asked.status, _states(asked)["settings"]) == (1, "failed")
    assert "AGENTDB_ENCRYPTION_KEYS" in asked.out


def test_an_index_whose_build_broke_off(database: Database, agentdb: Command) -> None:
    """It is no failure, for searches do without it; the remedy is the command that makes it anew."""
    asyncio.run(_break_off(database))

    outcome = _examine(agentdb, database.url)

    assert (outcome.status, _states(outcome)["vector indexes"]) == (0, "warning")
    assert "agentdb index create" in outcome.out


async def _break_off(database: Database) -> None:
    async with opened(database.admin_url) as owner:
        await break_off(owner, "m", 8)


def test_an_unreachable_server(agentdb: Command) -> None:
    """What can be checked without a server is; then the address is named, and the password nowhere."""
    outcome = agentdb("doctor", DATABASE_URL="postgresql://u:secret-word@127.0.0.1:1/x", ORGANIZATION_ID="acme")

    assert outcome.status == 1
    assert [line[2:20].strip() for line in outcome.out.splitlines()] == NAMES[:4]
    assert "127.0.0.1:1" in outcome.out
    assert "secret-word" not in outcome.out + outcome.err


def test_no_organization(agentdb: Command) -> None:
    """A missing setting is a failed check like any other."""
    outcome = agentdb("doctor", DATABASE_URL="postgresql://u:secret-word@127.0.0.1:1/x")

    assert outcome.status == 1
    assert "ORGANIZATION_ID" in outcome.out.splitlines()[-1]
