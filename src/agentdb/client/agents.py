"""The `agents` table: who there is, what it can do, when it was last seen."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final, Literal

from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import uuid7_text
from agentdb.models import Agent, AgentCategory, AgentConfig, from_row
from agentdb.models.agents import CategoryName
from agentdb.validation import check_json, check_limit, check_offset, check_text, parse_json

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Agents"]

_SQL: Final = load_queries("agents")


class Agents(Resource):
    """The agents of the organization."""

    async def register(self, config: AgentConfig) -> Agent:
        """
        Insert an agent, or update the one of that name and mark it active; in one round trip.

        Args:
            config: What the agent is. Without an id, it keeps the one it has or gets a new UUID.

        Raises:
            ConflictError: The name belongs to an agent of another id, or the id to an agent of another name.
            InvalidInputError: *config* is none, or cannot be stored.
        """
        if not isinstance(config, AgentConfig):
            raise InvalidInputError("config", f"expected an AgentConfig, got {type(config).__name__}.")
        rows = await self._fetch(
            _SQL["register"],
            config.id or uuid7_text(),
            config.name,
            config.version,
            _category(config.category),
            config.description,
            config.capabilities,
            config.data_sources,
            check_json(config.metadata, "config.metadata"),
            config.max_memories,
            config.id is not None,
        )
        if not rows:
            raise ConflictError(
                "An agent of this name has another id; leave the id out to use that agent, or choose another name.",
                constraint="agents_organization_id_name_key",
            )
        return _agent(rows[0])

    async def get(self, agent_id: str) -> Agent:
        """
        Return one agent.

        Raises:
            NotFoundError: There is no such agent.
        """
        return self._only(await self._fetch(_SQL["get"], check_text(agent_id, "agent_id")), agent_id)

    async def find(self, name: str) -> Agent | None:
        """
        Return the agent of this name; None when there is none.

        Raises:
            InvalidInputError: *name* is no name.
        """
        rows = await self._fetch(_SQL["find"], check_text(name, "name"))
        return _agent(rows[0]) if rows else None

    async def list(
        self,
        *,
        category: AgentCategory | CategoryName | None = None,
        status: Literal["active", "inactive"] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> builtins.list[Agent]:
        """
        Return agents by name.

        Args:
            category: Only those of this category.
            status: Only those in this state.
            limit: Most agents to return, 1 to 1000.
            offset: How many to skip, 0 or more.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        if status not in (None, "active", "inactive"):
            raise InvalidInputError("status", 'expected "active" or "inactive".')
        rows = await self._fetch(_SQL["list"], _category(category), status, check_limit(limit), check_offset(offset))
        return [_agent(row) for row in rows]

    async def heartbeat(self, agent_id: str) -> Agent:
        """
        Note that an agent is alive now.

        Raises:
            NotFoundError: There is no such agent.
        """
        return self._only(await self._fetch(_SQL["heartbeat"], check_text(agent_id, "agent_id")), agent_id)

    async def deactivate(self, agent_id: str) -> Agent:
        """
        Mark an agent as inactive; what it stored stays, and registering it again makes it active.

        Raises:
            NotFoundError: There is no such agent.
        """
        return self._only(await self._fetch(_SQL["deactivate"], check_text(agent_id, "agent_id")), agent_id)

    async def delete(self, agent_id: str) -> bool:
        """
        Delete an agent with its memories, executions, metrics and patterns. Its tools stay in the catalogue.

        Returns:
            Whether there was such an agent.

        Raises:
            InvalidInputError: *agent_id* is no id.
        """
        return await self._execute(_SQL["delete"], check_text(agent_id, "agent_id")) > 0

    def _only(self, rows: builtins.list[Record], agent_id: str) -> Agent:
        if not rows:
            raise NotFoundError("agent", agent_id)
        return _agent(rows[0])


def _category(category: AgentCategory | CategoryName | None) -> str | None:
    try:
        return None if category is None else AgentCategory(category).value
    except ValueError:
        raise InvalidInputError("category", f"expected one of {', '.join(AgentCategory)}.") from None


def _agent(record: Record) -> Agent:
    values = dict(record.items())
    values["category"] = AgentCategory(values["category"])
    values["metadata"] = parse_json(values["metadata"])
    return from_row(Agent, values)
