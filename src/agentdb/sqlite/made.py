"""
What rows of each kind become in the database: a function for each. Pure.

Everything is checked here, so that a row is refused with its reason before anything is sent.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from agentdb.client.execution.rows import Failure
from agentdb.client.memory.rows import memory_row
from agentdb.client.memory.transfer_rows import TransferRow
from agentdb.models import MemoryEntry, MetricPoint
from agentdb.sqlite.cells import Cells, joined
from agentdb.sqlite.kinds import plain_name
from agentdb.sqlite.values import Refused, as_text
from agentdb.validation import checked, json_text

__all__ = ["Made", "PassedOver", "call_of", "execution_of", "memory_of", "pattern_of", "point_of", "tool_of"]

_STATUSES: Final = {
    "completed": "completed complete success succeeded successful done ok finished passed pass solved true 1 yes",
    "failed": "failed failure fail error errored timeout timed_out unsuccessful false 0 no exception crashed rejected",
    "cancelled": "cancelled canceled aborted skipped stopped terminated killed",
    "abandoned": (
        "abandoned running pending in_progress queued started new open waiting processing active assigned blocked "
        "created interrupted paused planned ready retrying scheduled submitted todo"
    ),
}
_STATUS_OF: Final = {word: status for status, words in _STATUSES.items() for word in words.split()}
_UNFINISHED: Final = "It had not ended when it was imported from SQLite."
_PRIOR_WEIGHT: Final = 2.0  # as `Patterns.record` weighs a prior


class PassedOver(Exception):
    """A row that is left out because it should be; its text says why."""


class Made(NamedTuple):
    """
    A row for the database.

    Attributes:
        table: Where it goes.
        id: The same whenever the same row is read.
        values: A text or None for each column; of a memory, values as the database has them.
        given: Which of *values* the source says; the rest stands in for what it does not.
        label: What a report calls the row that it was made of.
        memory: The memory as it is stored.
    """

    table: str
    id: str
    values: dict[str, Any]
    given: frozenset[str]
    label: str = ""
    memory: TransferRow | None = None

    @property
    def characters(self) -> int:
        """About how much it is."""
        return sum(len(value) for value in self.values.values() if isinstance(value, str))


def memory_of(id: str, cells: Cells) -> Made:
    """Return a memory; one that has expired is passed over."""
    setting = cells.setting
    expires_at, occurred_at = cells.time("expires_at"), cells.time("occurred_at")
    if expires_at is not None and expires_at <= setting.now:
        raise PassedOver("expired")
    importance, embedding = cells.share("importance"), cells.fields.get("embedding")
    model = cells.name("embedding_model", setting.embedding_model or "", at_least=0)
    if embedding is not None and not model:
        cells.notes["embedding left out: nobody says which model made it (--embedding-model)"] += 1
        embedding = None
    values = {
        "id": id,
        "agent_id": setting.agent_id,
        "content": _content(cells),
        "metadata": cells.rest,
        "importance": 0.5 if importance is None else importance,
        "memory_type": cells.name("memory_type", "general", at_most=100),
        "sensitive": cells.flag("sensitive"),
        "pinned": cells.flag("pinned"),
        "occurred_at": occurred_at or setting.now,
        "expires_at": expires_at,
    }
    more = {
        "embedding": embedding,
        "embedding_model": None if embedding is None else model,
        "access_count": cells.count("access_count", at_most=2**31 - 1),
        "last_accessed_at": cells.time("last_accessed_at"),
        "created_at": values["occurred_at"],
        "updated_at": cells.time("updated_at") or values["occurred_at"],
    }
    memory = _memory_row(checked(MemoryEntry, **values), more)
    given = {*values, "embedding", "embedding_model", "created_at"} - {"id", "agent_id"}
    unsaid = set() if occurred_at else {"occurred_at", "created_at"}
    return Made("agent_memories", id, values | more, frozenset(given - unsaid), memory=memory)


def _memory_row(entry: MemoryEntry, more: dict[str, Any]) -> TransferRow:
    return TransferRow(
        *memory_row(entry, None, None)[:10],
        **more,
        embedding_error=None,
        execution_id=None,
        superseded_by=None,
        superseded_at=None,
        store_count=1,
        occurred_at=entry.occurred_at or more["created_at"],
        expires_at=entry.expires_at,
        sealed=None,
        lookups="{}",
        line=0,
    )


def _content(cells: Cells) -> str:
    """Return what a memory says: a column, or several of them, each with its name before it."""
    cells.needed("content")
    if len(cells.texts) == 1:
        return as_text(cells.texts[0][1], "content")
    return "\n".join(f"{name}: {as_text(value, name)}" for name, value in cells.texts)


def execution_of(id: str, cells: Cells) -> Made:
    """Return an execution, which has ended one way or another."""
    setting = cells.setting
    cells.needed("task")
    error, traceback = cells.text("error"), cells.text("traceback")
    status = _status(cells, "status", has_failed=error is not None)
    started, finished, duration = cells.time("started_at"), cells.time("finished_at"), cells.duration_ms()
    if status == "abandoned":
        error = error or _UNFINISHED
    if finished is None and started is not None:
        finished = started + timedelta(milliseconds=duration or 0)
    if started is None and finished is not None:
        started = finished - timedelta(milliseconds=duration or 0)
    has_time = started is not None
    begun, ended = started or setting.now, finished or setting.now
    if ended < begun:
        raise Refused("it ended before it began")
    payloads = setting.payloads
    failure = payloads.failure(Failure(error, None, traceback))
    model, kind = cells.text("model"), cells.text("kind")
    values = {
        "id": id,
        "agent_id": setting.agent_id,
        "parent_id": None,
        "kind": kind and cells.name("kind", "", at_most=100),
        "task": payloads.json(cells.json("task"), "task"),
        "result": payloads.json(cells.json("result"), "result") if "result" in cells else None,
        "status": status,
        "error": failure.error,
        "error_type": None,
        "traceback": failure.traceback,
        "sealed_task": None,
        "sealed_result": None,
        "model": model,
        "settings": payloads.object_json(cells.rest, "settings"),
        "input_tokens": str(cells.count("input_tokens")),
        "cached_input_tokens": "0",
        "cache_write_tokens": "0",
        "output_tokens": str(cells.count("output_tokens")),
        "reasoning_tokens": "0",
        "cost": _cost(cells),
        "started_at": _iso(begun),
        "heartbeat_at": _iso(ended),
        "finished_at": _iso(ended),
    }
    given = values.keys() - {"started_at", "heartbeat_at", "finished_at"}
    times = {"started_at", "finished_at"} if has_time else set()
    return Made("agent_executions", id, values, frozenset(given | times))


def _status(cells: Cells, name: str, *, has_failed: bool) -> str:
    """Return the status that a usual word for it stands for; where there is none, an error tells."""
    word = cells.text(name)
    if word is None:
        return "failed" if has_failed else "completed"
    # "1.0" is a number, "TaskStatus.DONE" what Python writes of an enumeration.
    status = _STATUS_OF.get(plain_name(word.removesuffix(".0").rpartition(".")[2]))
    if status is None:
        raise Refused(f"{name} is no usual word for completed, failed, cancelled or running")
    return status


def _cost(cells: Cells) -> str | None:
    if "cost" not in cells:
        return None
    try:
        cost = Decimal(str(cells.fields["cost"]).strip().removeprefix("$"))
    except InvalidOperation:
        raise Refused("cost is no number") from None
    if not cost.is_finite() or not 0 <= cost < 10**10:
        raise Refused("cost is negative, or beyond ten digits")
    return f"{round(cost, 10):f}"


def point_of(id: str, cells: Cells, value: float, column: str) -> Made:
    """Return a point of a metric, which the row names, or else the column."""
    recorded_at = cells.time("recorded_at")
    point = checked(
        MetricPoint,
        agent_id=cells.setting.agent_id,
        name=cells.name("name", "") if "name" in cells else column,
        value=value,
        unit=cells.text("unit", ""),
        labels=cells.rest,
        recorded_at=recorded_at,
    )
    values = {
        "id": id,
        "agent_id": point.agent_id,
        "name": point.name,
        "value": repr(point.value),
        "unit": point.unit,
        "labels": json_text(point.labels),
        "recorded_at": _iso(point.recorded_at or cells.setting.now),
    }
    given = {"name", "value", "unit", "labels"} | ({"recorded_at"} if recorded_at else set())
    return Made("agent_metrics", id, values, frozenset(given))


def tool_of(id: str, cells: Cells) -> Made:
    """Return a tool with its totals."""
    setting = cells.setting
    calls, successes = cells.count("calls"), cells.count("successes")
    rate, duration = cells.number("success_rate"), cells.duration_ms()
    if rate is not None and "successes" not in cells:
        successes = round(calls * (rate / 100 if rate > 1 else rate))
    if not 0 <= successes <= calls:
        raise Refused("more calls succeeded than there were")
    created_at, used_at = cells.time("created_at"), cells.time("last_used_at")
    parameters = cells.json("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        cells.notes["parameters left out: they are no JSON object, as a schema is"] += 1
        parameters = None
    values = {
        "id": id,
        "name": cells.name("name", ""),
        "version": "1",
        "description": cells.name("description", "", at_least=0, at_most=100_000),
        "parameters": json_text(parameters or {}),
        "sealed": None,
        "lookup": None,
        "status": "active",
        "owner_agent_id": setting.agent_id,
        "is_method": "false",
        "call_count": str(calls),
        "success_count": str(successes),
        "total_duration_ms": repr(float(calls * (duration or 0))),
        "last_used_at": _iso(used_at),
        "created_at": _iso(created_at or setting.now),
        "updated_at": _iso(created_at or setting.now),
    }
    given = frozenset({"name", "description", "parameters", "call_count", "success_count"})
    return Made("agent_tools", id, values, given)


def call_of(id: str, cells: Cells) -> Made:
    """Return a call of a tool, outside of an execution."""
    setting = cells.setting
    cells.needed("tool")
    cells.fields["tool"] = setting.tools.get(cells.fields["tool"], cells.fields["tool"])
    error, duration, at = cells.text("error"), cells.duration_ms(), cells.time("at")
    failure = setting.payloads.failure(Failure(error, None, None))
    arguments = {"arguments": cells.json("arguments")} if "arguments" in cells else {}
    values = {
        "id": id,
        "agent_id": setting.agent_id,
        "execution_id": None,
        "kind": "tool",
        "name": cells.name("tool", ""),
        "tool_id": None,  # of the tool of this name, which is found where it is written
        "tool_version": None,
        "success": str(_status(cells, "success", has_failed=error is not None) == "completed").lower(),
        "duration_ms": repr(float(duration or 0)),
        "message": failure.error,
        "error_type": None,
        "data": setting.payloads.object_json(cells.rest | arguments, "data"),
        "sealed": None,
        "at": _iso(at or setting.now),
    }
    given = {"name", "success", "duration_ms", "message", "data"} | ({"at"} if at else set())
    return Made("agent_steps", id, values, frozenset(given))


def pattern_of(id: str, cells: Cells) -> Made:
    """Return a pattern; what was its confidence is what is expected of it, and no evidence."""
    setting = cells.setting
    cells.needed("content")
    created_at, prior = cells.time("created_at"), cells.share("confidence")
    said = cells.json("content")
    if cells.rest:
        said = joined(cells.rest, "content", said if isinstance(said, dict) else {"content": said})
    values = {
        "id": id,
        "agent_id": setting.agent_id,
        "pattern_type": cells.name("pattern_type", "general", at_most=100),
        "name": cells.name("name", "", at_least=0),
        "content": json_text(said),
        "trials": "0",
        "successes": "0",
        "prior": None if prior is None else repr(prior),
        "prior_weight": repr(0.0 if prior is None else _PRIOR_WEIGHT),
        "half_life_days": None,
        "decayed_trials": "0",
        "decayed_successes": "0",
        "decayed_at": _iso(created_at or setting.now),
        "scope": "agent",
        "status": "active",
        "created_at": _iso(created_at or setting.now),
        "updated_at": _iso(created_at or setting.now),
    }
    given = {"pattern_type", "name", "content", "prior"} | ({"created_at"} if created_at else set())
    return Made("learning_patterns", id, values, frozenset(given))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
