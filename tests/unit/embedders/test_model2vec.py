"""`Model2VecEmbedder` with a real model, which is tiny and made here."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from typing import Any

import model2vec
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from agentdb.client.memory.embedder import Embedder
from agentdb.client.memory.embedding import Embedding
from agentdb.embedders import Model2VecEmbedder
from agentdb.errors import ConfigurationError, EmbeddingError
from agentdb.postgres.vector import unpack_vector

WORDS = {"[UNK]": [9.0, 9.0, 9.0], "red": [1.0, 0.0, 0.0], "car": [0.0, 1.0, 0.0], "bike": [0.0, 0.0, 1.0]}


def static_model(**arguments: Any) -> model2vec.StaticModel:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[attr-defined,unused-ignore]
    vectors = np.array(list(WORDS.values()), dtype=np.float32)
    return model2vec.StaticModel(vectors, tokenizer, **arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in a folder."""
    place = tmp_path / "colour-vehicles"
    static_model().save_pretrained(place)
    return place


async def test_embeds_by_a_model_in_a_folder(folder: Path) -> None:
    """Its length is the model's, its name the folder's, which does not differ by machine as the path does."""
    embedder = Model2VecEmbedder(folder)

    assert isinstance(embedder, Embedder)
    assert (embedder.model, embedder.dimensions) == ("colour-vehicles", 3)
    assert await embedder.embed(["red car", "bike"]) == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert await embedder.embed([]) == []
    assert Model2VecEmbedder(str(folder), name="mine").model == "mine"
    assert repr(embedder) == "Model2VecEmbedder('colour-vehicles', dimensions=3)"


async def test_embeds_by_a_model_that_is_loaded() -> None:
    """It is named after what it was made from, and never the same: the vectors are others."""
    embedder = Model2VecEmbedder(static_model(base_model_name="BAAI/bge-base-en-v1.5"))

    assert (embedder.model, embedder.dimensions) == ("model2vec/BAAI/bge-base-en-v1.5/3", 3)
    assert await embedder.embed(["car"]) == [[0.0, 1.0, 0.0]]
    assert Model2VecEmbedder(static_model(), name="mine").model == "mine"
    with pytest.raises(ConfigurationError, match="pass name="):
        Model2VecEmbedder(static_model())


async def test_many_calls_at_once(folder: Path) -> None:
    """The library's tokenizer is not for two threads at once: they take turns."""
    embedder = Model2VecEmbedder(folder)

    answers = await asyncio.gather(*(embedder.embed(["red"] * 50 + ["car"]) for _ in range(20)))

    assert all(answer[0] == [1.0, 0.0, 0.0] and answer[50] == [0.0, 1.0, 0.0] for answer in answers)


async def test_it_does_not_block_the_event_loop(folder: Path) -> None:
    """The model works in a thread."""
    model = model2vec.StaticModel.from_pretrained(folder)
    seen = []

    class Slow:
        dim = model.dim

        def encode(self, texts: list[str]) -> Any:
            seen.append(threading.current_thread())
            time.sleep(0.05)
            return model.encode(texts)

    call = asyncio.create_task(Model2VecEmbedder(Slow(), name="slow").embed(["red"]))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.005)
        turns += 1

    assert call.result() == [[1.0, 0.0, 0.0]]
    assert turns > 2
    assert seen[0] is not threading.main_thread()


async def test_in_a_client_a_text_without_a_known_word_fails_alone(folder: Path) -> None:
    """The library returns zeros for it, which have no direction."""
    embedding = Embedding(Model2VecEmbedder(folder))

    first, red, unknown, car = await asyncio.gather(
        *map(embedding.embed_one, ["bike", "red", "quux", "car"]), return_exceptions=True
    )

    assert [unpack_vector(vector).tolist() for vector in (first, red, car) if isinstance(vector, bytes)] == [
        [0.0, 0.0, 1.0],
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
    ]
    assert isinstance(unknown, EmbeddingError)
    assert "all zero" in str(unknown)


def test_a_model_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    """The error names it, and the library's complaint."""
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(ConfigurationError, match=r"empty' cannot be loaded: \w+Error: ") as caught:
        Model2VecEmbedder(empty)
    assert caught.value.__cause__ is not None


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "model2vec", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'agentdb\[model2vec\]'"):
        Model2VecEmbedder("minishlab/potion-base-8M")
