"""What the resources share: the organization in every statement, and the database's refusals in our words."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from agentdb.client.access.methods import watch_methods
from agentdb.client.access.operations import Operation, running_operation
from agentdb.client.access.statements import touched
from agentdb.client.queries import load_queries
from agentdb.errors import (
    AgentDBError,
    CommitUnknownError,
    ConflictError,
    ConnectionFailedError,
    DatabaseError,
    InvalidInputError,
    NotConnectedError,
    NotFoundError,
    TransactionConflictError,
)
from agentdb.ids import parse_uuid

if TYPE_CHECKING:
    from uuid import UUID

    from agentdb.client.client import PrismaAgentClient
    from agentdb.postgres.driver import Record

__all__ = ["Resource", "blames_a_row", "in_halves", "known_uuid", "may_pass", "only_result", "refusal", "unknown_agent"]

T = TypeVar("T")
R = TypeVar("R")

_ATTEMPTS: Final = 3
_MISSING_AGENTS: Final = load_queries("agents")["missing"]
_FOREIGN_KEYS: Final = {
    "agent_memories_organization_id_agent_id_fkey": "agent",
    "agent_executions_organization_id_agent_id_fkey": "agent",
    "agent_executions_organization_id_parent_id_fkey": "execution",
    "agent_metrics_organization_id_agent_id_fkey": "agent",
    "agent_metric_rollups_organization_id_agent_id_fkey": "agent",
    "agent_metric_late_hours_organization_id_agent_id_fkey": "agent",
    "agent_tools_organization_id_owner_agent_id_fkey": "agent",
    "agent_steps_organization_id_agent_id_fkey": "agent",
    "agent_steps_organization_id_execution_id_fkey": "execution",
    "agent_steps_organization_id_tool_id_fkey": "tool",
    "agent_tool_versions_organization_id_tool_id_fkey": "tool",
    "learning_patterns_organization_id_agent_id_fkey": "agent",
    "learning_outcomes_organization_id_pattern_id_fkey": "pattern",
    "learning_pattern_changes_organization_id_pattern_id_fkey": "pattern",
}
_UNIQUE_KEYS: Final = {
    "agents_pkey": "Another agent has this id already.",
    "agents_organization_id_name_key": "Another agent has this name already.",
    "agent_memories_pkey": "Another memory has this id, or was stored with this idempotency key.",
    "agent_memories_living_content_key": "The agent has an equal memory already.",
    "agent_metrics_pkey": "The idempotency key belongs to another point.",
    "learning_patterns_pkey": "The idempotency key belongs to another pattern.",
    "learning_patterns_name_key": "The agent has a pattern of this type and name already.",
    "learning_outcomes_pkey": "The idempotency key belongs to another outcome.",
    "learning_pattern_changes_pkey": "Another change has this id already.",
    "learning_pattern_changes_reverts_id_key": "Somebody else has undone this change at the same moment.",
    "agent_metric_rollups_pkey": "The hour was rolled up at the same moment by somebody else.",
    "agent_metric_late_hours_pkey": "The hour was marked as changed already.",
    "model_prices_pkey": "The model has a price from this time on already.",
}
# The CHECKs by which a block of queries/*.sql refuses a row on conflict, and the key that was in conflict.
_BROKEN_ON_PURPOSE: Final = {
    "agent_memories_store_count_check": "agent_memories_living_content_key",
    "agent_metrics_value_check": "agent_metrics_pkey",
}
_HOW_TO_REGISTER: Final = (
    "Register it first: `await client.agents.register(AgentConfig(name=…, category=…))`; "
    "an agent_id is the id that this returns, not the name."
)


class Resource:
    """
    One family of tables, seen from one client.

    Every statement goes through `_fetch`, which binds the client's organization as $1. Row-level security is the second
    wall behind it.

    Each public method that awaits is an operation of the access log, named after the family and itself. A statement
    that writes takes its entry along.

    Attributes:
        family: What operations of this class are named after; the class's own name if it says nothing else.
    """

    family: ClassVar[str]

    def __init_subclass__(cls, *, family: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.family = family or cls.__name__.lower()
        watch_methods(cls)

    def __init__(self, client: PrismaAgentClient) -> None:
        self._client = client

    async def _fetch(self, sql: str, *arguments: object, **named: str | None) -> list[Record]:
        """Run *sql* with the organization as $1, then *arguments*; *named* says what a missing row would be called."""
        client = self._client
        operation = self._operation()
        entry = None if operation is None else operation.statement(sql)
        if entry is not None:
            sql, arguments = entry.sql, (*arguments, *entry.arguments)
        try:
            rows: list[Record] = await client.inner_driver.fetch(sql, (client.organization_id, *arguments))
        except DatabaseError as error:
            ours = refusal(error, named)
            if ours is None:
                raise
            raise ours from error
        if entry is not None:
            entry.has_been_written()
        return rows

    async def _execute(self, sql: str, *arguments: object, **named: str | None) -> int:
        """Like `_fetch`, for a statement that returns no rows; return how many it touched."""
        client = self._client
        operation = self._operation()
        entry = None if operation is None else operation.statement(sql, counts=True)
        count: int
        try:
            if entry is None:
                count = await client.inner_driver.execute(sql, (client.organization_id, *arguments))
            else:
                ((count,),) = await client.inner_driver.fetch(
                    entry.sql, (client.organization_id, *arguments, *entry.arguments)
                )
                entry.has_been_written()
        except DatabaseError as error:
            ours = refusal(error, named)
            if ours is None:
                raise
            raise ours from error
        if operation is not None:
            operation.count(count)
        return count

    def _note_sent(self, sql: str) -> None:
        """Note what a block changes that others send along with theirs, as those that gather do."""
        operation = running_operation(self._client)
        if operation is not None:
            operation.touches(touched(sql).written, changes=True)

    def _operation(self) -> Operation | None:
        """Return the operation that a statement is part of."""
        operation = running_operation(self._client)
        if operation is None and self._client.keeps_access_log:
            # What no public method has called: nothing does so today, and nothing that does goes unlogged.
            return Operation(self._client, f"{self.family}.internal")
        return operation

    async def _retried(self, send: Callable[[], Awaitable[T]]) -> T:
        """Await what *send* returns, again if it collided with another transaction."""
        # A transaction of the caller's is lost as a whole: only the caller can run it again.
        attempts = 1 if self._client.in_transaction else _ATTEMPTS
        while True:
            attempts -= 1
            try:
                return await send()
            except TransactionConflictError:
                if not attempts:
                    raise

    async def _unknown_agents(self, agent_ids: Iterable[str]) -> NotFoundError:
        """Return the error that names those of *agent_ids* that are not there: the server may not say."""
        agents = sorted(set(agent_ids))
        if len(agents) > 1 and not self._client.in_transaction:
            agents = [row["id"] for row in await self._fetch(_MISSING_AGENTS, agents)] or agents
        return unknown_agent(", ".join(agents))


def refusal(error: DatabaseError, named: dict[str, Any]) -> AgentDBError | None:
    """Return what a constraint's refusal means to the caller; None when *error* is none, and shall pass as it is."""
    constraint = error.constraint or ""
    if error.sqlstate == "23503" and constraint in _FOREIGN_KEYS:
        entity = _FOREIGN_KEYS[constraint]
        return (
            unknown_agent(named.get("agent") or "?")
            if entity == "agent"
            else NotFoundError(entity, str(named.get(entity)))
        )
    if error.sqlstate == "23505":
        return ConflictError(_UNIQUE_KEYS.get(constraint), constraint=constraint or None)
    if error.sqlstate == "23514" and constraint in _BROKEN_ON_PURPOSE:
        key = _BROKEN_ON_PURPOSE[constraint]
        return ConflictError(_UNIQUE_KEYS[key], constraint=key)
    if error.sqlstate == "23514":
        field = constraint.removeprefix(f"{error.table}_").removesuffix("_check")
        return InvalidInputError(field, "is outside of what the database takes.")
    if error.sqlstate == "54000" and constraint:  # the index; without one it is another limit of the server
        # A row of an index holds 2.7 kB; a metric's organization, agent and name can be more at four bytes a character.
        return InvalidInputError("name", "is too long to be indexed together with the agent's id; make it shorter.")
    return None


async def in_halves(
    items: Sequence[T], send: Callable[[Sequence[T]], Awaitable[Sequence[R]]]
) -> builtins.list[R | BaseException]:
    """
    Send *items* with one statement; return for each its result, or the error that *send* raises for it alone.

    When the database refuses a row, nothing of the statement is stored. Halves find the rows at fault, and store the
    others a half at a time.
    """
    try:
        return [*await send(items)]
    except AgentDBError as error:
        if len(items) == 1 or not blames_a_row(error):
            return [error] * len(items)
    middle = len(items) // 2
    return [*await in_halves(items[:middle], send), *await in_halves(items[middle:], send)]


def only_result(results: Sequence[R | BaseException]) -> R:
    """Return the one result of *results*, or raise it."""
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result


def blames_a_row(error: AgentDBError) -> bool:
    """Return whether the database refused what it was given, rather than not having been reached or asked in time."""
    if isinstance(error, NotConnectedError):
        return False
    # P0: a trigger of somebody else's raised it
    return not isinstance(error, DatabaseError) or (error.sqlstate or "")[:2] in ("22", "23", "54", "P0")


def may_pass(error: Exception) -> bool:
    """Return whether a write that lands once, however often it is sent, may succeed if it is sent again."""
    return isinstance(error, ConnectionFailedError | CommitUnknownError) or (
        isinstance(error, DatabaseError) and error.is_transient
    )


def unknown_agent(agent_id: str) -> NotFoundError:
    """Return the error for writing on behalf of an agent that is not registered."""
    error = NotFoundError("agent", agent_id)
    return NotFoundError("agent", agent_id, f"{error} {_HOW_TO_REGISTER}")


def known_uuid(entity: str, text: object) -> UUID:
    """Return *text* as a UUID; what is none names no row, so it is a NotFoundError like any unknown id."""
    found = parse_uuid(text)
    if found is None:
        raise NotFoundError(entity, str(text))
    return found
