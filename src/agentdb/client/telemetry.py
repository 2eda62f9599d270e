"""
OpenTelemetry, where the application uses it: a span for each operation, each task of an agent, each call of a tool.

Nothing here loads OpenTelemetry. Spans go somewhere only once the application has imported it to say where, so it is
looked for among the modules that are there. Names and attributes are those of the semantic conventions for database
clients (stable, 1.33) and for generative AI (1.37, in development). No span holds what a row, a task or an error says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

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

MODULE: Final = "opentelemetry.trace"


class OperationSpan:
    """The span of an operation, and how it becomes the current one for a time."""

    __slots__ = ("_context", "_token", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
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
    if trace is None:
        return None
    attributes = {"db.system.name": "postgresql", "db.operation.name": operation.name}
    namespace = operation.client.namespace
    if namespace is not None:
        attributes["db.namespace"] = namespace
    kind = trace.SpanKind.CLIENT
    return OperationSpan(_tracer(trace).start_span(operation.name, kind=kind, attributes=attributes))


def enter(span: OperationSpan | None) -> None:
    """Make *span* the current one: what begins inside is below it."""
    if span is not None:
        span.enter(sys.modules[MODULE])


def leave(span: OperationSpan | None) -> None:
    """Make current what was so before `enter`."""
    if span is not None:
        span.leave()


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
            if told.execution is not None:
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
def _current(trace: ModuleType, name: str, attributes: dict[str, str]) -> Iterator[Span]:
    span = _tracer(trace).start_span(name, kind=trace.SpanKind.INTERNAL, attributes=attributes)
    # What an error says may be confidential: its class is told, by `_fail`.
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise


def _tell_usage(span: Span, execution: RunningExecution) -> None:
    usage = execution.usage.total
    if isinstance(execution.model, str):
        span.set_attribute("gen_ai.request.model", execution.model)
    if usage.total:
        # All that was read, from the provider's cache too, as the conventions have it.
        span.set_attribute("gen_ai.usage.input_tokens", usage.input + usage.cached_input + usage.cache_write)
        span.set_attribute("gen_ai.usage.output_tokens", usage.output)


def _fail(span: Span, error_type: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


@cache
def _tracer(trace: ModuleType) -> Tracer:
    from importlib.metadata import version

    tracer: Tracer = trace.get_tracer("agentdb", version("agentdb"))
    return tracer
