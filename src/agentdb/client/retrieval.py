"""Ranking: pure functions of what is known about a memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

__all__ = ["HALF_LIFE", "recency"]

HALF_LIFE: Final = timedelta(days=30)
"""The age at which a memory's recency has fallen to one half."""


def recency(occurred_at: datetime, now: datetime) -> float:
    """Return how recent something is, in [0, 1]: 2^(-age / half-life); 1 for what is yet to come."""
    return 1.0 if occurred_at >= now else float(2.0 ** -((now - occurred_at) / HALF_LIFE))
