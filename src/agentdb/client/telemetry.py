"""
OpenTelemetry, where the application uses it: a span for each operation, each task of an agent, each call of a tool.

Nothing here loads OpenTelemetry. Spans go somewhere only once the application has imported it to say where, so it is
looked for among the modules that are there. Names and attributes are those of the semantic conventions for database
clients (stable, 1.33) and for generative AI (1.37, in development). No span holds what a row, a task or an error says.

What fails in OpenTelemetry, a sampler or a processor of the application's, costs the span and nothing else.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from types import ModuleType

    from opentelemetry.trace import Span, Tracer

    from agentdb.client.access.operations import Operation
    from agentdb.client.execution.running import RunningExecution

__all__ = [
    "MODULE",
    "AgentSpan",
    "OperationSpan",
    "agent_span",
    "end_operation",
    "enter",
    "leave",
    "start_operation",
    "tool_span",
]

P = ParamSpec("P")
R = TypeVar("R")

logger: Final = logging.getLogger("agentdb.client")

MODULE: Final = "opentelemetry.trace"


def _harmless(step: Callable[P, R]) -> Callable[P, R | None]:
    """Make what *step* raises a warning, and its result None."""

    @functools.wraps(step)
    def taken(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return step(*args, **kwargs)
        except Exception as error:  # the work that the span is of must not fail by it
            logger.warning("OpenTelemetry has failed", extra={"step": step.__name__, "error": type(error).__name__})
            return None

    return taken


class OperationSpan:
    """A span, and how it becomes the current one for a time."""

    __slots__ = ("_context", "_token", "span")

    def __init__(self, span: Span) -> None:
        self.span: Any = span
        self._context: Any = None
        self._token: Any = None

    def enter(self, trace: ModuleType) -> None:
        from opentelemetry import context  # loaded, for `trace` is

        self._token = context.attach(trace.set_span_in_context(self.span))

    def leave(self) -> None:
        from opentelemetry import context

        context.detach(self._token)


def start_operation(operation: Operation) -> OperationSpan | None:
    """Begin the span of *operation*; None where OpenTelemetry is not in use."""
    trace = sys.modules.get(MODULE)
    return None if trace is None else _start_operation(trace, operation)


@_harmless
def _start_operation(trace: ModuleType, operation: Operation) -> OperationSpan:
    attributes = {"db.system.name": "postgresql", "db.operation.name": operation.name}
    namespace = operation.client.namespace
    if namespace is not None:
        attributes["db.namespace"] = namespace
    kind = trace.SpanKind.CLIENT
    return OperationSpan(_tracer(trace).start_span(operation.name, kind=kind, attributes=attributes))


@_harmless
def enter(span: OperationSpan) -> None:
    """Make *span* the current one: what begins inside is below it."""
    span.enter(sys.modules[MODULE])


@_harmless
def leave(span: OperationSpan) -> None:
    """Make current what was so before `enter`."""
    span.leave()


@_harmless
def end_operation(operation_span: OperationSpan, tables: Sequence[str], row_count: int | None, outcome: str) -> None:
    """End the span of an operation, with what is known of it by now."""
    span = operation_span.span
    if span.is_recording():
        if len(tables) == 1:
            span.set_attribute("db.collection.name", tables[0])
        if row_count is not None:
            span.set_attribute("db.response.returned_rows", row_count)
        if outcome != "ok":
            _fail(span, outcome)
    span.end()


class AgentSpan:
    """
    The span of an agent's task.

    Attributes:
        execution: The task, once it runs; it tells of model and tokens in the end.
    """

    __slots__ = ("execution",)

    def __init__(self) -> None:
        self.execution: RunningExecution | None = None


@contextmanager
def agent_span(agent_id: str, agent_name: str) -> Iterator[AgentSpan]:
    """Run a task of an agent as a span: `invoke_agent`."""
    told = AgentSpan()
    trace = sys.modules.get(MODULE)
    if trace is None:
        yield told
        return
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": agent_id,
        "gen_ai.agent.name": agent_name,
    }
    with _current(trace, f"invoke_agent {agent_name}", attributes) as span:
        try:
            yield told
        finally:
            if span is not None and told.execution is not None:
                _tell_usage(span, told.execution)


@contextmanager
def tool_span(name: str) -> Iterator[None]:
    """Run a call of a tool as a span: `execute_tool`."""
    trace = sys.modules.get(MODULE)
    if trace is None:
        yield
        return
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    with _current(trace, f"execute_tool {name}", attributes):
        yield


@contextmanager
def _current(trace: ModuleType, name: str, attributes: dict[str, str]) -> Iterator[Span | None]:
    current = _start(trace, name, attributes)
    if current is None:
        yield None
        return
    enter(current)
    try:
        yield current.span
    except BaseException as error:
        # What an error says may be confidential: its class is told, and no more.
        _fail(current.span, type(error).__name__)
        raise
    finally:
        leave(current)
        _end(current.span)


@_harmless
def _start(trace: ModuleType, name: str, attributes: dict[str, str]) -> OperationSpan:
    return OperationSpan(_tracer(trace).start_span(name, kind=trace.SpanKind.INTERNAL, attributes=attributes))


@_harmless
def _end(span: Span) -> None:
    span.end()


@_harmless
def _tell_usage(span: Span, execution: RunningExecution) -> None:
    usage = execution.usage.total
    if isinstance(execution.model, str):
        span.set_attribute("gen_ai.request.model", execution.model)
    if usage.total:
        # All that was read, from the provider's cache too, as the conventions have it.
        span.set_attribute("gen_ai.usage.input_tokens", usage.input + usage.cached_input + usage.cache_write)
        span.set_attribute("gen_ai.usage.output_tokens", usage.output)


@_harmless
def _fail(span: Span, error_type: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


@cache
def _tracer(trace: ModuleType) -> Tracer:
    from importlib.metadata import version

    tracer: Tracer = trace.get_tracer("agentdb", version("agentdb"))
    return tracer
