"""What a client makes of any embedder: batches, time-outs, retries, and vectors that can be stored."""

from __future__ import annotations

import array
import asyncio
import json
import math
import pickle
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest

from agentdb.client.memory import embedding as module
from agentdb.client.memory.embedding import Embedding
from agentdb.errors import AgentDBError, ConfigurationError, EmbeddingError, quotable
from agentdb.postgres.vector import pack_vector, unpack_vector
from agentdb.testing import HashEmbedder


class Scripted:
    """Does what the script says, a step for each call; after its end, and for None, it answers."""

    model = "scripted"
    dimensions = 2

    def __init__(self, *script: Any) -> None:
        self.calls: list[list[str]] = []
        self._script: Iterator[Any] = iter(script)

    async def embed(self, texts: list[str]) -> Any:
        self.calls.append(list(texts))
        step = next(self._script, None)
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            step = await step(texts)
        return vectors_of(texts) if step is None else step


class Picky(Scripted):
    """Refuses any batch that holds a bad text; can be made to wait."""

    def __init__(self, *bad: str, error: Callable[[], Exception] = lambda: Refusal("bad request")) -> None:
        super().__init__()
        self.is_free = asyncio.Event()
        self.is_free.set()
        self._bad = set(bad)
        self._error = error

    async def embed(self, texts: list[str]) -> Any:
        self.calls.append(list(texts))
        await asyncio.sleep(0)
        await self.is_free.wait()
        if self._bad & set(texts):
            raise self._error()
        return vectors_of(texts)


class Refusal(Exception):
    """Will be the same the next time."""

    is_transient = False


class Busy(Exception):
    """Will be another the next time."""

    is_transient = True

    def __init__(self, text: str = "busy", retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


def vectors_of(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


def packed(texts: list[str]) -> list[bytes]:
    return [pack_vector(vector) for vector in vectors_of(texts)]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between attempts are those of a hurry."""
    monkeypatch.setattr(module, "_FIRST_DELAY_SECONDS", 0.0005)


# What is asked of an embedder


def test_model_and_dimensions_are_the_embedders() -> None:
    """Whole numbers of numpy count."""
    embedder = Scripted()
    embedder.dimensions = np.int64(7)  # type: ignore[assignment]

    made = Embedding(embedder)

    assert (made.model, made.dimensions, type(made.dimensions)) == ("scripted", 7, int)


@pytest.mark.parametrize("model", [None, 7, "", "x" * 256, "a\x00b", "\ud800"])
def test_a_model_that_cannot_be_stored_is_refused(model: Any) -> None:
    """Before anything is embedded."""
    embedder = Scripted()
    embedder.model = model

    with pytest.raises(ConfigurationError, match=r"^embedder: its model") as caught:
        Embedding(embedder)
    assert caught.value.variable == "embedder"


@pytest.mark.parametrize("dimensions", [None, "3", 0, -1, 16_001, 3.0, True])
def test_dimensions_that_no_vector_has_are_refused(dimensions: Any) -> None:
    """The most that a column takes is 16,000."""
    embedder = Scripted()
    embedder.dimensions = dimensions

    with pytest.raises(ConfigurationError, match=r"^embedder: its dimensions"):
        Embedding(embedder)


def test_what_has_no_embed_is_no_embedder() -> None:
    """The usual slip is to pass a model of a library."""

    class Model:
        model = "m"
        dimensions = 2

    with pytest.raises(ConfigurationError, match=r"embed\(texts\)"):
        Embedding(Model())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="model"):
        Embedding(object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"attempts": 0},
        {"attempts": True},
        {"timeout_seconds": 0},
        {"timeout_seconds": math.inf},
        {"timeout_seconds": math.nan},
        {"timeout_seconds": "30"},
    ],
)
def test_settings_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=f"^{next(iter(arguments))}: "):
        Embedding(Scripted(), **arguments)


# Batches


async def test_each_text_has_its_vector_in_pgvectors_form() -> None:
    """In the order given."""
    embedder = HashEmbedder(16)

    vectors = await Embedding(embedder).embed(["one", "two"])

    assert [unpack_vector(vector).tolist() for vector in vectors] == [
        pytest.approx(embedder.embed_one("one")),
        pytest.approx(embedder.embed_one("two")),
    ]


async def test_texts_go_in_batches_and_equal_ones_once() -> None:
    """Nothing is asked for an empty list."""
    embedder = Scripted()
    embedding = Embedding(embedder, batch_size=2)
    texts = ["a", "bb", "a", "ccc", "bb", "dddd", "eeeee"]

    assert await embedding.embed(texts) == packed(texts)
    assert embedder.calls == [["a", "bb"], ["ccc", "dddd"], ["eeeee"]]
    assert await embedding.embed([]) == []
    assert len(embedder.calls) == 3


async def test_what_an_embedder_does_to_its_list_harms_nobody() -> None:
    """Not even the next attempt."""

    async def empty(texts: list[str]) -> None:
        texts.clear()
        raise Busy

    embedder = Scripted(empty)

    assert await Embedding(embedder).embed(["a", "bb"]) == packed(["a", "bb"])
    assert embedder.calls == [["a", "bb"], ["a", "bb"]]


# What comes back


@pytest.mark.parametrize(
    "vectors",
    [
        [[1, 0.5], [2.0, -1.0]],
        ((1.0, 0.5), (2.0, -1.0)),
        [array.array("f", [1.0, 0.5]), array.array("d", [2.0, -1.0])],
        np.array([[1.0, 0.5], [2.0, -1.0]]),
        np.array([[1.0, 0.5], [2.0, -1.0]], dtype=np.float16),
        [np.array([1.0, 0.5], dtype=np.float32), np.array([2, -1])],
        np.array([[1.0, 2.0], [0.5, -1.0]]).T,
        [[np.float32(1.0), np.float64(0.5)], [2.0, -1.0]],
    ],
    ids=["lists", "tuples", "array", "numpy", "float16", "rows", "transposed", "scalars"],
)
async def test_any_common_form_of_a_vector_will_do(vectors: Any) -> None:
    """Lists, tuples, arrays of the standard library and of numpy."""
    assert await Embedding(Scripted(vectors)).embed(["a", "b"]) == [
        pack_vector([1.0, 0.5]),
        pack_vector([2.0, -1.0]),
    ]


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        ([], "expected 2 vectors, got 0"),
        ([[1.0, 2.0]], "expected 2 vectors, got 1"),
        (np.ones((3, 2)), "expected 2 vectors, got 3"),
        (7, "expected a list of 2 vectors, got int"),
        ("ab", "expected a list of 2 vectors, got str"),
        ({"a": 1, "b": 2}, "expected a list of 2 vectors, got dict"),
        ((row for row in vectors_of(["a", "b"])), "expected a list of 2 vectors, got generator"),
        ([1.0, 2.0], "vector 0: expected 2 numbers, got float"),
        ([[1.0, 2.0], None], "vector 1: expected 2 numbers, got NoneType"),
        ([[1.0, 2.0], b"\x00\x02\x00\x00"], "vector 1: expected 2 numbers, got bytes"),
        ([[1.0, 2.0], "12"], "vector 1: expected 2 numbers, got str"),
        ([[1.0, 2.0], [1.0]], "vector 1: expected 2 numbers, got 1"),
        (np.ones((2, 384)), "vector 0: expected 2 numbers, got 384"),
        (np.ones((2, 2, 2)), "vector 0: expected 2 numbers, got an array of more than one dimension"),
        ([[1.0, math.nan], [1.0, 2.0]], "vector 0: a vector holds finite 32-bit numbers only"),
        ([[1.0, 2.0], [-math.inf, 1.0]], "vector 1: a vector holds finite 32-bit numbers only"),
        ([[1.0, 2.0], [1e39, 1.0]], "vector 1: a vector holds finite 32-bit numbers only"),
        ([[1.0, 2.0], [10**400, 1.0]], "vector 1: int too large to convert to float"),
        ([[1.0, 2.0], ["1", "2"]], "vector 1: must be real number, not str"),
        ([[1.0, 2.0], [0, 0.0]], "vector 1: it is all zero"),
        ([[1.0, 2.0], [1e-60, -0.0]], "vector 1: it is all zero"),
        (np.zeros((2, 2)), "vector 0: it is all zero"),
    ],
)
async def test_what_cannot_be_stored_is_told_and_not_tried_again(vectors: Any, told: str) -> None:
    """The error says what was expected and what came."""
    embedder = Scripted(vectors)

    with pytest.raises(EmbeddingError) as caught:
        await Embedding(embedder).embed(["a", "b"])

    assert str(caught.value).startswith(
        f"'scripted' made no vectors of 2 texts in 1 attempt: ValueError: {told}",
    )
    assert isinstance(caught.value.__cause__, ValueError)
    assert (caught.value.attempts, caught.value.is_transient) == (1, False)
    assert len(embedder.calls) == 1


@pytest.mark.parametrize("action", ["ignore", "error"])
async def test_numpys_warnings_do_not_get_in_the_way(action: Any) -> None:
    """A number beyond a 32-bit float is one, whether numpy's warning of it is an error or not."""
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(EmbeddingError, match="vector 0") as caught:
            await Embedding(Scripted(np.array([[1e300, 1.0]]))).embed(["a"])
    assert caught.value.attempts == 1


# Failures


@pytest.mark.parametrize(
    "error",
    [
        Busy(),
        TimeoutError(),
        ConnectionResetError("reset"),
        RuntimeError("who knows"),
        json.JSONDecodeError("x", "", 0),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_may_pass_is_tried_again(error: Exception) -> None:
    """So is what says nothing of itself."""
    embedder = Scripted(error, error)

    assert await Embedding(embedder, attempts=3).embed(["a"]) == packed(["a"])
    assert embedder.calls == [["a"]] * 3


@pytest.mark.parametrize(
    "error",
    [Refusal("no"), TypeError("t"), ValueError("v"), AttributeError("a"), NotImplementedError("n"), ImportError("i")],
    ids=lambda error: type(error).__name__,
)
async def test_what_will_not_pass_is_not_tried_again(error: Exception) -> None:
    """A refusal, and a mistake in the embedder's program."""
    embedder = Scripted(error)

    with pytest.raises(EmbeddingError) as caught:
        await Embedding(embedder).embed(["a"])

    assert caught.value.__cause__ is error
    assert (caught.value.model, caught.value.attempts, caught.value.is_transient) == ("scripted", 1, False)
    assert len(embedder.calls) == 1


async def test_the_error_says_what_a_caller_needs() -> None:
    """Which model, how many texts, how many attempts, why; and attributes to decide on, through pickle too."""
    busy = Busy("come back later", retry_after_seconds=0.001)

    with pytest.raises(EmbeddingError) as caught:
        await Embedding(Scripted(busy, busy), attempts=2).embed(["a", "b", "a"])

    error = caught.value
    assert str(error) == "'scripted' made no vectors of 2 texts in 2 attempts: Busy: come back later"
    assert error.__cause__ is busy
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(error, AgentDBError)
    assert (
        vars(error)
        == vars(twin)
        == {
            "model": "scripted",
            "attempts": 2,
            "is_transient": True,
            "retry_after_seconds": 0.001,
        }
    )


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (TimeoutError(), True),
        (ConnectionRefusedError(), True),
        (OSError(101, "Network is unreachable"), True),
        (FileNotFoundError("model.bin"), False),
        (RuntimeError("who knows"), False),
    ],
)
async def test_transient_is_what_is_known_to_pass(error: Exception, is_transient: bool) -> None:
    """An unknown error is tried again, but promises nothing."""
    with pytest.raises(EmbeddingError) as caught:
        await Embedding(Scripted(error, error, error)).embed(["a"])

    assert caught.value.is_transient is is_transient
    assert caught.value.attempts == 3


async def test_a_batch_has_a_time_out_and_a_retry_as_long_again() -> None:
    """The embedder's call is cancelled; the error says how long it had."""

    async def hang(texts: list[str]) -> None:
        await asyncio.sleep(60)

    embedder = Scripted(hang, None, hang, hang)
    embedding = Embedding(embedder, timeout_seconds=0.02, attempts=2)

    assert await embedding.embed(["a"]) == packed(["a"])
    with pytest.raises(EmbeddingError, match=r"2 attempts: TimeoutError: no answer within 0\.02 s") as caught:
        await embedding.embed(["a"])
    assert caught.value.is_transient


async def test_an_embedder_that_is_not_async_is_told_what_to_do() -> None:
    """It would block the event loop."""

    class Plain(Scripted):
        def embed(self, texts: list[str]) -> Any:
            return vectors_of(texts)

    with pytest.raises(EmbeddingError, match="CallableEmbedder"):
        await Embedding(Plain()).embed(["a"])


@pytest.mark.parametrize("stop", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_what_ends_a_task_or_a_program_always_passes(stop: type[BaseException]) -> None:
    """It is neither tried again nor turned into another error."""
    embedder = Scripted(stop())

    with pytest.raises(stop):
        await _as_a_coroutine(Embedding(embedder).embed(["a"]))
    assert len(embedder.calls) == 1


async def _as_a_coroutine(work: Awaitable[object]) -> None:
    await work


async def test_a_caller_can_be_cancelled_in_a_pause() -> None:
    """It does not wait for the end of it."""
    busy = Busy(retry_after_seconds=30)
    call = asyncio.create_task(Embedding(Scripted(busy)).embed(["a"]))
    await asyncio.sleep(0.01)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


def test_pauses_double_up_to_a_limit_and_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that many clients do not come back at the same moment."""
    monkeypatch.setattr(module, "_FIRST_DELAY_SECONDS", 0.2)
    longest = [max(module._pause_seconds(attempt, Busy()) for _ in range(2000)) for attempt in (1, 2, 3, 6, 5000)]

    assert longest == [pytest.approx(expected, rel=0.05) for expected in (0.2, 0.4, 0.8, 5.0, 5.0)]
    assert min(module._pause_seconds(6, Busy()) for _ in range(2000)) < 0.1


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [(2, 2, 2.001), (0, 0, 0.001), (3600, 30, 30), (math.nan, 0, 0.001), (-5, 0, 0.001), ("soon", 0, 0.001)],
)
def test_a_pause_is_as_long_as_the_embedder_asks(asked: Any, least: float, most: float) -> None:
    """But not for ever."""
    assert least <= module._pause_seconds(1, Busy(retry_after_seconds=asked)) <= most


async def test_retrying_is_logged_without_the_text(caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees that it happens."""
    caplog.set_level("INFO", logger="agentdb.client")

    await Embedding(Scripted(Busy("secret text"))).embed(["secret text"])

    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["error"], vars(record)["attempt"]) == (
        "embedding failed, trying again",
        "Busy",
        1,
    )
    assert "secret" not in str(vars(record))


# What must not show

SECRET = "Dr. Meyer sees Anna Kowalska on Tuesday,\nöffnet die Akte 4711 and says “nothing”."


@pytest.mark.parametrize(
    "message",
    [
        f"cannot tokenize {SECRET}",
        f"cannot tokenize {SECRET!r}",
        f"cannot tokenize {json.dumps([SECRET])}",
        f"input: {SECRET[10:45]}...",
        f"input: {SECRET.upper()}",
        f"code 3: {json.dumps('öffnet die Akte 4711 and says')}",
    ],
)
async def test_the_embedded_text_is_never_told(message: str) -> None:
    """Though the embedder repeats it, or a part of it, as it is or escaped."""
    with pytest.raises(EmbeddingError) as caught:
        await Embedding(Scripted(Refusal(message))).embed(["harmless", SECRET])

    assert str(caught.value) == (
        "'scripted' made no vectors of 2 texts in 1 attempt: Refusal: "
        "(left out, because it repeats what is confidential)"
    )


@pytest.mark.parametrize(
    ("message", "confidential", "quoted"),
    [
        ("PIN 4711 is unknown", ["4711"], False),
        ("PIN 47110 is unknown", ["4711"], True),
        ("a bad request", ["a"], True),
        ("the model is overloaded", ["Moby-Dick is shelved in row 7."], True),
        ("", ["x"], True),
        ("“Königsberg” geht nicht", ["Königsberg"], False),
        (r"K\u00f6nigsberg fails", ["Königsberg"], False),
    ],
)
def test_a_short_text_counts_as_a_whole_word(message: str, confidential: list[str], quoted: bool) -> None:
    """Else nearly every message would repeat it."""
    assert (quotable(message, confidential) == message) is quoted


def test_a_quote_is_one_short_printable_line() -> None:
    """Whatever a library or a server said."""
    assert quotable("  two\n\tlines \x1b[31m\x00") == "two lines [31m"
    assert len(quotable("x" * 1_000_000)) == 201


async def test_an_error_that_cannot_be_printed_is_an_error_all_the_same() -> None:
    """Its type is told."""

    class Mute(Refusal):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(EmbeddingError, match=r"Mute: \(it cannot be printed\)"):
        await Embedding(Scripted(Mute())).embed(["a"])


# One by one, together


async def test_a_lone_text_waits_for_nothing() -> None:
    """One call to the embedder, for it alone."""
    embedder = Scripted()
    embedding = Embedding(embedder)

    assert await embedding.embed_one("a") == packed(["a"])[0]
    assert embedder.calls == [["a"]]


async def test_a_lone_bad_text_fails_as_it_is() -> None:
    """There is nothing to try one by one; equal ones that travel together are one text."""
    embedder = Picky("bad")

    with pytest.raises(EmbeddingError, match="bad request"):
        await Embedding(embedder).embed_one("bad")
    _, *outcomes = await together(Embedding(embedder), "bad", "bad")

    assert [type(outcome) for outcome in outcomes] == [EmbeddingError, EmbeddingError]
    assert outcomes[0] is not outcomes[1]
    assert embedder.calls == [["bad"], ["first"], ["bad"]]


async def test_concurrent_texts_travel_together() -> None:
    """While one batch is on its way the next ones wait; equal ones are embedded once."""
    embedder = Picky()
    embedder.is_free.clear()
    embedding = Embedding(embedder, batch_size=3)
    texts = ["a", "bb", "bb", "ccc", "dddd"]
    calls = [asyncio.create_task(embedding.embed_one(text)) for text in texts]
    await asyncio.sleep(0.005)
    assert embedder.calls == [["a"]]
    embedder.is_free.set()

    assert await asyncio.gather(*calls) == packed(texts)
    assert embedder.calls == [["a"], ["bb", "ccc"], ["dddd"]]


async def together(embedding: Embedding, *texts: str) -> list[bytes | BaseException]:
    """Embed *texts* so that all but the first travel in one batch."""
    return await asyncio.gather(*map(embedding.embed_one, ("first", *texts)), return_exceptions=True)


async def test_a_bad_text_fails_alone() -> None:
    """Its companions have their vectors; two callers with the same bad text have an error each."""
    embedder = Picky("bad")

    first, good, bad, too, fine = await together(Embedding(embedder), "good", "bad", "bad", "fine")

    assert [first, good, fine] == packed(["first", "good", "fine"])
    assert isinstance(bad, EmbeddingError)
    assert isinstance(too, EmbeddingError)
    assert bad is not too
    assert "1 text in 1 attempt: Refusal: bad request" in str(bad) == str(too)
    assert embedder.calls == [["first"], ["good", "bad", "fine"], ["good"], ["bad"], ["fine"]]


async def test_a_bad_text_fails_alone_when_the_embedder_takes_it_for_an_outage() -> None:
    """Some servers fall over a text and call it their own fault. The batch had its attempts, so each has one more."""
    embedder = Picky("bad", error=Busy)

    outcomes = await together(Embedding(embedder), "good", "bad", "fine")

    assert [isinstance(outcome, EmbeddingError) for outcome in outcomes] == [False, False, True, False]
    assert embedder.calls[4:] == [["good"], ["bad"], ["fine"]]


async def test_an_outage_is_not_asked_for_every_text() -> None:
    """After two failures in a row that may pass, the rest have the batch's error: it is not the texts."""
    texts = [f"text {number}" for number in range(20)]
    embedder = Picky(*texts, error=Busy)

    _, *outcomes = await together(Embedding(embedder, attempts=2), *texts)

    assert all(isinstance(outcome, EmbeddingError) and outcome.is_transient for outcome in outcomes)
    assert len(set(map(id, outcomes))) == 20
    assert [len(call) for call in embedder.calls] == [1, 20, 20, 1, 1]


async def test_asking_one_by_one_takes_no_longer_than_a_batch() -> None:
    """A slow failure of many texts does not keep all others waiting for minutes."""
    texts = [f"text {number}" for number in range(30)]

    class Slow(Picky):
        async def embed(self, texts: list[str]) -> Any:
            if texts != ["first"]:
                await asyncio.sleep(0.02)
            return await super().embed(texts)

    embedder = Slow(*texts)
    start = time.monotonic()

    _, *outcomes = await together(Embedding(embedder, timeout_seconds=0.1), *texts)

    assert all(isinstance(outcome, EmbeddingError) for outcome in outcomes)
    assert time.monotonic() - start < 0.5
    assert len(embedder.calls) < 12


async def test_a_cancelled_caller_leaves_the_others() -> None:
    """Before it travels, and on the way."""
    embedder = Picky()
    embedder.is_free.clear()
    embedding = Embedding(embedder)
    calls = [asyncio.create_task(embedding.embed_one(text)) for text in ("a", "bb", "ccc")]
    await asyncio.sleep(0.005)
    calls[1].cancel()
    embedder.is_free.set()

    assert await asyncio.gather(*calls[::2]) == packed(["a", "ccc"])
    assert calls[1].cancelled()
    assert embedder.calls == [["a"], ["ccc"]]


def test_works_in_another_loop() -> None:
    """As a script does that calls asyncio.run twice."""
    embedding = Embedding(Scripted())

    assert [asyncio.run(embedding.embed_one("a")) for _ in range(2)] == packed(["a", "a"])
