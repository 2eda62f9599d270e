"""Every public method of every resource is an operation."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import agentdb.client
from agentdb import PrismaAgentClient
from agentdb.client.access.methods import WATCHED
from agentdb.client.access.operations import HOUSEKEEPING
from agentdb.client.resource import Resource

for _module in pkgutil.walk_packages(agentdb.client.__path__, "agentdb.client."):
    importlib.import_module(_module.name)


def _resources() -> list[type[Resource]]:
    found: list[type[Resource]] = []
    waiting = [Resource]
    while waiting:
        below = waiting.pop().__subclasses__()
        found += below
        waiting += below
    return [each for each in found if each.__module__.startswith("agentdb.client.")]


METHODS = {
    f"{kind.__module__}.{kind.__name__}.{name}": method
    for kind in _resources()
    for name, method in vars(kind).items()
    if not name.startswith("_") and inspect.isfunction(method)
}
# They touch memory alone; what becomes of it is an operation when it is written.
SYNCHRONOUS = {"note_call", "recorder"}


@pytest.mark.parametrize("method", METHODS)
def test_each_is_an_operation(method: str) -> None:
    """It is, or it awaits nothing; no other decorator hides what it is."""
    found = METHODS[method]
    inner = inspect.unwrap(found)
    awaits = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)

    assert awaits == hasattr(found, WATCHED)
    assert awaits != (found.__name__ in SYNCHRONOUS)


def test_there_are_many() -> None:
    """The test above looks at something."""
    assert len(METHODS) > 70


def test_a_coroutine_function_remains_one() -> None:
    """For those who ask, and for documentation."""
    store = PrismaAgentClient("postgresql://db.invalid/agents", "acme").memories.store

    assert inspect.iscoroutinefunction(store)
    assert list(inspect.signature(store).parameters) == ["entry", "on_duplicate"]
    assert store.__doc__


def test_all_housekeeping_exists() -> None:
    """A name that is none would be told as what somebody did."""
    operations = {
        f"{kind.family}.{name}" for kind in _resources() for name in dir(kind) if hasattr(getattr(kind, name), WATCHED)
    }
    assert operations >= HOUSEKEEPING


def test_the_flat_names_are_operations_of_the_resources() -> None:
    """What the client itself awaits leads to one of them, or looks at the connection alone."""
    own = {
        name
        for name, value in vars(PrismaAgentClient).items()
        if not name.startswith("_") and inspect.iscoroutinefunction(value)
    }
    elsewhere = {name for name in own if "self._database" in inspect.getsource(getattr(PrismaAgentClient, name))}

    assert elsewhere == {"connect", "disconnect", "health_check"}
