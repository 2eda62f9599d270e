"""`python -m desk`: an hour at the desk, on the embedded PostgreSQL unless DATABASE_URL is set."""

from __future__ import annotations

import asyncio

from agentdb import InvalidInputError, NotFoundError, PrismaAgentClient, get_agent_client
from desk.agent import SupportAgent, Ticket
from desk.embedder import TrigramEmbedder
from desk.report import closest, daily_report, important_memories, last_execution, move_in, run_by_hand

FACTS = ["A ticket is closed after 14 days.", "Refunds take three working days.", "The desk opens at eight."]


async def work(client: PrismaAgentClient) -> None:
    agent = SupportAgent()
    await agent.initialize(client)
    registered = await client.agents.get(agent.id)
    await move_in(client, registered, FACTS)
    await agent.learn_tones()
    await agent.note("The desk is closed on Sundays.", importance=0.9)

    reply = await agent.execute_task(Ticket(customer="Ada", question="How long do refunds take?"))
    print(f"{reply.tone}: {reply.text}")
    print("schema:", [schema["name"] for schema in agent.tool_schemas("anthropic")])
    try:
        await client.memories.search(agent.id, "refunds", limit=0)
    except InvalidInputError as error:
        print("refused:", error.field)
    try:
        await client.memories.get("no such memory")
    except NotFoundError as error:
        print("unknown:", error.entity)
    await run_by_hand(client, registered, "By hand?")
    await agent.cleanup()


async def look_back(client: PrismaAgentClient) -> None:
    report = await daily_report(client, "support")
    assert report is not None
    filled = [bucket for bucket in report.answers.buckets if bucket.count]
    print("report:", report.completed > 0, report.tokens > 0, len(filled), sorted(tone.name for tone in report.tones))
    print("tools:", [stats.name for stats in report.tools])
    last = await last_execution(client, report.agent)
    assert last is not None
    print("last:", last[0].status, last[0].usage.total)
    (vector,) = await TrigramEmbedder().embed(["refunds"])
    nearest, score = (await closest(client, report.agent, vector))[0]
    print("nearest:", nearest.content, score > 0)
    rows = await important_memories(client, report.agent)
    print("rows:", {row.agent.name for row in rows if row.agent is not None}, len(rows) > 2)
    health = await client.health_check()
    print("health:", health.status, health.tenancy)


async def main() -> None:
    client = get_agent_client(embedder=TrigramEmbedder())
    async with client:
        await work(client)
        await look_back(client)


if __name__ == "__main__":
    asyncio.run(main())
