"""
An extension of griffe, which reads our docstrings, for what it would not show as we mean it.

- A field is told of in its class's docstring or in its own, or not at all where its name says it. A reference has to
  show all of them together: in one table, in the order of the class, with their defaults.
- A type that has a name of ours, such as `OnDuplicate`, is shown as what that stands for: `Literal["return", "raise"]`.
- An example is code.
"""

from __future__ import annotations

from typing import Any

from griffe import (
    Attribute,
    Class,
    DocstringAttribute,
    DocstringSection,
    DocstringSectionAttributes,
    DocstringSectionKind,
    Expr,
    ExprBinOp,
    ExprName,
    ExprSubscript,
    ExprTuple,
    Extension,
    Function,
    Module,
)


class Docstrings(Extension):
    """Changes what the docstrings of the package say, once all of them are read."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """Change them everywhere but in what is generated."""
        for member in pkg.members.values():
            if isinstance(member, Module) and member.name != "prisma_client":
                _change_all(member)


def _change_all(place: Module | Class) -> None:
    for member in place.members.values():
        if member.is_alias:
            continue
        if isinstance(member, Module):
            _change_all(member)
        elif isinstance(member, Class):
            _change_all(member)  # first, for a class tells of its constructor's parameters
            _change(member)
        elif isinstance(member, Function):
            for parameter in member.parameters:
                parameter.annotation = _plain(parameter.annotation)
            _change(member)


def _change(told: Class | Function) -> None:
    if not told.docstring:
        return
    sections = told.docstring.parse("google")
    if isinstance(told, Class):
        _complete_fields(told, sections)
    for section in sections:
        if section.kind is DocstringSectionKind.admonition and section.value.kind == "example":
            section.value.contents = f"```python\n{section.value.contents}\n```"
    # `parsed` is kept once it was asked for: this is what it shall give.
    told.docstring.__dict__["parsed"] = sections


def _complete_fields(model: Class, sections: list[DocstringSection]) -> None:
    """Make the section of attributes tell of every field of *model*."""
    fields = [member for member in model.attributes.values() if _is_field(member, model)]
    if not fields:
        return
    section = next((section for section in sections if section.kind is DocstringSectionKind.attributes), None)
    told = {attribute.name: attribute for attribute in section.value} if section else {}
    table = [_row(member, told.pop(member.name, None)) for member in fields]
    if section is None:
        section = DocstringSectionAttributes([])
        sections.append(section)
    section.value = [*table, *told.values()]


def _is_field(member: Attribute, model: Class) -> bool:
    # A class with a constructor of its own has attributes that are nobody's business, too: those without a word.
    is_told = member.docstring is not None or "__init__" not in model.members
    return member.annotation is not None and "instance-attribute" in member.labels and is_told and member.name[0] != "_"


def _row(member: Attribute, told: DocstringAttribute | None) -> DocstringAttribute:
    own, member.docstring = member.docstring, None  # it stands in the table now, and nowhere else
    meaning = own.value if own else told.description if told else ""
    default = _default(member)
    words = " ".join(filter(None, (meaning, f"Default: `{default}`." if default else "")))
    return DocstringAttribute(name=member.name, annotation=_plain(member.annotation), description=words)


def _default(member: Attribute) -> str | None:
    if member.value is None or str(member.value) == member.name:  # the latter: an argument of the constructor
        return None
    value = str(_resolved(member.value) if str(member.value).startswith("_") else member.value)
    if not value.startswith(("Field(", "field(")):
        return value
    for factory, empty in (("dict", "{}"), ("list", "[]")):
        if f"default_factory={factory}" in value:
            return empty
    return None


def _plain(annotation: Expr | str | None) -> Expr | str | None:
    """Return *annotation* with what a name of ours stands for in place of the name."""
    if isinstance(annotation, ExprBinOp):
        return ExprBinOp(_plain(annotation.left) or "", annotation.operator, _plain(annotation.right) or "")
    if isinstance(annotation, ExprName) and annotation.name == "FiniteFloat":
        return "float"
    if isinstance(annotation, ExprName):
        value = _resolved(annotation)
        if isinstance(value, ExprSubscript) and value.canonical_path == "typing.Annotated":
            assert isinstance(value.slice, ExprTuple)
            return _plain(value.slice.elements[0])
        return value or annotation
    return annotation


def _resolved(name: Expr | str) -> Expr | str | None:
    """Return what stands behind the name of a constant or type of ours; None: it is a class, or somebody else's."""
    if not isinstance(name, ExprName) or not name.canonical_path.startswith("agentdb."):
        return None
    assert isinstance(name.parent, Class | Module | Function)
    target = name.parent.modules_collection[name.canonical_path]
    return target.value if isinstance(target, Attribute) else None
