"""`SpellingEmbedder`: vectors of how words are spelt. No model, no download, nothing to install."""

from __future__ import annotations

import asyncio
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from agentdb.errors import ConfigurationError

__all__ = ["SpellingEmbedder"]

_VERSION = 1  # raise it with any change of the vectors, for those of different models are never compared
_MOST_DIMENSIONS = 16_000

# Letters and digits: "get_close_matches" is three words. What is longer than any word is cut, so that each is quick.
_LONGEST_WORD = 40
_WORD = re.compile(rf"[^\W_]{{1,{_LONGEST_WORD}}}")

_CHARACTER_BYTES = 4  # in UTF-32, so that a run of characters is a slice
_RUN_BYTES = tuple(_CHARACTER_BYTES * characters for characters in (3, 4))

# Between two slices other tasks have their turn. One of the longest words, none of them known, takes 2 ms; counting
# takes less.
_SLICE_WORDS = 100
_SLICE_COUNTED = 2000

# Most words of a text were in an earlier one, and take 0.1 us then instead of 8. These are 5 MB with 256 dimensions.
_KNOWN_WORDS = 8192


class SpellingEmbedder:
    """
    Embeds by how words are spelt: "zipfile" is near "zip files", and "recursivly" near "recursively".

    It knows nothing of meaning: "car" is as far from "automobile" as from any other word. In a hybrid search it
    forgives typing errors, other endings, and words that are joined or divided; to search by meaning, take a model.
    The longer a word, the more of it a mistake leaves as it was: "recieve" has next to nothing in common with
    "receive". All words of a text count, frequent ones too, so it tells short texts apart better than long ones.

    Words are lower-cased and taken apart into runs of 3 and 4 characters, the edges of the word counting as characters;
    each run, and each whole word, is hashed to one dimension and a sign. A word that is there n times counts
    1 + ln(n) times. The vectors are the same on every machine.

    Args:
        dimensions: The length of the vectors, 1 to 16,000. The more there are, the fewer runs share one.

    Raises:
        ConfigurationError: *dimensions* is out of range.
    """

    def __init__(self, dimensions: int = 256) -> None:
        if not _is_length(dimensions):
            raise ConfigurationError("dimensions", f"expected a whole number, 1 to {_MOST_DIMENSIONS:,}.")
        self.model: str = f"agentdb-spelling-{_VERSION}-{dimensions}"
        self.dimensions = dimensions

    def __repr__(self) -> str:
        return f"SpellingEmbedder(dimensions={self.dimensions})"

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector of length 1 for each of *texts*, also for one without any word."""
        return [await self._vector(text) for text in texts]

    async def _vector(self, text: str) -> list[float]:
        words = await _counted_words(text)
        # Positive and negative runs apart: what is common to a word is then nothing but places.
        sums = [0.0] * (2 * self.dimensions)
        counts = iter(words.items())
        while some := list(islice(counts, _SLICE_WORDS)):
            _add(sums, some)
            await asyncio.sleep(0)
        return _unit(sums)


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_DIMENSIONS


async def _counted_words(text: str) -> Counter[str]:
    """Return how often each word is in *text*; one without words stands for itself."""
    counted: Counter[str] = Counter()
    found = _WORD.finditer(text.lower())
    while some := [match[0] for match in islice(found, _SLICE_COUNTED)]:
        counted.update(some)
        await asyncio.sleep(0)
    return counted or Counter([text[:_LONGEST_WORD]])


def _add(sums: list[float], words: Iterable[tuple[str, int]]) -> None:
    dimensions = len(sums) // 2
    for word, count in words:
        weight = 1.0 if count == 1 else 1.0 + math.log(count)
        for place in _places(word, dimensions):
            sums[place] += weight


@lru_cache(maxsize=_KNOWN_WORDS)
def _places(word: str, dimensions: int) -> tuple[int, ...]:
    """Return where a word's runs of characters and the word itself count; from *dimensions* on they count negative."""
    marked = f"<{word}>".encode("utf-32-le", "surrogatepass")
    whole = f" {word}".encode("utf-32-le", "surrogatepass")  # no run holds a space
    runs = [
        marked[start : start + length]
        for length in _RUN_BYTES
        for start in range(0, len(marked) - length + 1, _CHARACTER_BYTES)
    ]
    return tuple([zlib.crc32(run) % (2 * dimensions) for run in [*runs, whole]])


def _unit(sums: list[float]) -> list[float]:
    """Return the vector of length 1 that the sums amount to."""
    dimensions = len(sums) // 2
    vector = [plus - minus for plus, minus in zip(sums[:dimensions], sums[dimensions:], strict=True)]
    length = math.hypot(*vector)
    if length == 0.0:  # all that there is cancelled out, which takes very few dimensions
        vector[0], length = 1.0, 1.0
    return [value / length for value in vector]
