"""All that stands in the documentation and is not run by its tests, each with the reason."""

from __future__ import annotations

from typing import Final

NOT_RUN: Final = {
    "pip": "changes the environment that the tests run in; the extras it names are looked up",
    "python3 -m venv": "makes an environment without what the tests need",
    "python -m venv": "makes an environment without what the tests need",
    "source": "activates such an environment",
    "make": "each target has a test or a benchmark of its own; that there is such a target is looked up",
    "git": "needs a network",
    "npm": "needs a network; examples/admin-app is tested with it",
    "npx": "needs a network; examples/admin-app is tested with it",
    "docker": "is not there",
    "psql": "the server that is embedded comes without it",
    "node prisma/tools/compiler.mjs": "downloads a compiler",
    "agentdb demo": "has tests of its own, and takes a while",
    "agentdb erase --agent scout-1    ": "asks at a terminal",
    "agentdb erase --organization": "asks at a terminal",
}
"""Commands by how they begin. Those of agentdb are still parsed by their own parser."""

COMPILED: Final[dict[tuple[str, str], str]] = {
    ("coming-from.md", "mem0"): "asks a language model; it was run by hand with mem0ai 2.2",
    ("coming-from.md", "Letta"): "asks a server that runs language models; it was compared with letta-client 1.12",
    ("howto/node-admin-app.md", "More tables in Python"): "its client is generated, and tested, in examples/admin-app",
    ("howto/embedders.md", "Embedders"): "asks a service that costs money",
    ("howto/embedders.md", "Model2Vec: in the process, small and quick"): "downloads a model",
    ("howto/embedders.md", "Sentence Transformers: in the process, any model"): "torch has some gigabytes",
}
"""Python blocks that are compiled only, by page and heading or tab."""

UNREAD: Final[dict[tuple[str, str], str]] = {
    ("howto/node-admin-app.md", "typescript"): "examples/admin-app has it, and is tested with Node",
}
"""Blocks that are not even parsed, by page and language."""

ELSEWHERE: Final[dict[tuple[str, str], str]] = {
    ("coming-from.md", "LangGraph store"): "langgraph-checkpoint==4.3.*",
}
"""Programs that run in an environment of their own, by page and heading or tab, with what is installed in it."""
