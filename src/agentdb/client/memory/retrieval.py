"""
How a search ranks: the formula, and what of it a caller can set.

A memory's relevance is what the arms of the search say of it, each in [0, 1]:

- *lexical*: BM25 of the query's words, divided by that of the best memory (Robertson and Zaragoza 2009);
- *semantic*: the cosine of the two embeddings, negative ones as 0. In a hybrid search it is stretched over the
  candidates, the nearest 1 and the farthest 0, so that models whose cosines lie close together count as much as any.

A hybrid relevance is their weighted mean, by default the even one; where one of the two finds nothing at all, it is the
other's. Then two boosts, which are bounded so that being new or important never outranks being relevant by much:

    score = relevance * (1 + r (recency - 1/2)) * (1 + i (importance - 1/2))        r = i = 0.2

recency is 2^(-age / half-life), age since *occurred_at*; 1 for what is pinned. That relevance, recency and importance
make the score is from Park et al. 2023, arXiv 2304.03442; there they are added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from agentdb.errors import InvalidInputError
from agentdb.validation import check_number, check_text

__all__ = ["HALF_LIFE", "MAX_INDEXED_DIMENSIONS", "SearchWeights", "index_name", "recency"]

HALF_LIFE: Final = timedelta(days=30)
"""The age at which a memory's recency has fallen to one half, where no other is given for its type."""

MAX_INDEXED_DIMENSIONS: Final = 4000
"""The longest embeddings that pgvector can index, as half-precision floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchWeights:
    """
    What a search weighs how much; see `agentdb.client.memory.retrieval` for the formula.

    Raises:
        InvalidInputError: A weight is out of its range, a half-life is not longer than nothing.
    """

    lexical: float = 0.5
    """Weight of the words in a hybrid search, 0 or more."""
    semantic: float = 0.5
    """Weight of the embeddings in a hybrid search, 0 or more; not both are 0."""
    recency: float = 0.2
    """How much being recent boosts a score, in [0, 1]: 0.2 makes 10 % more of now and 10 % less of long ago."""
    importance: float = 0.2
    """The same for importance: 0.2 makes 10 % more of 1 and 10 % less of 0."""
    half_life: timedelta = HALF_LIFE
    """The age at which recency is one half."""
    half_lives: Mapping[str, timedelta] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """The same by memory type, for the types where it is another."""

    def __post_init__(self) -> None:
        for name, at_most in (("lexical", 1e6), ("semantic", 1e6), ("recency", 1.0), ("importance", 1.0)):
            check_number(getattr(self, name), f"weights.{name}", 0, at_most)
        if self.lexical + self.semantic == 0:
            raise InvalidInputError("weights", "lexical and semantic are both 0: nothing is left to rank by.")
        _seconds(self.half_life, "weights.half_life")
        if not isinstance(self.half_lives, Mapping):
            raise InvalidInputError("weights.half_lives", "expected a mapping from memory types to timedeltas.")
        for memory_type, half_life in self.half_lives.items():
            check_text(memory_type, "weights.half_lives", at_most=100)
            _seconds(half_life, f"weights.half_lives.{memory_type[:40]}")

    @classmethod
    def of(cls, weights: SearchWeights | Mapping[str, Any] | None) -> SearchWeights:
        """
        Return the weights that a caller means: some by name, all the others as by default.

        Raises:
            InvalidInputError: There is no such weight, or it is out of range.
        """
        if isinstance(weights, SearchWeights):
            return weights
        if weights is None:
            return _DEFAULT
        if not isinstance(weights, Mapping):
            raise InvalidInputError("weights", f"expected SearchWeights or a mapping, got {type(weights).__name__}.")
        names = [each.name for each in fields(cls)]
        for name in weights:
            if name not in names:
                raise InvalidInputError(f"weights.{str(name)[:40]}", f"no such weight; there are {', '.join(names)}.")
        return cls(**weights)

    @property
    def least_share(self) -> float:
        """How small a share of another's relevance can still win by its boosts."""
        return ((1 - self.recency / 2) * (1 - self.importance / 2)) / (
            (1 + self.recency / 2) * (1 + self.importance / 2)
        )

    def as_parameters(self) -> tuple[float, float, float, float, str | None, float]:
        """Return the weights as the block `search` takes them; half-lives in seconds, by type as JSON."""
        by_type = {memory_type: half_life.total_seconds() for memory_type, half_life in self.half_lives.items()}
        return (
            float(self.lexical),
            float(self.semantic),
            float(self.recency),
            float(self.importance),
            json.dumps(by_type) if by_type else None,
            self.half_life.total_seconds(),
        )


def _seconds(half_life: object, field: str) -> float:
    if not isinstance(half_life, timedelta) or half_life <= timedelta(0):
        raise InvalidInputError(field, "expected a timedelta longer than nothing.")
    return half_life.total_seconds()


_DEFAULT: Final = SearchWeights()


def recency(occurred_at: datetime, now: datetime, half_life: timedelta = HALF_LIFE) -> float:
    """Return how recent something is, in [0, 1]: 2^(-age / half-life); 1 for what is yet to come."""
    return 1.0 if occurred_at >= now else float(2.0 ** -((now - occurred_at) / half_life))


def index_name(model: str, dimensions: int) -> str:
    """Return what the index over the embeddings of one model and length is called."""
    digest = hashlib.sha256(model.encode()).hexdigest()[:12]
    return f"agent_memories_near_{dimensions}_{digest}_idx"
