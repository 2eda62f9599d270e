"""`agentdb migrate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres

INIT = "20261122000000_agentdb_init"
ALL = sorted(path.parent.name for path in (Path(__file__).parents[3] / "prisma" / "migrations").glob("*/migration.sql"))
APPLIED = "".join(f"applied {name}\n" for name in ALL)


def test_deploys_once(blank_database: Database, agentdb: Command) -> None:
    """A blank database is pending (1), deploying makes it current (0), and deploying again does nothing."""
    before = agentdb("migrate", "status", DATABASE_URL=blank_database.admin_url)
    deployed = agentdb("migrate", "deploy")
    after = agentdb("migrate", "status")
    again = agentdb("migrate", "deploy")

    pending, applied = ("".join(f"{name}  {word}\n" for name in ALL) for word in ("pending", "applied"))
    assert (before.status, before.out) == (1, f"{pending}{len(ALL)} to apply: `agentdb migrate deploy`\n")
    assert (deployed.status, deployed.out) == (0, APPLIED)
    assert (after.status, after.out) == (0, f"{applied}The database is up to date.\n")
    assert (again.status, again.out) == (0, "nothing to apply: the database is up to date\n")


def test_without_a_command_it_shows_the_status(blank_database: Database, agentdb: Command) -> None:
    """Half a command line changes nothing."""
    assert agentdb("migrate", DATABASE_URL=blank_database.admin_url).status == 1
    assert "pending" in agentdb("migrate").out


def test_json_for_programs(blank_database: Database, agentdb: Command) -> None:
    """The same facts as JSON."""
    before = json.loads(agentdb("migrate", "status", "--json", DATABASE_URL=blank_database.admin_url).out)
    deployed = json.loads(agentdb("migrate", "deploy", "--json").out)
    after = json.loads(agentdb("migrate", "--json").out)

    assert (before["pending"], before["is_current"]) == (ALL, False)
    assert deployed == {"applied": ALL}
    assert (after["applied"], after["pending"], after["is_current"]) == (ALL, [], True)


def test_the_migration_url_goes_first(blank_database: Database, agentdb: Command) -> None:
    """The application's login may not create tables; AGENTDB_MIGRATION_URL names one that may."""
    as_application = agentdb("migrate", "deploy", DATABASE_URL=blank_database.url)
    as_owner = agentdb("migrate", "deploy", AGENTDB_MIGRATION_URL=blank_database.admin_url)

    assert as_application.status == 1
    assert "Traceback" not in as_application.err
    assert (as_owner.status, as_owner.out) == (0, APPLIED)


def test_resolving_needs_a_failed_migration(database: Database, agentdb: Command) -> None:
    """A name that did not fail is refused."""
    outcome = agentdb("migrate", "resolve", INIT, DATABASE_URL=database.admin_url)

    assert (outcome.status, outcome.out) == (1, "")
    assert "no failed migration" in outcome.err
