"""Every public method of a resource made an operation, so that none can be forgotten."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncContextDecorator, aclosing
from typing import TYPE_CHECKING, Any, Final, Self

from agentdb.client.access.operations import Operation, is_watched, running_operation

if TYPE_CHECKING:
    from types import FunctionType, TracebackType

    from agentdb.client.client import PrismaAgentClient

__all__ = ["WATCHED", "watch_methods"]

WATCHED: Final = "__agentdb_operation__"
"""The mark of a method that is an operation."""

_NAMING: Final = ("agent_id", "owner_agent_id", "entry")
# What a call names as its agent: (positional arguments, keyword arguments) -> whatever that is.
_Agent = Callable[[tuple[Any, ...], Mapping[str, Any]], object]


def watch_methods(cls: type[Any]) -> None:
    """Make an operation of each public coroutine function, asynchronous generator and context manager of *cls*."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or not inspect.isfunction(method) or hasattr(method, WATCHED):
            continue
        agent = _agent_argument(method)
        if inspect.iscoroutinefunction(method):
            watched = _coroutine(name, method, agent)
        elif inspect.isasyncgenfunction(method):
            watched = _generator(name, method, agent)
        elif inspect.isasyncgenfunction(inspect.unwrap(method)):  # what asynccontextmanager has made of one
            watched = _manager(name, method, agent)
        else:
            continue
        setattr(watched, WATCHED, True)
        setattr(cls, name, watched)


def _coroutine(name: str, method: Callable[..., Any], agent: _Agent) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        client: PrismaAgentClient = self._client
        if not _begins(client):
            return await method(self, *args, **kwargs)
        with Operation(client, f"{self.family}.{name}", agent(args, kwargs)) as operation:
            result = await method(self, *args, **kwargs)
            operation.tell(result)
        return result

    return call


def _generator(name: str, method: Callable[..., Any], agent: _Agent) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        client: PrismaAgentClient = self._client
        items: AsyncGenerator[Any, None] = method(self, *args, **kwargs)
        if not _begins(client):
            return items
        return _watched_items(items, client, f"{self.family}.{name}", agent(args, kwargs))

    return call


async def _watched_items(
    items: AsyncGenerator[Any, None], client: PrismaAgentClient, name: str, agent_id: object
) -> AsyncGenerator[Any, None]:
    """Yield *items*; what their reader does between two of them is no part of the operation."""
    operation = Operation(client, name, agent_id)
    error: BaseException | None = None
    try:
        async with aclosing(_Resuming(items, operation)) as resuming:
            async for item in resuming:
                operation.count(1)
                yield item
    except BaseException as raised:
        error = raised
        raise
    finally:
        operation.end(error)


class _Resuming:
    """Goes through a generator, each step as a part of an operation."""

    def __init__(self, items: AsyncGenerator[Any, None], operation: Operation) -> None:
        self._items = items
        self._operation = operation

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        with self._operation.resumed():
            return await anext(self._items)

    async def aclose(self) -> None:
        with self._operation.resumed():
            await self._items.aclose()


def _manager(name: str, method: Callable[..., Any], agent: _Agent) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        client: PrismaAgentClient = self._client
        if not _begins(client):
            return method(self, *args, **kwargs)
        return _WatchedBlock(
            lambda: method(self, *args, **kwargs), client, f"{self.family}.{name}", agent(args, kwargs)
        )

    return call


class _WatchedBlock(AbstractAsyncContextManager[Any], AsyncContextDecorator):
    """A block of which the beginning and the end are an operation each; what is done inside is none of theirs."""

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[Any]],
        client: PrismaAgentClient,
        name: str,
        agent_id: object,
    ) -> None:
        self._make = make
        self._arguments = client, name, agent_id
        self._block = make()
        self._value: Any = None

    def _recreate_cm(self) -> Self:
        return type(self)(self._make, *self._arguments)

    async def __aenter__(self) -> Any:
        client, name, agent_id = self._arguments
        with Operation(client, name, agent_id) as operation:
            self._value = await self._block.__aenter__()
            operation.tell(self._value)
        return self._value

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        client, name, agent_id = self._arguments
        with Operation(client, f"{name}.end", agent_id) as operation:
            operation.tell(self._value)
            return await self._block.__aexit__(kind, error, trace)


def _begins(client: PrismaAgentClient) -> bool:
    """Return whether a call is an operation that somebody wants to know of, and no part of another one."""
    return is_watched(client) and running_operation(client) is None


def _agent_argument(method: FunctionType) -> _Agent:
    """Return what finds the agent in the arguments of *method*, self aside."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    name = next((name for name in _NAMING if any(parameter.name == name for parameter in parameters)), None)
    if name is None:
        return lambda _args, _kwargs: None
    place = [parameter.name for parameter in parameters].index(name)

    def agent(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
        value = args[place] if place < len(args) else kwargs.get(name)
        return getattr(value, "agent_id", value)

    return agent
