"""
The guide that agentdb was ordered with, sample by sample, as an agent author would copy them.

Its import paths are those of the code that it replaces; two one-line modules lead them here.
"""

from __future__ import annotations

import ast
import inspect
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agentdb
from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from tests.acceptance.samples import Sample, samples

GUIDE = Path(__file__).with_name("original_guide.md")
PYTHON = samples(GUIDE, "python")

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def drop_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let `shared.database.prisma_client` and `shared.templates.enhanced_agent_base_postgres` be agentdb."""
    for module in ("database/prisma_client.py", "templates/enhanced_agent_base_postgres.py"):
        path = tmp_path / "shared" / module
        path.parent.mkdir(parents=True)
        path.write_text("from agentdb import *\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name == "shared" or name.startswith("shared.")]:
        del sys.modules[name]


@pytest.fixture
async def client(application_environment: None) -> Any:
    """A connected client in whose organization the guide's agent is registered."""
    async with PrismaAgentClient() as client:
        await client.agents.register(AgentConfig(name="my_agent", category="OPERATIONAL", id="agent_123"))
        await client.memories.store(MemoryEntry(agent_id="agent_123", content="An insight of before"))
        yield client


async def run(sample: Sample, **names: Any) -> dict[str, Any]:
    """Run a sample in which the public names are imported; `await` is allowed at its top level."""
    namespace = {name: getattr(agentdb, name) for name in agentdb.__all__} | {"sqlite3": sqlite3} | names
    code = compile(sample.code, f"{GUIDE.name}:{sample.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, namespace)
    if inspect.isawaitable(outcome):
        await outcome
    return namespace


def sample_with(text: str) -> Sample:
    """Return the one sample that holds *text*."""
    (found,) = [sample for sample in PYTHON if text in sample.code]
    return found


async def test_the_agent_registers_executes_and_cleans_up(client: PrismaAgentClient) -> None:
    """The guide's agent runs as written, and what it did is recorded."""
    namespace = await run(sample_with("class MyAgent(EnhancedAgentBase)"))

    await namespace["main"]()

    agent = await client.agents.find("my_agent")
    assert agent is not None
    assert agent.capabilities == ["data_analysis", "reporting"]
    (execution,) = await client.executions.list(agent.id)
    assert execution.status == "completed"
    assert execution.result == {"status": "completed", "result": "..."}


async def test_the_client_is_used_directly(client: PrismaAgentClient) -> None:
    """The guide's direct use stores a memory, finds it by a word and records a metric."""
    namespace = await run(sample_with("memory_id = await client.store_memory(memory)"))

    await namespace["example"]()

    (found,) = await client.retrieve_memories("agent_123", query="discovered")
    assert found.content == "Important insight discovered"
    assert found.metadata == {"category": "insight", "confidence": 0.9}
    assert (await client.get_agent_metrics("agent_123"))["accuracy"].last == 0.95


async def test_monitoring_answers(client: PrismaAgentClient) -> None:
    """The guide's health check, metrics and patterns answer."""
    namespace = await run(sample_with("health = await client.health_check()"), client=client)

    assert namespace["health"].status == "ok"
    assert namespace["health"].tenancy == "row-level-security"
    assert namespace["metrics"] == {}
    assert namespace["patterns"] == []


async def test_a_class_of_before_only_adds_initialize(client: PrismaAgentClient) -> None:
    """The guide's migration step: the old class with a category, initialized."""
    agent_class = (await run(sample_with("class MyAgent(EnhancedAgentBase)")))["MyAgent"]
    sample = sample_with("await agent.initialize()  # Required for database setup")

    namespace = await run(sample, MyAgent=agent_class)

    assert (await client.agents.get(namespace["agent"].id)).name == "my_agent"
    await namespace["agent"].cleanup()


async def test_the_configuration_of_before_needs_a_category(client: PrismaAgentClient) -> None:
    """The guide's new configuration is accepted; the old one, shown above it, says what is missing."""
    sample = sample_with('category="STRATEGIC",  # New required field')
    old, new = sample.code.split("# NEW - category required")

    with pytest.raises(ValueError, match="category"):
        await run(Sample("python", sample.title, sample.line, old))
    namespace = await run(Sample("python", sample.title, sample.line, new))

    assert namespace["config"].category == "STRATEGIC"


async def test_the_new_import_is_there_and_the_old_one_is_not(client: PrismaAgentClient) -> None:
    """Of the guide's two imports the recommended one works."""
    code = sample_with("# OLD - deprecated").code
    recommended = code[code.index("# NEW - recommended") :]

    namespace = await run(Sample("python", "imports", 1, recommended))

    assert namespace["EnhancedAgentBase"] is agentdb.EnhancedAgentBase


async def test_the_outline_of_a_migration_script_runs(client: PrismaAgentClient, tmp_path: Path) -> None:
    """The guide's outline opens the old file and connects."""
    namespace = await run(sample_with("async def migrate_agent_data"))

    await namespace["migrate_agent_data"]("my_agent", tmp_path / "old.db")

    await agentdb.get_agent_client().disconnect()  # the outline leaves its client open


def test_every_sample_of_the_guide_is_run_here() -> None:
    """No Python sample of the guide is left out of this file."""
    source = Path(__file__).read_text(encoding="utf-8")
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    used = {
        sample
        for sample in PYTHON
        for text in texts
        if isinstance(text, str) and len(text) > 12 and text in sample.code
    }

    assert [str(sample) for sample in PYTHON if sample not in used] == []
