"""Every public method that takes text: what is fine for its arguments, and what a hostile text does in its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from agentdb import AgentConfig, MemoryEntry, MetricPoint, PrismaAgentClient, ToolDefinition
from agentdb.client.memory.filters import filter_path
from agentdb.client.metric.buckets import BUCKETS, time_zone
from agentdb.embedders import SpellingEmbedder
from agentdb.errors import InvalidInputError
from tests.integration.hostile.strings import is_storable

__all__ = ["CALLS", "INTERNAL", "RESOURCES", "Call", "Text", "World", "text_arguments", "text_fields"]

RESOURCES: Final = (
    "agents",
    "memories",
    "tools",
    "executions",
    "metrics",
    "patterns",
    "prices",
    "access_log",
    "client",
)
NOW: Final = datetime(2025, 11, 28, tzinfo=UTC)


class World(NamedTuple):
    """What there is before the calls: names and ids that are fine, many of those that a call uses up."""

    client: PrismaAgentClient
    agent_id: str
    memory_ids: list[str]
    execution_ids: list[str]
    failing_ids: list[str]
    pattern_ids: list[str]


@dataclass(frozen=True)
class Text:
    """
    An argument, or a field of a model, that takes text.

    Attributes:
        at_least: The fewest characters that it takes.
        at_most: The most.
        made: What is given, for a text: the text itself, or a document that holds it as keys and values.
        takes: Whether a text of that length that can be stored is taken; else it is refused by name.
        names_a_row: Whether it only finds what is there, so that a hostile text finds nothing.
        reported: What an error calls it; "" for its own name.
        kept_up_to: The most characters that come back as they were; longer texts are cut, and marked.
    """

    at_least: int = 1
    at_most: int = 255
    made: Callable[[str], Any] = str
    takes: Callable[[str], bool] = is_storable
    names_a_row: bool = False
    reported: str = ""
    kept_up_to: int = 2**31

    def accepts(self, text: str) -> bool:
        """Whether *text* is taken."""
        return self.at_least <= len(text) <= self.at_most and self.takes(text)

    def refuses(self, text: str) -> bool:
        """Whether *text* is refused."""
        return not self.accepts(text)


@dataclass(frozen=True)
class Call:
    """
    A method.

    Attributes:
        texts: What of its arguments takes text.
        fine: The other arguments that it needs, and what is fine for those that name a row.
        build: From arguments to those of the method; None: as they are.
        models: The models that *build* makes of arguments.
        spends: Of which list of the world each call uses up one, and the argument it is.
        reads_back: What finds the row that a call has written, from its result.
        run: What calls it with a client and the arguments, where that is more than to await it.
        at_most: How many hostile texts each argument gets; None: all. The methods that are given fewer are slow, and
            others put all of them into the same columns.
        names_at_most: How many it gets in the place of names and ids.
    """

    texts: Mapping[str, Text]
    fine: Mapping[str, Any] = field(default_factory=dict)
    build: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    models: tuple[type[BaseModel], ...] = ()
    spends: tuple[str, str] | None = None
    reads_back: Callable[[PrismaAgentClient, Any], Any] | None = None
    run: Callable[..., Any] | None = None
    at_most: int | None = None
    names_at_most: int | None = 1_000

    @property
    def arguments(self) -> set[str]:
        """The names of the arguments that it covers."""
        return set(self.texts) | set(self.fine)


# What takes text, by what it does with it.


def document(text: str) -> dict[str, Any]:
    """Return a JSON object that holds *text* as key and value, at the top and below."""
    return {text: [text, {text: {text: [text, None]}}], "value": text}


def conditions(text: str) -> dict[str, Any]:
    """Return a filter with *text* as key and as value, by every operator."""
    key = "k" + text  # AND, OR and NOT are no keys of metadata
    comparisons = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), text)
    return {
        "OR": [
            {key: text},
            {key: {**comparisons, "in": [text, key], "nin": [text], "exists": True}},
            {key: {"contains": text}},
            {"NOT": {key: {"eq": document(text)}}},
            {key: {"contains": [text]}},
        ]
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _is_filter(text: str) -> bool:
    try:
        filter_path(conditions(text))
    except InvalidInputError:
        return False
    return True


def _is_time_zone(text: str) -> bool:
    try:
        time_zone(text)
    except InvalidInputError:
        return False
    return True


def key(prefix: str) -> Text:
    """Return an argument for idempotency keys that no other method gives: a key stands for one write."""
    return Text(0 if prefix else 1, 255 - len(prefix), made=lambda text: prefix + text)


def choice(*words: str) -> Text:
    """Return an argument that takes a few words and nothing else."""
    return Text(0, 2**31, takes=lambda text: text in words)


NAME: Final = Text()
SHORT: Final = Text(at_most=100)
UNIT: Final = Text(0, 100)
DESCRIPTION: Final = Text(0, 100_000)
CONTENT: Final = Text(1, 1_000_000)
JSON: Final = Text(0, 2**31, made=document)
KEPT_JSON: Final = replace(JSON, kept_up_to=10_000)
NAMES: Final = Text(made=lambda text: [text])
AGENT: Final = Text(names_a_row=True)
ROW: Final = Text(names_a_row=True)
ID: Final = Text(0, 2**31, takes=lambda text: True, names_a_row=True)
UUID_FIELD: Final = Text(0, 2**31, takes=_is_uuid)
WHERE: Final = Text(0, 2**31, made=conditions, takes=_is_filter)
WORDS: Final = Text(0, 10_000)
QUERY: Final = Text(0, 20_000)
ERROR: Final = Text(0, 2**31, takes=lambda text: True, kept_up_to=-1)
IMPORTED: Final = Text(0, 2**31, takes=lambda text: False, reported="line")
REASON: Final = Text(0, 1000)
VECTOR: Final = [1.0, 0.5]

ENTRY: Final = {
    "content": CONTENT,
    "metadata": JSON,
    "memory_type": SHORT,
    "embedding_model": NAME,
}
ENTRY_CHOICES: Final = {"visibility": choice("agent", "organization")}
ENTRY_FINE: Final = {"id": None, "content": "fine", "embedding": VECTOR}
SCOPE: Final = {"agent_id": AGENT, "memory_type": SHORT, "where": WHERE}
TOOL: Final = {"name": NAME, "description": DESCRIPTION, "parameters": JSON}
USAGE: Final = {"usage": None, "cost": None}
START: Final = {
    "agent_id": AGENT,
    "task": KEPT_JSON,
    "parent_id": ID,
    "kind": SHORT,
    "model": NAME,
    "settings": KEPT_JSON,
}
POINT: Final = {"agent_id": AGENT, "name": NAME, "unit": UNIT, "labels": JSON}
END: Final = {"model": NAME, "settings": KEPT_JSON}


def built(
    model: type[BaseModel], argument: str, *others: str, listed: bool = False
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what makes *argument* of the values that are *model*'s, *others* staying arguments of their own."""

    def build(values: dict[str, Any]) -> dict[str, Any]:
        one = model(**{name: value for name, value in values.items() if name not in others})
        return {argument: [one] if listed else one, **{name: values[name] for name in others if name in values}}

    return build


def _memory(client: PrismaAgentClient, result: Any) -> Any:
    return client.memories.get(result[0] if isinstance(result, list) else result, include_superseded=True)


async def _reembed(client: PrismaAgentClient, **arguments: Any) -> Any:
    able = client.for_organization(client.organization_id)
    able.embedder = SpellingEmbedder()
    return await able.memories.reembed(**arguments)


async def _exported(client: PrismaAgentClient, **arguments: Any) -> Any:
    return [line async for line in client.memories.export_lines(**arguments)]


async def _imported(client: PrismaAgentClient, lines: str | None = None, **arguments: Any) -> Any:
    exported = await _exported(client, agent_id="idle") if lines is None else lines.split("\n")
    return await client.memories.import_lines(exported, **arguments)


async def _tracked(client: PrismaAgentClient, **arguments: Any) -> Any:
    async with client.executions.track(**arguments) as running:
        running.log("fine")
    return await client.executions.get(running.id)


def _entry(argument: str, prefix: str, **more: Any) -> Call:
    listed = argument == "entries"
    return Call(
        {
            "agent_id": AGENT,
            **ENTRY,
            **ENTRY_CHOICES,
            "id": UUID_FIELD,
            "idempotency_key": key(prefix),
            "on_duplicate": choice("return", "raise"),
        },
        {**ENTRY_FINE, "agent_id": "scout"},
        built(MemoryEntry, argument, "on_duplicate", listed=listed),
        (MemoryEntry,),
        reads_back=_memory,
        **more,
    )


_RESOURCES: Final[Mapping[str, Call]] = {
    "agents.register": Call(
        {
            "name": NAME,
            "version": SHORT,
            "description": DESCRIPTION,
            "capabilities": NAMES,
            "data_sources": NAMES,
            "id": NAME,
            "metadata": JSON,
            "category": choice(
                *(f(word) for word in ("SUPPORT", "STRATEGIC", "OPERATIONAL") for f in (str, str.lower))
            ),
        },
        {"category": "SUPPORT", "name": "fine"},
        built(AgentConfig, "config"),
        (AgentConfig,),
    ),
    "agents.get": Call({"agent_id": AGENT}, names_at_most=None),
    "agents.find": Call({"name": ROW}, names_at_most=None),
    "agents.list": Call({"category": choice("SUPPORT", "support"), "status": choice("active", "inactive")}),
    "agents.heartbeat": Call({"agent_id": AGENT}),
    "agents.deactivate": Call({"agent_id": AGENT}),
    "agents.delete": Call({"agent_id": AGENT}),
    "memories.store": _entry("entry", "", at_most=1_500),
    "memories.store_many": _entry("entries", "many"),
    "memories.get": Call({"memory_id": ID}),
    "memories.history": Call({"memory_id": ID}),
    "memories.delete": Call({"memory_id": ID}),
    "memories.update": Call(
        {"memory_id": ID, **{name: ENTRY[name] for name in ("content", "metadata", "memory_type")}, **ENTRY_CHOICES},
        {"memory_id": None},
        spends=("memory_ids", "memory_id"),
        at_most=1_500,  # four round trips each
    ),
    "memories.supersede": Call(
        {
            "memory_id": ID,
            "agent_id": AGENT,
            **ENTRY,
            **ENTRY_CHOICES,
            "id": UUID_FIELD,
            "idempotency_key": key("instead"),
        },
        {**ENTRY_FINE, "memory_id": None, "agent_id": "scout"},
        built(MemoryEntry, "entry", "memory_id"),
        (MemoryEntry,),
        spends=("memory_ids", "memory_id"),
        reads_back=_memory,
        at_most=1_500,  # four round trips each
    ),
    "memories.list": Call(SCOPE, {"agent_id": "reader"}, at_most=3_000),
    "memories.count": Call(SCOPE, {"agent_id": "reader"}),
    "memories.search": Call(
        {**SCOPE, "query": QUERY, "embedding_model": NAME, "order": choice("newest", "most_important")},
        {"agent_id": "reader", "embedding": VECTOR, "weights": None},
        at_most=1_500,  # each has a statement of its own, for the planner has to know the model
        names_at_most=500,
    ),
    "memories.forget": Call(SCOPE, {"agent_id": "nobody"}, at_most=3_000),
    "memories.sweep": Call({"agent_id": AGENT}),
    "memories.reembed": Call({"agent_id": AGENT}, run=_reembed, at_most=1_000),
    "memories.export_lines": Call(
        {"agent_id": AGENT, "sealed": choice("plain", "keep", "omit")}, run=_exported, at_most=1_000
    ),
    "memories.import_lines": Call(
        {"lines": IMPORTED, "agent_id": AGENT}, run=_imported, at_most=1_000, names_at_most=300
    ),
    "tools.search": Call({"query": WORDS}),
    "tools.register": Call(
        {**TOOL, "owner_agent_id": AGENT}, {"name": "fine", "owner_agent_id": "scout"}, reads_back=None
    ),
    "tools.register_all": Call(
        {**TOOL, "owner_agent_id": AGENT},
        {"name": "fine", "owner_agent_id": "scout"},
        built(ToolDefinition, "definitions", "owner_agent_id", listed=True),
        (ToolDefinition,),
        at_most=1_000,  # what an agent no longer offers is taken from it
    ),
    "tools.deprecate": Call({"name": ROW}),
    "tools.get": Call({"name": ROW}, names_at_most=None),
    "tools.versions": Call({"name": ROW}),
    "tools.list": Call({"owner_agent_id": AGENT}),
    "tools.schemas": Call(
        {
            "style": choice("openai", "anthropic", "mcp"),
            "names": replace(ROW, made=lambda text: [text]),
            "owner_agent_id": AGENT,
        }
    ),
    "tools.record_call": Call(
        {
            "name": ROW,
            "agent_id": AGENT,
            "error": ERROR,
            "execution_id": ID,
            "arguments": KEPT_JSON,
            "idempotency_key": key(""),
        },
        {"name": "look_up", "agent_id": "scout", "success": False, "duration_ms": 1},
        at_most=2_000,  # all of them count on one row
    ),
    "tools.note_call": Call(
        {"name": NAME, "agent_id": NAME, "error": ERROR, "arguments": KEPT_JSON},
        {"name": "look_up", "agent_id": "scout", "success": False, "duration_ms": 1},
    ),
    "tools.stats": Call({"name": ROW, "agent_id": AGENT}, {"name": "look_up"}),
    "tools.overview": Call({"agent_id": AGENT}, names_at_most=500),
    "tools.rank": Call({"names": replace(ROW, made=lambda text: [text])}, names_at_most=500),
    "executions.start": Call({**START, "idempotency_key": key("")}, {"agent_id": "scout", "task": 1}),
    "executions.finish": Call(
        {"execution_id": ID, "result": KEPT_JSON, **END},
        {"execution_id": None, **USAGE},
        spends=("execution_ids", "execution_id"),
    ),
    "executions.fail": Call(
        {"execution_id": ID, "error": ERROR, **END},
        {"execution_id": None, "error": "fine", **USAGE},
        spends=("failing_ids", "execution_id"),
        at_most=3_000,
    ),
    "executions.log": Call(
        {
            "execution_id": ID,
            "message": Text(1, 100_000),
            "level": choice("debug", "info", "warning", "error"),
            "data": KEPT_JSON,
        },
        {"execution_id": None, "message": "fine"},
        spends=("execution_ids", "execution_id"),
        at_most=3_000,
    ),
    "executions.track": Call(
        {**START, "idempotency_key": key("track")}, {"agent_id": "scout", "task": 1}, run=_tracked, at_most=1_000
    ),
    "executions.get": Call({"execution_id": ID}),
    "executions.tree": Call({"execution_id": ID}),
    "executions.list": Call(
        {
            "agent_id": AGENT,
            "parent_id": ID,
            "status": choice("running", "completed", "failed", "cancelled", "abandoned"),
            "kind": SHORT,
            "model": NAME,
            "error_type": NAME,
        },
        {"agent_id": "reader"},
    ),
    "executions.stats": Call({"agent_id": AGENT, "kind": SHORT}, {"agent_id": "reader"}, at_most=3_000),
    "metrics.record": Call(
        {**POINT, "idempotency_key": key("")},
        {"agent_id": "scout", "name": "fine", "value": 1.0},
    ),
    "metrics.record_many": Call(
        {**POINT, "idempotency_key": key("many")},
        {"agent_id": "scout", "name": "fine", "value": 1.0},
        built(MetricPoint, "points", listed=True),
        (MetricPoint,),
    ),
    "metrics.summary": Call({"agent_id": AGENT, "labels": JSON}, {"agent_id": "reader"}),
    "metrics.series": Call(
        {
            "agent_id": AGENT,
            "name": NAME,
            "bucket": choice(*BUCKETS),
            "timezone": Text(0, 2**31, takes=_is_time_zone),
            "labels": JSON,
        },
        {"agent_id": "reader", "name": "pages", "hours": 2},
    ),
    "patterns.record": Call(
        {
            "agent_id": AGENT,
            "pattern_type": SHORT,
            "content": JSON,
            "name": Text(0),
            "scope": choice("agent", "organization"),
            "idempotency_key": key(""),
        },
        {"agent_id": "scout", "pattern_type": "prompt", "content": 1},
    ),
    "patterns.outcome": Call(
        {"pattern_id": ID, "execution_id": ID, "idempotency_key": key("")},
        {"pattern_id": None, "success": True},
        spends=("pattern_ids", "pattern_id"),
        at_most=1_500,
    ),
    "patterns.get": Call({"pattern_id": ID}),
    "patterns.history": Call({"pattern_id": ID}),
    "patterns.list": Call({"agent_id": AGENT, "pattern_type": SHORT}, {"agent_id": "reader"}, at_most=3_000),
    "patterns.choose": Call(
        {"agent_id": AGENT, "pattern_type": replace(SHORT, names_a_row=True)},
        {"agent_id": "reader", "pattern_type": "prompt"},
    ),
    "patterns.promote": Call(
        {"pattern_id": ID, "reason": REASON},
        {"pattern_id": None, "min_trials": 0, "min_confidence": 0},
        spends=("pattern_ids", "pattern_id"),
        at_most=1_500,
    ),
    "patterns.quarantine": Call(
        {"pattern_id": ID, "reason": replace(REASON, at_least=1)},
        {"pattern_id": None, "reason": "fine"},
        spends=("pattern_ids", "pattern_id"),
        at_most=1_500,
    ),
    "patterns.retire": Call(
        {"pattern_id": ID, "reason": REASON}, {"pattern_id": None}, spends=("pattern_ids", "pattern_id"), at_most=1_500
    ),
    "patterns.revert": Call(
        {"pattern_id": ID, "reason": REASON}, {"pattern_id": None}, spends=("pattern_ids", "pattern_id"), at_most=1_500
    ),
    "patterns.review": Call(
        {"agent_id": AGENT, "pattern_type": SHORT, "reason": replace(REASON, at_least=1)},
        {"agent_id": "nobody"},
        at_most=3_000,
    ),
    "patterns.recognize": Call({"agent_id": AGENT}, {"record": False}, at_most=1_000),
    "access_log.list": Call({"agent_id": AGENT, "user": ROW, "operation": ROW}),
    "access_log.verify": Call({"expected_head": Text(0, 2**31, takes=lambda text: False)}, at_most=1_000),
    "prices.set": Call({"model": NAME}, {"input": 1, "output": 2, "valid_from": NOW}),
    "prices.get": Call({"model": ROW}, names_at_most=None),
    "prices.list": Call({"model": ROW}),
    "prices.delete": Call({"model": ROW}, {"valid_from": NOW}),
}
SUBJECT: Final = Text(at_most=1000, names_a_row=True)
SEALED: Final = choice("plain", "keep", "omit")


def _flat(name: str, *arguments: str, **more: Any) -> Call:
    """Return the call of a flat name: one line onto a method, with some of its arguments."""
    call = replace(_RESOURCES[name], at_most=200, names_at_most=200, **more)
    if arguments:
        texts = {argument: text for argument, text in call.texts.items() if argument in arguments}
        fine = {argument: value for argument, value in call.fine.items() if argument in arguments}
        call = replace(call, texts=texts, fine=fine)
    return call


async def _whole(client: PrismaAgentClient, **arguments: Any) -> Any:
    return [line async for line in client.export_lines(**arguments)]


async def _restored(client: PrismaAgentClient, lines: str | None = None, **arguments: Any) -> Any:
    exported = await _whole(client, agent_id="idle") if lines is None else lines.split("\n")
    return await client.import_lines(exported, **arguments)


CALLS: Final[Mapping[str, Call]] = {
    **_RESOURCES,
    "client.register_agent": _flat("agents.register"),
    "client.store_memory": _flat("memories.store"),
    "client.store_memories": _flat("memories.store_many"),
    "client.retrieve_memories": _flat("memories.search"),
    "client.register_tool": _flat("tools.register"),
    "client.get_tools": _flat("tools.list"),
    "client.start_execution": _flat("executions.start", "agent_id", "task", "parent_id", "model"),
    "client.complete_execution": _flat("executions.finish", "execution_id", "result", "usage"),
    "client.fail_execution": _flat("executions.fail", "execution_id", "error", "usage"),
    "client.record_metric": _flat("metrics.record", "agent_id", "name", "unit", "value"),
    "client.get_agent_metrics": _flat("metrics.summary", "agent_id"),
    "client.store_learning_pattern": _flat("patterns.record", "agent_id", "pattern_type", "content", "name"),
    "client.get_learning_patterns": _flat("patterns.list", "agent_id"),
    "client.export_lines": Call({"agent_id": AGENT, "sealed": SEALED}, run=_whole, at_most=300, names_at_most=300),
    "client.import_lines": Call(
        {"lines": IMPORTED, "agent_id": AGENT}, {"agent_id": None}, run=_restored, at_most=300, names_at_most=100
    ),
    "client.erase": Call({"agent_id": AGENT}, names_at_most=40),  # looks into every column for what is left
    "client.erase subject": Call(
        {"subject": SUBJECT, "key": ROW}, {"subject": "nobody"}, at_most=200, names_at_most=40
    ),
    "client.residue": Call({"agent_id": AGENT}, names_at_most=40),
    "client.residue subject": Call({"subject": SUBJECT}, names_at_most=40),
    "client.verify_access_log": Call({"expected_head": Text(0, 2**31, takes=lambda text: False)}, at_most=1_000),
}
"""Every method that takes text; after a blank, what else of it is told apart."""

INTERNAL: Final = {
    "memories.count_recalls",
    "memories.store_rows",
    "executions.beat",
    "metrics.record_rows",
    "client.sees_rows_of",
    "client.for_organization",
}
"""What gathers calls these with what it has checked before; the last takes an id that has tests of its own."""

_NO_TEXT: Final = frozenset(
    f"{name}{optional}"
    for name in (
        "bool",
        "int",
        "float",
        "datetime",
        "Decimal",
        "Random",
        "TokenUsage",
        "Progress",
        "Tally",
        "Sequence[float]",
    )
    for optional in ("", " | None")
) | {"Callable[[int], object] | None", "SearchWeights | Mapping[str, Any] | None", "Amount | None"}


def text_arguments(function: Callable[..., Any]) -> set[str]:
    """Return the arguments of *function* that may hold text, by its annotations: those that cannot are few."""
    signature = inspect.signature(function)
    return {
        name
        for name, parameter in signature.parameters.items()
        if name != "self" and parameter.annotation not in _NO_TEXT
    }


def text_fields(model: type[BaseModel]) -> set[str]:
    """Return the fields of *model* that may hold text."""
    return {
        name for name, info in model.model_fields.items() if _holds_text(info.annotation) and info.exclude is not True
    }


def _holds_text(annotation: Any) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, str | dict | BaseModel) and annotation is not BaseModel
    return any(_holds_text(part) or isinstance(part, str) for part in getattr(annotation, "__args__", ()))
