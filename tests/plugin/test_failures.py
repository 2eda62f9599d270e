"""Failures of the database that a test asks for: they are real, and what they are said to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from agentdb import (
    Agent,
    AgentConfig,
    CommitUnknownError,
    ConnectionFailedError,
    DatabaseError,
    InvalidInputError,
    MemoryEntry,
    PoolTimeoutError,
    PrismaAgentClient,
    TransactionConflictError,
)
from agentdb.postgres.connection import Connection
from agentdb.testing import Failures
from agentdb.testing.failures import injected_failures
from tests.conftest import Database


@pytest_asyncio.fixture
async def client(database: Database) -> AsyncIterator[PrismaAgentClient]:
    """A client that sees the failures."""
    async with PrismaAgentClient(database.url, "acme") as client:
        yield client


@pytest_asyncio.fixture
async def agent(client: PrismaAgentClient) -> Agent:
    """An agent of its."""
    return await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))


@pytest.fixture
def failures(database: Database) -> Iterator[Failures]:
    """Failures of the test's database."""
    with injected_failures(database.url) as failures:
        yield failures
        assert not failures.pending


def _entry(agent: Agent, content: str = "nail") -> MemoryEntry:
    return MemoryEntry(agent_id=agent.id, content=content)


async def test_a_conflict_is_tried_again_by_the_client(
    client: PrismaAgentClient, agent: Agent, failures: Failures
) -> None:
    """One conflict is nobody's business; as many as the client tries are the caller's."""
    failures.fail_next("40001", operation="memories.store")
    await client.memories.store(_entry(agent))
    failures.fail_next("40001", operation="memories.store", times=3)
    with pytest.raises(TransactionConflictError):
        await client.memories.store(_entry(agent, "hammer"))

    assert await client.memories.count() == 1
    assert failures.happened == ["fail_next(40001) in memories.store"] * 4


async def test_an_answer_of_the_server_loses_the_transaction(
    client: PrismaAgentClient, agent: Agent, failures: Failures
) -> None:
    """As it would be: what comes after it in the transaction is refused, and nothing of it stays."""
    with pytest.raises(DatabaseError) as refused:
        async with client.transaction() as transaction:
            await transaction.memories.store(_entry(agent))
            failures.fail_next("53100")
            with pytest.raises(DatabaseError) as full:
                await transaction.memories.count()
            await transaction.memories.count()

    assert (full.value.sqlstate, refused.value.sqlstate) == ("53100", "25P02")
    assert await client.memories.count() == 0


async def test_an_exception_is_raised_as_it_is(client: PrismaAgentClient, agent: Agent, failures: Failures) -> None:
    """The server does not hear of the statement."""
    failures.fail_next(PoolTimeoutError("on purpose"), operation="memories")
    with pytest.raises(PoolTimeoutError, match="on purpose"):
        await client.memories.store(_entry(agent))

    assert await client.memories.count() == 0


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_lost_commit(client: PrismaAgentClient, agent: Agent, failures: Failures, took_effect: bool) -> None:
    """The caller is told that nobody knows, of a single write and of a transaction; the row says which it was."""
    failures.lose_commit(took_effect=took_effect, operation="memories.store")
    with pytest.raises(CommitUnknownError):
        await client.memories.store(_entry(agent))
    assert await client.memories.count() == int(took_effect)

    async with client.transaction() as transaction:
        await transaction.memories.store(_entry(agent, "hammer"))
    failures.lose_commit(took_effect=took_effect)
    with pytest.raises(CommitUnknownError):
        async with client.transaction() as transaction:
            assert await transaction.memories.count() == 1 + took_effect  # reads commit nothing
            await transaction.memories.store(_entry(agent, "saw"))
    assert await client.memories.count() == 1 + 2 * took_effect


async def test_a_lost_connection(client: PrismaAgentClient, agent: Agent, failures: Failures) -> None:
    """Who reads is told of it, who writes that nobody knows; the session is gone, and the client has another."""
    (before,) = await client.inner_driver.fetch("SELECT pg_backend_pid() AS pid")
    failures.lose_connection(operation="memories.search")
    with pytest.raises(ConnectionFailedError):
        await client.memories.search(agent.id, "nail")
    failures.lose_connection(operation="memories.store")
    with pytest.raises(CommitUnknownError):
        await client.memories.store(_entry(agent))

    (after,) = await client.inner_driver.fetch("SELECT pg_backend_pid() AS pid")
    assert before["pid"] != after["pid"]
    assert await client.memories.count() == 0


async def test_a_slow_database_keeps_its_connection(
    client: PrismaAgentClient, agent: Agent, failures: Failures
) -> None:
    """The waiting is the server's: the connection is busy meanwhile, and other operations are not slow."""
    failures.slow_down(0.1, operation="memories.count", times=1)
    started = time.perf_counter()
    assert await client.memories.count() == 0
    assert time.perf_counter() - started >= 0.1

    failures.slow_down(3600, operation="memories.count")
    counting = asyncio.ensure_future(client.memories.count())
    while not (failures.happened[1:] or counting.done()):  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    health = await client.health_check()

    assert health.pool.in_use == 1
    assert not counting.done()
    counting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await counting


async def test_an_exhausted_pool(client: PrismaAgentClient, agent: Agent, failures: Failures) -> None:
    """All connections are held; afterwards they are back."""
    async with failures.exhaust_pool(client):
        with pytest.raises(PoolTimeoutError) as error:
            await client.memories.count()

    assert error.value.in_use == error.value.size
    assert await client.memories.count() == 0


async def test_operations_in_the_background_count(client: PrismaAgentClient, agent: Agent, failures: Failures) -> None:
    """Memories that are stored at once travel together, which is no method that anybody has called."""
    failures.fail_next("53100", operation="memories.store", times=2)
    outcomes = await asyncio.gather(
        *(client.memories.store(_entry(agent, str(number))) for number in range(20)), return_exceptions=True
    )

    assert all(isinstance(outcome, DatabaseError) for outcome in outcomes)


async def test_what_is_armed_first_happens_first(client: PrismaAgentClient, agent: Agent, failures: Failures) -> None:
    """Each waits for a statement that it fits; what was forgotten never happens."""
    failures.fail_next("53100", operation="metrics")
    failures.fail_next("53200")
    failures.fail_next("53300", operation="memories.store")
    assert failures.pending == ["fail_next(53100) in metrics", "fail_next(53200)", "fail_next(53300) in memories.store"]

    with pytest.raises(DatabaseError) as first:
        await client.memories.store(_entry(agent))
    with pytest.raises(DatabaseError) as second:
        await client.memories.store(_entry(agent))
    failures.clear()
    await client.metrics.record(agent.id, "noise", 1)

    assert (first.value.sqlstate, second.value.sqlstate) == ("53200", "53300")


async def test_nothing_is_left_of_it(database: Database) -> None:
    """Afterwards the methods that every statement passes are those that they were."""
    plain = [getattr(Connection, name) for name in ("fetch", "execute", "script", "copy")]
    with injected_failures(database.url) as failures:
        failures.fail_next("53100")
        assert [getattr(Connection, name) for name in ("fetch", "execute", "script", "copy")] != plain

    assert [getattr(Connection, name) for name in ("fetch", "execute", "script", "copy")] == plain
    async with PrismaAgentClient(database.url, "acme") as client:
        assert await client.memories.count() == 0


@pytest.mark.parametrize(
    ("arm", "field"),
    [
        (lambda failures: failures.fail_next("nonsense"), "error"),
        (lambda failures: failures.fail_next("40001", operation="memory.store"), "operation"),
        (lambda failures: failures.fail_next("40001", operation="DELETE FROM x"), "operation"),
        (lambda failures: failures.lose_connection(times=0), "times"),
        (lambda failures: failures.slow_down(-1), "seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(arm: Callable[[Failures], None], field: str) -> None:
    """At once, without a database, and not by waiting for what never comes."""
    with injected_failures("postgresql://127.0.0.1:1/nothing") as failures, pytest.raises(InvalidInputError) as error:
        arm(failures)

    assert error.value.field == field
