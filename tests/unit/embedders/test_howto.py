"""The how-to's code: it compiles, what it imports exists, and its calls fit the signatures."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from agentdb import embedders
from tests.acceptance.samples import Sample, samples

HOWTO = Path(__file__).resolve().parents[3] / "docs/howto/embedders.md"
SAMPLES = samples(HOWTO, "python")


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_is_code(sample: Sample) -> None:
    """It may await at its top."""
    compile(sample.code, str(HOWTO), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_what_a_sample_calls_is_there(sample: Sample) -> None:
    """With those arguments."""
    for node in ast.walk(ast.parse(sample.code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in embedders.__all__:
            signature = inspect.signature(getattr(embedders, node.func.id))
            signature.bind(*node.args, **{str(keyword.arg): keyword.value for keyword in node.keywords})


def test_every_embedder_is_shown() -> None:
    """A new one needs a line there."""
    text = HOWTO.read_text(encoding="utf-8")

    assert [name for name in embedders.__all__ if f"{name}(" not in text] == []
