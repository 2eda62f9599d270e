"""
The one place where the database library's exceptions become ours.

Every exception that asyncpg, the socket or TLS can raise passes `translate` once, `from` the original. What a program
decides on is the class and the SQLSTATE; the text never holds a password or an argument's value. Nor does the text of
the original, which a traceback prints with ours: what it quotes of arguments and rows is taken out of it, and DETAIL is
an attribute of ours alone. What the server says of SQL of the caller's own is left as it is.
"""

from __future__ import annotations

import os
import ssl
from typing import Final

import asyncpg

from agentdb.errors import (
    AgentDBError,
    CommitUnknownError,
    ConnectionFailedError,
    DatabaseError,
    InvalidArgumentError,
    QueryTimeoutError,
    TransactionConflictError,
    without_values,
)
from agentdb.postgres.tls import tls_failure
from agentdb.postgres.url import ConnectionOptions

__all__ = ["is_cancellation", "is_changed_result", "is_known", "is_lost_connection", "translate", "translate_connect"]

_BY_SQLSTATE: Final[dict[str, type[DatabaseError]]] = {
    "57014": QueryTimeoutError,
    "40001": TransactionConflictError,
    "40P01": TransactionConflictError,
    "55P03": TransactionConflictError,
    "40003": CommitUnknownError,
    "08007": CommitUnknownError,
    "57P01": ConnectionFailedError,
    "57P02": ConnectionFailedError,
    "57P03": ConnectionFailedError,
    "57P04": ConnectionFailedError,
    "57P05": ConnectionFailedError,
    "25P03": ConnectionFailedError,
    "25P04": ConnectionFailedError,
    "53300": ConnectionFailedError,
}
_BY_CLASS: Final[dict[str, type[DatabaseError]]] = {"08": ConnectionFailedError, "28": ConnectionFailedError}
# Trying again cannot help: the password is wrong, the role may not, the database is gone.
_LASTING: Final = ("28", "57P04", "3D000")
_LONGEST_TEXT: Final = 600  # a server quotes a bad value whole, however long it is
# How the database library says that the server answered no to the request for TLS.
_NO_TLS: Final = "rejected SSL upgrade"
# How it says that the server closed the connection before it answered.
_HUNG_UP: Final = "unexpected connection_lost()"
_ROW_SECURITY_HINT: Final = (
    "COPY cannot load a table that row-level security binds this role on; use INSERT … SELECT … FROM unnest(…)."
)


def translate(error: BaseException, *, in_doubt: bool = False) -> AgentDBError | None:
    """
    Return our error for *error*, or None when it is not the database's and shall pass as it is.

    Args:
        error: What was caught.
        in_doubt: A write or a commit had been sent when it happened, so a lost connection leaves its outcome unknown.
    """
    if isinstance(error, AgentDBError):
        return error
    if in_doubt and is_lost_connection(error):
        return CommitUnknownError(sqlstate=_sqlstate(error))
    # asyncpg raises the server's class 22 error by itself, with no severity, when a value does not fit.
    if isinstance(error, asyncpg.DataError) and error.severity is None:
        return _from_argument(error)
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error)
    if isinstance(error, asyncpg.InterfaceError):
        return _from_client(error)
    if isinstance(error, asyncpg.InternalClientError):
        if is_lost_connection(error):
            return ConnectionFailedError("The connection to PostgreSQL was lost.", is_transient=True)
        return DatabaseError(f"The database library failed: {error}", sqlstate="XX000")
    if isinstance(error, TimeoutError):
        return QueryTimeoutError()
    if isinstance(error, OSError | ssl.SSLError | EOFError):
        return ConnectionFailedError(f"The connection to PostgreSQL was lost: {_reason(error)}.", is_transient=True)
    return None


def translate_connect(error: BaseException, options: ConnectionOptions) -> AgentDBError | None:
    """Return our error for a failure to connect, or None when it is not the database's."""
    if isinstance(error, AgentDBError):
        return error
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(error.__cause__, ssl.SSLError):
        error = error.__cause__  # with TLS 1.3 a certificate is refused once the client believes to be connected
    place = f"PostgreSQL at {options.address} ({options.variable})"
    sqlstate = _sqlstate(error)
    if sqlstate is not None and sqlstate.startswith("28"):
        text = _server_text(error)
        reason = f"the server refused role {options.user!r}: {text}. {_why_refused(text)}"
    elif isinstance(error, asyncpg.ConnectionDoesNotExistError) and options.ssl_cert:
        # What the server says of a certificate is lost when it closes the connection before that was read.
        reason = "the server closed it at once. It may have refused the certificate of this client: its log says why"
    elif sqlstate is not None:
        reason = _server_text(error)
    elif isinstance(error, TimeoutError):
        reason = (
            f"no answer within {options.connect_timeout_seconds:g} s"
            if options.connect_timeout_seconds
            else "no answer"
        )
    elif isinstance(error, ssl.SSLError):
        reason = tls_failure(error, options.host)
    elif isinstance(error, OSError) and _NO_TLS in str(error):
        reason = (
            "the server offers no TLS, and the URL or AGENTDB_REQUIRE_TLS asks for it. Switch it on there: ssl = on, "
            "with ssl_cert_file and ssl_key_file"
        )
    elif isinstance(error, ConnectionError) and (not error.args or _HUNG_UP in str(error)):
        reason = "it closed the connection at once. Is it PostgreSQL that listens there? Try `agentdb doctor`"
    elif isinstance(error, OSError):
        reason = f"{_reason(error)}. Is it running? Try `agentdb doctor`"
    elif isinstance(error, asyncpg.ClientConfigurationError) and "root certificate" in str(error):
        reason = (
            f"sslmode={options.ssl_mode} needs the certificate of the server's authority. Name it as sslrootcert=FILE; "
            "sslrootcert=system takes those that the system trusts"
        )
    elif isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | ValueError):
        reason = str(error)
    else:
        return None
    transient = not (_is_refusal_of_tls(error) if sqlstate is None else sqlstate.startswith(_LASTING))
    return ConnectionFailedError(f"Cannot connect to {place}: {reason}.", sqlstate=sqlstate, is_transient=transient)


def is_lost_connection(error: BaseException) -> bool:
    """Whether *error* means that the connection broke, so the outcome of what was sent is not known."""
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = _sqlstate(error) or ""
        return sqlstate.startswith("08") or sqlstate in ("57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04")
    if isinstance(error, asyncpg.InterfaceError):
        return "connection is closed" in str(error) or "connection was closed" in str(error)
    if isinstance(error, asyncpg.InternalClientError):
        # A server that ends the session in the middle of an answer leaves the library in a state it did not expect.
        return "cannot switch to state" in str(error)
    return isinstance(error, OSError | EOFError) and not isinstance(error, TimeoutError)


def is_changed_result(error: BaseException) -> bool:
    """Whether *error* says that a prepared statement would now return other columns than it did."""
    return isinstance(error, asyncpg.InvalidCachedStatementError)


def is_known(error: BaseException) -> bool:
    """Whether *error* comes from the database, its library or the way there."""
    return isinstance(
        error, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | EOFError
    )


def is_cancellation(error: BaseException) -> bool:
    """Whether *error* stops the caller, or gave up waiting, while a statement may still be running."""
    return isinstance(error, TimeoutError) or not isinstance(error, Exception)


def _is_refusal_of_tls(error: BaseException) -> bool:
    """Whether *error* says that one side will not have the other's certificate, or has no TLS."""
    if isinstance(error, ssl.SSLError):
        return isinstance(error, ssl.SSLCertVerificationError) or "ALERT" in (getattr(error, "reason", None) or "")
    return _NO_TLS in str(error) or isinstance(error, asyncpg.ClientConfigurationError)


def _why_refused(text: str) -> str:
    """Return what to do about the server's *text*, by which it refused a role."""
    if "client certificate" in text:
        return "Give one that it trusts as sslcert=FILE and sslkey=FILE"
    if "no encryption" in text:
        return "It may take encrypted connections only: use sslmode=require or more"
    return "Check the user name and password"


def _from_server(error: asyncpg.PostgresError) -> DatabaseError:
    sqlstate = _sqlstate(error) or "XX000"
    cls = _BY_SQLSTATE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2]) or DatabaseError
    text = _server_text(error)
    hint = getattr(error, "hint", None)
    if sqlstate == "0A000" and "COPY FROM" in text:
        hint = _ROW_SECURITY_HINT
        text = f"{text}. {hint}"
    transient = cls is TransactionConflictError or (cls is ConnectionFailedError and not sqlstate.startswith(_LASTING))
    # "Failing row contains (…)", "Key (…)=(…) already exists.": str() of the library's error would print it.
    detail, error.detail = getattr(error, "detail", None), None
    return cls(
        text,
        sqlstate=sqlstate,
        detail=detail,
        hint=hint,
        constraint=getattr(error, "constraint_name", None),
        table=getattr(error, "table_name", None),
        column=getattr(error, "column_name", None),
        is_transient=transient,
    )


def _from_client(error: asyncpg.InterfaceError) -> DatabaseError:
    text = str(error)
    if is_lost_connection(error):
        return ConnectionFailedError("The connection to PostgreSQL was lost.", is_transient=True)
    if "query argument $" in text:
        return _from_argument(error)
    if text.startswith("the server expects "):
        return InvalidArgumentError(f"The number of arguments is wrong: {text.partition(chr(10))[0]}.")
    return DatabaseError(text)


def _from_argument(error: asyncpg.PostgresError | asyncpg.InterfaceError) -> InvalidArgumentError:
    text = str(error)
    number = text.partition("query argument $")[2].partition(":")[0].partition(" ")[0]
    argument = int(number) if number.isdigit() else None
    # The text quotes the value; its cause says what is wrong, and may quote it too.
    cause = error.__cause__
    reason = without_values(str(cause) if cause is not None else text.partition(": ")[2])[:200]
    ours = InvalidArgumentError(f"Argument ${number} does not fit its parameter: {reason}.", argument=argument)
    error.args, error.__cause__, error.__suppress_context__ = ours.args, None, True
    return ours


def _sqlstate(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def _server_text(error: BaseException) -> str:
    message = getattr(error, "message", None)
    text = str(message or (error.args[0] if error.args else type(error).__name__)).rstrip(".")
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def _reason(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    # asyncio puts its own words and the address where the system's text would be; a name that does not resolve has a
    # negative number and a text of its own.
    text = os.strerror(number) if isinstance(number, int) and number > 0 else getattr(error, "strerror", None)
    return (text or str(error) or type(error).__name__).rstrip(".").lower()
