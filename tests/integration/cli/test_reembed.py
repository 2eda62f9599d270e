"""`agentdb reembed`."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from tests.conftest import Database
from tests.integration.cli.conftest import Command, Outcome

pytestmark = pytest.mark.postgres

T = TypeVar("T")

MODULE = """
from agentdb.testing import HashEmbedder

embedder = HashEmbedder(8)
maker = HashEmbedder
number = 7
class Nested:
    inner = embedder
class Choosy:
    model, dimensions = "choosy", 2
    async def embed(self, texts):
        if any("bad" in text for text in texts):
            raise ValueError("not this one")
        return [[1.0, 2.0] for _ in texts]
class Down:
    model, dimensions = "down", 2
    async def embed(self, texts):
        raise ConnectionError("the embedding service is down")
def make():
    return embedder
def broken():
    raise OSError("no such model")
async def late():
    return embedder
"""


def _with_client(database: Database, work: Callable[[PrismaAgentClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with PrismaAgentClient(database.url, "acme") as client:
            return await work(client)

    return asyncio.run(run())


async def _store(client: PrismaAgentClient) -> None:
    """Three memories without an embedding, one of them of another agent, and one with another model's."""
    for agent in ("scout", "clerk"):
        await client.agents.register(AgentConfig(name=agent, category="SUPPORT", id=agent))
    await client.memories.store_many(
        [
            MemoryEntry(agent_id="scout", content="good"),
            MemoryEntry(agent_id="scout", content="bad"),
            MemoryEntry(agent_id="clerk", content="other"),
            MemoryEntry(agent_id="scout", content="moved", embedding=[1.0], embedding_model="old"),
        ]
    )


async def _models(client: PrismaAgentClient) -> dict[str, str | None]:
    rows = await client.driver.fetch("SELECT content, embedding_model FROM agent_memories")
    return {row["content"]: row["embedding_model"] for row in rows}


@pytest.fixture
def module(agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory that holds embedders, and things that are none; its name."""
    name = f"embedders_{uuid.uuid4().hex}"
    Path(f"{name}.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return name


def _reembed(agentdb: Command, database: Database, *arguments: str) -> Outcome:
    return agentdb("reembed", "--embedder", *arguments, DATABASE_URL=database.url, ORGANIZATION_ID="acme")


@pytest.mark.parametrize(
    ("attribute", "model"),
    [
        ("embedder", "agentdb-test-8"),
        ("Nested.inner", "agentdb-test-8"),
        ("make", "agentdb-test-8"),
        ("maker", "agentdb-test-64"),
    ],
)
def test_embeds_everything(attribute: str, model: str, module: str, database: Database, agentdb: Command) -> None:
    """By an embedder, or by what a function or class returns; a second time there is nothing to do."""
    _with_client(database, _store)

    done = _reembed(agentdb, database, f"{module}:{attribute}")
    again = _reembed(agentdb, database, f"{module}:{attribute}", "--json")

    assert (done.status, done.out) == (0, "embedded 4, failed 0\n")
    assert done.err == "memories, 4 of 4\n"
    assert json.loads(again.out) == {"embedded": 0, "failed": 0}
    assert _with_client(database, _models) == dict.fromkeys(("good", "bad", "other", "moved"), model)


def test_narrowed(module: str, database: Database, agentdb: Command) -> None:
    """--agent and --only-missing leave the rest as it is."""
    _with_client(database, _store)

    outcome = _reembed(agentdb, database, f"{module}:embedder", "--agent", "scout", "--only-missing", "--json")

    assert json.loads(outcome.out) == {"embedded": 2, "failed": 0}
    assert _with_client(database, _models) == {
        "good": "agentdb-test-8",
        "bad": "agentdb-test-8",
        "other": None,
        "moved": "old",
    }


def test_some_that_fail(module: str, database: Database, agentdb: Command) -> None:
    """The others are embedded; exit status 1."""
    _with_client(database, _store)

    outcome = _reembed(agentdb, database, f"{module}:Choosy")

    assert (outcome.status, outcome.out) == (1, "embedded 3, failed 1\n")


def test_an_embedder_that_is_down(
    module: str, database: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says why, exit status 1."""
    monkeypatch.setenv("AGENTDB_EMBED_ATTEMPTS", "1")
    _with_client(database, _store)

    outcome = _reembed(agentdb, database, f"{module}:Down")

    assert (outcome.status, outcome.out) == (1, "")
    assert "the embedding service is down" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("", "expected MODULE:ATTRIBUTE"),
        (":", "expected MODULE:ATTRIBUTE"),
        (":nothing", "has no attribute 'nothing'"),
        (":Nested.nothing", "has no attribute 'Nested.nothing'"),
        (":number", "is no embedder but int: it has no model, dimensions, embed"),
        (":broken", "broken() failed: OSError: no such model"),
        (":late", "is async"),
        ("_missing:embedder", "cannot import"),
    ],
)
def test_what_is_no_embedder(attribute: str, reason: str, module: str, database: Database, agentdb: Command) -> None:
    """One line that says what is wrong, exit status 2."""
    outcome = _reembed(agentdb, database, f"{module}{attribute}")

    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("agentdb: --embedder: ")
    assert reason in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_module_that_fails(module: str, database: Database, agentdb: Command) -> None:
    """What it raised is said, not shown as a traceback."""
    Path("failing.py").write_text("raise RuntimeError('no GPU here')")

    outcome = _reembed(agentdb, database, "failing:embedder")

    assert (outcome.status, outcome.out) == (2, "")
    assert "cannot import failing: RuntimeError: no GPU here" in outcome.err


def test_an_embedder_is_needed(database: Database, agentdb: Command) -> None:
    """Without --embedder it is wrong use."""
    outcome = agentdb("reembed", DATABASE_URL=database.url, ORGANIZATION_ID="acme")

    assert (outcome.status, outcome.out) == (2, "")
    assert "--embedder" in outcome.err
