"""The execution that is running now, and what of a task can be recorded."""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import to_jsonable_python

from agentdb.client.execution.rows import failure_of
from agentdb.client.execution.running import RunningExecution, current_execution
from agentdb.client.execution.steps import new_step
from agentdb.models import Agent
from agentdb.validation import UnstorableError, json_text, storable_text

__all__ = ["note_attempt", "recordable", "running_execution"]

# Not cut here: what is too large is cut once it is redacted.
_MAX_TEXT_CHARACTERS: Final = sys.maxsize


def running_execution(agent: Agent) -> RunningExecution | None:
    """Return the innermost running execution of this agent that the calling task is inside of; None outside of one."""
    execution = current_execution()
    # Another organization's agent may have the same id.
    while execution is not None and (
        (execution.agent_id, execution.client.organization_id) != (agent.id, agent.organization_id)
    ):
        execution = execution.parent
    return execution


def note_attempt(
    execution: RunningExecution, error: BaseException, attempt: int, duration_ms: float, delay_seconds: float
) -> None:
    """Add to the trail that an attempt at the task failed and is made again after *delay_seconds*."""
    failure = execution.client.payloads.failure(failure_of(error))
    data = {"attempt": attempt, "delay_seconds": round(delay_seconds, 3)}
    execution.note(
        new_step(
            "attempt",
            "retry",
            execution.agent_id,
            execution.id,
            success=False,
            duration_ms=duration_ms,
            message=failure.error,
            error_type=failure.error_type,
            data=json_text(data),
        )
    )


def recordable(value: Any) -> Any:
    """
    Return *value* as JSON that can be stored, whatever it is: recording a task must not make it fail.

    JSON stays as it is. Models, dataclasses, dates, sets and bytes become JSON; of anything else its repr is kept, also
    of generators and files, which would be used up by reading them. In texts what PostgreSQL cannot store is replaced,
    and the replacement marked.
    """
    try:
        json_text(value)
    except UnstorableError:
        return _made_storable(value)
    return value


def _made_storable(value: Any) -> Any:
    try:
        plain = to_jsonable_python(_unread(value), fallback=_repr, bytes_mode="base64")
        return _with_storable_texts(plain)
    except Exception:  # whatever a serializer or a property of the task's own raises
        return storable_text(_repr(value), _MAX_TEXT_CHARACTERS)


def _unread(value: Any) -> Any:
    """Return *value* with what can be gone through only once replaced by its repr: pydantic would read it up."""
    if isinstance(value, Iterator):
        return _repr(value)
    if isinstance(value, dict):
        return {key: _unread(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [_unread(item) for item in value]
    # One of pydantic's own knows best how it is written.
    if (
        dataclasses.is_dataclass(value)
        and not hasattr(value, "__pydantic_serializer__")
        and not isinstance(value, type)
    ):
        return {field.name: _unread(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def _with_storable_texts(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value, _MAX_TEXT_CHARACTERS)
    if isinstance(value, dict):
        return {_with_storable_texts(str(key)): _with_storable_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_storable_texts(item) for item in value]
    return str(value) if isinstance(value, float) and value - value != 0 else value


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # an object whose repr fails is recorded all the same
        return f"<{type(value).__qualname__}>"
