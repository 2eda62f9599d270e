"""The agent's tests: the fixtures come with agentdb, their types from `agentdb.testing`."""

from __future__ import annotations

import pytest
from desk.agent import SupportAgent, Ticket

from agentdb import NotFoundError, PrismaAgentClient
from agentdb.testing import MakeAgent


async def test_it_answers_from_memory(agentdb_agent: MakeAgent, agentdb_client: PrismaAgentClient) -> None:
    agent = await agentdb_agent(SupportAgent, "tested")
    await agent.learn_tones()
    await agent.note("Refunds take three working days.")

    reply = await agent.execute_task(Ticket(customer="Ada", question="How long do refunds take?"))

    assert reply.text.endswith("Refunds take three working days.")
    (execution,) = await agentdb_client.executions.list(agent.id)
    assert execution.status == "completed"


async def test_it_says_that_it_knows_nothing(agentdb_agent: MakeAgent) -> None:
    agent = await agentdb_agent(SupportAgent)

    with pytest.raises(NotFoundError):
        await agent.execute_task(Ticket(customer="Ada", question="How long do refunds take?"))
