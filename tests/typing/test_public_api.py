"""
What editors show of the public API: annotations that say what is meant, docstrings that say units, ranges and errors.

An editor shows a method's docstring where it is called, and the string below a field where it is read. It does not show
a class's section "Attributes".
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import agentdb
from agentdb import EnhancedAgentBase, MetricRecorder, PrismaAgentClient
from agentdb.client.access.log import AccessLog
from agentdb.client.agents import Agents
from agentdb.client.archive.transfer import Archive
from agentdb.client.encryption.rotation import KeyRotation
from agentdb.client.erasure.erasing import Erasure
from agentdb.client.erasure.residue import ResidueScan
from agentdb.client.execution.running import RunningExecution, UsageCounter
from agentdb.client.executions import Executions
from agentdb.client.memories import Memories
from agentdb.client.metrics import Metrics
from agentdb.client.patterns import Patterns
from agentdb.client.prices import Prices
from agentdb.client.tools import Tools

RESOURCES: Final = (Agents, Memories, Tools, Executions, Metrics, Patterns, Prices, AccessLog)
PUBLIC: Final = (PrismaAgentClient, EnhancedAgentBase, MetricRecorder, RunningExecution, UsageCounter, *RESOURCES)
BEHIND: Final = {each.__name__: each for each in (*PUBLIC, Archive, Erasure, KeyRotation, ResidueScan)}

# What the parts of a client ask of each other, and no user needs.
INNER: Final = {"beat", "count_recalls", "note", "record_rows", "sees_rows_of", "store_rows"}

# Anything that is JSON, and what only the subclass or the tool knows.
JSON: Final = {"arguments", "content", "data", "labels", "metadata", "parameters", "result", "settings", "task"}
ANY: Final = {
    "EnhancedAgentBase.call_tool -> Any",  # what the tool returns
    "EnhancedAgentBase.execute_task -> Any",  # a subclass says
    "EnhancedAgentBase.tool_schemas -> list[dict[str, Any]]",  # a JSON schema
    "Tools.schemas -> builtins.list[dict[str, Any]]",
    "Memories.search(weights: SearchWeights | Mapping[str, Any] | None)",  # `SearchWeights` is the typed way
}

Method = Callable[..., Any]


def methods() -> dict[str, Method]:
    """Return every public method by its name: "Memories.search"."""
    return {
        f"{owner.__name__}.{name}": method
        for owner in PUBLIC
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and name not in INNER
    }


METHODS: Final = methods()
CLASSES: Final = [each for name in agentdb.__all__ if inspect.isclass(each := getattr(agentdb, name))]


def parameters(method: Method) -> list[inspect.Parameter]:
    return list(inspect.signature(method).parameters.values())[1:]


def documented(method: Method) -> tuple[dict[str, str], str]:
    """Return what a docstring, or that of the method that it refers to, says of each argument, and of errors."""
    text = inspect.getdoc(method) or ""
    referred = re.search(r"see `(\w+)\.(\w+)`", text)
    if referred and "\n" not in text:
        text = inspect.getdoc(getattr(BEHIND[referred[1]], referred[2])) or ""
    sections = dict(re.findall(r"^(Args|Raises):\n((?:(?:    .*)?\n?)*)", text, re.MULTILINE))
    arguments = re.findall(
        r"^    (\w+): ((?:.*\n?(?:        )?)*?)(?=^    \w|\Z)", sections.get("Args", ""), re.MULTILINE
    )
    return dict(arguments), sections.get("Raises", "")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_which_errors_it_raises(name: str) -> None:
    """Whatever takes an argument can refuse it."""
    method = METHODS[name]
    if parameters(method):
        assert documented(method)[1], "no section Raises"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_the_range_or_unit_of_each_number(name: str) -> None:
    """A number is documented by a range, or by its unit."""
    said = documented(METHODS[name])[0]
    numbers = [each.name for each in parameters(METHODS[name]) if re.match(r"(int|float|Decimal)\b", each.annotation)]

    assert [number for number in numbers if not re.search(r"\d", said.get(number, ""))] == []


def test_any_stands_for_json_alone() -> None:
    """No annotation of a public method gives up, but those named above, each with its reason."""

    def found() -> Iterator[str]:
        for name, method in METHODS.items():
            signature = inspect.signature(method)
            for each in parameters(method):
                if re.search(r"\bAny\b", each.annotation) and each.name not in JSON:
                    yield f"{name}({each.name}: {each.annotation})"
            if re.search(r"\bAny\b", signature.return_annotation):
                yield f"{name} -> {signature.return_annotation}"

    assert set(found()) == ANY


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_fields_are_explained_where_editors_look(owner: type) -> None:
    """Below themselves; and every number is."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(node, ast.ClassDef)
    explained = {
        each.target.id: isinstance(below, ast.Expr)
        for each, below in zip(node.body, [*node.body[1:], None], strict=True)
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    numbers = {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and re.search(r"\b(int|float|Decimal)\b", ast.unparse(each.annotation))
    }

    assert "Attributes:" not in (owner.__doc__ or "")
    assert {name for name in numbers if not name.startswith("_") and not explained[name]} == set()
