"""`client.tools`: the catalogue."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from agentdb import Agent, AgentConfig, InvalidInputError, NotFoundError, PrismaAgentClient, ToolDefinition
from agentdb.client.tool.schemas import SchemaStyle

pytestmark = pytest.mark.postgres


def schema(*names: str) -> dict[str, Any]:
    """A JSON schema of texts."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


async def test_a_tool_is_registered_and_versioned(client: PrismaAgentClient, agent: Agent) -> None:
    """Other parameters are a new version; the same ones are not."""
    tool = await client.register_tool("lookup", "Look up", schema("word"), owner_agent_id=agent.id)
    assert (tool.version, tool.status, tool.owner_agent_id, tool.parameters) == (1, "active", agent.id, schema("word"))

    again = await client.tools.register("lookup", "Look a word up", dict(reversed(schema("word").items())))
    assert (again.id, again.version, again.description, again.owner_agent_id) == (tool.id, 1, "Look a word up", None)
    assert (await client.tools.register("lookup", "", {"type": "object"})).version == 2
    assert [found.name for found in await client.get_tools()] == ["lookup"]
    assert await client.tools.list(owner_agent_id=agent.id) == []
    assert (await client.tools.get("lookup")).version == 2


async def test_every_version_is_kept(client: PrismaAgentClient, agent: Agent) -> None:
    """Newest first, each as it was when it came to be; coming back to old parameters is a new version, too."""
    await client.tools.register("lookup", "one", schema("a"))
    await client.tools.register("lookup", "still one", schema("a"))
    await client.tools.register_all(
        agent.id, [ToolDefinition(name="lookup", description="two", parameters=schema("b"))]
    )
    await client.tools.register("lookup", "three", schema("a"))

    versions = await client.tools.versions("lookup")

    assert [(v.version, v.description, v.parameters) for v in versions] == [
        (3, "three", schema("a")),
        (2, "two", schema("b")),
        (1, "one", schema("a")),
    ]
    assert all(version.name == "lookup" and version.created_at.tzinfo is not None for version in versions)
    assert versions[0].created_at > versions[2].created_at
    with pytest.raises(NotFoundError, match="none"):
        await client.tools.versions("none")


async def test_versions_of_many_at_once_never_collide(client: PrismaAgentClient, database_url: str) -> None:
    """Each change is one version, numbered without a gap, whoever registers at the same time."""
    async with PrismaAgentClient(database_url, "acme") as other:
        registering = (one.tools.register("lookup", "", schema(f"p{n}")) for n in range(20) for one in (client, other))
        await asyncio.gather(*registering)

    versions = await client.tools.versions("lookup")
    newest = (await client.tools.get("lookup")).version
    assert [version.version for version in versions] == list(range(newest, 0, -1))
    assert 20 <= newest <= 40
    assert all(one.parameters != next.parameters for one, next in pairwise(versions))


async def test_a_version_cannot_be_changed(client: PrismaAgentClient) -> None:
    """Not even by SQL, as the application."""
    await client.tools.register("lookup")
    for sql in ("UPDATE agent_tool_versions SET description = 'x'", "DELETE FROM agent_tool_versions"):
        with pytest.raises(Exception, match="permission denied"):
            await client.driver.execute(sql)


async def test_an_agent_registers_its_methods(client: PrismaAgentClient, agent: Agent) -> None:
    """All of them, in the order given; what it does not offer any more is deprecated, and comes back."""
    await client.tools.register("by_hand", owner_agent_id=agent.id)
    first = [ToolDefinition(name=name, description=name.upper(), parameters=schema(name)) for name in ("b", "a", "c")]

    registered = await client.tools.register_all(agent.id, first)
    assert [(t.name, t.description, t.parameters, t.version, t.owner_agent_id, t.status) for t in registered] == [
        (d.name, d.description, d.parameters, 1, agent.id, "active") for d in first
    ]

    await client.tools.register_all(agent.id, [first[1]])
    status = {tool.name: tool.status for tool in await client.tools.list(include_deprecated=True)}
    assert status == {"a": "active", "b": "deprecated", "c": "deprecated", "by_hand": "active"}
    assert [tool.name for tool in await client.tools.list()] == ["a", "by_hand"]

    again = await client.tools.register_all(agent.id, first)
    assert [(tool.id, tool.version, tool.status) for tool in again] == [(t.id, 1, "active") for t in registered]
    assert await client.tools.register_all(agent.id, []) == []
    assert [tool.name for tool in await client.tools.list()] == ["by_hand"]


async def test_another_agents_tools_are_left_alone(client: PrismaAgentClient, agent: Agent) -> None:
    """A tool belongs to the one that registered it last; deprecating is for one's own."""
    other = await client.agents.register(AgentConfig(name="other", category="SUPPORT"))
    await client.tools.register_all(agent.id, [ToolDefinition(name="mine"), ToolDefinition(name="shared")])
    await client.tools.register_all(other.id, [ToolDefinition(name="theirs"), ToolDefinition(name="shared")])

    await client.tools.register_all(agent.id, [])

    assert {t.name: t.owner_agent_id for t in await client.tools.list()} == {"theirs": other.id, "shared": other.id}


async def test_many_agents_register_the_same_tools_at_once(client: PrismaAgentClient, database_url: str) -> None:
    """In whatever order they name them, while the tools are called: nobody fails, and nothing is registered twice."""
    agents = [await client.agents.register(AgentConfig(name=f"a{n}", category="SUPPORT")) for n in range(10)]
    names = [f"tool{n}" for n in range(8)]

    async def register(one: PrismaAgentClient, agent: Agent, turn: int) -> None:
        offered = names[turn % 8 :] + names[: turn % 8]
        await one.tools.register_all(
            agent.id, [ToolDefinition(name=name, parameters=schema(f"p{turn % 2}")) for name in offered[: 8 - turn % 3]]
        )

    async def call(agent: Agent, turn: int) -> None:
        async with client.executions.track(agent.id, turn):
            for name in names[turn % 8 :] + names[: turn % 8]:
                client.tools.note_call(name, agent.id, success=True, duration_ms=turn)

    async with PrismaAgentClient(database_url, "acme") as other:
        for turns in (range(4), range(4, 8)):
            await asyncio.gather(
                *(register(one, agent, turn) for turn in turns for one in (client, other) for agent in agents),
                *(call(agent, turn) for turn in turns for agent in agents if turn >= 4),
            )

    tools = await client.tools.list(include_deprecated=True)
    assert [tool.name for tool in tools] == names
    assert [tool.calls for tool in tools] == [40] * 8
    for tool in tools:
        versions = [version.version for version in await client.tools.versions(tool.name)]
        assert versions == list(range(tool.version, 0, -1))


@pytest.mark.parametrize(
    ("definitions", "reason"),
    [
        ([ToolDefinition(name="a"), ToolDefinition(name="a")], "'a'"),
        (["a"], "str"),
        (3, "int"),
    ],
)
async def test_what_no_list_of_tools_is(client: PrismaAgentClient, agent: Agent, definitions: Any, reason: str) -> None:
    """Refused before anything is registered."""
    with pytest.raises(InvalidInputError, match=f"definitions.*{reason}"):
        await client.tools.register_all(agent.id, definitions)
    with pytest.raises(NotFoundError, match="nobody"):
        await client.tools.register_all("nobody", [ToolDefinition(name="a")])
    assert await client.tools.list() == []


@pytest.mark.parametrize("values", [{"name": ""}, {"name": "x" * 256}, {"name": "a", "parameters": {"x": math.inf}}])
def test_what_no_definition_is(values: Any) -> None:
    """Refused when it is built."""
    with pytest.raises(ValueError, match=r"name|parameters"):
        ToolDefinition(**values)


async def test_a_deprecated_tool_is_out_of_the_way(client: PrismaAgentClient, agent: Agent) -> None:
    """It is still there by its name, can be called, and is active again once it is registered."""
    await client.tools.register("lookup", "Look a word up")
    deprecated = await client.tools.deprecate("lookup")

    assert deprecated.status == "deprecated"
    assert await client.tools.deprecate("lookup") == deprecated
    assert await client.tools.list() == await client.tools.search("lookup") == []
    assert [*await client.tools.schemas(), *await client.tools.rank()] == []
    await client.tools.record_call("lookup", agent.id, success=True, duration_ms=1)
    assert (await client.tools.get("lookup")).calls == 1
    assert [stats.name for stats in await client.tools.rank(["lookup"])] == ["lookup"]
    assert [exported["name"] for exported in await client.tools.schemas("mcp", names=["lookup"])] == ["lookup"]

    assert (await client.tools.register("lookup")).status == "active"
    with pytest.raises(NotFoundError, match="none"):
        await client.tools.deprecate("none")


async def test_the_methods_of_a_deleted_agent_are_deprecated(client: PrismaAgentClient, agent: Agent) -> None:
    """Nobody offers them any more; what was registered by hand stays."""
    await client.tools.register("by_hand", owner_agent_id=agent.id)
    await client.tools.register_all(agent.id, [ToolDefinition(name="method")])
    await client.tools.record_call("method", agent.id, success=True, duration_ms=1)

    assert await client.agents.delete(agent.id)

    tools = {tool.name: tool for tool in await client.tools.list(include_deprecated=True)}
    assert {name: (tool.status, tool.owner_agent_id) for name, tool in tools.items()} == {
        "by_hand": ("active", None), "method": ("deprecated", None),
    }  # fmt: skip
    assert tools["method"].calls == (await client.tools.stats("method")).calls == 1


async def test_unknown_tools_and_owners(client: PrismaAgentClient) -> None:
    """Not found, and told which."""
    with pytest.raises(NotFoundError, match="tool"):
        await client.tools.get("none")
    with pytest.raises(NotFoundError, match="nobody"):
        await client.tools.register("other", owner_agent_id="nobody")


@pytest.mark.parametrize("parameters", [[1], "text", {"a": math.nan}, {"a": object()}])
async def test_a_schema_is_a_json_object(client: PrismaAgentClient, parameters: Any) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidInputError, match="parameters"):
        await client.tools.register("lookup", "", parameters)


async def test_organizations_see_nothing_of_each_other(client: PrismaAgentClient, agent: Agent) -> None:
    """The same names are other tools, with other versions, calls and owners."""
    other = client.for_organization("other")
    await client.tools.register("lookup", "ours", schema("a"))
    await client.tools.register("lookup", "ours", schema("b"))
    await client.tools.record_call("lookup", agent.id, success=True, duration_ms=1)
    assert await other.tools.list(include_deprecated=True) == await other.tools.search("lookup") == []
    assert [*await other.tools.schemas(), *await other.tools.rank(), *(await other.tools.overview()).tools] == []
    for asking in (other.tools.get, other.tools.versions, other.tools.stats, other.tools.deprecate):
        with pytest.raises(NotFoundError, match="lookup"):
            await asking("lookup")

    theirs = await other.agents.register(AgentConfig(name="scout", category="SUPPORT", id=agent.id))
    await other.tools.register_all(theirs.id, [ToolDefinition(name="lookup", description="theirs")])

    assert (await client.tools.get("lookup")).description == "ours"
    assert [len(await one.tools.versions("lookup")) for one in (client, other)] == [2, 1]
    assert [(await one.tools.stats("lookup")).calls for one in (client, other)] == [1, 0]
    await other.tools.register_all(theirs.id, [])
    assert (await client.tools.get("lookup")).status == "active"


SEARCHED = {
    "lookup_word": "Find the meaning of a word in the dictionary.",
    "getWeatherForecast": "What the sky will be like tomorrow.",
    "HTTPFetch": "Downloads pages.",
    "weather": "The current temperature in a city.",
    "translate.text": "Translates texts; also forecasts their length.",
    "the_of": "",
}


FOUND = {
    "weather": ["weather", "getWeatherForecast"],
    "WEATHER": ["weather", "getWeatherForecast"],
    "forecasting": ["getWeatherForecast", "translate.text"],
    "get_weather_forecast": ["getWeatherForecast", "weather", "translate.text"],
    "getWeatherForecast": ["getWeatherForecast", "weather", "translate.text"],
    "dictionaries": ["lookup_word"],
    "words, or meanings?": ["lookup_word"],
    "download": ["HTTPFetch"],
    "fetch": ["HTTPFetch"],
    "http": ["HTTPFetch"],
    "weath": ["weather", "getWeatherForecast"],
    "temperatur": ["weather"],
    "text": ["translate.text"],
    "translate.text": ["translate.text"],
    "the_of": ["the_of"],
    "of the": [],
    "": [],
    "!? & | ' \\ :* <->": [],
    "100% _ unknown": [],
    "schön 世界": [],
}


async def test_a_search_finds_by_words(client: PrismaAgentClient) -> None:
    """Of names and descriptions, the best first; whatever is asked, it is no error."""
    for name, description in SEARCHED.items():
        await client.tools.register(name, description)

    for limit in (10, 1):
        found = {query: [tool.name for tool in await client.tools.search(query, limit=limit)] for query in FOUND}
        assert found == {query: names[:limit] for query, names in FOUND.items()}


async def test_what_no_search_is(client: PrismaAgentClient) -> None:
    """Typed errors that name the argument."""
    query: Any
    for query in (None, 3, "x" * 10_001, "\x00"):
        with pytest.raises(InvalidInputError, match="query"):
            await client.tools.search(query)
    with pytest.raises(InvalidInputError, match="limit"):
        await client.tools.search("x", limit=0)


@pytest.mark.parametrize("style", ["openai", "anthropic", "mcp"])
async def test_the_catalogue_is_exported(client: PrismaAgentClient, agent: Agent, style: SchemaStyle) -> None:
    """By name, or those asked for in the order asked for; of all agents or of one."""
    await client.tools.register_all(agent.id, [ToolDefinition(name=name) for name in ("c", "a")])
    await client.tools.register("b")

    def names(exported: list[dict[str, Any]]) -> list[str]:
        return [tool.get("function", tool)["name"] for tool in exported]

    assert names(await client.tools.schemas(style)) == ["a", "b", "c"]
    assert names(await client.tools.schemas(style, names=["c", "b", "c"])) == ["c", "b"]
    assert names(await client.tools.schemas(style, owner_agent_id=agent.id)) == ["a", "c"]
    assert names(await client.tools.schemas(style, names=[])) == []
    with pytest.raises(NotFoundError, match="d, e"):
        await client.tools.schemas(style, names=["a", "d", "e"])
    with pytest.raises(NotFoundError, match="b"):
        await client.tools.schemas(style, names=["a", "b"], owner_agent_id=agent.id)


async def test_what_cannot_be_exported(client: PrismaAgentClient) -> None:
    """A name that callers refuse, or a style that there is not."""
    await client.tools.register("look up")
    with pytest.raises(InvalidInputError) as caught:
        await client.tools.schemas()
    assert caught.value.field == "look up"
    style: Any = "gemini"
    with pytest.raises(InvalidInputError, match="style"):
        await client.tools.schemas(style)
    with pytest.raises(InvalidInputError, match="names"):
        await client.tools.schemas(names="lookup")


async def test_a_tool_that_came_otherwise_has_no_versions(client: PrismaAgentClient, admin_url: str) -> None:
    """As the admin application may insert one; from its next change on they are kept."""
    connection = await asyncpg.connect(admin_url)
    await connection.execute(
        "INSERT INTO agent_tools (organization_id, id, name) VALUES ('acme', gen_random_uuid(), 'bare')"
    )
    await connection.close()

    assert await client.tools.versions("bare") == []
    await client.tools.register("bare", "", schema("a"))
    assert [version.version for version in await client.tools.versions("bare")] == [2]
