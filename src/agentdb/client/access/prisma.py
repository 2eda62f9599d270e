"""
Actions of `client.prisma` as operations: "prisma.AgentMemory.find_many".

`Any` stands here for the generated client, as in `agentdb.client.prisma`, the one that uses this.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.access.operations import Operation, is_watched, running_operation
from agentdb.client.access.statements import may_write, named_tables
from agentdb.client.queries import load_queries
from agentdb.engine.request import Call

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.engine.schema import Datamodel, Model

__all__ = ["WatchedCalls"]

_ENTER: Final = load_queries("access_log")["enter"]
_READING: Final = frozenset(
    {
        *("find_unique", "find_unique_or_raise", "find_first", "find_first_or_raise", "find_many"),
        *("count", "group_by", "query_raw", "query_first"),
    }
)
# A pool's time-out, and a day: an action that runs alone has no time-out either.
_AS_LONG_AS_IT_TAKES: Final = json.dumps({"max_wait": 10_000, "timeout": 86_400_000})


class WatchedCalls:
    """
    Makes calls of a generated client operations.

    Where the table is on, what may change something runs in a transaction with its entry; in an open one it adds the
    entry.

    Args:
        client: Whose operations they are.
        datamodel: The models, with the tables that they are of.
    """

    def __init__(self, client: PrismaAgentClient, datamodel: Datamodel) -> None:
        self._client = client
        self._models = datamodel.models

    async def run(
        self,
        prisma: Any,
        calls: Sequence[Call],
        send: Callable[[Any], Awaitable[Any]],
        *,
        name: str | None = None,
    ) -> Any:
        """
        Send calls of *prisma* as one operation.

        Args:
            prisma: The generated client.
            calls: What is called.
            send: Sends it by a client, *prisma* or one that is bound to a transaction.
            name: What it is called; None: what the first of *calls* is.
        """
        if not calls or not is_watched(self._client):
            return await send(prisma)
        operation = running_operation(self._client)
        if operation is not None:
            return await self._send(operation, prisma, calls, send)
        with Operation(self._client, name or _name(calls[0])) as operation:
            answer = await self._send(operation, prisma, calls, send)
            operation.tell(_result(answer))
        return answer

    async def _send(
        self, operation: Operation, prisma: Any, calls: Sequence[Call], send: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        writes = any(map(_may_write, calls))
        operation.touches((table for call in calls for table in self._tables(call)), changes=writes)
        if not writes or not self._client.keeps_access_log:
            return await send(prisma)
        if prisma._tx_id is not None or self._client.in_transaction:
            return await self._send_with_entry(operation, prisma, send)
        engine = prisma._engine
        inside = prisma._copy()
        inside._internal_engine = prisma._internal_engine
        inside._tx_id = await engine.start_transaction(content=_AS_LONG_AS_IT_TAKES)
        try:
            answer = await self._send_with_entry(operation, inside, send)
        except BaseException:
            await engine.rollback_transaction(inside._tx_id)
            raise
        await engine.commit_transaction(inside._tx_id)
        return answer

    async def _send_with_entry(self, operation: Operation, prisma: Any, send: Callable[[Any], Awaitable[Any]]) -> Any:
        answer = await send(prisma)
        id, started, agent_id, user_name, name, *rest = operation.entry(_result(answer))
        age_ms = (time.perf_counter() - started) * 1000
        parameters = [self._client.organization_id, id, age_ms, agent_id, user_name, name, *rest]
        entering = Call("execute_raw", {"query": _ENTER, "parameters": parameters}, None)
        await prisma._engine.run(entering, prisma._tx_id)
        operation.has_been_entered()
        return answer

    def _tables(self, call: Call) -> Iterator[str]:
        if call.model is None or "query" in call.arguments:
            yield from named_tables(str(call.arguments.get("query", "")))
        else:
            yield from self._tables_of(self._models[_model_name(call.model)], call.arguments)

    def _tables_of(self, model: Model, arguments: Any) -> Iterator[str]:
        """Yield the table of *model*, and those of the models that its relations in *arguments* lead to."""
        yield model.db_name
        yield from self._related(model, arguments)

    def _related(self, model: Model, arguments: Any) -> Iterator[str]:
        if isinstance(arguments, list | tuple):
            for item in arguments:
                yield from self._related(model, item)
        elif isinstance(arguments, dict):
            for key, value in arguments.items():
                field = model.fields.get(key)
                if field is not None and field.kind == "object" and value:
                    yield from self._tables_of(self._models[field.type], value)
                elif field is None:  # a word of Prisma's; of a column the value is contents
                    yield from self._related(model, value)


def _may_write(call: Call) -> bool:
    return call.method not in _READING or may_write(str(call.arguments.get("query", "")))


def _name(call: Call) -> str:
    if call.model is None or "query" in call.arguments:
        return f"prisma.{call.method}"
    return _action(_model_name(call.model), call.method)


@lru_cache(maxsize=256)
def _action(model: str, method: str) -> str:
    return f"prisma.{model}.{method}"


def _model_name(model: type) -> str:
    name: str = model.__prisma_model__  # type: ignore[attr-defined]  # every generated model has it
    return name


def _result(answer: Any) -> object:
    return None if answer is None else answer["data"]["result"]
