"""The example's tests run as its README says, from the wheel; a test that fails says what its agent did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.conftest import Installation

WRONG = """
from forecaster import Forecaster


async def sunny(city):
    return "Sun."


async def test_it_rains(agentdb_agent):
    agent = await agentdb_agent(Forecaster, sunny)
    assert "Rain" in await agent.execute_task({"city": "Oslo"})
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_all_pass(workers: tuple[str, ...], installed: Installation, example: Callable[[str], Path]) -> None:
    """With nothing set up but what is installed; warnings are errors."""
    said = installed.run("pytest", "-q", *workers, cwd=example("pytest-suite")).stdout

    assert "9 passed" in said


def test_a_test_that_fails_shows_what_the_agent_did(installed: Installation, example: Callable[[str], Path]) -> None:
    """The execution, its tool and its memory stand below the traceback."""
    project = example("pytest-suite")
    (project / "test_wrong.py").write_text(WRONG, encoding="utf-8")

    done = installed.run("pytest", "-q", "test_wrong.py", cwd=project, check=False)

    assert done.returncode == 1
    assert "- agentdb -" in done.stdout
    assert "completed forecaster, " in done.stdout
    assert "  tool forecast ok, " in done.stdout
