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
    "audit.md": [
        " None ('agent_memories',) 1 ok\nmia@example.com memories.store ['agent_memories'] True ok\n",
        "memories.search ['agent_memories'] True ok\nmia@example.com memories.delete ['agent_memories'] True ok\n",
        "entries, intact: True\nTrue True\n",
    ],
    "encrypt-memories.md": [
        "Alice is allergic to nuts.\n1\n'' {} True\nBob dislikes rain.\nTrue\n",
        "2026-11 is missing: True\nImported(memories=0, known=2)\n",
    ],
    "erase.md": [
        "True {'agent_memories': 2, 'agent_executions': 1, 'agent_steps': 1}\n{'agent_memories.content': 1} True\n",
        "{'agent_memories.content': 1}\n{}\n",
        "{'agents': 1, 'agent_memories': 1}\n",
    ],
    "executions.md": [
        "completed question {'answer': '12 metres'} 0.0002280000\n",
        "plan ['north', 'south']\n[('log', 'info', 'asked the pilot')]\ncount the ships fog\n",
        "reader 5 0.8 1500 0.0002280000 2\nNone 5 0.8 1500 0.0002280000 2\n",
        "0.2700000000\n{'key': 'sk-…'}\n",
        "Where is the key? - question\n('null', True)\n",
        "ClearedExecutions(executions=0, calls=0)\n",
    ],
    "export-and-import.md": [
        "Restored(rows={'agents': 1, 'agent_memories': 1, 'agent_metrics': 1}, known={})\n"
        "Restored(rows={}, known={'agents': 1, 'agent_memories': 1, 'agent_metrics': 1})\n"
    ],
    "filter-memories.md": ["['Ships wait']\n2\n"],
    "learn-and-experiment.md": [
        "steps True\n",
        "True\n1 1\n2\norganization\n2 of 20 trials\n",
        "reverted - they meant another one\nquarantined - complaints from Bonn\npromoted - beats the others\n",
        "answer: retriever=vectors success 1.00 instead of 0.33 (p = ",
    ],
    "memory-life.md": ["The office is in Bonn. ", "['The office is in Bonn.']", "0 would go\n0 are gone\n"],
    "metrics.md": [
        "0 points were not recorded\n5000 1.0\n",
        "1 searches\nRolledUp(hours=0, renewed=0)\nTrue 1\nRetained(points=0, rollups=0)\n",
    ],
    "roles.md": ["row-level-security agentdb_app []\n"],
    "rotate-keys.md": ["1 of 2\n2 of 2\n1 {'new': 2} True\nit is empty\n"],
    "search-memories.md": [
        "The harbour freezes in January.  {'lexical': 1.0",
        "Unzipping archives takes the module zipfile.",
    ],
    "store-many-memories.md": ["2500\n"],
    "tls.md": ["False None None\n"],
    "tools.md": [
        "['count_words', 'lookup']\nthe meaning of tide\n3\nthe meaning of harbour\n",
        "LookupError: gibberish\nInvalidInputError: arguments.language",
        "4 calls, 2 failed; success rate 0.5\nbetween 0.15 and 0.85; p95 known\n4\n",
        "['lookup', 'count_words', 'geocode'] [] ['lookup']\n['count_words', 'geocode', 'lookup']\n",
        "['lookup', 'count_words']\n['en', 'de']\n['count_words', 'geocode', 'lookup']\n['geocode']\n",
        "\n['count_words', 'lookup']\n",
    ],
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
