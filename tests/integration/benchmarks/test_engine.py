"""The engine is compared with what does the same work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from agentdb.postgres.embedded import EmbeddedServer
from benchmarks.engine.cases import make_cases
from benchmarks.engine.cold import measure_cold_plans
from benchmarks.engine.database import EngineDatabase, open_engine_database
from benchmarks.engine.memory import measure_memory
from benchmarks.placement import place
from benchmarks.prisma_node import PLAIN, PREPARED, is_installed

READING = ("find_unique", "find_many of 50 rows", "  newest 50 of 2,500, no index", "group_by, 20 groups of 50")


@pytest.fixture
async def database(server: EmbeddedServer, request: pytest.FixtureRequest) -> AsyncIterator[EngineDatabase]:
    """The engine's database; with Prisma 7 beside it if that is the parameter."""
    placement = await place(server.superuser_url)
    try:
        with_node = getattr(request, "param", False)
        async with open_engine_database(server, placement, with_node=with_node, warm_up_ms=0) as opened:
            yield opened
    finally:
        placement.release()


async def test_reads_what_the_statements_by_hand_read(database: EngineDatabase) -> None:
    """Both sides answer the same values of the same rows in the same order."""
    cases = {case.name: case for case in make_cases(database)}
    for case in map(cases.__getitem__, READING):
        given = case.prepare()
        assert _values(await case.ours(given)) == _values(await case.raw["asyncpg"](given)), case.name


async def test_includes_what_two_statements_read(database: EngineDatabase) -> None:
    """Ten parents with five children each, the same ones."""
    case = {case.name: case for case in make_cases(database)}["include, 10 parents of 5 each"]
    given = case.prepare()
    ours: Any = await case.ours(given)
    by_hand: Any = await case.raw["two queries"](given)
    parents, children = by_hand

    posts = [post for author in ours for post in author.posts]
    assert _values(ours) == _values(parents)
    assert sorted(_values(posts)) == sorted(_values(children))
    assert (len(ours), len(posts)) == (10, 50)


async def test_writes_as_many_rows_on_every_side(database: EngineDatabase) -> None:
    """What one side inserts, the other does too."""
    for case in make_cases(database):
        for side in (case.ours, *case.raw.values()):
            if case.name.startswith("create"):
                before = await database.raw.fetchval("SELECT count(*) FROM posts")
                await side(case.prepare())
                grown = await database.raw.fetchval("SELECT count(*) FROM posts") - before
                assert grown == (1000 if "1,000" in case.name else 1)


async def test_measures_plans_and_memory(database: EngineDatabase) -> None:
    """A forgotten plan costs time, and every shape of query has a plan of its own."""
    assert all(measured.ours_ms > 0 for measured in await measure_cold_plans(database, times=5))

    kept, *_ = await measure_memory(database, shapes=40, calls=20)

    assert kept.found >= 40


@pytest.mark.parametrize("database", [True], indirect=True)
@pytest.mark.skipif(not is_installed(), reason="Prisma 7 for Node is not installed: `make bench` does it")
async def test_prisma_on_node_does_every_operation(database: EngineDatabase) -> None:
    """Node answers a time for each call, with and without prepared statements."""
    assert database.node is not None, database.no_node
    for case in make_cases(database):
        assert case.others.keys() == {PLAIN, PREPARED} or "asyncpg.Pool" in case.raw
        for take_turn in case.others.values():
            times = await take_turn([case.prepare(), case.prepare()])
            assert len(times) == 2
            assert all(time > 0 for time in times)


def _values(rows: Any) -> list[list[Any]]:
    """Return the values of models, of groups or of records."""
    return [_flat(row) for row in (rows if isinstance(rows, list) else [rows])]


def _flat(row: Any) -> list[Any]:
    if hasattr(row, "model_dump"):
        row = row.model_dump(exclude={"posts", "author"})
    if "_count" in row:
        return [row["country"], row["_count"]["_all"], row["_sum"]["score"]]
    return [_in_utc(value) for value in row.values()]


def _in_utc(value: Any) -> Any:
    """The timestamps of the statements by hand have microseconds and no zone."""
    if not isinstance(value, datetime):
        return value
    return value.replace(microsecond=value.microsecond // 1000 * 1000, tzinfo=value.tzinfo or UTC)
