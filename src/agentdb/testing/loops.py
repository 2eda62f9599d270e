"""
Which event loop a test runs on, so that what it is given belongs to the same one.

pytest-asyncio has a loop for each scope, and a test says by its mark, or the settings do, which one it runs on; a
fixture's loop is fixed when it is declared. anyio's plugin has one, and runs whatever asks for it. So the plugin
declares its asynchronous fixture once for each, under the names of `SCOPES` and `ANYIO`, and asks for the right one
here.
"""

from __future__ import annotations

import inspect
from typing import Final, Literal, get_args

import pytest

__all__ = ["ANYIO", "SCOPES", "variant_of"]

_Scope = Literal["function", "class", "module", "package", "session"]


def _find_scopes() -> tuple[_Scope, ...]:
    try:
        import pytest_asyncio
    except ImportError:
        return ()
    # Since 0.24. An older one stays unused: this runs wherever agentdb is installed, and nobody's tests shall break.
    if "loop_scope" not in inspect.signature(pytest_asyncio.fixture).parameters:
        return ()
    return get_args(_Scope)


SCOPES: Final = _find_scopes()
"""The scopes that pytest-asyncio has loops for; none if it is missing, or too old to be told of them."""

ANYIO: Final = "anyio"
"""The variant that anyio's plugin runs."""


def variant_of(request: pytest.FixtureRequest) -> str:
    """
    Return which variant suits the test of *request*: a scope of pytest-asyncio's loops, or `ANYIO`.

    Fails the test if nobody is there to run it, if two are, or if it runs on something else than asyncio.
    """
    has_pytest_asyncio = request.config.pluginmanager.hasplugin("asyncio")
    mark = request.node.get_closest_marker("asyncio") if has_pytest_asyncio else None  # in its auto mode it marks all
    if "anyio_backend" in request.fixturenames:
        if mark is not None:
            pytest.fail(
                "the test is anyio's, and pytest-asyncio's auto mode takes its fixtures: set asyncio_mode = strict.",
                pytrace=False,
            )
        _refuse_others(request.getfixturevalue("anyio_backend"))
        return ANYIO
    if not (has_pytest_asyncio and SCOPES):
        pytest.fail(
            "agentdb_client and agentdb_agent need a plugin that runs asynchronous tests: install pytest-asyncio, 0.24 "
            "or later, and set asyncio_mode = auto, or mark the test with @pytest.mark.anyio.",
            pytrace=False,
        )
    scope = None if mark is None else mark.kwargs.get("loop_scope") or mark.kwargs.get("scope")
    return str(scope or _default_scope(request.config))


def _default_scope(config: pytest.Config) -> object:
    try:
        return config.getini("asyncio_default_test_loop_scope")
    except ValueError:  # pytest-asyncio has no such setting before 0.26
        return "function"


def _refuse_others(backend: str | tuple[str, object]) -> None:
    name = backend if isinstance(backend, str) else backend[0]
    if name != "asyncio":
        pytest.fail(
            f"agentdb runs on asyncio, and this test runs on {name}: have the fixture anyio_backend return 'asyncio'.",
            pytrace=False,
        )
