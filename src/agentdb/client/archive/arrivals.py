"""Rows that come in from elsewhere, table by table, and what is there already."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.client.archive.rows import AGENT_COLUMNS, BY_TABLE, Line, renamed
from agentdb.client.archive.sealing import Row, Sealing
from agentdb.client.archive.tables import MEMORIES_TABLE, Moved, row_sql
from agentdb.client.encryption.seals import sealing_of, seals_of
from agentdb.client.flow import Breath
from agentdb.client.memory.arrivals import Arrivals, Elsewhere
from agentdb.client.memory.sealing import open_memory
from agentdb.client.memory.transfer_rows import TransferRow, opened_values, transfer_row
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource, blames_a_row
from agentdb.errors import AgentDBError, ConflictError, DatabaseError, EncryptionError, InvalidInputError, NotFoundError
from agentdb.ids import NIL_UUID
from agentdb.validation import check_json

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient

__all__ = ["ArchiveArrivals"]

_SQL: Final = load_queries("archive")
_PARENTS: Final = "agent_executions_organization_id_parent_id_fkey"
_PARENT_TABLES: Final = frozenset(moved.parent[1] for moved in BY_TABLE.values() if moved.parent is not None)


class ArchiveArrivals(Resource):
    """
    What an import of an archive asks of the database, in a transaction.

    What is there already stays as it is, and with it what belongs to it: an execution's steps, a tool's versions, a
    pattern's outcomes and changes come with it or not at all.

    Args:
        client: Of the transaction.
        columns: Of each table, the columns that are moved, with their types.
        agent_id: The agent whose archive it is; None: an organization's.
        target: The agent that takes its place, if not itself.

    Attributes:
        rows: How many rows are new, by table.
        known: How many were there already, or belong to what was.
    """

    def __init__(
        self,
        client: PrismaAgentClient,
        columns: Mapping[str, Mapping[str, str]],
        agent_id: str | None,
        target: str | None,
    ) -> None:
        super().__init__(client)
        self.rows: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self._columns = columns
        self._target = target
        self._breath = Breath()
        self._agents: set[str | None] = set() if target is None else {agent_id}
        self._sealing = Sealing(seals_of(client), sealing_of(client, "executions"), sealing_of(client, "tools"))
        self._memories = Arrivals()
        self._last: dict[str, str] = {}  # the id that was read last, of each table where ids rise
        self._stayed = {table: Elsewhere() for table in _PARENT_TABLES}  # whose children stay away, 32 bytes for each
        self._tools: dict[str | None, str] = {}  # which were there, and by which id
        self._calls: dict[str, _Calls] = {}  # of these, which have arrived

    async def begin(self) -> None:
        """Let rows come before those that they refer to within their table."""
        await self._client.memories._await_agents([], self._target)
        await self._client.memories._begin_arrivals()
        await self._client.inner_driver.script(f"SET CONSTRAINTS {_PARENTS} DEFERRED")

    async def take(self, table: str, lines: Sequence[Line]) -> None:
        """
        Store those rows of one table that are not there.

        Raises:
            InvalidInputError: A row does not fit; its line is named.
            ConflictError: An agent's name is another's here, or an id another memory's.
            EncryptionError: A value that was kept sealed does not open here.
        """
        if table == MEMORIES_TABLE:
            await self._take_memories(lines)
        elif table != "agents" or self._target is None:
            await self._take_rows(BY_TABLE[table], lines)

    async def end(self) -> None:
        """See to it that all those are there that others refer to."""
        await self._client.memories._end_arrivals()
        if self._calls:
            calls = [{"id": tool, **calls._asdict()} for tool, calls in self._calls.items()]
            await self._execute(_SQL["add_calls"], json.dumps(calls))
        try:
            async with self._client.transaction() as attempt:
                await attempt.inner_driver.script(f"SET CONSTRAINTS {_PARENTS} IMMEDIATE")
        except DatabaseError as error:
            if error.constraint != _PARENTS:
                raise
            raise InvalidInputError(
                "parent_id", "of an execution names one that is neither there nor exported."
            ) from None

    async def _take_memories(self, lines: Sequence[Line]) -> None:
        open_sealed = partial(open_memory, seals=seals_of(self._client))
        rows: list[TransferRow] = []
        for line in lines:
            rows.append(self._placed(transfer_row(opened_values(line.row, line.number, open_sealed), line.number)))
            await self._breath.take()
        before = self._memories.memories, self._memories.known
        await self._client.memories._arrive(rows, self._memories)
        self.rows[MEMORIES_TABLE] += self._memories.memories - before[0]
        self.known[MEMORIES_TABLE] += self._memories.known - before[1]

    def _placed(self, row: TransferRow) -> TransferRow:
        self._check_place(f"line {row.line}", MEMORIES_TABLE, row.id, {"agent_id": row.agent_id})
        return row if self._target is None else row._replace(agent_id=self._target)

    def _check_place(self, place: str, table: str, row_id: str | None, row: Row) -> None:
        """Refuse a row that comes twice, or whose agent is not of this archive."""
        if row_id is not None:
            if row_id <= self._last.get(table, NIL_UUID):
                raise InvalidInputError(f"{place}.id", "does not come after the id before it: ids rise, each once.")
            self._last[table] = row_id
        for column in AGENT_COLUMNS:
            if row.get(column) is not None and row[column] not in self._agents:
                raise InvalidInputError(f"{place}.{column}", "is none of the agents that come before.")

    async def _take_rows(self, moved: Moved, lines: Sequence[Line]) -> None:
        rows: list[Line] = []
        for line in lines:
            # An agent's id is a text, whose order is the database's own.
            row_id = line.row["id"] if moved.key == ("id",) and moved.table != "agents" else None
            self._check_place(f"line {line.number}.row", moved.table, row_id, line.row)
            if not self._stays_away(moved, line.row):
                rows.append(Line(line.number, line.table, self._fitted(line)))
            await self._breath.take()
        new = await self._store(moved, rows) if rows else []
        self.rows[moved.table] += len(new)
        self.known[moved.table] += len(lines) - len(new)
        keys = set(new)
        rest = [line for line in rows if moved.key == ("id",) and line.row["id"] not in keys]
        if moved.table == "agents":
            self._agents.update(line.row["id"] for line in rows)
            await self._check_agents(rest)
        if moved.table in _PARENT_TABLES:
            for line in rest:
                self._stayed[moved.table].add(line.row["id"], NIL_UUID)
        if moved.table == "agent_tools":
            await self._find_tools(rest)
        if moved.table == "agent_steps" and self._tools and new:
            await self._count_calls(new)

    def _stays_away(self, moved: Moved, row: Row) -> bool:
        """Return whether a row belongs to one that was there already."""
        if moved.parent is None:
            return False
        column, table = moved.parent
        return self._stayed[table].get(row[column]) == NIL_UUID

    def _fitted(self, line: Line) -> Row:
        """Return the row as it is stored here."""
        row: Row = line.row
        self._sealing.know(line.table, row)
        try:
            row = self._sealing.arriving(line.table, row)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InvalidInputError(f"line {line.number}.row", "holds a value that cannot be read.") from None
        if line.table == "agent_steps" and row["tool_id"] in self._tools:
            row = row | {"tool_id": self._tools[row["tool_id"]]}
        return row if self._target is None else renamed(row, self._target)

    async def _store(self, moved: Moved, lines: Sequence[Line]) -> list[str]:
        """Store rows, and return the first part of the key of each that is new."""
        types = self._columns[moved.table]
        sql = row_sql(moved, {name: types[name] for name in lines[0].row})
        records = check_json([line.row for line in lines], f"line {lines[0].number}")
        try:
            async with self._client.transaction() as attempt:
                return [row["key"] for row in await Resource(attempt)._fetch(sql, records)]
        except AgentDBError as error:
            if not blames_a_row(error):
                raise
            if len(lines) == 1:
                raise _refusal(lines[0], error) from None  # the database's words quote what it was given
        half = len(lines) // 2
        return await self._store(moved, lines[:half]) + await self._store(moved, lines[half:])

    async def _check_agents(self, rest: Sequence[Line]) -> None:
        """Refuse agents whose name belongs to another one here."""
        if not rest:
            return
        rows = await self._fetch(_SQL["agents_there"], [line.row["id"] for line in rest])
        there = {row["id"] for row in rows}
        for line in rest:
            if line.row["id"] not in there:
                raise ConflictError(
                    f"line {line.number}: the agent {line.row['name'][:100]!r} of the export has another id here. To "
                    "put what it has there, export this agent alone and import with that agent_id.",
                    constraint="agents_organization_id_name_key",
                )

    async def _find_tools(self, rest: Sequence[Line]) -> None:
        """Note under which ids tools are there: a name stands for one tool."""
        names = {line.row["name"]: line.row["id"] for line in rest}
        for row in await self._fetch(_SQL["tools_there"], list(names)) if names else ():
            self._tools[names[row["name"]]] = row["id"]

    async def _count_calls(self, step_ids: Sequence[str]) -> None:
        """Note the calls among these steps of tools that were there: their totals are of all calls."""
        for row in await self._fetch(_SQL["arrived_calls"], step_ids, list(self._tools.values())):
            known = self._calls.get(row["tool_id"], _Calls(0, 0, 0.0, row["last_used_at"]))
            self._calls[row["tool_id"]] = _Calls(
                known.calls + row["calls"],
                known.successes + row["successes"],
                known.duration_ms + row["duration_ms"],
                max(known.last_used_at, row["last_used_at"]),
            )


class _Calls(NamedTuple):
    """What a tool's totals rise by; *last_used_at* is ISO 8601 of one length, so that texts compare as times do."""

    calls: int
    successes: int
    duration_ms: float
    last_used_at: str


def _refusal(line: Line, error: AgentDBError) -> AgentDBError:
    place = f"line {line.number}.row"
    if isinstance(error, EncryptionError):
        return error
    if isinstance(error, NotFoundError):
        return InvalidInputError(place, f"names a row of kind {error.entity!r} that is neither there nor exported.")
    if isinstance(error, InvalidInputError):
        return InvalidInputError(f"{place}.{error.field}", error.reason)
    return InvalidInputError(place, "holds a value that the database does not take.")
