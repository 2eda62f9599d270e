"""Writing the starts and ends of executions: one or many in one statement."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.client.encryption.seals import sealing_of, seals_of
from agentdb.client.execution.rows import execution_of
from agentdb.client.execution.sealing import sealed_end, sealed_start
from agentdb.client.execution.steps import StepRow, steps_text
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource, in_halves
from agentdb.errors import EncryptionError
from agentdb.models import Execution

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["EndRow", "Ending", "ExecutionWrites", "StartRow"]

_SQL: Final = load_queries("executions")


class StartRow(NamedTuple):
    """The start of an execution, in the order of the parameters of the block `start`; task and settings are JSON."""

    id: str
    agent_id: str
    parent_id: str | None
    kind: str | None
    task: str
    settings: str
    model: str | None
    sealed_task: bytes | None = None


class EndRow(NamedTuple):
    """The end of an execution, in the order of the parameters of the block `finish`; result and settings are JSON."""

    id: str
    status: str
    result: str | None
    error: str | None
    error_type: str | None
    traceback: str | None
    model: str | None
    cost: Decimal | None
    settings: str
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    sealed_result: bytes | None = None


class Ending(NamedTuple):
    """What is written when an execution ends: its row, and the steps that are not written yet."""

    row: EndRow
    steps: Sequence[StepRow]


class ExecutionWrites(Resource, family="executions"):
    """Sends what `start`, `finish` and `fail` have made; what many do at the same time travels together."""

    async def start_rows(self, rows: Sequence[StartRow]) -> builtins.list[Execution | BaseException]:
        """Begin executions; return for each how it is now, or what is wrong with it."""
        return await in_halves(rows, self._start)

    async def end_rows(self, endings: Sequence[Ending]) -> builtins.list[Execution | BaseException | None]:
        """End executions; return for each how it is now, None where it was not running, or what is wrong with it."""
        return await in_halves(endings, self._finish)

    async def _start(self, rows: Sequence[StartRow]) -> builtins.list[Execution | BaseException]:
        seals = sealing_of(self._client, "executions")
        # retries of one start may meet here
        unique = {row.id: row if seals is None else sealed_start(row, seals) for row in rows}
        begun = await self._retried(lambda: self._send_starts(builtins.list(unique.values())))
        executions = {record["id"]: record for record in begun}
        return [self._opened(executions[row.id]) for row in rows]

    async def _send_starts(self, rows: Sequence[StartRow]) -> Sequence[Record]:
        if len(rows) == 1:
            (row,) = rows
            return await self._fetch(_SQL["start"], *row, agent=row.agent_id, execution=row.parent_id)
        return await self._fetch(_SQL["start_many"], *zip(*rows, strict=True))

    def _opened(self, record: Record) -> Execution | EncryptionError:
        """Return a row as its model. It is written: that it does not open concerns its own caller alone."""
        try:
            return execution_of(record, seals_of(self._client))
        except EncryptionError as error:
            return error

    async def _finish(self, endings: Sequence[Ending]) -> builtins.list[Execution | BaseException | None]:
        seals = sealing_of(self._client, "executions")
        unique: dict[str, EndRow] = {}
        for ending in endings:  # an execution ends once
            unique.setdefault(ending.row.id, ending.row if seals is None else sealed_end(ending.row, seals))
        steps = steps_text(builtins.list(chain.from_iterable(ending.steps for ending in endings)), seals)
        records = await self._retried(lambda: self._send_ends(builtins.list(unique.values()), steps))
        ended = {record["id"]: self._opened(record) for record in records}
        return [ended.pop(ending.row.id, None) for ending in endings]

    async def _send_ends(self, rows: Sequence[EndRow], steps: str | None) -> Sequence[Record]:
        if len(rows) == 1:
            return await self._fetch(_SQL["finish"], steps, *rows[0])
        return await self._fetch(_SQL["finish_many"], steps, *zip(*rows, strict=True))
