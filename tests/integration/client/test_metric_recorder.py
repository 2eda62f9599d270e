"""`client.metrics.recorder()`: what it has taken is recorded, once, whatever happens."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from agentdb import (
    Agent,
    AgentConfig,
    AgentDBError,
    DatabaseError,
    InvalidInputError,
    MetricRecorder,
    NotConnectedError,
    PrismaAgentClient,
    QueryTimeoutError,
    Settings,
)
from agentdb.client.metric.rows import MetricRow
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.waiting import until

pytestmark = pytest.mark.postgres

# A point each time round, and what was recorded on stdout: the number is printed once `record` has returned.
_COUNTER = """
import asyncio, sys
from agentdb import PrismaAgentClient

async def main(url, agent_id):
    async with PrismaAgentClient(url, "acme") as client, client.metrics.recorder() as recorder:
        number = 0
        while True:
            await recorder.record(agent_id, "n", number)
            print(number, asyncio.get_running_loop().time(), flush=True)
            number += 1
            await asyncio.sleep(0.0005)

asyncio.run(main(*sys.argv[1:]))
"""
_THROW_OUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"


async def stored(client: PrismaAgentClient, name: str = "m") -> list[float]:
    rows = await client.driver.fetch("SELECT value FROM agent_metrics WHERE name = $1 ORDER BY value", (name,))
    return [row["value"] for row in rows]


async def until_recorded(recorder: MetricRecorder) -> None:
    """Wait until nothing is left, without asking for it."""
    while len(recorder):  # noqa: ASYNC110 - there is nothing to wait for but time
        await asyncio.sleep(0.01)


@asynccontextmanager
async def outage(database: Database) -> AsyncIterator[None]:
    """Let nobody into the database, and throw out who is in."""
    options = parse_url(database.superuser_url).connect_arguments() | {"database": "postgres"}
    administrator = await asyncpg.connect(**options)
    try:
        await administrator.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS false')
        await administrator.execute(_THROW_OUT, database.name)
        yield
    finally:
        await administrator.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')
        await administrator.close()


async def test_what_was_taken_is_recorded_when_the_block_ends(client: PrismaAgentClient, agent: Agent) -> None:
    """With the id that was returned, the time of the call, unit and labels."""
    before = datetime.now(UTC)
    async with client.metrics.recorder(flush_seconds=60) as recorder:
        ids = [await recorder.record(agent.id, "m", n, "ms", labels={"n": n, "s": "é"}) for n in range(50)]
        taken = datetime.now(UTC)
        assert len(recorder) == 50
        assert await stored(client) == []
        await asyncio.sleep(0.05)
    assert len(recorder) == 0
    assert recorder.undelivered.model_dump() == {"count": 0, "reasons": {}, "last_error": None}

    rows = await client.driver.fetch("SELECT id::text, value, unit, labels, recorded_at FROM agent_metrics ORDER BY id")
    assert [(row["id"], row["value"]) for row in rows] == list(zip(ids, range(50), strict=True))
    assert all(before <= row["recorded_at"] <= taken for row in rows)
    assert rows[3]["unit"] == "ms"
    assert rows[3]["labels"] == '{"n": 3, "s": "é"}'


async def test_points_leave_on_time(client: PrismaAgentClient, agent: Agent) -> None:
    """Without a flush, and again and again."""
    async with client.metrics.recorder(flush_seconds=0.05) as recorder:
        for n in range(3):
            await recorder.record(agent.id, "m", n)
            await until_recorded(recorder)
            assert await stored(client) == [*range(n + 1)]


async def test_points_leave_when_they_are_many(client: PrismaAgentClient, agent: Agent) -> None:
    """Also from a loop that awaits nothing else; no more wait in memory than may."""
    async with client.metrics.recorder(max_points=100, flush_seconds=60) as recorder:
        for n in range(3000):
            await recorder.record(agent.id, "m", n)
            assert len(recorder) <= 100
        assert len(await stored(client)) >= 2900
        await recorder.flush()
        assert await stored(client) == [*range(3000)]
        await recorder.flush()


async def test_many_tasks_wait_for_room(client: PrismaAgentClient, agent: Agent) -> None:
    """In turns."""
    async with client.metrics.recorder(max_points=7) as recorder:

        async def write(number: int) -> None:
            for n in range(50):
                await recorder.record(agent.id, "m", 50 * number + n)
                assert len(recorder) <= 7

        await asyncio.gather(*map(write, range(20)))
    assert await stored(client) == [*range(1000)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"value": math.nan}, "value"),
        ({"value": -math.inf}, "value"),
        ({"value": "3.5"}, "value"),
        ({"value": True}, "value"),
        ({"value": 1e301}, "value"),
        ({"value": 10**400}, "value"),
        ({"recorded_at": datetime.min}, "recorded_at"),
        ({"recorded_at": datetime.now(UTC) + timedelta(days=2)}, "recorded_at"),
        ({"recorded_at": "soon"}, "recorded_at"),
        ({"name": ""}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"unit": "\ud800"}, "unit"),
        ({"unit": None}, "unit"),
        ({"agent_id": None}, "agent_id"),
        ({"labels": {"x": math.nan}}, "labels.x"),
        ({"labels": {1: 2}}, "labels.1.[key]"),
        ({"labels": [1]}, "labels"),
    ],
)
async def test_a_bad_point_is_refused_when_it_is_given(
    client: PrismaAgentClient, agent: Agent, options: dict[str, Any], field: str
) -> None:
    """As by `Metrics.record`; the others are recorded."""
    point = {"agent_id": agent.id, "name": "m", "value": 1.0, **options}
    with pytest.raises(InvalidInputError) as direct:
        await client.metrics.record(**point)
    async with client.metrics.recorder() as recorder:
        await recorder.record(agent.id, "m", 1)
        with pytest.raises(InvalidInputError) as caught:
            await recorder.record(**point)
        assert len(recorder) == 1
    assert (caught.value.field, caught.value.reason) == (direct.value.field, direct.value.reason)
    assert caught.value.field == field
    assert await stored(client) == [1]


async def test_a_point_at_fault_takes_no_other_with_it(
    client: PrismaAgentClient, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown agents and names too long for an index: counted by reason, logged once each, never raised."""
    wide = client.for_organization("".join(chr(random.randrange(0x20000, 0x2A000)) for _ in range(255)))
    id = "".join(chr(random.randrange(0x20000, 0x2A000)) for _ in range(255))
    await wide.agents.register(AgentConfig(name="n", category="SUPPORT", id=id))
    names = ["".join(chr(random.randrange(0x20000, 0x2A000)) for _ in range(255)) for _ in range(3)]

    async with wide.metrics.recorder() as recorder:
        for n in range(300):
            await recorder.record(id if n % 10 else f"nobody-{n % 3}", names[n % 3] if n % 100 == 7 else "m", n)
        await recorder.flush()

        assert recorder.undelivered.reasons == {"NotFoundError": 30, "InvalidInputError": 3}
        assert recorder.undelivered.count == 33
        assert await stored(wide) == [n for n in range(300) if n % 10 and n % 100 != 7]
        await recorder.record(id, "m", 1)
        await recorder.record("nobody", "m", 1)
    assert recorder.undelivered.count == 34
    assert "register" in (recorder.undelivered.last_error or "")
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "a metric point could not be recorded",
        "a metric point could not be recorded",
        "metric points were not recorded",
    ]


async def test_a_strict_recorder_raises_at_its_end(client: PrismaAgentClient, agent: Agent) -> None:
    """When points were not recorded, unless the block raises itself."""
    with pytest.raises(DatabaseError, match="1 metric points could not be recorded"):
        async with client.metrics.recorder(strict=True) as recorder:
            await recorder.record("nobody", "m", 1)
            await recorder.record(agent.id, "m", 2)
    with pytest.raises(KeyError):
        async with client.metrics.recorder(strict=True) as recorder:
            await recorder.record("nobody", "m", 1)
            raise KeyError
    async with client.metrics.recorder(strict=True) as recorder:
        await recorder.record(agent.id, "m", 3)
    assert await stored(client) == [2, 3]


async def test_lost_connections_lose_nothing(client: PrismaAgentClient, agent: Agent, database: Database) -> None:
    """And nothing is recorded twice."""
    administrator = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    try:
        async with client.metrics.recorder(flush_seconds=0.005) as recorder:
            for n in range(400):
                await recorder.record(agent.id, "m", n)
                if n % 20 == 0:
                    await asyncio.sleep(0.01)
                    await administrator.execute(_THROW_OUT, database.name)
    finally:
        await administrator.close()
    assert recorder.undelivered.count == 0
    assert await stored(client) == [*range(400)]


async def test_points_wait_for_the_end_of_an_outage(
    client: PrismaAgentClient, agent: Agent, database: Database
) -> None:
    """Those that have no room wait to be taken; flush says that they are not there yet."""
    few, patience = {"max_points": 20, "flush_seconds": 0.01}, {"patience_seconds": 30}
    async with client.metrics.recorder(**few, **patience) as recorder:  # type: ignore[arg-type]
        hasty = client.metrics.recorder(patience_seconds=0.3)
        async with hasty:
            async with outage(database):
                writing = asyncio.gather(*(recorder.record(agent.id, "m", n) for n in range(30)))
                await hasty.record(agent.id, "other", 1)
                with pytest.raises(DatabaseError):
                    await hasty.flush()
                assert not writing.done()
                assert len(recorder) == 20
            await writing
    assert await stored(client) == [*range(30)]
    assert await stored(client, "other") == [1]
    assert recorder.undelivered.count == 0


async def test_a_long_outage_stops_nobody(client: PrismaAgentClient, agent: Agent, database: Database) -> None:
    """After *patience_seconds* a point without room is counted as not recorded; leaving takes no longer either."""
    recorder = client.metrics.recorder(max_points=10, flush_seconds=0.01, patience_seconds=0.2)
    async with outage(database), recorder:
        for n in range(200):
            await recorder.record(agent.id, "m", n)
        assert recorder.undelivered.reasons == {"ConnectionFailedError": 190}
        with pytest.raises(AgentDBError):
            await recorder.flush()
    assert recorder.undelivered.reasons == {"ConnectionFailedError": 200}
    assert await stored(client) == []


async def test_a_recorder_recovers_after_a_long_outage(
    client: PrismaAgentClient, agent: Agent, database: Database
) -> None:
    """What had room is recorded, and all that comes afterwards."""
    async with client.metrics.recorder(max_points=10, flush_seconds=0.01, patience_seconds=0.2) as recorder:
        async with outage(database):
            for n in range(20):
                await recorder.record(agent.id, "m", n)
        await until_recorded(recorder)
        for n in range(100, 130):
            await recorder.record(agent.id, "m", n)
    assert await stored(client) == [*range(10), *range(100, 130)]
    assert recorder.undelivered.count == 10


async def test_a_database_that_answers_nothing_stops_nobody(
    client: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """A locked table is waited for as long as one that cannot be reached; the error is that of the wait."""
    owner = await asyncpg.connect(**parse_url(admin_url).connect_arguments())
    recorder = client.metrics.recorder(max_points=10, flush_seconds=0.01, patience_seconds=0.2)
    try:
        async with asyncio.timeout(20), recorder:
            await recorder.record("nobody", "m", 0)
            await recorder.flush()
            async with owner.transaction():
                await owner.execute("LOCK TABLE agent_metrics IN ACCESS EXCLUSIVE MODE")
                for n in range(15):
                    await recorder.record(agent.id, "m", n)
                with pytest.raises(QueryTimeoutError):
                    await recorder.flush()
            await until_recorded(recorder)
            await recorder.record(agent.id, "m", 100)
    finally:
        await owner.close()
    assert recorder.undelivered.reasons == {"NotFoundError": 1, "QueryTimeoutError": 5}
    assert await stored(client) == [*range(10), 100]


async def test_a_database_that_takes_nothing_is_waited_for(
    client: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """No point is at fault when all are refused alike, as by a server that may only be read."""
    owner = await asyncpg.connect(**parse_url(admin_url).connect_arguments())
    try:
        async with client.metrics.recorder(flush_seconds=0.01) as recorder:
            await owner.execute("REVOKE INSERT ON agent_metrics FROM agentdb_app")
            for n in range(50):
                await recorder.record(agent.id, "m", n)
            await asyncio.sleep(0.2)
            await owner.execute("GRANT INSERT ON agent_metrics TO agentdb_app")
    finally:
        await owner.close()
    assert recorder.undelivered.count == 0
    assert await stored(client) == [*range(50)]


async def test_a_few_agents_at_fault_are_found_in_a_few_steps(client: PrismaAgentClient) -> None:
    """Among hundreds; the last error names one."""
    statements: list[int] = []

    async def write(rows: Sequence[MetricRow]) -> None:
        statements.append(len(rows))
        await client.metrics.record_rows(rows)

    for n in range(200):
        await client.agents.register(AgentConfig(name=f"agent-{n}", category="SUPPORT", id=f"agent-{n}"))
    options: dict[str, Any] = {"max_points": 1000, "flush_seconds": 60, "patience_seconds": 9, "strict": False}
    async with MetricRecorder(write, set(), **options) as recorder:
        for n in range(400):
            await recorder.record(f"agent-{n % 201}", "m", n)
    assert len(statements) < 30
    assert len(await stored(client)) == 399
    assert recorder.undelivered.reasons == {"NotFoundError": 1}
    assert "'agent-200'" in (recorder.undelivered.last_error or "")


async def test_points_that_come_while_others_are_sent_gather_anew() -> None:
    """They do not follow one by one: a steady stream leaves in few statements."""
    sent: list[int] = []

    async def write(rows: Sequence[MetricRow]) -> None:
        sent.append(len(rows))
        if len(sent) == 1:
            await recorder.record("a", "m", 1)

    options: dict[str, Any] = {"max_points": 100, "flush_seconds": 60, "patience_seconds": 9, "strict": False}
    recorder = MetricRecorder(write, set(), **options)
    async with recorder:
        await recorder.record("a", "m", 1)
        await recorder.flush()
        for _ in range(50):
            await asyncio.sleep(0)
        assert sent == [1]
        assert len(recorder) == 1
        await recorder.flush()
        assert sent == [1, 1]


async def test_a_task_that_others_cancel_begins_again(client: PrismaAgentClient, agent: Agent) -> None:
    """Its points wait, and leave with those that come."""
    others = asyncio.all_tasks()
    async with client.metrics.recorder(flush_seconds=0.05) as recorder:
        for n in range(3):
            await recorder.record(agent.id, "m", n)
            await asyncio.sleep(0)
            for task in asyncio.all_tasks() - others:
                task.cancel()
            await asyncio.sleep(0)
        await recorder.record(agent.id, "m", 3)
        await until_recorded(recorder)
        assert await stored(client) == [0, 1, 2, 3]


async def test_a_recorder_belongs_to_an_event_loop(client: PrismaAgentClient, agent: Agent) -> None:
    """Used in another one it raises, takes nothing and goes on working in its own."""
    async with client.metrics.recorder(flush_seconds=60) as recorder:
        uses = (lambda: recorder.record(agent.id, "m", 1), recorder.flush, recorder.close)
        for use in uses:
            with pytest.raises(NotConnectedError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, use())
        await recorder.record(agent.id, "m", 2)
    assert await stored(client) == [2]


async def test_closing_the_client_records_what_was_taken(
    database_url: str, client: PrismaAgentClient, agent: Agent
) -> None:
    """Of every organization; the recorder then takes no more."""
    async with PrismaAgentClient(database_url, "acme") as other:
        first = await other.metrics.recorder(flush_seconds=60).__aenter__()
        third = other.for_organization("third")
        await third.agents.register(AgentConfig(name="n", category="SUPPORT", id=agent.id))
        second = await third.metrics.recorder(flush_seconds=60).__aenter__()
        await first.record(agent.id, "m", 1)
        await second.record(agent.id, "m", 2)
    for recorder in (first, second):
        assert len(recorder) == 0
        with pytest.raises(NotConnectedError, match="recorder"):
            await recorder.record(agent.id, "m", 1)
        with pytest.raises(NotConnectedError):
            await recorder.flush()
        await recorder.close()
        assert recorder.undelivered.count == 0
    assert await stored(client) == [1]
    assert await stored(client.for_organization("third")) == [2]


async def test_a_recorder_is_used_in_its_block(database_url: str, client: PrismaAgentClient, agent: Agent) -> None:
    """Of a client that is open."""
    recorder = client.metrics.recorder()
    for use in (recorder.record(agent.id, "m", 1), recorder.flush()):
        with pytest.raises(NotConnectedError, match="async with"):
            await use
    async with recorder:
        with pytest.raises(AgentDBError, match="open already"):
            await recorder.__aenter__()
    async with recorder:  # again
        await recorder.record(agent.id, "m", 1)
    assert await stored(client) == [1]
    with pytest.raises(NotConnectedError):
        PrismaAgentClient(database_url, "acme").metrics.recorder()
    for wrong in ({"max_points": 0}, {"flush_seconds": 0}, {"patience_seconds": "1"}, {"strict": 1}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            client.metrics.recorder(**wrong)


async def test_a_transaction_that_is_undone_keeps_what_was_measured(client: PrismaAgentClient, agent: Agent) -> None:
    """A recorder records outside of it."""
    with pytest.raises(KeyError):
        async with client.transaction() as transaction, transaction.metrics.recorder() as recorder:
            await recorder.record(agent.id, "m", 1)
            await transaction.metrics.record(agent.id, "m", 2)
            raise KeyError
    assert await stored(client) == [1]


@pytest.mark.parametrize("seed", range(8))
async def test_cancellation_loses_nothing_that_was_taken(client: PrismaAgentClient, agent: Agent, seed: int) -> None:
    """Wherever it strikes: in `record`, in `flush`, on leaving the block, twice."""
    chance = random.Random(seed)
    taken: list[float] = []

    async def work(number: int) -> None:
        async with client.metrics.recorder(max_points=50, flush_seconds=0.002) as recorder:
            for n in range(10_000):
                await recorder.record(agent.id, "m", 10_000 * number + n)
                taken.append(10_000 * number + n)
                if n % 500 == 499:
                    await recorder.flush()

    for number in range(10):
        task = asyncio.create_task(work(number))
        await asyncio.sleep(chance.uniform(0, 0.03))
        task.cancel()
        await asyncio.sleep(chance.choice([0, 0.0005]))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await client.gathering.flush()

    found = await stored(client)
    assert len(found) == len(set(found))
    assert set(taken) <= set(found)
    assert len(found) <= len(taken) + 10  # a call that was cancelled may have taken its point


async def test_a_killed_process_loses_a_second_at_most(
    client: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """SIGKILL, in full flight: all that was taken more than a second before is there, and nothing twice."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COUNTER, database_url, agent.id, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines: list[bytes] = []
    async with asyncio.timeout(60):
        while len(lines) < 2 or float(lines[-1].split()[1]) - float(lines[0].split()[1]) < 2.7:
            lines.append(await process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    lines += [line for line in (await process.stdout.read()).splitlines() if len(line.split()) == 2]
    await process.wait()

    found = await stored(client, "n")
    printed = [(int(number), float(at)) for number, at in (line.split() for line in lines)]
    killed_at = printed[-1][1]
    old = [number for number, at in printed if at < killed_at - 1]
    assert len(old) > 100
    assert found == sorted(set(found))
    assert set(old) <= set(found)


def test_a_recorder_is_true_when_it_is_empty() -> None:
    """It has a length, but is no collection."""

    async def nothing(_: object) -> None: ...

    recorder = MetricRecorder(nothing, set(), max_points=1, flush_seconds=1, patience_seconds=1, strict=False)
    assert recorder
    assert len(recorder) == 0


@pytest.mark.parametrize("is_ended", [True, False])
def test_points_of_an_event_loop_that_has_gone_are_counted(is_ended: bool, caplog: pytest.LogCaptureFixture) -> None:
    """When it is found out, for nobody can record them any more; who waited for room or a flush is gone, too."""

    async def nothing(_: object) -> None:
        await asyncio.sleep(60)

    recorder = MetricRecorder(nothing, set(), max_points=2, flush_seconds=60, patience_seconds=60, strict=False)

    async def leave_open() -> None:
        await recorder.__aenter__()
        for n in range(2):
            await recorder.record("a", "m", n)
        asyncio.get_running_loop().create_task(recorder.record("a", "m", 2))
        asyncio.get_running_loop().create_task(recorder.flush())
        await asyncio.sleep(0.01)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_open())
    if is_ended:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()

    recorder.forget()

    assert recorder.undelivered.reasons == {"NotConnectedError": 2}
    assert len(recorder) == 0
    assert caplog.records[-1].message == "metric points were not recorded"


async def test_how_long_points_gather_is_a_setting(database_url: str, agent: Agent) -> None:
    """AGENTDB_FLUSH_SECONDS, unless the recorder is told otherwise."""
    settings = Settings(organization_id="acme", database_url=database_url, flush_seconds=0.02)
    async with PrismaAgentClient(settings=settings) as client, client.metrics.recorder() as recorder:
        await recorder.record(agent.id, "latency", 1)

        async def is_recorded() -> bool:
            return "latency" in await client.metrics.summary(agent.id)

        await until(is_recorded, seconds=5)
