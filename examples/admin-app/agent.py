"""An agent of one of the admin app's customers; ORGANIZATION_ID says which. It logs in as a member of agentdb_app."""

import asyncio

from agentdb import AgentConfig, EnhancedAgentBase


class Harbourmaster(EnhancedAgentBase):
    def __init__(self):
        super().__init__(AgentConfig(name="harbourmaster", category="OPERATIONAL"))

    def get_capabilities(self):
        return ["berths"]

    async def execute_task(self, task):
        await self.remember(f"{task['ship']} lies at berth {task['berth']}.", importance=0.7)
        self.execution.usage.add(input=90, output=10)
        return {"berth": task["berth"]}


async def main():
    async with Harbourmaster() as agent:
        await agent.execute_task({"ship": "Pequod", "berth": 7})


if __name__ == "__main__":
    asyncio.run(main())
