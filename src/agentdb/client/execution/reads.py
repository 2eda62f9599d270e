"""Reading executions: one, many, or one with all that happened in it."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Final, Literal, get_args

from agentdb.client.encryption.seals import seals_of
from agentdb.client.execution.journal import write_steps
from agentdb.client.execution.rows import check_kind, check_model, execution_as_it_is, execution_of, tree_of
from agentdb.client.queries import load_queries, row_offset, row_step, write_out
from agentdb.client.resource import Resource, known_uuid
from agentdb.errors import InvalidInputError, NotFoundError
from agentdb.models import Execution, ExecutionTree
from agentdb.validation import check_flag, check_limit, check_offset, check_text, check_time

__all__ = ["ExecutionReads", "ExecutionStatus"]

ExecutionStatus = Literal["running", "completed", "failed", "cancelled", "abandoned"]

_SQL: Final = load_queries("executions")
_STATUSES: Final = get_args(ExecutionStatus)


class ExecutionReads(Resource):
    """What of `client.executions` reads rows."""

    async def get(self, execution_id: str) -> Execution:
        """
        Return one execution.

        Raises:
            NotFoundError: There is no such execution.
            EncryptionError: It is encrypted, and the client has not the key.
        """
        rows = await self._fetch(_SQL["get"], known_uuid("execution", execution_id))
        if not rows:
            raise NotFoundError("execution", execution_id)
        return execution_of(rows[0], seals_of(self._client))

    async def list(
        self,
        agent_id: str | None = None,
        *,
        parent_id: str | None = None,
        status: ExecutionStatus | None = None,
        kind: str | None = None,
        model: str | None = None,
        error_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        offset: int = 0,
        must_open: bool = True,
    ) -> builtins.list[Execution]:
        """
        Return executions, newest first: those that fit every condition that is given.

        Args:
            agent_id: Only those of this agent; None: of all.
            parent_id: Only those that this execution called.
            status: Only those in this state.
            kind: Only tasks of this kind.
            model: Only those that used this model.
            error_type: Only those that failed with an exception of this class, as `Execution.error_type` names it.
            since: Only those started then or later; a naive time is taken as UTC.
            until: Only those started before.
            limit: Most executions to return, 1 to 1000.
            offset: How many to pass over first, 0 or more.
            must_open: Whether each that is encrypted has to open; else what does not has None in the place of task,
                result, error and traceback.

        Raises:
            EncryptionError: One of them is encrypted, the client has not the key, and it *must_open*; it is named.
        """
        if status is not None and status not in _STATUSES:
            raise InvalidInputError("status", f"expected one of {', '.join(_STATUSES)}.")
        sql, arguments = write_out(
            _SQL["list"],
            None if agent_id is None else check_text(agent_id, "agent_id"),
            None if parent_id is None else known_uuid("execution", parent_id),
            status,
            check_kind(kind),
            check_model(model),
            None if error_type is None else check_text(error_type, "error_type"),
            check_time(since, "since"),
            check_time(until, "until"),
            row_step(check_limit(limit)),
            row_offset(check_offset(offset)),
        )
        read = execution_of if check_flag(must_open, "must_open") else execution_as_it_is
        seals = seals_of(self._client)
        return [read(row, seals) for row in (await self._fetch(sql, *arguments))[:limit]]

    async def tree(self, execution_id: str) -> ExecutionTree:
        """
        Return an execution with its steps, and with all that it called and what those called, in one round trip.

        Steps that this process has taken and not written yet are written first.

        Raises:
            NotFoundError: There is no such execution.
            EncryptionError: A part of it is encrypted, and the client has not the key; it is named.
        """
        id = known_uuid("execution", execution_id)
        await write_steps(self._client)
        return tree_of(await self._fetch(_SQL["tree"], id), execution_id, seals_of(self._client))
