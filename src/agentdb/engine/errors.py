"""
What goes wrong -> Prisma's error, as its generated client expects it: a code, a message, a meta.

The codes are documented at https://www.prisma.io/docs/orm/reference/error-reference. Texts are those of the 5.17 engine
wherever a user may have matched on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from agentdb.engine.statement import TooManyParametersError
from agentdb.engine.steps import PlanFailedError
from agentdb.engine.wasm import CompileError, CompilerTrapError
from agentdb.errors import (
    CommitUnknownError,
    ConnectionFailedError,
    DatabaseError,
    InvalidArgumentError,
    NotConnectedError,
    PoolTimeoutError,
    QueryTimeoutError,
    TransactionClosedError,
)


class QueryError(Exception):
    """
    A query failed, in Prisma's terms.

    Attributes:
        code: Prisma's code, P2002 for one.
        message: What a user reads.
        meta: What a program reads; its keys depend on the code.
        text: The engine's own words, which the generated client looks at for P2028 alone.
    """

    def __init__(self, code: str, message: str, meta: Mapping[str, Any] | None = None, text: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.meta: dict[str, Any] = dict(meta or {})
        self.text: str = text or message

    def payload(self) -> dict[str, Any]:
        """Return the error as the engine's protocol spells it."""
        return {
            "error": self.text,
            "user_facing_error": {
                "is_panic": False,
                "message": self.message,
                "meta": self.meta,
                "error_code": self.code,
            },
        }


FAILURES = (
    QueryError,
    CompileError,
    CompilerTrapError,
    DatabaseError,
    NotConnectedError,
    PlanFailedError,
    TooManyParametersError,
    ArithmeticError,  # of a conversion: a date out of range
    RecursionError,  # of a request that is nested too deeply
    ValueError,  # of a conversion: text that is no number
)
"""Everything that running a query may raise on purpose."""


def translate(error: Exception, model: str | None = None, *, is_raw: bool = False) -> QueryError:
    """Return *error* in Prisma's terms; *model* is the model the query was for."""
    whole = _translate(error, model, is_raw=is_raw)
    return QueryError(whole.code, _short_text(whole.message), _short(whole.meta), _short_text(whole.text))


def _translate(error: Exception, model: str | None, *, is_raw: bool) -> QueryError:
    match error:
        case QueryError():
            return error
        case CompileError():
            return QueryError(error.code or "P2009", error.message, error.meta)
        case CompilerTrapError():
            return QueryError("P2023", f"The query compiler could not process this query: {error}")
        case RecursionError() if is_raw:
            return _raw_failed(ValueError("an argument is nested too deeply"))
        case RecursionError():
            return QueryError("P2009", "Failed to validate the query: it is nested too deeply.")
        case PlanFailedError():
            return _plan_failed(error)
        case TooManyParametersError():
            return QueryError("P2029", "Query parameter limit exceeded error: a statement takes 32767 at most.")
        case DatabaseError():
            return _connection_failed(error) or (_raw_failed(error) if is_raw else _database_failed(error, model))
        case _ if is_raw:
            return _raw_failed(error)
        case UnicodeEncodeError():  # its own words tell a position in the request, which the user never sees
            bad = error.object[error.start : error.start + 1]
            return QueryError("P2023", f"Inconsistent column data: {bad!a} is no character, so no text can hold it.")
        case _:
            return QueryError("P2023", f"Inconsistent column data: {error}")


# -- length: the compiler quotes a bad value or name whole, however long it is ----------------------------------------

_LONGEST_VALUE = 200
_LONGEST_TEXT = 4000
_QUOTED = re.compile(rf"`([^`]{{{_LONGEST_VALUE}}})[^`]+`")


def _short_text(text: str) -> str:
    """Cut what is quoted in *text*. The rest stays: the generated client decides on words in it."""
    text = _QUOTED.sub(r"`\1…`", text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT // 2]} … {text[-_LONGEST_TEXT // 2 :]}"


def _short(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_VALUE]}…"
        case dict():
            return {key: _short(item) for key, item in value.items()}
        case list():
            return [_short(item) for item in value]
        case _:
            return value


# -- plans ------------------------------------------------------------------------------------------------------------

_DEPENDS = "An operation failed because it depends on one or more records that were required but not found."


def _plan_failed(error: PlanFailedError) -> QueryError:
    code, words = _PLAN_ERRORS[error.error]
    return QueryError(code, words(error.context, _count(error.found)), _plan_meta(error, code))


def _plan_meta(error: PlanFailedError, code: str) -> dict[str, Any]:
    meta = dict(error.context)
    if code == "P2025":
        meta["cause"] = _PLAN_ERRORS[error.error][1](error.context, _count(error.found)).removeprefix(_DEPENDS).strip()
    return meta


def _count(found: Any) -> int:
    return len(found) if isinstance(found, list) else found if isinstance(found, int) else int(found is not None)


def _missing_record(context: Mapping[str, Any], _found: int) -> str:
    operation = context["operation"]
    return f"{_DEPENDS} {_MISSING.get(operation) or f'No record was found for {operation}.'}"


# The words of the 5.17 engine.
_MISSING: Mapping[str, str] = {
    "a query": "Expected a record, found none.",
    "an update": "Record to update not found.",
    "a delete": "Record to delete does not exist.",
}


def _missing_related(context: Mapping[str, Any], _found: int) -> str:
    needed = f" (needed to {context['neededFor']})" if context.get("neededFor") else ""
    return (
        f"{_DEPENDS} No '{context['model']}' record{needed} was found for {context['operation']}"
        f" on {context['relationType']} relation '{context['relation']}'."
    )


def _relation_violation(context: Mapping[str, Any], _found: int) -> str:
    return (
        f"The change you are trying to make would violate the required relation '{context['relation']}'"
        f" between the `{context['modelA']}` and `{context['modelB']}` models."
    )


def _not_connected(context: Mapping[str, Any], _found: int) -> str:
    return (
        f"The records for relation `{context['relation']}` between the `{context['parent']}`"
        f" and `{context['child']}` models are not connected."
    )


def _incomplete_input(context: Mapping[str, Any], found: int) -> str:
    return f"{_DEPENDS} Expected {context['expectedRows']} records to be connected, found only {found}."


def _incomplete_output(context: Mapping[str, Any], found: int) -> str:
    return (
        f"The required connected records were not found. Expected {context['expectedRows']} records to be connected"
        f" after connect operation on {context['relationType']} relation '{context['relation']}', found {found}."
    )


_PLAN_ERRORS: Mapping[str, tuple[str, Callable[[Mapping[str, Any], int], str]]] = {
    "MISSING_RECORD": ("P2025", _missing_record),
    "MISSING_RELATED_RECORD": ("P2025", _missing_related),
    "INCOMPLETE_CONNECT_INPUT": ("P2025", _incomplete_input),
    "INCOMPLETE_CONNECT_OUTPUT": ("P2018", _incomplete_output),
    "RECORDS_NOT_CONNECTED": ("P2017", _not_connected),
    "RELATION_VIOLATION": ("P2014", _relation_violation),
}

# -- the database -----------------------------------------------------------------------------------------------------

_SQLSTATES: Mapping[str, str] = {
    "23505": "P2002",
    "23503": "P2003",
    "23001": "P2003",
    "23502": "P2011",
    "22001": "P2000",
    "22003": "P2020",
    "22P02": "P2007",
    "22007": "P2007",
    "22008": "P2020",
    "42P01": "P2021",
    "42703": "P2022",
    "40001": "P2034",
    "40P01": "P2034",
}
"""SQLSTATE -> Prisma's code; P2039 for every other."""


def _connection_failed(error: DatabaseError) -> QueryError | None:
    """Return what went wrong on the way to the database; None if it was the database that refused."""
    match error:
        case TransactionClosedError():
            return transaction_closed("A query cannot be executed on a closed transaction.")
        case PoolTimeoutError():
            return QueryError("P2024", f"Timed out fetching a new connection from the connection pool. {error}")
        case ConnectionFailedError() | CommitUnknownError():
            return QueryError("P1017", f"Server has closed the connection. {error}")
        case QueryTimeoutError():
            return QueryError("P1008", f"Operations timed out. {error}")
        case _:
            return None


def _database_failed(error: DatabaseError, model: str | None) -> QueryError:
    if error.is_transient:
        code = "P2034"
    elif isinstance(error, InvalidArgumentError):
        code = "P2020" if "out of" in str(error) else "P2023"
    else:
        code = _SQLSTATES.get(error.sqlstate or "", "P2039")
    meta: dict[str, Any] = {"modelName": model} if model else {}
    match code:
        case "P2002":
            columns = _key_columns(error)
            listed = ",".join(f"`{column}`" for column in columns)
            where = f"fields: ({listed})" if columns else f"constraint: `{error.constraint}`"
            return QueryError(
                code, f"Unique constraint failed on the {where}", meta | {"target": columns or error.constraint}
            )
        case "P2003":
            message = f"Foreign key constraint failed on the field: `{error.constraint} (index)`"
            return QueryError(code, message, meta | {"field_name": f"{error.constraint} (index)"})
        case "P2011":
            message = f"Null constraint violation on the fields: (`{error.column}`)"
            return QueryError(code, message, meta | {"constraint": [error.column]})
        case "P2021":
            table = _quoted_name(error)
            message = f"The table `{table}` does not exist in the current database."
            return QueryError(code, message, meta | {"table": table})
        case "P2022":
            column = error.column or _quoted_name(error)
            message = f"The column `{column}` does not exist in the current database."
            return QueryError(code, message, meta | {"column": column})
        case "P2000":
            message = "The provided value for the column is too long for the column's type."
            column = error.column or "(not available)"
            return QueryError(code, f"{message} Column: {column}", meta | {"column_name": column})
        case "P2034":
            is_conflict = (error.sqlstate or "").startswith("40")
            reason = "due to a write conflict or a deadlock" if is_conflict else f"({str(error).rstrip('.')})"
            return QueryError(code, f"Transaction failed {reason}. Please retry your transaction", meta)
        case _:
            words = _WORDS.get(code, "A database error occurred:")
            return QueryError(code, f"{words} {error}", meta | {"code": error.sqlstate, "message": str(error)})


_WORDS: Mapping[str, str] = {
    "P2007": "Data validation error:",
    "P2020": "Value out of range for the type.",
    "P2023": "Inconsistent column data:",
}


def _raw_failed(error: Exception) -> QueryError:
    code = getattr(error, "sqlstate", None) or "N/A"
    return QueryError(
        "P2010", f"Raw query failed. Code: `{code}`. Message: `{error}`", {"code": code, "message": str(error)}
    )


_KEY = re.compile(r"\((.*?)\)=\(")


def _key_columns(error: DatabaseError) -> list[str]:
    """
    Read the columns of a violated key from DETAIL, in any language: ``Key (a, "b")=(1, 2) already exists.``

    The server leaves DETAIL out for roles that may not see the row.
    """
    found = _KEY.search(error.detail or "")
    if found is None:
        return []
    return [column.strip().strip('"') for column in found.group(1).split(",")]


def _quoted_name(error: DatabaseError) -> str:
    found = re.search(r'"([^"]+)"|column (\S+)', str(error))
    return "(not available)" if found is None else found.group(1) or found.group(2)


# -- transactions -----------------------------------------------------------------------------------------------------


def transaction_closed(reason: str) -> QueryError:
    """A transaction was used that was committed, rolled back or ran out of time."""
    return _transaction_failed(f"Transaction already closed: {reason}")


def transaction_aborted(reason: str) -> QueryError:
    """A transaction was committed in which a statement had failed, so that the server rolled it back."""
    return _transaction_failed(f"The transaction could not be committed: {reason}")


def transaction_not_found() -> QueryError:
    """A transaction was used that this client has not opened."""
    return _transaction_failed(
        "Transaction not found. Transaction ID is invalid, refers to an old closed transaction Prisma doesn't have "
        "information about anymore, or was obtained before disconnecting."
    )


def transaction_not_started(reason: str) -> QueryError:
    """No transaction could be opened in time."""
    return _transaction_failed(f"Unable to start a transaction in the given time. {reason}")


def _transaction_failed(text: str) -> QueryError:
    # The generated client looks at the bare text to tell an expired transaction from other troubles.
    return QueryError("P2028", f"Transaction API error: {text}", {"error": text}, text)
