"""The code of the how-tos, each page run from top to bottom, as a reader would try it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from tests.acceptance.samples import samples

HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto"
PAGES = {
    "filter-memories.md": ["['Ships wait']\n2\n"],
    "memory-life.md": ["The office is in Bonn. ", "['The office is in Bonn.']", "0 would go\n0 are gone\n"],
    "search-memories.md": [
        "The harbour freezes in January.  {'lexical': 1.0",
        "Unzipping archives takes the module zipfile.",
    ],
    "store-many-memories.md": ["2500\n"],
}


@pytest.mark.postgres
@pytest.mark.parametrize("page", PAGES)
async def test_a_page_runs(page: str, application_environment: None, capsys: pytest.CaptureFixture[str]) -> None:
    """With a connected client and a registered agent at hand; the blocks share their names."""
    found = samples(HOWTO / page, "python")
    async with PrismaAgentClient() as client:
        agent = await client.agents.register(AgentConfig(name="reader", category="SUPPORT"))
        names: dict[str, Any] = {
            "client": client, "agent": agent, "AgentConfig": AgentConfig, "MemoryEntry": MemoryEntry,
            "UTC": UTC, "datetime": datetime, "timedelta": timedelta,
        }  # fmt: skip
        for sample in found:
            code = compile(sample.code, f"{page}: {sample}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)
            if inspect.isawaitable(running):
                await _awaited(running)

    printed = capsys.readouterr().out
    assert [part for part in PAGES[page] if part not in printed] == []


async def _awaited(running: Awaitable[object]) -> None:
    await running
