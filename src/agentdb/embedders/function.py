"""`CallableEmbedder`: a plain function as an embedder."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from agentdb.embedders.library import plain_lists

__all__ = ["CallableEmbedder"]


class CallableEmbedder:
    """
    Embeds by a function of yours.

    Args:
        function: Takes a list of texts and returns a vector for each, in their order: lists or arrays. A plain function
            runs in a thread, several calls at once where several are under way; an async one in the event loop.
        model: Names what makes the vectors; stored with each. Vectors of different models are never compared.
        dimensions: The length of every vector.
    """

    def __init__(self, function: Callable[[list[str]], object], *, model: str, dimensions: int) -> None:
        self.model = model
        self.dimensions = dimensions
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - of an object, its method is what is async
        )

    def __repr__(self) -> str:
        return f"CallableEmbedder(model={self.model!r}, dimensions={self.dimensions!r})"

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each of *texts*."""
        vectors: Any = self._function(texts) if self._is_async else await asyncio.to_thread(self._function, texts)
        if inspect.isawaitable(vectors):  # of a lambda around an async function too
            vectors = await vectors
        return plain_lists(vectors)
