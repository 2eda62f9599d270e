"""Processes that are killed in the middle of a task: what they run. `python -m tests.integration.killing URL COUNT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from agentdb import AgentConfig, EnhancedAgentBase, PrismaAgentClient, Settings, tool


class Endless(EnhancedAgentBase):
    """Says what it has done, and never comes to an end."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="endless", category="SUPPORT", id="endless"))

    async def execute_task(self, task: object) -> None:
        if task == "inner":
            await self.work()
        await self.execute_task("inner")

    async def work(self) -> None:
        number = 0
        while True:
            await self.count(number)
            self.execution.log(f"line {number}")
            sys.stdout.write(f"{os.getpid()} {self.execution.id} {number}\n")
            sys.stdout.flush()
            number += 1
            await asyncio.sleep(0.05)

    def get_capabilities(self) -> list[str]:
        return []

    @tool
    async def count(self, number: int) -> int:
        """Count."""
        return number


async def _run(url: str) -> None:
    settings = Settings(organization_id="acme", database_url=url, pool_size=1)
    async with PrismaAgentClient(settings=settings) as client:
        agent = Endless()
        await agent.initialize(client)
        await agent.execute_task("outer")


def main(url: str, count: int) -> None:
    """Start *count* processes, which import nothing more, and wait for them."""
    import agentdb.postgres.pool  # noqa: F401 - loaded once for all

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(count):
        if os.fork() == 0:
            asyncio.run(_run(url))
            os._exit(0)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
