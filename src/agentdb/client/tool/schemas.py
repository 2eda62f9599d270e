"""Tools as the callers of language models take them: plain functions."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, Protocol, get_args

from agentdb.errors import InvalidInputError

__all__ = ["DescribedTool", "SchemaStyle", "tool_schema", "tool_schemas"]

SchemaStyle = Literal["openai", "anthropic", "mcp"]


class DescribedTool(Protocol):
    """What an export has to know of a tool: a `Tool` and a `ToolDefinition` are one."""

    @property
    def name(self) -> str:
        """What it is called by."""

    @property
    def description(self) -> str:
        """What it does."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""


class _Names(NamedTuple):
    """Which names a kind of caller takes."""

    pattern: re.Pattern[str]
    rule: str


_FOR_MODELS: Final = _Names(
    re.compile(r"[a-zA-Z0-9_-]{1,64}"), "1 to 64 letters a to z, digits, underscores and hyphens"
)
# OpenAI's and Anthropic's interfaces refuse a request with another name. The Model Context Protocol (2025-11-25, "Tool
# Names") lets servers have dots, and twice the length.
_NAMES: Final[Mapping[str, _Names]] = {
    "openai": _FOR_MODELS,
    "anthropic": _FOR_MODELS,
    "mcp": _Names(
        re.compile(r"[a-zA-Z0-9_.-]{1,128}"), "1 to 128 letters a to z, digits, underscores, hyphens and dots"
    ),
}


def tool_schemas(style: SchemaStyle, tools: Iterable[DescribedTool]) -> list[dict[str, Any]]:
    """
    Return tools in the form that a caller takes, in the order given; see `tool_schema`.

    Raises:
        InvalidInputError: There is no such style, or a tool cannot be exported to it.
    """
    if style not in get_args(SchemaStyle):
        raise InvalidInputError("style", f"expected one of {', '.join(get_args(SchemaStyle))}.")
    return [tool_schema(style, tool.name, tool.description, tool.parameters) for tool in tools]


def tool_schema(style: SchemaStyle, name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return one tool in the form that a caller takes.

    Args:
        style: "openai": `{"type": "function", "function": {name, description, parameters}}`;
            "anthropic": `{name, description, input_schema}`; "mcp": `{name, description, inputSchema}`.
        name: What it is called by.
        description: What it does.
        parameters: The JSON schema of its arguments. It is copied, and one that does not say so is made an object.

    Raises:
        InvalidInputError: Callers of this style refuse the name, or the arguments are no object; *field* is the tool.
    """
    names = _NAMES[style]
    if not names.pattern.fullmatch(name):
        raise InvalidInputError(name, f"cannot be the name of a tool for {style} callers, which take {names.rule}.")
    schema = _object_schema(name, parameters)
    if style == "openai":
        return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}
    return {"name": name, "description": description, "input_schema" if style == "anthropic" else "inputSchema": schema}


def _object_schema(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    kind = parameters.get("type", "object")
    if kind != "object":
        raise InvalidInputError(name, f"takes no arguments by name: its parameters are of type {kind!r}, not object.")
    return {"type": "object", "properties": {}, **copy.deepcopy(dict(parameters))}
