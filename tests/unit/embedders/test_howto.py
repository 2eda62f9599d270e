"""The how-to's code: every embedder is shown, and its calls fit the signatures."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from agentdb import embedders
from tests.acceptance.blocks import Block, find_blocks

HOWTO = Path(__file__).resolve().parents[3] / "docs/howto/embedders.md"
BLOCKS = [block for block in find_blocks(HOWTO.read_text(encoding="utf-8")) if block.language == "python"]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_what_a_block_calls_is_there(block: Block) -> None:
    """With those arguments, also where the block is not run."""
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in embedders.__all__:
            signature = inspect.signature(getattr(embedders, node.func.id))
            signature.bind(*node.args, **{str(keyword.arg): keyword.value for keyword in node.keywords})


def test_every_embedder_is_shown() -> None:
    """A new one needs a line there."""
    text = HOWTO.read_text(encoding="utf-8")

    assert [name for name in embedders.__all__ if f"{name}(" not in text] == []
