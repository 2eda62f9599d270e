"""What a table of an old agent can be of, which fields that has, and what these are usually called. Pure data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["IGNORE", "KEY", "KINDS", "Field", "Kind", "plain_name"]

IGNORE: Final = "ignore"
"""What a mapping says of a table or a column that is to be left out."""

KEY: Final = "key"
"""What it says of a column that does no more than tell rows apart."""


class Field(NamedTuple):
    """
    Something that a row says.

    Attributes:
        columns: What a column of it is usually called, the surest name first.
        is_required: Whether a table without it is none of its kind.
        tells: Whether it tells a table of this kind from others, whatever the table is called.
        names: Whether a row stays the same row as long as this stays the same.
    """

    columns: tuple[str, ...]
    is_required: bool = False
    tells: bool = False
    names: bool = False


class Kind(NamedTuple):
    """
    A kind of table.

    Attributes:
        tables: What the name of such a table looks like.
        fields: By name.
        rest: The field, a JSON object, where columns go that are none of the others; empty: there is no such place.
    """

    tables: re.Pattern[str]
    fields: Mapping[str, Field]
    rest: str


def _field(names: str, *, is_required: bool = False, tells: bool = False, names_row: bool = False) -> Field:
    return Field(tuple(names.split()), is_required, tells, names_row)


_CREATED: Final = (
    "created_at timestamp ts created time datetime date created_on creation_time creation_date inserted_at added_at "
    "stored_at logged_at recorded_at occurred_at event_time create_time learned_at noted_at saved_at sent_at at "
    "datetime_utc updated_at last_updated"
)
_SUCCESS: Final = "success succeeded is_success successful was_successful status outcome state"
_DURATION_MS: Final = "duration_ms execution_time_ms elapsed_ms latency_ms response_time_ms time_ms runtime_ms took_ms"
_DURATION_SECONDS: Final = (
    "duration_seconds duration execution_time elapsed elapsed_time latency response_time runtime duration_sec "
    "duration_s seconds"
)

# The surest come first: of two kinds that fit a table equally well the first is taken.
KINDS: Final[Mapping[str, Kind]] = {
    "calls": Kind(
        re.compile(r"(tool|function|skill)s?_?(us(e|age)|calls?|execution|runs?|histor|logs?|invocation|event|result)"),
        {
            "tool": _field(
                "tool_name tool function_name function name tool_id function_id",
                is_required=True,
                tells=True,
                names_row=True,
            ),
            "success": _field(_SUCCESS + " result_status", tells=True),
            "duration_ms": _field(_DURATION_MS),
            "duration_seconds": _field(_DURATION_SECONDS),
            "error": _field("error error_message error_msg exception failure_reason"),
            "arguments": _field(
                "arguments args parameters params input input_data kwargs tool_input inputs tool_args input_params "
                "arguments_json args_json parameters_json input_json",
                tells=True,
            ),
            "at": _field("timestamp called_at used_at executed_at started_at " + _CREATED, names_row=True),
            "data": _field("data metadata meta context extra"),
        },
        "data",
    ),
    "patterns": Kind(
        re.compile(r"pattern|learn|lesson|insight|heuristic|strateg|optimi[sz]ation|best_practice"),
        {
            "content": _field(
                "pattern_data pattern content description data value insight lesson rule learning learned text "
                "observation pattern_content template pattern_text pattern_json solution recommendation behavior "
                "optimized_prompt improvement content_json",
                is_required=True,
                names_row=True,
            ),
            "pattern_type": _field("pattern_type type category kind learning_type", tells=True),
            "name": _field("name pattern_name pattern_key key title", names_row=True),
            "confidence": _field("confidence confidence_score success_rate score certainty", tells=True),
            "created_at": _field("discovered_at learned_at first_seen " + _CREATED),
        },
        "content",
    ),
    "metrics": Kind(
        re.compile(
            r"metric|performance|stat(s|istics?)?(_|$)|measure|telemetry|kpi|benchmark|(token|api|llm|resource)_usage"
        ),
        {
            "value": _field("value metric_value measurement val reading", is_required=True, names_row=True),
            "name": _field("name metric_name metric metric_type key measure type", tells=True, names_row=True),
            "unit": _field("unit units metric_unit uom", tells=True),
            "recorded_at": _field("recorded_at measured_at " + _CREATED, names_row=True),
            "labels": _field("labels tags dimensions metadata meta context attributes"),
        },
        "labels",
    ),
    "executions": Kind(
        re.compile(r"task|execution|runs?(_|$)|jobs?(_|$)|workflow|request|(^|_)actions?(_|$)"),
        {
            "task": _field(
                "task task_description task_data task_input description input input_data prompt query request goal "
                "objective command task_name action name title",
                is_required=True,
                names_row=True,
            ),
            "result": _field("result results output output_data response answer task_result", tells=True),
            "status": _field(
                "status state task_status execution_status success succeeded is_success successful outcome", tells=True
            ),
            "error": _field("error error_message error_msg exception failure_reason"),
            "traceback": _field("traceback stack_trace stacktrace"),
            "started_at": _field("started_at start_time started begin_time executed_at " + _CREATED, names_row=True),
            "finished_at": _field(
                "finished_at completed_at end_time ended_at finished completed_on completion_time", tells=True
            ),
            "duration_ms": _field(_DURATION_MS),
            "duration_seconds": _field(_DURATION_SECONDS),
            "kind": _field("kind task_type type category"),
            "model": _field("model model_name llm llm_model"),
            "input_tokens": _field("input_tokens prompt_tokens tokens_in"),
            "output_tokens": _field("output_tokens completion_tokens tokens_out"),
            "cost": _field("cost cost_usd total_cost price"),
            "settings": _field("settings metadata meta context parameters params extra config"),
        },
        "settings",
    ),
    "tools": Kind(
        re.compile(r"tool|function|skill|capabilit"),
        {
            "name": _field("name tool_name tool function_name skill_name", is_required=True, names_row=True),
            "description": _field("description desc summary docstring help doc", tells=True),
            "parameters": _field(
                "parameters params schema args_schema input_schema parameter_schema json_schema parameters_json "
                "params_json schema_json args arguments inputs",
                tells=True,
            ),
            "calls": _field("usage_count call_count calls use_count times_used invocations total_calls count"),
            "successes": _field("success_count successes successful_calls"),
            "success_rate": _field("success_rate"),
            "duration_ms": _field("avg_duration_ms average_duration_ms avg_time_ms average_time_ms mean_duration_ms"),
            "duration_seconds": _field(
                "avg_duration average_duration avg_execution_time average_execution_time avg_time avg_response_time"
            ),
            "last_used_at": _field("last_used_at last_used last_called_at last_called"),
            "created_at": _field(_CREATED),
        },
        "",
    ),
    "memories": Kind(
        re.compile(
            r"memor|(^|_)mems?(_|$)|knowledge|facts?(_|$)|notes?(_|$)|conversation|message|chat|histor|dialog|"
            r"(^|_)turns?(_|$)|interaction|episod|"
            r"observation|context|thought|experience|event|document|remember|reflection|insight|journal|embedding"
        ),
        {
            "content": _field(
                "content memory memory_text text body message value memory_content fact note observation thought "
                "document data message_text message_content message_data page_content content_text text_content "
                "raw_text txt utterance knowledge insight passage chunk chunk_text memory_data memory_value "
                "summary description",
                is_required=True,
                names_row=True,
            ),
            "memory_type": _field("memory_type type category kind memory_kind", tells=True),
            "importance": _field("importance importance_score priority salience relevance weight score", tells=True),
            "occurred_at": _field("occurred_at event_time " + _CREATED, names_row=True),
            "updated_at": _field("updated_at last_updated modified_at last_modified"),
            "expires_at": _field("expires_at expiry expiration expires expiration_date"),
            "access_count": _field(
                "access_count accesses times_accessed recall_count retrieval_count hit_count hits", tells=True
            ),
            "last_accessed_at": _field(
                "last_accessed_at last_accessed last_access accessed_at last_used_at last_used", tells=True
            ),
            "embedding": _field(
                "embedding vector embeddings embedding_vector content_embedding text_embedding emb vec embedding_blob "
                "embedding_json embedding_bytes embedding_data vector_blob",
                tells=True,
            ),
            "embedding_model": _field("embedding_model vector_model"),
            "pinned": _field("pinned is_pinned permanent"),
            "sensitive": _field("sensitive is_sensitive confidential"),
            "metadata": _field("metadata meta context extra attributes properties tags", tells=True),
        },
        "metadata",
    ),
}

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER: Final = re.compile(r"[^0-9a-z]+")


def plain_name(name: str) -> str:
    """Return a name as the tables above write it: "createdAt" and "Created At" are created_at."""
    return _OTHER.sub("_", _CAMEL.sub("_", name).lower()).strip("_")
