"""
The operation that is running: who does what, and what becomes of it in the end.

An operation is one call of a public method of a resource, of an action of `client.prisma`, or of raw SQL. What it calls
in its turn is part of it. When it ends it is told to the logger "agentdb.access", to OpenTelemetry if that is in use,
and to the table `access_log` if that is switched on.

Where nobody listens a call costs 0.5 us more than without all this; where the logger does 7 us in a loop and 20 between
round trips, when nothing is in the processor's caches; most of them are its own, for the record.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from agentdb.client import telemetry
from agentdb.client.access.statements import touched, with_entry
from agentdb.errors import NotConnectedError
from agentdb.ids import uuid7_text
from agentdb.models import MemoryHit
from agentdb.security.access_log import on_one_line
from agentdb.validation import UnstorableError, check_characters, check_text

if TYPE_CHECKING:
    from types import TracebackType

    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.execution.running import RunningExecution

__all__ = [
    "HOUSEKEEPING",
    "Entry",
    "Operation",
    "acting_as",
    "as_now",
    "is_watched",
    "running_name",
    "running_operation",
]

T = TypeVar("T")

logger: Final = logging.getLogger("agentdb.access")

HOUSEKEEPING: Final = frozenset(
    {
        "executions.beat",
        "executions.end_rows",
        "executions.start_rows",
        "memories.count_recalls",
        "memories.store_rows",
        "steps.write",
    }
)
"""What the client does by itself, for calls that were told when they were made: logged at DEBUG."""

_MOST_IDS: Final = 20
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST: Final = 255


class _Actor(NamedTuple):
    agent_id: str | None
    user_name: str | None


_actor: ContextVar[_Actor] = ContextVar("agentdb_actor", default=_Actor(None, None))  # noqa: B039 - it is immutable
_running: ContextVar[Operation | None] = ContextVar("agentdb_operation", default=None)


@contextmanager
def acting_as(agent_id: str | None = None, user: str | None = None) -> Iterator[None]:
    """
    Say who does what is done inside, for the access log: in this task and in those that it starts there.

    Without it the agent is that of the running execution, or else the one that a call names.

    Args:
        agent_id: The agent, 1 to 255 characters; None: as it was outside.
        user: The person or system on whose behalf, 1 to 255 characters; None: as it was outside.

    Raises:
        InvalidInputError: An argument does not fit.

    Example:
        with acting_as(user="mia@example.com"):
            await client.memories.delete(memory_id)
    """
    outside = _actor.get()
    token = _actor.set(
        _Actor(
            outside.agent_id if agent_id is None else check_text(agent_id, "agent_id"),
            outside.user_name if user is None else check_text(user, "user"),
        )
    )
    try:
        yield
    finally:
        _actor.reset(token)


def as_now(
    client: PrismaAgentClient, agent_id: str, work: Callable[[], Awaitable[T]]
) -> Callable[[], Coroutine[Any, Any, T]]:
    """Return *work*, which is put off, to be done in the name of whoever acts now; of *agent_id* where nobody does."""
    actor = _actor.get()
    actor = actor._replace(agent_id=actor.agent_id or _executing_agent(client) or agent_id)

    async def done() -> T:
        token = _actor.set(actor)
        try:
            return await work()
        finally:
            _actor.reset(token)

    return done


class Entry(NamedTuple):
    """An operation on its way to the table; *started* is a moment of `time.perf_counter`."""

    id: str
    started: float
    agent_id: str | None
    user_name: str | None
    operation: str
    table_names: tuple[str, ...]
    row_ids: tuple[str, ...]
    row_count: int | None
    duration_ms: float
    outcome: str


class WithEntry(NamedTuple):
    """
    What is sent in place of a block, so that its entry travels along.

    Attributes:
        sql: The statement.
        arguments: Those that come after the block's own.
        has_been_written: To be called when it has succeeded.
    """

    sql: str
    arguments: tuple[object, ...]
    has_been_written: Callable[[], None]


class Operation:
    """
    An operation, from its beginning to its end: `with Operation(client, name): …`.

    Args:
        client: Whose client it is called on.
        name: What is called: "memories.store".
        agent_id: The agent that the call names, whatever that is.

    Attributes:
        agent_id: Who does it, as far as that is known.
        user_name: On whose behalf.
        client: The client that it is called on.
        name: What is called.
        has_entry: Whether an entry was written together with what it changed.
        is_over: Whether it has ended.
    """

    __slots__ = (
        *("_changed", "_outcome", "_read", "_row_count", "_row_ids", "_span", "_started", "_token"),
        *("agent_id", "client", "has_entry", "is_over", "name", "user_name"),
    )

    def __init__(self, client: PrismaAgentClient, name: str, agent_id: object = None) -> None:
        actor = _actor.get()
        self.client = client
        self.name = name
        self.agent_id: str | None = actor.agent_id or _executing_agent(client) or _as_id(agent_id)
        self.user_name: str | None = actor.user_name
        self.has_entry: bool = False
        self.is_over: bool = False
        self._changed: dict[str, None] = {}
        self._read: dict[str, None] = {}
        self._row_ids: tuple[str, ...] = ()
        self._row_count: int | None = None
        self._token: Token[Operation | None] | None = None
        self._span: telemetry.OperationSpan | None = None
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self.end(error)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Let it be the running one for a part of its time, as a generator's is; who does this ends it by `end`."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        self._token = _running.set(self)
        if self._span is None:
            self._span = telemetry.start_operation(self)
        if self._span is not None:
            telemetry.enter(self._span)

    def _leave(self) -> None:
        if self._span is not None:
            telemetry.leave(self._span)
        if self._token is not None:
            _running.reset(self._token)
            self._token = None

    # What it does.

    def touches(self, tables: Iterable[str], *, changes: bool = False) -> None:
        """Note that it reads, or changes, *tables*."""
        (self._changed if changes else self._read).update(dict.fromkeys(tables))

    def statement(self, sql: str, *, counts: bool = False) -> WithEntry | None:
        """
        Note a block of queries/*.sql that it sends.

        Args:
            sql: The block.
            counts: Whether only the number of its rows is asked for.

        Returns:
            What to send in its place when an entry of the table has to travel with it; else None.
        """
        found = touched(sql)
        if not found.written:
            self.touches(found.named)
            return None
        self.touches(found.written, changes=True)
        if not self.client.keeps_access_log:
            return None
        text = with_entry(sql, counts=counts, only_if_any=self.name in HOUSEKEEPING)
        arguments = (uuid7_text(), self.agent_id, self.user_name, self.name, self._elapsed_ms())
        return WithEntry(text, arguments, self.has_been_entered)

    def has_been_entered(self) -> None:
        """Note that an entry was written with what it changed: there is something to be chained."""
        self.has_entry = True
        self.client.gathering.access_log.note_entered(is_committed=not self.client.in_transaction)

    def tell(self, result: object) -> None:
        """Note what it came to, by what the caller gets; where that is nothing, what its statements said stands."""
        if result is not None:
            self._row_ids, self._row_count = _told(result)

    def count(self, more: int) -> None:
        """Note that it touched so many rows, or yielded so many things."""
        self._row_count = (self._row_count or 0) + more

    def entry(self, result: object = None) -> Entry:
        """Return the entry of a part of it that came to *result*, to be added in the transaction of that part."""
        return self._entry(*_told(result), self._elapsed_ms(), "ok")

    def _entry(self, row_ids: tuple[str, ...], row_count: int | None, duration_ms: float, outcome: str) -> Entry:
        return Entry(
            uuid7_text(),
            self._started,
            self.agent_id,
            self.user_name,
            self.name,
            tuple(self._changed or self._read),
            row_ids,
            row_count,
            duration_ms,
            outcome,
        )

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._started) * 1000

    # How it ends.

    def end(self, error: BaseException | None = None) -> None:
        """Tell whoever listens how it ended."""
        if isinstance(error, GeneratorExit):  # whoever reads lines has had enough of them
            error = None
        self.is_over = True
        duration_ms = self._elapsed_ms()
        outcome = "ok" if error is None else type(error).__name__[:_LONGEST]
        if self.client.keeps_access_log and self._is_to_be_entered(error):
            entry = self._entry(self._row_ids, self._row_count, duration_ms, outcome)
            self.client.gathering.access_log.put(entry)
        level = logging.DEBUG if self.name in HOUSEKEEPING else logging.INFO
        if logger.isEnabledFor(level):
            self._log(level, duration_ms, outcome)
        if self._span is not None:
            telemetry.end_operation(self._span, tuple(self._changed or self._read), self._row_count, outcome)

    def _is_to_be_entered(self, error: BaseException | None) -> bool:
        """Return whether the table has to be told, which it was already of what was changed."""
        if error is None:
            return not self.has_entry and self.name not in HOUSEKEEPING
        return not isinstance(error, NotConnectedError)

    def _log(self, level: int, duration_ms: float, outcome: str) -> None:
        try:
            # Not by `log`, which goes through the stack to find who logs: it is always this line. Nor by `extra`, which
            # is refused where the application's own factory of records uses one of the names.
            record = logger.makeRecord(logger.name, level, __file__, 0, self.name, (), None, "end")
            record.__dict__.update(
                organization_id=self.client.organization_id,
                agent_id=self.agent_id and on_one_line(self.agent_id),
                user_name=self.user_name and on_one_line(self.user_name),
                operation=self.name,
                table_names=tuple(self._changed or self._read),
                row_ids=self._row_ids,
                row_count=self._row_count,
                duration_ms=duration_ms,
                outcome=outcome,
            )
            logger.handle(record)
        except Exception as error:  # a handler, a filter or a factory of the application's: the work is done
            if logging.raiseExceptions:  # where logging tells of its own failures, too
                sys.stderr.write(f"agentdb: an access could not be logged: {type(error).__name__}\n")


def running_operation(client: PrismaAgentClient) -> Operation | None:
    """Return the operation that the calling code is part of, if it is one of *client*'s database and organization."""
    operation = _running.get()
    # One that is over was inherited by a task that outlives it.
    if operation is None or operation.is_over:
        return None
    theirs = operation.client
    is_same = theirs is client or (
        theirs.organization_id == client.organization_id and theirs.settings is client.settings
    )
    return operation if is_same else None


def running_name() -> str | None:
    """Return what the operation is called that the calling code is part of, of whatever client."""
    operation = _running.get()
    return None if operation is None or operation.is_over else operation.name


def is_watched(client: PrismaAgentClient) -> bool:
    """Return whether anybody wants to know what is done."""
    return client.keeps_access_log or logger.isEnabledFor(logging.INFO) or telemetry.MODULE in sys.modules


def _executing_agent(client: PrismaAgentClient) -> str | None:
    execution = _visible_execution()(client)
    return None if execution is None else execution.agent_id


@cache
def _visible_execution() -> Callable[[PrismaAgentClient], RunningExecution | None]:
    # Here and not above: what runs executions is made of resources, and they of this.
    from agentdb.client.execution.running import visible_execution

    return visible_execution


def _as_id(value: object) -> str | None:
    """Return *value* if the table can hold it: a call that is refused for what it names is told all the same."""
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST:
        return None
    try:
        return check_characters(value)
    except UnstorableError:
        return None


def _told(result: object) -> tuple[tuple[str, ...], int | None]:
    """Return the ids of what a caller gets, and how many there are: of rows, of changes, of things found."""
    match result:
        case None:
            return (), None
        case bool() | int():
            return (), int(result)
        case str():
            return _ids([result]), 1
        case dict():
            return _of_mapping(result)
        case tuple() if hasattr(result, "_asdict"):
            numbers = [part for part in result if isinstance(part, int)]
            return (), sum(numbers) if numbers else None
        case list() | tuple():
            return _ids(result[:_MOST_IDS]), len(result)
    return _ids([result]), 1


def _of_mapping(result: dict[Any, Any]) -> tuple[tuple[str, ...], int | None]:
    """Return the same of what Prisma's engine answers: a row, a count, or the rows of raw SQL."""
    match result:
        case {"id": _}:
            return _ids([result]), 1
        case {"count": int(count)} if len(result) == 1:
            return (), count
        case {"columns": _, "rows": [*rows]}:
            return (), len(rows)
    return (), len(result)


def _ids(items: Iterable[object]) -> tuple[str, ...]:
    return tuple([id for item in items if (id := _id_of(item)) is not None])


def _id_of(item: object) -> str | None:
    if isinstance(item, str):
        return item if _UUID.fullmatch(item) else None  # whatever else it is may be contents
    if isinstance(item, dict):
        id = item.get("id")
    else:
        id = getattr(item.memory if isinstance(item, MemoryHit) else item, "id", None)
    return id if isinstance(id, str) else None
