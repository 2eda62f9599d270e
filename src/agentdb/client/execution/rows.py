"""Between executions and their rows: plain functions."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agentdb.client.execution.sealing import open_execution, open_step
from agentdb.errors import EncryptionError, InvalidInputError, NotFoundError
from agentdb.models import Execution, ExecutionTree, Step, TokenUsage, from_row
from agentdb.validation import check_text, json_text, parse_json, storable_text

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals
    from agentdb.postgres.driver import Record

__all__ = [
    "NO_FAILURE",
    "Failure",
    "check_cost",
    "check_kind",
    "check_model",
    "execution_as_it_is",
    "execution_of",
    "failure_of",
    "is_same_json",
    "kind_of",
    "tree_of",
]

_MAX_KIND_CHARACTERS: Final = 100
# As the column rounds, whatever context the caller has set.
_ROUNDING: Final = Context(prec=40, rounding=ROUND_HALF_UP, traps=[])
_LAST_DECIMAL: Final = Decimal("1e-10")


class Failure(NamedTuple):
    """What is kept of an exception: its text, its class by name, its traceback."""

    error: str | None
    error_type: str | None
    traceback: str | None


NO_FAILURE: Final = Failure(None, None, None)


def failure_of(error: BaseException | str) -> Failure:
    """Return what *error* says, made storable: replaced where needed, and marked so; `Payloads.failure` cuts it."""
    # Not cut here: a secret that is cut in half would pass a redaction that looks for the whole of it.
    if isinstance(error, str):
        return Failure(storable_text(error, len(error)), None, None)
    try:
        text = str(error)
    except Exception:  # an exception whose text fails must be recorded all the same
        text = "(the exception's text could not be made)"
    try:
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # a SyntaxError of somebody's own making, for example
        lines = "(the traceback could not be made)"
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return Failure(storable_text(text, len(text)), storable_text(name, 255), storable_text(lines, len(lines)))


def kind_of(task: Any) -> str | None:
    """Return what sort of task *task* says it is, by its key "type" or "kind"; None when it does not say."""
    if isinstance(task, Mapping):
        for key in ("type", "kind"):
            kind = task.get(key)
            if isinstance(kind, str) and 1 <= len(kind) <= _MAX_KIND_CHARACTERS:
                return kind
    return None


def check_kind(kind: str | None) -> str | None:
    """Return *kind* when it can be a task's kind."""
    return None if kind is None else check_text(kind, "kind", at_most=_MAX_KIND_CHARACTERS)


def check_model(model: str | None) -> str | None:
    """Return *model* when it can be a model's name."""
    return None if model is None else check_text(model, "model")


def check_cost(cost: Decimal | None) -> Decimal | None:
    """Return *cost* when it is an amount that the column holds, rounded as it does."""
    if cost is None:
        return None
    try:
        amount = Decimal(cost)
    except (ArithmeticError, TypeError, ValueError):
        amount = Decimal("NaN")
    if amount.is_finite() and 0 <= amount < 10**10:
        amount = amount.quantize(_LAST_DECIMAL, context=_ROUNDING)
    # Rounding must not carry it over the limit either.
    if not (amount.is_finite() and 0 <= amount < 10**10):
        raise InvalidInputError("cost", "expected US dollars: a number from 0 to below 10,000,000,000.")
    return amount


def is_same_json(value: Any, text: str) -> bool:
    """Return whether *value*, as the database gave it back, is what the JSON *text* says."""
    # jsonb writes a large float out, so that it comes back as an integer that no float equals: 1e23.
    return bool(json.loads(json_text(value), parse_float=Decimal) == json.loads(text, parse_float=Decimal))


def execution_of(record: Record, seals: Seals) -> Execution:
    """Return a row of the fragment `execution` as its model; EncryptionError when it is sealed and does not open."""
    return _execution(dict(record.items()), seals)


def execution_as_it_is(record: Record, seals: Seals) -> Execution:
    """Return the same; what does not open has None in its place."""
    try:
        return execution_of(record, seals)
    except EncryptionError:
        return _execution(dict(record.items()) | {"sealed_task": None, "sealed_result": None}, seals)


def _execution(values: dict[str, Any], seals: Seals) -> Execution:
    open_execution(values, seals)
    values["settings"] = parse_json(values["settings"])
    values["usage"] = from_row(
        TokenUsage,
        {
            "input": values.pop("input_tokens"),
            "cached_input": values.pop("cached_input_tokens"),
            "cache_write": values.pop("cache_write_tokens"),
            "output": values.pop("output_tokens"),
            "reasoning": values.pop("reasoning_tokens"),
        },
    )
    return from_row(Execution, values)


def tree_of(records: Iterable[Record], execution_id: str, seals: Seals) -> ExecutionTree:
    """Return the rows of the block `tree`, callers before those they called, as one tree; errors as `execution_of`."""
    root: ExecutionTree | None = None
    trees: dict[str, ExecutionTree] = {}
    for record in records:
        values = dict(record.items())
        trail = parse_json(values.pop("steps") or "[]")
        execution = _execution(values, seals)
        steps = [_step(step, seals) for step in trail]
        tree = from_row(ExecutionTree, {"execution": execution, "children": [], "steps": steps})
        trees[execution.id] = tree
        if root is None:
            root = tree
        elif execution.parent_id is not None:
            trees[execution.parent_id].children.append(tree)
    if root is None:
        raise NotFoundError("execution", execution_id)
    return root


def _step(values: dict[str, Any], seals: Seals) -> Step:
    open_step(values, seals)
    values["at"] = datetime.fromisoformat(values["at"])
    return from_row(Step, values)
