"""`client.tools` and `client.patterns`."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from agentdb import Agent, AgentConfig, ConflictError, InvalidInputError, NotFoundError, PrismaAgentClient

pytestmark = pytest.mark.postgres


async def test_a_tool_is_registered_and_versioned(client: PrismaAgentClient, agent: Agent) -> None:
    """Other parameters are a new version; the same ones are not."""
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    tool = await client.register_tool("lookup", "Look up", schema, owner_agent_id=agent.id)
    assert (tool.version, tool.status, tool.owner_agent_id, tool.parameters) == (1, "active", agent.id, schema)

    again = await client.tools.register("lookup", "Look a word up", dict(reversed(schema.items())))
    assert (again.id, again.version, again.description, again.owner_agent_id) == (tool.id, 1, "Look a word up", None)
    assert (await client.tools.register("lookup", "", {"type": "object"})).version == 2
    assert [found.name for found in await client.get_tools()] == ["lookup"]
    assert await client.tools.list(owner_agent_id=agent.id) == []
    assert (await client.tools.get("lookup")).version == 2


async def test_calls_are_counted_exactly(client: PrismaAgentClient, agent: Agent) -> None:
    """Under concurrency too."""
    await client.tools.register("lookup")

    calls = (client.tools.record_call("lookup", agent.id, success=n % 4 > 0, duration_ms=2.5) for n in range(100))
    await asyncio.gather(*calls)

    tool = await client.tools.get("lookup")
    assert (tool.calls, tool.successes, tool.total_duration_ms) == (100, 75, 250.0)
    assert tool.last_used_at is not None


async def test_unknown_tools_and_owners(client: PrismaAgentClient, agent: Agent) -> None:
    """Not found, and told which."""
    with pytest.raises(NotFoundError, match="tool"):
        await client.tools.get("none")
    with pytest.raises(NotFoundError, match="tool"):
        await client.tools.record_call("none", agent.id, success=True, duration_ms=1)
    await client.tools.register("lookup")
    with pytest.raises(NotFoundError, match="register"):
        await client.tools.record_call("lookup", "nobody", success=True, duration_ms=1)
    with pytest.raises(NotFoundError, match="nobody"):
        await client.tools.register("other", owner_agent_id="nobody")
    assert (await client.tools.get("lookup")).calls == 0


@pytest.mark.parametrize("duration", [-1, math.nan, math.inf, "1"])
async def test_a_duration_is_a_number(client: PrismaAgentClient, agent: Agent, duration: Any) -> None:
    """Of milliseconds, not negative."""
    with pytest.raises(InvalidInputError, match="duration_ms"):
        await client.tools.record_call("lookup", agent.id, success=True, duration_ms=duration)


@pytest.mark.parametrize("parameters", [[1], "text", {"a": math.nan}, {"a": object()}])
async def test_a_schema_is_a_json_object(client: PrismaAgentClient, parameters: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidInputError, match="parameters"):
        await client.tools.register("lookup", "", parameters)


async def test_confidence_comes_from_evidence(client: PrismaAgentClient, agent: Agent) -> None:
    """No trial, no confidence; SQL and Python compute the same."""
    pattern = await client.store_learning_pattern(agent.id, "prompt", {"text": "be brief"}, name="brief")
    assert (pattern.trials, pattern.confidence, pattern.status) == (0, 0.0, "active")

    for success in [True] * 8 + [False] * 2:
        pattern = await client.patterns.outcome(pattern.id, success)
        exactly = pattern.confidence
        assert pattern in await client.patterns.list(agent.id, min_confidence=max(0.0, exactly - 1e-12))
        assert pattern not in await client.patterns.list(agent.id, min_confidence=exactly + 1e-12)

    assert (pattern.trials, pattern.successes) == (10, 8)
    assert pattern.confidence == pytest.approx(0.49016, abs=1e-5)
    assert await client.get_learning_patterns(agent.id, min_confidence=0.7) == []


async def test_outcomes_are_counted_exactly(client: PrismaAgentClient, agent: Agent) -> None:
    """200 callers lose no trial."""
    pattern = await client.patterns.record(agent.id, "prompt", "x")

    await asyncio.gather(*(client.patterns.outcome(pattern.id, n % 2 == 0) for n in range(200)))

    (counted,) = await client.patterns.list(agent.id)
    assert (counted.trials, counted.successes) == (200, 100)


async def test_patterns_are_the_agents_or_the_organizations(client: PrismaAgentClient, agent: Agent) -> None:
    """Most confident first."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    own = await client.patterns.record(agent.id, "prompt", 1)
    await client.patterns.record(other.id, "prompt", 2)
    shared = await client.patterns.record(other.id, "setting", 3, scope="organization")
    shared = await client.patterns.outcome(shared.id, True)

    assert await client.patterns.list(agent.id) == [shared, own]
    assert await client.patterns.list(agent.id, pattern_type="prompt") == [own]
    assert await client.patterns.list(agent.id, include_shared=False, limit=1) == [own]
    assert await client.patterns.list("nobody", include_shared=False) == []


async def test_a_retried_pattern_is_recorded_once(client: PrismaAgentClient, agent: Agent) -> None:
    """Another one under its key is refused."""
    pattern = await client.patterns.record(agent.id, "prompt", {"n": 1}, idempotency_key="k")

    assert await client.patterns.record(agent.id, "prompt", {"n": 1}, idempotency_key="k") == pattern
    with pytest.raises(ConflictError, match="idempotency key"):
        await client.patterns.record(agent.id, "prompt", {"n": 2}, idempotency_key="k")


async def test_what_no_pattern_is(client: PrismaAgentClient, agent: Agent) -> None:
    """Typed errors that name what is wrong."""
    with pytest.raises(NotFoundError, match="register"):
        await client.patterns.record("nobody", "prompt", 1)
    with pytest.raises(NotFoundError, match="pattern"):
        await client.patterns.outcome("01a204bf-38e6-7c72-a0e5-6526c4d1d84c", True)
    for options, field in (({"scope": "all"}, "scope"), ({"name": "x" * 256}, "name")):
        with pytest.raises(InvalidInputError, match=field):
            await client.patterns.record(agent.id, "prompt", 1, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="content"):
        await client.patterns.record(agent.id, "prompt", object())
    with pytest.raises(InvalidInputError, match="min_confidence"):
        await client.patterns.list(agent.id, min_confidence=math.nan)
