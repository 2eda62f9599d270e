"""Calls of tools: recorded one by one, and what they say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.encryption.seals import sealing_of
from agentdb.client.execution.journal import write_steps
from agentdb.client.execution.rows import NO_FAILURE, failure_of
from agentdb.client.execution.running import running_id, visible_execution
from agentdb.client.execution.steps import StepRow, new_step, steps_text
from agentdb.client.queries import load_queries, write_out
from agentdb.client.resource import Resource, known_uuid, unknown_agent
from agentdb.client.tool.stats import overview_of, ranked, stats_of
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import keyed_uuid
from agentdb.validation import check_flag, check_iterable, check_number, check_text, check_time

if TYPE_CHECKING:
    from agentdb.models import ToolOverview, ToolStats

__all__ = ["ToolCalls", "checked_names", "refuse_unknown"]

_SQL: Final = load_queries("tools")
_LONGEST_MS: Final = 1e12
_FAILING_BELOW: Final = 0.9


class ToolCalls(Resource):
    """
    Calls of the organization's tools.

    A call is a step of the execution that made it, or stands alone; it is never changed. With it the totals in the
    catalogue rise, in the same statement, so that they are right whoever calls at the same time, and stay right when
    old calls are cleared away.
    """

    async def record_call(
        self,
        name: str,
        agent_id: str,
        *,
        success: bool,
        duration_ms: float,
        error: BaseException | str | None = None,
        execution_id: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """
        Record a call of a tool, in one round trip. Methods that are marked by `@tool` record theirs by themselves.

        Args:
            name: The tool; a deprecated one is recorded, too.
            agent_id: The agent that called it.
            success: Whether it did what it should.
            duration_ms: What it took, in milliseconds, 0 to 10^12.
            error: What went wrong: an exception, or words. What cannot be stored of it is replaced, what is too long is
                cut.
            execution_id: The execution that called it; None: the one that is running now, if there is one.
            arguments: What it was called with, by name; JSON. They are redacted, and cut when they are too large.
            idempotency_key: A call that is recorded again with the same key is recorded once.

        Raises:
            NotFoundError: The agent, the tool or the execution is not there.
            ConflictError: The idempotency key belongs to another call.
            InvalidInputError: An argument does not fit.
        """
        agent = check_text(agent_id, "agent_id")
        execution = running_id(self._client) if execution_id is None else str(known_uuid("execution", execution_id))
        step = self._step(name, agent, execution, success, duration_ms, error, arguments)
        if idempotency_key is not None:
            step = step._replace(id=str(keyed_uuid(agent, check_text(idempotency_key, "idempotency_key"))))
        text = steps_text([step], sealing_of(self._client, "executions"))
        rows = await self._retried(
            lambda: self._fetch(_SQL["record_call"], text, step.id, name, agent, execution, success, step.duration_ms)
        )
        if not rows[0]["agent_known"]:
            raise unknown_agent(agent)
        if not rows[0]["tool_known"]:
            raise NotFoundError("tool", name)
        if not rows[0]["execution_known"]:
            raise NotFoundError("execution", str(execution_id))
        if rows[0]["is_same"] is False:
            raise ConflictError("The idempotency key belongs to another call.", constraint="agent_steps_pkey")

    def note_call(
        self,
        name: str,
        agent_id: str,
        *,
        success: bool,
        duration_ms: float,
        error: BaseException | str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Record a call of a tool a moment later, without a round trip: with the end of the running execution or with what
        else has gathered (AGENTDB_FLUSH_SECONDS), whichever comes first.

        A process that is killed loses the calls of that moment. A call of a tool that is not registered by then is not
        recorded. In a transaction a call is undone with the execution that began in it; outside of one it is recorded,
        for it has happened.

        Args:
            name: The tool.
            agent_id: The agent that called it, unless an execution is running: then it is that one's agent.
            success: Whether it did what it should.
            duration_ms: What it took, in milliseconds, 0 to 10^12.
            error: What went wrong, as in `record_call`.
            arguments: What it was called with, as in `record_call`.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        running = visible_execution(self._client)
        agent = check_text(agent_id, "agent_id")
        if running is None:
            step = self._step(name, agent, None, success, duration_ms, error, arguments)
            self._client.gathering.journal.put([step])
        else:
            running.note(self._step(name, running.agent_id, running.id, success, duration_ms, error, arguments))

    async def stats(self, name: str, *, agent_id: str | None = None, since: datetime | None = None) -> ToolStats:
        """
        Return how a tool fared, in one round trip.

        Numbers of calls are those of all time, also of calls that were cleared away since; percentiles, and all of
        `by_agent`, are exact over the calls that are kept. With *agent_id* or *since* everything is of the calls kept.

        Calls that this process has noted and not written yet are written first.

        Args:
            name: The tool.
            agent_id: Only calls of this agent.
            since: Only calls that ended then or later; a naive time is taken as UTC.

        Raises:
            NotFoundError: There is no such tool.
            InvalidInputError: An argument does not fit.
        """
        found = await self._stats([check_text(name, "name")], agent_id, since)
        if not found:
            raise NotFoundError("tool", name)
        return found[0]

    async def overview(
        self,
        *,
        agent_id: str | None = None,
        since: datetime | None = None,
        failing_below: float = _FAILING_BELOW,
        include_deprecated: bool = False,
    ) -> ToolOverview:
        """
        Return how all tools fare, which are not used and which fail; in one round trip.

        Args:
            agent_id: Only calls of this agent.
            since: Only calls that ended then or later; a naive time is taken as UTC.
            failing_below: A tool is failing when the Wilson interval of its success rate lies below this, in [0, 1]:
                when there are enough calls to be sure.
            include_deprecated: Also tools that should no longer be used.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        below = check_number(failing_below, "failing_below", 0, 1)
        deprecated = check_flag(include_deprecated, "include_deprecated")
        return overview_of(await self._stats(None, agent_id, since, include_deprecated=deprecated), below)

    async def rank(self, names: Iterable[str] | None = None) -> list[ToolStats]:
        """
        Return tools by proven success, best first: by the lower bound of the Wilson interval of their success rate.

        So a tool that succeeded in 99 of 100 calls is before one that succeeded in its only one. Ties go to the quicker
        one by its median, then by name. Tools that were never called come last.

        Args:
            names: Which tools; None: all that are not deprecated.

        Raises:
            NotFoundError: There is no tool of one of these names.
        """
        if names is None:
            return ranked(await self._stats(None, None, None, include_deprecated=False))
        asked = checked_names(names)
        found = await self._stats(asked, None, None)
        refuse_unknown(asked, (tool.name for tool in found))
        return ranked(found)

    async def _stats(
        self,
        names: list[str] | None,
        agent_id: str | None,
        since: datetime | None,
        *,
        include_deprecated: bool = True,
    ) -> list[ToolStats]:
        agent = None if agent_id is None else check_text(agent_id, "agent_id")
        sql, arguments = write_out(_SQL["stats"], names, agent, check_time(since, "since"), include_deprecated)
        await write_steps(self._client)
        return stats_of(await self._fetch(sql, *arguments), from_catalogue=agent is None and since is None)

    def _step(
        self,
        name: str,
        agent_id: str,
        execution_id: str | None,
        success: bool,
        duration_ms: float,
        error: BaseException | str | None,
        arguments: Mapping[str, Any] | None,
    ) -> StepRow:
        """Return a call as the step that it is; InvalidInputError when an argument does not fit."""
        if error is not None and not isinstance(error, BaseException | str):
            raise InvalidInputError("error", f"expected an exception or text, got {type(error).__name__}.")
        if error is not None and check_flag(success, "success"):
            raise InvalidInputError("error", "a call that succeeded has none.")
        if arguments is not None and not isinstance(arguments, Mapping):
            raise InvalidInputError("arguments", f"expected a dict, got {type(arguments).__name__}.")
        payloads = self._client.payloads
        failure = NO_FAILURE if error is None else payloads.failure(failure_of(error))
        return new_step(
            "tool",
            check_text(name, "name"),
            agent_id,
            execution_id,
            success=check_flag(success, "success"),
            duration_ms=check_number(duration_ms, "duration_ms", 0, _LONGEST_MS),
            message=failure.error,
            error_type=failure.error_type,
            data="{}" if arguments is None else f'{{"arguments":{payloads.json(dict(arguments), "arguments")}}}',
        )


def checked_names(names: Iterable[str]) -> list[str]:
    """Return *names* of tools, each once, in their order; InvalidInputError when one is none."""
    if isinstance(names, str):
        raise InvalidInputError("names", "expected a list of names, got text.")
    return list(dict.fromkeys(check_text(name, "names") for name in check_iterable(names, "names")))


def refuse_unknown(asked: Iterable[str], found: Iterable[str]) -> None:
    """Raise NotFoundError for those of the names *asked* for that were not *found*."""
    known = set(found)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise NotFoundError("tool", ", ".join(unknown))
