"""Recording what an agent does, and the same rows written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from agentdb import AgentConfig, EnhancedAgentBase, tool
from agentdb.ids import uuid7_text
from benchmarks.database import ORGANIZATION, WRITER, Database
from benchmarks.harness import Case

__all__ = ["make_execution_cases"]

_BEGIN = """INSERT INTO agent_executions (organization_id, id, agent_id, task) VALUES ($1, $2, $3, $4)"""
_END = """UPDATE agent_executions SET status = 'completed', result = $3, input_tokens = $4, output_tokens = $5,
    finished_at = clock_timestamp() WHERE organization_id = $1 AND id = $2"""
_TOOL = """INSERT INTO agent_tools (organization_id, id, name) VALUES ($1, gen_random_uuid(), 'by_hand')
    ON CONFLICT (organization_id, name) DO UPDATE SET status = 'active' RETURNING id"""
_CALLS = """INSERT INTO agent_steps (organization_id, id, agent_id, execution_id, kind, name, tool_id, success,
        duration_ms, at)
    SELECT $1, id, $2, $3, 'tool', 'by_hand', $4, true, 0, at
    FROM unnest($5::uuid[], $6::timestamptz[]) AS given (id, at)"""
_COUNT = """UPDATE agent_tools SET call_count = call_count + $3, success_count = success_count + $3,
    last_used_at = clock_timestamp() WHERE organization_id = $1 AND id = $2"""

_TASK = {"type": "analysis", "question": "How many of the forty-two are left?"}
_RESULT = {"answer": 42, "because": "none of them has gone"}


class _Worker(EnhancedAgentBase):
    def __init__(self) -> None:
        super().__init__(AgentConfig(name=WRITER, category="SUPPORT"))

    def get_capabilities(self) -> list[str]:
        return []

    async def execute_task(self, task: dict[str, Any]) -> dict[str, Any]:
        for number in range(task.get("calls", 0)):
            await self.look(number)
        self.execution.usage.add(input=100, output=20)
        return _RESULT

    @tool
    async def look(self, number: int) -> int:
        """Look whether it is still there."""
        return number


def make_execution_cases(database: Database) -> Iterator[Case]:
    """Make the cases of one task, without tools and with three calls of one."""
    raw = database.raw
    worker = _Worker()

    async def execute(calls: int) -> None:
        if worker._client is None:
            await worker.initialize(database.client)
        await worker.execute_task({**_TASK, "calls": calls} if calls else _TASK)

    async def by_hand(calls: int) -> None:
        id = uuid7_text()
        await raw.execute(_BEGIN, ORGANIZATION, id, WRITER, json.dumps(_TASK))
        if calls:
            ids = [uuid7_text() for _ in range(calls)]
            at = [datetime.now(UTC) for _ in range(calls)]
            tool_id = await tool_by_hand()
            async with raw.transaction():  # the counter must not differ from the calls
                await raw.execute(_CALLS, ORGANIZATION, WRITER, id, tool_id, ids, at)
                await raw.execute(_COUNT, ORGANIZATION, tool_id, calls)
        await raw.execute(_END, ORGANIZATION, id, json.dumps(_RESULT), 100, 20)

    known: list[Any] = []

    async def tool_by_hand() -> Any:
        if not known:
            known.append(await raw.fetchval(_TOOL, ORGANIZATION))
        return known[0]

    yield Case("a task, start to end", execute, {"asyncpg": by_hand}, bar=None, prepare=lambda: 0)
    yield Case("  with three calls of tools", execute, {"asyncpg": by_hand}, bar=None, prepare=lambda: 3)
