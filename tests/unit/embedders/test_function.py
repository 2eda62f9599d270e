"""A plain function as an embedder."""

from __future__ import annotations

import array
import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from agentdb.client.memory.embedder import Embedder
from agentdb.client.memory.embedding import Embedding
from agentdb.embedders import CallableEmbedder
from agentdb.errors import EmbeddingError
from agentdb.postgres.vector import pack_vector


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


async def lengths_later(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return lengths(texts)


class Model:
    async def __call__(self, texts: list[str]) -> list[list[float]]:
        return await lengths_later(texts)


@pytest.mark.parametrize(
    "function",
    [
        lengths,
        lengths_later,
        Model(),
        lambda texts: lengths_later(texts),
        lambda texts: np.array(lengths(texts)),
        lambda texts: list(np.array(lengths(texts), dtype=np.float32)),
        lambda texts: (tuple(vector) for vector in lengths(texts)),
        lambda texts: [array.array("f", vector) for vector in lengths(texts)],
    ],
    ids=["plain", "async", "object", "lambda", "numpy", "rows", "generator", "array"],
)
async def test_any_function_will_do(function: Any) -> None:
    """Plain or async, and whatever form its vectors have: lists of floats come out."""
    embedder = CallableEmbedder(function, model="lengths", dimensions=2)

    vectors = await embedder.embed(["a", "bb"])

    assert vectors == [[1.0, 1.0], [2.0, 1.0]]
    assert {type(number) for vector in vectors for number in vector} == {float}
    assert all(type(vector) is list for vector in vectors)
    assert isinstance(embedder, Embedder)
    assert await Embedding(embedder).embed_one("abc") == pack_vector([3.0, 1.0])


async def test_a_plain_function_does_not_block_the_event_loop() -> None:
    """It runs in a thread; an async one does not."""
    seen = []

    def slow(texts: list[str]) -> list[list[float]]:
        seen.append(threading.current_thread())
        time.sleep(0.1)
        return lengths(texts)

    async def here(texts: list[str]) -> list[list[float]]:
        seen.append(threading.current_thread())
        return lengths(texts)

    call = asyncio.create_task(CallableEmbedder(slow, model="slow", dimensions=2).embed(["a"]))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.005)
        turns += 1
    await CallableEmbedder(here, model="here", dimensions=2).embed(["a"])

    assert turns > 3
    assert [thread is threading.main_thread() for thread in seen] == [False, True]


async def test_what_the_function_raises_is_the_cause() -> None:
    """And what it returns is checked like any embedder's."""

    def refuse(texts: list[str]) -> list[list[float]]:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        await CallableEmbedder(refuse, model="m", dimensions=2).embed(["a"])
    with pytest.raises(EmbeddingError, match="expected 3 numbers, got 2"):
        await Embedding(CallableEmbedder(lengths, model="m", dimensions=3)).embed(["a"])
    with pytest.raises(EmbeddingError, match="TypeError"):
        await Embedding(CallableEmbedder(lambda texts: None, model="m", dimensions=3)).embed(["a"])


def test_repr_says_what_it_is() -> None:
    """For whoever prints a client's settings."""
    assert repr(CallableEmbedder(lengths, model="m", dimensions=2)) == "CallableEmbedder(model='m', dimensions=2)"
