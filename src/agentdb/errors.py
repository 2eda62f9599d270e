"""
Every error that agentdb raises on purpose, as one tree:

    AgentDBError
    ├── ConfigurationError                  variable, reason
    ├── NotConnectedError
    ├── NotFoundError                       entity, id
    ├── ConflictError                       constraint
    │   └── InsufficientEvidenceError       trials, confidence, min_trials, min_confidence
    ├── InvalidInputError (ValueError)      field, reason
    │   ├── DimensionMismatchError          expected, actual
    │   └── ForeignOrganizationError
    ├── DatabaseError                       sqlstate, detail, hint, constraint, table, column, is_transient
    │   ├── InvalidArgumentError            argument
    │   ├── ConnectionFailedError
    │   ├── PoolTimeoutError                waited_seconds, size, in_use, waiting, oldest_lease_seconds
    │   ├── QueryTimeoutError
    │   ├── TransactionConflictError        (is_transient is True: the caller may retry)
    │   ├── TransactionClosedError
    │   └── CommitUnknownError
    ├── EmbeddingError                      model, attempts, is_transient, retry_after_seconds
    ├── TaskTimeoutError (TimeoutError)     timeout_seconds
    ├── MigrationError                      migration
    └── EncryptionError                     key_id, place

The docstring of a class is its default message. What a program needs to decide on stands in attributes, never only in
the text; a text stays short and never holds a password.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterable

__all__ = [
    "AgentDBError",
    "CommitUnknownError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DatabaseError",
    "DimensionMismatchError",
    "EmbeddingError",
    "EncryptionError",
    "ForeignOrganizationError",
    "InsufficientEvidenceError",
    "InvalidArgumentError",
    "InvalidInputError",
    "MigrationError",
    "NotConnectedError",
    "NotFoundError",
    "PoolTimeoutError",
    "QueryTimeoutError",
    "TaskTimeoutError",
    "TransactionClosedError",
    "TransactionConflictError",
]

_LONGEST_QUOTE = 200
_SHORTEST_RUN = 16
_SHORTEST_WORD = 4
_LONGEST_COMPARED = 10_000
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_QUOTED_AT_ALL = re.compile(r"['\"].*['\"]", re.DOTALL)
_TYPES_BY_NAME = frozenset({"datetime", "date", "time", "timedelta", "Decimal", "UUID", "NoneType"})
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|.)")


def _shorten(text: str, limit: int = _LONGEST_QUOTE) -> str:
    """Cut *text* so that an error never echoes a megabyte of input."""
    return text if len(text) <= limit else text[:limit] + "…"


def quotable(text: str, confidential: Iterable[str] = ()) -> str:
    """
    Return what may stand in an error of *text*, the words of another library or of a server: one short, printable line.

    Args:
        text: What it said.
        confidential: What must not show. When *text* repeats some 20 letters or digits in a row of one of these, or the
            whole of a short one, escaped or not, a note takes its place.
    """
    line = _shorten(" ".join("".join(c if c.isprintable() else " " for c in text[: 10 * _LONGEST_QUOTE]).split()))
    plain = _unescape(line)
    if any(_repeats(plain, secret) for secret in confidential):
        return "(left out, because it repeats what is confidential)"
    return line


def repeats(text: str, confidential: Iterable[str]) -> bool:
    """Return whether *text* says something of what is *confidential*, as `quotable` has it; True when it is long."""
    return len(text) > _LONGEST_COMPARED or any(_repeats(_unescape(text), secret) for secret in confidential)


def without_values(text: str) -> str:
    """Return what another library said of a value without what it quotes, unless that is the name of a type."""
    if all(_is_type(quoted[1:-1]) for quoted in _QUOTED.findall(text)) and text.count("'") % 2 == 0:
        return text
    return _QUOTED_AT_ALL.sub("…", text)


def _is_type(name: str) -> bool:
    return name.rpartition(".")[2] in _TYPES_BY_NAME or isinstance(getattr(builtins, name, None), type)


def _repeats(line: str, secret: str) -> bool:
    said, letters = _letters(line), _letters(_unescape(secret))
    if len(letters) < _SHORTEST_RUN:
        return len(secret) >= _SHORTEST_WORD and bool(re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", line))
    runs = (said[start : start + _SHORTEST_RUN] for start in range(0, len(said) - _SHORTEST_RUN + 1, 4))
    return letters in said or any(run in letters for run in runs)


def _unescape(text: str) -> str:
    """Undo what `repr` and JSON do to characters."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)) if match[1] or match[2] else " ", text)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


class AgentDBError(Exception):
    """agentdb could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self._default_message())

    @classmethod
    def _default_message(cls) -> str:
        return (inspect.getdoc(cls) or cls.__name__).partition("\n\n")[0]


class ConfigurationError(AgentDBError):
    """A setting is missing or wrong."""

    variable: str
    """The environment variable, URL parameter or argument at fault; empty when it is none of them."""
    reason: str
    """What is wrong with it and what to do."""

    def __init__(self, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}" if variable else reason)
        self.variable = variable
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.variable, self.reason)


class NotConnectedError(AgentDBError):
    """The client is not connected. Open it with `async with client:` or `await client.connect()`."""


class NotFoundError(AgentDBError):
    """There is no such row in this organization."""

    entity: str
    """What was looked for, for example "agent"."""
    id: str
    """The id or name it was looked for by."""

    def __init__(self, entity: str, id: str, message: str | None = None) -> None:
        super().__init__(message or f"No {entity} {_shorten(str(id))!r} in this organization.")
        self.entity = entity
        self.id = id

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.entity, self.id, str(self))


class ConflictError(AgentDBError):
    """The row collides with one that is already there."""

    constraint: str | None
    """The unique key that refused the row; None when it is not known."""

    def __init__(self, message: str | None = None, *, constraint: str | None = None) -> None:
        super().__init__(message)
        self.constraint = constraint


class InsufficientEvidenceError(ConflictError):
    """A pattern has not proven itself enough for what was asked."""

    trials: float
    """How often it was tried."""
    confidence: float
    """How confident that makes it, in [0, 1]."""
    min_trials: float
    """How often it has to be tried."""
    min_confidence: float
    """How confident it has to be."""

    def __init__(
        self,
        message: str | None = None,
        *,
        trials: float = 0,
        confidence: float = 0.0,
        min_trials: float = 0,
        min_confidence: float = 0.0,
    ) -> None:
        super().__init__(
            message
            or f"The pattern has {trials:g} trials and a confidence of {confidence:.3f}; this takes {min_trials:g} "
            f"trials and a confidence of {min_confidence:.3f}."
        )
        self.trials = trials
        self.confidence = confidence
        self.min_trials = min_trials
        self.min_confidence = min_confidence


class InvalidInputError(AgentDBError, ValueError):
    """A value was refused before anything was written."""

    field: str
    """The field or argument at fault."""
    reason: str
    """What is wrong with it and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {_shorten(reason, 600)}")
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.field, self.reason)


class DimensionMismatchError(InvalidInputError):
    """A vector has another length than its column or embedder."""

    expected: int
    """The length that is wanted."""
    actual: int
    """The length that was given."""

    def __init__(self, expected: int, actual: int, field: str = "embedding") -> None:
        super().__init__(field, f"expected {expected} dimensions, got {actual}.")
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.expected, self.actual, self.field)


class ForeignOrganizationError(InvalidInputError):
    """A call names an organization other than the one its client is bound to."""

    def __init__(self, field: str = "organization_id", reason: str | None = None) -> None:
        super().__init__(
            field,
            reason or "this client is bound to another organization; use client.for_organization(id) to work in it.",
        )


class DatabaseError(AgentDBError):
    """PostgreSQL refused a statement."""

    sqlstate: str | None
    """The five-character SQLSTATE; None when the error did not come from the server."""
    detail: str | None
    """The server's DETAIL line; may quote values."""
    hint: str | None
    """The server's HINT line."""
    constraint: str | None
    """The constraint that was violated."""
    table: str | None
    """The table the error is about."""
    column: str | None
    """The column the error is about."""
    is_transient: bool
    """True when the same work may succeed if it is tried again."""

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        constraint: str | None = None,
        table: str | None = None,
        column: str | None = None,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.detail = detail
        self.hint = hint
        self.constraint = constraint
        self.table = table
        self.column = column
        self.is_transient = is_transient


class InvalidArgumentError(DatabaseError):
    """An argument does not fit its parameter; the statement was never sent."""

    argument: int | None
    """The number of the parameter, from 1; None when it is not known."""

    def __init__(
        self, message: str | None = None, *, argument: int | None = None, sqlstate: str | None = "22000"
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.argument = argument


class ConnectionFailedError(DatabaseError):
    """The connection to PostgreSQL could not be made or was lost."""


class PoolTimeoutError(DatabaseError):
    """No database connection became free in time."""

    waited_seconds: float
    """How long this call waited."""
    size: int
    """Connections the pool may have (connection_limit)."""
    in_use: int
    """Connections that were leased when the wait ended."""
    waiting: int
    """Callers that were still waiting."""
    oldest_lease_seconds: float | None
    """How long the oldest lease has been held; None when there is none."""

    def __init__(
        self,
        message: str | None = None,
        *,
        waited_seconds: float = 0.0,
        size: int = 0,
        in_use: int = 0,
        waiting: int = 0,
        oldest_lease_seconds: float | None = None,
    ) -> None:
        super().__init__(message, is_transient=True)
        self.waited_seconds = waited_seconds
        self.size = size
        self.in_use = in_use
        self.waiting = waiting
        self.oldest_lease_seconds = oldest_lease_seconds


class QueryTimeoutError(DatabaseError):
    """The statement ran longer than it may and was cancelled."""


class TransactionConflictError(DatabaseError):
    """The transaction collided with another one and was rolled back; it may be tried again."""

    def __init__(
        self,
        message: str | None = None,
        *,
        sqlstate: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        constraint: str | None = None,
        table: str | None = None,
        column: str | None = None,
        is_transient: bool = True,
    ) -> None:
        super().__init__(
            message,
            sqlstate=sqlstate,
            detail=detail,
            hint=hint,
            constraint=constraint,
            table=table,
            column=column,
            is_transient=is_transient,
        )


class TransactionClosedError(DatabaseError):
    """The transaction was already committed or rolled back."""


class CommitUnknownError(DatabaseError):
    """The connection was lost while a write was being committed: it may or may not have taken effect."""


class EmbeddingError(AgentDBError):
    """Texts could not be turned into vectors."""

    model: str
    """The model that was asked; empty when it is not known."""
    attempts: int
    """How often it was asked."""
    is_transient: bool
    """True when the same texts may succeed if they are tried again."""
    retry_after_seconds: float | None
    """How long the embedder asks to be left alone; None when it does not say."""

    def __init__(
        self,
        message: str | None = None,
        *,
        model: str = "",
        attempts: int = 1,
        is_transient: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.model = model
        self.attempts = attempts
        self.is_transient = is_transient
        self.retry_after_seconds = retry_after_seconds


class TaskTimeoutError(AgentDBError, TimeoutError):
    """A task took longer than its agent's `AgentConfig.task_timeout_seconds` and was cancelled."""

    timeout_seconds: float
    """How long it might take."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(
            f"The task took longer than {timeout_seconds:g} s and was cancelled; AgentConfig.task_timeout_seconds is "
            "the limit."
        )
        self.timeout_seconds = timeout_seconds

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.timeout_seconds,)


class MigrationError(AgentDBError):
    """The database's schema is not the one this version of agentdb works with."""

    migration: str | None
    """The migration at fault; None when it is the database as a whole."""

    def __init__(self, message: str | None = None, *, migration: str | None = None) -> None:
        super().__init__(message)
        self.migration = migration


class EncryptionError(AgentDBError):
    """A value could not be encrypted or decrypted."""

    key_id: str | None
    """The id of the key that it takes, if that is known."""
    place: str | None
    """Where the value stands: table, column and row."""

    def __init__(self, message: str | None = None, *, key_id: str | None = None, place: str | None = None) -> None:
        super().__init__(message)
        self.key_id = key_id
        self.place = place
