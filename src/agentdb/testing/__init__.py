"""
What tests of agents need: the pytest plugin's fixtures, and the types of what they give.

The plugin (`agentdb.testing.plugin`) is found by pytest on its own; nothing has to be imported but for type hints. Read
on in `plugin.py`, which names the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from agentdb.testing.clock import Clock
    from agentdb.testing.databases import OwnDatabase
    from agentdb.testing.embedder import HashEmbedder
    from agentdb.testing.failures import Failures
    from agentdb.testing.stage import MakeAgent

__all__ = ["Clock", "Failures", "HashEmbedder", "MakeAgent", "OwnDatabase"]

# Loaded when they are asked for: the plugin is loaded in every run of pytest, and most need none of them.
_MODULES: Final = {
    "Clock": "clock",
    "Failures": "failures",
    "HashEmbedder": "embedder",
    "MakeAgent": "stage",
    "OwnDatabase": "databases",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
