"""The `agent_executions` table: every run of a task, from its start to its end."""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.access.operations import as_now
from agentdb.client.execution.reads import ExecutionReads, ExecutionStatus
from agentdb.client.execution.reports import ExecutionReports
from agentdb.client.execution.rows import (
    NO_FAILURE,
    check_cost,
    check_kind,
    check_model,
    failure_of,
    is_same_json,
    kind_of,
)
from agentdb.client.execution.running import (
    LogLevel,
    RunningExecution,
    checked_usage,
    current_execution,
    enter,
    leave,
    log_step,
    running_id,
)
from agentdb.client.execution.steps import StepRow, Steps
from agentdb.client.execution.writes import Ending, EndRow, ExecutionWrites, StartRow
from agentdb.client.queries import load_queries
from agentdb.client.resource import known_uuid, may_pass, only_result
from agentdb.errors import AgentDBError, ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import Execution, TokenUsage
from agentdb.validation import check_flag, check_number, check_text, parse_json

__all__ = ["ExecutionStatus", "Executions"]

if TYPE_CHECKING:
    from agentdb.client.execution.heartbeats import Heartbeats

logger: Final = logging.getLogger("agentdb.client")

_SQL: Final = load_queries("executions")
_MOST_AT_ONCE: Final = 1000
# Ends travel together, and a statement takes 256 MB of JSON.
_MOST_STEPS_WITH_END: Final = 200
_MOST_CHARACTERS_WITH_END: Final = 1_000_000
_LONGEST_SILENCE: Final = 1e9


class Executions(ExecutionReads, ExecutionReports):
    """
    What agents did: a row per run of a task, begun by `start`, ended once by `finish` or `fail`.

    While an execution runs, the process that began it says so now and then (AGENTDB_HEARTBEAT_SECONDS). One that is not
    heard of for AGENTDB_ABANDONED_AFTER_SECONDS counts as abandoned: its process was killed. Of an execution that
    begins within a transaction nobody can hear before the commit: end it within the transaction, too.
    """

    async def start(
        self,
        agent_id: str,
        task: Any,
        *,
        parent_id: str | None = None,
        kind: str | None = None,
        model: str | None = None,
        settings: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Execution:
        """
        Begin an execution, in one round trip.

        Args:
            agent_id: The agent that runs it.
            task: What it is to do: anything that is JSON. It is redacted, and cut when it is too large.
            parent_id: The execution that called it; None: the one that is running now, if there is one.
            kind: What sort of task it is, 1 to 100 characters; None: what the task's key "type" or "kind" says.
            model: The language model it uses, 1 to 255 characters.
            settings: What was chosen for it, by name: prompt variant, temperature, …; JSON.
            idempotency_key: A start that is retried with the same key begins one execution, which is returned as it is.
                Tasks are compared as they are kept: what redacts them has to make the same of the same.

        Raises:
            NotFoundError: The agent, or the parent, is not there.
            ConflictError: The idempotency key belongs to the execution of another task.
            InvalidInputError: *task* is not JSON, or another argument does not fit.
        """
        agent = check_text(agent_id, "agent_id")
        key = None if idempotency_key is None else check_text(idempotency_key, "idempotency_key")
        id = uuid7_text() if key is None else keyed_uuid(agent, key)
        parent = running_id(self._client) if parent_id is None else str(known_uuid("execution", parent_id))
        text = self._client.payloads.json(task, "task")
        row = StartRow(
            str(id),
            agent,
            parent,
            # Of the task as it is kept: what redaction takes out of it must not come back as its kind.
            kind_of(task if self._client.redact is None else parse_json(text)) if kind is None else check_kind(kind),
            text,
            self._settings(settings),
            check_model(model),
        )
        if self._client.in_transaction:
            execution = only_result(await self._writes.start_rows([row]))
        else:
            execution = await self._begin(row, is_keyed=key is not None)
        if key is not None and not is_same_json(execution.task, text):
            raise ConflictError("The idempotency key belongs to another execution.", constraint="agent_executions_pkey")
        if execution.status == "running" and not self._client.in_transaction:
            self._heartbeats.begin(execution.id)
        return execution

    async def finish(
        self,
        execution_id: str,
        result: Any = None,
        *,
        usage: TokenUsage | None = None,
        model: str | None = None,
        cost: Decimal | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Execution:
        """
        End an execution as completed, in one round trip.

        Args:
            execution_id: The execution.
            result: What came of it: anything that is JSON. It is redacted, and cut when it is too large.
            usage: The tokens it used.
            model: The language model it used; None leaves what `start` was told.
            cost: In US dollars, 0 or more; None: what the price list says of its model and tokens, see `Prices`.
            settings: What was chosen for it, beside what `start` was told.

        Raises:
            NotFoundError: There is no such execution.
            ConflictError: It has ended already, or was abandoned.
            InvalidInputError: *result* is not JSON, or another argument does not fit.
        """
        text = self._client.payloads.json(result, "result")
        return await self._end(self._row(execution_id, "completed", text, None, usage, model, cost, settings))

    async def fail(
        self,
        execution_id: str,
        error: BaseException | str,
        *,
        usage: TokenUsage | None = None,
        model: str | None = None,
        cost: Decimal | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Execution:
        """
        End an execution as failed, or as cancelled when *error* is asyncio's CancelledError; in one round trip.

        The text never stands in the way: what cannot be stored in it is replaced, what is too long cut, both marked.

        Args:
            execution_id: The execution.
            error: What went wrong: an exception, or text.
            usage: The tokens it used.
            model: The language model it used; None leaves what `start` was told.
            cost: In US dollars, 0 or more; None: what the price list says of its model and tokens, see `Prices`.
            settings: What was chosen for it, beside what `start` was told.

        Raises:
            NotFoundError: There is no such execution.
            ConflictError: It has ended already, or was abandoned.
            InvalidInputError: *error* is neither an exception nor text, or another argument does not fit.
        """
        if not isinstance(error, BaseException | str):
            raise InvalidInputError("error", f"expected an exception or text, got {type(error).__name__}.")
        status: ExecutionStatus = "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"
        return await self._end(self._row(execution_id, status, None, error, usage, model, cost, settings))

    async def log(
        self, execution_id: str, message: str, level: LogLevel = "info", *, data: Mapping[str, Any] | None = None
    ) -> None:
        """
        Add a line to the trail of an execution, in one round trip; in `track`, `execution.log` does it without one.

        Args:
            execution_id: The execution; one that has ended takes lines, too.
            message: 1 to 100,000 characters.
            level: "debug", "info", "warning" or "error".
            data: Whatever else is to be kept with it: JSON.

        Raises:
            NotFoundError: There is no such execution.
            InvalidInputError: An argument does not fit.
        """
        id = str(known_uuid("execution", execution_id))
        step = log_step(self._client.payloads, None, id, message, level, data or {})
        if not await Steps(self._client).write([step]):
            raise NotFoundError("execution", execution_id)

    @asynccontextmanager
    async def track(
        self,
        agent_id: str,
        task: Any,
        *,
        parent_id: str | None = None,
        kind: str | None = None,
        model: str | None = None,
        settings: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncIterator[RunningExecution]:
        """
        Record a block as an execution: completed when it ends, failed by an exception, cancelled by a cancellation.

        Executions that start inside get this one as their parent. Takes two round trips, whatever is logged and
        whatever tools are called inside.

        The block's own exception is raised as it was. When its end cannot be recorded, that is logged, counted (see
        `HealthReport.recording`) and tried again with each heartbeat; with AGENTDB_STRICT_RECORDING it is raised,
        unless the block itself has raised. Arguments are those of `start`.

        Raises:
            InvalidInputError: The result that the block has set is not JSON; the execution has failed with this error.

        Example:
            async with client.executions.track(agent.id, {"question": "…"}) as execution:
                execution.result = await answer()
        """
        started = await self.start(
            agent_id,
            task,
            parent_id=parent_id,
            kind=kind,
            model=model,
            settings=settings,
            idempotency_key=idempotency_key,
        )
        running = RunningExecution(started.id, agent_id, self._client, current_execution(), model=model)
        token = enter(running)
        try:
            yield running
        except BaseException as error:
            await self._close(running, error)
            raise
        else:
            await self._close(running, None)
        finally:
            leave(token)

    async def sweep_abandoned(self, older_than_seconds: float | None = None, *, dry_run: bool = False) -> int:
        """
        End the organization's running executions whose process is not heard of any more as abandoned.

        Every process that runs an execution does this with each of its heartbeats, so it is only needed where none
        runs; `agentdb sweep` does it, too.

        Args:
            older_than_seconds: How long they have not been heard of, 0 or more; None: AGENTDB_ABANDONED_AFTER_SECONDS.
            dry_run: End nothing, only count.

        Returns:
            How many there were.

        Raises:
            InvalidInputError: *older_than_seconds* is out of range.
        """
        silence = self._client.settings.abandoned_after_seconds if older_than_seconds is None else older_than_seconds
        seconds = check_number(silence, "older_than_seconds", 0, _LONGEST_SILENCE)
        if check_flag(dry_run, "dry_run"):
            silent: int = (await self._fetch(_SQL["silent"], seconds))[0]["silent"]
            return silent
        swept = 0
        while True:
            ended = await self._execute(_SQL["abandon"], seconds, _MOST_AT_ONCE)
            swept += ended
            if ended < _MOST_AT_ONCE:
                return swept

    async def beat(self, execution_ids: Sequence[str]) -> builtins.list[str]:
        """Say that executions of this process go on, end what others have abandoned; return those that do go on."""
        rows = await self._fetch(_SQL["beat"], execution_ids) if execution_ids else []
        await self.sweep_abandoned()
        return [row["id"] for row in rows]

    @property
    def _writes(self) -> ExecutionWrites:
        return ExecutionWrites(self._client)

    @property
    def _heartbeats(self) -> Heartbeats:
        return self._client.gathering.heartbeats

    def _settings(self, settings: Mapping[str, Any] | None) -> str:
        if settings is None:
            return "{}"
        if not isinstance(settings, Mapping):
            raise InvalidInputError("settings", f"expected a dict, got {type(settings).__name__}.")
        return self._client.payloads.object_json(dict(settings), "settings")

    def _row(
        self,
        execution_id: str,
        status: ExecutionStatus,
        result: str | None,
        error: BaseException | str | None,
        usage: TokenUsage | None,
        model: str | None,
        cost: Decimal | None,
        settings: Mapping[str, Any] | None,
    ) -> EndRow:
        """Return what an execution ends with, checked and redacted."""
        failure = NO_FAILURE if error is None else self._client.payloads.failure(failure_of(error))
        tokens = checked_usage(usage)
        return EndRow(
            str(known_uuid("execution", execution_id)),
            status,
            result,
            *failure,
            check_model(model),
            check_cost(cost),
            self._settings(settings),
            tokens.input,
            tokens.cached_input,
            tokens.cache_write,
            tokens.output,
            tokens.reasoning,
        )

    async def _begin(self, row: StartRow, *, is_keyed: bool) -> Execution:
        self._note_sent(_SQL["start"])
        try:
            return await self._client.gathering.starts.put(row)
        except asyncio.CancelledError as error:
            if not is_keyed:
                # It may have travelled with others and begun, and nobody will ever know its id.
                end = self._row(row.id, "cancelled", None, error, None, None, None, None)
                self._heartbeats.end_later(row.id, as_now(self._client, row.agent_id, lambda: self._end(end)))
            raise

    async def _end(self, row: EndRow, held: Sequence[StepRow] = ()) -> Execution:
        if self._client.in_transaction:
            # Not the steps that wait elsewhere: what is undone here would be lost with it.
            ended = only_result(await self._writes.end_rows([Ending(row, held)]))
        else:
            ended = await self._end_with_steps(row, held)
        if ended is None:
            found = await self.get(row.id)
            raise ConflictError(f"The execution has ended already; it is {found.status}.")
        return ended

    async def _end_with_steps(self, row: EndRow, held: Sequence[StepRow]) -> Execution | None:
        gathering = self._client.gathering
        steps = [*held, *await gathering.journal.take(row.id)]
        if len(steps) > _MOST_STEPS_WITH_END or sum(step.size for step in steps) > _MOST_CHARACTERS_WITH_END:
            gathering.journal.put(steps)
            steps = []
            await gathering.journal.flush()
        self._note_sent(_SQL["finish"])
        try:
            ended = await gathering.ends.put(Ending(row, steps))
        except BaseException:
            gathering.journal.put(steps)
            raise
        gathering.heartbeats.end(row.id)
        return ended

    async def _close(self, running: RunningExecution, error: BaseException | None) -> None:
        """Record how *running* ended. A cancellation does not keep it from the database."""
        end, refused = self._end_of(running, error)
        work = asyncio.ensure_future(self._record_end(running, end))
        try:
            failed = await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_retrieve)
            if error is None:
                raise
            return  # what ended the task matters more
        if error is None and (refused or failed):
            raise refused or failed  # type: ignore[misc]  # one of them is there

    def _end_of(self, running: RunningExecution, error: BaseException | None) -> tuple[EndRow, Exception | None]:
        """Return what *running* ends with; and why, if it is not what was meant."""
        status: ExecutionStatus = "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"
        usage, made = running.usage.total, (running.model, running.cost, running.settings)
        try:
            if error is None:
                text = self._client.payloads.json(running.result, "result")
                return self._row(running.id, "completed", text, None, usage, *made), None
            return self._row(running.id, status, None, error, usage, *made), None
        except Exception as refused:  # what the task has set may raise anything when it is looked at
            cause = refused if error is None else error
            return self._row(running.id, status, None, cause, usage, None, None, None), refused

    async def _record_end(self, running: RunningExecution, end: EndRow) -> Exception | None:
        """Write the end of *running*; return the error that shall be raised if that fails."""
        heartbeats = self._heartbeats
        try:
            await self._end(end, running.held)
        except Exception as error:  # whatever it is, it must not hide what the task returned or raised
            heartbeats.failures += 1
            is_ours = isinstance(error, AgentDBError)
            again = is_ours and may_pass(error) and not self._client.in_transaction
            logger.error(  # noqa: TRY400 - one of ours is named, and its traceback would show no more
                "an execution's end could not be recorded",
                exc_info=not is_ours,
                extra={"execution_id": running.id, "error": type(error).__name__, "again": again},
            )
            if again:
                heartbeats.end_later(running.id, as_now(self._client, running.agent_id, lambda: self._end(end)))
            else:
                heartbeats.end(running.id)
            return error if self._client.settings.strict_recording else None
        return None


def _retrieve(work: asyncio.Future[Exception | None]) -> None:
    """Take note of what *work* raised, so that asyncio does not complain."""
    if not work.cancelled():
        work.exception()
