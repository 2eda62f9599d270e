"""Executions and steps that are encrypted, where AGENTDB_ENCRYPT says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from agentdb import (
    Agent,
    AgentConfig,
    ConfigurationError,
    ConflictError,
    EncryptionError,
    EnhancedAgentBase,
    InvalidInputError,
    PrismaAgentClient,
    Settings,
    Step,
    tool,
)
from tests.integration.client.encrypting import KEYS, POLICY, corpus, keyed

pytestmark = pytest.mark.postgres

SECRET = "tulip"


@pytest_asyncio.fixture
async def sealing(database_url: str) -> AsyncIterator[PrismaAgentClient]:
    """A client that encrypts with the key k1."""
    async with keyed(database_url, "k1") as client:
        yield client


async def everything(client: PrismaAgentClient, agent_id: str) -> str:
    """An execution that says the secret wherever something can be said, and failed; its id."""
    with pytest.raises(ValueError, match=SECRET):
        async with client.executions.track(agent_id, {"type": "question", "text": SECRET}) as execution:
            execution.log(f"the {SECRET}", flower=SECRET)
            await client.tools.register("pick")
            client.tools.note_call(
                "pick", agent_id, success=False, duration_ms=1, error=f"no {SECRET}", arguments={"flower": SECRET}
            )
            raise ValueError(f"a {SECRET} has no value")
    return execution.id


async def test_nothing_that_was_said_stands_in_the_database(
    sealing: PrismaAgentClient, agent: Agent, superuser_url: str
) -> None:
    """Tasks, results, errors, tracebacks, lines, data, arguments; one or many at once. What reports need does."""
    failed = await everything(sealing, agent.id)
    started = [sealing.executions.start(agent.id, [SECRET, n]) for n in range(20)]
    ids = [execution.id for execution in await asyncio.gather(*started)]
    await asyncio.gather(*(sealing.executions.finish(id, {SECRET: n}) for n, id in enumerate(ids)))
    await sealing.executions.log(failed, SECRET, data={"more": SECRET})
    await sealing.tools.record_call("pick", agent.id, success=False, duration_ms=1, error=SECRET)

    stored = await corpus(superuser_url)

    assert stored.count("k1") >= 20 * 2 + 2 + 3
    assert SECRET not in stored
    assert "question" in stored
    assert "ValueError" in stored


async def test_it_is_read_as_it_was_said(sealing: PrismaAgentClient, agent: Agent) -> None:
    """By get, list and tree, and in what start and finish return."""
    id = await everything(sealing, agent.id)
    started = await sealing.executions.start(agent.id, {"deep": [1, 2.5, 10**30, None, "é"]})
    done = await sealing.executions.finish(started.id, ["result"])

    failed = await sealing.executions.get(id)
    tree = await sealing.executions.tree(id)

    assert (started.task, done.task, done.result) == (done.task, {"deep": [1, 2.5, 10**30, None, "é"]}, ["result"])
    assert (failed.task, failed.error) == ({"type": "question", "text": SECRET}, f"a {SECRET} has no value")
    assert (failed.kind, failed.error_type, failed.result) == ("question", "ValueError", None)
    assert SECRET in (failed.traceback or "")
    assert tree.execution == failed
    assert [(step.message, step.data) for step in tree.steps] == [
        (f"the {SECRET}", {"flower": SECRET}),
        (f"no {SECRET}", {"arguments": {"flower": SECRET}}),
    ]
    assert await sealing.executions.list() == [done, failed]


async def test_an_agent_notices_nothing(sealing: PrismaAgentClient, superuser_url: str, agent: Agent) -> None:
    """Its tasks, tools, memories and attempts are recorded and read as ever."""

    class Gardener(EnhancedAgentBase):
        def __init__(self) -> None:
            super().__init__(AgentConfig(name="gardener", category="SUPPORT"))

        def get_capabilities(self) -> list[str]:
            return []

        async def execute_task(self, task: Any) -> Any:
            return await self.call_tool("smell", flower=task["flower"])

        @tool(description="Smell at it")
        async def smell(self, flower: str) -> str:
            return f"{flower} smells"

    gardener = Gardener()
    await gardener.initialize(sealing)
    assert await gardener.execute_task({"flower": SECRET}) == f"{SECRET} smells"
    await gardener.cleanup()

    (execution,) = await sealing.executions.list(gardener.id)
    (step,) = (await sealing.executions.tree(execution.id)).steps
    assert (execution.task, execution.result) == ({"flower": SECRET}, f"{SECRET} smells")
    assert step.data == {"arguments": {"flower": SECRET}}
    assert (await sealing.tools.stats("smell")).calls == 1
    assert SECRET not in await corpus(superuser_url)


async def test_plain_and_sealed_stand_side_by_side(
    sealing: PrismaAgentClient, client: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """The row says what it is, whatever the client's policy is; one that began plain may end sealed."""
    plain = await client.executions.start(agent.id, "plain")
    ended = await sealing.executions.finish(plain.id, "sealed")
    sealed = await sealing.executions.start(agent.id, "sealed")
    async with keyed(database_url, "k1", policy=frozenset()) as reading:
        back = await reading.executions.finish(sealed.id, "plain")
        assert [(found.task, found.result) for found in await reading.executions.list()] == [
            ("sealed", "plain"),
            ("plain", "sealed"),
        ]

    assert (ended.task, ended.result) == ("plain", "sealed")
    assert (back.task, back.result) == ("sealed", "plain")


async def test_without_the_key(
    sealing: PrismaAgentClient, client: PrismaAgentClient, agent: Agent, database_url: str
) -> None:
    """An error names the row, the key and the variable, in all ways of reading; figures need no key."""
    id = await everything(sealing, agent.id)
    async with keyed(database_url, "k2") as other:
        for reading in (client, other):
            for work in (reading.executions.get(id), reading.executions.list(), reading.executions.tree(id)):
                with pytest.raises(EncryptionError, match="AGENTDB_ENCRYPTION_KEYS") as caught:
                    await work
                assert caught.value.key_id == "k1"
                assert id in str(caught.value.place)
                assert SECRET not in str(caught.value)
    report = await client.executions.stats()
    assert (report.total.executions, report.total.failed) == (1, 1)
    assert (await client.tools.stats("pick")).calls == 1


async def test_a_list_that_need_not_open(sealing: PrismaAgentClient, agent: Agent, client: PrismaAgentClient) -> None:
    """Shows what is plain, and of what is sealed what figures need; with the key, all."""
    sealed = await everything(sealing, agent.id)
    await client.executions.finish((await client.executions.start(agent.id, "plain")).id, "done")

    last, first = await client.executions.list(must_open=False)
    assert (last.task, last.result) == ("plain", "done")
    assert (first.id, first.status) == (sealed, "failed")
    assert (first.task, first.result, first.error, first.traceback) == (None, None, None, None)
    assert first.error_type is not None
    assert await sealing.executions.list(must_open=False) == await sealing.executions.list()
    with pytest.raises(InvalidInputError, match="must_open"):
        await client.executions.list(must_open=None)  # type: ignore[arg-type]


async def test_an_end_is_written_whoever_can_read_the_beginning(
    sealing: PrismaAgentClient, client: PrismaAgentClient, agent: Agent
) -> None:
    """Its caller is told; the others that end at the same moment are not concerned."""
    sealed = await sealing.executions.start(agent.id, SECRET)
    plain = [await client.executions.start(agent.id, n) for n in range(5)]

    outcomes = await asyncio.gather(
        *(client.executions.finish(execution.id, "done") for execution in [*plain, sealed, *plain[:1]]),
        return_exceptions=True,
    )

    kinds = [outcome if isinstance(outcome, type) else type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["Execution"] * 5 + ["EncryptionError", "ConflictError"]
    assert (await sealing.executions.get(sealed.id)).result == "done"


@pytest.mark.parametrize("column", ["sealed_task", "sealed_result"])
async def test_a_value_that_was_moved_or_changed_does_not_open(
    column: str, sealing: PrismaAgentClient, agent: Agent, admin_url: str
) -> None:
    """Never garbage, never another row's."""
    first, second = [
        (await sealing.executions.finish((await sealing.executions.start(agent.id, n)).id, n)).id for n in range(2)
    ]
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(
            f"UPDATE agent_executions SET {column} = (SELECT o.{column} FROM agent_executions AS o WHERE o.id = $2) "
            "WHERE id = $1",
            first,
            second,
        )
    finally:
        await connection.close()

    with pytest.raises(EncryptionError, match=f"agent_executions.{column} of {first} does not open"):
        await sealing.executions.get(first)
    assert (await sealing.executions.get(second)).task == 1


async def test_redaction_and_cutting_come_first(database_url: str, agent: Agent) -> None:
    """What is sealed is what would have been kept."""
    settings = Settings(
        organization_id="acme", database_url=database_url, encryption_keys={"k1": KEYS["k1"]}, encrypt=POLICY,
        max_payload_bytes=1024,
    )  # fmt: skip
    async with PrismaAgentClient(
        settings=settings, redact=lambda value, _: "…" if value == SECRET else value
    ) as client:
        secret = await client.executions.start(agent.id, SECRET)
        long = await client.executions.start(agent.id, "x" * 5000)

        assert (await client.executions.get(secret.id)).task == "…"
        assert "[agentdb: cut, it had 5,000 characters]" in (await client.executions.get(long.id)).task


async def test_a_start_that_is_retried(sealing: PrismaAgentClient, agent: Agent, database_url: str) -> None:
    """Is one execution, whichever key is the newest by then; with another task it is a conflict."""
    first = await sealing.executions.start(agent.id, {"n": 1.0}, idempotency_key="monday")
    async with keyed(database_url, "k2", "k1") as later:
        assert await later.executions.start(agent.id, {"n": 1}, idempotency_key="monday") == first
        with pytest.raises(ConflictError):
            await later.executions.start(agent.id, {"n": 2}, idempotency_key="monday")


async def test_abandoned(sealing: PrismaAgentClient, agent: Agent) -> None:
    """The words with which one is abandoned are always the same, and stand there as they are."""
    started = await sealing.executions.start(agent.id, SECRET)

    assert await sealing.executions.sweep_abandoned(0) == 1

    found = await sealing.executions.get(started.id)
    assert (found.task, found.status) == (SECRET, "abandoned")
    assert found.error is not None


async def test_in_a_transaction(sealing: PrismaAgentClient, agent: Agent) -> None:
    """Steps that travel with the end are sealed, too."""
    async with sealing.transaction() as transaction, transaction.executions.track(agent.id, SECRET) as execution:
        execution.log(SECRET)

    rows = await sealing.driver.fetch("SELECT message, data, sealed FROM agent_steps")
    steps: list[Step] = (await sealing.executions.tree(execution.id)).steps
    assert [(row["message"], row["data"], row["sealed"][:4]) for row in rows] == [(None, "{}", b"\x01\x02k1")]
    assert [step.message for step in steps] == [SECRET]


async def test_another_organization_has_other_keys(sealing: PrismaAgentClient, agent: Agent, admin_url: str) -> None:
    """A row that is moved to another organization does not open there."""
    started = await sealing.executions.start(agent.id, SECRET)
    other = sealing.for_organization("other")
    await other.agents.register(AgentConfig(name="scout", category="SUPPORT", id=agent.id))
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("UPDATE agent_executions SET organization_id = 'other'")
    finally:
        await connection.close()

    with pytest.raises(EncryptionError, match="does not open"):
        await other.executions.get(started.id)


@pytest.mark.parametrize(
    ("policy", "keys", "said"),
    [({"executions"}, {}, "there is no key"), ({"execution"}, {"k1": KEYS["k1"]}, "expected any of executions, tools")],
)
def test_a_policy_that_cannot_be_kept_is_refused(policy: set[str], keys: dict[str, bytes], said: str) -> None:
    """When the client is made: what was meant to be sealed would stay plain."""
    settings = Settings(organization_id="acme", encrypt=frozenset(policy), encryption_keys=keys)

    with pytest.raises(ConfigurationError, match=said):
        PrismaAgentClient(settings=settings)
