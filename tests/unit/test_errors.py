"""The error tree is as drawn, says something by itself, and survives copying and pickling."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from agentdb import errors
from agentdb.errors import (
    AgentDBError,
    CommitUnknownError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    DatabaseError,
    DimensionMismatchError,
    EmbeddingError,
    EncryptionError,
    ForeignOrganizationError,
    InsufficientEvidenceError,
    InvalidArgumentError,
    InvalidInputError,
    MigrationError,
    NotConnectedError,
    NotFoundError,
    PoolTimeoutError,
    QueryTimeoutError,
    TaskTimeoutError,
    TransactionClosedError,
    TransactionConflictError,
    repeats,
    without_values,
)

SAMPLES = [
    AgentDBError(),
    ConfigurationError("DATABASE_URL", "it is empty."),
    NotConnectedError(),
    NotFoundError("agent", "a1"),
    ConflictError(constraint="agents_pkey"),
    InsufficientEvidenceError(trials=3, confidence=0.2, min_trials=20, min_confidence=0.6),
    InvalidInputError("importance", "expected 0 to 1, got 2."),
    DimensionMismatchError(384, 3),
    ForeignOrganizationError(),
    DatabaseError("refused", sqlstate="42501", detail="d", hint="h", constraint="c", table="t", column="k"),
    InvalidArgumentError(argument=2),
    ConnectionFailedError(is_transient=True),
    PoolTimeoutError(waited_seconds=1.5, size=10, in_use=10, waiting=2, oldest_lease_seconds=9.0),
    QueryTimeoutError(),
    TransactionConflictError(sqlstate="40001"),
    TransactionClosedError(),
    CommitUnknownError(),
    EmbeddingError("no answer", model="m", attempts=3, is_transient=True, retry_after_seconds=2.5),
    TaskTimeoutError(2.5),
    MigrationError(migration="1_init"),
    EncryptionError(),
]


def test_every_class_is_exported_and_sampled() -> None:
    """Nobody adds a class and forgets it here or in __all__."""
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, AgentDBError) and value.__module__ == errors.__name__
    }
    assert classes == set(errors.__all__) == {type(sample).__name__ for sample in SAMPLES}


def test_the_tree_is_as_drawn() -> None:
    """The drawing at the top of the module has every class at its depth under its parent."""
    drawing = inspect.getdoc(errors) or ""
    path: list[str] = []
    drawn = {}
    for line in drawing.splitlines():
        match = re.match(r"(?P<lead>[\s│├└─]*)(?P<name>\w+Error)\b", line)
        if match is None or not (path or match["name"] == "AgentDBError"):
            continue
        depth = (len(match["lead"]) - 4) // 4
        path[depth:] = [match["name"]]
        drawn[match["name"]] = path[-2] if depth else "Exception"
    assert drawn == {name: getattr(errors, name).__mro__[1].__name__ for name in errors.__all__}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_says_something_and_can_be_copied(error: AgentDBError) -> None:
    """The text is one paragraph; a copy through pickle, as between processes, has the same text and attributes."""
    assert str(error)
    assert "\n" not in str(error)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_attributes_are_data() -> None:
    """What a program decides on is not only in the text."""
    assert ConfigurationError("X", "y").variable == "X"
    assert NotFoundError("agent", "a1").entity == "agent"
    assert (DimensionMismatchError(384, 3).expected, DimensionMismatchError(384, 3).actual) == (384, 3)
    assert isinstance(ForeignOrganizationError(), ValueError)
    assert TransactionConflictError().is_transient
    assert not DatabaseError().is_transient


def test_a_megabyte_is_not_echoed() -> None:
    """Texts stay short whatever was put in."""
    assert len(str(NotFoundError("memory", "x" * 1_000_000))) < 1000
    assert len(str(InvalidInputError("content", "x" * 1_000_000))) < 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("an integer is required (got type str)", "an integer is required (got type str)"),
        ("'str' object cannot be interpreted as an integer", "'str' object cannot be interpreted as an integer"),
        ("expected a datetime.date or datetime.datetime instance, got 'str'", None),
        ("invalid UUID 'hunter2': its length is 7", "invalid UUID …: its length is 7"),
        ("'hun'ter2' does not appear to be an IPv4 interface", "… does not appear to be an IPv4 interface"),
        ("could not read \"hunter2\" or 'str'", "could not read …"),
        ("can't be read", "can't be read"),
    ],
)
def test_what_is_said_of_a_value_without_the_value(text: str, said: str | None) -> None:
    """Names of types stay; whatever else is quoted goes, with all that stands between two quotes."""
    assert without_values(text) == (text if said is None else said)


def test_what_repeats_something_confidential() -> None:
    """The whole of a short text, a piece of a long one, or so much text that nobody looks through it."""
    assert repeats("bad input: hunter2", ["hunter2"])
    assert repeats("bad input: the harbour freezes…", ["In winter the harbour freezes over."])
    assert repeats("x" * 20_000, ["hunter2"])
    assert not repeats("bad input", ["hunter2", "In winter the harbour freezes over."])
