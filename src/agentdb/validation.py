"""
What can be stored, and our error for what cannot: plain functions and field types that models and client share.
"""

from __future__ import annotations

import json
import json.encoder
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    GetPydanticSchema,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import from_json

from agentdb.errors import InvalidInputError
from agentdb.moments import utc_now

__all__ = [
    "Content",
    "Count",
    "Description",
    "Importance",
    "JsonObject",
    "MetricValue",
    "Name",
    "NumberArray",
    "RecentDatetime",
    "ShortName",
    "Unit",
    "UnstorableError",
    "UtcDatetime",
    "UuidText",
    "Vector",
    "VectorLike",
    "as_utc",
    "check_characters",
    "check_count",
    "check_flag",
    "check_iterable",
    "check_json",
    "check_limit",
    "check_number",
    "check_offset",
    "check_text",
    "check_time",
    "check_vector",
    "checked",
    "checked_as",
    "checked_vector",
    "invalid_input",
    "json_copy",
    "json_text",
    "parse_json",
    "storable_text",
]

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_LARGEST_BIGINT = 2**63 - 1
_LARGEST_FLOAT4 = 3.4028235e38
# The difference of two of these is still a float, which percentiles are interpolated by.
_LARGEST_METRIC = 1e300
_FARTHEST_FUTURE = timedelta(days=1)
# The driver sends the very ends of datetime as PostgreSQL's infinity, with which no arithmetic works and which sorts
# behind every other time.
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_NOT_NUMBERS = (bool, str, bytes, bytearray)


class UnstorableError(ValueError):
    """
    A value that PostgreSQL cannot hold.

    Attributes:
        path: Where in the value it was found, for example ".tags[2]"; empty when it is the value itself.
        reason: What is wrong with it.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


def check_characters(text: str) -> str:
    """Return *text* when PostgreSQL can store it: no NUL byte, no lone surrogate."""
    if "\x00" in text:
        raise UnstorableError("holds a NUL byte (\\x00), which PostgreSQL cannot store; remove it.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnstorableError("holds a lone surrogate, which is no valid Unicode; remove it.") from None
    return text


def storable_text(text: str, at_most: int) -> str:
    """Return *text* made fit for PostgreSQL, where it must not fail: replaced and cut where needed, and marked so."""
    marks = []
    try:
        check_characters(text)
    except UnstorableError:
        clean = text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        marks.append("characters that PostgreSQL cannot store were replaced by \ufffd")
        text = clean
    if len(text) > at_most:
        marks.append(f"cut, it had {len(text)} characters")
        text = text[:at_most]
    return f"{text} [agentdb: {'; '.join(marks)}]" if marks else text


def json_text(value: object) -> str:
    """
    Return *value* as canonical JSON: keys sorted, no spaces. Equal values give equal texts.

    Raises:
        UnstorableError: It is not JSON (NaN and infinity are not), or holds a text that PostgreSQL cannot store.
    """
    try:
        text = _dump(value)
    except (TypeError, ValueError, RecursionError):
        _find_unstorable(value)
        raise UnstorableError("is not JSON.") from None
    # The escaped NUL may also be a backslash followed by "u0000": only the walk can tell.
    if "\\u0000" in text or not _is_encodable(text):
        _find_unstorable(value)
    return text


def _make_dump() -> Callable[[object], str]:
    encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    make_chunks = getattr(json.encoder, "c_make_encoder", None)
    if make_chunks is None:
        return encoder.encode
    # What `encode` itself uses, made once: it makes a new one per call, which costs more than the encoding (1.5 µs
    # instead of 0.7). Without markers a value that holds itself ends as a RecursionError.
    chunks = make_chunks(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", True, False, False)
    return lambda value: "".join(chunks(value, 0))


_dump = _make_dump()


def parse_json(text: str) -> Any:
    """Return what a JSON text of the database says; in 0.2 µs, where json.loads takes 1.4."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)  # it is nested deeper than the quick way goes


def json_copy(value: Any) -> Any:
    """Return *value*, checked like `json_text`, as a copy made of nothing but JSON's own types."""
    copy = parse_json(json_text(value))
    if copy != value:  # a key that is no text, which json would silently turn into one
        _find_unstorable(value)
    return copy


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_unstorable(value: object) -> None:
    """Raise `UnstorableError` for the first part of *value* that JSON or PostgreSQL cannot hold, if there is one."""
    try:
        for path, part in _walk(value, ""):
            _check_part(part, path)
    except RecursionError:
        raise UnstorableError("is nested too deeply, or holds itself.") from None


def _walk(value: object, path: str) -> Iterator[tuple[str, object]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UnstorableError(f"has a key that is no text but {type(key).__name__}; JSON keys are text.", path)
            yield f"{path}.{key[:40]}", key
            yield from _walk(item, f"{path}.{key[:40]}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")


def _check_part(part: object, path: str) -> None:
    if isinstance(part, str):
        try:
            check_characters(part)
        except UnstorableError as error:
            raise UnstorableError(error.reason, path.encode(errors="replace").decode()) from None
    elif isinstance(part, float) and not math.isfinite(part):
        raise UnstorableError("is NaN or infinite, which JSON cannot express.", path)
    elif not (part is None or isinstance(part, dict | list | tuple | bool | int | float)):
        raise UnstorableError(f"is {type(part).__name__}, which is not JSON.", path)


def invalid_input(error: ValidationError, prefix: str = "") -> InvalidInputError:
    """Return our error for pydantic's: the first field at fault, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    field = (prefix + ".".join(str(part) for part in first["loc"])).removesuffix(".")
    if isinstance(cause, UnstorableError):
        return InvalidInputError(field + cause.path, cause.reason)
    return InvalidInputError(field or "value", str(cause) if isinstance(cause, ValueError) else first["msg"])


def checked(model: type[M], **values: Any) -> M:
    """Build *model*, with our `InvalidInputError` in place of pydantic's."""
    try:
        return model(**values)
    except ValidationError as error:
        raise invalid_input(error) from error


def checked_vector(values: object, field: str) -> list[float]:
    """Return *values* as a list of floats that can be stored and compared; InvalidInputError when they are none."""
    try:
        return _vector_adapter().validate_python(values)
    except ValidationError as error:
        raise invalid_input(error, f"{field}.") from error


def check_text(value: object, field: str, *, at_most: int = 255, at_least: int = 1) -> str:
    """Return *value* when it is a text of that length that can be stored; InvalidInputError when it is not."""
    if not isinstance(value, str):
        raise InvalidInputError(field, f"expected text, got {type(value).__name__}.")
    if not at_least <= len(value) <= at_most:
        raise InvalidInputError(field, f"expected {at_least} to {at_most} characters, got {len(value)}.")
    try:
        return check_characters(value)
    except UnstorableError as error:
        raise InvalidInputError(field, error.reason) from None


def check_json(value: object, field: str) -> str:
    """Return *value* as JSON text; InvalidInputError when it is not JSON."""
    try:
        return json_text(value)
    except UnstorableError as error:
        raise InvalidInputError(field + error.path, error.reason) from None


def check_number(value: object, field: str, at_least: float, at_most: float) -> float:
    """Return *value* when it is a number from *at_least* to *at_most*."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value <= at_most:
        raise InvalidInputError(field, f"expected a number from {at_least:,} to {at_most:,}.")
    return float(value)


def check_flag(value: object, field: str) -> bool:
    """Return *value* when it is True or False."""
    if not isinstance(value, bool):
        raise InvalidInputError(field, f"expected True or False, got {type(value).__name__}.")
    return value


def check_iterable(values: Iterable[T], field: str) -> Iterable[T]:
    """Return *values* when it can be iterated over."""
    if not isinstance(values, Iterable):
        raise InvalidInputError(field, f"expected a list or a generator, got {type(values).__name__}.")
    return values


def check_limit(limit: object) -> int:
    """Return *limit* when it is 1 to 1000."""
    return check_count(limit, "limit", 1000)


def check_count(value: object, field: str, at_most: int) -> int:
    """Return *value* when it is a whole number from 1 to *at_most*."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= at_most:
        raise InvalidInputError(field, f"expected a whole number, 1 to {at_most:,}.")
    return value


def check_offset(offset: object) -> int:
    """Return *offset* when it is 0 or more."""
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset < 2**31:
        raise InvalidInputError("offset", "expected a whole number, 0 or more.")
    return offset


def check_time(moment: datetime | None, field: str) -> datetime | None:
    """Return *moment* in UTC; a naive one is taken as UTC, None stays."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise InvalidInputError(field, f"expected a datetime, got {type(moment).__name__}.")
    try:
        return as_utc(moment)
    except ValueError as error:
        raise InvalidInputError(field, str(error)) from error


def as_utc(moment: datetime) -> datetime:
    """
    Return *moment* in UTC; a naive one is taken as UTC.

    Raises:
        ValueError: It is `datetime.min` or `datetime.max`, or lies beyond them once it is in UTC.
    """
    try:
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range once it is in UTC.") from None
    if not _EARLIEST < utc < _LATEST:
        raise ValueError("is the earliest or latest time there is; leave it out (None) to mean no limit.")
    return utc


# Types of model fields


def _within_a_day(moment: datetime) -> datetime:
    if moment > utc_now() + _FARTHEST_FUTURE:
        raise ValueError("lies more than a day in the future.")
    return moment


def _uuid_text(value: object) -> str:
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("expected a UUID.")  # noqa: TRY004 - pydantic turns only a ValueError into its own
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("expected a UUID.") from None


def _refuse_lookalike(value: Any) -> Any:
    """Refuse what pydantic would turn into a number though it is none; numbers of numpy stay, and decimals."""
    if isinstance(value, _NOT_NUMBERS):
        raise ValueError(f"expected a number, got {type(value).__name__}.")  # noqa: TRY004 - as above
    return value


def _as_list(vector: Any) -> Any:
    """Turn an array of numpy or of the standard library into a list; a list or tuple stays."""
    values = vector.tolist() if hasattr(vector, "tolist") else vector
    if isinstance(values, list | tuple) and any(issubclass(kind, _NOT_NUMBERS) for kind in set(map(type, values))):
        place, item = next((place, item) for place, item in enumerate(values) if isinstance(item, _NOT_NUMBERS))
        raise UnstorableError(f"expected a number, got {type(item).__name__}.", f".{place}")
    return values


def check_vector(vector: list[float]) -> list[float]:
    """Return *vector* when PostgreSQL can store and compare it: 32-bit floats, not all of them zero."""
    if max(map(abs, vector)) > _LARGEST_FLOAT4:
        raise ValueError("holds a number beyond a 32-bit float (3.4e38); scale it, best to length 1.")
    if not any(array("f", vector)):
        raise ValueError(
            "is all zero as 32-bit floats, so it has no direction to compare; scale it, best to length 1, or leave it "
            "out (None)."
        )
    return vector


def _check_metric(value: float) -> float:
    if abs(value) > _LARGEST_METRIC:
        raise ValueError("expected a number from -1e300 to 1e300.")
    return value


def _lengths(at_least: int, at_most: int) -> AfterValidator:
    # Not pydantic's own length check, which refuses a lone surrogate in words that help nobody.
    def check(text: str) -> str:
        if not at_least <= len(text) <= at_most:
            raise ValueError(f"expected {at_least} to {at_most} characters, got {len(text)}.")
        return check_characters(text)

    return AfterValidator(check)


def checked_as(kind: Any) -> GetPydanticSchema:
    """Check a field as if it were a *kind*, and make it one, while its annotation tells type checkers what it takes."""
    return GetPydanticSchema(lambda _, handler: handler(kind))


class NumberArray(Protocol):
    """A one-dimensional array, of numpy for one."""

    def __len__(self) -> int: ...

    def tolist(self) -> Any: ...


VectorLike: TypeAlias = Sequence[float] | NumberArray

Name = Annotated[str, _lengths(1, 255)]
ShortName = Annotated[str, _lengths(1, 100)]
Unit = Annotated[str, _lengths(0, 100)]
Description = Annotated[str, _lengths(0, 100_000)]
Content = Annotated[str, _lengths(1, 1_000_000)]
UuidText = Annotated[str, BeforeValidator(_uuid_text)]
JsonObject = Annotated[dict[str, Any], AfterValidator(json_copy)]
UtcDatetime = Annotated[datetime, AfterValidator(as_utc)]
RecentDatetime = Annotated[UtcDatetime, AfterValidator(_within_a_day)]
_Floats = Annotated[
    list[FiniteFloat], BeforeValidator(_as_list), Field(min_length=1, max_length=16_000), AfterValidator(check_vector)
]
Vector = Annotated[VectorLike, checked_as(_Floats)]
MetricValue = Annotated[FiniteFloat, BeforeValidator(_refuse_lookalike), AfterValidator(_check_metric)]
Importance = Annotated[FiniteFloat, BeforeValidator(_refuse_lookalike), Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=_LARGEST_BIGINT)]


@cache
def _vector_adapter() -> TypeAdapter[list[float]]:
    return TypeAdapter(_Floats, config=ConfigDict(hide_input_in_errors=True))
