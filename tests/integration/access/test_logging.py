"""The logger "agentdb.access": who did what, always, and never what it was about."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from agentdb import (
    AgentConfig,
    EnhancedAgentBase,
    InvalidInputError,
    MemoryEntry,
    NotFoundError,
    PrismaAgentClient,
    acting_as,
)
from agentdb.client.access.operations import as_now

pytestmark = pytest.mark.postgres

CONTENTS = "the unspeakable"


@pytest_asyncio.fixture
async def client(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client as everybody has it, without the table."""
    async with PrismaAgentClient(database_url, "acme") as client:
        await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
        yield client


@pytest.fixture
def records(client: PrismaAgentClient) -> Iterator[list[Any]]:
    """What is told at INFO, once the client is open."""
    found: list[Any] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = found.append  # type: ignore[method-assign, assignment]
    logger = logging.getLogger("agentdb.access")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def _named(records: list[Any]) -> list[str]:
    return [record.getMessage() for record in records]


async def test_an_operation_is_told_when_it_is_over(client: PrismaAgentClient, records: list[Any]) -> None:
    """The message is its name; the rest stands beside."""
    memory_id = await client.memories.store(MemoryEntry(agent_id="scout-1", content=CONTENTS))

    (record,) = records
    told = {name: getattr(record, name) for name in ("organization_id", "agent_id", "user_name", "outcome")}
    assert (record.getMessage(), record.levelname) == ("memories.store", "INFO")
    assert told == {"organization_id": "acme", "agent_id": "scout-1", "user_name": None, "outcome": "ok"}
    assert (record.table_names, record.row_ids, record.row_count) == (("agent_memories",), (memory_id,), 1)
    assert record.duration_ms > 0


async def test_it_holds_no_contents(client: PrismaAgentClient, records: list[Any]) -> None:
    """Of what is stored, asked, refused, run as a task or sent as SQL."""
    await client.memories.store(MemoryEntry(agent_id="scout-1", content=CONTENTS, metadata={"k": CONTENTS}))
    await client.memories.search("scout-1", CONTENTS, where={"k": CONTENTS})
    with pytest.raises(InvalidInputError):
        await client.memories.search("scout-1", CONTENTS * 100_000)
    async with client.executions.track("scout-1", CONTENTS) as execution:
        execution.log(CONTENTS)
        execution.result = CONTENTS
    await client.driver.fetch(f"SELECT '{CONTENTS}'")
    await client.prisma.agentmemory.find_many(where={"content": CONTENTS})
    await client.patterns.record("scout-1", "prompt", CONTENTS)

    assert len(records) == 8
    assert [record for record in records if CONTENTS in str(vars(record))] == []


async def test_who_does_it(client: PrismaAgentClient, records: list[Any]) -> None:
    """The one that was said; else the agent that runs; else the one that the call names. Tasks inherit it."""

    async def count() -> None:
        await client.memories.count(agent_id="scout-1")

    with acting_as("clerk", user="mia"):
        await asyncio.gather(count(), asyncio.create_task(count()))
        with acting_as(user="tom"):
            await count()
    await asyncio.create_task(count(), context=contextvars.Context())
    async with client.executions.track("scout-1", "task"):
        await client.agents.list()
        with acting_as("clerk"):
            await count()
    await client.agents.list()

    who = [(record.agent_id, record.user_name) for record in records]
    assert who == [
        *[("clerk", "mia")] * 2,
        ("clerk", "tom"),
        *[("scout-1", None)] * 3,
        ("clerk", None),
        ("scout-1", None),
        (None, None),
    ]


async def test_what_is_put_off_is_done_in_the_same_name(client: PrismaAgentClient, records: list[Any]) -> None:
    """The end of an execution that could not be written at once: though nothing says any more whose it was."""
    with acting_as(user="mia"):
        put_off = as_now(client, "scout-1", client.agents.list)
        with acting_as("clerk"):
            said = as_now(client, "scout-1", client.agents.list)
    for work in (put_off, said):
        await asyncio.create_task(work(), context=contextvars.Context())

    assert [(record.agent_id, record.user_name) for record in records] == [("scout-1", "mia"), ("clerk", "mia")]


@pytest.mark.parametrize("wrong", [{"user": ""}, {"user": "x" * 256}, {"agent_id": ""}, {"user": "a\0b"}, {"user": 7}])
def test_nobody_is_no_user(wrong: dict[str, Any]) -> None:
    """It is refused before anything is done in that name."""
    with pytest.raises(InvalidInputError), acting_as(**wrong):
        pass


async def test_a_failure_is_told_by_its_class(client: PrismaAgentClient, records: list[Any]) -> None:
    """Also of a client that is not open; an agent that cannot be one is left out."""
    with pytest.raises(NotFoundError):
        await client.agents.get("nobody")
    with pytest.raises(InvalidInputError):
        await client.memories.list("x" * 300)

    assert [(record.getMessage(), record.outcome) for record in records] == [
        ("agents.get", "NotFoundError"),
        ("memories.list", "InvalidInputError"),
    ]
    assert records[1].agent_id is None


async def test_what_travels_together_is_told_apart(client: PrismaAgentClient, records: list[Any]) -> None:
    """Calls at the same moment: each with its own agent, tables and rows, though one statement is sent for many."""
    await client.agents.register(AgentConfig(name="clerk", category="SUPPORT", id="clerk-1"))
    records.clear()

    async def work(agent_id: str) -> None:
        for _ in range(3):
            async with client.executions.track(agent_id, "task"):
                await asyncio.gather(
                    *(client.memories.store(MemoryEntry(agent_id=agent_id, content=str(n))) for n in range(3)),
                    client.agents.list(),
                )

    await asyncio.gather(work("scout-1"), work("clerk-1"))

    told = {(record.getMessage(), record.agent_id) for record in records}
    assert told == {
        (name, agent_id)
        for name in ("executions.track", "memories.store", "agents.list", "executions.track.end")
        for agent_id in ("scout-1", "clerk-1")
    }
    assert [record for record in records if not (record.table_names and record.row_ids and record.row_count)] == []


@pytest.mark.parametrize("name", ["a\nINFO b", "a\x1b[2Kb", "a\r\u2028b"])
async def test_no_name_begins_a_line(client: PrismaAgentClient, records: list[Any], name: str) -> None:
    """Nor moves a terminal's cursor: it is escaped."""
    with acting_as(name, user=name):
        await client.agents.list()

    assert records[0].agent_id == records[0].user_name == name.encode("unicode_escape").decode()


async def test_logging_that_fails_is_no_failure_of_the_work(
    client: PrismaAgentClient, records: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A handler that raises is told on stderr, without what it raised."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(CONTENTS)

    handler = Broken()
    logging.getLogger("agentdb.access").addHandler(handler)
    try:
        assert len(await client.agents.list()) == 1
    finally:
        logging.getLogger("agentdb.access").removeHandler(handler)

    assert capsys.readouterr().err == "agentdb: an access could not be logged: RuntimeError\n"


async def test_records_may_have_our_names_already(client: PrismaAgentClient, records: list[Any]) -> None:
    """Those that the application's own factory of records gives them."""
    made = logging.getLogRecordFactory()

    def make(*args: Any, **named: Any) -> logging.LogRecord:
        record = made(*args, **named)
        record.organization_id = record.outcome = "theirs"
        return record

    logging.setLogRecordFactory(make)
    try:
        await client.agents.list()
    finally:
        logging.setLogRecordFactory(made)

    assert (records[0].organization_id, records[0].outcome) == ("acme", "ok")


async def test_a_cancelled_operation_is_told(client: PrismaAgentClient, records: list[Any]) -> None:
    """As one that failed."""
    task = asyncio.create_task(client.driver.fetch("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])

    assert [(record.getMessage(), record.outcome) for record in records] == [("sql.fetch", "CancelledError")]


async def test_a_task_that_outlives_an_operation_has_operations_of_its_own(
    client: PrismaAgentClient, records: list[Any]
) -> None:
    """Though it inherited the one in which it was started."""
    waits = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def later() -> None:
        await waits.wait()
        await client.agents.list()

    def progress(_count: int) -> None:
        tasks.append(asyncio.create_task(later()))

    lines = [line async for line in client.memories.export_lines()]
    await client.memories.import_lines(lines, progress=progress)
    async with client.executions.track("scout-1", "task"):
        tasks.append(asyncio.create_task(later()))
    waits.set()
    await asyncio.gather(*tasks)

    assert _named(records).count("agents.list") == len(tasks)


async def test_a_decorated_block_is_made_anew_for_each_call(client: PrismaAgentClient, records: list[Any]) -> None:
    """As that of contextlib, whether somebody listens or not."""

    @client.executions.track("scout-1", "task")
    async def work() -> None:
        pass

    await work()
    await work()

    assert _named(records) == ["executions.track", "executions.track.end"] * 2


async def test_housekeeping_is_told_at_debug(client: PrismaAgentClient, caplog: pytest.LogCaptureFixture) -> None:
    """Named after what it does."""
    caplog.set_level(logging.DEBUG, "agentdb.access")
    await client.memories.search("scout-1", "x")
    await client.executions.beat([])

    levels = {record.getMessage(): record.levelname for record in caplog.records}
    assert levels == {"memories.search": "INFO", "executions.beat": "DEBUG"}


async def test_what_a_base_class_does_is_told(client: PrismaAgentClient, records: list[Any]) -> None:
    """In the name of the agent, from its registration to its last task."""

    class Scout(EnhancedAgentBase):
        def __init__(self) -> None:
            super().__init__(AgentConfig(name="scout", category="SUPPORT"))

        async def execute_task(self, task: Any) -> Any:
            await self.remember("seen")

        def get_capabilities(self) -> list[str]:
            return []

    agent = Scout()
    await agent.initialize(client)
    await agent.execute_task("look")

    assert _named(records) == [
        "agents.register",
        "tools.register_all",
        "executions.track",
        "memories.store",
        "executions.track.end",
    ]
    assert {record.agent_id for record in records[1:]} == {agent.id}
