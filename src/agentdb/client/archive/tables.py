"""What is moved of which table, in which order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from agentdb.client.catalogue import Column, quoted

__all__ = ["LEFT_BEHIND", "MEMORIES_TABLE", "MOVED", "Moved", "moved_columns", "page_sql", "row_sql"]

MEMORIES_TABLE: Final = "agent_memories"


class Moved(NamedTuple):
    """
    A table whose rows are moved.

    Attributes:
        table: Its name.
        key: Its primary key without the organization, by which its rows are in order.
        of_agent: Which rows t are agent $2's, as SQL.
        needs: Columns that a line has to have beside the key; others may be missing in an older file.
        always: Which rows are moved at all.
        parent: The column and the table to which a row belongs: it comes with that row, or not at all.
        cut: Columns that name rows which an export of one agent may not hold, and what of them remains there.
    """

    table: str
    key: tuple[str, ...]
    of_agent: str
    needs: tuple[str, ...] = ()
    always: str = "true"
    parent: tuple[str, str] | None = None
    cut: Mapping[str, str] = {}


_USED_TOOL: Final = (
    "(n.owner_agent_id = $2 OR EXISTS (SELECT FROM agent_steps AS s "
    "WHERE s.organization_id = $1 AND s.tool_id = n.id AND s.agent_id = $2))"
)
_OWN_PATTERN: Final = (
    "EXISTS (SELECT FROM learning_patterns AS p "
    "WHERE p.organization_id = $1 AND p.id = t.pattern_id AND p.agent_id = $2)"
)

MOVED: Final = (
    Moved("agents", ("id",), "t.id = $2", needs=("name",)),
    # These go their own careful way, see `client/memory/transfer.py`.
    Moved(
        MEMORIES_TABLE,
        ("id",),
        "t.agent_id = $2",
        always="(t.expires_at IS NULL OR t.expires_at > statement_timestamp())",
    ),
    Moved(
        "agent_tools",
        ("id",),
        f"EXISTS (SELECT FROM agent_tools AS n WHERE n.organization_id = $1 AND n.id = t.id AND {_USED_TOOL})",
        needs=("name", "parameters", "sealed", "lookup"),
        cut={"owner_agent_id": "CASE WHEN t.owner_agent_id = $2 THEN t.owner_agent_id END"},
    ),
    Moved(
        "agent_tool_versions",
        ("tool_id", "version"),
        f"EXISTS (SELECT FROM agent_tools AS n WHERE n.organization_id = $1 AND n.id = t.tool_id AND {_USED_TOOL})",
        needs=("parameters", "sealed"),
        parent=("tool_id", "agent_tools"),
    ),
    Moved(
        "agent_executions",
        ("id",),
        "t.agent_id = $2",
        needs=("task", "result", "error", "traceback", "sealed_task", "sealed_result"),
        cut={
            "parent_id": "(SELECT p.id FROM agent_executions AS p "
            "WHERE p.organization_id = $1 AND p.id = t.parent_id AND p.agent_id = $2)"
        },
    ),
    Moved(
        "agent_steps",
        ("id",),
        "t.agent_id = $2 AND (t.execution_id IS NULL OR EXISTS (SELECT FROM agent_executions AS x "
        "WHERE x.organization_id = $1 AND x.id = t.execution_id AND x.agent_id = $2))",
        needs=("execution_id", "tool_id", "message", "data", "sealed"),
        parent=("execution_id", "agent_executions"),
    ),
    # Before the points: a late one of an hour whose points retention deleted is added to that hour.
    Moved("agent_metric_rollups", ("agent_id", "name", "starts_at"), "t.agent_id = $2", always="t.is_pruned"),
    Moved("agent_metrics", ("id",), "t.agent_id = $2"),
    Moved("learning_patterns", ("id",), "t.agent_id = $2"),
    Moved(
        "learning_outcomes", ("id",), _OWN_PATTERN, needs=("pattern_id",), parent=("pattern_id", "learning_patterns")
    ),
    Moved(
        "learning_pattern_changes",
        ("id",),
        _OWN_PATTERN,
        needs=("pattern_id",),
        parent=("pattern_id", "learning_patterns"),
    ),
    Moved("model_prices", ("model", "valid_from"), "$2::text IS NULL"),  # nobody's
)
"""Each after those that it refers to. Hours of metrics whose points are there are rolled up where they arrive."""

LEFT_BEHIND: Final = frozenset({"agent_metric_late_hours", "access_log"})
"""What is not moved: marks that the database makes anew, and the log of what was done elsewhere."""


def moved_columns(columns: Sequence[Column], table: str) -> dict[str, str]:
    """Return the columns of *table* that are moved, with their types: not the organization, nor what is generated."""
    return {
        column.name: column.type
        for column in columns
        if column.table == table and column.name != "organization_id" and not column.is_generated
    }


def page_sql(moved: Moved, columns: Mapping[str, str], *, of_agent: bool, is_first: bool) -> str:
    """
    Return the statement that reads a page of rows, each as a JSON object of texts as PostgreSQL writes them.

    Its parameters: the organization, the agent if *of_agent*, the most rows, about the most bytes unless it is one row,
    and but for the first page the key of the last row that was read.
    """
    cut = moved.cut if of_agent else {}
    values = ", ".join(f"'{name}', ({cut.get(name, f't.{quoted(name)}')})::text" for name in columns)
    key = ", ".join(f"t.{quoted(name)}" for name in moved.key)
    rows, size = ("$3", "$4") if of_agent else ("$2", "$3")
    first = 5 if of_agent else 4
    after = ", ".join(f"${number}::text::{columns[name]}" for number, name in enumerate(moved.key, first))
    conditions = [
        "t.organization_id = $1",
        moved.always,
        *([moved.of_agent] if of_agent else []),
        *([] if is_first else [f"({key}) > ({after})"]),
    ]
    return (
        "SELECT p.row FROM ("
        "SELECT r.*, sum(octet_length(r.row)) OVER (ORDER BY r.number) - octet_length(r.row) AS before "
        f"FROM (SELECT row_number() OVER (ORDER BY {key}) AS number, json_build_object({values})::text AS row "
        f"FROM {moved.table} AS t WHERE {' AND '.join(conditions)} ORDER BY {key} LIMIT {rows}) AS r) AS p "
        f"WHERE p.before < {size} ORDER BY p.number"
    )


def row_sql(moved: Moved, columns: Mapping[str, str]) -> str:
    """Return the statement that stores those rows of $2, an array of what `page_sql` yields, that collide with none."""
    names = ", ".join(map(quoted, columns))
    values = ", ".join(f"e.{quoted(name)}::{kind}" for name, kind in columns.items())
    texts = ", ".join(f"{quoted(name)} text" for name in columns)
    return (
        f"INSERT INTO {moved.table} AS t (organization_id, {names}) "
        f"SELECT $1, {values} FROM jsonb_to_recordset($2::jsonb) AS e ({texts}) "
        f"ON CONFLICT DO NOTHING RETURNING t.{quoted(moved.key[0])}::text AS key"
    )
