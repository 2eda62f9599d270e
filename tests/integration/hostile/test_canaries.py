"""Secrets with a mark that is easy to find, everywhere something can fail; and the mark is nowhere that is let out."""

from __future__ import annotations

import asyncio
import base64
import logging
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio
from pydantic import BaseModel, ValidationError

import agentdb as package
from agentdb import (
    AgentConfig,
    AgentDBError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    DatabaseError,
    EmbeddingError,
    EncryptionError,
    EnhancedAgentBase,
    InvalidArgumentError,
    InvalidInputError,
    MemoryEntry,
    MetricPoint,
    NotConnectedError,
    PoolTimeoutError,
    PrismaAgentClient,
    QueryTimeoutError,
    RetryPolicy,
    Settings,
    TokenUsage,
    ToolDefinition,
    tool,
)
from agentdb.postgres.embedded import EmbeddedServer
from agentdb.postgres.url import parse_url
from agentdb.prisma_client import errors
from agentdb.security.encryption import KeyRing
from tests.conftest import Database
from tests.integration.cli.conftest import Command, agentdb
from tests.integration.hostile.emitted import Emitted
from tests.integration.hostile.witness import superuser

__all__ = ["agentdb"]  # a fixture

pytestmark = pytest.mark.postgres

PASSWORD: Final = "canary4password8Kq"
CONTENT: Final = "canary4content8Kq"
METADATA: Final = "canary4metadata8Kq"
TASK: Final = "canary4task8Kq"
RESULT: Final = "canary4result8Kq"
FAILURE: Final = "canary4failure8Kq"
ARGUMENT: Final = "canary4argument8Kq"
QUERY: Final = "canary4query8Kq"
KEY: Final = b"canary4key8Kq" + bytes(range(19))
OTHER_KEY: Final = b"canary4other8Kq" + bytes(range(17))


def _all() -> Emitted:
    """Return what finds any of the canaries, the keys in every spelling."""
    keys = {
        f"{name} {spelling}": text
        for name, key in (("key", KEY), ("other key", OTHER_KEY))
        for spelling, text in (
            ("as text", key[:13].decode()),
            ("in Base64", base64.b64encode(key).decode()[:16]),
            ("as hex", key.hex()[:24]),
            ("as a list", ", ".join(map(str, key[:10]))),
        )
    }
    return Emitted(
        password=PASSWORD,
        content=CONTENT,
        metadata=METADATA,
        task=TASK,
        result=RESULT,
        failure=FAILURE,
        argument=ARGUMENT,
        query=QUERY,
        **keys,
    )


def _settings(url: str, **more: Any) -> Settings:
    settings = Settings(
        "acme",
        url,
        encryption_keys={"new": KEY},
        encrypt=frozenset({"executions", "tools"}),
        access_log=True,
    )
    return replace(settings, **more)


class Embedder:
    """Makes vectors, unless it is told to fail with what it was given."""

    model, dimensions = "m", 2

    def __init__(self, error: Callable[[str], Exception] | None = None) -> None:
        self._error = error

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each of *texts*."""
        if self._error is not None:
            raise self._error(f"the service says: bad input: {texts[0]}") from ValueError(f"inner {texts[0]}")
        return [[1.0, 0.5] for _ in texts]


def _secret(**more: Any) -> MemoryEntry:
    return MemoryEntry(
        **{"agent_id": "scout", "content": CONTENT, "metadata": {"who": METADATA}, "sensitive": True, **more}
    )


@pytest_asyncio.fixture
async def guarded(server: EmbeddedServer, database: Database) -> AsyncIterator[str]:
    """The URL of a login whom the server asks for a password, which is a canary."""
    rules = server.data_dir / "postgres" / "pg_hba.conf"
    before = rules.read_text()
    connection = await superuser(database)
    try:
        await connection.execute(f"CREATE ROLE canary_app LOGIN PASSWORD '{PASSWORD}' IN ROLE agentdb_app")
        rules.write_text(f"local all canary_app scram-sha-256\n{before}")
        await connection.execute("SELECT pg_reload_conf(), pg_sleep(0.2)")
        parts = urlsplit(database.url)
        yield f"postgresql://canary_app:{PASSWORD}@localhost{parts.path}?{parts.query}"
        rules.write_text(before)
        await connection.execute("SELECT pg_reload_conf(); DROP ROLE canary_app")
    finally:
        await connection.close()


def test_what_is_let_out_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """Each way out: a message, what hangs on a record, a chain of errors, a warning, a line on stderr, a repr."""
    ways: list[Callable[[Emitted], Any]] = [
        lambda _: logging.getLogger("agentdb.client").debug("x %s", PASSWORD),
        lambda _: logging.getLogger("agentdb.access").debug("x", extra={"y": {"z": [PASSWORD]}}),
        lambda _: warnings.warn(PASSWORD, stacklevel=1),
        lambda _: sys.stderr.write(PASSWORD),
        lambda emitted: emitted.see([PASSWORD]),
    ]
    for way in ways:
        emitted = _all()
        with emitted.gathering(capsys):
            way(emitted)
        assert len(emitted.found) == 1
    emitted = _all()
    outer = RuntimeError("outer")
    outer.__cause__ = ValueError(PASSWORD)
    emitted.error(outer)
    assert emitted.found


async def test_the_main_path_lets_nothing_out(guarded: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that does everything, with everything listened to; and the repr of everything it gets."""
    emitted = _all()
    with emitted.gathering(capsys):
        settings = _settings(guarded, embed_sensitive=True)
        emitted.see(settings, parse_url(guarded))
        async with PrismaAgentClient(settings=settings, embedder=Embedder()) as client:
            emitted.see(client, client.settings, client.key_ring, client.driver, client.driver, client.prisma)
            emitted.see(await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout")))
            entry = _secret()
            memory_id = await client.memories.store(entry)
            emitted.see(entry, await client.memories.get(memory_id), await client.memories.list("scout"))
            emitted.see(await client.memories.search("scout", QUERY), await client.retrieve_memories("scout", QUERY))
            emitted.see(await client.memories.update(memory_id, importance=0.9))
            emitted.see(await client.memories.history(memory_id))
            await client.tools.register("look_up", "Looks up.", {"secret": ARGUMENT})
            async with client.executions.track("scout", {"task": TASK}) as execution:
                execution.log(TASK, reason=TASK)
                execution.result = {"result": RESULT}
                client.tools.note_call(
                    "look_up", "scout", success=False, duration_ms=1, error=FAILURE, arguments={"x": ARGUMENT}
                )
                emitted.see(execution)
            emitted.see(await client.executions.get(execution.id), await client.executions.tree(execution.id))
            failed = await client.executions.start("scout", TASK)
            emitted.see(failed, await client.executions.fail(failed.id, RuntimeError(FAILURE)))
            emitted.see(await client.executions.list("scout"), await client.executions.stats())
            emitted.see(await client.tools.list(), await client.tools.stats("look_up"))
            health = await client.health_check()
            emitted.see(health, health.model_dump(), health.model_dump_json())
            emitted.see(await client.verify_access_log(), await client.access_log.list())
            async with client.transaction() as transaction:
                emitted.see(transaction, transaction.driver)
                await transaction.memories.store(_secret(content=CONTENT + "2"))
            emitted.see(await client.prisma.agentmemory.find_many(), await client.prisma.agentexecution.find_many())
            emitted.see(await client.rotate_keys())
            assert [line async for line in client.export_lines(sealed="plain")]
            emitted.see(await client.erase(agent_id="scout", dry_run=True))
    assert emitted.found == []


async def test_connecting_lets_no_password_out(
    guarded: str, database: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Wrong passwords, servers that are not there, and every way to misspell a URL."""
    emitted = _all()
    with emitted.gathering(capsys):
        wrong = guarded.replace("canary_app:", "canary_app:wrong-")
        unreachable = f"postgresql://u:{PASSWORD}@localhost:1/x?connect_timeout=1"
        nowhere = f"postgresql://u:{PASSWORD}@/x?host={quote(str(tmp_path))}"
        unknown = guarded.replace("canary_app:", "nobody:")
        missing = guarded.replace(f"/{database.name}?", "/nothing?")
        for url in (wrong, unreachable, nowhere, missing, unknown + "x", f"postgresql://u:{PASSWORD}@db.invalid/x"):
            with emitted.expecting(ConnectionFailedError):
                await PrismaAgentClient(url, "acme").connect()
        for url in (
            f"u:{PASSWORD}@localhost/x",
            f"{PASSWORD}",
            f"mysql://u:{PASSWORD}@localhost/x",
            f"postgresql://u:{PASSWORD}/@localhost/x",
            f"postgresql://u:{PASSWORD}@@localhost/x",
            f"postgresql://u:{PASSWORD}#@localhost/x",
            f"postgresql://u:%zz{PASSWORD}%ff@localhost/x",
            f"postgresql://u:{PASSWORD}%00@localhost/x",
            f"postgresql://u:a:{PASSWORD}@[::1/x",
            f"postgresql://localhost:{PASSWORD}/x",
            f"postgresql://localhost/x?password={PASSWORD}&port={PASSWORD}",
            f"postgresql://u:{PASSWORD}@localhost/x?sslmode={PASSWORD}",
            f"postgresql://u:{PASSWORD}@localhost/x?connection_limit={PASSWORD}",
            f"postgresql://u:{PASSWORD}@localhost/x?options={PASSWORD}",
            f"postgresql://u:{PASSWORD}@localhost/x?sslcert=/nothing&sslkey=/nothing",
            f"postgresql://u:{PASSWORD}@localhost/x?sslrootcert=/nothing/{PASSWORD}"[:-20],
            f"postgresql://u:{PASSWORD}@a,b/x",
        ):
            with emitted.expecting(ConfigurationError):
                await PrismaAgentClient(url, "acme").connect()
        with emitted.expecting(ConfigurationError):
            PrismaAgentClient([PASSWORD], "acme")  # type: ignore[arg-type]
        for keys in (
            base64.b64encode(KEY).decode(),
            f"k:{PASSWORD}",
            f"k:{base64.b64encode(KEY).decode()}x",
            f"{base64.b64encode(KEY).decode()}:new",
            ":::",
        ):
            with emitted.expecting(ConfigurationError):
                Settings.load(environment={"AGENTDB_ENCRYPTION_KEYS": keys})
    assert emitted.found == []


@pytest.mark.parametrize("role", ["agentdb_app", "agentdb_owner"])
async def test_refused_statements_let_no_row_out(
    role: str, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the server says of a row in its DETAIL stays out of tracebacks, also where no policy makes it say less."""
    emitted = _all()
    url = database.url if role == "agentdb_app" else database.admin_url
    with emitted.gathering(capsys):
        async with PrismaAgentClient(settings=_settings(url, encryption_keys={}, encrypt=frozenset())) as client:
            await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
            await client.memories.store(_secret())
            with emitted.expecting(ConflictError):
                await client.memories.store(_secret(), on_duplicate="raise")
            with emitted.expecting(ConflictError):
                await client.memories.store_many([_secret(content=CONTENT + "2"), _secret()], on_duplicate="raise")
            one, other = [await client.memories.store(_secret(content=CONTENT + end)) for end in "34"]
            with emitted.expecting(ConflictError):
                await client.memories.update(one, content=CONTENT + "4")
            with emitted.expecting(ConflictError):
                await client.memories.store(_secret(id=other, content=CONTENT + "5"))
            with emitted.expecting(package.NotFoundError):
                await client.memories.store(_secret(agent_id="nobody"))
            for column, value in (("importance", "2"), ("memory_type", "''"), ("content_hash", "''")):
                with emitted.expecting(DatabaseError):
                    await client.driver.execute(f"UPDATE agent_memories SET {column} = {value} WHERE id = $1", (one,))
            execution = await client.executions.start("scout", {"task": TASK})
            with emitted.expecting(DatabaseError):
                await client.driver.execute(
                    "UPDATE agent_executions SET status = 'lost' WHERE id = $1", (execution.id,)
                )
            prisma: Any = client.prisma
            for data in ({"importance": 2.0}, {"memoryType": ""}):
                with emitted.expecting(errors.PrismaError):
                    await prisma.agentmemory.update(where={"id": one}, data=data)
            for columns, record in ((["content"], (CONTENT,)), (["importance"], (CONTENT,)), (["id"], (CONTENT,))):
                with emitted.expecting(DatabaseError):
                    await client.driver.copy("agent_memories", columns, [record])
            with emitted.expecting(DatabaseError):
                async with client.transaction() as transaction:
                    with emitted.expecting(DatabaseError):
                        await transaction.driver.execute("UPDATE agent_memories SET importance = 2")
                    with emitted.expecting(AgentDBError):
                        await transaction.memories.get(one)
    assert emitted.found == []


async def test_arguments_that_do_not_fit_are_not_repeated(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by the models, nor by a method, nor by the library below when raw SQL is given what does not fit."""
    emitted = _all()
    with emitted.gathering(capsys):
        async with PrismaAgentClient(settings=_settings(database.url)) as client:
            for type_ in ("int", "uuid", "timestamptz", "numeric", "bool", "inet", "float8", "int[]", "bytea", "date"):
                with emitted.expecting(InvalidArgumentError):
                    await client.driver.fetch(f"SELECT $1::{type_}", (CONTENT,))
            with emitted.expecting(InvalidArgumentError):
                await client.driver.fetch("SELECT $1::text", ([CONTENT],))
            with emitted.expecting(InvalidArgumentError):
                await client.driver.fetch("SELECT $1::text", (CONTENT, CONTENT))
            bad: list[dict[str, Any]] = [
                {"content": CONTENT + "\0"},
                {"content": CONTENT * 100_000},
                {"metadata": {"x": METADATA, "y": object()}},
                {"metadata": {"x": METADATA, "y": float("nan")}},
                {"metadata": {"x": METADATA + "\ud800"}},
                {"metadata": METADATA},
                {"importance": CONTENT},
                {"memory_type": CONTENT * 100},
                {"visibility": CONTENT},
                {"expires_at": CONTENT},
                {"embedding": [CONTENT]},
                {"id": CONTENT},
                {"sensitive": CONTENT},
                {"idempotency_key": CONTENT * 100},
            ]
            for values in bad:
                with emitted.expecting(ValidationError):
                    _secret(**values)
            entry = _secret()
            entry.metadata["bad"] = {METADATA}
            for store in (client.memories.store(entry), client.memories.store_many([entry])):
                with emitted.expecting(InvalidInputError):
                    await store
            calls: list[Callable[[], Any]] = [
                lambda: client.memories.update(client.organization_id, content=CONTENT),
                lambda: client.memories.update(package.Memory.__name__, contents=CONTENT),  # type: ignore[call-arg]
                lambda: client.memories.search("scout", QUERY * 10_000),
                lambda: client.memories.search("scout", where={"x": {"y": CONTENT}}),
                lambda: client.memories.search("scout", where={"x": {"contains": CONTENT * 1_000}}),
                lambda: client.executions.start("scout", {"task": TASK, "bad": object()}),
                lambda: client.executions.start("scout", TASK, kind=TASK * 100),
                lambda: client.tools.record_call(
                    "x", "y", success=False, duration_ms=1, error=FAILURE, arguments={"x": {ARGUMENT}}
                ),
                lambda: client.tools.register("x", parameters={"x": {ARGUMENT}}),
                lambda: client.metrics.record("scout", "x", CONTENT),  # type: ignore[arg-type]
                lambda: client.patterns.record("scout", "x", {CONTENT}),
                lambda: client.memories.import_lines([f'{{"content": "{CONTENT}"}}']),
                lambda: client.import_lines([f'{{"content": "{CONTENT}"}}']),
                lambda: client.prices.set(CONTENT * 100, input=1, output=1),
            ]
            for call in calls:
                with emitted.expecting(AgentDBError):
                    await call()
            models: list[type[BaseModel]] = [AgentConfig, MetricPoint, ToolDefinition, TokenUsage, RetryPolicy]
            for model in models:
                with emitted.expecting(ValidationError):
                    model(**{name: {CONTENT} for name in (*model.model_fields, "more")})
    assert emitted.found == []


async def test_keys_that_do_not_fit_let_nothing_out(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """No key, another key, another key of the same name: an error that names the key's id and the row."""
    emitted = _all()
    with emitted.gathering(capsys):
        async with PrismaAgentClient(settings=_settings(database.url)) as client:
            await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
            memory_id = await client.memories.store(_secret())
            execution = await client.executions.start("scout", {"task": TASK})
            emitted.see(await client.executions.finish(execution.id, {"result": RESULT}))
        for keys in ({}, {"new": OTHER_KEY}, {"other": OTHER_KEY}):
            settings = _settings(database.url, encryption_keys=keys, encrypt=frozenset())
            async with PrismaAgentClient(settings=settings) as client:
                emitted.see(client, client.key_ring)
                reads: list[Callable[[], Awaitable[Any]]] = [
                    partial(client.memories.get, memory_id),
                    partial(client.memories.list, "scout"),
                    partial(client.executions.get, execution.id),
                    partial(client.executions.tree, execution.id),
                ]
                for read in reads:
                    with emitted.expecting(EncryptionError):
                        await read()
                if keys:
                    emitted.see(await client.rotate_keys())
        with emitted.expecting(ConfigurationError):
            PrismaAgentClient(settings=_settings(database.url, encryption_keys={}))
        settings = _settings(database.url, encryption_keys={}, encrypt=frozenset(), require_encryption=True)
        async with PrismaAgentClient(settings=settings) as client:
            with emitted.expecting(EncryptionError):
                await client.memories.store(_secret())
        emitted.see(KeyRing({"new": KEY, "old": OTHER_KEY}))
    assert emitted.found == []


async def test_failing_embedders_let_no_text_out(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Though their own errors repeat what they were given."""
    emitted = _all()
    settings = _settings(database.url, embed_sensitive=True, embed_attempts=2)
    with emitted.gathering(capsys):
        for error in (ValueError, OSError, RuntimeError, TimeoutError, KeyError):
            async with PrismaAgentClient(settings=settings, embedder=Embedder(error)) as client:
                await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
                memory_id = await client.memories.store(_secret(content=f"{CONTENT} {error.__name__}"))
                stored = await client.memories.get(memory_id)
                assert stored.embedding_error
                emitted.see(stored)
                emitted.texts.append(("embedding_error", stored.embedding_error))
                found = await client.memories.search("scout", QUERY)
                emitted.texts.append(("embedding_error of a search", str(found.embedding_error)))
                with emitted.perhaps(EmbeddingError):
                    emitted.see(await client.memories.reembed(only_missing=True))
                assert client.embedding is not None
                with emitted.expecting(EmbeddingError):
                    await client.embedding.embed([CONTENT])
    assert emitted.found == []


class Agent(EnhancedAgentBase):
    """Fails with what it was given."""

    def __init__(self) -> None:
        super().__init__(AgentConfig(name="scout", category="SUPPORT"))

    def get_capabilities(self) -> list[str]:
        """None."""
        return []

    async def execute_task(self, task: Any) -> Any:
        """Call a tool, which fails."""
        return await self.look_up(task["task"])

    @tool
    async def look_up(self, word: str) -> str:
        """Fail."""
        raise RuntimeError(f"{FAILURE} of {word}")


async def test_failing_agents_let_out_no_more_than_their_own_error(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task's error reaches its caller; neither logging nor a repr says what was in it."""
    emitted = _all()

    def redact(value: Any, field: str) -> Any:
        raise RuntimeError(f"cannot redact {value}")

    with emitted.gathering(capsys):
        for hook in (None, redact):
            async with PrismaAgentClient(settings=_settings(database.url), redact=hook) as client:
                agent = Agent()
                await agent.initialize(client)
                with pytest.raises(RuntimeError, match=FAILURE):
                    await agent.execute_task({"task": TASK})
                emitted.see(agent, await client.executions.list(agent.id))
                await agent.cleanup()
    assert emitted.found == []


async def test_what_breaks_off_lets_nothing_out(
    guarded: str, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sessions that are ended, time-outs, a full pool, a client that is closed: with all that is logged of it."""
    emitted = _all()
    with emitted.gathering(capsys):
        settings = _settings(f"{guarded}&connection_limit=1&pool_timeout=0.05&socket_timeout=0.2", flush_seconds=0.01)
        client = PrismaAgentClient(settings=settings)
        with emitted.expecting(NotConnectedError):
            await client.memories.store(_secret())
        async with client:
            await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
            with emitted.expecting(QueryTimeoutError):
                await client.driver.fetch("SELECT pg_sleep(5), $1::text", (CONTENT,))
            async with client.transaction():
                with emitted.expecting(PoolTimeoutError):
                    await client.memories.store(_secret())
            connection = await superuser(database)
            try:
                end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'canary_app'"
                with emitted.expecting(AgentDBError):
                    async with client.transaction() as transaction:
                        await transaction.memories.store(_secret())
                        await connection.execute(end)
                        await transaction.memories.store(_secret(content=CONTENT + "2"))
                await connection.execute("ALTER ROLE canary_app NOLOGIN")
                await connection.execute(end)
                with emitted.expecting(AgentDBError):
                    await client.memories.store(_secret(content=CONTENT + "3"))
                with emitted.expecting(AgentDBError):
                    async with client.executions.track("scout", {"task": TASK}):
                        pass
                client.tools.note_call(
                    "x", "scout", success=False, duration_ms=1, error=FAILURE, arguments={"x": ARGUMENT}
                )
                await asyncio.sleep(0.1)
            finally:
                await connection.close()
    assert emitted.found == []


def test_commands_let_nothing_out(
    guarded: str, database: Database, agentdb: Command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With and without --json, when all is well and when nothing is."""
    emitted = _all()
    keys = f"new:{base64.b64encode(KEY).decode()}"
    variables = {
        "DATABASE_URL": guarded,
        "AGENTDB_MIGRATION_URL": database.admin_url,
        "ORGANIZATION_ID": "acme",
        "AGENTDB_ENCRYPTION_KEYS": keys,
        "AGENTDB_ENCRYPT": "executions,tools",
        "AGENTDB_ACCESS_LOG": "1",
    }

    async def fill() -> None:
        async with PrismaAgentClient(settings=_settings(guarded)) as client:
            await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
            await client.memories.store(_secret())
            async with client.executions.track("scout", {"task": TASK}) as execution:
                execution.result = RESULT

    asyncio.run(fill())
    exported = tmp_path / "export"
    broken = tmp_path / "broken"
    broken.write_text(f'{{"content": "{CONTENT}"}}\n')
    commands = [
        ["doctor"],
        ["doctor", "--json"],
        ["stats"],
        ["stats", "--json"],
        ["sweep", "--json"],
        ["rotate-keys", "--dry-run"],
        ["rotate-keys", "--json"],
        ["audit", "verify"],
        ["audit", "list"],
        ["audit", "list", "--json"],
        ["migrate", "status"],
        ["index"],
        ["export"],
        ["export", "--sealed", "keep", "-o", str(exported), "--force"],
        ["import", str(exported)],
        ["import", str(broken)],
        ["erase", "--subject", "somebody", "--dry-run"],
        ["erase", "--agent", "scout"],
        ["reembed", "--embedder", "nothing:nothing"],
        ["nothing"],
    ]
    changes: list[dict[str, str]] = [
        {},
        {"AGENTDB_ENCRYPTION_KEYS": f"new:{base64.b64encode(OTHER_KEY).decode()}"},
        {"AGENTDB_ENCRYPTION_KEYS": "", "AGENTDB_ENCRYPT": ""},
        {"AGENTDB_ENCRYPTION_KEYS": keys[:-3]},
        {"AGENTDB_ENCRYPT": "everything"},
        {"DATABASE_URL": guarded.replace("canary_app:", "canary_app:wrong-")},
        {"DATABASE_URL": f"postgresql://u:{PASSWORD}@localhost:1/x"},
        {"DATABASE_URL": f"postgresql://u:{PASSWORD}/x@localhost/x", "AGENTDB_MIGRATION_URL": f"u:{PASSWORD}"},
        {"ORGANIZATION_ID": ""},
    ]
    with emitted.gathering(capsys):
        for change in changes:
            for command in commands:
                outcome = agentdb(*command, **{**variables, **change})
                assert outcome.status in (0, 1, 2)
                emitted.texts.append((f"{command} with {sorted(change)}", outcome.out + outcome.err))
    assert emitted.found == []
