"""What searches found out about large scopes, so that the next one need not find it out again."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Final

__all__ = ["LargeScopes"]

_SECONDS: Final = 60.0
_MOST: Final = 1000


class LargeScopes:
    """
    A memory of which scopes were large a moment ago, and whether their boosts were even.

    A scope that has changed since costs a search some time, never a hit.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[float, bool]] = {}

    def __contains__(self, scope: Hashable) -> bool:
        return scope in self._known and self._known[scope][0] > time.monotonic()

    def is_even(self, scope: Hashable) -> bool:
        """Whether recency and importance hardly told the candidates of a search apart."""
        return scope in self and self._known[scope][1]

    def add(self, scope: Hashable, *, is_even: bool) -> None:
        """Remember a scope as large."""
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[scope] = time.monotonic() + _SECONDS, is_even
