"""`@tool`: methods that are registered in the organization's catalogue, and whose every call is recorded."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

from pydantic import PydanticUserError, ValidationError
from pydantic_core import to_jsonable_python

from agentdb.agent.execution import recordable
from agentdb.agent.signatures import Signature, signature_of
from agentdb.client.telemetry import tool_span
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.models import ToolDefinition
from agentdb.validation import UnstorableError, checked, invalid_input, json_text, parse_json

if TYPE_CHECKING:
    from agentdb.agent.base import EnhancedAgentBase

__all__ = ["ToolMark", "call_tool", "parameters_of", "tool", "tool_definitions", "tools_of"]

logger: Final = logging.getLogger("agentdb.agent")

_MARK: Final = "__agentdb_tool__"

Method = Callable[..., Awaitable[Any]]
M = TypeVar("M", bound=Method)


class ToolMark(NamedTuple):
    """What `@tool` noted on a method; without a description of its own it has the one of the method it overrides."""

    name: str
    description: str | None


@overload
def tool(method: M) -> M: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[M], M]: ...
def tool(method: Any = None, *, name: str | None = None, description: str | None = None) -> Any:
    """
    Make a method of an agent a tool: registered at `initialize()`, every call recorded.

    A call is recorded with its duration, arguments and success, under the execution that is running, whichever agent's
    it is; else as a call of the agent itself. That costs a call no round trip: it is written with the end of the
    execution or a moment later. `super().method(…)` belongs to the call that makes it. What the method raises is raised
    as it was, also when its call could not be recorded, which is logged.

    What the method returns must be JSON, or become so (models, dataclasses, dates, sets); the caller gets it as it is.

    Args:
        method: The method, an `async def`; given when the decorator stands without parentheses.
        name: The tool's name in the catalogue; None: the method's.
        description: What it does; None: the method's docstring, or that of the method it overrides.

    Raises:
        InvalidInputError: The method is no `async def`; or, when it is called, it returns what JSON cannot hold.
    """
    if method is None:
        return functools.partial(_marked, name=name, description=description)
    return _marked(method, name=name, description=description)


def _marked(method: Method, name: str | None, description: str | None) -> Method:
    _refuse_no_method(method)
    mark = ToolMark(name or method.__name__, inspect.getdoc(method) if description is None else description)
    names = _ArgumentNames.of(method)

    @functools.wraps(method)
    async def call(self: EnhancedAgentBase, /, *args: Any, **kwargs: Any) -> Any:
        if _is_within(self, call):
            return await method(self, *args, **kwargs)
        recording = _Recording(self, mark.name, names.named(args, kwargs))
        token = _within.set((self, call))
        try:
            with tool_span(mark.name):
                result = await method(self, *args, **kwargs)
                _refuse_unspeakable(result, mark.name)
        except BaseException as error:
            recording.note(error)
            raise
        finally:
            _within.reset(token)
        recording.note(None)
        return result

    setattr(call, _MARK, mark)
    return call


def _refuse_no_method(method: Any) -> None:
    """Raise InvalidInputError when *method* is none that can be a tool."""
    called = getattr(method, "__name__", "it")
    if isinstance(method, staticmethod | classmethod):
        raise InvalidInputError("tool", f"{called} must be a method of the agent, with self.")
    if inspect.isasyncgenfunction(method):
        raise InvalidInputError("tool", f"{called} must return what it has, not yield it: a call has one result.")
    # What another decorator made may return what the method returns without being an `async def` itself.
    is_async = inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(inspect.unwrap(method))
    if not is_async or not hasattr(method, "__name__"):
        raise InvalidInputError("tool", f"{called} must be an `async def`.")


# The tool that is running, so that the method of a base class that it calls by `super()` is not taken for another call.
_within: ContextVar[tuple[EnhancedAgentBase, Method] | None] = ContextVar("agentdb_tool", default=None)


def _is_within(agent: EnhancedAgentBase, method: Method) -> bool:
    """Return whether *method* is what the running tool of the same agent overrides; itself it may call anew."""
    running = _within.get()
    return (
        running is not None
        and running[0] is agent
        and running[1] is not method
        and running[1].__name__ == method.__name__
    )


class _ArgumentNames(NamedTuple):
    """What the arguments of a method are called that come by their places; *rest* is what those beyond are called."""

    places: tuple[str, ...]
    rest: str

    @classmethod
    def of(cls, method: Method) -> _ArgumentNames:
        parameters = list(inspect.signature(method).parameters.values())[1:]  # without self
        placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL), "args")
        return cls(tuple(p.name for p in parameters if p.kind in placed), rest)

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by their names, also those that do not fit."""
        named = dict(zip(self.places, args, strict=False))
        if len(args) > len(self.places):
            named[self.rest] = list(args[len(self.places) :])
        return {**named, **kwargs}


class _Recording:
    """
    One call of a tool, on its way to be recorded.

    Args:
        agent: Whose tool it is.
        name: The tool.
        arguments: What it is called with. They are copied, for the method may change them.

    Raises:
        NotConnectedError: The agent is not initialized.
    """

    def __init__(self, agent: EnhancedAgentBase, name: str, arguments: Mapping[str, Any]) -> None:
        self._client, self._agent = agent._opened()
        self._name = name
        self._arguments = _recordable_arguments(arguments)
        self._started = time.perf_counter()

    def note(self, error: BaseException | None) -> None:
        """Record that the call has ended. It never fails: what the tool returned or raised matters more."""
        try:
            self._client.tools.note_call(
                self._name,
                self._agent.id,
                success=error is None,
                duration_ms=(time.perf_counter() - self._started) * 1000,
                error=error,
                arguments=self._arguments,
            )
        except Exception:
            logger.exception("a call of a tool could not be recorded", extra={"tool": self._name})


def _recordable_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        copied: dict[str, Any] = parse_json(json_text(dict(arguments)))
    except UnstorableError:
        return {str(recordable(name)): recordable(value) for name, value in arguments.items()}
    return copied


def _refuse_unspeakable(result: Any, name: str) -> None:
    """
    Raise InvalidInputError when *result*, of the tool *name*, is nothing that JSON can hold.

    Models, dataclasses, dates, sets and bytes become JSON; what would be used up by that, an iterator, does not.
    """
    try:
        _as_json(result)
    except UnstorableError as error:
        place = f" at {error.path.removeprefix('.')}" if error.path else ""
        raise InvalidInputError(name, f"returned what JSON cannot hold: the value{place} {error.reason}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(name, f"returned what JSON cannot hold: {error}") from error


def _as_json(value: Any) -> str:
    try:
        return json_text(value)
    except UnstorableError:
        if _holds_iterator(value):
            raise UnstorableError("is an iterator, which can be read only once; return a list.") from None
    return json_text(to_jsonable_python(value, bytes_mode="base64"))


def _holds_iterator(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_iterator, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_iterator, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(_holds_iterator(getattr(value, field.name)) for field in dataclasses.fields(value))
    return isinstance(value, Iterator)


def tools_of(agent: EnhancedAgentBase) -> Iterator[tuple[ToolMark, Method]]:
    """
    Yield each tool of *agent* with its bound method: those of base classes first, in the order of their definition.

    Raises:
        InvalidInputError: Two methods are tools of one name, or a tool is no method of an instance.
    """
    kind = type(agent)
    attributes = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    found: dict[str, tuple[str, object]] = {}
    for attribute, value in attributes.items():
        mark = getattr(getattr(value, "__func__", value), _MARK, None)
        if not isinstance(mark, ToolMark):
            continue
        # A function becomes a method of the instance; a decorator's object without `__get__` does not.
        if isinstance(value, staticmethod | classmethod) or not hasattr(type(value), "__get__"):
            raise InvalidInputError("tool", f"{kind.__name__}.{attribute} must be a method of the agent, with self.")
        other, same = found.setdefault(mark.name, (attribute, value))
        if same is not value:
            raise InvalidInputError(
                "tool", f"{kind.__name__}.{other} and {kind.__name__}.{attribute} are both called {mark.name!r}."
            )
        if other == attribute:
            yield mark, getattr(agent, attribute)


def parameters_of(method: Method) -> dict[str, Any]:
    """
    Return the JSON schema of a bound method's arguments, which is the caller's own.

    Raises:
        InvalidInputError: There is none.
    """
    return _signature(method).json_schema()


def _signature(method: Method) -> Signature:
    try:
        return signature_of(method)
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        name = getattr(method, "__name__", "tool")
        raise InvalidInputError(name, f"no JSON schema can be made of its signature: {error}") from error


def tool_definitions(agent: EnhancedAgentBase) -> list[ToolDefinition]:
    """
    Return *agent*'s tools as they are registered.

    Raises:
        InvalidInputError: One of them cannot be; nothing is registered then.
    """
    definitions = []
    for mark, method in tools_of(agent):
        parameters = parameters_of(method)
        try:
            described = inspect.getdoc(method) or "" if mark.description is None else mark.description
            definitions.append(checked(ToolDefinition, name=mark.name, description=described, parameters=parameters))
        except InvalidInputError as error:
            raise InvalidInputError(mark.name, f"cannot be registered: {error}") from error
    return definitions


async def call_tool(agent: EnhancedAgentBase, name: str, arguments: dict[str, Any]) -> Any:
    """
    Call one of *agent*'s tools by its name, the arguments checked against its signature.

    Arguments that do not fit are recorded as a call that failed: who offers a tool shall see that it is misunderstood.
    """
    agent._opened()  # or it says how to
    for mark, method in tools_of(agent):
        if mark.name == name:
            recording = _Recording(agent, name, arguments)
            try:
                args, kwargs = _signature(method).bind(arguments)
            except ValidationError as error:
                refused = invalid_input(error, "arguments.")
                recording.note(refused)
                raise refused from error
            except Exception as error:  # of a validator of the author's own
                recording.note(error)
                raise
            return await method(*args, **kwargs)
    raise NotFoundError("tool", name)
