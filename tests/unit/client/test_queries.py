"""Every block of queries/*.sql, so that nobody has to remember the organization."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentdb.client import queries
from agentdb.client.queries import load_queries, write_out

FILES = sorted(path.stem for path in Path(queries.__file__).parent.glob("*.sql"))
BLOCKS = [(file, name, sql) for file in FILES for name, sql in load_queries(file).items()]
TABLES = (
    r"agents|agent_memories|agent_tools|agent_executions|agent_metrics|learning_patterns"
    r"|agent_metric_rollups|agent_metric_late_hours"
    r"|agent_tool_versions|agent_steps|learning_outcomes|learning_pattern_changes|model_prices|access_log"
)


def test_there_are_blocks() -> None:
    """The tests below look at something."""
    memories = ["memories", "memory_search", "memory_transfer"]
    patterns = ["pattern_life", "patterns", "recognition"]
    metrics = ["metric_reads", "metric_upkeep", "metrics"]
    executions = ["execution_reports", "executions", "prices", "steps"]
    security = ["access_log", "archive", "erasure", "rotation"]
    assert sorted(["agents", *executions, *memories, *metrics, *patterns, *security, "tools"]) == FILES
    assert len(BLOCKS) > 30


@pytest.mark.parametrize(("file", "name", "sql"), BLOCKS, ids=[f"{file}.{name}" for file, name, _ in BLOCKS])
def test_every_table_of_a_block_is_bound_to_the_organization(file: str, name: str, sql: str) -> None:
    """$1 is the organization; each place that reads or changes a table compares or fills organization_id with it."""
    places = re.findall(rf"\b(?:FROM|JOIN|UPDATE|INTO|USING)\s+({TABLES})\b", sql)
    bindings = re.findall(r"organization_id = \$1\b", sql) + re.findall(
        r"INTO \w+ AS \w+ \(organization_id,[^)]*\)\s*(?:VALUES \(|SELECT )\$1,", sql
    )

    assert places, "names no table"
    assert len(bindings) >= len(places)


@pytest.mark.parametrize(("file", "name", "sql"), BLOCKS, ids=[f"{file}.{name}" for file, name, _ in BLOCKS])
def test_a_block_is_complete(file: str, name: str, sql: str) -> None:
    """No fragment left open, no comment sent, no gap among the parameters."""
    numbers = {int(number) for number in re.findall(r"\$(\d+)", sql)}

    assert "{{" not in sql
    assert "--" not in sql
    assert numbers == set(range(1, max(numbers) + 1))


def test_every_block_has_a_line_of_purpose() -> None:
    """Right below its name."""
    for file in FILES:
        text = (Path(queries.__file__).parent / f"{file}.sql").read_text(encoding="utf-8")
        names = re.findall(r"^-- name: (\w+)\n(-- [A-Z].*)?", text, re.MULTILINE)
        assert [name for name, purpose in names if not purpose] == []


def test_every_block_is_used() -> None:
    """A block that nothing sends is dead."""
    code = "".join(path.read_text(encoding="utf-8") for path in Path(queries.__file__).parents[1].rglob("*.py"))
    assert [f"{file}.{name}" for file, name, _ in BLOCKS if f'"{name.removesuffix("_filtered")}"' not in code] == []


def test_what_is_not_asked_for_is_written_out() -> None:
    """The rest is numbered anew; a text is never written, nor is the organization."""
    sql = "SELECT $1, $2, $3::text, $4, $5, $6, $2, $10"

    assert write_out(sql, "x", None, True, 2.5, 10, 0, 0, 0, 16_001) == (
        "SELECT $1, $2, NULL::text, true, $3, 10, $2, $4",
        ["x", 2.5, 16_001],
    )
