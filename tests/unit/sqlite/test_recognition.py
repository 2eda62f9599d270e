"""Which kind a table is, and what its columns mean."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from agentdb.sqlite.kinds import KINDS, plain_name
from agentdb.sqlite.recognition import TablePlan, recognize
from agentdb.sqlite.tables import Table, read_tables


def made(table: str) -> Table:
    """A table, given as SQL without CREATE TABLE."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE {table}")
        (found,) = read_tables(connection)
    return found


def plan(table: str) -> TablePlan:
    """What becomes of a table."""
    return recognize(made(table))


@pytest.mark.parametrize(
    ("table", "kind", "sureness", "fields"),
    [
        ("memories (id INTEGER PRIMARY KEY, content TEXT, created_at)", "memories", "certain", "content occurred_at"),
        ("agent_memory (text, score REAL, ts)", "memories", "certain", "content importance occurred_at"),
        ("knowledge (key TEXT PRIMARY KEY, value TEXT)", "memories", "certain", "metadata.key content"),
        ("conversation_history (role, message, timestamp)", "memories", "certain", "metadata.role content occurred_at"),
        ("chats (question, answer, at)", "memories", "certain", "content content occurred_at"),
        ("store (id TEXT PRIMARY KEY, text, importance, ts)", "memories", "likely", "content importance occurred_at"),
        ("Memory_Items (memoryContent, createdAt)", "memories", "certain", "content occurred_at"),
        ("tools (name, description, schema)", "tools", "certain", "name description parameters"),
        ("tool_usage (tool_name, usage_count, success_count)", "tools", "certain", "name calls successes"),
        ("tool_usage (tool_name, success, timestamp)", "calls", "certain", "tool success at"),
        ("function_calls (function, args, at TEXT, created_at)", "calls", "certain", "tool arguments data.at at"),
        ("task_history (task, result, success, timestamp)", "executions", "certain", "task result status started_at"),
        ("executions (input, output, state, start_time)", "executions", "certain", "task result status started_at"),
        ("metrics (metric_name, metric_value, unit)", "metrics", "certain", "name value unit"),
        ("performance_metrics (timestamp, speed REAL, load REAL)", "metrics", "certain", "recorded_at value value"),
        ("readings (name, value, unit, time)", "metrics", "likely", "name value unit recorded_at"),
        ("learning_patterns (pattern_type, pattern_data, confidence)", "patterns", "certain",
         "pattern_type content confidence"),
        ("lessons (id INTEGER PRIMARY KEY, lesson, success_rate)", "patterns", "certain", "content confidence"),
        ("interactions (input, output, timestamp)", "memories", "certain", "content content occurred_at"),
        ("memories (user, agent, message)", "memories", "certain", "metadata.user metadata.agent content"),
        ("transactions (id INTEGER PRIMARY KEY, description, status)", "ignore", "no", ""),
        ("insights (content, importance)", "memories", "certain", "content importance"),
        ("mem (id INTEGER PRIMARY KEY, txt, ts)", "memories", "certain", "content occurred_at"),
        ("agent_messages (id INTEGER PRIMARY KEY, session_id, message_data, created_at)", "memories", "certain",
         "metadata.session_id content occurred_at"),
        ("long_term_memory (uid TEXT PRIMARY KEY, body, vec BLOB, hits)", "memories", "certain",
         "metadata.uid content embedding access_count"),
        ("token_usage (model, prompt_tokens INTEGER, cost REAL, created_at)", "metrics", "certain",
         "labels.model value value recorded_at"),
        ("tools (id INTEGER PRIMARY KEY, name, parameters_json)", "tools", "certain", "name parameters"),
        ("prompt_optimizations (original_prompt, optimized_prompt)", "patterns", "certain",
         "content.original_prompt content"),
        ("memory_config (key, value)", "ignore", "no", ""),
        ("chat_settings (id INTEGER PRIMARY KEY, key, value)", "ignore", "no", ""),
        ("checkpoints (thread_id, checkpoint_id, type, checkpoint BLOB, metadata BLOB)", "ignore", "no", ""),
        ("writes (thread_id, task_id, idx, channel, type, value BLOB)", "ignore", "no", ""),
        ("users (id INTEGER PRIMARY KEY, name, email, status)", "ignore", "no", ""),
        ("products (name, description, price, category)", "ignore", "no", ""),
        ("config (key, value)", "ignore", "no", ""),
        ("sessions (id, started_at, status)", "ignore", "no", ""),
        ("memories (id INTEGER PRIMARY KEY, blob)", "ignore", "no", ""),
    ],
)  # fmt: skip
def test_usual_shapes(table: str, kind: str, sureness: str, fields: str) -> None:
    """The tables that agents are known to keep, and those that are none of theirs."""
    found = plan(table)
    assert (found.kind, found.sureness) == (kind, sureness)
    assert " ".join(target for target in found.targets.values() if target != "key") == fields


def test_every_usual_name() -> None:
    """Where nothing else could be meant, each of the names that are known is the field that it is known for."""
    for kind, known in KINDS.items():
        for name, field in known.fields.items():
            for column in field.columns:
                meant = [each for each, other in known.fields.items() if column in other.columns]
                assert recognize(made(f'x ("{column}")'), kind=kind).targets[column] in meant, (kind, name, column)


def test_why_not() -> None:
    """What is not recognised says what is missing."""
    assert "no column is known as content" in plan("memories (id INTEGER PRIMARY KEY, blob)").why
    assert "neither its name nor its columns" in plan("users (name)").why


def test_nothing_is_lost() -> None:
    """A column that nobody knows goes where a kind keeps what it has no field for; of tools it is left out."""
    assert plan("memories (content, mood)").targets["mood"] == "metadata.mood"
    assert plan("tasks (task, mood)").targets["mood"] == "settings.mood"
    assert plan("tool_calls (tool, success, mood)").targets["mood"] == "data.mood"
    assert plan("metrics (name, value, mood)").targets["mood"] == "labels.mood"
    assert plan("lessons (lesson, mood)").targets["mood"] == "content.mood"
    assert plan("tools (name, mood)").targets["mood"] == "ignore"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("createdAt", "created_at"),
        ("Created At", "created_at"),
        ("HTTPCode", "httpcode"),
        ("_x__y_", "x_y"),
        ("Größe", "gr_e"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    """Names are compared however they are written."""
    assert plain_name(name) == plain
