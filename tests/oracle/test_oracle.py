"""Prisma's own interpreter is the oracle: on every program, our engine does what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agentdb.postgres.embedded import EmbeddedServer
from tests.oracle import setting
from tests.oracle.court import Court
from tests.oracle.hunt import Trial, ask
from tests.oracle.programs import Kind
from tests.oracle.values import Values

PROGRAMS = 120
"""Of each kind, here; `make oracle` asks for tens of thousands."""


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    """An event loop that outlives the examples of one test: hypothesis calls ordinary functions."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def court_and_values(loop: asyncio.Runner, request: pytest.FixtureRequest) -> Iterator[tuple[Court, Values]]:
    """A court in session. Skips where the oracle cannot be asked; fails in CI, where it has to be."""
    lack = setting.missing()
    if lack is not None:
        (pytest.fail if setting.is_required() else pytest.skip)(lack)
    server: EmbeddedServer = request.getfixturevalue("server")
    court, values = loop.run(setting.set_up(server))
    loop.run(court.__aenter__())
    yield court, values
    loop.run(court.__aexit__())


@pytest.mark.parametrize("kind", ["reads", "writes"])
def test_prisma_does_the_same(kind: Kind, loop: asyncio.Runner, court_and_values: tuple[Court, Values]) -> None:
    """The engine answers like Prisma, row for row or with the same error, and leaves the same rows in the tables."""
    court, values = court_and_values

    difference = ask(Trial(loop, court), values, kind, PROGRAMS, None)

    assert difference is None, difference
    assert court.methods.total() >= PROGRAMS
