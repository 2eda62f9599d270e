"""`client.agents`."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from agentdb import (
    Agent,
    AgentCategory,
    AgentConfig,
    ConflictError,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
)

pytestmark = pytest.mark.postgres


async def test_a_registered_agent_is_what_was_configured(client: PrismaAgentClient) -> None:
    """With an id, times and a state of its own; every way to read it gives the same."""
    config = AgentConfig(
        name="Ärztin 😀",
        category="strategic",
        version="2.0",
        description="d",
        capabilities=["a", "b, c", '"d"'],
        data_sources=["x"],
        metadata={"k": [1, None, {"n": 2**70}]},
    )

    agent = await client.agents.register(config)

    assert UUID(agent.id).version == 7
    assert agent.category is AgentCategory.STRATEGIC
    assert {name: getattr(agent, name) for name in ("name", "version", "description", "capabilities", "metadata")} == {
        name: getattr(config, name) for name in ("name", "version", "description", "capabilities", "metadata")
    }
    assert (agent.organization_id, agent.status, agent.data_sources) == ("acme", "active", ["x"])
    assert agent.created_at == agent.updated_at == agent.last_seen_at
    assert agent.created_at.tzinfo is not None
    assert await client.agents.get(agent.id) == agent == await client.agents.find("Ärztin 😀")
    assert await client.agents.list() == [agent]


async def test_registering_again_updates_by_name(client: PrismaAgentClient, agent: Agent) -> None:
    """The id stays, also when the agent had been deactivated."""
    await client.agents.deactivate(agent.id)

    again = await client.agents.register(AgentConfig(name="scout", category="SUPPORT", version="2"))

    assert (again.id, again.version, again.category, again.status) == (agent.id, "2", "SUPPORT", "active")
    assert again.created_at == agent.created_at
    assert again.updated_at > agent.updated_at


async def test_a_name_has_one_id_and_an_id_one_name(client: PrismaAgentClient, agent: Agent) -> None:
    """Anything else is a conflict, and changes nothing."""
    with pytest.raises(ConflictError, match="name") as caught:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="other"))
    assert caught.value.constraint == "agents_organization_id_name_key"
    with pytest.raises(ConflictError, match="id") as caught:
        await client.agents.register(AgentConfig(name="other", category="SUPPORT", id=agent.id))
    assert caught.value.constraint == "agents_pkey"

    assert await client.agents.list() == [agent]
    assert (await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id=agent.id))).id == agent.id


async def test_agents_that_register_at_once_are_one(client: PrismaAgentClient) -> None:
    """Eight processes of one agent start together."""
    config = AgentConfig(name="twin", category="SUPPORT")

    agents = await asyncio.gather(*(client.agents.register(config) for _ in range(8)))

    assert len({agent.id for agent in agents}) == 1


async def test_list_narrows(client: PrismaAgentClient, agent: Agent) -> None:
    """By category in any case and by state, in the order of names."""
    other = await client.agents.register(AgentConfig(name="aide", category="SUPPORT"))
    await client.agents.deactivate(other.id)

    assert [found.name for found in await client.agents.list()] == ["aide", "scout"]
    assert [found.name for found in await client.agents.list(limit=1, offset=1)] == ["scout"]
    assert [found.name for found in await client.agents.list(category="support")] == ["aide"]
    assert [found.name for found in await client.agents.list(status="active")] == ["scout"]
    wrongs: list[dict[str, Any]] = [{"category": "x"}, {"status": "gone"}, {"limit": 0}, {"offset": -1}]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            await client.agents.list(**wrong)


async def test_a_heartbeat_moves_last_seen(client: PrismaAgentClient, agent: Agent) -> None:
    """And nothing else."""
    seen = await client.agents.heartbeat(agent.id)

    assert agent.last_seen_at is not None
    assert seen.last_seen_at is not None
    assert seen.last_seen_at > agent.last_seen_at
    assert seen.updated_at == agent.updated_at


async def test_what_is_unknown(client: PrismaAgentClient) -> None:
    """`get` and its like raise, `find` is None, `delete` is False."""
    for call in (client.agents.get, client.agents.heartbeat, client.agents.deactivate):
        with pytest.raises(NotFoundError) as caught:
            await call("nobody")
        assert (caught.value.entity, caught.value.id) == ("agent", "nobody")
    assert await client.agents.find("nobody") is None
    assert await client.agents.delete("nobody") is False


@pytest.mark.parametrize("id", ["", "a\x00", "\ud800", "x" * 256, None, 7])
async def test_what_can_be_no_id(client: PrismaAgentClient, id: Any) -> None:
    """Refused before it is sent."""
    with pytest.raises(InvalidInputError, match="agent_id"):
        await client.agents.get(id)


async def test_deleting_an_agent_takes_what_is_its_own(client: PrismaAgentClient, agent: Agent) -> None:
    """Its rows go; other agents' executions that it called and its tools stay."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    old = await client.memories.store(MemoryEntry(agent_id=agent.id, content="old"))
    await client.memories.supersede(old, MemoryEntry(agent_id=agent.id, content="new"))
    await client.metrics.record(agent.id, "m", 1)
    await client.patterns.record(agent.id, "p", 1)
    await client.tools.register("hammer", owner_agent_id=agent.id)
    async with client.executions.track(agent.id, "outer"), client.executions.track(other.id, "inner") as inner:
        pass

    assert await client.agents.delete(agent.id) is True

    assert await client.agents.list() == [other]
    assert await client.memories.count() == 0
    assert [(found.id, found.parent_id) for found in await client.executions.list()] == [(inner.id, None)]
    assert (await client.tools.get("hammer")).owner_agent_id is None
