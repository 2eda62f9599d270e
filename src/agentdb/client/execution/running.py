"""The execution that is running now, as the code within it sees it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack, get_args

from pydantic import ValidationError

from agentdb.client.execution.steps import StepRow, new_step
from agentdb.errors import InvalidInputError
from agentdb.models import TokenUsage
from agentdb.validation import check_text, checked, invalid_input, json_text

if TYPE_CHECKING:
    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.execution.payloads import Payloads

__all__ = [
    "LogLevel",
    "RunningExecution",
    "TokenCounts",
    "UsageCounter",
    "checked_usage",
    "current_execution",
    "enter",
    "leave",
    "log_step",
    "note_memory",
    "running_id",
    "visible_execution",
]

LogLevel = Literal["debug", "info", "warning", "error"]

_LEVELS: Final = get_args(LogLevel)
_MAX_MESSAGE_CHARACTERS: Final = 100_000
_MOST_NAMED: Final = 100
_NO_USAGE: Final = TokenUsage()


class TokenCounts(TypedDict, total=False):
    """Numbers of tokens, as `TokenUsage` has them."""

    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int


class UsageCounter:
    """Adds up the tokens of a running execution; any thread may add."""

    def __init__(self) -> None:
        self._total = _NO_USAGE
        self._lock = threading.Lock()

    def add(self, usage: TokenUsage | None = None, **tokens: Unpack[TokenCounts]) -> None:
        """
        Count tokens.

        Args:
            usage: Tokens by class.
            tokens: The same as keywords: input, cached_input, cache_write, output, reasoning.

        Raises:
            InvalidInputError: *usage* is no TokenUsage, a number is negative, reasoning exceeds output, or the sum is
                more than the database holds (2^63 - 1).
        """
        more = checked_usage(usage), checked(TokenUsage, **tokens)
        try:
            with self._lock:
                self._total = self._total + more[0] + more[1]
        except ValidationError as error:
            raise invalid_input(error) from error

    @property
    def total(self) -> TokenUsage:
        """What was counted so far."""
        return self._total


@dataclass(slots=True, eq=False)
class RunningExecution:
    """An execution that is running, as the code within it sees it."""

    id: str
    agent_id: str
    client: PrismaAgentClient = field(repr=False)
    parent: RunningExecution | None = field(repr=False)
    """The execution that called it, if that runs here."""
    result: Any = field(default=None, repr=False)
    """What it will be completed with; JSON."""
    model: str | None = None
    """The language model it used, if one."""
    cost: Decimal | None = None
    """In US dollars; None: what the price list says of its model and tokens."""
    settings: dict[str, Any] = field(default_factory=dict)
    """
    What was chosen for it, by name: prompt variant, temperature, …; JSON. `Patterns.recognize` finds which of them make
    a difference.
    """
    held: list[StepRow] = field(default_factory=list, repr=False)
    _usage: UsageCounter = field(default_factory=UsageCounter, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop, init=False, repr=False)

    @property
    def usage(self) -> UsageCounter:
        """Its tokens; `add` counts more."""
        return self._usage

    def log(self, message: str, level: LogLevel = "info", **data: Any) -> None:
        """
        Add a line to the trail; it is written a moment later, without a round trip of its own. Any thread may do it.

        Args:
            message: 1 to 100,000 characters.
            level: "debug", "info", "warning" or "error".
            data: Whatever else is to be kept with it: JSON.

        Raises:
            InvalidInputError: An argument does not fit; nothing is logged.
        """
        self.note(log_step(self.client.payloads, self.agent_id, self.id, message, level, data))

    def note(self, step: StepRow) -> None:
        """Add a step to the trail."""
        if self.client.in_transaction:
            self.held.append(step)  # nobody else sees the execution yet: its steps travel with its end
        elif _is_running_here(self._loop):
            self.client.gathering.journal.put([step])
        else:
            with suppress(RuntimeError):  # its event loop is closed: nobody is left who could write
                self._loop.call_soon_threadsafe(self.client.gathering.journal.put, [step])


_running: ContextVar[RunningExecution | None] = ContextVar("agentdb_execution", default=None)


def enter(running: RunningExecution) -> Token[RunningExecution | None]:
    """Make *running* the current execution of this task and those it starts; give the token to `leave`."""
    return _running.set(running)


def leave(token: Token[RunningExecution | None]) -> None:
    """Make current what was so before `enter`."""
    # Of a block that is entered in one task and left in another, as fixtures of tests are, nothing is current here.
    with suppress(ValueError):
        _running.reset(token)


def current_execution() -> RunningExecution | None:
    """Return the execution that the calling task runs in; None outside of one."""
    return _running.get()


def visible_execution(client: PrismaAgentClient) -> RunningExecution | None:
    """Return the running execution when it is one of *client*'s own database and organization."""
    running = _running.get()
    return running if running is not None and client.sees_rows_of(running.client) else None


def running_id(client: PrismaAgentClient) -> str | None:
    """Return the id of the running execution when it is one of *client*'s own database and organization."""
    running = visible_execution(client)
    return None if running is None else running.id


def note_memory(client: PrismaAgentClient, what: str, memory_ids: list[str], count: int | None = None) -> None:
    """Add to the trail of the running execution, if there is one, what was done to memories."""
    running = visible_execution(client)
    if running is not None:
        data: dict[str, Any] = {
            "count": len(memory_ids) if count is None else count,
            "memory_ids": memory_ids[:_MOST_NAMED],
        }
        if client.depth > running.client.depth:
            data["in_transaction"] = True  # it may yet be undone
        running.note(new_step("memory", what, running.agent_id, running.id, data=json_text(data)))


def checked_usage(usage: TokenUsage | None) -> TokenUsage:
    """Return *usage*, or none used; InvalidInputError when it is no TokenUsage."""
    if usage is None:
        return _NO_USAGE
    if not isinstance(usage, TokenUsage):
        raise InvalidInputError("usage", f"expected a TokenUsage, got {type(usage).__name__}.")
    return usage


def log_step(
    payloads: Payloads,
    agent_id: str | None,
    execution_id: str,
    message: str,
    level: LogLevel,
    data: Mapping[str, Any],
) -> StepRow:
    """Return a line of a trail; InvalidInputError when an argument does not fit."""
    if level not in _LEVELS:
        raise InvalidInputError("level", f"expected one of {', '.join(_LEVELS)}.")
    text = payloads.text(check_text(message, "message", at_most=_MAX_MESSAGE_CHARACTERS), "message")
    if not isinstance(data, Mapping):
        raise InvalidInputError("data", f"expected a dict, got {type(data).__name__}.")
    kept = payloads.object_json(dict(data), "data")
    return new_step("log", level, agent_id, execution_id, message=text, data=kept)


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:  # a thread without one
        return False
