"""`agentdb doctor`."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient, Settings
from agentdb.cli.doctor import facts
from agentdb.cli.doctor.facts import ask_database
from agentdb.cli.doctor.structure import expected_parts
from agentdb.engine.wasm_cache import cache_directory
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.cli.conftest import Command, Outcome
from tests.integration.client.many_vectors import break_off, opened

pytestmark = pytest.mark.postgres

NAMES = [
    "versions", "engine", "settings", "variables", "encryption", "access log", "embedder",
    "connection", "tls", "writes", "pool", "time limits", "clock", "extension", "migrations",
    "tables", "vector indexes", "role", "row-level security", "schema", "growth",
    "organization", "keys", "embeddings", "sweep",
]  # fmt: skip
"""Every check, in order; `TROUBLE` and the tests below bring about what each of them can find."""

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


def _found(outcome: Outcome, name: str) -> tuple[str, str, str]:
    (check,) = [check for check in json.loads(outcome.out)["checks"] if check["name"] == name]
    return check["state"], check["finding"], check["remedy"]


def test_all_is_well(shared_database: Database, agentdb: Command) -> None:
    """One line per check, exit status 0."""
    outcome = agentdb("doctor", DATABASE_URL=shared_database.url, ORGANIZATION_ID="acme", AGENTDB_ENCRYPTION_KEYS=KEYS)

    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line[2:20].strip() for line in lines] == NAMES
    assert {line[0] for line in lines} == {"✓"}


def test_json_for_programs(shared_database: Database, agentdb: Command) -> None:
    """The same checks as JSON."""
    outcome = _examine(agentdb, shared_database.url, AGENTDB_ENCRYPTION_KEYS=KEYS)

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
def test_a_role_above_row_level_security(role: str, shared_database: Database, agentdb: Command) -> None:
    """The owner and a superuser work, with a warning; AGENTDB_REQUIRE_RLS makes it a failure."""
    tolerated = _examine(agentdb, getattr(shared_database, role))
    refused = _examine(agentdb, getattr(shared_database, role), AGENTDB_REQUIRE_RLS="1")

    assert (tolerated.status, _states(tolerated)["role"]) == (0, "warning")
    assert (refused.status, _states(refused)["role"]) == (1, "failed")


OPENED = {
    "agent_memories": "ALTER TABLE agent_memories DISABLE ROW LEVEL SECURITY",
    "agents": "DROP POLICY tenant_isolation ON agents",
    "agent_tools": "ALTER POLICY tenant_isolation ON agent_tools USING (true)",
    "agent_steps": "ALTER POLICY tenant_isolation ON agent_steps WITH CHECK (true)",
    "agent_metrics": "CREATE POLICY more ON agent_metrics USING (true)",
    "agent_executions": "CREATE POLICY more ON agent_executions FOR SELECT TO agentdb_app USING (id IS NULL)",
}
"""Tables that are open, or closed, to everyone, each in another way."""


def test_a_wall_that_somebody_took_down(database: Database, agentdb: Command) -> None:
    """Each table that row-level security leaves open is named, and no other: it is off, or says something else."""
    _execute(database.admin_url, *OPENED.values())

    outcome = _examine(agentdb, database.url)
    state, finding, _ = _found(outcome, "row-level security")

    assert (outcome.status, state) == (1, "failed")
    assert {*finding.rpartition(" on ")[2].split(", ")} == set(OPENED)


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


def test_no_key(shared_database: Database, agentdb: Command) -> None:
    """Sensitive memories are plain text then: a warning. No key is ever printed."""
    outcome = _examine(agentdb, shared_database.url)
    with_key = agentdb("doctor", DATABASE_URL=shared_database.url, ORGANIZATION_ID="acme", AGENTDB_ENCRYPTION_KEYS=KEYS)

    assert (outcome.status, _states(outcome)["encryption"]) == (0, "warning")
    assert "with key k2; k1 can still be read" in with_key.out
    assert not any(key.partition(":")[2] in with_key.out for key in KEYS.split(","))


def test_a_key_that_is_asked_for(shared_database: Database, agentdb: Command) -> None:
    """Without one, sensitive memories are refused and not plain text; a client that should encrypt is not even made."""
    required = _examine(agentdb, shared_database.url, AGENTDB_REQUIRE_ENCRYPTION="1")
    asked = _examine(agentdb, shared_database.url, AGENTDB_ENCRYPT="executions")

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
    assert agentdb("index", "create", AGENTDB_MIGRATION_URL=database.admin_url).status == 0
    state, finding, _ = _found(_examine(agentdb, database.url), "vector indexes")
    assert state == "ok"
    assert re.fullmatch(r"1, [\d.]+ kB; 1 of them served no search yet", finding)


async def _break_off(database: Database) -> None:
    async with opened(database.admin_url) as owner:
        await break_off(owner, "m", 8)


@dataclass(frozen=True)
class Trouble:
    """
    Something that is wrong with a database, and what is said of it.

    Attributes:
        name: The check that finds it.
        state: What it says.
        statements: What brings it about, as the superuser.
        finding: A part of what is found.
        remedy: A part of what is to be done.
        mended: Statements that mend it; those that end with ";" stand in the remedy.
    """

    name: str
    state: str
    statements: Sequence[str]
    finding: str
    remedy: str
    mended: Sequence[str]


AN_AGENT = "INSERT INTO agents (organization_id, id, name, version, category) VALUES ('acme', 'a', 'a', '1', 'SUPPORT')"

TROUBLE = [
    Trouble(
        "tables", "failed", ["ALTER TABLE agent_metrics DISABLE TRIGGER agent_metrics_late_insert"],
        "trigger agent_metrics_late_insert is disabled", "ENABLE TRIGGER agent_metrics_late_insert;",
        ["ALTER TABLE agent_metrics ENABLE TRIGGER agent_metrics_late_insert;"],
    ),
    Trouble(
        "tables", "failed",
        ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agent_memories_expires_at_idx'::regclass"],
        "index agent_memories_expires_at_idx is invalid", "REINDEX INDEX CONCURRENTLY agent_memories_expires_at_idx;",
        ["REINDEX INDEX CONCURRENTLY agent_memories_expires_at_idx;"],
    ),
    Trouble(
        "tables", "failed",
        ["ALTER TABLE agent_tools ADD CONSTRAINT theirs CHECK (name <> 'x') NOT VALID"],
        "constraint theirs is not validated", "ALTER TABLE agent_tools VALIDATE CONSTRAINT theirs;",
        ["ALTER TABLE agent_tools VALIDATE CONSTRAINT theirs;", "ALTER TABLE agent_tools DROP CONSTRAINT theirs"],
    ),
    Trouble(
        "time limits", "warning", ["ALTER ROLE agentdb_app IN DATABASE {name} SET statement_timeout = '500ms'"],
        "statement_timeout 500ms", "SET statement_timeout",
        ["ALTER ROLE agentdb_app IN DATABASE {name} RESET statement_timeout"],
    ),
    Trouble(
        "writes", "failed", ["ALTER ROLE agentdb_app IN DATABASE {name} SET default_transaction_read_only = on"],
        "default_transaction_read_only is on", "RESET default_transaction_read_only",
        ["ALTER ROLE agentdb_app IN DATABASE {name} RESET default_transaction_read_only"],
    ),
    Trouble(
        "pool", "warning", ["ALTER DATABASE {name} CONNECTION LIMIT 5"],
        "of the 5 that the server lets this role have", "connection_limit",
        ["ALTER DATABASE {name} CONNECTION LIMIT -1"],
    ),
    Trouble(
        "growth", "warning", ["ALTER TABLE agent_steps SET (autovacuum_enabled = false)"],
        "autovacuum is off for agent_steps", "RESET (autovacuum_enabled);",
        ["ALTER TABLE agent_steps RESET (autovacuum_enabled);"],
    ),
    Trouble(
        "growth", "warning",
        [
            AN_AGENT,
            # The server's own vacuum shall not come first.
            "ALTER TABLE agent_metric_late_hours SET "
            "(autovacuum_vacuum_threshold = 1000000000, autovacuum_vacuum_insert_threshold = -1)",
            "INSERT INTO agent_metric_late_hours (organization_id, agent_id, name, starts_at, transaction_id) "
            "SELECT 'acme', 'a', n::text, '2026-01-01Z', 1 FROM generate_series(1, 101000) AS n",
            "DELETE FROM agent_metric_late_hours",
            "SELECT pg_stat_force_next_flush()",
        ],
        "dead rows in agent_metric_late_hours", "VACUUM (ANALYZE) agent_metric_late_hours;",
        ["VACUUM (ANALYZE) agent_metric_late_hours;", "DELETE FROM agents"],
    ),
    Trouble(
        "embeddings", "warning",
        [
            AN_AGENT,
            "INSERT INTO agent_memories (organization_id, id, agent_id, content, content_hash, embedding_error) "
            "VALUES ('acme', gen_random_uuid(), 'a', 'x', sha256('x'), 'it failed')",
        ],
        "1 memory of this organization waits", "agentdb reembed", ["DELETE FROM agent_memories", "DELETE FROM agents"],
    ),
]  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLE, ids=[f"{each.name}: {each.finding[:30]}" for each in TROUBLE])
def test_trouble_is_found_and_mended(trouble: Trouble, shared_database: Database, agentdb: Command) -> None:
    """Each is named with what to do; once that is done, all is well."""

    def execute(statements: Sequence[str]) -> None:
        _execute(shared_database.superuser_url, *(each.format(name=shared_database.name) for each in statements))

    try:
        execute(trouble.statements)
        outcome = _examine(agentdb, shared_database.url)
    finally:
        execute(trouble.mended)
    state, finding, remedy = _found(outcome, trouble.name)

    assert (outcome.status, state) == (int(trouble.state == "failed"), trouble.state)
    assert trouble.finding in finding
    assert trouble.remedy in remedy
    assert [statement for statement in trouble.mended if statement.endswith(";") and statement not in remedy] == []
    assert _found(_examine(agentdb, shared_database.url), trouble.name)[0] == "ok"


def test_parts_that_are_missing(database: Database, agentdb: Command) -> None:
    """An index, a constraint, a trigger: each is named."""
    _execute(
        database.superuser_url,
        "DROP INDEX agent_memories_words_idx",
        "ALTER TABLE agent_metrics DROP CONSTRAINT agent_metrics_unit_check",
        "DROP TRIGGER access_log_set_digest ON access_log",
    )

    outcome = _examine(agentdb, database.url)

    assert outcome.status == 1
    assert _found(outcome, "tables") == (
        "failed",
        "constraint agent_metrics_unit_check is missing; index agent_memories_words_idx is missing; "
        "trigger access_log_set_digest is missing",
        "As the owner: make it again as prisma/migrations has it, an index with CREATE INDEX CONCURRENTLY.",
    )


def test_sweeping_is_the_remedy(database: Database, agentdb: Command) -> None:
    """What is overdue is named, and done by one `agentdb sweep`."""
    _execute(
        database.superuser_url,
        AN_AGENT,
        "INSERT INTO agent_memories (organization_id, id, agent_id, content, content_hash, expires_at) "
        "VALUES ('acme', gen_random_uuid(), 'a', 'x', sha256('x'), '2020-01-01Z')",
        "INSERT INTO agent_executions (organization_id, id, agent_id, task, started_at, heartbeat_at) "
        "VALUES ('acme', gen_random_uuid(), 'a', '1', '2020-02-02 10:00Z', '2020-02-02 10:00Z')",
        "INSERT INTO agent_metrics (organization_id, id, agent_id, name, value, recorded_at) "
        "VALUES ('acme', gen_random_uuid(), 'a', 'm', 1, '2020-03-03Z')",
    )

    overdue = _examine(agentdb, database.url)
    swept = agentdb("sweep")

    assert (overdue.status, swept.status) == (0, 0)
    assert _found(overdue, "sweep") == (
        "warning",
        "of this organization: memories that expired on 2020-01-01 are still there; an execution counts as running "
        "that was last heard of on 2020-02-02 10:00; no hour of metrics was ever rolled up",
        "Run `agentdb sweep` once an hour.",
    )
    assert _found(_examine(agentdb, database.url), "sweep")[:2] == (
        "ok",
        "nothing of this organization is overdue; metrics are rolled up to 2020-03-03 00:00",
    )


def test_the_migrations_make_what_is_expected(shared_database: Database) -> None:
    """What is read out of their text is what a migrated database has, beside the indexes of its keys."""

    async def parts() -> set[tuple[str, str]]:
        async with opened(shared_database.admin_url) as owner:
            found = await ask_database(owner)
        return {(part.kind, part.name) for part in found.parts}

    here, expected = asyncio.run(parts()), expected_parts()

    assert expected <= here
    assert {kind for kind, _ in here - expected} <= {"index"}
    assert {name for _, name in here - expected} <= {name for kind, name in expected if kind == "constraint"}


def test_where_settings_come_from(shared_database: Database, agentdb: Command) -> None:
    """The environment, .env; without the values of any, and with what is mistyped."""
    Path(".env").write_text("ORGANIZATION_ID=acme\nAGENTDB_REQUIRE_TLSS=1\nAGENTDB_POOL_SIZE=3\n")

    where = {"DATABASE_URL": shared_database.url, "AGENTDB_ENCRYPTION_KEYS": KEYS}
    outcome = agentdb("doctor", "--json", AGENTDB_CACHE_DIR=str(cache_directory()), **where)

    _, settings, _ = _found(outcome, "settings")
    state, unknown, _ = _found(outcome, "variables")
    assert "from environment: AGENTDB_CACHE_DIR, AGENTDB_ENCRYPTION_KEYS, DATABASE_URL" in settings
    assert ".env: AGENTDB_POOL_SIZE, AGENTDB_REQUIRE_TLSS, ORGANIZATION_ID" in settings
    assert (state, unknown) == (
        "warning",
        "no setting of agentdb: AGENTDB_REQUIRE_TLSS (is AGENTDB_REQUIRE_TLS meant?)",
    )
    assert _found(outcome, "pool")[1].startswith("3 connections a process")


def test_warnings_can_be_failures(shared_database: Database, agentdb: Command) -> None:
    """With --strict, for a pipeline; here no key is set."""
    lenient = agentdb("doctor", DATABASE_URL=shared_database.url, ORGANIZATION_ID="acme")
    strict = agentdb("doctor", "--strict")

    assert (lenient.status, strict.status) == (0, 1)


@pytest.mark.parametrize(("seconds", "way"), [(90, "behind"), (-90, "ahead of")])
def test_clocks_that_differ(
    seconds: int, way: str, shared_database: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said which goes ahead, and how sure that is."""
    monkeypatch.setattr(facts, "_now", lambda: datetime.now(UTC) + timedelta(seconds=seconds))

    state, finding, remedy = _found(_examine(agentdb, shared_database.url), "clock")

    assert state == "warning"
    said = re.search(rf"([\d,]+) ms {way} this machine's \(give or take ([\d.]+) ms\)", finding)
    assert said
    assert abs(float(said[1].replace(",", "")) - 90_000) <= float(said[2]) + 1
    assert "NTP" in remedy


def test_a_key_that_is_missing(database: Database, agentdb: Command) -> None:
    """Rows of this organization that no key opens are a failure; an older key in use is not."""

    async def store() -> None:
        settings = Settings(organization_id="acme", database_url=database.url, encryption_keys={"k1": bytes(32)})
        async with PrismaAgentClient(settings=settings) as client:
            await client.agents.register(AgentConfig(name="a", category="SUPPORT", id="a"))
            await client.memories.store(MemoryEntry(agent_id="a", content="hidden", sensitive=True))

    asyncio.run(store())
    without = _examine(agentdb, database.url)
    older = _examine(agentdb, database.url, AGENTDB_ENCRYPTION_KEYS=KEYS)
    elsewhere = agentdb("doctor", "--json", ORGANIZATION_ID="other")

    assert (without.status, _found(without, "keys")[0]) == (1, "failed")
    assert "k1 by 1 row" in _found(without, "keys")[1]
    assert _found(older, "keys")[:2] == (
        "ok",
        "in use by this organization: k1 by 1 row; `agentdb rotate-keys` encrypts anew with the newest",
    )
    assert _found(elsewhere, "keys")[1] == "nothing of this organization is encrypted"


def test_an_organization_that_has_nothing(shared_database: Database, agentdb: Command) -> None:
    """It may be mistyped, for it needs no creation."""
    assert "has no agents yet" in _found(_examine(agentdb, shared_database.url), "organization")[1]


@pytest.mark.parametrize(("version", "expected"), [("0.8.0", "warning"), ("0.7.4", "failed")])
def test_a_database_without_the_newest_extension(
    version: str, expected: str, blank_database: Database, agentdb: Command
) -> None:
    """It works, and there is something better; or it does not. The remedy is the statement that brings it."""
    old = f"UPDATE pg_extension SET extversion = '{version}' WHERE extname = 'vector'"
    _execute(blank_database.superuser_url, old)

    state, finding, remedy = _found(_examine(agentdb, blank_database.url), "extension")

    assert (state, finding.startswith(f"pgvector {version}; the server has ")) == (expected, True)
    assert "ALTER EXTENSION vector UPDATE;" in remedy


def test_too_large_a_pool(shared_database: Database, agentdb: Command) -> None:
    """The server does not let so many in."""
    state, _, remedy = _found(_examine(agentdb, f"{shared_database.url}&connection_limit=5000"), "pool")

    assert (state, "max_connections" in remedy) == ("warning", True)


def test_an_unreachable_server(agentdb: Command) -> None:
    """What can be checked without a server is; then the address is named, and the password nowhere."""
    outcome = agentdb("doctor", DATABASE_URL="postgresql://u:secret-word@127.0.0.1:1/x", ORGANIZATION_ID="acme")

    assert outcome.status == 1
    lines = [line for line in outcome.out.splitlines() if line[0] != " "]  # those of remedies are indented
    assert [line[2:20].strip() for line in lines] == NAMES[: NAMES.index("connection") + 1]
    assert "127.0.0.1:1" in outcome.out
    assert "secret-word" not in outcome.out + outcome.err


def test_no_organization(agentdb: Command) -> None:
    """A missing setting is a failed check like any other."""
    outcome = agentdb("doctor", DATABASE_URL="postgresql://u:secret-word@127.0.0.1:1/x")

    assert outcome.status == 1
    assert "ORGANIZATION_ID" in outcome.out.splitlines()[-1]
