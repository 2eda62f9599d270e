"""What the reference makes of docstrings."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent

import pytest
from griffe import Class, DocstringSectionKind, Function, Module, temporary_visited_package

from scripts.docs.docstrings import Docstrings

CODE = dedent('''
    from typing import Annotated, Literal

    Share = Annotated[float, "in [0, 1]"]
    Mood = Literal["glad", "sad"]
    _LEAST = 3

    class Model(Base):
        """
        A model.

        Attributes:
            made (bytes): Made later.
            told: Told of above.
        """

        plain: int
        told: Share | None = None
        own: list[str] = Field(default_factory=list)
        """Told of below."""
        least: int = _LEAST
        _hidden: int = 0

        @property
        def twice(self) -> int:
            """Twice."""

    class Service:
        """Does something."""

        name: str
        """What it is called."""
        inner: object

        def __init__(self) -> None: ...

        def call(self, mood: Mood = "glad") -> None:
            """
            Call it.

            Args:
                mood: How it feels.

            Example:
                service.call("sad")
            """
''')


@pytest.fixture
def module() -> Iterator[Module]:
    """The code, read and changed."""
    with temporary_visited_package("agentdb", {"models.py": CODE}, init=True) as package:
        Docstrings().on_package(pkg=package)
        models = package["models"]
        assert isinstance(models, Module)
        yield models


def _fields(kind: Class) -> dict[str, tuple[str, str]]:
    assert kind.docstring
    (section,) = [found for found in kind.docstring.parsed if found.kind is DocstringSectionKind.attributes]
    return {field.name: (str(field.annotation), field.description) for field in section.value}


def test_a_model_has_one_table_of_all_its_fields(module: Module) -> None:
    """In the order of the class, with plain types and defaults; what only the class's words tell of comes last."""
    assert list(_fields(module.classes["Model"]).items()) == [
        ("plain", ("int", "")),
        ("told", ("float | None", "Told of above. Default: `None`.")),
        ("own", ("list[str]", "Told of below. Default: `[]`.")),
        ("least", ("int", "Default: `3`.")),
        ("made", ("bytes", "Made later.")),
    ]


def test_a_field_of_the_table_has_no_entry_of_its_own(module: Module) -> None:
    """A property keeps its own."""
    model = module.classes["Model"]

    assert model.members["own"].docstring is None
    assert model.members["twice"].docstring is not None


def test_what_nobody_tells_of_a_service_is_nobodys_business(module: Module) -> None:
    """A class with a constructor of its own shows the attributes that have words."""
    assert list(_fields(module.classes["Service"])) == ["name"]


def test_an_example_is_code_and_a_type_is_what_it_stands_for(module: Module) -> None:
    """Of functions, too."""
    call = module.classes["Service"].members["call"]
    assert isinstance(call, Function)
    assert call.docstring

    assert str(call.parameters["mood"].annotation) == "Literal['glad', 'sad']"
    assert call.docstring.parsed[-1].value.contents == '```python\nservice.call("sad")\n```'
