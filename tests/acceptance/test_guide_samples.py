"""
The guide that agentdb was ordered with, sample by sample, as an agent author would copy them.

Its import paths are those of the code that it replaces; the modules of `agentdb init --shims` lead them here. The
commands of pip and pytest that it names are answered in docs/howto/drop-in.md.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import agentdb
import agentdb.cli.app as cli
from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from tests.acceptance.blocks import Block, find_blocks

GUIDE = Path(__file__).with_name("original_guide.md")
PYTHON = [block for block in find_blocks(GUIDE.read_text(encoding="utf-8")) if block.language == "python"]

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def project(application_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as `agentdb init --shims .` makes it, where the guide's imports lead to agentdb."""
    assert cli.run(["init", "--shims", ".", "--yes"]) == 0
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name == "shared" or name.startswith("shared.")]:
        del sys.modules[name]


@pytest.fixture
async def client(project: Path) -> Any:
    """A connected client in whose organization the guide's agent is registered."""
    async with PrismaAgentClient() as client:
        await client.agents.register(AgentConfig(name="my_agent", category="OPERATIONAL", id="agent_123"))
        await client.memories.store(MemoryEntry(agent_id="agent_123", content="An insight of before"))
        yield client


async def run(sample: Block, **names: Any) -> dict[str, Any]:
    """Run a sample in which the public names are imported; `await` is allowed at its top level."""
    namespace = {name: getattr(agentdb, name) for name in agentdb.__all__} | {"sqlite3": sqlite3} | names
    code = compile(sample.code, f"{GUIDE.name}:{sample.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(code, namespace)
    if inspect.isawaitable(outcome):
        await outcome
    return namespace


def sample_with(text: str) -> Block:
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
        await run(replace(sample, code=old))
    namespace = await run(replace(sample, code=new))

    assert namespace["config"].category == "STRATEGIC"


async def test_the_new_import_is_there_and_the_old_one_is_not(client: PrismaAgentClient) -> None:
    """Of the guide's two imports the recommended one works."""
    sample = sample_with("# OLD - deprecated")
    recommended = sample.code[sample.code.index("# NEW - recommended") :]

    namespace = await run(replace(sample, code=recommended))

    assert namespace["EnhancedAgentBase"] is agentdb.EnhancedAgentBase


async def test_the_outline_of_a_migration_script_runs(client: PrismaAgentClient, tmp_path: Path) -> None:
    """The guide's outline opens the old file and connects."""
    namespace = await run(sample_with("async def migrate_agent_data"))

    await namespace["migrate_agent_data"]("my_agent", tmp_path / "old.db")

    await agentdb.get_agent_client().disconnect()  # the outline leaves its client open


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("class MyAgent(EnhancedAgentBase)", "main()"),
        ("memory_id = await client.store_memory(memory)", "example()"),
    ],
)
async def test_a_program_of_the_guide_runs(client: PrismaAgentClient, project: Path, text: str, start: str) -> None:
    """As a file that is run beside `shared`, with the settings of the `.env` that init wrote."""
    program = project / "program.py"
    # The guide forgets to import MemoryEntry; it comes from where the sample's other import does.
    first = "from shared.database.prisma_client import MemoryEntry\n"
    code = f"{first}{sample_with(text).code}\nimport asyncio\nasyncio.run({start})\n"
    program.write_text(code, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "ORGANIZATION_ID")}

    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, program.name], cwd=project, env=environment, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    recorded = await client.memories.count() + await client.prisma.agentexecution.count()
    assert recorded == 2  # the insight of before, and what the program added


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
