"""
What tests of agents need: the pytest plugin's fixtures, and the plain functions under them.

The plugin (`agentdb.testing.plugin`) is found by pytest on its own; nothing has to be imported.
"""

from __future__ import annotations

from agentdb.testing.embedder import HashEmbedder

__all__ = ["HashEmbedder"]
