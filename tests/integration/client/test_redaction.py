"""A secret in every payload of executions and steps, and no trace of it in the whole database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agentdb import (
    AgentConfig,
    ConfigurationError,
    EnhancedAgentBase,
    PrismaAgentClient,
    Settings,
    get_agent_client,
    tool,
)
from agentdb.client import sharing
from agentdb.models import RetryPolicy
from tests.conftest import Database

pytestmark = pytest.mark.postgres

SECRET = "vault-key-4711"
HALF = "vault-key"
FIELDS = {"task", "result", "error", "traceback", "message", "data", "settings", "arguments"}


class Redaction:
    """Takes the secret out of texts and keys, wherever they are, and notes the fields it was asked about."""

    def __init__(self) -> None:
        self.fields: set[str] = set()

    def __call__(self, value: Any, field: str) -> Any:
        self.fields.add(field)
        return self._without(value)

    def _without(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(SECRET, "***")
        if isinstance(value, dict):
            return {self._without(key): self._without(item) for key, item in value.items()}
        return [self._without(item) for item in value] if isinstance(value, list) else value


def _fail(value: Any, field: str) -> Any:
    raise RuntimeError(f"cannot redact {value}")


async def _found(database: Database, text: str) -> list[str]:
    """Return the tables of which any row holds *text* in any column, as their owner's superuser sees them."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert {"agent_executions", "agent_steps"} <= {row["tablename"] for row in tables}
        return [
            row["tablename"]
            for row in tables
            if await connection.fetchval(
                f"SELECT EXISTS (SELECT FROM {row['tablename']} AS t WHERE strpos(to_jsonb(t)::text, $1) > 0)", text
            )
        ]
    finally:
        await connection.close()


PAYLOAD = {"type": SECRET, "deep": [{"password": SECRET}], SECRET: 1, "long": "x" * 2_000 + SECRET}


async def _use_everything(client: PrismaAgentClient) -> None:
    """Write a payload by every call of the client that takes one."""
    agent = (await client.agents.register(AgentConfig(name="scout", category="SUPPORT"))).id
    await client.tools.register("look_up")
    executions = client.executions
    error = ValueError(f"{'x' * 9_995}{SECRET}")

    started = await executions.start(agent, PAYLOAD, settings=PAYLOAD)
    await executions.log(started.id, f"is {SECRET}", data=PAYLOAD)
    await client.tools.record_call(
        "look_up", agent, success=False, duration_ms=1, error=error, execution_id=started.id, arguments=PAYLOAD
    )
    await executions.finish(started.id, PAYLOAD, settings=PAYLOAD)
    await executions.fail((await executions.start(agent, SECRET)).id, error, settings=PAYLOAD)
    await executions.fail((await executions.start(agent, [PAYLOAD])).id, f"words with {SECRET}")
    await client.start_execution(agent, PAYLOAD)
    with pytest.raises(ValueError, match=SECRET):
        async with executions.track(agent, PAYLOAD, settings=PAYLOAD) as execution:
            execution.log(SECRET, "error", secret=SECRET, **{SECRET: 1})
            client.tools.note_call("look_up", agent, success=False, duration_ms=1, error=SECRET, arguments=PAYLOAD)
            raise error
    with pytest.raises(asyncio.CancelledError):
        async with executions.track(agent, PAYLOAD) as execution:
            execution.result = PAYLOAD
            raise asyncio.CancelledError(SECRET)
    async with executions.track(agent, PAYLOAD) as execution:
        execution.settings["prompt"] = SECRET
        execution.result = PAYLOAD
    async with client.transaction() as transaction, transaction.executions.track(agent, PAYLOAD) as execution:
        execution.log(SECRET)
        execution.result = SECRET
    client.tools.note_call("look_up", agent, success=False, duration_ms=1, error=error, arguments={"word": SECRET})


class Agent(EnhancedAgentBase):
    """Fails once, and calls a tool that fails."""

    def __init__(self) -> None:
        super().__init__(
            AgentConfig(name="agent", category="SUPPORT", retry=RetryPolicy(attempts=2, delay_seconds=0.001))
        )
        self.tries = 0

    async def execute_task(self, task: Any) -> Any:
        self.tries += 1
        self.execution.log(f"try {SECRET}")
        self.execution.settings["prompt"] = SECRET
        if self.tries == 1:
            raise ValueError(SECRET)
        for name in ("look_up", "refuse"):
            with contextlib.suppress(LookupError):
                await self.call_tool(name, word=SECRET)
        return {"answer": SECRET, "object": object()}

    def get_capabilities(self) -> list[str]:
        return []

    @tool
    async def look_up(self, word: str) -> str:
        return word

    @tool
    async def refuse(self, word: str) -> str:
        raise LookupError(word)


@pytest.mark.parametrize("at_most", [1024, 262_144])
async def test_nothing_of_a_secret_is_written(database: Database, at_most: int) -> None:
    """Whichever call it came by, and wherever its payload is cut: not even half of it."""
    redaction = Redaction()
    settings = Settings("acme", database_url=database.url, max_payload_bytes=at_most)
    async with PrismaAgentClient(settings=settings, redact=redaction) as client:
        await _use_everything(client)
        agent = Agent()
        await agent.initialize(client)
        await agent.execute_task({"secret": SECRET, "type": SECRET})
        await agent.cleanup()
        tree = await client.executions.tree((await client.executions.list((await client.agents.list())[0].id))[0].id)

    assert tree.steps
    assert await _found(database, HALF) == []
    assert {"agent_executions", "agent_steps"} <= set(await _found(database, "***"))
    assert redaction.fields == FIELDS


async def test_the_test_finds_what_is_there(database: Database) -> None:
    """Without redaction the same calls leave it in both tables."""
    async with PrismaAgentClient(database.url, "acme") as client:
        await _use_everything(client)

    assert set(await _found(database, SECRET)) == {"agent_executions", "agent_steps"}


async def test_a_redaction_that_fails_lets_nothing_through(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent does not notice; marks are kept, and the log does not tell it either."""
    with caplog.at_level(logging.DEBUG):
        async with PrismaAgentClient(database.url, "acme", redact=_fail) as client:
            await _use_everything(client)
            running = await client.executions.list(status="running")

    assert len(running) == 1
    assert running[0].task == "[agentdb: redaction failed, left out]"
    assert await _found(database, HALF) == []
    assert HALF not in caplog.text
    fields = {getattr(record, "field", None) for record in caplog.records}
    assert fields >= FIELDS


async def test_a_shared_client_redacts_for_all(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Agents that open the shared client by themselves are redacted, too."""
    monkeypatch.setattr(sharing, "_clients", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
    redaction = Redaction()
    client = get_agent_client(redact=redaction)

    async with client, Agent() as agent:
        await agent.execute_task(SECRET)

    assert redaction.fields == FIELDS
    assert await _found(database, HALF) == []


async def test_an_async_hook_is_refused_when_the_client_is_made(database: Database) -> None:
    """Also when it is set later."""

    async def redact(value: Any, field: str) -> Any:
        return value

    with pytest.raises(ConfigurationError, match="async"):
        PrismaAgentClient(database.url, "acme", redact=redact)
    client = PrismaAgentClient(database.url, "acme")
    with pytest.raises(ConfigurationError, match="async"):
        client.redact = redact
    with pytest.raises(ConfigurationError, match="redact"):
        PrismaAgentClient(database.url, "acme", redact="all")  # type: ignore[arg-type]
