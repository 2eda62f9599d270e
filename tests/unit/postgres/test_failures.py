"""Every error of the database library becomes one of ours, with what a program needs and nothing that is secret."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl

import asyncpg
import pytest

from agentdb.errors import (
    AgentDBError,
    CommitUnknownError,
    ConnectionFailedError,
    DatabaseError,
    InvalidArgumentError,
    NotFoundError,
    QueryTimeoutError,
    TransactionConflictError,
)
from agentdb.postgres.failures import is_lost_connection, translate, translate_connect
from agentdb.postgres.url import parse_url

OPTIONS = parse_url("postgresql://u:hunter2@db/x")


def server_error(sqlstate: str, **fields: str) -> asyncpg.PostgresError:
    """An error as the library makes it of the server's answer."""
    answer = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": "message", **fields}
    error = asyncpg.PostgresError.new(answer, query="SELECT 'hunter2'")
    assert isinstance(error, asyncpg.PostgresError)
    return error


def all_server_errors() -> list[type[asyncpg.PostgresError]]:
    return [
        cls
        for _, cls in inspect.getmembers(asyncpg.exceptions, inspect.isclass)
        if issubclass(cls, asyncpg.PostgresError) and getattr(cls, "sqlstate", None)
    ]


def expected_class(sqlstate: str) -> type[DatabaseError]:
    if sqlstate == "57014":
        return QueryTimeoutError
    if sqlstate in ("40001", "40P01", "55P03"):
        return TransactionConflictError
    if sqlstate in ("40003", "08007"):
        return CommitUnknownError
    if sqlstate[:2] in ("08", "28") or sqlstate in (
        "57P01",
        "57P02",
        "57P03",
        "57P04",
        "57P05",
        "25P03",
        "25P04",
        "53300",
    ):
        return ConnectionFailedError
    return DatabaseError


@pytest.mark.parametrize("cls", all_server_errors(), ids=lambda cls: cls.__name__)
def test_the_translation_is_total(cls: type[asyncpg.PostgresError]) -> None:
    """Each class that the library knows, in an answer and while connecting."""
    sqlstate = cls.sqlstate
    assert isinstance(sqlstate, str)
    error = server_error(sqlstate)
    ours = translate(error)
    assert type(ours) is expected_class(sqlstate)
    assert isinstance(ours, DatabaseError)
    assert ours.sqlstate == sqlstate
    assert isinstance(translate_connect(error, OPTIONS), ConnectionFailedError)
    in_doubt = translate(error, in_doubt=True)
    assert isinstance(in_doubt, CommitUnknownError) == (is_lost_connection(error) or sqlstate == "40003")


def test_an_unknown_state_is_a_database_error() -> None:
    """A server newer than the library."""
    ours = translate(server_error("ZZ999"))
    assert type(ours) is DatabaseError
    assert ours.sqlstate == "ZZ999"


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for _, cls in inspect.getmembers(asyncpg.exceptions, inspect.isclass)
        if issubclass(cls, asyncpg.InterfaceError | asyncpg.InternalClientError)
    ],
    ids=lambda cls: cls.__name__,
)
def test_the_librarys_own_errors_are_ours_too(cls: type[Exception]) -> None:
    """What it raises by itself."""
    assert isinstance(translate(cls("x")), DatabaseError)
    assert isinstance(translate_connect(cls("x"), OPTIONS), ConnectionFailedError)


def test_what_the_server_said_is_kept() -> None:
    """Constraint, table, column, detail and hint as attributes; the text is the server's."""
    error = server_error("23505", D="Key (id)=(1) already exists.", H="hint", n="t_pkey", t="t", c="id")
    ours = translate(error)
    assert isinstance(ours, DatabaseError)
    assert (ours.constraint, ours.table, ours.column, ours.hint) == ("t_pkey", "t", "id", "hint")
    assert ours.detail == "Key (id)=(1) already exists."
    assert str(ours) == "message"


def test_a_long_text_is_cut() -> None:
    """The server quotes a bad value whole."""
    assert len(str(translate(server_error("22P02", M="x" * 1_000_000)))) < 1000


def test_an_argument_that_does_not_fit() -> None:
    """Which one and why, without the value."""
    error = asyncpg.DataError("invalid input for query argument $3: 'hunter2' (expected int)")
    error.__cause__ = TypeError("an integer is required (got type str)")
    ours = translate(error)
    assert isinstance(ours, InvalidArgumentError)
    assert (ours.argument, ours.sqlstate) == (3, "22000")
    assert str(ours) == "Argument $3 does not fit its parameter: an integer is required (got type str)."


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "x"),
        BrokenPipeError(),
        ssl.SSLError("x"),
        asyncpg.ConnectionDoesNotExistError("x"),
        EOFError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_connection(error: Exception) -> None:
    """A failed connection for a read; for a write that had been sent, not known."""
    ours = translate(error)
    assert isinstance(ours, ConnectionFailedError)
    assert ours.is_transient
    assert isinstance(translate(error, in_doubt=True), CommitUnknownError)


def test_what_is_not_the_databases_passes() -> None:
    """Cancellation, and errors of the caller's own code."""
    for error in (asyncio.CancelledError(), KeyError(), ZeroDivisionError()):
        assert translate(error) is None
        assert translate_connect(error, OPTIONS) is None
    mine = NotFoundError("agent", "x")
    assert translate(mine) is mine
    assert translate_connect(mine, OPTIONS) is mine


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('1.2.3.4', 5432)"), "connection refused. Is it running?"),
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory. Is it running?"),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (TimeoutError(), "no answer within 5 s"),
        (ssl.SSLCertVerificationError(1, "x"), "TLS failed"),
        (server_error("28P01", M='password authentication failed for user "u"'), "Check the user name and password"),
        (server_error("3D000", M='database "x" does not exist'), 'database "x" does not exist.'),
        (server_error("57P03", M="the database system is starting up"), "starting up."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_failure_to_connect_says_what_to_do(error: Exception, text: str) -> None:
    """Where, why and what next; never the password."""
    ours = translate_connect(error, OPTIONS)
    assert isinstance(ours, ConnectionFailedError)
    assert "Cannot connect to PostgreSQL at db:5432 (DATABASE_URL): " in str(ours)
    assert text in str(ours)
    assert "hunter2" not in str(ours)


def test_what_lasts_is_not_transient() -> None:
    """A wrong password does not become right; a server that starts up does."""
    for sqlstate, is_transient in (
        ("28P01", False),
        ("3D000", False),
        ("57P03", True),
        ("53300", True),
        ("08006", True),
    ):
        ours = translate_connect(server_error(sqlstate), OPTIONS)
        assert isinstance(ours, ConnectionFailedError)
        assert ours.is_transient is is_transient


def test_what_tls_refuses_is_not_transient() -> None:
    """A certificate does not become right, nor does a server learn TLS; a handshake that breaks off may yet succeed."""
    refused = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] …")
    refused.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    for error, is_transient in (
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), False),
        (refused, False),
        (ConnectionError("PostgreSQL server at db:5432 rejected SSL upgrade"), False),
        (asyncpg.ClientConfigurationError('root certificate file "…" does not exist'), False),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True),
        (ConnectionRefusedError(111, "Connection refused"), True),
    ):
        ours = translate_connect(error, OPTIONS)
        assert isinstance(ours, ConnectionFailedError)
        assert ours.is_transient is is_transient, error


def test_a_server_that_hangs_up() -> None:
    """Before or in the middle of the handshake; in words of ours, not in the library's."""
    for error in (ConnectionError("unexpected connection_lost() call"), ConnectionResetError()):
        ours = translate_connect(error, OPTIONS)
        assert isinstance(ours, ConnectionFailedError)
        assert "it closed the connection at once. Is it PostgreSQL that listens there?" in str(ours)
        assert ours.is_transient


def test_every_translation_is_an_agentdb_error() -> None:
    """One family for one except clause."""
    assert issubclass(ConnectionFailedError, AgentDBError)
