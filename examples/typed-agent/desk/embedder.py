"""An embedder of our own: any class with `model`, `dimensions` and `embed` is one."""

from __future__ import annotations

import zlib


class TrigramEmbedder:
    """Counts three letters at a time, so that a misspelled word is near the right one. Knows no meaning."""

    model = "desk-trigrams-1"
    dimensions = 64

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each of *texts*."""
        return [self._vector(text.casefold()) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * self.dimensions
        for start in range(max(1, len(text) - 2)):
            counts[zlib.crc32(text[start : start + 3].encode()) % self.dimensions] += 1
        return counts
