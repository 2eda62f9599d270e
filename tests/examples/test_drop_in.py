"""`agentdb init --shims` from the wheel: interpreter, type checkers and pytest follow the modules of old."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.examples.conftest import Installation

pytestmark = pytest.mark.postgres

# As the guide has it, with types: those of the modules of old are agentdb's.
AGENT = """\
from typing import Any

from shared.database.prisma_client import AgentConfig, MemoryEntry
from shared.templates.enhanced_agent_base_postgres import EnhancedAgentBase


class MyAgent(EnhancedAgentBase):
    def __init__(self) -> None:
        super().__init__(AgentConfig(name="my_agent", category="OPERATIONAL", capabilities=["reporting"]))

    async def execute_task(self, task: Any) -> Any:
        await self.client.store_memory(MemoryEntry(agent_id=self.id, content="An insight"))
        return {"status": "completed"}

    def get_capabilities(self) -> list[str]:
        return self.config.capabilities
"""
WRONG = "from shared.database.prisma_client import MemoryEntry\n\nMemoryEntry(agent_id='a', content=1)\n"
TEST = """\
from my_agent import MyAgent


async def test_a_task_leaves_a_memory(agentdb_agent):
    agent = await agentdb_agent(MyAgent)
    await agent.execute_task({})
    assert [memory.content for memory in await agent.client.memories.list(agent.id)] == ["An insight"]
"""
PYPROJECT = '[tool.pytest.ini_options]\nasyncio_mode = "auto"\npythonpath = ["."]\n'


@pytest.fixture
def project(installed: Installation, database: Database, tmp_path: Path) -> Callable[..., Path]:
    """Makes a project with the modules of old, and with *files* that were there before."""

    def make(*files: str) -> Path:
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        given = ["--database-url", database.url, "--organization", "acme"]
        installed.run("agentdb", "init", *given, "--shims", ".", cwd=tmp_path)
        (tmp_path / "my_agent.py").write_text(AGENT)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ([], []),
        (["shared/__init__.py"], []),
        (["shared/others.txt"], ["--explicit-package-bases"]),  # what mypy needs wherever a package has no __init__.py
    ],
    ids=["new", "package", "folder"],
)
def test_type_checkers_follow(
    files: list[str], options: list[str], project: Callable[..., Path], installed: Installation
) -> None:
    """mypy and pyright, both strict, find nothing wrong with the agent, and what is wrong with a wrong call."""
    folder = project(*files)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')

    good = installed.run("mypy", "--strict", *options, ".", cwd=folder)
    (folder / "wrong.py").write_text(WRONG)
    bad = installed.run("mypy", "--strict", *options, ".", cwd=folder, check=False)

    assert "Success" in good.stdout
    assert (bad.returncode, '"int"' in bad.stdout) == (1, True)
    installed.run("python", "-c", "import my_agent", cwd=folder)
    if not files:  # one that takes its time is enough
        installed.run("pyright", "my_agent.py", "shared", cwd=folder)


def test_the_guides_way_to_run_tests(project: Callable[..., Path], installed: Installation) -> None:
    """`pytest shared/database/tests/ -v` runs a project's own tests there, with agentdb's fixtures."""
    folder = project()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    tests = folder / "shared" / "database" / "tests"
    tests.mkdir()
    (tests / "test_my_agent.py").write_text(TEST)

    done = installed.run("pytest", "shared/database/tests/", "-v", cwd=folder)

    assert "1 passed" in done.stdout
