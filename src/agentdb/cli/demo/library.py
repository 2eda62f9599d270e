"""The docstrings of Python's standard library: real text that every machine with Python has."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

__all__ = ["Docstring", "Source", "find_sources", "read_docstrings"]

# Written in C, so there is no source to parse. Every interpreter holds them, and importing them only defines names. Not
# sys: what it holds changes while a program runs.
_C_MODULES = ("builtins", "itertools", "math", "time")

# Tests, what is about to leave, what many systems package apart, and what other packages put into the same folder.
_SKIPPED = frozenset(
    {"antigravity", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests"}
    | {"this", "tkinter", "turtle", "turtledemo"}
)

# A note is short because ranking by words favours long texts: of 32 questions, 22 have their answer among the first
# three hits with notes of 400 characters, and 15 with whole docstrings.
_NOTE_CHARACTERS = 400

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Source:
    """A module to read; *path* is None when it is written in C."""

    module: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class Docstring:
    """
    One documented thing.

    Attributes:
        name: Its full name, for example "csv.DictReader".
        module: The module that defines it.
        kind: module, class, function or method.
        heading: How it is called and where it is, for example "DictReader(f, fieldnames=None) in csv".
        text: The docstring.
    """

    name: str
    module: str
    kind: str
    heading: str
    text: str

    @property
    def note(self) -> str:
        """The heading and the beginning of the text: what an agent remembers of it."""
        return f"{self.heading}\n\n{_beginning(self.text, _NOTE_CHARACTERS)}"


def find_sources() -> list[Source]:
    """Return the public modules of the running interpreter's standard library, sorted by name; nothing is imported."""
    root = Path(sysconfig.get_path("stdlib"))
    sources = [Source(name, None) for name in _C_MODULES]
    for name in sys.stdlib_module_names:
        if name in _SKIPPED or name in _C_MODULES or name.startswith("_"):
            continue
        if (root / f"{name}.py").is_file():
            sources.append(Source(name, root / f"{name}.py"))
        else:
            sources += _package(root, root / name)
    return sorted(sources, key=lambda source: source.module)


def read_docstrings(source: Source) -> list[Docstring]:
    """Return what *source* documents, in its own order, each name once: the module and what is public in it."""
    found = _from_object(source.module) if source.path is None else _from_file(source.module, source.path)
    # A name may be defined twice: once for each platform, or a property and its setter.
    unique: dict[str, Docstring] = {}
    for docstring in found:
        unique.setdefault(docstring.name, docstring)
    return list(unique.values())


def _package(root: Path, folder: Path) -> Iterator[Source]:
    for path in folder.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") or part in _SKIPPED for part in parts):
            yield Source(".".join(parts), path)


# -- parsed -----------------------------------------------------------------------------------------------------------


def _from_file(module: str, path: Path) -> Iterator[Docstring]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # Some systems cut the library down or keep templates in it; the rest is enough to read.
    yield from _make(module, module, "module", f"module {module}", ast.get_docstring(tree))
    yield from _from_body(tree, module, owner=None)


def _from_body(node: ast.AST, module: str, owner: str | None) -> Iterator[Docstring]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.If, ast.Try)):
            yield from _from_body(child, module, owner)
        elif isinstance(child, _DEFINITIONS) and not child.name.startswith("_"):
            yield from _from_definition(child, module, owner)


def _from_definition(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, module: str, owner: str | None
) -> Iterator[Docstring]:
    text = ast.get_docstring(node)
    name = f"{owner}.{node.name}" if owner else node.name
    is_class = isinstance(node, ast.ClassDef)
    if text:
        call = f"{node.name}({_arguments(node)})"
        yield from _make(module, name, *_title(call, module, owner, is_class=is_class), text)
    if is_class:
        yield from _from_body(node, module, owner=name)


def _arguments(node: ast.AST) -> str:
    """Return the arguments as they are written, without self and cls."""
    if isinstance(node, ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.FunctionDef) and child.name == "__init__":
                return _arguments(child)
        return ""
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    return re.sub(r"^(self|cls)(, /)?(, |$)", "", ast.unparse(node.args))


# -- looked at --------------------------------------------------------------------------------------------------------


def _from_object(module: str) -> Iterator[Docstring]:
    loaded = importlib.import_module(module)
    yield from _make(module, module, "module", f"module {module}", loaded.__doc__)
    yield from _from_members(loaded, module, owner=None)


def _from_members(parent: ModuleType | type, module: str, owner: str | None) -> Iterator[Docstring]:
    for name, member in sorted(vars(parent).items()):
        text = getattr(member, "__doc__", None)
        is_class = isinstance(member, type)
        # a plain value has its type's docstring, which says nothing of the value
        if name.startswith("_") or not callable(member) or not isinstance(text, str):
            continue
        full_name = f"{owner}.{name}" if owner else name
        signature = getattr(member, "__text_signature__", None) or "(...)"
        call = name + re.sub(r"^\(\$(self|module|type)(, /)?(, )?", "(", signature)
        yield from _make(module, full_name, *_title(call, module, owner, is_class=is_class), text)
        if is_class and not issubclass(member, BaseException):
            yield from _from_members(member, module, owner=full_name)


# -- both -------------------------------------------------------------------------------------------------------------


def _title(call: str, module: str, owner: str | None, *, is_class: bool) -> tuple[str, str]:
    """Return the kind and the heading of what is called as *call*."""
    if owner and not is_class:
        return "method", f"{call} of {owner} in {module}"
    return "class" if is_class else "function", f"{call} in {module}"


def _make(module: str, name: str, kind: str, heading: str, text: str | None) -> Iterator[Docstring]:
    # Lone surrogates and NUL, which some docstrings quote, cannot be stored as text.
    text = re.sub("[\x00\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text or "").strip()
    if text:
        yield Docstring(name if kind == "module" else f"{module}.{name}", module, kind, heading, text)


def _beginning(text: str, characters: int) -> str:
    """Return as many whole paragraphs as fit into *characters*, or lines, or words."""
    if len(text) <= characters:
        return text
    cut = text[: characters + 1]
    for end in ("\n\n", ".\n", ". ", "\n", " "):
        place = cut.rfind(end)
        if place > 0:
            return cut[:place].rstrip() + (end[0] if end[0] == "." else "")
    return text[:characters]
