"""`client.tools`: calls, and what they say."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import numpy
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    PrismaAgentClient,
    Settings,
    Step,
    ToolStats,
)
from agentdb.client.evidence import wilson_interval
from tests.wire import Wire

pytestmark = pytest.mark.postgres

UNKNOWN = "01a204bf-38e6-7c72-a0e5-6526c4d1d84c"


async def steps_of(client: PrismaAgentClient, execution_id: str) -> list[Step]:
    return (await client.executions.tree(execution_id)).steps


async def other_agent(client: PrismaAgentClient, name: str = "other") -> Agent:
    return await client.agents.register(AgentConfig(name=name, category="SUPPORT"))


async def test_calls_are_counted_exactly(client: PrismaAgentClient, agent: Agent) -> None:
    """Under concurrency too."""
    await client.tools.register("lookup")

    calls = (client.tools.record_call("lookup", agent.id, success=n % 4 > 0, duration_ms=2.5) for n in range(100))
    await asyncio.gather(*calls)

    tool = await client.tools.get("lookup")
    assert (tool.calls, tool.successes, tool.total_duration_ms) == (100, 75, 250.0)
    assert tool.last_used_at is not None


async def test_a_call_is_a_step_of_its_execution(client: PrismaAgentClient, agent: Agent) -> None:
    """With what it was called with, what it took, and what went wrong."""
    await client.tools.register("lookup")
    other = await other_agent(client)
    execution = await client.executions.start(agent.id, "x")
    called = {"execution_id": execution.id, "arguments": {"word": "a", "limit": [1]}}
    await client.tools.record_call("lookup", agent.id, success=True, duration_ms=1.5, **called)  # type: ignore[arg-type]
    await client.tools.record_call(
        "lookup", other.id, success=False, duration_ms=0, error=KeyError("none"), execution_id=execution.id
    )
    await client.tools.record_call(
        "lookup", agent.id, success=False, duration_ms=0, error="went \x00 wrong", execution_id=execution.id
    )

    first, second, third = await steps_of(client, execution.id)

    assert (first.kind, first.name, first.agent_id, first.success, first.duration_ms, first.message) == (
        "tool", "lookup", agent.id, True, 1.5, None,
    )  # fmt: skip
    assert first.data == {"arguments": called["arguments"]}
    assert (second.agent_id, second.success, second.message, second.error_type) == (
        other.id, False, "'none'", "KeyError",
    )  # fmt: skip
    assert second.data == {}
    assert third.message is not None
    assert third.message.startswith("went \ufffd wrong [agentdb: ")


async def test_a_call_belongs_to_the_running_execution(client: PrismaAgentClient, agent: Agent) -> None:
    """Unless it says another one."""
    await client.tools.register("lookup")
    earlier = await client.executions.start(agent.id, "x")
    async with client.executions.track(agent.id, "y") as running:
        await client.tools.record_call("lookup", agent.id, success=True, duration_ms=1)
        await client.tools.record_call("lookup", agent.id, success=True, duration_ms=2, execution_id=earlier.id)

    assert [step.duration_ms for step in await steps_of(client, running.id)] == [1]
    assert [step.duration_ms for step in await steps_of(client, earlier.id)] == [2]


async def test_what_is_unknown_is_not_found(client: PrismaAgentClient, agent: Agent) -> None:
    """Which of them is said, in the same words for another organization's; nothing is counted."""
    await client.tools.register("lookup")
    elsewhere = client.for_organization("other")
    theirs = await other_agent(elsewhere, "theirs")
    their_execution = (await elsewhere.executions.start(theirs.id, "x")).id
    await elsewhere.tools.register("their_tool")

    async def record(name: str, agent_id: str, execution_id: str | None = None) -> str:
        with pytest.raises(NotFoundError) as caught:
            await client.tools.record_call(
                name, agent_id, success=True, duration_ms=1, execution_id=execution_id, idempotency_key="k"
            )
        assert caught.value.id in str(caught.value)
        return caught.value.entity

    assert [await record(name, agent.id) for name in ("none", "their_tool")] == ["tool", "tool"]
    assert [await record("lookup", id) for id in ("nobody", theirs.id)] == ["agent", "agent"]
    executions = [await record("lookup", agent.id, id) for id in (UNKNOWN, their_execution, "no uuid")]
    assert executions == ["execution"] * 3
    assert (await client.tools.get("lookup")).calls == 0
    await client.tools.record_call("lookup", agent.id, success=True, duration_ms=1, idempotency_key="k")
    assert (await client.tools.get("lookup")).calls == 1


NO_CALLS: list[tuple[str, dict[str, Any]]] = [
    *(("duration_ms", {"duration_ms": value}) for value in (-1, math.nan, math.inf, "1", True, None, 10**13)),
    *(("success", {"success": value}) for value in (1, None, "yes")),
    *(("arguments", {"arguments": value}) for value in ([1], "x", {"a": math.nan}, {"a": object()}, {"a": "\x00"})),
    ("error", {"error": 3}),
    ("error", {"success": True, "error": "but"}),
    ("name", {"name": ""}),
    ("name", {"name": 3}),
    ("agent_id", {"agent_id": "x" * 256}),
]


async def test_what_no_call_is(client: PrismaAgentClient, agent: Agent) -> None:
    """A typed error that names the argument, recorded at once or noted; nothing is half-written."""
    await client.tools.register("lookup")
    for field, options in NO_CALLS:
        call: dict[str, Any] = {"name": "lookup", "agent_id": agent.id, "success": False, "duration_ms": 1} | options
        with pytest.raises(InvalidInputError, match=field):
            await client.tools.record_call(**call)
        with pytest.raises(InvalidInputError, match=field):
            client.tools.note_call(**call)

    assert (await client.tools.stats("lookup")).calls == 0


async def test_a_retried_call_is_recorded_once(client: PrismaAgentClient, agent: Agent) -> None:
    """Also at the same time; another call under its key is refused and counts nothing."""
    await client.tools.register("lookup")
    await client.tools.register("other")

    async def record(name: str = "lookup", **options: Any) -> None:
        call: dict[str, Any] = {"success": True, "duration_ms": 0.1, "idempotency_key": "k"} | options
        await client.tools.record_call(name, agent.id, **call)

    await asyncio.gather(*(record() for _ in range(10)))
    await record()
    execution = await client.executions.start(agent.id, "x")
    for name, options in (
        ("lookup", {"success": False}),
        ("lookup", {"duration_ms": 0.2}),
        ("lookup", {"execution_id": execution.id}),
        ("other", {}),
    ):
        with pytest.raises(ConflictError, match="idempotency key"):
            await record(name, **options)
    await record(idempotency_key="another")

    assert (
        (await client.tools.get("lookup")).calls == (await client.tools.stats("lookup")).by_agent[agent.id].calls == 2
    )
    assert (await client.tools.get("other")).calls == 0


async def test_what_is_kept_of_a_call_is_redacted_and_cut(database_url: str) -> None:
    """Arguments and errors, before anything is written."""

    def redact(value: Any, field: str) -> Any:
        if field == "arguments":
            return value | {"password": "***"}
        return value.replace("secret", "***") if isinstance(value, str) else value

    settings = Settings(organization_id="acme", database_url=database_url, max_payload_bytes=1000)
    async with PrismaAgentClient(settings=settings, redact=redact) as client:
        agent = await other_agent(client)
        await client.tools.register("lookup")
        async with client.executions.track(agent.id, "x") as running:
            client.tools.note_call(
                "lookup",
                agent.id,
                success=False,
                duration_ms=1,
                error=ValueError("the secret is out"),
                arguments={"password": "secret", "text": "x" * 5000},
            )
        (step,) = await steps_of(client, running.id)

    assert step.message == "the *** is out"
    assert step.data["arguments"]["password"] == "***"
    assert len(str(step.data)) < 2000


async def test_noting_takes_no_round_trip(roundtrips: Wire, database_url: str) -> None:
    """It travels with the end of the execution, else with what else has gathered; a process reads its own calls."""
    settings = Settings(organization_id="acme", database_url=roundtrips.url(database_url), flush_seconds=600)
    async with PrismaAgentClient(settings=settings) as client:
        agent = await other_agent(client)
        await client.tools.register("lookup")
        reads: list[Callable[[], Any]] = [
            lambda: client.tools.stats("lookup"),
            lambda: client.tools.rank(),
            lambda: client.tools.overview(),
            lambda: client.tools.list(),
            lambda: client.tools.get("lookup"),
        ]
        for read in reads:  # prepares the statements
            client.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
            await read()
        async with client.executions.track(agent.id, 0):
            pass

        for read in reads:
            with roundtrips.counting() as count:
                client.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
            assert count.trips == 0
            with roundtrips.counting() as count:
                await read()
            assert count.trips == 2
            with roundtrips.counting() as count:
                await read()
            assert count.trips == 1
        with roundtrips.counting() as count:
            async with client.executions.track(agent.id, 1):
                for _ in range(10):
                    client.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
        assert count.trips == 2
        with roundtrips.counting() as count:
            assert (await client.tools.get("lookup")).calls == 20
        assert count.trips == 1


async def test_what_many_read_at_once_is_up_to_date(client: PrismaAgentClient, agent: Agent) -> None:
    """A call that was noted counts for whoever reads after it, also while another's reading writes it."""
    await client.tools.register("lookup")

    async def call_and_read(number: int) -> int:
        for _ in range(number % 3):
            await asyncio.sleep(0)
        client.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
        noted.append(number)
        least = len(noted)
        calls = (await client.tools.stats("lookup")).calls
        return calls - least

    noted: list[int] = []
    assert min(await asyncio.gather(*(call_and_read(number) for number in range(50)))) >= 0


async def test_a_reader_that_is_cancelled_loses_no_call(client: PrismaAgentClient, agent: Agent) -> None:
    """At whatever moment."""
    await client.tools.register("lookup")
    for turns in range(20):
        client.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
        reading = asyncio.create_task(client.tools.stats("lookup"))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])

    assert (await client.tools.stats("lookup")).calls == 20


async def test_a_noted_call_is_of_the_agent_that_runs(client: PrismaAgentClient, agent: Agent) -> None:
    """In an execution its agent's, else the one that is named; an execution elsewhere is none of it."""
    await client.tools.register("lookup")
    other = await other_agent(client)
    client.tools.note_call("lookup", other.id, success=True, duration_ms=1)
    async with client.executions.track(agent.id, "x") as running:
        client.tools.note_call("lookup", other.id, success=True, duration_ms=2)
    elsewhere = client.for_organization("elsewhere")
    theirs = await other_agent(elsewhere)
    async with elsewhere.executions.track(theirs.id, "x") as foreign:
        client.tools.note_call("lookup", other.id, success=True, duration_ms=4)

    stats = await client.tools.stats("lookup")
    assert {id: part.calls for id, part in stats.by_agent.items()} == {agent.id: 1, other.id: 2}
    assert [step.agent_id for step in await steps_of(client, running.id)] == [agent.id]
    assert await steps_of(elsewhere, foreign.id) == []


async def test_calls_in_a_transaction_end_with_it(client: PrismaAgentClient, agent: Agent) -> None:
    """Those of an execution that is undone are undone, too."""
    await client.tools.register("lookup")

    async def run(*, fails: bool) -> None:
        async with client.transaction() as tx, tx.executions.track(agent.id, "x"):
            tx.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
            await tx.tools.record_call("lookup", agent.id, success=True, duration_ms=1)
            if fails:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        await run(fails=True)
    assert (await client.tools.stats("lookup")).calls == 0
    await run(fails=False)
    assert (await client.tools.stats("lookup")).calls == 2


async def test_a_call_outside_of_an_execution_has_happened(client: PrismaAgentClient, agent: Agent) -> None:
    """Whatever becomes of the transaction in which it was noted."""
    await client.tools.register("lookup")
    with pytest.raises(RuntimeError):
        async with client.transaction() as tx:
            tx.tools.note_call("lookup", agent.id, success=True, duration_ms=1)
            raise RuntimeError
    assert (await client.tools.stats("lookup")).calls == 1


async def test_figures_are_exact(client: PrismaAgentClient, agent: Agent) -> None:
    """Percentiles equal numpy's; in total, by agent, and since a time."""
    await client.tools.register("lookup")
    other = await other_agent(client)
    chance = Random(7)
    calls: dict[str, list[tuple[bool, float]]] = {agent.id: [], other.id: []}
    since = datetime.min.replace(tzinfo=UTC)
    for number in range(60):
        if number == 40:
            await client.tools.get("lookup")
            since = datetime.now(UTC)
        id, success, duration = chance.choice([agent.id, other.id]), chance.random() < 0.7, chance.lognormvariate(0, 3)
        calls[id].append((success, duration))
        if number >= 40:
            calls.setdefault("late", []).append((success, duration))
        client.tools.note_call("lookup", id, success=success, duration_ms=duration)

    def check(stats: ToolStats, expected: list[tuple[bool, float]]) -> None:
        successes = sum(success for success, _ in expected)
        durations = [duration for _, duration in expected]
        assert (stats.name, stats.calls, stats.successes, stats.failures) == (
            "lookup", len(expected), successes, len(expected) - successes,
        )  # fmt: skip
        assert stats.success_rate == successes / len(expected)
        assert stats.success_interval == wilson_interval(successes, len(expected))
        assert stats.p50_ms == pytest.approx(numpy.percentile(durations, 50), rel=1e-9)
        assert stats.p95_ms == pytest.approx(numpy.percentile(durations, 95), rel=1e-9)
        assert stats.last_used_at is not None

    late = calls.pop("late")
    stats = await client.tools.stats("lookup")
    check(stats, calls[agent.id] + calls[other.id])
    assert set(stats.by_agent) == set(calls)
    for id, expected in calls.items():
        check(stats.by_agent[id], expected)
        assert stats.by_agent[id].by_agent == {}
        check(await client.tools.stats("lookup", agent_id=id), expected)
    check(await client.tools.stats("lookup", since=since), late)
    check((await client.tools.overview(since=since)).tools[0], late)
    assert stats.last_used_at == max(part.last_used_at for part in stats.by_agent.values() if part.last_used_at)


async def test_a_tool_without_calls_has_no_figures(client: PrismaAgentClient, agent: Agent) -> None:
    """Zeros and Nones; so has one whose calls are all of another time or agent."""
    await client.tools.register("lookup")

    def is_empty(stats: ToolStats) -> bool:
        return (stats.calls, stats.successes, stats.failures, stats.by_agent) == (0, 0, 0, {}) and {
            stats.success_rate, stats.success_interval, stats.p50_ms, stats.p95_ms, stats.last_used_at
        } == {None}  # fmt: skip

    assert is_empty(await client.tools.stats("lookup"))
    await client.tools.record_call("lookup", agent.id, success=True, duration_ms=1)
    assert is_empty(await client.tools.stats("lookup", agent_id="nobody"))
    assert is_empty(await client.tools.stats("lookup", since=datetime.now(UTC) + timedelta(hours=1)))
    with pytest.raises(NotFoundError, match="none"):
        await client.tools.stats("none")
    since: Any = "yesterday"
    with pytest.raises(InvalidInputError, match="since"):
        await client.tools.stats("lookup", since=since)


async def test_totals_outlive_the_calls(client: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """What the catalogue keeps is right also when old calls were cleared away; percentiles are of those kept."""
    await client.tools.register("lookup")
    for duration in (1, 2, 30, 40):
        await client.tools.record_call("lookup", agent.id, success=duration > 1, duration_ms=duration)
    connection = await asyncpg.connect(admin_url)
    await connection.execute("DELETE FROM agent_steps WHERE duration_ms < 10")
    kept = await client.tools.stats("lookup")
    await connection.execute("DELETE FROM agent_steps")
    await connection.close()

    assert (kept.calls, kept.failures, kept.p50_ms, kept.by_agent[agent.id].calls) == (4, 1, 35, 2)
    nothing = await client.tools.stats("lookup")
    assert (nothing.calls, nothing.failures, nothing.p50_ms, nothing.by_agent) == (4, 1, None, {})
    assert nothing.last_used_at == kept.last_used_at
    assert (await client.tools.stats("lookup", agent_id=agent.id)).calls == 0


async def test_overview_and_rank(client: PrismaAgentClient, agent: Agent) -> None:
    """What is used, what is not, what fails, what is best; deprecated tools are left out unless asked for."""
    outcomes = {"good": [True] * 30, "bad": [False] * 20 + [True] * 5, "once": [True], "unused": [], "old": [True] * 40}
    for name, successes in outcomes.items():
        await client.tools.register(name)
        for success in successes:
            client.tools.note_call(name, agent.id, success=success, duration_ms=1)
    await client.tools.deprecate("old")

    overview = await client.tools.overview()
    assert [(tool.name, tool.calls) for tool in overview.tools] == [
        ("good", 30), ("bad", 25), ("once", 1), ("unused", 0),
    ]  # fmt: skip
    assert overview.never_used == ["unused"]
    assert [tool.name for tool in overview.failing] == ["bad"]
    assert overview.tools[0].by_agent[agent.id].calls == 30
    assert (await client.tools.overview(include_deprecated=True)).tools[0].name == "old"
    assert (await client.tools.overview(failing_below=0.1)).failing == []
    assert sorted((await client.tools.overview(agent_id="nobody")).never_used) == ["bad", "good", "once", "unused"]
    for below in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidInputError, match="failing_below"):
            await client.tools.overview(failing_below=below)

    ranking = await client.tools.rank()
    assert [tool.name for tool in ranking] == ["good", "once", "bad", "unused"]
    assert [tool.name for tool in await client.tools.rank(["unused", "old", "bad", "old"])] == ["old", "bad", "unused"]
    assert await client.tools.rank([]) == []
    with pytest.raises(NotFoundError, match="x, y"):
        await client.tools.rank(["bad", "x", "y"])
    with pytest.raises(InvalidInputError, match="names"):
        await client.tools.rank("bad")


async def test_everything_adds_up(client: PrismaAgentClient, database_url: str) -> None:
    """20 agents, two pools, calls of each kind at the same time: counters, steps and figures equal the events."""
    agents = [await other_agent(client, f"agent {number}") for number in range(20)]
    names = ["a", "b", "c"]
    for name in names:
        await client.tools.register(name)
    events: list[tuple[str, str, bool, float]] = []

    async def work(one: PrismaAgentClient, agent: Agent, number: int) -> None:
        chance = Random(f"{agent.name} {number}")
        async with one.executions.track(agent.id, number):
            for place in range(6):
                name, success, duration = chance.choice(names), chance.random() < 0.6, float(chance.randrange(100))
                events.append((name, agent.id, success, duration))
                if place % 2:
                    await one.tools.record_call(name, agent.id, success=success, duration_ms=duration)
                else:
                    one.tools.note_call(name, agent.id, success=success, duration_ms=duration)

    async with PrismaAgentClient(database_url, "acme") as other:
        await asyncio.gather(*(work(one, agent, n) for n in range(3) for one in (client, other) for agent in agents))

    assert len(events) == 720
    written = await client.driver.fetch(
        "SELECT name, agent_id, success, duration_ms FROM agent_steps WHERE kind = 'tool'"
    )
    assert sorted(tuple(row.values()) for row in written) == sorted(events)
    for name in names:
        mine = [event for event in events if event[0] == name]
        tool, stats = await client.tools.get(name), await client.tools.stats(name)
        assert (tool.calls, tool.successes) == (stats.calls, stats.successes) == (len(mine), sum(e[2] for e in mine))
        assert tool.total_duration_ms == sum(event[3] for event in mine)
        assert stats.p95_ms == pytest.approx(numpy.percentile([event[3] for event in mine], 95), rel=1e-9)
        assert {id: part.calls for id, part in stats.by_agent.items()} == {
            id: sum(event[1] == id for event in mine) for id in {event[1] for event in mine}
        }
