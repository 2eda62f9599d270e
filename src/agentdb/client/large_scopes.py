"""Which scopes a search found to be large, so that the next one need not count again."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Final

__all__ = ["LargeScopes"]

_SECONDS: Final = 60.0
_MOST: Final = 1000


class LargeScopes:
    """
    A memory of what was large a moment ago. A scope that has shrunk since costs a search some time, never a hit.
    """

    def __init__(self) -> None:
        self._until: dict[Hashable, float] = {}

    def __contains__(self, scope: Hashable) -> bool:
        return self._until.get(scope, 0.0) > time.monotonic()

    def add(self, scope: Hashable) -> None:
        """Remember a scope as large."""
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[scope] = time.monotonic() + _SECONDS
