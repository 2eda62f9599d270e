"""`SentenceTransformerEmbedder` with a stand-in of the library's methods: the library needs torch, too big for here."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentdb.client.memory.embedder import Embedder
from agentdb.embedders import SentenceTransformerEmbedder
from agentdb.errors import ConfigurationError


class StandIn:
    """What the adapter uses of a `SentenceTransformer`, in its versions before 5.4."""

    def __init__(self, name: str | None = None, *, base_model: str | None = None, dimensions: int | None = 2) -> None:
        self.model_card_data = types.SimpleNamespace(base_model=base_model)
        self.name = name
        self.options: dict[str, Any] = {}
        self.at_once = 0
        self.most_at_once = 0
        self.threads: set[threading.Thread] = set()
        self._dimensions = dimensions

    def get_sentence_embedding_dimension(self) -> int | None:
        return self._dimensions

    def encode(self, texts: list[str], **options: Any) -> Any:
        self.options = options
        self.threads.add(threading.current_thread())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.01)
        self.at_once -= 1
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


class NewStandIn(StandIn):
    """Since version 5.4, where the old name warns."""

    def get_embedding_dimension(self) -> int | None:
        return self._dimensions

    def get_sentence_embedding_dimension(self) -> int | None:
        raise DeprecationWarning


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module in the library's place."""
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return module


@pytest.mark.parametrize("kind", [StandIn, NewStandIn])
async def test_embeds_by_a_model_that_is_loaded(kind: type[StandIn]) -> None:
    """Name and length are read from it; no progress bar is drawn."""
    model = kind(base_model="sentence-transformers/all-MiniLM-L6-v2")
    embedder = SentenceTransformerEmbedder(model, options={"normalize_embeddings": True})

    assert isinstance(embedder, Embedder)
    assert (embedder.model, embedder.dimensions) == ("sentence-transformers/all-MiniLM-L6-v2", 2)
    vectors = await embedder.embed(["a", "bb"])
    assert vectors == [[1.0, 1.0], [2.0, 1.0]]
    assert type(vectors[0][0]) is float
    assert await embedder.embed([]) == []
    assert model.options == {"show_progress_bar": False, "normalize_embeddings": True}
    assert repr(embedder) == "SentenceTransformerEmbedder('sentence-transformers/all-MiniLM-L6-v2', dimensions=2)"


async def test_loads_a_model_by_name_or_folder(library: types.ModuleType, tmp_path: Path) -> None:
    """A name of the hub stays, of a folder its own name counts, and a name that is given comes first."""
    folder = tmp_path / "tuned"
    folder.mkdir()

    assert SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5").model == "BAAI/bge-small-en-v1.5"
    assert SentenceTransformerEmbedder(folder).model == "tuned"
    assert SentenceTransformerEmbedder(folder, name="tuned-2").model == "tuned-2"
    assert await SentenceTransformerEmbedder(folder).embed(["abc"]) == [[3.0, 1.0]]


async def test_calls_take_turns_in_threads() -> None:
    """The tokenizers are not for two threads at once, and the event loop is not blocked."""
    model = StandIn()
    embedder = SentenceTransformerEmbedder(model, name="m")

    await asyncio.gather(*(embedder.embed(["a"]) for _ in range(5)))

    assert model.most_at_once == 1
    assert threading.main_thread() not in model.threads


def test_a_model_without_name_or_length_is_refused() -> None:
    """Both are stored with each vector."""
    with pytest.raises(ConfigurationError, match="pass name="):
        SentenceTransformerEmbedder(StandIn())
    with pytest.raises(ConfigurationError, match="how long"):
        SentenceTransformerEmbedder(StandIn(dimensions=None), name="m")


def test_a_model_that_cannot_be_loaded_is_told(library: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and the library's complaint."""

    def load(name: str) -> None:
        raise OSError("no such model")

    monkeypatch.setattr(library, "SentenceTransformer", load)

    with pytest.raises(ConfigurationError, match="'x/y' cannot be loaded: OSError: no such model"):
        SentenceTransformerEmbedder("x/y")


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'agentdb\[sentence-transformers\]'"):
        SentenceTransformerEmbedder("x/y")
