"""The `agent_tools` table: the organization's catalogue of tools, with their running totals."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource, unknown_agent
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.ids import uuid7_text
from agentdb.models import Tool, from_row
from agentdb.validation import check_flag, check_json, check_limit, check_number, check_text, parse_json

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Tools"]

_SQL: Final = load_queries("tools")


class Tools(Resource):
    """The tools of the organization, shared by its agents."""

    async def register(
        self,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        owner_agent_id: str | None = None,
    ) -> Tool:
        """
        Insert a tool, or update the one of that name; in one round trip.

        Args:
            name: 1 to 255 characters, unique in the organization.
            description: At most 100,000 characters.
            parameters: The JSON schema of its arguments. Other ones than before make it a new version.
            owner_agent_id: The agent that offers it.

        Raises:
            NotFoundError: The owner is not registered.
            InvalidInputError: An argument does not fit.
        """
        owner = None if owner_agent_id is None else check_text(owner_agent_id, "owner_agent_id")
        rows = await self._fetch(
            _SQL["register"],
            uuid7_text(),
            check_text(name, "name"),
            check_text(description, "description", at_least=0, at_most=100_000),
            _schema(parameters),
            owner,
            agent=owner,
        )
        return _tool(rows[0])

    async def get(self, name: str) -> Tool:
        """
        Return one tool by its name.

        Raises:
            NotFoundError: There is no such tool.
        """
        rows = await self._fetch(_SQL["get"], check_text(name, "name"))
        if not rows:
            raise NotFoundError("tool", name)
        return _tool(rows[0])

    async def list(
        self, *, owner_agent_id: str | None = None, include_deprecated: bool = False, limit: int = 1000
    ) -> builtins.list[Tool]:
        """
        Return tools by name.

        Args:
            owner_agent_id: Only those that this agent offers; None: all.
            include_deprecated: Also those that should no longer be used.
            limit: Most tools to return, 1 to 1000.
        """
        owner = None if owner_agent_id is None else check_text(owner_agent_id, "owner_agent_id")
        deprecated = check_flag(include_deprecated, "include_deprecated")
        return [_tool(row) for row in await self._fetch(_SQL["list"], owner, deprecated, check_limit(limit))]

    async def record_call(self, name: str, agent_id: str, *, success: bool, duration_ms: float) -> None:
        """
        Count a call of a tool, in one round trip; concurrent calls are all counted.

        Args:
            name: The tool.
            agent_id: The agent that called it.
            success: Whether it did what it should.
            duration_ms: What it took, in milliseconds, 0 to 10^12.

        Raises:
            NotFoundError: The tool or the agent is not registered.
            InvalidInputError: *duration_ms* is out of range.
        """
        agent = check_text(agent_id, "agent_id")
        duration = check_number(duration_ms, "duration_ms", 0, 1e12)
        rows = await self._fetch(_SQL["record_call"], check_text(name, "name"), agent, bool(success), duration)
        if not rows[0]["agent_known"]:
            raise unknown_agent(agent)
        if not rows[0]["counted"]:
            raise NotFoundError("tool", name)


def _schema(parameters: Mapping[str, Any] | None) -> str:
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidInputError("parameters", "expected a JSON schema: a dict.")
    return check_json(dict(parameters or {}), "parameters")


def _tool(record: Record) -> Tool:
    values = dict(record.items())
    values["parameters"] = parse_json(values["parameters"])
    return from_row(Tool, values)
