"""Which agent a command works on: one rule for all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import typer

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.cli.app import app
from tests.conftest import Database
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres

WAYS: Final = {
    "stats": ["--json"],
    "sweep": ["--dry-run", "--json"],
    "reembed": ["--embedder", "agentdb.embedders:SpellingEmbedder", "--json"],
    "erase": ["--dry-run", "--json"],
    "export": ["--output", "out.jsonl", "--force", "--json"],
    "import": ["scout.jsonl", "--json"],
    "audit list": ["--json"],
}
"""How each command is called that takes an agent."""

MAY_BE_GONE: Final = {"audit list"}
"""Those that tell of agents that were deleted, too."""


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, below in getattr(command, "commands", {}).items():
        yield " ".join((*path, name)), below
        yield from _commands(below, (*path, name))


TAKING: Final = {
    name: command
    for name, command in _commands(typer.main.get_command(app))
    if any("--agent" in parameter.opts for parameter in command.params)
}


@pytest.fixture
def filled(database: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Agents "scout" and "clerk" with a memory each, and an export of the first in the folder."""

    async def fill() -> None:
        async with PrismaAgentClient(database.url, "acme") as client:
            for name in ("scout", "clerk"):
                await client.agents.register(AgentConfig(name=name, category="SUPPORT", id=f"id of {name}"))
                await client.memories.store(MemoryEntry(agent_id=f"id of {name}", content=f"what {name} knows"))

    asyncio.run(fill())
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
    assert agentdb("export", "--agent", "scout", "--output", "scout.jsonl").status == 0
    return database


def test_every_command_that_takes_an_agent_is_tried() -> None:
    """A new one keeps to the rule, and says so; but for an import, whose agent need not be there yet."""
    by_rule = {
        name
        for name, command in TAKING.items()
        for parameter in command.params
        if "--agent" in parameter.opts and parameter.metavar == "NAME|ID"
    }

    assert by_rule == set(WAYS)
    assert set(TAKING) - by_rule <= {"import-sqlite"}


@pytest.mark.parametrize("name", WAYS)
def test_a_name_or_an_id(name: str, filled: Database, agentdb: Command) -> None:
    """Both mean the same agent, and no other."""
    by_name, by_id = (agentdb(*name.split(), *WAYS[name], "--agent", text) for text in ("scout", "id of scout"))

    assert (by_name.status, by_id.status) == (0, 0), by_name.err
    results = [json.loads(outcome.out) for outcome in (by_name, by_id)]
    for result in results:
        for passing in ("over_time", "entries", "embedded", "rows", "known", "tables"):
            result.pop(passing, None)
    assert results[0] == results[1]
    assert "clerk" not in by_name.out


@pytest.mark.parametrize("name", WAYS)
def test_neither(name: str, filled: Database, agentdb: Command) -> None:
    """An agent that is not there is an error, not an empty result that looks like a slow day."""
    outcome = agentdb(*name.split(), *WAYS[name], "--agent", "scuot")

    if name in MAY_BE_GONE:
        assert outcome.status == 0
        return
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1] == "agentdb: No agent 'scuot' in this organization."
    assert json.loads(outcome.out) == {
        "error": {"type": "NotFoundError", "message": "No agent 'scuot' in this organization."}
    }


def test_a_name_goes_before_an_id(filled: Database, agentdb: Command) -> None:
    """An agent may be called as another is numbered."""

    async def confuse() -> None:
        async with PrismaAgentClient(filled.url, "acme") as client:
            await client.agents.register(AgentConfig(name="id of scout", category="SUPPORT", id="third"))

    asyncio.run(confuse())
    outcome = agentdb("stats", "--json", "--agent", "id of scout")

    assert json.loads(outcome.out)["memories"] == []


def test_only_agents_of_the_organization(filled: Database, agentdb: Command) -> None:
    """That of ORGANIZATION_ID."""
    assert agentdb("stats", "--agent", "scout", ORGANIZATION_ID="other").status == 1
