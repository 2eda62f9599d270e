"""Made-up memories: words as often as words are, and embeddings that lie in clusters, as those of texts do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentdb.ids import uuid7_text

__all__ = ["DIMENSIONS", "MODEL", "Fact", "Source"]

DIMENSIONS = 384
MODEL = "benchmark-384"
_WORDS = 20_000
_WORDS_EACH = 30
_CLUSTERS = 500
_SPREAD = 0.7
_SYLLABLES = ("ka", "lo", "mi", "ter", "san", "vo", "ren", "dal", "pu", "ix", "ger", "tol", "bri", "nam", "qua", "zek")


@dataclass(frozen=True, slots=True)
class Fact:
    """What a memory is made of; *vector* has the length 1."""

    id: str
    content: str
    metadata: str
    vector: np.ndarray[Any, np.dtype[np.float32]]

    @property
    def digest(self) -> bytes:
        """The hash that finds equal memories."""
        return hashlib.sha256(f"general\0{self.content}\0{self.metadata}".encode()).digest()


class Source:
    """
    Makes facts and questions; the same for the same seed.

    Words follow Zipf's law, the most frequent in every second memory or so. A vector is a cluster's centre with noise.
    """

    def __init__(self, seed: int = 1) -> None:
        self._chance = np.random.default_rng(seed)
        syllables = np.random.default_rng(0)
        words: dict[str, None] = {}
        while len(words) < _WORDS:
            words["".join(syllables.choice(_SYLLABLES, syllables.integers(2, 5)))] = None
        self._words = list(words)
        shares = 1 / np.arange(1, _WORDS + 1)
        self._shares = shares / shares.sum()
        self._centres = np.random.default_rng(0).normal(size=(_CLUSTERS, DIMENSIONS)).astype(np.float32)
        self._made = 0

    def facts(self, count: int) -> Iterator[Fact]:
        """Make *count* facts, of which no two are equal."""
        places = self._chance.choice(_WORDS, size=(count, _WORDS_EACH), p=self._shares)
        for row, vector in zip(places, self.vectors(count), strict=True):
            self._made += 1
            text = " ".join(self._words[place] for place in row)
            yield Fact(uuid7_text(), f"{text} {self._made}", f'{{"number":{self._made}}}', vector)

    def vectors(self, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Make *count* vectors of length 1."""
        noise = self._chance.normal(size=(count, DIMENSIONS)).astype(np.float32) * _SPREAD
        made = self._centres[self._chance.integers(0, _CLUSTERS, count)] + noise
        unit: np.ndarray[Any, np.dtype[np.float32]] = made / np.linalg.norm(made, axis=1, keepdims=True)
        return unit

    def words(self, count: int) -> str:
        """Make a question of *count* words, as frequent as words are; the 100 most frequent ones are stop words."""
        shares = self._shares[100:] / self._shares[100:].sum()
        return " ".join(self._words[100 + place] for place in self._chance.choice(_WORDS - 100, count, p=shares))
