"""What a client makes of its embedder: batches, time-outs, retries, and vectors in the form that PostgreSQL takes."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import operator
import random
import time
from collections.abc import Sequence
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Final

from agentdb.client.bursts import Bursts
from agentdb.client.memory.vectors import scaled
from agentdb.errors import ConfigurationError, EmbeddingError, InvalidInputError, quotable, repeats
from agentdb.postgres.vector import pack_vector, unpack_vector
from agentdb.validation import check_text

if TYPE_CHECKING:
    from agentdb.client.memory.embedder import Embedder

__all__ = ["Embedding"]

logger: Final = logging.getLogger("agentdb.client")

_MOST_DIMENSIONS: Final = 16_000
_FIRST_DELAY_SECONDS: Final = 0.2
_LONGEST_DELAY_SECONDS: Final = 5.0
_LONGEST_ASKED_SECONDS: Final = 30.0
_PACKED_HEADER_BYTES: Final = 4
# What a mistake in the embedder raises: trying again would make the same mistake.
_MISTAKES: Final = (TypeError, ValueError, AttributeError, NameError, ImportError, NotImplementedError)
_NO_LISTS: Final = (str, bytes, bytearray, dict)


class Embedding:
    """
    What makes vectors for a client: an embedder, called in batches, with a time-out and retries.

    Every failure ends as an `EmbeddingError` chained to its cause. Its text never holds what was to be embedded.

    Args:
        embedder: Any object with *model*, *dimensions* and *embed*.
        batch_size: Most texts of one call to the embedder.
        timeout_seconds: Longest wait for one batch; a retry has as long again.
        attempts: How often a batch is tried. Pauses double, and an exception with *retry_after_seconds* makes one
            longer; one whose *is_transient* is False, or that shows a mistake in the program, is not tried again.

    Raises:
        ConfigurationError: The embedder is none, or an argument is out of range.
    """

    def __init__(
        self, embedder: Embedder, *, batch_size: int = 64, timeout_seconds: float = 30.0, attempts: int = 3
    ) -> None:
        self._model = _model_of(embedder)
        self._dimensions = _dimensions_of(embedder)
        if not callable(getattr(embedder, "embed", None)):
            raise ConfigurationError("embedder", "has no method embed(texts), which returns a vector for each text.")
        self._embedder = embedder
        self._batch_size = _at_least_1("batch_size", batch_size)
        self._attempts = _at_least_1("attempts", attempts)
        self._timeout_seconds = _seconds("timeout_seconds", timeout_seconds)
        self._bursts: Bursts[str, bytes] = Bursts(self._embed_burst, at_most=self._batch_size)

    @property
    def model(self) -> str:
        """Names what makes the vectors; stored with each."""
        return self._model

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        return self._dimensions

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """
        Return a vector for each of *texts*, in their order, in pgvector's binary form. Equal texts are embedded once.

        Raises:
            EmbeddingError: A batch failed; nothing of the others is returned.
        """
        return await self._embed(texts, self._attempts)

    async def embed_one(self, text: str) -> bytes:
        """
        Return the vector of *text*. Concurrent calls travel together: see `Bursts`.

        When a batch of several fails, its texts are tried one by one, so that a bad one fails alone. That ends when
        two in a row fail with what may pass, or after the time-out of one batch: then it is not the texts.

        Raises:
            EmbeddingError: There is no vector.
        """
        return await self._bursts.put(text)

    async def _embed_burst(self, texts: list[str]) -> Sequence[bytes | BaseException]:
        try:
            return await self._embed(texts, self._attempts)
        except EmbeddingError as error:
            distinct = list(dict.fromkeys(texts))
            if len(distinct) == 1:
                raise
            outcomes = await self._embed_one_by_one(distinct, error)
        return [outcomes[text] for text in texts]

    async def _embed_one_by_one(self, texts: list[str], error: EmbeddingError) -> dict[str, bytes | BaseException]:
        attempts = 1 if error.is_transient else self._attempts  # what may pass had its attempts
        end = time.monotonic() + self._timeout_seconds
        outcomes: dict[str, bytes | BaseException] = {}
        in_a_row = 0
        for text in texts:
            if in_a_row == 2 or time.monotonic() > end:
                outcomes[text] = error
                continue
            try:
                (outcomes[text],) = await self._embed([text], attempts)
                in_a_row = 0
            except EmbeddingError as its_own:
                outcomes[text] = its_own
                in_a_row = in_a_row + 1 if its_own.is_transient else 0
        return outcomes

    async def _embed(self, texts: Sequence[str], attempts: int) -> list[bytes]:
        distinct = list(dict.fromkeys(texts))
        vectors: dict[str, bytes] = {}
        for start in range(0, len(distinct), self._batch_size):
            batch = distinct[start : start + self._batch_size]
            vectors.update(zip(batch, await self._embed_batch(batch, attempts), strict=True))
        return [vectors[text] for text in texts]

    async def _embed_batch(self, batch: list[str], attempts: int) -> list[bytes]:
        attempt = 1
        while True:
            try:
                return await self._attempt(batch)
            except Exception as error:
                if attempt == attempts or not _is_worth_another(error):
                    raise self._failure(error, batch, attempt) from (None if _tells(error, batch) else error)
                pause = _pause_seconds(attempt, error)
                logger.info(
                    "embedding failed, trying again",
                    extra={"model": self._model, "attempt": attempt, "error": type(error).__name__},
                )
            await asyncio.sleep(pause)
            attempt += 1

    async def _attempt(self, batch: list[str]) -> list[bytes]:
        limit = asyncio.timeout(self._timeout_seconds)
        try:
            async with limit:
                answer = self._embedder.embed(batch.copy())
                if not inspect.isawaitable(answer):
                    raise TypeError("embed() is not async; agentdb.embedders.CallableEmbedder takes a plain function")
                vectors = await answer
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"no answer within {self._timeout_seconds:g} s") from error
        return _pack_all(vectors, len(batch), self._dimensions)

    def _failure(self, cause: Exception, batch: list[str], attempts: int) -> EmbeddingError:
        return EmbeddingError(
            f"{self._model!r} made no vectors of {_count(len(batch), 'text')} in {_count(attempts, 'attempt')}: "
            f"{type(cause).__name__}: {quotable(_text_of(cause), batch)}",
            model=self._model,
            attempts=attempts,
            is_transient=_is_transient(cause),
            retry_after_seconds=_asked_seconds(cause),
        )


# What the embedder is


def _model_of(embedder: Embedder) -> str:
    try:
        return check_text(getattr(embedder, "model", None), "model")
    except InvalidInputError as error:
        raise ConfigurationError("embedder", f"its model, which is stored with each vector: {error.reason}") from error


def _dimensions_of(embedder: Embedder) -> int:
    value: Any = getattr(embedder, "dimensions", None)
    try:
        dimensions = 0 if isinstance(value, bool) else operator.index(value)  # numpy's whole numbers too
    except TypeError:
        dimensions = 0
    if not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise ConfigurationError(
            "embedder", f"its dimensions, the length of its vectors: expected a whole number, 1 to {_MOST_DIMENSIONS}."
        )
    return dimensions


def _at_least_1(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(name, "expected a whole number, 1 or more.")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(name, "expected a number of seconds, more than 0.")
    return float(value)


# What its failures mean


def _is_worth_another(error: Exception) -> bool:
    declared = getattr(error, "is_transient", None)
    if isinstance(declared, bool):
        return declared
    # An answer that is no JSON is a ValueError, but the server's mistake, not the program's.
    return isinstance(error, JSONDecodeError) or not isinstance(error, _MISTAKES)


def _is_transient(error: Exception) -> bool:
    """Whether *error* says that it may pass; one of which nothing is known does not."""
    declared = getattr(error, "is_transient", None)
    if isinstance(declared, bool):
        return declared
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | PermissionError)


def _asked_seconds(error: Exception) -> float | None:
    asked = getattr(error, "retry_after_seconds", None)
    return float(asked) if isinstance(asked, int | float) and 0 <= asked < math.inf else None


def _pause_seconds(attempt: int, error: Exception) -> float:
    """Return how long to wait after *attempt*, counted from 1: exponential back-off, full jitter."""
    longest = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 10))
    return min(_LONGEST_ASKED_SECONDS, (_asked_seconds(error) or 0.0) + random.uniform(0.0, longest))


def _tells(error: BaseException | None, batch: list[str]) -> bool:
    """Whether a traceback of *error*, with all that led to it, would print something of the texts."""
    if error is None:
        return False
    return repeats(_text_of(error), batch) or _tells(error.__cause__ or error.__context__, batch)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it cannot be printed)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# What it returns


def _pack_all(vectors: Any, count: int, dimensions: int) -> list[bytes]:
    if isinstance(vectors, _NO_LISTS) or not hasattr(vectors, "__len__"):
        raise ValueError(f"expected a list of {_count(count, 'vector')}, got {type(vectors).__name__}")
    if len(vectors) != count:
        raise ValueError(f"expected {_count(count, 'vector')}, got {len(vectors)}")
    return [_pack(vector, place, dimensions) for place, vector in enumerate(vectors)]


def _pack(vector: Any, place: int, dimensions: int) -> bytes:
    if isinstance(vector, _NO_LISTS) or not hasattr(vector, "__len__"):
        raise ValueError(f"vector {place}: expected {dimensions} numbers, got {type(vector).__name__}")
    if len(vector) != dimensions:
        raise ValueError(f"vector {place}: expected {dimensions} numbers, got {len(vector)}")
    try:
        packed = pack_vector(vector)
    except Exception as error:  # numpy's warnings too, where they are errors
        raise ValueError(f"vector {place}: {error}") from error
    if len(packed) != _PACKED_HEADER_BYTES + 4 * dimensions:
        raise ValueError(f"vector {place}: expected {dimensions} numbers, got an array of more than one dimension")
    if not any(unpack_vector(packed)):
        raise ValueError(f"vector {place}: it is all zero, so it has no direction to compare")
    return scaled(packed)
