"""`agentdb rotate-keys`."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.cli.conftest import Command, Outcome
from tests.integration.client.encrypting import KEYS, keyed
from tests.waiting import until

pytestmark = pytest.mark.postgres

T = TypeVar("T")


def with_keys(database: Database, keys: str, work: Callable[[PrismaAgentClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with keyed(database.url, *keys.split()) as client:
            return await work(client)

    return asyncio.run(run())


def variables(database: Database, keys: str) -> dict[str, str]:
    """The environment of a command that has these keys, the newest first."""
    ring = ",".join(f"{key}:{base64.b64encode(KEYS[key]).decode()}" for key in keys.split())
    return {"DATABASE_URL": database.url, "ORGANIZATION_ID": "acme", "AGENTDB_ENCRYPTION_KEYS": ring}


def rotate(agentdb: Command, database: Database, keys: str, *arguments: str, **more: str) -> Outcome:
    return agentdb("rotate-keys", *arguments, **variables(database, keys), **more)


async def store(client: PrismaAgentClient, count: int = 3) -> None:
    """As many sensitive memories and executions."""
    await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout"))
    entries = [MemoryEntry(agent_id="scout", content=f"tulip {n}", sensitive=True) for n in range(count)]
    await client.memories.store_many(entries)
    await asyncio.gather(*(client.executions.start("scout", f"tulip {n}") for n in range(count)))


async def read(client: PrismaAgentClient) -> tuple[set[str], set[str]]:
    memories = await client.memories.list("scout", limit=1000)
    executions = await client.executions.list(limit=1000)
    return {memory.content for memory in memories}, {execution.task for execution in executions}


def test_seals_anew(database: Database, agentdb: Command) -> None:
    """Says beforehand what there is to do, then what was done and which keys are in use."""
    with_keys(database, "k1", store)

    planned = rotate(agentdb, database, "k2 k1", "--dry-run")
    done = rotate(agentdb, database, "k2 k1")
    again = rotate(agentdb, database, "k2 k1", "--json")

    assert (planned.status, done.status, again.status) == (0, 0, 0)
    assert planned.out.splitlines() == [
        "agent_memories: would encrypt 3 rows with the key 'k2'",
        "agent_executions: would encrypt 3 rows with the key 'k2'",
        "agent_steps: would encrypt 0 rows with the key 'k2'",
        "agent_tools: would encrypt 0 rows with the key 'k2'",
        "agent_tool_versions: would encrypt 0 rows with the key 'k2'",
        "the key 'k1' is in use by 6 rows",
    ]
    assert "agent_memories: encrypted 3 rows with the key 'k2'\n" in done.out
    assert done.out.endswith("the key 'k2' is in use by 6 rows\n")
    assert done.err == "rows, 3 of 6\n"
    assert json.loads(again.out) == {
        "key_id": "k2",
        "rows": dict.fromkeys(json.loads(again.out)["rows"], 0),
        "failed": 0,
        "failures": [],
        "in_use": {"k2": 6},
        "dry_run": False,
        "is_complete": True,
    }
    assert with_keys(database, "k2", read) == (expected := {f"tulip {n}" for n in range(3)}, expected)


def test_what_does_not_open(database: Database, agentdb: Command) -> None:
    """Is named on stderr, by row and key; the status is 1, and nothing that was said is shown."""
    with_keys(database, "k1", store)
    with_keys(database, "k3", lambda client: client.executions.start("scout", "tulip"))

    done = rotate(agentdb, database, "k2 k1")

    assert done.status == 1
    assert "the key 'k2' is in use by 6 rows\nthe key 'k3' is in use by 1 row\n" in done.out
    assert "left as it is because it does not open: 1 row\n" in done.out
    assert "was sealed with the key 'k3', which is not among k2, k1: add it to AGENTDB_ENCRYPTION_KEYS." in done.err
    assert "tulip" not in done.out + done.err


def test_what_is_plain(database: Database, agentdb: Command) -> None:
    """Is encrypted with --encrypt-plain: sensitive memories, and what AGENTDB_ENCRYPT names."""
    with_keys(database, "", store)

    first = rotate(agentdb, database, "k1", "--encrypt-plain", "--json")
    second = rotate(agentdb, database, "k1", "--encrypt-plain", "--json", AGENTDB_ENCRYPT="executions")

    assert [json.loads(outcome.out)["in_use"] for outcome in (first, second)] == [{"k1": 3}, {"k1": 6}]


@pytest.mark.parametrize(
    ("arguments", "keys", "said"),
    [([], "", "AGENTDB_ENCRYPTION_KEYS: not set"), (["--batch-size", "0"], "k1", "batch_size: expected")],
)
def test_wrong_use(arguments: list[str], keys: str, said: str, database: Database, agentdb: Command) -> None:
    """Status 2, and what to change."""
    outcome = rotate(agentdb, database, keys, *arguments)

    assert outcome.status == 2
    assert said in outcome.err


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_killed_in_the_middle(database: Database, agentdb: Command) -> None:
    """By SIGKILL: everything reads with both keys, and the next run does the rest."""
    with_keys(database, "k1", lambda client: store(client, 50))

    asyncio.run(kill_at_the_memory(20, database))
    left = json.loads(rotate(agentdb, database, "k2 k1", "--dry-run", "--json").out)["in_use"]
    halfway = with_keys(database, "k2 k1", read)
    rest = rotate(agentdb, database, "k2 k1", "--json")

    expected = {f"tulip {n}" for n in range(50)}
    assert left == {"k1": 80, "k2": 20}
    assert halfway == (expected, expected)
    assert rest.status == 0
    assert sum(json.loads(rest.out)["rows"].values()) == left["k1"]
    assert with_keys(database, "k2", read) == (expected, expected)


async def kill_at_the_memory(number: int, database: Database) -> None:
    """Kill a change of keys that has come to the memory of this number, which waits for a lock of ours until then."""
    ours = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    halt = await ours.fetchval("SELECT id::text FROM agent_memories ORDER BY id OFFSET $1 LIMIT 1", number)
    await ours.execute(
        f"""
        CREATE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(1) WHERE NEW.id = '{halt}'; RETURN NEW; END
        $$;
        CREATE TRIGGER halt BEFORE UPDATE ON agent_memories FOR EACH ROW EXECUTE FUNCTION halt();
        SELECT pg_advisory_lock(1);
        """
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agentdb.cli", "rotate-keys", "--batch-size", "1"),
        env=os.environ | variables(database, "k2 k1"),
    )
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    await until(lambda: ours.fetch(waiting), seconds=60)
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    await ours.fetch(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS waiting")  # else it would do its batch yet
    await until(lambda: ours.fetchval(f"SELECT NOT EXISTS ({waiting})"))
    await ours.close()
