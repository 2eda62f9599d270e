"""Rows into the database, and back for comparison."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.archive.arrivals import ArchiveArrivals
from agentdb.client.archive.rows import Line
from agentdb.client.archive.sealing import Sealing
from agentdb.client.archive.tables import MOVED, moved_columns
from agentdb.client.catalogue import columns_of, quoted
from agentdb.client.encryption.seals import seals_of
from agentdb.client.memory.arrivals import Arrivals
from agentdb.client.memory.sealing import open_memory
from agentdb.client.resource import Resource, blames_a_row
from agentdb.errors import AgentDBError, DatabaseError, InvalidInputError
from agentdb.ids import keyed_uuid
from agentdb.sqlite.made import Made
from agentdb.validation import parse_json

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.encryption.seals import Seals
    from agentdb.postgres.driver import Record

__all__ = ["Outcome", "Writer"]

_MEMORIES: Final = "agent_memories"
_STATEMENT_ROWS: Final = 250
_PLACE: Final = re.compile(r"^line \d+\.?(row\.?)?")
_MERGED: Final = frozenset({_MEMORIES, "agent_tools"})
"""Where a row is one with another that was there: an equal memory, the tool of that name."""

# What the life of a row changes here, so that it tells nothing of whether the file has changed.
_LIVING: Final[Mapping[str, frozenset[str]]] = {
    _MEMORIES: frozenset({"embedding", "embedding_model"}),
    "agent_tools": frozenset({"description", "parameters", "call_count", "success_count"}),
    "learning_patterns": frozenset({"prior"}),
}
_MEMORY_SQL: Final = """
SELECT m.id::text AS id, m.content, m.metadata, m.sealed, m.importance, m.memory_type, m.sensitive, m.pinned,
    vector_send(m.embedding) AS embedding, m.embedding_model, m.occurred_at, m.expires_at, m.created_at
FROM agent_memories AS m WHERE m.organization_id = $1 AND m.id = ANY ($2::uuid[])
"""
_PATTERNS_SQL: Final = """
SELECT p.pattern_type, p.name, p.content FROM learning_patterns AS p
WHERE p.organization_id = $1 AND p.agent_id = $2 AND p.name = ANY ($3::text[])
"""


@dataclass
class Outcome:
    """
    What came of some rows.

    Attributes:
        refused: Those that the database did not take, and why.
        missing: Those that were written and are not there as they were written.
    """

    imported: int = 0
    known: int = 0
    merged: int = 0
    differing: int = 0
    refused: list[tuple[Made, str]] = field(default_factory=list)
    missing: list[Made] = field(default_factory=list)


class Writer(Resource, family="sqlite"):
    """
    Writes rows, a transaction for each call, and compares them with what the database has then.

    A row that is there already is left alone, so a call may be repeated.

    Args:
        client: Open, in no transaction.
    """

    def __init__(self, client: PrismaAgentClient) -> None:
        super().__init__(client)
        self._columns: dict[str, dict[str, str]] = {}
        self._tools: set[str] = set()  # that are known to be there
        self._begin_table()

    def _begin_table(self) -> None:
        self._wanted, self._found = hashlib.sha256(), hashlib.sha256()

    async def write(self, agent_id: str, rows: Sequence[Made]) -> Outcome:
        """Store those of an agent's *rows*, which are of one table, that are not there."""
        table, outcome = rows[0].table, Outcome()
        if not self._columns:
            catalogue = await columns_of(self._client.inner_driver)
            self._columns = {moved.table: moved_columns(catalogue, moved.table) for moved in MOVED}
        there = await self._read_back(table, rows)
        new = [row for row in rows if row.id not in there]
        for row in rows:
            if row.id in there:
                self._compare(row, there[row.id], outcome, is_new=False)
        if new:
            new = await self._store_good(agent_id, new, outcome)
            back = await self._read_back(table, new)
            absent = [row for row in new if row.id not in back]
            for row in new:
                if row.id in back:
                    self._compare(row, back[row.id], outcome, is_new=True)
            if absent:
                await self._explain(agent_id, absent, outcome)
        return outcome

    def checksums(self) -> tuple[str, str]:
        """Return those of what was to be there and of what is, and begin with another table."""
        both = self._wanted.hexdigest(), self._found.hexdigest()
        self._begin_table()
        return both

    def _compare(self, row: Made, back: dict[str, Any], outcome: Outcome, *, is_new: bool) -> None:
        """Count a row that is there, and add it to the checksums, of what stays as it is as long as it lives."""
        wanted, found = (_plain_values(values, row.given, self._columns[row.table]) for values in (row.values, back))
        is_equal = wanted == found
        for name in _LIVING.get(row.table, ()):
            wanted.pop(name, None)
            found.pop(name, None)
        if not is_new and wanted != found:
            outcome.differing += 1
            return
        self._wanted.update(_digest(wanted))
        self._found.update(_digest(found))
        if not is_new:
            outcome.known += 1
        elif is_equal:
            outcome.imported += 1
        else:
            outcome.missing.append(row)

    async def _explain(self, agent_id: str, absent: Sequence[Made], outcome: Outcome) -> None:
        """Count rows that were written and are not there: they are one with another that was, or should be there."""
        if absent[0].table == "learning_patterns":
            names = [row.values["name"] for row in absent]
            said = {
                (record["pattern_type"], record["name"]): _plain(record["content"], "jsonb")
                for record in await self._fetch(_PATTERNS_SQL, agent_id, names)
            }
            for row in absent:
                there = said.get((row.values["pattern_type"], row.values["name"]))
                if there == _plain(row.values["content"], "jsonb"):
                    outcome.merged += 1
                else:
                    outcome.refused.append((row, "another pattern of this type and name is there"))
        elif absent[0].table in _MERGED:
            outcome.merged += len(absent)
        else:
            self._wanted.update("".join(row.id for row in absent).encode())  # and nothing on the other side
            outcome.missing += absent

    # Into the database.

    async def _store_good(self, agent_id: str, rows: Sequence[Made], outcome: Outcome) -> list[Made]:
        """Store *rows* but those that the database refuses, which halves find; return the others."""
        try:
            await self._store(agent_id, rows)
        except AgentDBError as error:
            if not blames_a_row(error):
                raise
            if len(rows) == 1:
                outcome.refused.append((rows[0], _reason(error)))
                return []
        else:
            return list(rows)
        half = len(rows) // 2
        return [
            *await self._store_good(agent_id, rows[:half], outcome),
            *await self._store_good(agent_id, rows[half:], outcome),
        ]

    async def _store(self, agent_id: str, rows: Sequence[Made]) -> None:
        table, rows = rows[0].table, sorted(rows, key=lambda row: row.id)  # ids of one import rise
        if table == _MEMORIES:
            memories = [row.memory for row in rows if row.memory is not None]
            async with self._client.transaction() as transaction:
                await transaction.memories._begin_arrivals()
                arrivals = Arrivals()
                for start in range(0, len(memories), _STATEMENT_ROWS):
                    await transaction.memories._arrive(memories[start : start + _STATEMENT_ROWS], arrivals)
                await transaction.memories._end_arrivals()
            return
        lines = [Line(number, table, row.values) for number, row in enumerate(rows)]
        tools: list[Line] = []
        if table == "agent_steps":
            tools = _tools_of(rows, agent_id)
            if unknown := {line.row["name"] for line in tools} - self._tools:
                await self._arrive(agent_id, [("agent_tools", tools), ("agent_tool_versions", _versions_of(tools))])
                self._tools |= unknown
            ids = {line.row["name"]: line.row["id"] for line in tools}
            lines = [line._replace(row=line.row | {"tool_id": ids[line.row["name"]]}) for line in lines]
        parts = [("agent_tools", tools), (table, lines)]
        if table == "agent_tools":
            parts = [(table, lines), ("agent_tool_versions", _versions_of(lines))]
        await self._arrive(agent_id, parts)

    async def _arrive(self, agent_id: str, parts: Sequence[tuple[str, Sequence[Line]]]) -> None:
        async with self._client.transaction() as transaction:
            arrivals = ArchiveArrivals(transaction, self._columns, agent_id, agent_id)
            await arrivals.begin()
            for table, lines in parts:
                for start in range(0, len(lines), _STATEMENT_ROWS):
                    await arrivals.take(table, lines[start : start + _STATEMENT_ROWS])
            await arrivals.end()

    # And back.

    async def _read_back(self, table: str, rows: Sequence[Made]) -> dict[str, dict[str, Any]]:
        """Return what the database has of *rows*, by their ids, opened where it is sealed."""
        if not rows:
            return {}
        ids = [row.id for row in rows]
        seals = seals_of(self._client)
        if table == _MEMORIES:
            return {record["id"]: _memory_values(record, seals) for record in await self._fetch(_MEMORY_SQL, ids)}
        sealing = Sealing(seals)
        back: dict[str, dict[str, Any]] = {}
        for record in await self._fetch(_back_sql(table, self._columns[table]), ids):
            values = _texts(record)
            sealing.know(table, values)
            back[values["id"] or ""] = sealing.opened(table, values)
        return back


def _reason(error: AgentDBError) -> str:
    """Return why the database refused a row, in words that hold nothing of it."""
    if isinstance(error, InvalidInputError):
        return f"{_PLACE.sub('', error.field)} {error.reason.rstrip('.')}".strip()
    if isinstance(error, DatabaseError):
        return "it holds a value that the database does not take"
    return str(error).rstrip(".")


def _memory_values(record: Record, seals: Seals) -> dict[str, Any]:
    values = dict(record.items())
    sealed = values.pop("sealed")
    if sealed is None:
        values["metadata"] = parse_json(values["metadata"])
    else:
        values["content"], values["metadata"] = open_memory(values["id"], sealed, seals)
    return values


def _tools_of(rows: Sequence[Made], agent_id: str) -> list[Line]:
    """Return the tools that are called, as they are registered unless they are there."""
    first: dict[str, Made] = {}
    for row in rows:
        first.setdefault(row.values["name"], row)
    tools = [
        Line(0, "agent_tools", _called_tool(str(keyed_uuid("sqlite", agent_id, "tool", name)), name, row, agent_id))
        for name, row in first.items()
    ]
    return sorted(tools, key=lambda line: str(line.row["id"]))


def _called_tool(id: str, name: str, row: Made, agent_id: str) -> dict[str, Any]:
    at = row.values["at"]
    return {
        "id": id,
        "name": name,
        "version": "1",
        "description": "",
        "parameters": "{}",
        "sealed": None,
        "lookup": None,
        "status": "active",
        "owner_agent_id": agent_id,
        "is_method": "false",
        "call_count": "0",
        "success_count": "0",
        "total_duration_ms": "0",
        "last_used_at": None,
        "created_at": at,
        "updated_at": at,
    }


def _versions_of(tools: Sequence[Line]) -> list[Line]:
    return [
        Line(
            line.number,
            "agent_tool_versions",
            {
                "tool_id": line.row["id"],
                "version": "1",
                "description": line.row["description"],
                "parameters": line.row["parameters"],
                "sealed": None,
                "created_at": line.row["created_at"],
            },
        )
        for line in tools
    ]


def _back_sql(table: str, columns: Mapping[str, str]) -> str:
    """Return the statement that reads the rows of the ids $2, values as texts but for times."""
    values = ", ".join(f"{_as_text(name, kind)} AS {quoted(name)}" for name, kind in columns.items())
    return f"SELECT {values} FROM {table} AS t WHERE t.organization_id = $1 AND t.id = ANY ($2::uuid[])"


def _as_text(name: str, kind: str) -> str:
    column = f"t.{quoted(name)}"
    if kind.startswith("timestamp"):
        return column
    return f"'\\x' || encode({column}, 'hex')" if kind == "bytea" else f"{column}::text"


def _texts(record: Record) -> dict[str, str | None]:
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in record.items()
    }


def _plain_values(values: Mapping[str, Any], names: Collection[str], types: Mapping[str, str]) -> dict[str, Any]:
    """Return those values of a row, so that equal ones are equal however PostgreSQL and Python spell them."""
    return {name: _plain(values[name], types.get(name, "")) for name in names}


def _plain(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind.startswith("timestamp"):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC).isoformat()
    if kind in ("double precision", "integer", "bigint") or kind.startswith("numeric"):
        return float(value) if kind == "double precision" else str(Decimal(value).normalize())
    if kind == "jsonb":
        return _same_numbers(parse_json(value) if isinstance(value, str) else value)
    return value


def _same_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _same_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_same_numbers(item) for item in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float:
    """Return a whole number as one: PostgreSQL writes 1e22 with all its zeros, and reads it as it is written."""
    return int(Decimal(repr(value))) if value.is_integer() else value


def _digest(values: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()
