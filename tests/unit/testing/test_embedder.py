"""The embedder for tests."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.memory.embedder import Embedder
from agentdb.testing import HashEmbedder

TEXT = st.text(st.characters(), max_size=50)  # lone surrogates too


def _similarity(first: list[float], second: list[float]) -> float:
    return sum(x * y for x, y in zip(first, second, strict=True))


@given(TEXT, st.sampled_from([1, 2, 64, 384]))
def test_every_text_has_a_vector_of_length_1(text: str, dimensions: int) -> None:
    """The database refuses a vector of zeros, so no text gets one."""
    vector = HashEmbedder(dimensions).embed_one(text)

    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0)


def test_texts_that_share_words_are_near() -> None:
    """More shared words, more similar; case and punctuation do not count."""
    embedder = HashEmbedder()
    red, again, bike, poem = map(
        embedder.embed_one, ["The red car", "the RED car!", "the red bike", "a poem of nothing else"]
    )

    assert _similarity(red, again) == pytest.approx(1.0)
    assert _similarity(red, again) > _similarity(red, bike) > _similarity(red, poem)


def test_another_process_gives_the_same_vector() -> None:
    """Python's own hash of a text differs from process to process; this one does not."""
    code = "from agentdb.testing import HashEmbedder; print(HashEmbedder(8).embed_one('red car'))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == repr(HashEmbedder(8).embed_one("red car"))


async def test_is_an_embedder() -> None:
    """It follows the client's protocol; its model's name tells the length."""
    embedder = HashEmbedder(8)

    assert isinstance(embedder, Embedder)
    assert (embedder.model, embedder.dimensions) == ("agentdb-test-8", 8)
    assert await embedder.embed(["a", "b"]) == [embedder.embed_one("a"), embedder.embed_one("b")]
    assert await embedder.embed([]) == []
