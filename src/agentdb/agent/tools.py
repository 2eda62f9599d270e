"""`@tool`: methods that are registered in the organization's catalogue, and whose calls are counted."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar, get_type_hints, overload

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from agentdb.errors import AgentDBError, InvalidInputError, NotFoundError
from agentdb.validation import invalid_input

if TYPE_CHECKING:
    from agentdb.agent.base import EnhancedAgentBase

__all__ = ["ToolMark", "call_tool", "parameters_of", "tool", "tools_of"]

logger = logging.getLogger("agentdb.agent")

_MARK: Final = "__agentdb_tool__"

A = TypeVar("A", bound="EnhancedAgentBase")
P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate[A, P], Awaitable[R]]


class ToolMark(NamedTuple):
    """What `@tool` noted on a method."""

    name: str
    description: str


@overload
def tool(method: Method[A, P, R]) -> Method[A, P, R]: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Method[A, P, R]], Method[A, P, R]]: ...
def tool(method: Any = None, *, name: str | None = None, description: str | None = None) -> Any:
    """
    Make a method of an agent a tool: registered at `initialize()`, every call counted with its duration and success.

    Args:
        method: The method, an `async def`; given when the decorator stands without parentheses.
        name: The tool's name in the catalogue; None: the method's.
        description: What it does; None: the method's docstring.

    Raises:
        InvalidInputError: The method is no `async def`.
    """
    if method is None:
        return functools.partial(_marked, name=name, description=description)
    return _marked(method, name=name, description=description)


def _marked(method: Method[A, P, R], name: str | None, description: str | None) -> Method[A, P, R]:
    if not inspect.iscoroutinefunction(method):
        raise InvalidInputError("tool", f"{getattr(method, '__name__', 'it')} must be an `async def`.")
    mark = ToolMark(name or method.__name__, description if description is not None else inspect.getdoc(method) or "")

    @functools.wraps(method)
    async def call(self: A, /, *args: P.args, **kwargs: P.kwargs) -> R:
        client, agent_id = self.client, self.id
        started = time.perf_counter()
        try:
            result: R = await method(self, *args, **kwargs)
        except Exception:
            try:
                await client.tools.record_call(mark.name, agent_id, success=False, duration_ms=_since(started))
            except AgentDBError:
                # the tool's own exception matters more
                logger.exception("a failed call of a tool could not be recorded", extra={"tool": mark.name})
            raise
        await client.tools.record_call(mark.name, agent_id, success=True, duration_ms=_since(started))
        return result

    setattr(call, _MARK, mark)
    return call


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def tools_of(agent: EnhancedAgentBase) -> Iterator[tuple[ToolMark, Callable[..., Awaitable[Any]]]]:
    """Yield each tool of *agent* with its bound method."""
    for attribute in dir(type(agent)):
        mark = getattr(inspect.getattr_static(type(agent), attribute), _MARK, None)
        if mark is not None:
            yield mark, getattr(agent, attribute)


def _adapter(method: Any) -> TypeAdapter[Any]:
    """Return what describes and checks the arguments of a bound method."""
    function = method.__func__
    # Annotations that are text are resolved here, in the module of the method; pydantic would look in this one.
    function.__annotations__ = get_type_hints(function, include_extras=True)
    return TypeAdapter(method)


def parameters_of(method: Callable[..., Awaitable[Any]]) -> dict[str, Any]:
    """Return the JSON schema of a bound method's arguments."""
    try:
        return _adapter(method).json_schema()
    except (PydanticUserError, NameError, TypeError) as error:
        name = getattr(method, "__name__", "tool")
        raise InvalidInputError(name, f"no JSON schema can be made of its signature: {error}") from error


async def call_tool(agent: EnhancedAgentBase, name: str, arguments: dict[str, Any]) -> Any:
    """Call one of *agent*'s tools by its name, the arguments checked against its signature."""
    for mark, method in tools_of(agent):
        if mark.name == name:
            try:
                call: Awaitable[Any] = _adapter(method).validate_python(arguments)
            except ValidationError as error:
                raise invalid_input(error, "arguments.") from error
            return await call
    raise NotFoundError("tool", name)
