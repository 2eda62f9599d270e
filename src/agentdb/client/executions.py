"""The `agent_executions` table: every run of a task, and the execution that is running now."""

from __future__ import annotations

import asyncio
import builtins
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource, known_uuid
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import Execution, ExecutionTree, TokenUsage, from_row
from agentdb.validation import check_json, check_limit, check_text, check_time, checked, parse_json, storable_text

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.postgres.driver import Record

__all__ = ["ExecutionStatus", "Executions", "RunningExecution", "UsageCounter", "current_execution", "running_id"]

ExecutionStatus = Literal["running", "completed", "failed", "cancelled", "abandoned"]

logger = logging.getLogger("agentdb.client")

_SQL: Final = load_queries("executions")
_STATUSES: Final = ("running", "completed", "failed", "cancelled", "abandoned")
_MAX_ERROR_CHARACTERS: Final = 10_000
_MAX_TRACEBACK_CHARACTERS: Final = 100_000
_NO_USAGE: Final = TokenUsage()


class UsageCounter:
    """Adds up the tokens of a running execution."""

    def __init__(self) -> None:
        self._total = _NO_USAGE

    def add(self, usage: TokenUsage | None = None, **tokens: int) -> None:
        """
        Count tokens.

        Args:
            usage: Tokens by class.
            tokens: The same as keywords: input, cached_input, cache_write, output, reasoning.

        Raises:
            InvalidInputError: *usage* is no TokenUsage, a number is negative, or reasoning exceeds output.
        """
        self._total = self._total + _usage(usage) + checked(TokenUsage, **tokens)

    @property
    def total(self) -> TokenUsage:
        """What was counted so far."""
        return self._total


@dataclass(slots=True, eq=False)
class RunningExecution:
    """
    An execution that is running, as the code within it sees it.

    Attributes:
        result: What it will be completed with; JSON.
        model: The language model it used, if one.
        cost: In US dollars; None while it is not known.
        usage: Its tokens: `execution.usage.add(input=…, output=…)`.
        parent: The execution that called it, if that runs here.
    """

    id: str
    agent_id: str
    client: PrismaAgentClient = field(repr=False)
    parent: RunningExecution | None = field(repr=False)
    result: Any = None
    model: str | None = None
    cost: Decimal | None = None
    usage: UsageCounter = field(default_factory=UsageCounter, repr=False)


_running: ContextVar[RunningExecution | None] = ContextVar("agentdb_execution", default=None)


def current_execution() -> RunningExecution | None:
    """Return the execution that the calling task runs in; None outside of one."""
    return _running.get()


def running_id(client: PrismaAgentClient) -> str | None:
    """Return the id of the running execution when it is one of *client*'s own database and organization."""
    running = _running.get()
    return running.id if running is not None and client.sees_rows_of(running.client) else None


class Executions(Resource):
    """What agents did: a row per run of a task, begun by `start`, ended once by `finish` or `fail`."""

    async def start(
        self,
        agent_id: str,
        task: Any,
        *,
        parent_id: str | None = None,
        model: str | None = None,
        idempotency_key: str | None = None,
    ) -> Execution:
        """
        Begin an execution, in one round trip.

        Args:
            agent_id: The agent that runs it.
            task: What it is to do: anything that is JSON.
            parent_id: The execution that called it; None: the one that is running now, if there is one.
            model: The language model it uses, 1 to 255 characters.
            idempotency_key: A start that is retried with the same key begins one execution, which is returned as it is.

        Raises:
            NotFoundError: The agent, or the parent, is not there.
            ConflictError: The idempotency key belongs to the execution of another task.
            InvalidInputError: *task* is not JSON, or another argument does not fit.
        """
        agent = check_text(agent_id, "agent_id")
        key = None if idempotency_key is None else check_text(idempotency_key, "idempotency_key")
        id = uuid7_text() if key is None else keyed_uuid(agent, key)
        parent = running_id(self._client) if parent_id is None else str(known_uuid("execution", parent_id))
        text = check_json(task, "task")
        rows = await self._fetch(_SQL["start"], id, agent, parent, text, _model(model), agent=agent, execution=parent)
        execution = _execution(rows[0])
        if key is not None and execution.task != parse_json(text):
            raise ConflictError("The idempotency key belongs to another execution.", constraint="agent_executions_pkey")
        return execution

    async def finish(
        self,
        execution_id: str,
        result: Any = None,
        *,
        usage: TokenUsage | None = None,
        model: str | None = None,
        cost: Decimal | None = None,
    ) -> Execution:
        """
        End an execution as completed, in one round trip.

        Args:
            execution_id: The execution.
            result: What came of it: anything that is JSON.
            usage: The tokens it used.
            model: The language model it used; None leaves what `start` was told.
            cost: In US dollars, 0 or more; None: not known.

        Raises:
            NotFoundError: There is no such execution.
            ConflictError: It has ended already.
            InvalidInputError: *result* is not JSON, or another argument does not fit.
        """
        return await self._end(execution_id, "completed", check_json(result, "result"), None, usage, model, cost)

    async def fail(
        self,
        execution_id: str,
        error: BaseException | str,
        *,
        usage: TokenUsage | None = None,
        model: str | None = None,
        cost: Decimal | None = None,
    ) -> Execution:
        """
        End an execution as failed, or as cancelled when *error* is asyncio's CancelledError; in one round trip.

        The text never stands in the way: what cannot be stored in it is replaced, what is too long cut, both marked.

        Raises:
            NotFoundError: There is no such execution.
            ConflictError: It has ended already.
            InvalidInputError: *error* is neither an exception nor text, or another argument does not fit.
        """
        if not isinstance(error, BaseException | str):
            raise InvalidInputError("error", f"expected an exception or text, got {type(error).__name__}.")
        status: ExecutionStatus = "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"
        return await self._end(execution_id, status, None, error, usage, model, cost)

    @asynccontextmanager
    async def track(
        self,
        agent_id: str,
        task: Any,
        *,
        parent_id: str | None = None,
        model: str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncIterator[RunningExecution]:
        """
        Record a block as an execution: completed when it ends, failed by an exception, cancelled by a cancellation.

        Executions that start inside get this one as their parent. Takes two round trips. The block's own exception is
        raised as it was, also when it cannot be recorded (then that is logged).

        Example:
            async with client.executions.track(agent.id, {"question": "…"}) as execution:
                execution.result = await answer()
        """
        started = await self.start(agent_id, task, parent_id=parent_id, model=model, idempotency_key=idempotency_key)
        running = RunningExecution(started.id, agent_id, self._client, _running.get())
        token = _running.set(running)
        try:
            yield running
        except BaseException as error:
            await self._record_failure(running, error)
            raise
        else:
            usage = running.usage.total
            await self.finish(running.id, running.result, usage=usage, model=running.model, cost=running.cost)
        finally:
            _running.reset(token)

    async def get(self, execution_id: str) -> Execution:
        """
        Return one execution.

        Raises:
            NotFoundError: There is no such execution.
        """
        rows = await self._fetch(_SQL["get"], known_uuid("execution", execution_id))
        if not rows:
            raise NotFoundError("execution", execution_id)
        return _execution(rows[0])

    async def list(
        self,
        agent_id: str | None = None,
        *,
        parent_id: str | None = None,
        status: ExecutionStatus | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> builtins.list[Execution]:
        """
        Return executions, newest first.

        Args:
            agent_id: Only those of this agent; None: of all.
            parent_id: Only those that this execution called.
            status: Only those in this state.
            since: Only those started then or later; a naive time is taken as UTC.
            limit: Most executions to return, 1 to 1000.
        """
        if status is not None and status not in _STATUSES:
            raise InvalidInputError("status", f"expected one of {', '.join(_STATUSES)}.")
        rows = await self._fetch(
            _SQL["list"],
            None if agent_id is None else check_text(agent_id, "agent_id"),
            None if parent_id is None else known_uuid("execution", parent_id),
            status,
            check_time(since, "since"),
            check_limit(limit),
        )
        return [_execution(row) for row in rows]

    async def tree(self, execution_id: str) -> ExecutionTree:
        """
        Return an execution with all that it called, and what those called, in one round trip.

        Raises:
            NotFoundError: There is no such execution.
        """
        rows = await self._fetch(_SQL["tree"], known_uuid("execution", execution_id))
        if not rows:
            raise NotFoundError("execution", execution_id)
        # Callers come before those they called.
        trees: dict[str, ExecutionTree] = {}
        for row in rows:
            tree = from_row(ExecutionTree, {"execution": _execution(row), "children": [], "steps": []})
            if trees:
                trees[row["parent_id"]].children.append(tree)
            trees[row["id"]] = tree
        return trees[rows[0]["id"]]

    async def _end(
        self,
        execution_id: str,
        status: ExecutionStatus,
        result: str | None,
        error: BaseException | str | None,
        usage: TokenUsage | None,
        model: str | None,
        cost: Decimal | None,
    ) -> Execution:
        tokens = _usage(usage)
        rows = await self._fetch(
            _SQL["finish"],
            known_uuid("execution", execution_id),
            status,
            result,
            *_failure_texts(error),
            _model(model),
            _cost(cost),
            tokens.input,
            tokens.cached_input,
            tokens.cache_write,
            tokens.output,
            tokens.reasoning,
        )
        if not rows:
            ended = await self.get(execution_id)
            raise ConflictError(f"The execution has ended already; it is {ended.status}.")
        return _execution(rows[0])

    async def _record_failure(self, running: RunningExecution, error: BaseException) -> None:
        """End *running* as failed or cancelled; never raises, and a cancellation does not keep it from the database."""
        usage = running.usage.total
        work = asyncio.ensure_future(self.fail(running.id, error, usage=usage, model=running.model, cost=running.cost))
        work.add_done_callback(_log_failure)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            logger.debug("cancelled again while an execution was recorded", extra={"execution_id": running.id})
        except Exception:
            pass


def _log_failure(work: asyncio.Future[Execution]) -> None:
    error = None if work.cancelled() else work.exception()
    if work.cancelled() or error is not None:
        logger.error("an execution's failure could not be recorded", exc_info=error)


def _failure_texts(error: BaseException | str | None) -> tuple[str | None, str | None, str | None]:
    """Return the error's text, its type and its traceback."""
    if error is None:
        return None, None, None
    if isinstance(error, str):
        return storable_text(error, _MAX_ERROR_CHARACTERS), None, None
    try:
        text = str(error)
    except Exception:  # an exception whose text fails must be recorded all the same
        text = "(the exception's text could not be made)"
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return (
        storable_text(text, _MAX_ERROR_CHARACTERS),
        storable_text(name, 255),
        storable_text(lines, _MAX_TRACEBACK_CHARACTERS),
    )


def _model(model: str | None) -> str | None:
    return None if model is None else check_text(model, "model")


def _usage(usage: TokenUsage | None) -> TokenUsage:
    if usage is None:
        return _NO_USAGE
    if not isinstance(usage, TokenUsage):
        raise InvalidInputError("usage", f"expected a TokenUsage, got {type(usage).__name__}.")
    return usage


def _cost(cost: Decimal | None) -> Decimal | None:
    if cost is None:
        return None
    try:
        amount = Decimal(cost)
    except (ArithmeticError, TypeError, ValueError):
        amount = Decimal("NaN")
    # The column rounds to ten decimals, which must not carry it over its limit either.
    if not (amount.is_finite() and 0 <= amount < 10**10 and round(amount, 10) < 10**10):
        raise InvalidInputError("cost", "expected US dollars: a number from 0 to below 10,000,000,000.")
    return amount


def _execution(record: Record) -> Execution:
    values = dict(record.items())
    values["task"] = parse_json(values["task"])
    values["result"] = None if values["result"] is None else parse_json(values["result"])
    values["usage"] = from_row(
        TokenUsage,
        {
            "input": values.pop("input_tokens"),
            "cached_input": values.pop("cached_input_tokens"),
            "cache_write": values.pop("cache_write_tokens"),
            "output": values.pop("output_tokens"),
            "reasoning": values.pop("reasoning_tokens"),
        },
    )
    return from_row(Execution, values)
