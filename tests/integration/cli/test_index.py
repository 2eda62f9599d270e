"""`agentdb index`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentdb import AgentConfig, PrismaAgentClient
from tests.conftest import Database
from tests.integration.cli.conftest import Command, Outcome
from tests.integration.client.many_vectors import break_off, fill, held_up, opened, until

pytestmark = pytest.mark.postgres

LARGE: dict[str, Any] = {"model": "large", "dimensions": 8, "memories": 1500}
SMALL: dict[str, Any] = {"model": "[small]", "dimensions": 4, "memories": 20}


def _fill(database: Database, *kinds: dict[str, Any]) -> None:
    async def work() -> None:
        async with PrismaAgentClient(database.url, "acme") as client, opened(database.admin_url) as owner:
            await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
            for kind in kinds or (LARGE, SMALL):
                await fill(owner, model=kind["model"], dimensions=kind["dimensions"], count=kind["memories"])

    asyncio.run(work())


def _kinds(agentdb: Command) -> list[dict[str, Any]]:
    kinds: list[dict[str, Any]] = json.loads(agentdb("index", "--json").out)["kinds"]
    return kinds


def test_lists_what_there_is(database: Database, agentdb: Command) -> None:
    """One line for each model and length, most memories first; nothing is changed."""
    empty = agentdb("index", AGENTDB_MIGRATION_URL=database.admin_url)
    _fill(database)
    shown = agentdb("index")

    assert (empty.status, empty.out) == (0, "no memory has an embedding\n")
    assert (shown.status, shown.err) == (0, "")
    heading, large, small = (line.split() for line in shown.out.splitlines())
    assert heading == ["model", "dimensions", "memories", "index", "size"]
    assert large == ["large", "8", "1,500", "none"]
    assert small == ["[small]", "4", "20", "none"]
    assert _kinds(agentdb) == [{**kind, "index": "none", "size_bytes": 0} for kind in (LARGE, SMALL)]


def test_creates_what_is_missing(database: Database, agentdb: Command) -> None:
    """For every kind that has many memories; a second time there is nothing to do."""
    _fill(database)

    first = agentdb("index", "create", AGENTDB_MIGRATION_URL=database.admin_url)
    second = agentdb("index", "create")
    third = agentdb("index", "create", "--at-least", "20", "--json")

    assert (first.status, first.out) == (0, "created the index of large, 8 dimensions\n")
    assert (second.status, second.out) == (
        0,
        "nothing to create: every kind of 1,000 memories or more that can have one has an index\n",
    )
    assert json.loads(third.out) == {"created": [{"model": "[small]", "dimensions": 4}]}
    assert [kind["index"] for kind in _kinds(agentdb)] == ["valid", "valid"]


def test_creates_and_drops_one(database: Database, agentdb: Command) -> None:
    """The one that is named; dropping what is not there fails."""
    _fill(database)
    small = ("--model", "[small]", "--dimensions", "4")

    created = agentdb("index", "create", *small, AGENTDB_MIGRATION_URL=database.admin_url)
    again = agentdb("index", "create", *small)
    dropped = agentdb("index", "drop", *small)
    missing = agentdb("index", "drop", *small)

    assert (created.status, created.out) == (0, "created the index of [small], 4 dimensions\n")
    assert (again.status, again.out) == (0, "nothing to create: [small], 4 dimensions has an index\n")
    assert (dropped.status, dropped.out) == (0, "dropped the index of [small], 4 dimensions\n")
    assert (missing.status, missing.out) == (1, "")
    assert "agentdb index" in missing.err
    assert json.loads(agentdb("index", "drop", *small, "--json").out) == {"dropped": False}


def test_progress_is_on_stderr(database: Database, agentdb: Command) -> None:
    """What is built, and what it does or waits for."""

    async def created_with_a_hindrance() -> Outcome:
        async with opened(database.admin_url) as owner:
            async with held_up(owner):
                running = asyncio.create_task(asyncio.to_thread(agentdb, "index", "create"))
                await until(lambda: owner.fetch("SELECT FROM pg_stat_progress_create_index"))
                await asyncio.sleep(1)
            return await running

    _fill(database)
    agentdb("index", AGENTDB_MIGRATION_URL=database.admin_url)
    outcome = asyncio.run(created_with_a_hindrance())

    assert outcome.err.startswith("large, 8 dimensions: ")
    assert outcome.out == "created the index of large, 8 dimensions\n"


def test_a_model_that_nobody_uses(database: Database, agentdb: Command) -> None:
    """An index may be made before the memories, but perhaps the name is misspelled: it is said."""
    outcome = agentdb(
        "index", "create", "--model", "typo", "--dimensions", "8", AGENTDB_MIGRATION_URL=database.admin_url
    )
    left = agentdb("index")

    assert (outcome.status, outcome.out) == (0, "created the index of typo, 8 dimensions\n")
    assert "no memory has an embedding of typo, 8 dimensions yet" in outcome.err
    assert "agentdb index drop" in left.out


def test_a_build_that_broke_off(database: Database, agentdb: Command) -> None:
    """It is listed with what to do, and made anew."""

    async def work() -> None:
        async with opened(database.admin_url) as owner:
            await break_off(owner, "large", 8)

    _fill(database)
    asyncio.run(work())

    broken = agentdb("index", AGENTDB_MIGRATION_URL=database.admin_url)
    created = agentdb("index", "create")

    assert "invalid" in broken.out
    assert "`agentdb index create`" in broken.out
    assert created.out == "created the index of large, 8 dimensions\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--model", "m"],
        ["create", "--dimensions", "8"],
        ["create", "--model", "m", "--dimensions", "4001"],
        ["create", "--model", "m", "--dimensions", "none"],
        ["create", "--memory-mb", "0"],
        ["create", "--model", "m", "--dimensions", "8", "--m", "1"],
        ["drop"],
        ["drop", "--model", "m"],
        ["nonsense"],
    ],
)
def test_wrong_use(arguments: list[str], database: Database, agentdb: Command) -> None:
    """Exit status 2, and nothing on stdout."""
    outcome = agentdb("index", *arguments, AGENTDB_MIGRATION_URL=database.admin_url)

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err


@pytest.mark.parametrize("arguments", [[], ["create"], ["drop", "--model", "m", "--dimensions", "8"]])
def test_the_application_may_not(arguments: list[str], database: Database, agentdb: Command) -> None:
    """One line that names the variable to set."""
    outcome = agentdb("index", *arguments, DATABASE_URL=database.url)

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("agentdb: AGENTDB_MIGRATION_URL: role 'agentdb_app' does not own")
    assert outcome.err.count("\n") == 1


def test_a_database_without_tables(blank_database: Database, agentdb: Command) -> None:
    """It says which command makes them."""
    outcome = agentdb("index", DATABASE_URL=blank_database.admin_url)

    assert (outcome.status, outcome.out) == (1, "")
    assert "agentdb migrate deploy" in outcome.err
