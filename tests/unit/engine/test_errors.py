from __future__ import annotations

from typing import Any

import pytest

from agentdb import errors
from agentdb.engine.errors import (
    FAILURES,
    QueryError,
    transaction_aborted,
    transaction_closed,
    transaction_not_found,
    transaction_not_started,
    translate,
)
from agentdb.engine.statement import TooManyParametersError
from agentdb.engine.steps import PlanFailedError
from agentdb.engine.values import UnfitValueError
from agentdb.engine.wasm import CompileError, CompilerTrapError
from agentdb.errors import DatabaseError

DEPENDS = "An operation failed because it depends on one or more records that were required but not found."


def failed(sqlstate: str, **details: Any) -> QueryError:
    return translate(DatabaseError("words of the server", sqlstate=sqlstate, **details), "User")


class TestDatabase:
    @pytest.mark.parametrize(
        ("error", "code", "message", "meta"),
        [
            (
                failed("23505", detail='Key (email, "createdAt")=(a, b) already exists.'),
                "P2002",
                "Unique constraint failed on the fields: (`email`,`createdAt`)",
                {"target": ["email", "createdAt"]},
            ),
            (
                failed("23505", detail="Schlüssel »(email)=(a)« existiert bereits."),
                "P2002",
                "Unique constraint failed on the fields: (`email`)",
                {"target": ["email"]},
            ),
            (
                failed("23505", constraint="users_email_key"),
                "P2002",
                "Unique constraint failed on the constraint: `users_email_key`",
                {"target": "users_email_key"},
            ),
            (
                failed("23503", constraint="fk"),
                "P2003",
                "Foreign key constraint failed on the field: `fk (index)`",
                {"field_name": "fk (index)"},
            ),
            (
                failed("23502", column="name"),
                "P2011",
                "Null constraint violation on the fields: (`name`)",
                {"constraint": ["name"]},
            ),
            (
                translate(DatabaseError('relation "public.users" does not exist', sqlstate="42P01")),
                "P2021",
                "The table `public.users` does not exist in the current database.",
                {"table": "public.users"},
            ),
            (
                translate(DatabaseError("column users.nick does not exist", sqlstate="42703")),
                "P2022",
                "The column `users.nick` does not exist in the current database.",
                {"column": "users.nick"},
            ),
            (
                failed("40001"),
                "P2034",
                "Transaction failed due to a write conflict or a deadlock. Please retry your transaction",
                {},
            ),
        ],
    )
    def test_known_states(self, error: QueryError, code: str, message: str, meta: dict[str, Any]) -> None:
        """A SQLSTATE has Prisma's code, words and meta."""
        assert (error.code, error.message) == (code, message)
        assert error.meta | meta == error.meta

    @pytest.mark.parametrize(
        ("sqlstate", "code"),
        [
            ("22001", "P2000"),
            ("22003", "P2020"),
            ("22P02", "P2007"),
            ("40P01", "P2034"),
            ("23514", "P2039"),
            ("XX000", "P2039"),
        ],
    )
    def test_others_keep_the_server_s_words(self, sqlstate: str, code: str) -> None:
        """The rest tell at least what the server said."""
        error = failed(sqlstate)
        assert error.code == code
        assert code in ("P2000", "P2034") or error.meta["message"] == "words of the server"
        assert error.meta["modelName"] == "User"

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.PoolTimeoutError("w"), "P2024"),
            (errors.ConnectionFailedError("w", sqlstate="08006"), "P1017"),
            (errors.CommitUnknownError("w"), "P1017"),
            (errors.QueryTimeoutError("w"), "P1008"),
            (errors.TransactionClosedError("w"), "P2028"),
        ],
    )
    @pytest.mark.parametrize("is_raw", [True, False])
    def test_the_way_there(self, error: DatabaseError, code: str, is_raw: bool) -> None:
        """What is no fault of the query is not blamed on it, be it raw or not."""
        assert translate(error, is_raw=is_raw).code == code

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (errors.InvalidArgumentError("value out of int32 range"), "P2020"),
            (errors.InvalidArgumentError("expected str, got int"), "P2023"),
            (UnfitValueError("w"), "P2023"),
            (OverflowError("date value out of range"), "P2023"),
        ],
    )
    def test_values(self, error: Exception, code: str) -> None:
        """A value that cannot be sent has a code of its own."""
        assert translate(error).code == code

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (DatabaseError("words", sqlstate="42601"), "42601"),
            (errors.InvalidArgumentError("words"), "22000"),
            (UnfitValueError("words"), "N/A"),
        ],
    )
    def test_raw_queries(self, error: Exception, code: str) -> None:
        """Of raw SQL the server's own code and words are told."""
        raw = translate(error, is_raw=True)
        assert (raw.code, raw.meta) == ("P2010", {"code": code, "message": "words"})
        assert raw.message == f"Raw query failed. Code: `{code}`. Message: `words`"

    def test_every_class(self) -> None:
        """Every error of the database layer is translated, and is caught to be."""
        classes = [
            value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DatabaseError)
        ]
        for each in classes:
            assert issubclass(each, FAILURES)
            assert translate(each("words")).code.startswith("P")


class TestPlans:
    @pytest.mark.parametrize(
        ("error", "found", "code", "message"),
        [
            ("MISSING_RECORD", None, "P2025", f"{DEPENDS} Record to update not found."),
            (
                "MISSING_RELATED_RECORD",
                None,
                "P2025",
                f"{DEPENDS} No 'Post' record (needed to x) was found for an update on one-to-many relation 'R'.",
            ),
            (
                "INCOMPLETE_CONNECT_INPUT",
                [1],
                "P2025",
                f"{DEPENDS} Expected 2 records to be connected, found only 1.",
            ),
            (
                "INCOMPLETE_CONNECT_OUTPUT",
                1,
                "P2018",
                "The required connected records were not found. Expected 2 records to be connected after connect "
                "operation on one-to-many relation 'R', found 1.",
            ),
            (
                "RECORDS_NOT_CONNECTED",
                None,
                "P2017",
                "The records for relation `R` between the `User` and `Post` models are not connected.",
            ),
            (
                "RELATION_VIOLATION",
                None,
                "P2014",
                "The change you are trying to make would violate the required relation 'R' between the `User` and "
                "`Post` models.",
            ),
        ],
    )
    def test_messages(self, error: str, found: Any, code: str, message: str) -> None:
        """What a plan finds has Prisma's words."""
        context = {
            "operation": "an update",
            "model": "Post",
            "neededFor": "x",
            "relationType": "one-to-many",
            "relation": "R",
            "expectedRows": 2,
            "parent": "User",
            "child": "Post",
            "modelA": "User",
            "modelB": "Post",
        }
        translated = translate(PlanFailedError(error, context, found))
        assert (translated.code, translated.message) == (code, message)
        assert translated.meta["relation"] == "R"


class TestCompiler:
    def test_refusals(self) -> None:
        """The compiler's own code, words and meta are passed on."""
        error = translate(CompileError("words", "P2012", {"kind": "RequiredArgumentMissing"}))
        assert (error.code, error.message, error.meta) == ("P2012", "words", {"kind": "RequiredArgumentMissing"})
        assert translate(CompileError("words")).code == "P2009"

    @pytest.mark.parametrize(
        ("error", "code"),
        [(CompilerTrapError("w"), "P2023"), (RecursionError(), "P2009"), (TooManyParametersError(), "P2029")],
    )
    def test_crashes(self, error: Exception, code: str) -> None:
        """What breaks it is an error as well."""
        assert translate(error).code == code


class TestTransactions:
    def test_the_client_can_tell_them_apart(self) -> None:
        """The generated client looks at how the bare text begins."""
        assert transaction_closed("w").text == "Transaction already closed: w"
        for other in (transaction_aborted("w"), transaction_not_found(), transaction_not_started("w")):
            assert not other.text.startswith("Transaction already closed")
            assert (other.code, other.meta["error"]) == ("P2028", other.text)
            assert other.message == f"Transaction API error: {other.text}"


def test_payload() -> None:
    """An error is spelt as the engine's protocol does."""
    assert QueryError("P2000", "words", {"a": 1}).payload() == {
        "error": "words",
        "user_facing_error": {"is_panic": False, "message": "words", "meta": {"a": 1}, "error_code": "P2000"},
    }
