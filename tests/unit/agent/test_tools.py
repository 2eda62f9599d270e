"""`@tool`, as far as it goes without a database."""

from __future__ import annotations

import abc
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional, Required, Unpack
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from agentdb import AgentConfig, EnhancedAgentBase, InvalidInputError, NotConnectedError, tool
from agentdb.agent.signatures import signature_of
from agentdb.agent.tools import _as_json, _refuse_unspeakable, parameters_of, tool_definitions, tools_of


class Quiet(EnhancedAgentBase):
    """An agent without tools."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="toolbox", category="SUPPORT"))

    async def execute_task(self, task: Any) -> Any:
        return task

    def get_capabilities(self) -> list[str]:
        return []


class Toolbox(Quiet):
    """An agent with tools."""

    @tool(description="Look a word up.")
    async def lookup(self, word: str, limit: int = 3) -> list[str]:
        """Not used: a description was given."""
        return [word] * limit

    @tool
    async def ping(self) -> str:
        """Answer."""
        return "pong"

    @tool(name="renamed")
    async def original(self) -> None:
        pass


def names_of(agent: EnhancedAgentBase) -> list[str]:
    return [mark.name for mark, _ in tools_of(agent)]


def test_a_tool_has_a_name_a_description_and_a_schema() -> None:
    """From the decorator, else from the method."""
    definitions = {definition.name: definition for definition in tool_definitions(Toolbox())}

    assert {name: definition.description for name, definition in definitions.items()} == {
        "lookup": "Look a word up.", "ping": "Answer.", "renamed": "",
    }  # fmt: skip
    schema = definitions["lookup"].parameters
    assert schema["required"] == ["word"]
    assert schema["properties"]["limit"] == {"default": 3, "title": "Limit", "type": "integer"}
    assert [parameters_of(method) for _, method in tools_of(Toolbox())] == [d.parameters for d in definitions.values()]


def test_a_tool_inherits_its_description() -> None:
    """From the method it overrides, unless it has its own, be it empty."""

    class Other(Toolbox):
        """Overrides without saying more."""

        @tool
        async def ping(self) -> str:
            return "pang"

        @tool(description="")
        async def lookup(self, word: str, limit: int = 3) -> list[str]:
            return [word]

    assert [definition.description for definition in tool_definitions(Other())] == ["", "Answer.", ""]


def test_a_subclass_keeps_and_replaces_tools() -> None:
    """A method that is overridden without the decorator is no tool any more."""

    class Other(Toolbox):
        """Without ping, with another lookup."""

        async def ping(self) -> str:
            return "no tool"

        @tool
        async def lookup(self, words: list[str]) -> list[str]:  # type: ignore[override]
            """Look words up."""
            return words

    assert names_of(Other()) == ["lookup", "renamed"]
    assert [list(definition.parameters["properties"]) for definition in tool_definitions(Other())] == [["words"], []]
    assert names_of(Toolbox()) == ["lookup", "ping", "renamed"]


def test_two_tools_of_one_name_are_refused() -> None:
    """A second name for the same method is not a second tool."""

    class Twice(Quiet):
        """Two methods, one name."""

        @tool(name="same")
        async def one(self) -> None: ...

        @tool(name="same")
        async def other(self) -> None: ...

    class Renamed(Toolbox):
        """A tool of the base class has the name already."""

        @tool(name="ping")
        async def pong(self) -> None: ...

    class Aliased(Toolbox):
        """One method under two names."""

        again = Toolbox.ping

    with pytest.raises(InvalidInputError, match=r"Twice\.one and Twice\.other are both called 'same'"):
        names_of(Twice())
    with pytest.raises(InvalidInputError, match=r"Renamed\.ping and Renamed\.pong"):
        names_of(Renamed())
    assert names_of(Aliased()) == ["lookup", "ping", "renamed"]


def test_a_tool_is_an_async_def() -> None:
    """A plain def is refused where it is written."""
    with pytest.raises(InvalidInputError, match="async def"):

        @tool  # type: ignore[type-var]
        def sync(self: Any) -> None:
            pass


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_tool_is_a_method_of_the_agent(kind: Any) -> None:
    """Neither of the class nor of nobody: its calls are an agent's."""
    method = Toolbox.ping.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(InvalidInputError, match=r"Odd\.odd must be a method"):
        names_of(type("Odd", (Quiet,), {"odd": kind(tool(method))})())
    with pytest.raises(InvalidInputError, match=r"ping must be a method"):
        tool(kind(method))


async def results(self: Any) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("odd", ["lookup", 3, Toolbox, functools.partial(Toolbox.ping), results])
def test_what_no_tool_is(odd: Any) -> None:
    """It is refused where it is written, whatever it is."""
    with pytest.raises(InvalidInputError, match="must"):
        tool(odd)


class Counting:
    """A decorator that is an object, and makes no method of what it decorates."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self.method, self.calls = method, 0
        functools.update_wrapper(self, method)

    def __call__(self, *args: Any) -> Awaitable[Any]:
        self.calls += 1
        return self.method(*args)


def test_an_object_is_no_method() -> None:
    """Under `@tool` it becomes one; above it, it would never be given the agent."""

    class Under(Quiet):
        """As it should be."""

        @tool
        @Counting
        async def ping(self, word: str) -> str:
            return word

    class Above(Quiet):
        """The other way around."""

        ping = Counting(Under.ping)

    assert list(tool_definitions(Under())[0].parameters["properties"]) == ["word"]
    with pytest.raises(InvalidInputError, match=r"Above\.ping must be a method"):
        names_of(Above())


def logged(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A decorator whose function is no `async def`, but gives back what the method does."""

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Awaitable[Any]:
        return method(*args, **kwargs)

    return call


def test_other_decorators_may_stand_above_and_below() -> None:
    """The schema is the method's own, and an abstract tool is one once it is there."""

    class Decorated(Quiet):
        """Both ways."""

        @logged
        @tool
        async def above(self, word: str) -> str:
            """One."""
            return word

        @tool
        @logged
        async def below(self, word: str) -> str:
            """Other."""
            return word

        @tool
        @abc.abstractmethod
        async def abstract(self, word: str) -> str: ...

    class Finished(Decorated):
        """With everything."""

        @tool
        async def abstract(self, word: str) -> str:
            return word

    definitions = {definition.name: definition for definition in tool_definitions(Finished())}
    assert [definitions[name].description for name in ("above", "below")] == ["One.", "Other."]
    assert {name: list(d.parameters["properties"]) for name, d in definitions.items()} == {
        "above": ["word"], "below": ["word"], "abstract": ["word"],
    }  # fmt: skip


class Place(BaseModel):
    """Somewhere."""

    city: str = Field(description="Its name.")
    later: Later | None = None


class Later(BaseModel):
    """Defined after it is named."""

    days: int


class Options(TypedDict, total=False):
    """Further arguments."""

    depth: int
    width: Required[int]


class Colour(Enum):
    """An enumeration."""

    RED = "red"


class Signatures(Quiet):
    """Arguments of every kind."""

    class Nested(BaseModel):
        """Named as in the class's own block."""

        size: int

    @tool
    async def positional(self, first: int, /, second: str, *, third: bool = True) -> list[Any]:
        return [first, second, third]

    @tool
    async def several(self, first: int, second: str = "b", *rest: float, last: bool = False) -> list[Any]:
        return [first, second, rest, last]

    @tool
    async def further(self, first: int, **rest: int) -> list[Any]:
        return [first, rest]

    @tool
    async def unpacked(self, first: int = 0, **rest: Unpack[Options]) -> list[Any]:
        return [first, rest]

    @tool
    async def types(
        self,
        place: Place,
        colour: Colour,
        size: Literal["s", "m"],
        old: Optional[int],  # noqa: UP045 - as some write it
        word: Annotated[str, Field(description="What to look up.", max_length=5)],
        when: date | None = None,
    ) -> list[Any]:
        return [place, colour, size, old, word, when]

    @tool
    async def nested(self, one: Nested, more: list[Nested]) -> list[Any]:
        return [one, more]

    @tool
    async def untyped(self, anything, other=None):  # type: ignore[no-untyped-def]
        return [anything, other]

    @tool
    async def odd_default(self, value: Any = object, number: float = 1.5) -> list[Any]:
        return [value, number]

    @tool
    async def named_badly(self, arguments: int, kwargs: int = 0, given: int = 0) -> list[Any]:
        return [arguments, kwargs, given]


METHODS = {mark.name: method for mark, method in tools_of(Signatures())}
SHAPES: dict[str, tuple[set[str], set[str], Any]] = {
    "positional": ({"first", "second", "third"}, {"first", "second"}, False),
    "several": ({"first", "second", "rest", "last"}, {"first"}, False),
    "further": ({"first"}, {"first"}, {"type": "integer"}),
    "unpacked": ({"first", "depth", "width"}, {"width"}, False),
    "types": (
        {"place", "colour", "size", "old", "word", "when"},
        {"place", "colour", "size", "old", "word"},
        False,
    ),
    "nested": ({"one", "more"}, {"one", "more"}, False),
    "untyped": ({"anything", "other"}, {"anything"}, False),
    "odd_default": ({"value", "number"}, set(), False),
    "named_badly": ({"arguments", "kwargs", "given"}, {"arguments"}, False),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_schema_has_the_arguments_by_name(name: str) -> None:
    """However the signature has them given: without self, `*rest` as a list, `**rest` as what else may come."""
    schema = parameters_of(METHODS[name])
    properties, required, further = SHAPES[name]

    assert set(METHODS) == set(SHAPES)
    assert schema["type"] == "object"
    assert set(schema["properties"]) == properties
    assert set(schema.get("required", [])) == required
    assert schema["additionalProperties"] == further


def test_a_schema_says_what_the_types_say() -> None:
    """Choices, descriptions, limits, models within models, None."""
    schema = parameters_of(METHODS["types"])
    properties = schema["properties"]

    assert properties["word"] == {
        "description": "What to look up.", "maxLength": 5, "title": "Word", "type": "string",
    }  # fmt: skip
    assert properties["size"]["enum"] == ["s", "m"]
    assert properties["old"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert properties["place"] == {"$ref": "#/$defs/Place"}
    assert set(schema["$defs"]) == {"Place", "Later", "Colour"}
    assert schema["$defs"]["Place"]["properties"]["city"]["description"] == "Its name."
    assert parameters_of(METHODS["several"])["properties"]["rest"]["items"] == {"type": "number"}
    assert "default" not in parameters_of(METHODS["odd_default"])["properties"]["value"]


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("positional", {"first": "1", "second": "b"}, [1, "b", True]),
        ("several", {"first": 1}, [1, "b", (), False]),
        ("several", {"first": 1, "rest": [2, "3"], "last": True}, [1, "b", (2.0, 3.0), True]),
        ("further", {"first": 1, "cls": 2, "first_": "3"}, [1, {"cls": 2, "first_": 3}]),
        ("unpacked", {"depth": "3", "width": 4}, [0, {"depth": 3, "width": 4}]),
        ("nested", {"one": {"size": 1}, "more": []}, [Signatures.Nested(size=1), []]),
        ("untyped", {"anything": {1, 2}}, [{1, 2}, None]),
        ("odd_default", {}, [object, 1.5]),
        ("named_badly", {"arguments": 1, "kwargs": 2, "given": 3}, [1, 2, 3]),
        (
            "types",
            {"place": {"city": "Bonn", "later": {"days": 1}}, "colour": "red", "size": "m", "old": None, "word": "w"},
            [Place(city="Bonn", later=Later(days=1)), Colour.RED, "m", None, "w", None],
        ),
    ],
)
async def test_arguments_by_name_reach_the_method(name: str, arguments: dict[str, Any], result: list[Any]) -> None:
    """Made what the signature says."""
    places, names = signature_of(METHODS[name]).bind(arguments)
    called = METHODS[name].__wrapped__(Signatures(), *places, **names)  # type: ignore[attr-defined]
    assert await called == result


@pytest.mark.parametrize("arguments", [{}, {"width": 1, "breadth": 2}])
def test_unpacked_arguments_are_checked(arguments: dict[str, Any]) -> None:
    """What is required of them is, and what is not among them is refused, as of any other."""
    with pytest.raises(ValidationError):
        signature_of(METHODS["unpacked"]).bind(arguments)


def test_what_describes_a_method_is_made_once() -> None:
    """For all agents of a class; a schema that is given out is the caller's own."""
    assert signature_of(Toolbox().lookup) is signature_of(Toolbox().lookup)
    parameters_of(Toolbox().lookup)["properties"].clear()
    assert set(parameters_of(Toolbox().lookup)["properties"]) == {"word", "limit"}


def test_a_method_hides_no_type() -> None:
    """Annotations mean the type of that name; classes within the class they know."""

    class Hiding(Quiet):
        """Has a method that is called like a type."""

        class Item(BaseModel):
            """Something."""

            size: int

        @tool
        async def list(self) -> None: ...

        @tool
        async def take(self, items: list[Item]) -> None: ...  # type: ignore[valid-type]

    assert tool_definitions(Hiding())[1].parameters["properties"]["items"]["items"] == {"$ref": "#/$defs/Item"}


def test_a_return_type_need_not_be_known() -> None:
    """Nothing of it is in the schema."""

    class Opaque(Quiet):
        """Returns what is only there for type checkers."""

        @tool
        async def fine(self, value: int) -> Missing:  # type: ignore[name-defined]  # noqa: F821
            return value

    assert list(tool_definitions(Opaque())[0].parameters["properties"]) == ["value"]


class Broken:
    """Not a type that pydantic knows."""


def test_a_signature_without_a_schema_is_refused() -> None:
    """The error names the method."""

    class Opaque(Quiet):
        """Takes what JSON has no type for, or what is nowhere defined."""

        @tool
        async def odd(self, value: Broken) -> None:
            pass

        @tool
        async def unknown(self, value: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
            pass

        @tool
        async def callback(self, value: Callable[[], int]) -> None:
            pass

    for mark, method in tools_of(Opaque()):
        with pytest.raises(InvalidInputError, match="no JSON schema") as caught:
            parameters_of(method)
        assert caught.value.field == mark.name


def test_what_cannot_be_registered_is_named() -> None:
    """A schema that is no JSON, a name that is too long."""

    class Infinite(Quiet):
        """Has a default that JSON does not know."""

        @tool
        async def endless(self, value: float = float("inf")) -> None: ...

    class Long(Quiet):
        """Has a name of 256 characters."""

        @tool(name="x" * 256)
        async def long(self) -> None: ...

    for kind, name in ((Infinite, "endless"), (Long, "x" * 256)):
        with pytest.raises(InvalidInputError, match="cannot be registered") as caught:
            tool_definitions(kind())
        assert caught.value.field == name


def test_an_agent_exports_its_tools() -> None:
    """Without a database, in every style, each time anew."""
    agent = Toolbox()
    exported = agent.tool_schemas()
    assert [one["function"]["name"] for one in exported] == ["lookup", "ping", "renamed"]
    exported[0]["function"]["parameters"].clear()

    assert agent.tool_schemas("anthropic")[0]["input_schema"] == parameters_of(agent.lookup)
    assert agent.tool_schemas("mcp")[1] == {
        "name": "ping",
        "description": "Answer.",
        "inputSchema": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    assert Quiet().tool_schemas() == []


async def test_a_tool_before_initialize_says_how() -> None:
    """Its call could not be recorded."""
    with pytest.raises(NotConnectedError, match="initialize"):
        await Toolbox().ping()
    for name in ("ping", "none"):
        with pytest.raises(NotConnectedError, match="initialize"):
            await Toolbox().call_tool(name)


@dataclass
class Point:
    """A dataclass."""

    x: float


def numbers() -> Iterator[int]:
    yield 1


itself: list[Any] = []
itself.append(itself)


@pytest.mark.parametrize(
    "result",
    [
        None, 1, 1.5, "text", [1, {"a": (2, None)}], {1: 2}, {"a", "b"}, b"\xff", Decimal("1.5"), Point(1),
        [Place(city="Bonn")], datetime.now(UTC), UUID(int=1), Colour.RED, {"a": [Point(2)]},
    ],
)  # fmt: skip
def test_a_result_is_what_becomes_json(result: Any) -> None:
    """Models, dataclasses, times, sets and bytes do."""
    _refuse_unspeakable(result, "lookup")
    assert _as_json(result)


@pytest.mark.parametrize(
    ("result", "place"),
    [
        (float("nan"), "NaN"), ({"a": [1, float("inf")]}, r"at a\[1\]"), (Point(float("nan")), "at x"),
        (object(), "object"), ([Broken()], "Broken"), (numbers(), "iterator"), ({"a": [numbers()]}, "iterator"),
        (Point(numbers()), "iterator"), ([Point([numbers()])], "iterator"),  # type: ignore[arg-type]
        (itself, "JSON"), ("\ud800", "surrogate"), (len, "builtin"),
    ],
)  # fmt: skip
def test_what_json_cannot_hold_is_refused(result: Any, place: str) -> None:
    """The error names the tool and says where; an iterator is not used up."""
    with pytest.raises(InvalidInputError, match=place) as caught:
        _refuse_unspeakable(result, "lookup")
    assert caught.value.field == "lookup"
    if isinstance(result, Point) and isinstance(result.x, Iterator):
        result = result.x
    if isinstance(result, Iterator):
        assert list(result) == [1]
