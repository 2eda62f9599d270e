"""The `agent_tools` table: the organization's catalogue of tools, with their versions and running totals."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.client.encryption.seals import Seals, sealing_of, seals_of
from agentdb.client.execution.journal import write_steps
from agentdb.client.queries import load_queries
from agentdb.client.tool.calls import ToolCalls, checked_names, refuse_unknown
from agentdb.client.tool.schemas import SchemaStyle, tool_schemas
from agentdb.client.tool.sealing import (
    known_lookups,
    offer_values,
    open_tool,
    open_version,
    sealed_tool,
    sealed_version,
)
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.ids import uuid7_text
from agentdb.models import Tool, ToolDefinition, ToolVersion, from_row
from agentdb.validation import check_flag, check_iterable, check_json, check_limit, check_text, json_text

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Tools"]

_SQL: Final = load_queries("tools")
_MAX_QUERY_CHARACTERS: Final = 10_000
# lookupWord, HTTPServer: where a new word begins within one
_CAMEL_CASE: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[^\W_]+")


class _Offer(NamedTuple):
    """A tool that is registered; its parameters are canonical JSON."""

    name: str
    description: str
    parameters: str

    def values(self, seals: Seals | None) -> dict[str, Any]:
        """Return it as its JSON object in the fragment `offered`."""
        values = offer_values(self.name, self.parameters, seals)
        return {"id": uuid7_text(), "name": self.name, "description": self.description, **values}


class Tools(ToolCalls):
    """The tools of the organization, shared by its agents; and their calls."""

    async def register(
        self,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        owner_agent_id: str | None = None,
    ) -> Tool:
        """
        Insert a tool, or update the one of that name; in one round trip. One that was deprecated is active again.

        Where parameters are encrypted it takes two round trips, and a third one where they stand there as plain text,
        which is sealed first.

        Args:
            name: 1 to 255 characters, unique in the organization.
            description: At most 100,000 characters.
            parameters: The JSON schema of its arguments. Other ones than before make it a new version; see `versions`.
            owner_agent_id: The agent that offers it.

        Raises:
            NotFoundError: The owner is not registered.
            InvalidInputError: An argument does not fit.
        """
        owner = None if owner_agent_id is None else check_text(owner_agent_id, "owner_agent_id")
        offer = _Offer(
            check_text(name, "name"),
            check_text(description, "description", at_least=0, at_most=100_000),
            _schema(parameters),
        )
        return (await self._register("register", owner, [offer]))[0]

    async def register_all(self, owner_agent_id: str, definitions: Iterable[ToolDefinition]) -> builtins.list[Tool]:
        """
        Register all the methods that an agent offers as tools, in one round trip; agents do it at `initialize`. Where
        parameters are encrypted it is more, as for `register`.

        Those that it offered before and does not any more are deprecated, not dropped: their calls stay. Tools that
        were registered by `register` are left alone. Many agents may do this at once, with the same tools, too: a tool
        belongs to the one that registered it last.

        Args:
            owner_agent_id: The agent.
            definitions: Its tools; an empty list deprecates all it had.

        Returns:
            The tools, in the order of *definitions*.

        Raises:
            NotFoundError: The agent is not registered.
            InvalidInputError: Two tools have one name, or an argument does not fit; nothing is registered.
        """
        owner = check_text(owner_agent_id, "owner_agent_id")
        offered = _by_name(definitions)
        # Ids rise, so that everybody inserts in the order of names: whoever waits for one holds none that comes later.
        offers = [
            _Offer(name, offered[name].description, json_text(offered[name].parameters)) for name in sorted(offered)
        ]
        tools = {tool.name: tool for tool in await self._register("register_all", owner, offers)}
        return [tools[name] for name in offered]

    async def _register(self, block: str, owner: str | None, offers: Sequence[_Offer]) -> builtins.list[Tool]:
        sealing, seals = sealing_of(self._client, "tools"), seals_of(self._client)
        if sealing is not None:
            await self._seal_plain([offer.name for offer in offers], sealing)
        rows = json_text([offer.values(sealing) for offer in offers])
        lookups = [lookup for offer in offers for lookup in known_lookups(offer.name, offer.parameters, seals)]
        registered = await self._retried(lambda: self._fetch(_SQL[block], owner, rows, lookups, agent=owner))
        return [_tool(row, seals) for row in registered]

    async def _seal_plain(self, names: Sequence[str], sealing: Seals) -> None:
        """Seal the parameters of tools from before: the server compares no plain text with a sealed one."""
        plain = await self._fetch(_SQL["plain"], names)
        if plain:
            tools = [(row["name"], row["parameters"]) for row in plain]
            rows = [(*tool, *sealed_tool(*tool, sealing), sealed_version(*tool, sealing)) for tool in tools]
            await self._retried(lambda: self._execute(_SQL["seal_plain"], *zip(*rows, strict=True)))

    async def deprecate(self, name: str) -> Tool:
        """
        Say that a tool should no longer be used: `list`, `search`, `rank` and `schemas` leave it out. One round trip.

        Doing it twice is fine. Registering the tool again makes it active.

        Raises:
            NotFoundError: There is no such tool.
        """
        rows = await self._fetch(_SQL["deprecate"], check_text(name, "name"))
        if not rows:
            raise NotFoundError("tool", name)
        return _tool(rows[0], seals_of(self._client))

    async def get(self, name: str) -> Tool:
        """
        Return one tool by its name; calls that this process has noted and not written yet are written first.

        Raises:
            NotFoundError: There is no such tool.
        """
        checked = check_text(name, "name")
        await write_steps(self._client)
        rows = await self._fetch(_SQL["get"], checked)
        if not rows:
            raise NotFoundError("tool", name)
        return _tool(rows[0], seals_of(self._client))

    async def versions(self, name: str) -> builtins.list[ToolVersion]:
        """
        Return what a tool was at each version, newest first; each with the description that it had at first.

        Raises:
            NotFoundError: There is no such tool.
        """
        rows = await self._fetch(_SQL["versions"], check_text(name, "name"))
        if not rows:
            raise NotFoundError("tool", name)
        seals = seals_of(self._client)
        return [_version(row, seals) for row in rows if row["version"] is not None]

    async def list(
        self, *, owner_agent_id: str | None = None, include_deprecated: bool = False, limit: int = 1000
    ) -> builtins.list[Tool]:
        """
        Return tools by name; calls that this process has noted and not written yet are written first.

        Args:
            owner_agent_id: Only those that this agent offers; None: all.
            include_deprecated: Also those that should no longer be used.
            limit: Most tools to return, 1 to 1000.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        owner = None if owner_agent_id is None else check_text(owner_agent_id, "owner_agent_id")
        deprecated, most = check_flag(include_deprecated, "include_deprecated"), check_limit(limit)
        await write_steps(self._client)
        seals = seals_of(self._client)
        return [_tool(row, seals) for row in await self._fetch(_SQL["list"], owner, deprecated, most)]

    async def search(self, query: str, limit: int = 10) -> builtins.list[Tool]:
        """
        Return active tools that have something to do with *query*, best first; in one round trip.

        A tool is found by any word of its name or description, in any English form: "looking words up" finds
        `lookup_word` and `findWords`. Words of the name count more, and are found by their beginnings. Words that say
        nothing ("the", "of") find nothing.

        Args:
            query: What is looked for, at most 10,000 characters.
            limit: Most tools to return, 1 to 1000.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        text = check_text(query, "query", at_least=0, at_most=_MAX_QUERY_CHARACTERS)
        most = check_limit(limit)
        words = " ".join(_WORD.findall(_CAMEL_CASE.sub(" ", text)))
        if not words:
            return []
        seals = seals_of(self._client)
        return [_tool(row, seals) for row in await self._fetch(_SQL["search"], words, text.strip(), most)]

    async def schemas(
        self,
        style: SchemaStyle = "openai",
        *,
        names: Iterable[str] | None = None,
        owner_agent_id: str | None = None,
    ) -> builtins.list[dict[str, Any]]:
        """
        Return tools of the catalogue in the form that callers of language models take; in one round trip.

        Args:
            style: "openai": `{"type": "function", "function": {name, description, parameters}}`;
                "anthropic": `{name, description, input_schema}`; "mcp": `{name, description, inputSchema}`.
            names: Which tools, in this order, deprecated ones too; None: all that are not deprecated, by name.
            owner_agent_id: Only those that this agent offers; None: all.

        Returns:
            A dict for each tool, which is the caller's to change.

        Raises:
            NotFoundError: There is no tool of one of *names*, or the agent does not offer it.
            InvalidInputError: There is no such style, or callers of that style refuse the name of a tool, which *field*
                is then: OpenAI and Anthropic take 1 to 64 letters, digits, underscores and hyphens, the Model Context
                Protocol 1 to 128 of these and dots.
        """
        tool_schemas(style, [])  # refuses an unknown style before anything is asked for
        asked = None if names is None else checked_names(names)
        owner = None if owner_agent_id is None else check_text(owner_agent_id, "owner_agent_id")
        seals = seals_of(self._client)
        found = {row["name"]: _tool(row, seals) for row in await self._fetch(_SQL["catalogue"], asked, owner)}
        if asked is not None:
            refuse_unknown(asked, found)
        return tool_schemas(style, [found[name] for name in asked or found])


def _by_name(definitions: Iterable[ToolDefinition]) -> dict[str, ToolDefinition]:
    """Return *definitions* by their names; InvalidInputError when one is none, or two have one name."""
    offered: dict[str, ToolDefinition] = {}
    for definition in check_iterable(definitions, "definitions"):
        if not isinstance(definition, ToolDefinition):
            raise InvalidInputError("definitions", f"expected ToolDefinitions, got {type(definition).__name__}.")
        if definition.name in offered:
            raise InvalidInputError("definitions", f"two tools are called {definition.name!r}.")
        offered[definition.name] = definition
    return offered


def _schema(parameters: Mapping[str, Any] | None) -> str:
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidInputError("parameters", "expected a JSON schema: a dict.")
    return check_json(dict(parameters or {}), "parameters")


def _tool(record: Record, seals: Seals) -> Tool:
    values = dict(record.items())
    open_tool(values, seals)
    return from_row(Tool, values)


def _version(record: Record, seals: Seals) -> ToolVersion:
    values = dict(record.items())
    open_version(values, seals)
    return from_row(ToolVersion, values)
