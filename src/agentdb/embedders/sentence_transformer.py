"""`SentenceTransformerEmbedder`: any model of Sentence Transformers. Needs the extra `sentence-transformers`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from typing import Any

from agentdb.embedders.library import import_extra, load_model, model_name, plain_lists
from agentdb.errors import ConfigurationError

__all__ = ["SentenceTransformerEmbedder"]


class SentenceTransformerEmbedder:
    """
    Embeds by a model of Sentence Transformers, in a thread, one batch at a time.

    Args:
        model: A folder, a name on the Hugging Face Hub, or a `sentence_transformers.SentenceTransformer`, which is the
            way to choose a device, a revision or a shorter vector.
        name: What to store as the vectors' model; None: the folder's name or the name on the hub. Give a fine-tuned
            instance a name of its own: it says that of the model it was made from.
        options: More arguments of the model's `encode`, for example {"normalize_embeddings": True}.

    Raises:
        ConfigurationError: The library is not installed, the model cannot be loaded, or lacks a name or a length.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Any,
        *,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(model, str | os.PathLike):
            library = import_extra("sentence_transformers", "sentence-transformers")
            self.model: str = name or model_name(model)
            self._model = load_model(library.SentenceTransformer, model)
        else:
            self.model = name or _name_of(model)
            self._model = model
        self.dimensions: int = _dimensions_of(self._model)
        self._options = {"show_progress_bar": False, **(options or {})}
        # Its tokenizers are set up for each call, which two threads must not do at once.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"SentenceTransformerEmbedder({self.model!r}, dimensions={self.dimensions})"

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each of *texts*."""
        return await asyncio.to_thread(self._encode, texts) if texts else []

    def _encode(self, texts: list[str]) -> list[list[float]]:
        with self._lock:
            return plain_lists(self._model.encode(texts, **self._options))


def _name_of(model: Any) -> str:
    base = getattr(getattr(model, "model_card_data", None), "base_model", None)
    if not isinstance(base, str) or not base:
        raise ConfigurationError("embedder", "this SentenceTransformer does not say what it is; pass name=….")
    return base


def _dimensions_of(model: Any) -> int:
    # Renamed in version 5.4, where the old name began to warn.
    read = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    dimensions = read()
    if dimensions is None:
        raise ConfigurationError("embedder", "the model does not say how long its vectors are.")
    return int(dimensions)
