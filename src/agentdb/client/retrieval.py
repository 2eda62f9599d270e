"""Ranking: pure functions of what is known about a memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

__all__ = ["HALF_LIFE", "recency"]

HALF_LIFE: Final = timedelta(days=30)
"""The age at which a memory's recency has fallen to one half."""


def recency(occurred_at: datetime, now: datetime, *, pinned: bool = False, half_life: timedelta = HALF_LIFE) -> float:
    """
    Return how recent a memory is, in [0, 1]: 2^(-age / half-life).

    1 for something of this moment or of the future, and for a pinned memory of any age.
    """
    if pinned or occurred_at >= now:
        return 1.0
    return float(2.0 ** -((now - occurred_at) / half_life))
