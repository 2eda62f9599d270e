"""`agentdb audit`."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from agentdb import AgentConfig, PrismaAgentClient, acting_as
from tests.conftest import Database
from tests.integration.access.conftest import logged_settings
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres


@pytest.fixture
def variables(database: Database) -> dict[str, str]:
    """The environment of a command, on a database with a log of three entries, one of them a failure."""

    async def fill() -> None:
        async with PrismaAgentClient(settings=logged_settings(database.url)) as client:
            await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
            with acting_as(user="mia"):
                await client.agents.deactivate("scout-1")
            await asyncio.gather(client.agents.get("nobody"), return_exceptions=True)

    asyncio.run(fill())
    return {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme"}


def _edit(database: Database, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database.admin_url)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(run())


def test_it_says_that_the_log_is_intact(agentdb: Command, variables: dict[str, str]) -> None:
    """With the head, which the next run takes; for a program too."""
    first = agentdb("audit", "verify", **variables)
    head = first.out.strip().rpartition(" ")[2]
    second = agentdb("audit", "verify", "--head", head, "--json")

    assert (first.status, first.out.startswith("3 entries, intact; the head is 3:")) == (0, True)
    assert (second.status, json.loads(second.out)["problems"]) == (0, [])


def test_it_fails_when_the_log_is_not_what_it_was(
    agentdb: Command, variables: dict[str, str], database: Database
) -> None:
    """And says where."""
    head = json.loads(agentdb("audit", "verify", "--json", **variables).out)["head"]
    _edit(database, "UPDATE access_log SET user_name = 'tom' WHERE position = 2")
    _edit(database, "DELETE FROM access_log WHERE position = 3")

    found = agentdb("audit", "verify", "--head", head)

    assert found.status == 1
    assert found.out.splitlines()[0] == "position 2: the entry was changed"
    assert "position 3: was there once; the log ends at 2" in found.out
    assert "2 entries, NOT intact" in found.out


def test_a_head_that_is_none_is_wrong_use(agentdb: Command, variables: dict[str, str]) -> None:
    """As is a time that is none."""
    assert agentdb("audit", "verify", "--head", "x", **variables).status == 2
    assert agentdb("audit", "list", "--since", "x").status == 2


def test_it_lists_who_did_what(agentdb: Command, variables: dict[str, str]) -> None:
    """Newest first, one line each, or those that are asked for."""
    every = agentdb("audit", "list", **variables)
    mine = json.loads(agentdb("audit", "list", "--user", "mia", "--since", "2020-01-01", "--json").out)["entries"]
    failed = agentdb("audit", "list", "--failed")
    nothing = agentdb("audit", "list", "--agent", "nobody", "--operation", "agents.delete")

    lines = every.out.splitlines()
    assert [line.split()[2:5] for line in lines[1:]] == [
        ["nobody", "-", "agents.get"],
        ["scout-1", "mia", "agents.deactivate"],
        ["-", "-", "agents.register"],
    ]
    assert [(entry["operation"], entry["row_ids"], len(entry["chain"])) for entry in mine] == [
        ("agents.deactivate", ["scout-1"], 64)
    ]
    assert "NotFoundError" in failed.out
    assert nothing.out.startswith("No entry.")
