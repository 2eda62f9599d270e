"""Vectors of how words are spelt."""

from __future__ import annotations

import asyncio
import math
import random
import string
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.memory.embedder import Embedder
from agentdb.client.memory.embedding import Embedding
from agentdb.embedders import SpellingEmbedder
from agentdb.errors import ConfigurationError

TEXT = st.text(st.characters(), max_size=50)  # lone surrogates too

MISSPELT = {
    "accomodate": "accommodate",
    "asynchronus": "asynchronous",
    "begining": "beginning",
    "colection": "collection",
    "compresed": "compressed",
    "dependancy": "dependency",
    "directry": "directory",
    "enviroment": "environment",
    "exeption": "exception",
    "independant": "independent",
    "maintainance": "maintenance",
    "paralell": "parallel",
    "recursivly": "recursively",
    "snipet": "snippet",
    "varible": "variable",
}


def _vectors(*texts: str, dimensions: int = 256) -> list[list[float]]:
    return asyncio.run(SpellingEmbedder(dimensions).embed(list(texts)))


def _cosine(first: str, second: str) -> float:
    one, other = _vectors(first, second)
    return sum(x * y for x, y in zip(one, other, strict=True))


# -- what is near


@pytest.mark.parametrize("misspelt", MISSPELT)
def test_a_misspelt_word_is_nearest_to_the_right_one(misspelt: str) -> None:
    """Of all the right ones."""
    assert max(MISSPELT.values(), key=lambda right: _cosine(misspelt, right)) == MISSPELT[misspelt]


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("zipfile", "zip files", "text files"),
        ("namedtuple", "a named tuple", "a named pipe"),
        ("deepcopy", "deep copy", "deep sea"),
        ("un-zip", "unzip", "zebra"),
        ("get_close_matches", "close match", "open file"),
        ("Übergrößenträger", "übergröße", "untergrund"),
        ("распаковать архив", "архивы", "распределение"),
    ],
)
def test_joined_and_divided_words_are_near(text: str, near: str, far: str) -> None:
    """Nearer than texts that share less of the letters, and in other scripts too."""
    assert _cosine(text, near) > 0.25
    assert _cosine(text, near) > _cosine(text, far) + 0.1


def test_case_and_punctuation_do_not_count() -> None:
    """Nor does the order of the words."""
    first, *others = _vectors("The red car", "the RED car!", "car, red; the", "the_red_car")

    assert others == [pytest.approx(first)] * 3


def test_it_knows_no_meaning() -> None:
    """As its description says."""
    assert abs(_cosine("car", "automobile")) < 0.2


def test_a_word_that_is_repeated_counts_less_each_time() -> None:
    """A hundred times is nearer to the word alone than ten times, but does not drown the other word."""
    ten, hundred = (_cosine("archive", "archive " * times + "umbrella") for times in (10, 100))

    assert _cosine("archive", "archive umbrella") < ten < hundred < 0.99


# -- what every vector is


@given(TEXT, st.sampled_from([1, 2, 64, 256]))
def test_every_text_has_a_vector_of_length_1(text: str, dimensions: int) -> None:
    """The database refuses a vector of zeros, so no text gets one."""
    (vector,) = _vectors(text, dimensions=dimensions)

    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", " ", "!?", "…", "___", "\ud800"])
def test_a_text_without_words_has_one_too(text: str) -> None:
    """It stands for itself, so that another such text has another."""
    (vector, other) = _vectors(text, "%%% %%%")

    assert math.hypot(*vector) == pytest.approx(1.0)
    assert vector != other


def test_what_cancels_out_has_one_too() -> None:
    """In one dimension half of the texts with two runs would have none."""
    assert {abs(vector[0]) for vector in _vectors(*string.ascii_letters, "", dimensions=1)} == {1.0}


# -- the same everywhere


def test_the_vectors_never_change() -> None:
    """Stored ones would be compared with others: whoever changes them gives the model a new version."""
    assert SpellingEmbedder(8).model == "agentdb-spelling-1-8"
    assert _vectors("Zip files", "naïve Ωmega", "a a a b", "", dimensions=8) == [
        pytest.approx([-0.316228, 0.316228, -0.316228, -0.316228, 0.0, -0.316228, 0.632456, -0.316228], abs=1e-6),
        pytest.approx([0.154303, -0.154303, 0.154303, 0.46291, 0.0, 0.771517, 0.154303, -0.308607], abs=1e-6),
        pytest.approx([0.0, -0.638341, 0.0, 0.0, 0.0, -0.638341, -0.304173, 0.304173], abs=1e-6),
        pytest.approx([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], abs=1e-6),
    ]


def test_another_process_gives_the_same_vector() -> None:
    """Python's own hash of a text differs from process to process; this one does not."""
    code = (
        "import asyncio; from agentdb.embedders import SpellingEmbedder\n"
        "print(asyncio.run(SpellingEmbedder(8).embed(['red car'])))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == repr(_vectors("red car", dimensions=8))


# -- an embedder


async def test_is_an_embedder() -> None:
    """It follows the client's protocol; its model's name tells the length."""
    embedder = SpellingEmbedder()

    assert isinstance(embedder, Embedder)
    assert (embedder.model, embedder.dimensions) == ("agentdb-spelling-1-256", 256)
    assert repr(embedder) == "SpellingEmbedder(dimensions=256)"
    assert await embedder.embed([]) == []
    assert len(await Embedding(embedder).embed(["one", "", "two"])) == 3


@pytest.mark.parametrize("dimensions", [0, -1, 16_001, True, 2.5, "256"])
def test_refuses_what_is_no_length(dimensions: int) -> None:
    """At once, not at the first text."""
    with pytest.raises(ConfigurationError, match="dimensions"):
        SpellingEmbedder(dimensions)


@pytest.mark.parametrize(
    "texts",
    [
        ["".join(random.Random(1).choices(string.ascii_letters + string.digits, k=200_000))],
        ["a b c d " * 100_000],
        [" ".join(random.Random(2).choices(string.ascii_letters, k=400)) for _ in range(500)],
    ],
    ids=["one word", "one text", "many texts"],
)
async def test_other_tasks_have_their_turn(texts: list[str]) -> None:
    """It never keeps the event loop for long, whatever it is given."""
    embedding = asyncio.create_task(SpellingEmbedder().embed(texts))
    slices: list[float] = []
    while not embedding.done():
        started = time.thread_time()  # of this thread: a busy machine does not count
        await asyncio.sleep(0)
        slices.append(time.thread_time() - started)

    assert len(slices) > 10
    assert max(slices) < 0.02  # 5 ms where it was measured, of 60 to 150 in all
