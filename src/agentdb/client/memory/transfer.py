"""Memories out of the database and back in, as lines of text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from agentdb.client.flow import Breath, begin_one_moment, each_line, first_values
from agentdb.client.memory.arrivals import Arrivals, MemoryArrivals
from agentdb.client.memory.lines import LineReader, LineWriter
from agentdb.client.memory.sealing import open_memory
from agentdb.client.memory.transfer_rows import (
    OpenSealed,
    TransferRow,
    agents_in,
    header_values,
    memory_values,
    opened_values,
    transfer_row,
)
from agentdb.client.queries import load_queries, write_out
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.ids import NIL_UUID
from agentdb.moments import utc_now
from agentdb.validation import check_text

if TYPE_CHECKING:
    pass

__all__ = ["Imported", "MemoryTransfer", "SealedAs"]

SealedAs = Literal["plain", "keep", "omit"]

_SQL: Final = load_queries("memory_transfer")
_PAGE_ROWS: Final = 1000
_PAGE_BYTES: Final = 4_000_000
# The driver packs a statement in one go, during which the event loop serves nobody: 8 ms for these, and twice as many
# rows are stored no quicker.
_STATEMENT_ROWS: Final = 250
_STATEMENT_BYTES: Final = 1_000_000
_CHOICES: Final = (
    'is missing, and some memories are encrypted. "plain" exports what they say, "keep" exports them encrypted, for '
    'this organization and its keys alone, "omit" leaves them out.'
)


class Imported(NamedTuple):
    """What an import came to."""

    memories: int
    """How many are new."""
    known: int
    """How many were there already, under the same id or as an equal one. They stay as they were."""


class MemoryTransfer(MemoryArrivals):
    """What of `client.memories` exports and imports."""

    async def export_lines(
        self, agent_id: str | None = None, *, sealed: SealedAs | None = None
    ) -> AsyncGenerator[str, None]:
        """
        Yield memories as lines of text, without newlines and in bounded memory, for `import_lines` to read.

        A header that names the agents, a line for each memory in the order of the ids, with its embedding, its counts
        and its place in history, and a last line that tells whether all are there; `agentdb.client.memory.lines` has
        the format. Superseded memories are among them. What has expired is not, nor are its older versions. Everything
        is as it was at one moment: a transaction sees to this, which keeps a connection until the last line.

        Memories alone; `client.export_lines` takes everything along.

        Args:
            agent_id: Only this agent's memories; None: the organization's.
            sealed: What becomes of encrypted memories. "plain": their text is in the lines, and an import encrypts it
                again where there is a key. "keep": they stay encrypted, and only the same organization with the same
                keys can import them. "omit": they are left out, with the older versions that they superseded, and the
                last line says how many they are. None: there must not be any.

        Raises:
            NotFoundError: There is no such agent.
            InvalidInputError: The client is in a transaction; there are encrypted memories and *sealed* does not say
                what becomes of them; or a memory, or the list of agents, takes more than 16,000,000 characters.
            EncryptionError: A memory does not open, and *sealed* is "plain".
        """
        if sealed not in (None, "plain", "keep", "omit"):
            raise InvalidInputError("sealed", 'expected "plain", "keep" or "omit".')
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        if self._client.in_transaction:
            raise InvalidInputError("client", "is in a transaction; an export takes one of its own.")
        await self._client.gathering.accesses.flush()
        async with self._client.transaction() as transaction:
            await begin_one_moment(transaction.inner_driver)
            async with aclosing(transaction.memories._exported(agent, sealed)) as lines:
                async for line in lines:
                    yield line

    async def _exported(self, agent_id: str | None, sealed: SealedAs | None) -> AsyncGenerator[str, None]:
        agents = await self._fetch(_SQL["export_agents"], agent_id)
        if agent_id is not None and not agents:
            raise NotFoundError("agent", agent_id)
        if sealed is None and (await self._fetch(_SQL["export_sealed"], agent_id))[0]["has_sealed"]:
            raise InvalidInputError("sealed", _CHOICES)
        writer, omitted = LineWriter(), 0
        header = header_values(self._client.organization_id, agent_id, utc_now(), agents)
        yield writer.line(header, "the list of agents")
        async with aclosing(self._values(agent_id, sealed)) as memories:
            async for values in memories:
                if values is None:
                    omitted += 1
                else:
                    yield writer.line(values, f"memory {values['id']}")
        yield writer.trailer(omitted)

    async def _values(
        self, agent_id: str | None, sealed: SealedAs | None
    ) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield what the line of each memory holds; None for one that is left out because it is encrypted."""
        omits = sealed == "omit"
        left_out = {row["id"] for row in await self._fetch(_SQL["export_left_out"], agent_id, omits)}
        open_sealed = partial(open_memory, seals=self._seals) if sealed == "plain" else None
        after, breath = NIL_UUID, Breath()
        while True:
            sql, arguments = write_out(_SQL["export_page"], after, agent_id, _PAGE_ROWS, _PAGE_BYTES)
            rows = await self._fetch(sql, *arguments)
            if not rows:
                return
            for row in rows:
                after = row["id"]
                if omits and row["sealed"] is not None:
                    yield None
                elif after not in left_out:
                    yield memory_values(row, open_sealed)
                await breath.take()

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
            EncryptionError: A memory that was exported encrypted does not open here; or one is sensitive, there is no
                key, and AGENTDB_REQUIRE_ENCRYPTION is set.
            TransactionConflictError: Others stored the same memories at the same time; it may be tried again.
        """
        target = None if agent_id is None else check_text(agent_id, "agent_id")
        reader = LineReader()
        async with aclosing(each_line(lines)) as source:
            agents = agents_in(await first_values(reader, source), reader.place)
            async with self._client.transaction() as transaction:
                memories = transaction.memories
                await memories._await_agents(agents, target)
                arrivals = Arrivals()
                await memories._begin_arrivals()
                open_sealed = partial(open_memory, seals=self._seals)
                known = {agent.id for agent in agents}
                async with aclosing(_batches(reader, source, known, target, open_sealed)) as batches:
                    async for batch in batches:
                        await memories._arrive(batch, arrivals)
                        if progress is not None:
                            progress(arrivals.memories + arrivals.known)
                await memories._end_arrivals()
        return Imported(arrivals.memories, arrivals.known)


async def _batches(
    reader: LineReader,
    source: AsyncIterator[object],
    agents: set[str | None],
    target: str | None,
    open_sealed: OpenSealed,
) -> AsyncGenerator[list[TransferRow], None]:
    """Yield the memories of the lines that are left, as many at a time as travel well as one statement."""
    batch: list[TransferRow] = []
    size, last, breath = 0, NIL_UUID, Breath()
    async for line in source:
        values = reader.read(line)
        await breath.take()
        if values is not None:
            row = transfer_row(opened_values(values, reader.number, open_sealed), reader.number)
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
