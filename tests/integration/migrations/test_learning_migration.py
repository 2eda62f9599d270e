"""What the migration of learning makes and schema.prisma cannot say, and what it does to patterns of before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from tests.conftest import Database

MIGRATIONS = Path(__file__).parents[3] / "prisma" / "migrations"
NAME = "20261128120000_agentdb_learning"
TABLES = ["learning_outcomes", "learning_pattern_changes"]
PATTERN = "00000000-0000-7000-8000-000000000001"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

pytestmark = pytest.mark.postgres


@pytest.fixture
async def before(blank_database: Database) -> AsyncIterator[Connection]:
    """A connection as the owner to a database with every migration that comes before; organizations a and b."""
    connection = await asyncpg.connect(blank_database.admin_url)
    for migration in sorted(MIGRATIONS.glob("*/migration.sql")):
        if migration.parent.name < NAME:
            await connection.execute(migration.read_text(encoding="utf-8"))
    for organization in "ab":
        await connection.execute(
            "INSERT INTO agents (organization_id, id, name, category) VALUES ($1, 'x', 'x', 'SUPPORT')", organization
        )
    yield connection
    await connection.close()


@pytest.fixture
async def owner(before: Connection) -> Connection:
    """The same with this migration; each organization has a pattern, an outcome and a change of it."""
    await before.execute((MIGRATIONS / NAME / "migration.sql").read_text(encoding="utf-8"))
    for organization in "ab":
        await before.execute(
            "INSERT INTO learning_patterns (organization_id, id, agent_id, pattern_type, content)"
            " VALUES ($1, $2, 'x', 'p', '1')",
            organization,
            PATTERN,
        )
        await before.execute(
            "INSERT INTO learning_outcomes (organization_id, id, pattern_id, success)"
            " VALUES ($1, gen_random_uuid(), $2, true)",
            organization,
            PATTERN,
        )
        await _insert_change(before, organization)
    return before


@pytest.fixture
async def application(owner: Connection, blank_database: Database) -> AsyncIterator[Connection]:
    """A connection that row-level security binds, for organization a."""
    connection = await asyncpg.connect(blank_database.url)
    await connection.execute("SET agentdb.organization_id = 'a'")
    yield connection
    await connection.close()


async def _insert_change(connection: Connection, organization: str, **columns: str) -> None:
    row = {
        "id": "gen_random_uuid()", "pattern_id": f"'{PATTERN}'", "change": "'retired'", "old_scope": "'agent'",
        "new_scope": "'agent'", "old_status": "'active'", "new_status": "'retired'", "trials": "1", "successes": "1",
    } | columns  # fmt: skip
    await connection.execute(
        f"INSERT INTO learning_pattern_changes (organization_id, {', '.join(row)})"
        f" VALUES ($1, {', '.join(row.values())})",
        organization,
    )


async def test_names_that_are_there_twice_are_kept_apart(before: Connection) -> None:
    """The oldest of an agent and type keeps its name; nothing else changes."""
    for number, (kind, name) in enumerate(
        [("prompt", "brief"), ("prompt", "brief"), ("prompt", "x" * 255), ("prompt", "x" * 255), ("tone", "brief"),
         ("prompt", ""), ("prompt", "")]
    ):  # fmt: skip
        await before.execute(
            "INSERT INTO learning_patterns (organization_id, id, agent_id, pattern_type, name, content, trials,"
            " created_at) VALUES ('a', gen_random_uuid(), 'x', $1, $2, '1', $3::int, now() + $3 * interval '1 second')",
            kind,
            name,
            number,
        )
    names = "SELECT name, id::text FROM learning_patterns ORDER BY trials"
    old = await before.fetch(names)

    await before.execute((MIGRATIONS / NAME / "migration.sql").read_text(encoding="utf-8"))

    new = await before.fetch(names)
    assert [row["id"] for row in new] == [row["id"] for row in old]
    assert [place for place, (one, other) in enumerate(zip(old, new, strict=True)) if one["name"] != other["name"]] == [
        1,
        3,
    ]
    assert new[1]["name"] == f"brief {new[1]['id']}"
    assert new[3]["name"] == "x" * 218 + f" {new[3]['id']}"


@pytest.mark.parametrize("table", TABLES)
async def test_an_organization_sees_only_its_own(owner: Connection, application: Connection, table: str) -> None:
    """And none without the setting; the owner sees all."""
    assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 2
    assert await application.fetchval(f"SELECT string_agg(organization_id, '') FROM {table}") == "a"
    await application.execute("RESET agentdb.organization_id")
    assert await application.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE learning_outcomes SET success = false",
        "UPDATE learning_pattern_changes SET reason = ''",
        "DELETE FROM learning_pattern_changes",
        "TRUNCATE learning_outcomes",
    ],
)
async def test_what_has_happened_is_not_changed(application: Connection, statement: str) -> None:
    """By the application, in its own organization."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await application.execute(statement)


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"change": "'forgotten'"}, "learning_pattern_changes_change_check"),
        ({"change": "'reverted'"}, "learning_pattern_changes_reverts_id_check"),
        ({"reverts_id": f"'{PATTERN}'"}, "learning_pattern_changes_reverts_id_check"),
        ({"successes": "2"}, "learning_pattern_changes_successes_check"),
        ({"trials": "'NaN'"}, "learning_pattern_changes_successes_check"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    owner: Connection, columns: dict[str, str], constraint: str
) -> None:
    """By the CHECK of its column."""
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await _insert_change(owner, "a", **columns)
    assert caught.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("prior = 1.5, prior_weight = 1", "learning_patterns_prior_check"),
        ("prior = 'NaN'", "learning_patterns_prior_check"),
        ("prior_weight = 1", "learning_patterns_prior_weight_check"),
        ("prior = 0.5, prior_weight = 'NaN'", "learning_patterns_prior_weight_check"),
        ("half_life_days = 0", "learning_patterns_half_life_days_check"),
        ("half_life_days = 'Infinity'", "learning_patterns_half_life_days_check"),
        ("decayed_successes = 1", "learning_patterns_decayed_successes_check"),
        ("decayed_trials = 'NaN'", "learning_patterns_decayed_successes_check"),
    ],
)
async def test_evidence_that_makes_no_sense_is_refused(owner: Connection, change: str, constraint: str) -> None:
    """By the CHECK of its column."""
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await owner.execute(f"UPDATE learning_patterns SET {change}")
    assert caught.value.constraint_name == constraint


async def test_rows_refer_to_their_own_organization(owner: Connection) -> None:
    """An outcome of one organization cannot be of another's pattern."""
    await owner.execute("DELETE FROM learning_patterns WHERE organization_id = 'b'")
    assert await owner.fetchval("SELECT count(*) FROM learning_outcomes") == 1
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await owner.execute(
            "INSERT INTO learning_outcomes (organization_id, id, pattern_id, success)"
            " VALUES ('b', gen_random_uuid(), $1, true)",
            PATTERN,
        )
