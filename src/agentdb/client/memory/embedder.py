"""What makes embeddings: the one protocol that an embedder follows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Embedder"]


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors of texts."""

    model: str
    """Names what makes the vectors; stored with each."""
    dimensions: int
    """The length of every vector."""

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each of *texts*, in their order."""
