"""`python after/work.py`: the same agent on agentdb, with what it remembers from before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from agentdb import AgentConfig, EnhancedAgentBase


class Harbour(EnhancedAgentBase):
    """Answers questions from what it remembers."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="harbour", category="OPERATIONAL", capabilities=["berths"]))

    def get_capabilities(self) -> list[str]:
        return self.config.capabilities

    async def execute_task(self, task: Mapping[str, str]) -> str:
        hits = await self.recall(task["question"], limit=1)
        return hits[0].content if hits else "I do not know."


async def main() -> None:
    async with Harbour() as agent:
        for question in ("When does the harbour freeze?", "What does draught mean?"):
            print(await agent.execute_task({"question": question}))
        tasks = await agent.client.executions.list(agent.id)
        print("tasks:", [task.status for task in reversed(tasks)])
        tide = await agent.client.tools.stats("tide_table")
        print(f"tide_table: {tide.calls} calls, {tide.successes} succeeded")
        for pattern in await agent.client.patterns.list(agent.id):
            print(f"pattern: {pattern.content}, expected {pattern.prior}, tried {pattern.trials} times")


asyncio.run(main())
