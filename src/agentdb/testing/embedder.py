"""An embedder for tests: no model, no network, the same vector for the same text on every machine."""

from __future__ import annotations

import hashlib
import math
import re

__all__ = ["HashEmbedder"]

_WORD = re.compile(r"\w+")


class HashEmbedder:
    """
    Embeds a text by its words, each hashed to one direction: texts that share words are near each other.

    It knows nothing of meaning: "car" is as far from "automobile" as from "poem".

    Attributes:
        model: The name that is stored with each vector.
        dimensions: The length of the vectors.
    """

    def __init__(self, dimensions: int = 64) -> None:
        self.model: str = f"agentdb-test-{dimensions}"
        self.dimensions = dimensions

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector of length 1 for each of *texts*."""
        return [self.embed_one(text) for text in texts]

    def embed_one(self, text: str) -> list[float]:
        """Return the vector of *text*; its length is 1."""
        vector = [0.0] * self.dimensions
        # a text without words stands for itself, for a vector of zeros has no direction
        for word in _WORD.findall(text.lower()) or [text]:
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=9).digest()
            vector[int.from_bytes(digest[:8], "big") % self.dimensions] += 1.0 if digest[8] & 1 else -1.0
        norm = math.hypot(*vector)
        if norm == 0.0:  # two words cancelled each other out
            vector[0], norm = 1.0, 1.0
        return [value / norm for value in vector]
