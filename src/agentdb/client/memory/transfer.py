"""Memories out of the database and back in, as lines of text."""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.client.memory.arrivals import Arrivals, MemoryArrivals
from agentdb.client.memory.lines import LineReader, LineWriter
from agentdb.client.memory.transfer_rows import TransferRow, agents_in, header_values, memory_values, transfer_row
from agentdb.client.queries import load_queries, write_out
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.ids import NIL_UUID
from agentdb.validation import check_text

if TYPE_CHECKING:
    from agentdb.models import AgentConfig

__all__ = ["Imported", "MemoryTransfer"]

_SQL: Final = load_queries("memory_transfer")
_PAGE_ROWS: Final = 1000
_PAGE_BYTES: Final = 4_000_000
# The driver packs a statement in one go, during which the event loop serves nobody: 8 ms for these, and twice as many
# rows are stored no quicker.
_STATEMENT_ROWS: Final = 250
_STATEMENT_BYTES: Final = 1_000_000
_BREATH_SECONDS: Final = 0.004

# Begins the transaction anew as one that keeps its first snapshot, for the same organization. SET TRANSACTION would
# have to come before any query, and behind PgBouncer a transaction begins with one, which names the organization.
# Without sorting a page can only come from the primary key: statistics may know nothing of this organization yet.
_ONE_MOMENT: Final = """
SELECT 'COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; ' || format(
    'SELECT set_config(%L, %L, true), set_config(%L, %L, true), set_config(%L, %L, true)', 'enable_sort', 'off',
    'agentdb.organization_id', current_setting('agentdb.organization_id', true),
    'search_path', current_setting('search_path')
)
"""


class Imported(NamedTuple):
    """
    What an import came to.

    Attributes:
        memories: How many are new.
        known: How many were there already, under the same id or as an equal one. They stay as they were.
    """

    memories: int
    known: int


class MemoryTransfer(MemoryArrivals):
    """What of `client.memories` exports and imports."""

    async def export_lines(self, agent_id: str | None = None) -> AsyncGenerator[str, None]:
        """
        Yield memories as lines of text, without newlines and in bounded memory, for `import_lines` to read.

        A header that names the agents, a line for each memory in the order of the ids, with its embedding, its counts
        and its place in history, and a last line that tells whether all are there; `agentdb.client.memory.lines` has
        the format. Superseded memories are among them. What has expired is not, nor are its older versions. Everything
        is as it was at one moment: a transaction sees to this, which keeps a connection until the last line.

        Args:
            agent_id: Only this agent's memories; None: the organization's.

        Raises:
            NotFoundError: There is no such agent.
            InvalidInputError: The client is in a transaction; or a memory, or the list of agents, takes more than
                16,000,000 characters.
        """
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        if self._client.in_transaction:
            raise InvalidInputError("client", "is in a transaction; an export takes one of its own.")
        await self._client.gathering.accesses.flush()
        async with self._client.transaction() as transaction:
            ((script,),) = await transaction.driver.fetch(_ONE_MOMENT)
            await transaction.driver.script(script)
            async with aclosing(transaction.memories._exported(agent)) as lines:
                async for line in lines:
                    yield line

    async def _exported(self, agent_id: str | None) -> AsyncGenerator[str, None]:
        agents = await self._fetch(_SQL["export_agents"], agent_id)
        if agent_id is not None and not agents:
            raise NotFoundError("agent", agent_id)
        left_out = {row["id"] for row in await self._fetch(_SQL["export_left_out"], agent_id)}
        writer, breath = LineWriter(), _Breath()
        header = header_values(self._client.organization_id, agent_id, datetime.now(UTC), agents)
        yield writer.line(header, "the list of agents")
        after = NIL_UUID
        while True:
            sql, arguments = write_out(_SQL["export_page"], after, agent_id, _PAGE_ROWS, _PAGE_BYTES)
            rows = await self._fetch(sql, *arguments)
            if not rows:
                break
            for row in rows:
                after = row["id"]
                if after not in left_out:
                    yield writer.line(memory_values(row), f"memory {after}")
                await breath.take()
        yield writer.trailer()

    async def import_lines(
        self,
        lines: AsyncIterable[str] | Iterable[str],
        *,
        agent_id: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Imported:
        """
        Store the memories of an export, in one transaction and in bounded memory: all of them, or nothing.

        Memories keep their ids, times, counts and history. Agents that are not there are registered as the header has
        them. What is there already stays as it is: a memory of the same id, or the living equal of a living one, which
        then also takes its place in the history of others. Importing again therefore changes nothing.

        Args:
            lines: What `export_lines` yielded, with or without newlines. An asynchronous generator is closed.
            agent_id: Put the memories, which have to be one agent's, into this agent, which has to be there.
            progress: Called now and then with how many memories have been taken in.

        Raises:
            InvalidInputError: A line is damaged, missing, out of place or not to be stored; the field names it, as in
                "line 17" or "line 17.importance".
            ConflictError: An id belongs to another memory, or the name of an agent to one of another id.
            NotFoundError: There is no agent *agent_id*.
            TransactionConflictError: Others stored the same memories at the same time; it may be tried again.
        """
        target = None if agent_id is None else check_text(agent_id, "agent_id")
        reader = LineReader()
        async with aclosing(_each(lines)) as source:
            agents = await _agents(reader, source)
            async with self._client.transaction() as transaction:
                memories = transaction.memories
                await memories._await_agents(agents, target)
                arrivals = Arrivals()
                await memories._begin_arrivals()
                async with aclosing(_batches(reader, source, {agent.id for agent in agents}, target)) as batches:
                    async for batch in batches:
                        await memories._arrive(batch, arrivals)
                        if progress is not None:
                            progress(arrivals.memories + arrivals.known)
                await memories._end_arrivals()
        return Imported(arrivals.memories, arrivals.known)


class _Breath:
    """Leaves the event loop to others for a moment when this task has had it for long."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def take(self) -> None:
        if time.monotonic() - self._since > _BREATH_SECONDS:
            await sleep(0)
            self._since = time.monotonic()


async def _each(lines: object) -> AsyncGenerator[object, None]:
    if isinstance(lines, AsyncGenerator):
        async with aclosing(lines):  # an export holds a connection until it is closed
            async for line in lines:
                yield line
    elif isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    elif isinstance(lines, Iterable) and not isinstance(lines, str | bytes):
        for line in lines:
            yield line
    else:
        raise InvalidInputError("lines", f"expected lines of text, got {type(lines).__name__}.")


async def _agents(reader: LineReader, source: AsyncIterator[object]) -> list[AgentConfig]:
    async for line in source:
        header = reader.read(line)
        if header is not None:
            return agents_in(header, reader.place)
    reader.end()
    raise AssertionError("an end without a header is refused")


async def _batches(
    reader: LineReader, source: AsyncIterator[object], agents: set[str | None], target: str | None
) -> AsyncGenerator[list[TransferRow], None]:
    """Yield the memories of the lines that are left, as many at a time as travel well as one statement."""
    batch: list[TransferRow] = []
    size, last, breath = 0, NIL_UUID, _Breath()
    async for line in source:
        values = reader.read(line)
        await breath.take()
        if values is not None:
            row = transfer_row(values, reader.number)
            _check_place(row, last, agents)
            last = row.id
            batch.append(row if target is None else row._replace(agent_id=target))
            size += row.size
            if len(batch) == _STATEMENT_ROWS or size >= _STATEMENT_BYTES:
                yield batch
                batch, size = [], 0
        await breath.take()
    reader.end()
    if batch:
        yield batch


def _check_place(row: TransferRow, last: str, agents: set[str | None]) -> None:
    if row.id <= last:
        raise InvalidInputError(f"line {row.line}.id", "does not come after the id before it: ids rise, each once.")
    if row.agent_id not in agents:
        raise InvalidInputError(f"line {row.line}.agent_id", "is none of the agents that the first line names.")
