"""Parameters of tools that are encrypted, where AGENTDB_ENCRYPT says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentdb import Agent, EncryptionError, PrismaAgentClient, ToolDefinition
from tests.integration.client.encrypting import corpus, keyed

pytestmark = pytest.mark.postgres

SECRET = "tulip"
SCHEMA = {"type": "object", "properties": {SECRET: {"type": "number", "minimum": 1.0}}}
OTHER = {"type": "object", "properties": {SECRET: {"type": "number", "minimum": 2}}}


@pytest_asyncio.fixture
async def sealing(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client that encrypts with the key k1."""
    async with keyed(database_url, "k1") as client:
        yield client


async def test_parameters_stand_nowhere_and_are_read_everywhere(
    sealing: PrismaAgentClient, agent: Agent, superuser_url: str
) -> None:
    """Registered alone or as an agent's methods; in the catalogue and in its versions."""
    registered = await sealing.tools.register("pick", "Pick a flower", SCHEMA)
    (method,) = await sealing.tools.register_all(agent.id, [ToolDefinition(name="smell", parameters=SCHEMA)])
    changed = await sealing.tools.register("pick", "Pick a flower", OTHER)

    assert (registered.parameters, method.parameters) == (SCHEMA, SCHEMA)
    assert (changed.parameters, changed.version) == (OTHER, 2)
    assert await sealing.tools.get("pick") == changed
    assert await sealing.tools.list() == [changed, method]
    assert await sealing.tools.search("flower") == [changed]
    assert [version.parameters for version in await sealing.tools.versions("pick")] == [OTHER, SCHEMA]
    (exported,) = await sealing.tools.schemas("anthropic", names=["smell"])
    assert exported["input_schema"] == SCHEMA
    assert (await sealing.tools.deprecate("pick")).parameters == OTHER
    assert SECRET not in await corpus(superuser_url)


async def test_equal_parameters_are_no_new_version(sealing: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """Under whichever key they were sealed; 1 and 1.0 are one number; the newest key seals them then."""
    await sealing.tools.register("pick", "", SCHEMA)
    equal = {"properties": {SECRET: {"minimum": 1, "type": "number"}}, "type": "object"}
    assert (await sealing.tools.register("pick", "", equal)).version == 1
    async with keyed(database_url, "k2", "k1") as later:
        assert (await later.tools.register("pick", "", SCHEMA)).version == 1
        (again,) = await later.tools.register_all(agent.id, [ToolDefinition(name="pick", parameters=SCHEMA)])
        assert again.version == 1
        (row,) = await later.driver.fetch("SELECT sealed FROM agent_tools")
        assert row["sealed"][2:4] == b"k2"
        assert (await later.tools.register("pick", "", OTHER)).version == 2


async def test_a_plain_catalogue_becomes_sealed_and_plain_again(
    client: PrismaAgentClient, sealing: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """When its tools are registered the next time; it is a new version only if they are other ones."""
    for name in ("a", "b", "c"):
        await client.tools.register(name, "", SCHEMA)

    first, *rest = await sealing.tools.register_all(
        agent.id,
        [
            ToolDefinition(name=name, parameters=schema)
            for name, schema in {"a": SCHEMA, "b": OTHER, "d": OTHER}.items()
        ],
    )
    alone = await sealing.tools.register("c", "", SCHEMA)

    assert [(tool.version, tool.parameters) for tool in (first, *rest, alone)] == [
        (1, SCHEMA),
        (2, OTHER),
        (1, OTHER),
        (1, SCHEMA),
    ]
    rows = await client.driver.fetch("SELECT parameters, sealed IS NULL AS is_plain FROM agent_tools")
    assert [(row["parameters"], row["is_plain"]) for row in rows] == [("{}", False)] * 4
    rows = await client.driver.fetch("SELECT parameters FROM agent_tool_versions")
    assert [row["parameters"] for row in rows] == ["{}"] * 5
    assert [version.parameters for version in await sealing.tools.versions("b")] == [OTHER, SCHEMA]
    async with keyed(database_url, "k1", policy=frozenset()) as undoing:
        assert (await undoing.tools.register("c", "", SCHEMA)).version == 1
    assert (await client.tools.get("c")).parameters == SCHEMA


async def test_without_the_key(sealing: PrismaAgentClient, client: PrismaAgentClient) -> None:
    """Reading names the tool, the key and the variable; statistics and ranks need none."""
    await sealing.tools.register("pick", "Pick a flower", SCHEMA)
    reads = client.tools.get("pick"), client.tools.list(), client.tools.versions("pick"), client.tools.search("flower")
    for read in reads:
        with pytest.raises(EncryptionError, match=r"of pick was sealed .*AGENTDB_ENCRYPTION_KEYS") as caught:
            await read
        assert caught.value.key_id == "k1"
    assert [stats.name for stats in await client.tools.rank()] == ["pick"]


async def test_equal_parameters_of_two_tools_look_unlike(sealing: PrismaAgentClient) -> None:
    """To those who have no key."""
    for name in ("pick", "smell"):
        await sealing.tools.register(name, "", SCHEMA)

    rows = await sealing.driver.fetch("SELECT lookup FROM agent_tools")

    assert len({row["lookup"] for row in rows}) == 2
