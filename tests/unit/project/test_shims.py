"""The modules with the import paths of old."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdb.errors import InvalidInputError
from agentdb.project.shims import SHIMS, plan_shims

PACKAGES = ["shared/__init__.py", "shared/database/__init__.py", "shared/templates/__init__.py"]


def test_both_are_wanted_in_an_empty_folder(tmp_path: Path) -> None:
    """A line each, in packages; and nothing is written yet."""
    planned = plan_shims(tmp_path)

    assert [str(file.path.relative_to(tmp_path)) for file in planned] == [*PACKAGES, *SHIMS]
    assert [file.text for file in planned[:3]] == ["", "", ""]
    assert all(file.text.count("\n") == 1 and file.text.startswith("from agentdb import *") for file in planned[3:])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_package", [True, False])
def test_a_folder_that_is_there_stays_what_it_is(is_package: bool, tmp_path: Path) -> None:
    """An `__init__.py` would hide other parts of a package that has none."""
    (tmp_path / "shared" / "database").mkdir(parents=True)
    if is_package:
        (tmp_path / "shared" / "__init__.py").write_text("X = 1\n")

    planned = plan_shims(tmp_path)

    assert [str(file.path.relative_to(tmp_path)) for file in planned] == ["shared/templates/__init__.py", *SHIMS]


def test_what_is_there_is_not_wanted_again(tmp_path: Path) -> None:
    """A second run has nothing to do, and one module that is missing is made."""
    for file in plan_shims(tmp_path):
        file.write()
    assert plan_shims(tmp_path) == []

    (tmp_path / SHIMS[0]).unlink()

    assert [file.path for file in plan_shims(tmp_path)] == [tmp_path / SHIMS[0]]


@pytest.mark.parametrize("text", ["from agentdb import *\n", "import os\n\nfrom  agentdb import *  # ours\nX = 1\n"])
def test_a_module_of_the_owner_that_leads_to_agentdb_is_one(text: str, tmp_path: Path) -> None:
    """What else it does is its owner's."""
    path = tmp_path / SHIMS[0]
    path.parent.mkdir(parents=True)
    path.write_text(text)

    assert tmp_path / SHIMS[0] not in [file.path for file in plan_shims(tmp_path)]


def test_another_module_is_refused_and_shown(tmp_path: Path) -> None:
    """By its name and how it begins, whatever bytes it holds."""
    path = tmp_path / SHIMS[1]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"import sqlite3\n\xff\n" + 1000 * b"x = 1\n")

    with pytest.raises(InvalidInputError) as caught:
        plan_shims(tmp_path)

    assert str(path) in str(caught.value)
    assert "import sqlite3" in str(caught.value)
    assert len(str(caught.value)) < 800
    assert path.read_bytes().startswith(b"import sqlite3")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """DIR is a file, or `shared` is."""
    (tmp_path / "shared").touch()

    for folder in (tmp_path, tmp_path / "shared"):
        with pytest.raises(InvalidInputError, match="is no folder"):
            plan_shims(folder)
