"""Where the oracle cannot be asked: passed over with one clear line, but not in CI."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.oracle import __main__, setting


@pytest.fixture(autouse=True)
def without_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which Node.js is not installed, and which does not say that it is CI."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(sys, "argv", ["oracle"])
    monkeypatch.delenv("CI", raising=False)


def test_without_node_the_oracle_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """`make oracle` without Node.js says in one line what is missing, and does not fail."""
    assert __main__.main() == 0
    assert capsys.readouterr().out == "skipped: the oracle needs Node.js 20 or later, and node is not on PATH\n"


def test_in_ci_the_oracle_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI the same is a failure: there the oracle has to be asked."""
    monkeypatch.setenv("CI", "true")

    assert __main__.main() == 1


@pytest.mark.parametrize(
    ("value", "required"), [("", False), ("0", False), ("false", False), ("1", True), ("True", True)]
)
def test_ci_is_what_its_variable_says(monkeypatch: pytest.MonkeyPatch, value: str, required: bool) -> None:
    """The variable CI means yes unless it is empty, 0 or false."""
    monkeypatch.setenv("CI", value)

    assert setting.is_required() is required
