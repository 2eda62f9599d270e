"""Prisma 7 on Node is optional."""

from __future__ import annotations

from pathlib import Path

import pytest

import hatch_build
from benchmarks import prisma_node
from benchmarks.prisma_node import NoNodeError, make_node_client


def test_says_that_there_is_no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Node there is a line to print instead of a traceback."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(NoNodeError, match=r"^node or npm is not on PATH$"):
        make_node_client(Path("schema.prisma"), tmp_path / "client")


def test_says_why_the_packages_cannot_be_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of npm's many lines, the one that says what went wrong."""

    def fail(command: list[str], **_options: object) -> None:
        raise hatch_build.BuildError(
            "npm ci failed with exit code 1:\nnpm error code ENOTFOUND\nnpm error network no such host\n"
            "npm error A complete log of this run can be found in: debug-0.log\n"
        )

    monkeypatch.setattr(prisma_node, "is_installed", lambda: False)
    monkeypatch.setattr(hatch_build, "find_tool", lambda name: name)
    monkeypatch.setattr(hatch_build, "run", fail)

    with pytest.raises(NoNodeError, match=r"^npm error network no such host$"):
        make_node_client(Path("schema.prisma"), tmp_path / "client")
