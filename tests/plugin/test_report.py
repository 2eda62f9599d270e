"""The section of a failed test's report: what is in it, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import AgentConfig, Execution, ExecutionTree, MemoryEntry, Step, TokenUsage
from agentdb.models import from_row
from agentdb.postgres.url import parse_url
from agentdb.testing.organization import new_organization
from agentdb.testing.report import LastMetric, recorded, report_lines
from agentdb.testing.stage import Stage, open_stage
from tests.conftest import Database

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def _execution(**values: Any) -> Execution:
    row = dict.fromkeys(("parent_id", "kind", "task", "result", "error", "error_type", "traceback", "finished_at"))
    row |= {"id": "1", "agent_id": "a", "settings": {}, "status": "running", "started_at": NOON, "usage": TokenUsage()}
    return from_row(Execution, {**row, "model": None, "cost": None, **values})


def _step(**values: Any) -> Step:
    row = dict.fromkeys(("execution_id", "success", "duration_ms", "message", "error_type"))
    return from_row(
        Step, {**row, "id": "1", "agent_id": "a", "kind": "tool", "name": "x", "data": {}, "at": NOON, **values}
    )


def _tree(execution: Execution, *steps: Step, children: tuple[ExecutionTree, ...] = ()) -> ExecutionTree:
    return from_row(ExecutionTree, {"execution": execution, "steps": list(steps), "children": list(children)})


def _recorded(url: str, happens: Callable[[Stage], Coroutine[Any, Any, object]]) -> str:
    """Return what the report of a test says in which that happens."""
    with asyncio.Runner() as runner:
        opened = open_stage(url, new_organization(), None, is_shared=False)
        stage = runner.run(opened.__aenter__())
        runner.run(happens(stage))
        text = recorded(stage)
        runner.run(opened.__aexit__(None, None, None))
    assert recorded(stage) == ""  # its loop is closed: nothing can be asked any more
    return text


def test_a_tree_is_indented_and_in_the_order_of_time() -> None:
    """What an execution called stands among its steps, where it began."""
    later = NOON.replace(minute=1)
    child = _tree(_execution(status="failed", error_type="KeyError", error="'x'", started_at=later, agent_id="b"))
    tree = _tree(
        _execution(kind="plan", task={"city": "Rome"}),
        _step(at=NOON),
        _step(at=later.replace(hour=13)),
        children=(child,),
    )

    lines = report_lines(
        [tree], [LastMetric("a", "cost", 0.25, "USD")], {"a": "planner", "b": "scout"}, shows_texts=True
    )

    assert lines == [
        'running planner, plan: {"city": "Rome"}',
        "  tool x",
        "  failed scout -> KeyError: 'x'",
        "  tool x",
        "metric planner cost = 0.25 USD",
    ]


@given(st.text(max_size=500), st.integers(0, 200))
def test_a_report_is_bounded_and_obeys_no_text(text: str, steps: int) -> None:
    """However long texts are and whatever they hold, it is some lines of what can be printed."""
    tree = _tree(
        _execution(task=text, error=text, error_type="E", kind=text or None),
        *(_step(message=text, kind="log"),) * steps,
    )

    lines = report_lines([tree], [], {"a": text}, shows_texts=True)

    assert len(lines) <= 61
    assert all(line.isprintable() for line in lines)


@given(st.sampled_from(["log", "tool", "memory", "attempt"]))
def test_texts_are_left_out(kind: str) -> None:
    """Where they are not to be shown, neither tasks, errors nor messages are; kinds of errors are."""
    tree = _tree(
        _execution(task="secret", error="secret", error_type="E"), _step(kind=kind, message="secret", error_type="F")
    )

    assert "secret" not in "".join(report_lines([tree], [], {}, shows_texts=False))
    assert "secret" in "".join(report_lines([tree], [], {}, shows_texts=True))


def test_what_is_encrypted_is_not_shown(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where executions are encrypted their texts are not in the report, though the client could read them."""
    monkeypatch.setenv("AGENTDB_ENCRYPTION_KEYS", f"k1:{'A' * 43}=")
    monkeypatch.setenv("AGENTDB_ENCRYPT", "executions")

    async def happens(stage: Stage) -> None:
        agent = await stage.client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        await stage.client.memories.store(MemoryEntry(agent_id=agent.id, content="secret", sensitive=True))
        execution = await stage.client.executions.start(agent.id, "secret")
        await stage.client.executions.fail(execution.id, ValueError("secret"))

    text = _recorded(database.url, happens)

    assert text.startswith("failed scout")
    assert text.endswith("-> ValueError")


def test_what_memories_say_is_not_shown(database: Database) -> None:
    """That there was something to remember is; what it was is not."""

    async def happens(stage: Stage) -> None:
        agent = await stage.client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
        async with stage.client.executions.track(agent.id, "look about"):
            await stage.client.memories.store(MemoryEntry(agent_id=agent.id, content="secret"))

    text = _recorded(database.url, happens)

    assert text.splitlines()[1:] == ["  memory store"]
    assert "secret" not in text


def test_a_database_that_is_gone_is_a_line(database: Database) -> None:
    """The report never fails the test by itself, nor takes long."""

    async def happens(stage: Stage) -> None:
        await _administer(
            database,
            "ALTER ROLE agentdb_app NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE usename = 'agentdb_app' AND datname = current_database()",
        )

    try:
        text = _recorded(database.url, happens)
    finally:
        asyncio.run(_administer(database, "ALTER ROLE agentdb_app LOGIN"))

    assert text.startswith("what was recorded cannot be read: ConnectionFailedError")


async def _administer(database: Database, sql: str) -> None:
    connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
