"""What type checkers say of agentdb as it is installed: nothing of right uses, and of wrong ones what they should."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.examples.conftest import ROOT, Installation

WRONG_USES: Final = ROOT / "tests" / "typing" / "wrong_uses.py"
STRICT: Final = '[tool.mypy]\nstrict = true\n[tool.pyright]\ntypeCheckingMode = "strict"\n'

Rules = Mapping[int, set[str]]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_project_is_typed(checker: str, installed: Installation, example: Callable[[str], Path]) -> None:
    """Both accept it at their strictest; it uses every public area."""
    installed.run(checker, cwd=example("typed-agent"))


def test_the_project_runs(installed: Installation, example: Callable[[str], Path]) -> None:
    """What is well typed also works: the program, and its tests."""
    project = example("typed-agent")

    said = installed.run("python", "-W", "error", "-m", "desk", cwd=project).stdout
    tested = installed.run("pytest", "-q", cwd=project).stdout

    assert "Refunds take three working days." in said
    assert "report: True True" in said
    assert "2 passed" in tested


def test_no_public_symbol_is_unknown(installed: Installation, tmp_path: Path) -> None:
    """Pyright knows the type of everything in the package, the generated client too."""
    said = installed.run("pyright", "--verifytypes", "agentdb", "--ignoreexternal", "--outputjson", cwd=tmp_path)

    checked = json.loads(said.stdout)["typeCompleteness"]
    assert Path(checked["packageRootDirectory"]).is_relative_to(installed.site_packages)
    assert checked["exportedSymbolCounts"]["withKnownType"] > 10_000
    assert checked["exportedSymbolCounts"] | {"withKnownType": 0} == dict.fromkeys(checked["exportedSymbolCounts"], 0)


def test_mypy_refuses_wrong_uses(installed: Installation, tmp_path: Path) -> None:
    """Each by its rule, and nothing else."""
    done = installed.run("mypy", _wrong_uses(tmp_path), cwd=tmp_path, check=False)

    found = defaultdict(set)
    for line, rule in re.findall(r"^\S+:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE):
        found[int(line)].add(rule)
    _compare(found, 0)


def test_pyright_refuses_wrong_uses(installed: Installation, tmp_path: Path) -> None:
    """Each by its rule, and nothing else."""
    done = installed.run("pyright", "--outputjson", _wrong_uses(tmp_path), cwd=tmp_path, check=False)

    found = defaultdict(set)
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        found[each["range"]["start"]["line"] + 1].add(each["rule"])
    _compare(found, 1)


def _wrong_uses(folder: Path) -> Path:
    (folder / "pyproject.toml").write_text(STRICT)
    return Path(shutil.copy(WRONG_USES, folder))


def _compare(found: Rules, checker: int) -> None:
    """Check that mistakes were *found* where the file says so; one mistake may break several rules."""
    lines = WRONG_USES.read_text(encoding="utf-8").splitlines()
    marked = {number: re.search(r"  # ([a-z-]+) \| (\w+)$", line) for number, line in enumerate(lines, 1)}
    expected = {number: mark.group(checker + 1) for number, mark in marked.items() if mark}

    assert len(expected) > 50
    assert sorted(found) == sorted(expected)
    assert {number: rules for number, rules in found.items() if expected[number] not in rules} == {}
