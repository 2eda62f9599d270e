"""The package as a whole."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from agentdb import embedders


def test_all_is_sorted_and_complete() -> None:
    """Every embedder is exported."""
    public = {name for name in vars(embedders) if name.endswith("Embedder")}

    assert list(embedders.__all__) == sorted(public)


def test_importing_loads_no_library() -> None:
    """Each waits until an embedder is made that needs it."""
    heavy = ["httpx", "numpy", "model2vec", "tokenizers", "sentence_transformers", "torch"]
    code = f"import agentdb.embedders, sys; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert done.stdout.strip() == "[]"


def test_the_extras_that_the_errors_name_exist() -> None:
    """In pyproject.toml, and in the table of what each is for."""
    root = Path(__file__).resolve().parents[3]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    table = (root / "docs/explanation/dependencies.md").read_text(encoding="utf-8")

    for extra in ("http", "model2vec", "sentence-transformers"):
        assert extra in extras
        assert f"| `{extra}` |" in table
