"""The trail of an execution, its heartbeat, and what happens when something goes wrong with either."""

from __future__ import annotations

import asyncio
import decimal
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from agentdb import (
    Agent,
    AgentConfig,
    AgentDBError,
    ConflictError,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
    Settings,
    Step,
    TokenUsage,
)
from agentdb.client.execution.running import RunningExecution
from tests.waiting import until
from tests.wire import Wire

pytestmark = pytest.mark.postgres

UNKNOWN = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"


@pytest_asyncio.fixture
async def slow(database_url: str, agent: Agent) -> AsyncIterator[PrismaAgentClient]:
    """A client that writes steps and heartbeats only when it has to."""
    settings = Settings(
        organization_id="acme",
        database_url=database_url,
        flush_seconds=600,
        heartbeat_seconds=600,
        max_payload_bytes=4096,
    )
    async with PrismaAgentClient(settings=settings) as client:
        yield client


async def steps_in_database(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM agent_steps"))
    finally:
        await connection.close()


async def has_status(client: PrismaAgentClient, execution_id: str, status: str) -> bool:
    return (await client.executions.get(execution_id)).status == status


def told(steps: list[Step]) -> list[tuple[str, str, str | None]]:
    return [(step.kind, step.name, step.message) for step in steps]


async def test_what_happens_inside_is_a_trail(client: PrismaAgentClient, agent: Agent) -> None:
    """In order, each with who, when and what; every kind of change to memories is there."""
    await client.tools.register("search")
    async with client.executions.track(agent.id, {"type": "report"}) as running:
        running.log("begun", budget=3)
        first = await client.memories.store(MemoryEntry(agent_id=agent.id, content="one", metadata={"k": 1}))
        await client.memories.update(first, content="two")
        second = await client.memories.supersede(first, MemoryEntry(agent_id=agent.id, content="three"))
        await client.memories.store_many([MemoryEntry(agent_id=agent.id, content=f"many {n}") for n in range(3)])
        await client.memories.delete(second)
        await client.memories.forget({"k": 1})
        running.log("almost over", "warning")
        running.settings["prompt"] = "v2"

    tree = await client.executions.tree(running.id)

    assert told(tree.steps) == [
        ("log", "info", "begun"),
        ("memory", "store", None),
        ("memory", "update", None),
        ("memory", "supersede", None),
        ("memory", "store", None),
        ("memory", "delete", None),
        ("memory", "forget", None),
        ("log", "warning", "almost over"),
    ]
    assert tree.steps[0].data == {"budget": 3}
    assert tree.steps[1].data == {"count": 1, "memory_ids": [first]}
    assert tree.steps[3].data == {"count": 2, "memory_ids": [second, first]}
    assert tree.steps[4].data["count"] == 3
    assert all(step.agent_id == agent.id and step.execution_id == running.id for step in tree.steps)
    assert [step.at for step in tree.steps] == sorted(step.at for step in tree.steps)
    assert (tree.execution.kind, tree.execution.settings) == ("report", {"prompt": "v2"})


async def test_steps_travel_with_the_end(slow: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """No timer is needed: what was taken is there once the execution has ended."""
    async with slow.executions.track(agent.id, 1) as running:
        for number in range(50):
            running.log(f"line {number}")
        assert (await slow.health_check()).recording.waiting_steps == 50

    async with PrismaAgentClient(database_url, "acme") as other:
        assert len((await other.executions.tree(running.id)).steps) == 50
    assert (await slow.health_check()).recording.waiting_steps == 0


async def test_a_process_reads_its_own_steps(slow: PrismaAgentClient, agent: Agent) -> None:
    """Those that are not written yet are written before the tree is read."""
    async with slow.executions.track(agent.id, 1) as running:
        running.log("inside")
        assert told((await slow.executions.tree(running.id)).steps) == [("log", "info", "inside")]


async def test_steps_are_written_while_it_runs(database_url: str, agent: Agent) -> None:
    """A moment later: a process that is killed loses no more than that."""
    settings = Settings(organization_id="acme", database_url=database_url, flush_seconds=0.02)
    async with (
        PrismaAgentClient(settings=settings) as client,
        PrismaAgentClient(database_url, "acme") as other,
        client.executions.track(agent.id, 1) as running,
    ):
        running.log("seen from outside")

        async def is_seen() -> bool:
            return bool((await other.executions.tree(running.id)).steps)

        await until(is_seen)


async def test_an_execution_costs_two_round_trips(roundtrips: Wire, database_url: str, agent: Agent) -> None:
    """Whatever is logged inside."""
    settings = Settings(organization_id="acme", database_url=roundtrips.url(database_url), flush_seconds=600)
    async with PrismaAgentClient(settings=settings) as client:
        for _ in range(2):  # the first prepares the statements
            with roundtrips.counting() as count:
                async with client.executions.track(agent.id, {"type": "x"}, model="gpt-4o") as running:
                    running.usage.add(input=1)
                    for number in range(20):
                        running.log("line", number=number)

    assert count.trips == 2


async def test_lines_can_be_added_by_id(client: PrismaAgentClient, agent: Agent) -> None:
    """For those who use `start` and `finish`; also after the end."""
    execution = await client.executions.start(agent.id, 1)
    await client.executions.log(execution.id, "one", data={"n": 1})
    await client.executions.finish(execution.id)
    await client.executions.log(execution.id, "two", "error")

    steps = (await client.executions.tree(execution.id)).steps
    assert told(steps) == [("log", "info", "one"), ("log", "error", "two")]
    assert (steps[0].agent_id, steps[0].data) == (agent.id, {"n": 1})


@pytest.mark.parametrize(
    ("arguments", "options", "field"),
    [
        (("",), {}, "message"),
        ((5,), {}, "message"),
        (("a\x00b",), {}, "message"),
        (("x" * 100_001,), {}, "message"),
        (("x", "loud"), {}, "level"),
        (("x",), {"value": object()}, "data.value"),
        (("x",), {"value": float("nan")}, "data.value"),
    ],
)
async def test_lines_that_cannot_be_added(
    client: PrismaAgentClient, agent: Agent, arguments: Any, options: Any, field: str
) -> None:
    """Refused where they are given, and the execution goes on; an unknown execution is not found."""
    async with client.executions.track(agent.id, 1) as running:
        with pytest.raises(InvalidInputError) as caught:
            running.log(*arguments, **options)
        assert caught.value.field == field
        with pytest.raises(InvalidInputError) as caught:
            await client.executions.log(running.id, *arguments, data=options)
        assert caught.value.field == field

    assert (await client.executions.tree(running.id)).steps == []
    wrongs: list[Any] = [[1], 5, "text", [("a", 1)]]
    for wrong in wrongs:
        with pytest.raises(InvalidInputError, match="data"):
            await client.executions.log(running.id, "line", data=wrong)
    with pytest.raises(NotFoundError):
        await client.executions.log(UNKNOWN, "line")
    with pytest.raises(NotFoundError):
        await client.for_organization("other").executions.log(running.id, "line")


async def test_any_thread_may_add(client: PrismaAgentClient, agent: Agent) -> None:
    """What is not async runs in one, and tells of itself all the same; tokens are counted exactly."""

    def work(running: RunningExecution) -> None:
        running.log("from a thread")
        for _ in range(500):
            running.usage.add(input=1)

    def work_with_a_loop(running: RunningExecution) -> None:
        async def inside() -> None:
            running.log("from another loop")

        asyncio.run(inside())

    async with client.executions.track(agent.id, 1) as running:
        await asyncio.gather(*(asyncio.to_thread(work, running) for _ in range(4)))
        await asyncio.to_thread(work_with_a_loop, running)
        running.log("from here")

    tree = await client.executions.tree(running.id)
    assert [step.message for step in tree.steps] == ["from a thread"] * 4 + ["from another loop", "from here"]
    assert tree.execution.usage == TokenUsage(input=2000)


def test_a_thread_that_outlives_the_loop_is_not_bothered(database_url: str) -> None:
    """There is nobody left to write what it logs."""

    async def left() -> RunningExecution:
        async with PrismaAgentClient(database_url, "acme") as client:
            scout = await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))
            async with client.executions.track(scout.id, 1) as running:
                return running

    asyncio.run(left()).log("late")


async def test_a_trail_may_be_large(client: PrismaAgentClient, agent: Agent) -> None:
    """More than an array of the database holds, 256 MB: it is written and read, in parts that are bounded."""
    line = "x" * 100_000
    async with client.executions.track(agent.id, 1) as running:
        for number in range(1100):
            running.log(line, number=number, more=line, still_more=line[:60_000])
            if number % 50 == 0:
                await asyncio.sleep(0)

    steps = (await client.executions.tree(running.id)).steps

    assert [step.data["number"] for step in steps] == list(range(1100))
    assert sum(len(step.message or "") + len(step.data["more"]) + 60_000 for step in steps) > 2**28
    recording = (await client.health_check()).recording
    assert (recording.waiting_steps, recording.lost_steps, recording.failures) == (0, 0, 0)


async def test_a_step_is_never_changed(client: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """The application's role may neither change one nor take it out of an execution's trail."""
    async with client.executions.track(agent.id, 1) as running:
        running.log("stays")
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET agentdb.organization_id = 'acme'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE agent_steps SET message = 'other'")
        assert await connection.execute("DELETE FROM agent_steps") == "DELETE 0"
    finally:
        await connection.close()

    assert told((await client.executions.tree(running.id)).steps) == [("log", "info", "stays")]


async def test_steps_of_a_transaction_share_its_fate(client: PrismaAgentClient, agent: Agent) -> None:
    """They travel with the execution's end in it."""

    class Undo(Exception):
        pass

    with pytest.raises(Undo):
        async with client.transaction() as undone, undone.executions.track(agent.id, 1) as running:
            running.log("undone")
            raise Undo
    async with client.transaction() as transaction, transaction.executions.track(agent.id, 2) as kept:
        kept.log("kept")

    assert [found.id for found in await client.executions.list()] == [kept.id]
    assert told((await client.executions.tree(kept.id)).steps) == [("log", "info", "kept")]
    assert (await client.health_check()).recording.waiting_steps == 0


async def test_the_trail_goes_with_the_agent(client: PrismaAgentClient, agent: Agent, superuser_url: str) -> None:
    """Deleting the agent deletes what it did, and steps that arrive later belong to nothing."""
    running_block = client.executions.track(agent.id, 1)
    running = await running_block.__aenter__()
    running.log("one")
    await client.executions.tree(running.id)
    await client.agents.delete(agent.id)
    running.log("two")
    await running_block.__aexit__(None, None, None)

    assert await steps_in_database(superuser_url) == 0
    recording = (await client.health_check()).recording
    assert (recording.waiting_steps, recording.failures, recording.unwritten_ends) == (0, 1, 0)


async def test_a_result_that_is_not_json_fails_the_execution(client: PrismaAgentClient, agent: Agent) -> None:
    """With a typed error, which its row tells, too."""

    async def work() -> None:
        async with client.executions.track(agent.id, 1) as running:
            running.log("before")
            running.result = object()

    with pytest.raises(InvalidInputError, match="result"):
        await work()

    (execution,) = await client.executions.list()
    assert (execution.status, execution.error_type) == ("failed", "agentdb.errors.InvalidInputError")
    assert len((await client.executions.tree(execution.id)).steps) == 1


async def test_settings_that_are_not_json(client: PrismaAgentClient, agent: Agent) -> None:
    """Refused at the start; set inside they fail the execution, and never mask the block's own exception."""
    with pytest.raises(InvalidInputError, match="settings"):
        await client.executions.start(agent.id, 1, settings={"x": object()})
    with pytest.raises(InvalidInputError, match="settings"):
        await client.executions.start(agent.id, 1, settings=[1])  # type: ignore[arg-type]

    async def work(fails: bool) -> None:
        async with client.executions.track(agent.id, 1) as running:
            running.settings["x"] = object()
            if fails:
                raise KeyError("mine")

    with pytest.raises(InvalidInputError, match="settings"):
        await work(False)
    with pytest.raises(KeyError):
        await work(True)
    newest, older = await client.executions.list()
    assert (newest.error_type, older.error_type) == ("KeyError", "agentdb.errors.InvalidInputError")


async def test_nothing_that_a_task_sets_hides_how_it_ended(client: PrismaAgentClient, agent: Agent) -> None:
    """Not even what raises when it is looked at."""

    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise OSError("hostile")

        keys = __iter__ = items

    async def work(**values: Any) -> None:
        async with client.executions.track(agent.id, 1) as running:
            running.usage.add(input=3)
            with pytest.raises(InvalidInputError):
                running.usage.add(output=2**63 - 1, input=2**63 - 1)
            with pytest.raises(AttributeError):
                running.usage = TokenUsage(input=5)  # type: ignore[misc, assignment]
            for name, value in values.items():
                setattr(running, name, value)
            raise KeyError("mine")

    odd: list[dict[str, Any]] = [
        {"settings": Hostile(a=1)},
        {"settings": None},
        {"cost": object()},
        {"cost": decimal.Decimal("sNaN")},
        {"model": 5},
        {"result": Hostile(a=1)},
    ]
    for values in odd:
        with pytest.raises(KeyError):
            await work(**values)

    found = await client.executions.list()
    kept = [(each.status, each.error_type, each.usage.input) for each in found]
    assert kept == [("failed", "KeyError", 3)] * len(odd)


class TestHeartbeats:
    """A process says which executions it runs; one that is silent has abandoned its own."""

    async def test_silence_is_abandonment(self, slow: PrismaAgentClient, agent: Agent) -> None:
        """Ended where it was heard of last; ending it later is a conflict."""
        execution = await slow.executions.start(agent.id, 1)

        assert await slow.executions.sweep_abandoned(60) == 0
        assert await slow.executions.sweep_abandoned(0, dry_run=True) == 1
        assert (await slow.executions.get(execution.id)).status == "running"
        assert await slow.executions.sweep_abandoned(0) == 1
        assert await slow.executions.sweep_abandoned(0) == 0

        abandoned = await slow.executions.get(execution.id)
        assert (abandoned.status, abandoned.result) == ("abandoned", None)
        assert abandoned.finished_at is not None
        assert abandoned.finished_at >= abandoned.started_at
        assert "not heard of" in (abandoned.error or "")
        with pytest.raises(ConflictError, match="abandoned"):
            await slow.executions.finish(execution.id, "late")
        with pytest.raises(ConflictError, match="abandoned"):
            await slow.executions.fail(execution.id, "late")

    async def test_a_sweep_stays_in_its_organization(self, client: PrismaAgentClient, agent: Agent) -> None:
        """Another one's silent executions are another one's."""
        execution = await client.executions.start(agent.id, 1)

        assert await client.for_organization("other").executions.sweep_abandoned(0) == 0
        assert (await client.executions.get(execution.id)).status == "running"

    async def test_more_than_fit_one_statement(self, client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
        """All of them are ended."""
        connection = await asyncpg.connect(admin_url)
        try:
            await connection.execute(
                "INSERT INTO agent_executions (organization_id, id, agent_id, task) "
                "SELECT 'acme', gen_random_uuid(), $1, '1' FROM generate_series(1, 2500)",
                agent.id,
            )
        finally:
            await connection.close()

        assert await client.executions.sweep_abandoned(0) == 2500

    async def test_what_runs_is_not_abandoned(self, database_url: str, agent: Agent) -> None:
        """A living process keeps its executions, whichever way they were begun, and ends those of dead ones."""
        settings = Settings(
            organization_id="acme", database_url=database_url, heartbeat_seconds=0.05, abandoned_after_seconds=0.4
        )
        silent = Settings(organization_id="acme", database_url=database_url, heartbeat_seconds=600)
        async with PrismaAgentClient(settings=silent) as dead:
            lost = await dead.executions.start(agent.id, "lost")
            async with PrismaAgentClient(settings=settings) as client, client.executions.track(agent.id, 1) as tracked:
                started = await client.executions.start(agent.id, 2)
                await until(lambda: has_status(client, lost.id, "abandoned"))
                await asyncio.sleep(0.6)
                for execution_id in (tracked.id, started.id):
                    assert (await client.executions.get(execution_id)).status == "running"
                await client.executions.finish(started.id)
            assert (await dead.executions.get(tracked.id)).status == "completed"
            assert (await dead.executions.get(lost.id)).status == "abandoned"

    @pytest.mark.parametrize("seconds", [-1, float("nan"), "60", True])
    async def test_a_silence_that_is_none(self, client: PrismaAgentClient, seconds: Any) -> None:
        """Refused."""
        with pytest.raises(InvalidInputError, match="older_than_seconds"):
            await client.executions.sweep_abandoned(seconds)


class TestWhenRecordingFails:
    """The agent's work matters more: logged, counted, tried again, raised only when asked."""

    async def kill_connections(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()

    async def rename(self, url: str, old: str, new: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(f"ALTER TABLE {old} RENAME TO {new}")
        finally:
            await connection.close()

    async def test_an_end_that_could_not_be_written_is_written_later(
        self, database_url: str, admin_url: str, agent: Agent, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A lock that outlasts the statement's time-out stands in for a database in trouble."""
        url = f"{database_url}&options=-c%20lock_timeout%3D100"
        settings = Settings(organization_id="acme", database_url=url, heartbeat_seconds=0.05, flush_seconds=0.02)
        async with PrismaAgentClient(settings=settings) as client:
            blocker = await asyncpg.connect(admin_url)
            async with client.executions.track(agent.id, 1) as running:
                running.result = "kept"
                running.log("kept, too")
                await blocker.execute("BEGIN; LOCK TABLE agent_executions IN ACCESS EXCLUSIVE MODE")
            await blocker.execute("ROLLBACK")
            await blocker.close()
            recording = (await client.health_check()).recording
            assert recording.failures == 1
            assert "could not be recorded" in caplog.text
            await until(lambda: has_status(client, running.id, "completed"))
            tree = await client.executions.tree(running.id)
            assert (tree.execution.result, told(tree.steps)) == ("kept", [("log", "info", "kept, too")])
            assert (await client.health_check()).recording.unwritten_ends == 0

    async def test_what_is_lost_when_the_client_is_closed_is_told(
        self, database_url: str, admin_url: str, agent: Agent, caplog: pytest.LogCaptureFixture
    ) -> None:
        """There is no later then; the execution will be taken for abandoned."""
        url = f"{database_url}&options=-c%20lock_timeout%3D50"
        settings = Settings(organization_id="acme", database_url=url, heartbeat_seconds=600, flush_seconds=600)
        blocker = await asyncpg.connect(admin_url)
        async with PrismaAgentClient(settings=settings) as client:
            async with client.executions.track(agent.id, 1) as running:
                running.log("lost")
                await blocker.execute("BEGIN; LOCK TABLE agent_executions IN ACCESS EXCLUSIVE MODE")
            assert "is lost" not in caplog.text
        await blocker.close()

        (record,) = [record for record in caplog.records if "is lost" in record.message]
        assert (record.steps, record.ends) == (1, 1)  # type: ignore[attr-defined]

    async def test_a_failure_that_nobody_foresaw_hides_nothing(
        self, client: PrismaAgentClient, agent: Agent, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is logged and counted like any other."""

        async def fails(item: Any) -> Any:
            raise RuntimeError("unforeseen")

        async def work() -> str:
            async with client.executions.track(agent.id, 1):
                monkeypatch.setattr(client.gathering.ends, "put", fails)
            return "done"

        assert await work() == "done"
        assert (await client.health_check()).recording.failures == 1
        assert "unforeseen" in caplog.text

    async def test_strict_recording_raises(self, database_url: str, agent: Agent) -> None:
        """But never in place of the block's own exception."""
        settings = Settings(organization_id="acme", database_url=database_url, strict_recording=True)

        async def work(client: PrismaAgentClient, fails: bool) -> None:
            async with client.executions.track(agent.id, 1) as running:
                await client.executions.finish(running.id)
                if fails:
                    raise KeyError("mine")

        async with PrismaAgentClient(settings=settings) as client:
            with pytest.raises(ConflictError, match="completed"):
                await work(client, False)
            with pytest.raises(KeyError):
                await work(client, True)

    async def test_by_default_it_does_not(self, client: PrismaAgentClient, agent: Agent) -> None:
        """It is counted."""
        async with client.executions.track(agent.id, 1) as running:
            await client.executions.finish(running.id)

        assert (await client.health_check()).recording.failures == 1

    async def test_a_start_that_cannot_be_written_raises(self, client: PrismaAgentClient) -> None:
        """Nothing has been done yet, and no task shall run without a row."""
        ran = False
        with pytest.raises(AgentDBError):
            async with client.executions.track("nobody", 1):
                ran = True
        assert not ran
