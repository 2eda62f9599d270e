"""
The way to the database, as everything above this package sees it.

A `Driver` is one tenant's way to PostgreSQL: a pool or an open transaction. What runs on a driver does not know which;
that is how Prisma queries, written SQL and COPY share one connection, one transaction and one tenant setting.

This module imports no database library, so the pure parts of the engine and their tests may use it freely.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, overload, runtime_checkable

__all__ = [
    "Bind",
    "Binding",
    "Column",
    "Driver",
    "PgType",
    "Record",
    "Statement",
    "Transaction",
]


@dataclass(frozen=True, slots=True)
class PgType:
    """
    A type as the server names it.

    Attributes:
        oid: The type's number on this server; stable for built-in types only.
        name: Its name, for example "int4" or "text"; an array is named after its element, "text[]".
        kind: One of scalar, array, composite, range, multirange.
        schema: The schema it lives in; "pg_catalog" for the built-in ones.
        element: The type of an array's elements; None when it is no array.
    """

    oid: int
    name: str
    kind: str
    schema: str
    element: PgType | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result."""

    name: str
    type: PgType


class Record(Protocol):
    """One row: a sequence of values that is also readable by column name."""

    @overload
    def __getitem__(self, index: str) -> Any: ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def keys(self) -> Iterator[str]: ...
    def values(self) -> Iterator[Any]: ...
    def items(self) -> Iterator[tuple[str, Any]]: ...


@runtime_checkable
class Statement(Protocol):
    """A statement that the server has parsed: what a `Bind` needs to know to convert values."""

    @property
    def sql(self) -> str:
        """The text, with $1, $2 … for its parameters."""

    @property
    def parameter_types(self) -> tuple[PgType, ...]:
        """The type the server inferred for each parameter."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the result; empty when the statement returns no rows."""


class Binding(Protocol):
    """Converts the values of one statement; made by a `Bind` and kept with the statement."""

    def encode(self, arguments: Sequence[object]) -> Sequence[object]:
        """Turn the caller's arguments into what the parameters' types take. Runs before anything is sent."""

    def decode(self, rows: list[Record]) -> Any:
        """Turn the rows into what `Driver.fetch` returns."""


Bind = Callable[[Statement], Binding]
"""
Makes the binding of a statement. Called once per prepared statement and the result kept there, under the function
itself: pass a function of a module, not a fresh closure or lambda, or nothing is ever found again.
"""


@runtime_checkable
class Driver(Protocol):
    """
    One tenant's way to the database.

    Every method raises the `agentdb.errors.DatabaseError` family and nothing of the database library. A value that does
    not fit its parameter is an `InvalidArgumentError`, raised before anything was sent. On a pool each call is a
    transaction of its own; on a transaction the calls queue, so `asyncio.gather` inside one is safe.
    """

    async def fetch(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> Any:
        """
        Run one statement and return its rows.

        Args:
            sql: The statement, parameters as $1, $2 …
            arguments: A value for each parameter.
            bind: Converts arguments and rows. None: values travel as the driver's own Python types.

        Returns:
            The rows as a list of `Record`, in the server's order; with *bind*, whatever its decode makes of them.
        """

    async def execute(self, sql: str, arguments: Sequence[object] = (), *, bind: Bind | None = None) -> int:
        """
        Run one statement and return the number of rows it touched, 0 for a statement that counts none.

        Args:
            sql: The statement, parameters as $1, $2 …
            arguments: A value for each parameter.
            bind: Converts the arguments; its decode is not called.
        """

    async def script(self, sql: str) -> str:
        """
        Run a text of one or more statements without parameters and return the last command tag.

        Outside a transaction the whole text is one implicit transaction, unless it says BEGIN or COMMIT itself.
        """

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        *,
        schema: str | None = None,
    ) -> int:
        """
        Load *records* with COPY and return how many there were; all or nothing.

        PostgreSQL has no COPY FROM for a role that row-level security binds, so the application role is refused on such
        tables with `DatabaseError` (SQLSTATE 0A000): use `INSERT … SELECT … FROM unnest(…)` there.

        Args:
            table: The table's name as it is stored, unquoted.
            columns: The columns that each record fills, in order.
            records: One sequence of values per row. json travels as str; a vector as the bytes of `pack_vector`.
            schema: The table's schema; None takes the search path.
        """

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """
        Open a transaction: committed when the block ends, rolled back when an error or a cancellation leaves it.

        On a transaction it is a savepoint.
        """

    async def begin(self, *, timeout_seconds: float | None = None) -> Transaction:
        """
        Open a transaction that the caller must commit or roll back.

        Args:
            timeout_seconds: How long to wait for a free connection; None takes the pool's own limit.

        Raises:
            PoolTimeoutError: No connection became free in time.
        """


@runtime_checkable
class Transaction(Driver, Protocol):
    """
    An open transaction, or a savepoint in one. Usable until it is committed or rolled back, then every call raises
    `TransactionClosedError`.
    """

    async def commit(self) -> None:
        """
        Make the work permanent and end the transaction.

        Raises:
            CommitUnknownError: The connection was lost while the server was committing.
            DatabaseError: A statement had failed before, or the server refused the commit; all is rolled back.
        """

    async def rollback(self) -> None:
        """Undo the work and end the transaction. Doing it again, or after a commit, does nothing."""
