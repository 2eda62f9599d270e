"""An agent or an organization out of the database and back in, as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from agentdb.client.archive.arrivals import ArchiveArrivals
from agentdb.client.archive.rows import ARCHIVE, BY_TABLE, Line, header_of, header_values, line_of, line_values
from agentdb.client.archive.sealing import Row, Sealing
from agentdb.client.archive.tables import MEMORIES_TABLE, MOVED, Moved, moved_columns, page_sql
from agentdb.client.catalogue import columns_of
from agentdb.client.encryption.seals import seals_of
from agentdb.client.encryption.values import SEALED
from agentdb.client.flow import Breath, begin_one_moment, each_line, first_values
from agentdb.client.memories import SealedAs
from agentdb.client.memory.lines import MEMORIES, LineReader, LineWriter
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.moments import utc_now
from agentdb.validation import check_text, parse_json

__all__ = ["Archive", "Restored", "Tally"]

Tally = Callable[[Mapping[str, int]], object]
"""Hears how many rows are done, by table."""

_SQL: Final = load_queries("archive")
_PAGE_ROWS: Final = 500
_PAGE_BYTES: Final = 4_000_000
_STATEMENT_ROWS: Final = 250
_STATEMENT_BYTES: Final = 500_000
# How PostgreSQL writes values as text, whatever the session's own way is.
_SPELLING: Final = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL extra_float_digits = 1; "
    "SET LOCAL bytea_output = 'hex'"
)
_CHOICES: Final = (
    'is missing, and some rows are encrypted. "plain" exports what they say, "keep" exports them encrypted, for this '
    'organization and its keys alone, "omit" leaves it out.'
)


class Restored(NamedTuple):
    """What an import came to."""

    rows: dict[str, int]
    """How many rows are new, by table."""
    known: dict[str, int]
    """How many were there already, or belong to what was; they stay as they were."""


class Archive(Resource):
    """An agent or an organization as a whole: every table but the access log."""

    _omitted = 0  # encrypted memories that an export left out

    async def export_lines(
        self, agent_id: str | None = None, *, sealed: SealedAs | None = None, progress: Tally | None = None
    ) -> AsyncGenerator[str, None]:
        """
        Yield everything as lines of text, without newlines and in bounded memory, for `import_lines` to read.

        A header, a line for each row, and a last line that tells whether all are there; `agentdb.client.memory.lines`
        has their checksums. Agents, memories with embeddings and history, tools with versions, executions with steps,
        metrics, patterns with outcomes and changes, prices of models. Expired memories are not among them, nor hours of
        metrics whose points are, for these are rolled up where they arrive, nor the access log. Everything is as it was
        at one moment: a transaction sees to this, which keeps a connection until the last line.

        Args:
            agent_id: Only this agent, what it did in its own executions, the tools that it owns or has called; an
                execution that another agent's execution started is nobody's child there. None: the organization.
            sealed: What becomes of encrypted values. "plain": what they say is in the lines, and an import encrypts it
                again by its own settings. "keep": they stay encrypted, and only the same organization with the same
                keys can import them. "omit": memories are left out, and executions, steps and tools come without
                what is encrypted of them. None: there must not be any.
            progress: Called now and then, and at the end.

        Raises:
            NotFoundError: There is no such agent.
            InvalidInputError: The client is in a transaction; there are encrypted values and *sealed* does not say what
                becomes of them; or a row takes more than 16,000,000 characters.
            EncryptionError: A value does not open, and *sealed* is "plain".
        """
        if sealed not in (None, "plain", "keep", "omit"):
            raise InvalidInputError("sealed", 'expected "plain", "keep" or "omit".')
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        if self._client.in_transaction:
            raise InvalidInputError("client", "is in a transaction; an export takes one of its own.")
        await self._client.gathering.settle()
        async with self._client.transaction() as transaction:
            await begin_one_moment(transaction.inner_driver)
            await transaction.inner_driver.script(_SPELLING)
            async with aclosing(Archive(transaction)._exported(agent, sealed, progress)) as lines:
                async for line in lines:
                    yield line

    async def _exported(
        self, agent_id: str | None, sealed: SealedAs | None, progress: Tally | None
    ) -> AsyncGenerator[str, None]:
        if agent_id is not None and not (await self._fetch(_SQL["agent_there"], agent_id))[0]["is_there"]:
            raise NotFoundError("agent", agent_id)
        if sealed is None:
            await self._refuse_sealed(agent_id)
        writer, breath, counts = LineWriter(ARCHIVE), Breath(), Counter[str]()
        yield writer.line(header_values(self._client.organization_id, agent_id, utc_now()), "the first line")
        async with aclosing(self._rows(agent_id, sealed)) as rows:
            async for table, row in rows:
                yield writer.line(line_values(table, row), f"a row of {table}")
                counts[table] += 1
                if progress is not None and counts.total() % _PAGE_ROWS == 0:
                    progress(counts)
                await breath.take()
        yield writer.trailer(self._omitted)
        if progress is not None:
            progress(counts)

    async def _refuse_sealed(self, agent_id: str | None) -> None:
        agent = () if agent_id is None else (agent_id,)
        for column in SEALED:
            moved = BY_TABLE[column.table]
            scope = moved.always if agent_id is None else f"{moved.always} AND {moved.of_agent}"
            sql = (
                f"SELECT EXISTS (SELECT FROM {column.table} AS t "
                f"WHERE t.organization_id = $1 AND t.{column.column} IS NOT NULL AND {scope}) AS is_there"
            )
            if (await self._fetch(sql, *agent))[0]["is_there"]:
                raise InvalidInputError("sealed", _CHOICES)

    async def _rows(
        self, agent_id: str | None, sealed: SealedAs | None
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """Yield the rows of all tables, each after those that it refers to."""
        columns = await columns_of(self._client.inner_driver)
        sealing = Sealing(seals_of(self._client))
        for moved in MOVED:
            source = (
                self._client.memories._values(agent_id, sealed)
                if moved.table == MEMORIES_TABLE
                else self._table(moved, moved_columns(columns, moved.table), agent_id)
            )
            async with aclosing(source) as rows:
                async for row in rows:
                    if row is None:
                        self._omitted += 1
                    else:
                        sealing.know(moved.table, row)
                        yield moved.table, _as_wanted(sealing, sealed, moved.table, row)

    async def _table(self, moved: Moved, columns: Mapping[str, str], agent_id: str | None) -> AsyncGenerator[Row, None]:
        of_agent = agent_id is not None
        what = (agent_id, _PAGE_ROWS, _PAGE_BYTES) if of_agent else (_PAGE_ROWS, _PAGE_BYTES)
        first = page_sql(moved, columns, of_agent=of_agent, is_first=True)
        following = page_sql(moved, columns, of_agent=of_agent, is_first=False)
        page = await self._fetch(first, *what)
        while page:
            row: Row = {}
            for record in page:
                row = parse_json(record["row"])
                yield row
            page = await self._fetch(following, *what, *(row[name] for name in moved.key))

    async def import_lines(
        self,
        lines: AsyncIterable[str] | Iterable[str],
        *,
        agent_id: str | None = None,
        progress: Tally | None = None,
    ) -> Restored:
        """
        Store what an export holds, in one transaction and in bounded memory: all of it, or nothing.

        Rows keep their ids, times and counts, and become rows of this client's organization. What is there already
        stays as it is: a row of the same id, a tool or a pattern of the same name, the living equal of a memory; and
        with it what belongs to it, as the steps of an execution. Importing again therefore changes nothing. What was
        exported plain is encrypted by this client's settings. An export of `memories.export_lines` is read, too.

        Args:
            lines: What `export_lines` yielded, with or without newlines. An asynchronous generator is closed.
            agent_id: Put an export of one agent into this agent, which has to be there.
            progress: Called now and then with how many rows are new or were there, by table.

        Raises:
            InvalidInputError: A line is damaged, missing, out of place or not to be stored; the field names it, as in
                "line 17" or "line 17.row.cost".
            ConflictError: An id belongs to another memory, or the name of an agent to one of another id.
            NotFoundError: There is no agent *agent_id*.
            EncryptionError: A value that was exported encrypted does not open here.
            TransactionConflictError: Others stored the same rows at the same time; it may be tried again.
        """
        target = None if agent_id is None else check_text(agent_id, "agent_id")
        async with aclosing(each_line(lines)) as every:
            read: list[object] = []
            async for line in every:
                read.append(line)
                if not isinstance(line, str) or line.strip():
                    break
            async with aclosing(_chained(read, every)) as source:
                if _is_of_memories(read):
                    return await self._import_memories(source, target, progress)
                return await self._import(source, target, progress)

    async def _import_memories(
        self, source: AsyncGenerator[Any, None], target: str | None, progress: Tally | None
    ) -> Restored:
        heard = None if progress is None else (lambda done: progress({MEMORIES_TABLE: done}))
        done = await self._client.memories.import_lines(source, agent_id=target, progress=heard)
        return Restored(_counts({MEMORIES_TABLE: done.memories}), _counts({MEMORIES_TABLE: done.known}))

    async def _import(
        self, source: AsyncGenerator[object, None], target: str | None, progress: Tally | None
    ) -> Restored:
        reader = LineReader(ARCHIVE)
        header = header_of(await first_values(reader, source), reader.place)
        if target is not None and header.agent_id is None:
            raise InvalidInputError("agent_id", "takes the export of one agent; this is one of an organization.")
        async with self._client.transaction() as transaction:
            catalogue = await columns_of(transaction.inner_driver)
            columns = {moved.table: moved_columns(catalogue, moved.table) for moved in MOVED}
            arrivals = ArchiveArrivals(transaction, columns, header.agent_id, target)
            await arrivals.begin()
            async with aclosing(_batches(reader, source, columns)) as batches:
                async for batch in batches:
                    await arrivals.take(batch[0].table, batch)
                    if progress is not None:
                        progress(arrivals.rows + arrivals.known)
            await arrivals.end()
        return Restored(_counts(arrivals.rows), _counts(arrivals.known))


def _as_wanted(sealing: Sealing, sealed: SealedAs | None, table: str, row: dict[str, Any]) -> dict[str, Any]:
    if sealed == "plain":
        return sealing.opened(table, row)
    return sealing.without(table, row) if sealed == "omit" else row


async def _chained(read: Sequence[object], rest: AsyncGenerator[object, None]) -> AsyncGenerator[object, None]:
    for line in read:
        yield line
    async for line in rest:
        yield line


def _is_of_memories(read: Sequence[object]) -> bool:
    """Return whether lines begin as an export of memories alone; *read* ends with the first that is not empty."""
    try:
        values = parse_json(read[-1]) if read and isinstance(read[-1], str) else None
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("format") == MEMORIES.format


async def _batches(
    reader: LineReader, source: AsyncGenerator[object, None], columns: Mapping[str, Mapping[str, str]]
) -> AsyncGenerator[list[Line], None]:
    """Yield rows of one table and of the same columns, as many at a time as travel well as one statement."""
    batch: list[Line] = []
    size, breath = 0, Breath()
    async for text in source:
        values = reader.read(text)
        await breath.take()
        if values is None:
            continue
        line = line_of(values, reader.number, columns)
        is_other = batch and (batch[0].table != line.table or batch[0].row.keys() != line.row.keys())
        if is_other or len(batch) == _STATEMENT_ROWS or size >= _STATEMENT_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(str(text))
    reader.end()
    if batch:
        yield batch


def _counts(rows: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of tables of which there are rows, in the order in which they are moved."""
    return {moved.table: rows[moved.table] for moved in MOVED if rows.get(moved.table)}
