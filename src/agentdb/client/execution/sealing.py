"""
How tasks, results and steps stand in their tables when they are encrypted: plain functions, the only place that knows.

A task is sealed as its JSON, and `null` stands in its place. Result, error and traceback are sealed together at the
end, as one JSON object, and so are message and data of a step; the plain columns are empty then. What reports and
comparisons need stays readable: status, kind, model, settings, tokens, times, the class of an error, names of tools,
and the words with which an execution is abandoned, which are always the same.

A row says by itself whether it is sealed, so that plain and sealed ones stand side by side.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

from agentdb.validation import json_text, parse_json

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals
    from agentdb.client.execution.steps import StepRow
    from agentdb.client.execution.writes import EndRow, StartRow
    from agentdb.postgres.driver import Record

__all__ = [
    "open_execution",
    "open_step",
    "resealed_execution",
    "resealed_step",
    "sealed_content",
    "sealed_end",
    "sealed_outcome",
    "sealed_start",
    "sealed_task",
    "step_values",
]

_EXECUTIONS: Final = "agent_executions"
_STEPS: Final = "agent_steps"
_TASK: Final = "sealed_task"
_RESULT: Final = "sealed_result"
_SEALED: Final = "sealed"
_NULL: Final = "null"
_EMPTY: Final = "{}"


def sealed_task(text: str, execution_id: str, seals: Seals) -> bytes:
    """Return the JSON *text* of a task, sealed."""
    return seals.seal(text, _EXECUTIONS, _TASK, execution_id)


def sealed_outcome(
    result: str | None, error: str | None, traceback: str | None, execution_id: str, seals: Seals
) -> bytes:
    """Return what an execution ended with, sealed; *result* is JSON."""
    text = f'{{"result":{result or _NULL},"error":{json_text(error)},"traceback":{json_text(traceback)}}}'
    return seals.seal(text, _EXECUTIONS, _RESULT, execution_id)


def sealed_content(message: str | None, data: str, step_id: str, seals: Seals) -> bytes:
    """Return what a step holds, sealed; *data* is JSON."""
    return seals.seal(f'{{"message":{json_text(message)},"data":{data}}}', _STEPS, _SEALED, step_id)


def sealed_start(row: StartRow, seals: Seals) -> StartRow:
    """Return the start of an execution with its task sealed."""
    return row._replace(task=_NULL, sealed_task=sealed_task(row.task, row.id, seals))


def sealed_end(row: EndRow, seals: Seals) -> EndRow:
    """Return the end of an execution with its result, error and traceback sealed."""
    sealed = sealed_outcome(row.result, row.error, row.traceback, row.id, seals)
    return row._replace(result=None, error=None, traceback=None, sealed_result=sealed)


def step_values(step: StepRow, seals: Seals | None) -> dict[str, Any]:
    """Return a step as the JSON object that the fragment `steps_written` takes; sealed, unless *seals* is None."""
    values = step._asdict()
    if seals is None or (step.message is None and step.data == _EMPTY):
        return values
    sealed = sealed_content(step.message, step.data, step.id, seals)
    return values | {"message": None, "data": _EMPTY, "sealed": b64encode(sealed).decode()}


def open_execution(values: dict[str, Any], seals: Seals) -> None:
    """
    Read task, result, error and traceback of an execution from where they are, and take the sealed columns out.

    Raises:
        EncryptionError: A value does not open; it is named.
    """
    task, outcome = values.pop("sealed_task"), values.pop("sealed_result")
    text = values["task"] if task is None else seals.open(task, _EXECUTIONS, _TASK, values["id"])
    values["task"] = parse_json(text)
    if outcome is not None:
        values.update(parse_json(seals.open(outcome, _EXECUTIONS, _RESULT, values["id"])))
    elif values["result"] is not None:
        values["result"] = parse_json(values["result"])


def open_step(values: dict[str, Any], seals: Seals) -> None:
    """
    Read message and data of a step of the block `tree` from where they are, and take the sealed value out.

    Raises:
        EncryptionError: It does not open; it is named.
    """
    sealed = values.pop("sealed")
    if sealed is not None:
        values.update(parse_json(seals.open(b64decode(sealed), _STEPS, _SEALED, values["id"])))


def resealed_execution(record: Record, seals: Seals) -> tuple[bytes | None, bytes | None]:
    """
    Return task and outcome of a row of the block `executions_next` under the newest key; None where there is none.

    Raises:
        EncryptionError: A value does not open; it is named.
    """
    id, task, outcome = str(record["id"]), record["sealed_task"], record["sealed_result"]
    if task is not None:
        task = seals.reseal(task, _EXECUTIONS, _TASK, id)
    elif record["is_task_plain"]:
        task = sealed_task(record["task"], id, seals)
    if outcome is not None:
        outcome = seals.reseal(outcome, _EXECUTIONS, _RESULT, id)
    elif record["is_result_plain"]:
        outcome = sealed_outcome(record["result"], record["error"], record["traceback"], id, seals)
    return task, outcome


def resealed_step(record: Record, seals: Seals) -> bytes:
    """
    Return what a row of the block `steps_next` holds under the newest key.

    Raises:
        EncryptionError: It does not open; it is named.
    """
    id, sealed = str(record["id"]), record["sealed"]
    if sealed is not None:
        return seals.reseal(sealed, _STEPS, _SEALED, id)
    return sealed_content(record["message"], record["data"], id, seals)
