"""The reader of the standard library's docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentdb.cli.demo.library import Docstring, Source, find_sources, read_docstrings

MODULE = '''
"""
A module.
"""
import sys

def greet(name, *, loudly=False):
    """Greet somebody."""

def undocumented(): ...

def _private():
    """Not shown."""

if sys.platform == "win32":
    def where():
        """On Windows."""
else:
    def where():
        """Elsewhere."""

class Greeter:
    """Greets."""

    def __init__(self, name): ...

    @property
    def name(self):
        """The name."""

    @name.setter
    def name(self, value):
        """Set the name."""

    def bad(self):
        "NUL \\0 and surrogate \\ud800"
'''


def _read(path: Path, text: str) -> list[Docstring]:
    path.write_text(text, encoding="utf-8")
    return read_docstrings(Source("sample", path))


def test_reads_what_is_public_and_documented(tmp_path: Path) -> None:
    """Module, functions, classes and methods, each name once: the first definition, without self."""
    found = _read(tmp_path / "sample.py", MODULE)

    assert [(each.name, each.kind, each.heading, each.text) for each in found] == [
        ("sample", "module", "module sample", "A module."),
        ("sample.greet", "function", "greet(name, *, loudly=False) in sample", "Greet somebody."),
        ("sample.where", "function", "where() in sample", "On Windows."),
        ("sample.Greeter", "class", "Greeter(name) in sample", "Greets."),
        ("sample.Greeter.name", "method", "name() of Greeter in sample", "The name."),
        ("sample.Greeter.bad", "method", "bad() of Greeter in sample", "NUL \ufffd and surrogate \ufffd"),
    ]


@pytest.mark.parametrize("text", ["def broken(:", "\x00", ""])
def test_a_file_that_is_no_module_is_passed_over(tmp_path: Path, text: str) -> None:
    """Templates and damaged files in the library's folder do not end the reading."""
    assert _read(tmp_path / "sample.py", text) == []


def test_a_missing_file_is_passed_over(tmp_path: Path) -> None:
    """A file may be gone between listing and reading."""
    assert read_docstrings(Source("gone", tmp_path / "gone.py")) == []


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("Short.", "Short."),
        ("One.\n\n" + "Two " * 200, "One."),
        ("x" * 300 + ". " + "y" * 300, "x" * 300 + "."),
        ("word " * 200, ("word " * 80).rstrip()),
        ("z" * 1000, "z" * 400),
    ],
)
def test_a_note_holds_the_beginning(text: str, beginning: str) -> None:
    """At most 400 characters of the text, cut after a paragraph, a sentence or a word."""
    assert Docstring("m.f", "m", "function", "f() in m", text).note == f"f() in m\n\n{beginning}"


def test_the_library_is_large_and_every_name_is_there_once() -> None:
    """A few thousand notes, from source and from modules written in C."""
    found = [each for source in find_sources() for each in read_docstrings(source)]
    names = {each.name for each in found}

    assert len(found) == len(names) > 3000
    assert {"csv", "shutil.copytree", "itertools.chain", "builtins.str.split", "math.gcd"} <= names
    assert not {part for each in found for part in each.module.split(".")} & {"test", "idlelib", "tkinter"}


def test_reading_imports_nothing_of_the_library() -> None:
    """Sources are parsed: importing antigravity opens a browser, importing this prints a poem."""
    code = (
        "import sys; from agentdb.cli.demo.library import find_sources, read_docstrings\n"
        "sources = list(find_sources()); before = set(sys.modules)\n"
        "for source in sources: read_docstrings(source)\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() in ("[]", "['math']")
