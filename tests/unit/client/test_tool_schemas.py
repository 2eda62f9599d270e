"""Tools in the form that callers of language models take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb import InvalidInputError, ToolDefinition
from agentdb.client.tool.schemas import SchemaStyle, tool_schema, tool_schemas

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["a", "b"]}},
    "required": ["word"],
}
STYLES: dict[SchemaStyle, dict[str, Any]] = {
    "openai": {
        "type": "function",
        "function": {"name": "lookup", "description": "Look up.", "parameters": PARAMETERS},
    },
    "anthropic": {"name": "lookup", "description": "Look up.", "input_schema": PARAMETERS},
    "mcp": {"name": "lookup", "description": "Look up.", "inputSchema": PARAMETERS},
}


def arguments_of(exported: dict[str, Any]) -> dict[str, Any]:
    """The schema of the arguments, whatever the style."""
    tool = exported.get("function", exported)
    found: dict[str, Any] = next(tool[key] for key in ("parameters", "input_schema", "inputSchema") if key in tool)
    return found


@pytest.mark.parametrize("style", STYLES)
def test_each_style_has_its_form(style: SchemaStyle) -> None:
    """With the schema as it is."""
    tool = ToolDefinition(name="lookup", description="Look up.", parameters=PARAMETERS)
    assert tool_schemas(style, [tool, tool]) == [STYLES[style]] * 2


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "parameters", [{}, {"properties": {}}, {"type": "object"}, {"$defs": {"A": {}}}, {"additionalProperties": False}]
)
def test_arguments_are_an_object(style: SchemaStyle, parameters: dict[str, Any]) -> None:
    """Completed where the schema does not say so; the rest of it stays."""
    exported = arguments_of(tool_schema(style, "a", "", parameters))
    assert exported == {"type": "object", "properties": {}} | parameters


@pytest.mark.parametrize("style", STYLES)
def test_other_arguments_are_refused(style: SchemaStyle) -> None:
    """Nobody could give them by name."""
    with pytest.raises(InvalidInputError) as caught:
        tool_schema(style, "tool", "", {"type": "array"})
    assert caught.value.field == "tool"


@pytest.mark.parametrize("style", STYLES)
def test_an_export_is_the_callers_own(style: SchemaStyle) -> None:
    """Changing it changes neither the tool nor another export."""
    tool = ToolDefinition(name="lookup", parameters=PARAMETERS)
    (first,) = tool_schemas(style, [tool])
    arguments_of(first)["properties"]["word"]["enum"].append("c")
    arguments_of(first)["required"].clear()

    assert tool.parameters == PARAMETERS
    assert arguments_of(tool_schemas(style, [tool])[0]) == PARAMETERS


NAMES = {
    "a": "openai anthropic mcp",
    "Look-up_2": "openai anthropic mcp",
    "x" * 64: "openai anthropic mcp",
    "x" * 65: "mcp",
    "a.b": "mcp",
    "x" * 128: "mcp",
    "x" * 129: "",
    "": "",
    "look up": "",
    "a/b": "",
    "schön": "",
    "a\n": "",
    "٣": "",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", NAMES)
def test_a_style_takes_its_names(style: SchemaStyle, name: str) -> None:
    """Others are refused by an error that names the tool."""
    if style in NAMES[name].split():
        assert tool_schema(style, name, "", {}).get("function", {"name": name})["name"] == name
        return
    with pytest.raises(InvalidInputError, match=f"{style} callers") as caught:
        tool_schema(style, name, "", {})
    assert caught.value.field == name


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "Nd"]) | st.sampled_from("_-"), min_size=1))
def test_what_a_model_takes_everybody_takes(name: str) -> None:
    """The rule for language models is the narrowest."""
    for style in STYLES:
        assert tool_schema(style, name[:64], "", {})


@pytest.mark.parametrize("style", ["other", "", None, ["openai"], {}])
def test_an_unknown_style_is_refused(style: Any) -> None:
    """Also without tools."""
    with pytest.raises(InvalidInputError, match="openai, anthropic, mcp"):
        tool_schemas(style, [])
