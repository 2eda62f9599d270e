"""
What can go wrong between an agent and its database, made to happen.

Nothing of it is played: a failure is a real answer of the server, a connection that is really cut, or real waiting, on
the connection that the statement was about to run on. What follows, the error, another attempt, a new connection, is
what would follow in earnest.

It stands where every statement of every client passes: at the four methods of `postgres.connection.Connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.access.operations import running_name
from agentdb.client.access.statements import may_write
from agentdb.errors import InvalidInputError
from agentdb.postgres.connection import Connection
from agentdb.postgres.pool import Pool
from agentdb.testing.aside import Aside

if TYPE_CHECKING:
    from agentdb import PrismaAgentClient

__all__ = ["Failures", "injected_failures"]

_Send = Callable[[], Awaitable[Any]]
_Strike = Callable[[Connection, _Send], Awaitable[Any]]

_METHODS: Final = ("fetch", "execute", "script", "copy")
_OPERATION: Final = re.compile(r"[a-z_]+(\.\w+)*")
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
_LONGEST_SECONDS: Final = 3600
_RAISE: Final = "DO $$ BEGIN RAISE EXCEPTION 'A failure that the test asked for.' USING ERRCODE = '{sqlstate}'; END $$"


@dataclass(eq=False)
class _Armed:
    """A failure that waits for its statement."""

    what: str
    """What it is, for people."""
    strike: _Strike
    """Does it, in place of the statement."""
    operation: str | None
    """Which operations it waits for; None: any."""
    left: int | None
    """How often it still happens; None: until the end of the test."""
    is_of_commits: bool
    """Whether it waits for what commits: COMMIT, or a write outside of a transaction."""

    def fits(self, connection: Connection, sql: str) -> bool:
        """Whether the statement *sql*, about to run, is one that it waits for."""
        if self.operation is not None and not _is_part(running_name(), self.operation):
            return False
        return not self.is_of_commits or _commits(connection, sql)


class Failures:
    """
    Makes the database fail in ways that a test chooses: fixture `agentdb_failures`.

    Each method arms a failure, which waits for the next statement of a client in this process that it fits. Where
    several fit, the one that was armed first happens. Those that have not happened when the test ends fail it; what was
    armed never outlives the test.

    *operation* names which statements. "memories.store" are those of the method `client.memories.store`, of methods
    whose names go on from there (`store_many`), and of what they do in the background; "memories" are all of
    `client.memories`. An agent's task begins with "executions.track" and ends with "executions.track.end";
    `client.prisma` is "prisma", SQL of your own "sql". None is every statement, those aside that roll back.

    Example:
        agentdb_failures.lose_commit(operation="memories.store", took_effect=True)
        with pytest.raises(CommitUnknownError):
            await agent.remember("the answer is lost, the memory is not")
    """

    happened: list[str]
    """What has happened so far, in words, in order."""

    def __init__(self, aside: Aside) -> None:
        self.happened = []
        self._aside = aside
        self._armed: list[_Armed] = []
        self._is_over = False
        self._plain = {name: getattr(Connection, name) for name in _METHODS}
        self._plain_wait = Pool.wait

    def __repr__(self) -> str:
        return f"<Failures {len(self.happened)} happened, pending: {', '.join(self.pending) or 'none'}>"

    @property
    def pending(self) -> list[str]:
        """What was armed and has not happened yet, in words."""
        return [armed.what for armed in self._armed if armed.left is not None]

    def fail_next(self, error: str | Exception, *, operation: str | None = None, times: int = 1) -> None:
        """
        Let the next statement fail; it has no effect.

        Args:
            error: An SQLSTATE, such as "40001" for a conflict, "53100" for a full disk: the server answers with it, and
                a transaction that is open is lost as it would be. Or an exception: it is raised in place of what the
                server would answer, which does not hear of it.
            operation: Which statements; see the class.
            times: How many in a row. The client tries some statements again by itself: three fail it for a conflict.

        Raises:
            InvalidInputError: *error* or *operation* are none, or *times* is not at least 1.
        """
        if isinstance(error, Exception):
            raised = error

            async def strike(connection: Connection, _send: _Send) -> Any:
                connection.is_executing = False
                raise raised

        else:
            if not _SQLSTATE.fullmatch(str(error)):
                raise InvalidInputError("error", "expected an SQLSTATE of five digits and capitals, or an exception.")
            sql = _RAISE.format(sqlstate=error)

            async def strike(connection: Connection, _send: _Send) -> Any:
                return await self._plain["script"](connection, sql)

        name = error if isinstance(error, str) else type(error).__name__
        self._arm(f"fail_next({name})", strike, operation, times)

    def lose_connection(self, *, operation: str | None = None, times: int = 1) -> None:
        """
        Let the connection break while the next statement is on its way; it has no effect.

        Who only reads gets a ConnectionFailedError; who writes, and may not know, a CommitUnknownError; a transaction
        that is open is lost. The client connects again by itself.

        Args:
            operation: Which statements; see the class.
            times: How many in a row.
        """

        async def strike(connection: Connection, _send: _Send) -> Any:
            return await self._cut(connection)

        self._arm("lose_connection", strike, operation, times)

    def lose_commit(self, *, took_effect: bool, operation: str | None = None, times: int = 1) -> None:
        """
        Let the connection break while the next commit is on its way: CommitUnknownError, whatever became of it.

        What commits is the end of a transaction, and a statement that writes outside of one.

        Args:
            took_effect: Whether the server has done it, so that only its answer is lost.
            operation: Which statements; see the class. The end of `client.transaction()` is no operation's.
            times: How many in a row.
        """

        async def strike(connection: Connection, send: _Send) -> Any:
            if took_effect:
                await send()
            return await self._cut(connection)

        self._arm(f"lose_commit(took_effect={took_effect})", strike, operation, times, is_of_commits=True)

    def slow_down(self, seconds: float, *, operation: str | None = None, times: int | None = None) -> None:
        """
        Let the server take *seconds* longer for each statement; its connection is busy meanwhile.

        Args:
            seconds: 0 to 3600.
            operation: Which statements; see the class.
            times: How many in a row; None: all until the test ends.
        """
        if not 0 <= seconds <= _LONGEST_SECONDS:
            raise InvalidInputError("seconds", f"expected 0 to {_LONGEST_SECONDS}.")

        async def strike(connection: Connection, send: _Send) -> Any:
            await self._plain["script"](connection, f"SELECT pg_sleep({float(seconds)})")
            return await send()

        self._arm(f"slow_down({seconds:g})", strike, operation, times)

    @contextlib.asynccontextmanager
    async def exhaust_pool(self, client: PrismaAgentClient, *, wait_seconds: float = 0.05) -> AsyncIterator[None]:
        """
        Hold all connections of *client*'s pool while the block runs: who needs one gets a PoolTimeoutError.

        Args:
            client: An open client; those that share its pool have none either.
            wait_seconds: How long those who need one wait, in place of the pool's own patience.
        """
        plain_wait = self._plain_wait

        def wait(pool: Pool, tenant: str | None, timeout_seconds: float | None = None) -> Awaitable[Connection]:
            return plain_wait(pool, tenant, wait_seconds)

        size = (await client.health_check()).pool.size
        async with contextlib.AsyncExitStack() as held:
            for _ in range(size):
                transaction = await client.inner_driver.begin()
                held.push_async_callback(transaction.rollback)
            with _replaced(Pool, "wait", wait):
                self.happened.append("exhaust_pool")
                yield

    def clear(self) -> None:
        """Forget what is armed and has not happened."""
        self._armed.clear()

    def end(self) -> None:
        """Let nothing more happen: the test is over, and what comes is clearing away."""
        self._is_over = True

    # Underneath.

    def _arm(
        self, what: str, strike: _Strike, operation: str | None, times: int | None, *, is_of_commits: bool = False
    ) -> None:
        if times is not None and times < 1:
            raise InvalidInputError("times", f"expected at least 1, got {times}.")
        if operation is not None:
            _check_operation(operation)
            what = f"{what} in {operation}"
        self._armed.append(_Armed(what, strike, operation, times, is_of_commits))

    async def _pass(self, connection: Connection, sql: str, send: _Send) -> Any:
        """Send a statement, or do what is armed for it."""
        armed = self._next(connection, sql)
        return await (send() if armed is None else armed.strike(connection, send))

    def _next(self, connection: Connection, sql: str) -> _Armed | None:
        # Without an organization it is no agent's doing: a client looks at the database when it connects.
        if not self._armed or self._is_over or connection.tenant is None or sql.startswith("ROLLBACK"):
            return None
        armed = next((each for each in self._armed if each.fits(connection, sql)), None)
        if armed is not None:
            self.happened.append(armed.what)
            if armed.left is not None:
                armed.left -= 1
                if not armed.left:
                    self._armed.remove(armed)
        return armed

    async def _cut(self, connection: Connection) -> Any:
        """Have the server end this session while a statement runs in it, and raise what comes of that."""
        running = asyncio.ensure_future(self._plain["script"](connection, f"SELECT pg_sleep({_LONGEST_SECONDS})"))
        running.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever is still there to hear
        await asyncio.sleep(0)  # it is sent: a connection that is known to be closed would be left alone, and no error
        await self._aside.run_awaited(f"SELECT pg_terminate_backend({connection.raw.get_server_pid()})")
        return await running

    @contextlib.contextmanager
    def _installed(self) -> Iterator[None]:
        with contextlib.ExitStack() as replaced:
            for name in _METHODS:
                replaced.enter_context(_replaced(Connection, name, self._method(name)))
            yield

    def _method(self, name: str) -> Callable[..., Awaitable[Any]]:
        plain = self._plain[name]

        async def method(connection: Connection, text: str, *arguments: Any) -> Any:
            sql = f"COPY {text}" if name == "copy" else text
            return await self._pass(connection, sql, lambda: plain(connection, text, *arguments))

        return method


@contextlib.contextmanager
def injected_failures(url: str) -> Iterator[Failures]:
    """
    Let a test make the database of *url* fail; afterwards nothing is left of it.

    Args:
        url: The server, and the role that clients connect as: it may end its own sessions.
    """
    aside = Aside(url)
    failures = Failures(aside)
    try:
        with failures._installed(), _told_of_operations():
            yield failures
    finally:
        aside.close()


@contextlib.contextmanager
def _replaced(owner: type[Any], name: str, value: object) -> Iterator[None]:
    plain = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, plain)


@contextlib.contextmanager
def _told_of_operations() -> Iterator[None]:
    """Have clients keep account of the operation that is running, which they do where somebody listens."""
    logger = logging.getLogger("agentdb.access")
    if logger.isEnabledFor(logging.INFO):
        yield
        return
    level = logger.level

    def is_silent(_record: logging.LogRecord) -> bool:
        return False  # nobody has asked to read of it

    logger.setLevel(logging.INFO)
    logger.addFilter(is_silent)
    try:
        yield
    finally:
        logger.removeFilter(is_silent)
        logger.setLevel(level)


def _is_part(name: str | None, operation: str) -> bool:
    return name is not None and (name == operation or name.startswith((f"{operation}.", f"{operation}_")))


def _commits(connection: Connection, sql: str) -> bool:
    return sql == "COMMIT" or (may_write(sql) and not connection.raw.is_in_transaction())


def _check_operation(operation: str) -> None:
    if not _OPERATION.fullmatch(str(operation)):
        raise InvalidInputError("operation", "expected a name such as 'memories.store', or 'memories' for all of it.")
    family = operation.partition(".")[0]
    if family not in _families():
        raise InvalidInputError("operation", f"there is no {family!r}; expected one of {', '.join(_families())}.")


def _families() -> list[str]:
    """Return the first words of all operations."""
    from agentdb.client.resource import Resource

    found, seen = {"prisma", "sql"}, [Resource]
    while seen:
        kinds = seen.pop().__subclasses__()
        found |= {kind.family for kind in kinds}
        seen += kinds
    return sorted(found)
