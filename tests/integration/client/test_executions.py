"""`client.executions`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    Execution,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
    TokenUsage,
)
from tests.waiting import until

pytestmark = pytest.mark.postgres


async def test_an_execution_from_start_to_finish(client: PrismaAgentClient, agent: Agent) -> None:
    """Everything that is told comes back."""
    started = await client.executions.start(agent.id, {"type": "analysis"}, model="m-1")
    assert (started.status, started.task, started.model, started.finished_at) == (
        "running", {"type": "analysis"}, "m-1", None
    )  # fmt: skip
    assert started.duration_ms is None

    usage = TokenUsage(input=1, cached_input=2, cache_write=3, output=4, reasoning=4)
    finished = await client.executions.finish(started.id, [1, None], usage=usage, cost=Decimal("0.0000000001"))

    assert (finished.status, finished.result, finished.usage) == ("completed", [1, None], usage)
    assert (finished.model, finished.cost, finished.error) == ("m-1", Decimal("0.0000000001"), None)
    assert finished.duration_ms is not None
    assert 0 <= finished.duration_ms < 10_000
    assert await client.executions.get(started.id) == finished


async def test_a_failure_keeps_error_type_and_traceback(client: PrismaAgentClient, agent: Agent) -> None:
    """An unknown cost stays unknown."""

    async def fail() -> None:
        async with client.executions.track(agent.id, "task") as running:
            running.usage.add(input=7)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        await fail()

    (failed,) = await client.executions.list(agent.id)
    assert (failed.status, failed.error, failed.error_type) == ("failed", str(caught.value), "ZeroDivisionError")
    assert "1 / 0" in (failed.traceback or "")
    assert (failed.usage.input, failed.cost, failed.result) == (7, None, None)


class UnprintableError(Exception):
    """Its text cannot be made."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    ["text", ValueError("a\x00b\ud800"), UnprintableError(), ValueError("x" * 1_000_000), Exception(), "", "\x00"],
)
async def test_recording_a_failure_never_fails_on_its_text(
    client: PrismaAgentClient, agent: Agent, error: Exception | str
) -> None:
    """What cannot be stored is replaced and marked, what is too long cut and marked."""
    execution = await client.executions.start(agent.id, None)

    failed = await client.executions.fail(execution.id, error)

    assert failed.status == "failed"
    assert len(failed.error or "") < 11_000
    if "\x00" in str(error if isinstance(error, str) else error.args):
        assert "replaced" in (failed.error or "")


async def test_a_cancelled_block_is_recorded_as_cancelled(client: PrismaAgentClient, agent: Agent) -> None:
    """Also when it is cancelled again while that is recorded, and the cancellation goes on."""
    inside = asyncio.Event()

    async def work() -> None:
        async with client.executions.track(agent.id, "task"):
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        (execution,) = await client.executions.list(agent.id)
        if execution.status != "running":
            break
        await asyncio.sleep(0.01)
    assert (execution.status, execution.error_type) == ("cancelled", "asyncio.exceptions.CancelledError")


async def test_the_blocks_own_error_is_never_masked(
    client: PrismaAgentClient, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    """When its recording fails, that is logged."""

    async def fail() -> None:
        async with client.executions.track(agent.id, "task") as running:
            await client.executions.finish(running.id)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert "could not be recorded" in caplog.text


async def test_an_execution_ends_once(client: PrismaAgentClient, agent: Agent) -> None:
    """The second end is a conflict; an unknown one is not found."""
    execution = await client.executions.start(agent.id, 1)
    await client.executions.finish(execution.id, "first")

    for end in (client.executions.finish(execution.id, "second"), client.executions.fail(execution.id, "late")):
        with pytest.raises(ConflictError, match="completed"):
            await end
    assert (await client.executions.get(execution.id)).result == "first"
    for call in (client.executions.finish, client.executions.get, client.executions.tree):
        with pytest.raises(NotFoundError):
            await call("01a204bf-38e6-7c72-a0e5-6526c4d1d84c")
        with pytest.raises(NotFoundError):
            await call("nonsense")


async def test_what_runs_inside_is_a_child(client: PrismaAgentClient, agent: Agent) -> None:
    """Also in tasks that are started inside; of another organization it is none."""
    elsewhere = client.for_organization("elsewhere")
    await elsewhere.agents.register(AgentConfig(name="scout", category="SUPPORT", id=agent.id))

    async with client.executions.track(agent.id, "root") as root:
        async with (
            client.executions.track(agent.id, "child") as child,
            elsewhere.executions.track(agent.id, 0) as foreign,
        ):
            await asyncio.gather(*(client.executions.start(agent.id, n) for n in range(3)))
        sibling = await client.executions.start(agent.id, "sibling")

    tree = await client.executions.tree(root.id)
    assert tree.execution.task == "root"
    assert [branch.execution.id for branch in tree.children] == [child.id, sibling.id]
    # the executions started within the foreign one have no parent here: it is invisible
    assert (await elsewhere.executions.get(foreign.id)).parent_id is None
    assert [found.id for found in await client.executions.list(parent_id=root.id)] == [sibling.id, child.id]


async def test_a_parent_may_be_named(client: PrismaAgentClient, agent: Agent) -> None:
    """One that does not exist is not found."""
    parent = await client.executions.start(agent.id, 0)

    assert (await client.executions.start(agent.id, 1, parent_id=parent.id)).parent_id == parent.id
    with pytest.raises(NotFoundError) as caught:
        await client.executions.start(agent.id, 1, parent_id="01a204bf-38e6-7c72-a0e5-6526c4d1d84c")
    assert caught.value.entity == "execution"
    with pytest.raises(NotFoundError) as caught:
        await client.executions.start("nobody", 1)
    assert caught.value.entity == "agent"


async def test_a_retried_start_begins_one(client: PrismaAgentClient, agent: Agent) -> None:
    """Which is returned as it is by then; for another task the key is refused."""
    first = await client.executions.start(agent.id, {"n": 1.0}, idempotency_key="k")
    await client.executions.finish(first.id)

    again = await client.executions.start(agent.id, {"n": 1}, idempotency_key="k")
    assert (again.id, again.status) == (first.id, "completed")
    with pytest.raises(ConflictError, match="idempotency key"):
        await client.executions.start(agent.id, {"n": 2}, idempotency_key="k")


@pytest.mark.parametrize("task", [1e23, {"n": [1.5e300, -0.0]}, 5e-324, 2**70, 0.1, "1e23"])
async def test_a_start_is_retried_whatever_its_numbers(client: PrismaAgentClient, agent: Agent, task: Any) -> None:
    """The database writes 1e23 out, and what it gives back equals no float."""
    first = await client.executions.start(agent.id, task, idempotency_key="k")

    assert (await client.executions.start(agent.id, task, idempotency_key="k")).id == first.id
    with pytest.raises(ConflictError):
        await client.executions.start(agent.id, [task], idempotency_key="k")


async def test_of_a_burst_only_those_at_fault_fail(client: PrismaAgentClient, agent: Agent) -> None:
    """Each with the error that it would have alone."""
    unknown = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"

    async def run(number: int) -> Execution:
        if number % 97 == 0:
            return await client.executions.start("nobody", number)
        if number % 89 == 0:
            return await client.executions.start(agent.id, number, parent_id=unknown)
        begun = await client.executions.start(agent.id, number)
        return await client.executions.finish(begun.id, number)

    ended = await asyncio.gather(*(run(number) for number in range(1500)), return_exceptions=True)

    for number, outcome in enumerate(ended):
        if number % 97 == 0 or number % 89 == 0:
            assert isinstance(outcome, NotFoundError)
            assert (outcome.entity, outcome.id) == (("agent", "nobody") if number % 97 == 0 else ("execution", unknown))
        else:
            assert isinstance(outcome, Execution)
            assert outcome.result == number


async def test_many_end_the_same_at_once(client: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """From two clients in different orders: each ends once, the others are told so."""
    ids = [(await client.executions.start(agent.id, number)).id for number in range(50)]
    async with PrismaAgentClient(database_url, "acme") as other:
        outcomes = await asyncio.gather(
            *(client.executions.finish(id) for id in ids),
            *(other.executions.finish(id) for id in reversed(ids)),
            *(other.executions.fail(id, "x") for id in ids),
            return_exceptions=True,
        )

    ended = [outcome.id for outcome in outcomes if isinstance(outcome, Execution)]
    assert sorted(ended) == sorted(ids)
    assert {type(outcome) for outcome in outcomes} == {Execution, ConflictError}


async def test_one_that_is_cancelled_while_it_begins_is_cancelled(
    client: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """It travels with others and begins all the same; nobody knows its id, and it must not stay running."""
    blocker = await asyncpg.connect(admin_url)
    await blocker.execute("BEGIN; LOCK TABLE agent_executions IN ACCESS EXCLUSIVE MODE")

    async def work(name: str) -> None:
        async with client.executions.track(agent.id, name):
            pass

    async def waits(count: int) -> bool:
        sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'agent_executions'::regclass"
        return bool(await blocker.fetchval(sql) >= count)

    tasks = [asyncio.create_task(work(name)) for name in ("alone", "cancelled", "with it")]
    await until(lambda: waits(2))  # the first alone; then, when that takes too long, the others together
    tasks[1].cancel()
    await asyncio.sleep(0)
    await blocker.execute("ROLLBACK")
    await blocker.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]

    await client.gathering.heartbeats.flush()

    found = {execution.task: execution.status for execution in await client.executions.list()}
    assert found == {"alone": "completed", "cancelled": "cancelled", "with it": "completed"}


async def test_a_block_may_be_left_in_another_task(client: PrismaAgentClient, agent: Agent) -> None:
    """As a fixture of a test is, or an AsyncExitStack."""
    block = client.executions.track(agent.id, 1)
    running = await asyncio.create_task(block.__aenter__())
    await asyncio.create_task(block.__aexit__(None, None, None))

    assert (await client.executions.get(running.id)).status == "completed"
    assert (await client.executions.start(agent.id, 2)).parent_id is None


async def test_a_savepoint_is_inside(client: PrismaAgentClient, agent: Agent) -> None:
    """What runs in the transaction around it is the parent; what is stored in it is a step that may be undone."""
    async with client.transaction() as transaction, transaction.executions.track(agent.id, 1) as outer:
        async with transaction.transaction() as savepoint:
            child = await savepoint.executions.start(agent.id, 2)
            await savepoint.memories.store(MemoryEntry(agent_id=agent.id, content="x"))
        async with transaction.transaction() as second, second.executions.track(agent.id, 3):
            assert (await transaction.executions.start(agent.id, 4)).parent_id is None  # it must not refer into it
        assert (await client.executions.start(agent.id, 5)).parent_id is None

    assert child.parent_id == outer.id
    (step,) = (await client.executions.tree(outer.id)).steps
    assert (step.name, step.data["in_transaction"]) == ("store", True)


async def test_lists_narrow(client: PrismaAgentClient, agent: Agent) -> None:
    """Newest first."""
    running, done = [await client.executions.start(agent.id, n) for n in range(2)]
    await client.executions.finish(done.id)

    def ids(executions: list[Execution]) -> list[str]:
        return [execution.id for execution in executions]

    assert ids(await client.executions.list()) == [done.id, running.id]
    assert ids(await client.executions.list(agent.id, status="running")) == [running.id]
    assert ids(await client.executions.list(since=done.started_at)) == [done.id]
    assert await client.executions.list("nobody") == []
    assert await client.executions.list(since=datetime.now(UTC) + timedelta(hours=1)) == []
    with pytest.raises(InvalidInputError, match="status"):
        await client.executions.list(status="gone")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"result": object()}, "result"),
        ({"result": {"a": float("nan")}}, "result.a"),
        ({"cost": Decimal(-1)}, "cost"),
        ({"cost": Decimal("NaN")}, "cost"),
        ({"cost": "free"}, "cost"),
        ({"cost": Decimal(10) ** 10}, "cost"),
        ({"cost": Decimal("9999999999.99999999999")}, "cost"),
        ({"usage": {"input": 1}}, "usage"),
        ({"usage": 0}, "usage"),
        ({"model": ""}, "model"),
        ({"cost": "9999999999.99999999995"}, "cost"),
    ],
)
async def test_what_cannot_be_recorded(
    client: PrismaAgentClient, agent: Agent, options: dict[str, Any], field: str
) -> None:
    """The execution goes on running."""
    execution = await client.executions.start(agent.id, 1)
    wrongs: list[Any] = [5, None, ValueError]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError, match="error"):
            await client.executions.fail(execution.id, wrong)

    with pytest.raises(InvalidInputError) as caught:
        await client.executions.finish(execution.id, **options)
    assert caught.value.field == field
    assert (await client.executions.get(execution.id)).status == "running"
    with pytest.raises(InvalidInputError, match="task"):
        await client.executions.start(agent.id, {"x": object()})


async def test_tokens_add_up(client: PrismaAgentClient, agent: Agent) -> None:
    """By class or as a whole; what cannot be is refused and not counted."""
    async with client.executions.track(agent.id, 1) as running:
        running.usage.add(input=1, output=2)
        running.usage.add(TokenUsage(output=3, reasoning=3))
        wrongs: list[dict[str, Any]] = [{"input": -1}, {"output": 1, "reasoning": 2}, {"inptu": 1}]
        for wrong in wrongs:
            with pytest.raises(InvalidInputError):
                running.usage.add(**wrong)

    assert (await client.executions.get(running.id)).usage == TokenUsage(input=1, output=5, reasoning=3)


async def test_the_flat_names(client: PrismaAgentClient, agent: Agent) -> None:
    """One line each onto the above."""
    done = await client.start_execution(agent.id, 1)
    failed = await client.start_execution(agent.id, 2)

    assert (await client.complete_execution(done.id, "result")).result == "result"
    assert (await client.fail_execution(failed.id, "why")).error == "why"
