"""`Model2VecEmbedder`: a static model, small and quick without a GPU. Needs the extra `model2vec`."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from agentdb.embedders.library import import_extra, load_model, model_name, plain_lists
from agentdb.errors import ConfigurationError

__all__ = ["Model2VecEmbedder"]


class Model2VecEmbedder:
    """
    Embeds by a model of Model2Vec, in a thread.

    A text without a single word that the model knows has no vector: the library returns zeros, which a client refuses.

    Args:
        model: A folder, a name on the Hugging Face Hub (downloaded once), or a `model2vec.StaticModel`.
        name: What to store as the vectors' model; None: the folder's name, the name on the hub, or of a `StaticModel`
            the model that it was distilled from.

    Raises:
        ConfigurationError: The library is not installed, the model cannot be loaded, or it has no name.
    """

    def __init__(self, model: str | os.PathLike[str] | Any, *, name: str | None = None) -> None:
        if isinstance(model, str | os.PathLike):
            library = import_extra("model2vec", "model2vec")
            self.model: str = name or model_name(model)
            # force_download is the library's default: the whole model, at every start
            self._model = load_model(
                lambda path: library.StaticModel.from_pretrained(path, force_download=False), model
            )
        else:
            self.model = name or _name_of(model)
            self._model = model
        self.dimensions: int = int(self._model.dim)
        # The library sets up its tokenizer for each call, which two threads must not do at once.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Model2VecEmbedder({self.model!r}, dimensions={self.dimensions})"

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each of *texts*."""
        return await asyncio.to_thread(self._encode, texts) if texts else []

    def _encode(self, texts: list[str]) -> list[list[float]]:
        with self._lock:
            return plain_lists(self._model.encode(texts))


def _name_of(model: Any) -> str:
    base = getattr(model, "base_model_name", None)
    if not isinstance(base, str) or not base:
        raise ConfigurationError("embedder", "this StaticModel does not say what it is; pass name=….")
    return f"model2vec/{base}/{model.dim}"  # not the base model's own vectors
