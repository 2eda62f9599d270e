"""`agentdb export` and `agentdb import`."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest

from agentdb import AgentConfig, MemoryEntry, PrismaAgentClient, Settings
from agentdb.postgres.url import parse_url
from tests.conftest import Database
from tests.integration.cli.conftest import Command
from tests.integration.client import everything
from tests.waiting import interrupt, until

pytestmark = pytest.mark.postgres

COMMAND = [sys.executable, "-m", "agentdb.cli"]


@pytest.fixture
def filled(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database in which "acme" has an agent with three memories; the settings name it."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
    asyncio.run(fill(database.url))
    return database


async def fill(url: str, memories: int = 3) -> None:
    async with PrismaAgentClient(url, "acme") as client:
        agent = await client.agents.register(AgentConfig(name="scout", category="SUPPORT", id="scout-1"))
        await client.memories.store_many(
            MemoryEntry(agent_id=agent.id, content=f"Größe {n} \u2028 😀", embedding=[n + 1.0]) for n in range(memories)
        )


def contents(database: Database, organization_id: str, agent_id: str = "scout-1") -> list[str]:
    async def read() -> list[str]:
        async with PrismaAgentClient(database.url, organization_id) as client:
            return sorted(memory.content for memory in await client.memories.list(agent_id))

    return asyncio.run(read())


def test_out_and_in_by_a_file(filled: Database, agentdb: Command) -> None:
    """What another organization gets is what there was; a second time nothing is new."""
    out = agentdb("export", "--output", "memories.jsonl")
    first = agentdb("import", "memories.jsonl", ORGANIZATION_ID="other")
    again = agentdb("import", "memories.jsonl")

    assert (out.status, out.out, out.err) == (0, "exported 1 agents, 3 memories to memories.jsonl\n", "")
    assert (first.status, first.out, first.err) == (0, "imported 1 agents, 3 memories; 0 were there already\n", "")
    assert (again.status, again.out) == (0, "imported nothing; 4 were there already\n")
    assert contents(filled, "other") == contents(filled, "acme")
    assert Path("memories.jsonl").stat().st_mode & 0o777 == 0o600
    assert os.listdir() == ["memories.jsonl"]


def test_for_programs(filled: Database, agentdb: Command) -> None:
    """What came of it as JSON; an export to stdout is its own result."""
    out = agentdb("export", "--output", "memories.jsonl", "--json")
    back = agentdb("import", "memories.jsonl", "--json", ORGANIZATION_ID="other")
    both = agentdb("export", "--json")

    rows = {"agents": 1, "agent_memories": 3}
    assert json.loads(out.out) == {"rows": rows, "file": str(Path("memories.jsonl").resolve())}
    assert json.loads(back.out) == {"rows": rows, "known": {}}
    assert (both.status, both.out) == (2, "")


@pytest.mark.parametrize("output", [[], ["--output", "-"]])
def test_by_stdout_and_stdin(
    filled: Database, agentdb: Command, output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the lines on stdout."""
    out = agentdb("export", *output)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(out.out.encode())))
    back = agentdb("import", "-", ORGANIZATION_ID="other")

    assert (out.status, out.err) == (0, "exported 1 agents, 3 memories\n")
    assert [bool(json.loads(line)) for line in out.out.rstrip("\n").split("\n")] == [True] * 6
    assert (back.status, back.out) == (0, "imported 1 agents, 3 memories; 0 were there already\n")


def test_one_agent_into_another(filled: Database, agentdb: Command) -> None:
    """By --agent on both sides; one that is not there is an error of the kind "failed"."""
    agentdb("export", "--agent", "scout-1", "--output", "memories.jsonl")
    nobody = agentdb("export", "--agent", "nobody", "--output", "nobody.jsonl")

    async def register() -> None:
        async with PrismaAgentClient(filled.url, "other") as client:
            await client.agents.register(AgentConfig(name="target", category="SUPPORT", id="target"))

    asyncio.run(register())
    back = agentdb("import", "memories.jsonl", "--agent", "target", ORGANIZATION_ID="other")
    missing = agentdb("import", "memories.jsonl", "--agent", "nobody")

    assert (nobody.status, nobody.out) == (1, "")
    assert "nobody" in nobody.err
    assert back.status == 0
    assert contents(filled, "other", "target") == contents(filled, "acme")
    assert missing.status == 1
    assert os.listdir() == ["memories.jsonl"]


def test_everything(filled: Database, agentdb: Command) -> None:
    """All tables; what is encrypted only as it is told."""
    key = f"k:{base64.b64encode(b'1' * 32).decode()}"
    asyncio.run(fill_everything(filled.url))

    untold = agentdb("export", "--output", "out.jsonl")
    wrong = agentdb("export", "--sealed", "open", "--output", "out.jsonl")
    out = agentdb("export", "--sealed", "keep", "--output", "out.jsonl", "--json")
    keyless = agentdb("import", "out.jsonl", ORGANIZATION_ID="other")
    back = agentdb("import", "out.jsonl", "--json", ORGANIZATION_ID="acme", AGENTDB_ENCRYPTION_KEYS=key)

    assert (untold.status, wrong.status, keyless.status) == (2, 2, 1)
    assert "--sealed" in wrong.err
    assert '"keep"' in untold.err
    assert "AGENTDB_ENCRYPTION_KEYS" in keyless.err
    assert len(json.loads(out.out)["rows"]) == 11
    assert json.loads(back.out) == {"rows": {}, "known": json.loads(out.out)["rows"]}


async def fill_everything(url: str) -> None:
    settings = Settings(organization_id="acme", database_url=url, encryption_keys={"k": b"1" * 32})
    async with PrismaAgentClient(settings=settings) as client:
        await everything.fill(client, ("pilot-1",))


def test_an_old_file(filled: Database, agentdb: Command) -> None:
    """One of memories alone is read as before."""
    Path("old.jsonl").write_text(asyncio.run(memory_lines(filled.url)))

    back = agentdb("import", "old.jsonl", ORGANIZATION_ID="other")

    assert (back.status, back.out) == (0, "imported 3 memories; 0 were there already\n")


async def memory_lines(url: str) -> str:
    async with PrismaAgentClient(url, "acme") as client:
        return "".join([f"{line}\n" async for line in client.memories.export_lines()])


def test_a_file_is_not_overwritten(filled: Database, agentdb: Command) -> None:
    """Unless it is asked for; what is no file never is. A link stays one."""
    Path("memories.jsonl").write_text("precious")
    Path("link.jsonl").symlink_to("memories.jsonl")
    Path("folder").mkdir()

    refused = agentdb("export", "--output", "memories.jsonl")
    assert (refused.status, refused.out) == (2, "")
    assert "--force" in refused.err
    assert Path("memories.jsonl").read_text() == "precious"
    for wrong in ("folder", "/dev/null", "nowhere/memories.jsonl"):
        assert agentdb("export", "--output", wrong, "--force").status == 2

    assert agentdb("export", "--output", "link.jsonl", "--force").status == 0
    assert Path("link.jsonl").is_symlink()
    assert len(Path("memories.jsonl").read_text().split("\n")) == 7


def test_a_damaged_file_is_refused(filled: Database, agentdb: Command) -> None:
    """One line that says where; nothing is imported, and it is no wrong use."""
    agentdb("export", "--output", "memories.jsonl")
    whole = Path("memories.jsonl").read_bytes()
    damages = {
        "line 3: was changed": whole.replace("Größe".encode(), "Große".encode(), 1),
        "line 3: is not UTF-8": whole.replace("Größe".encode(), b"Gr\xf6\xdfe", 1),
        "line 1: is not UTF-8": whole.decode().encode("utf-16"),
        "line 1: is missing": b"",
        "line 6: is missing": b"".join(whole.splitlines(keepends=True)[:5]),
        "line 1: has more than": b"x" * 70_000_000,
    }
    for reason, damaged in damages.items():
        Path("damaged.jsonl").write_bytes(damaged)
        outcome = agentdb("import", "damaged.jsonl", ORGANIZATION_ID="other")
        assert (outcome.status, outcome.out) == (1, ""), reason
        assert outcome.err.startswith(f"agentdb: {reason}")
        assert outcome.err.count("\n") == 1
    for_programs = agentdb("import", "damaged.jsonl", "--json")
    assert for_programs.status == 1
    assert json.loads(for_programs.out)["error"]["type"] == "InvalidInputError"
    assert contents(filled, "other") == []


def test_wrong_use(filled: Database, agentdb: Command) -> None:
    """A file that is not there, no file at all, an agent for the memories of several."""
    asyncio.run(second_agent(filled.url))
    agentdb("export", "--output", "memories.jsonl")

    for arguments in (
        ["import"],
        ["import", "nowhere"],
        ["import", "."],
        ["import", "memories.jsonl", "--agent", "second"],
    ):
        assert agentdb(*arguments).status == 2, arguments


async def second_agent(url: str) -> None:
    async with PrismaAgentClient(url, "acme") as client:
        await client.agents.register(AgentConfig(name="second", category="SUPPORT", id="second"))
        await client.memories.store(MemoryEntry(agent_id="second", content="text"))


def test_a_full_disk(filled: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and no half file."""

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    outcome = agentdb("export", "--output", "memories.jsonl")
    for_programs = agentdb("export", "--output", "memories.jsonl", "--json")

    said = "memories.jsonl: No space left on device"
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f"agentdb: {said}\n")
    assert json.loads(for_programs.out) == {"error": {"type": "OSError", "message": said}}
    assert os.listdir() == []


def test_a_reader_that_leaves(filled: Database, tmp_path: Path) -> None:
    """`agentdb export | head -1` ends in silence."""
    asyncio.run(fill(filled.url, 3000))
    done = subprocess.run(
        f"{' '.join(COMMAND)} export | head -1 | wc -l",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "1"
    assert "Error" not in done.stderr


def test_ctrl_c_leaves_no_half_file(filled: Database, tmp_path: Path) -> None:
    """Nor a traceback."""
    asyncio.run(interrupt_export(filled, tmp_path))

    assert list(tmp_path.iterdir()) == []


async def interrupt_export(database: Database, folder: Path) -> None:
    """Press Ctrl-C in an export that has written memories; to read a tool, it waits for a lock of ours."""
    await fill(database.url, 500)
    async with PrismaAgentClient(database.url, "acme") as client:
        await client.tools.register("look_up")
    ours = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    await ours.execute(
        """
        CREATE POLICY halt ON agent_tools AS RESTRICTIVE FOR SELECT USING (pg_advisory_xact_lock_shared(1) IS NOT NULL);
        SELECT pg_advisory_lock(1);
        """
    )
    command = (*COMMAND, "export", "--sealed", "keep", "-o", "out.jsonl")
    running = await asyncio.create_subprocess_exec(*command, cwd=folder, stderr=asyncio.subprocess.PIPE)
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
    await until(lambda: ours.fetch(waiting), seconds=60)
    (size,) = await asyncio.to_thread(lambda: [part.stat().st_size for part in folder.iterdir()])
    running.send_signal(signal.SIGINT)
    _, said = await running.communicate()
    await ours.close()

    assert size > 0
    assert (running.returncode, said) == (130, b"")


def test_ctrl_c_imports_nothing(filled: Database, agentdb: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the import waits for more lines on stdin."""
    lines = agentdb("export").out.split("\n")
    wait_until(lambda: not asyncio.run(is_in_transaction(filled)))  # the export's session may still be ending
    monkeypatch.setenv("ORGANIZATION_ID", "other")
    running = subprocess.Popen([*COMMAND, "import", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdin
    running.stdin.write("\n".join([*lines[:3], ""]))
    running.stdin.flush()
    wait_until(lambda: asyncio.run(is_in_transaction(filled)))

    assert interrupt(running) == 130
    assert running.communicate()[1] == ""
    assert contents(filled, "other") == []


async def is_in_transaction(database: Database) -> bool:
    connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    try:
        sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND state = 'idle in transaction')"
        return bool(await connection.fetchval(sql, database.name))
    finally:
        await connection.close()


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def test_a_bar_where_there_is_a_terminal(filled: Database, tmp_path: Path) -> None:
    """On stderr alone."""
    asyncio.run(fill(filled.url, 1500))
    controller, terminal = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "export", "--output", "memories.jsonl"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        check=True,
    )
    os.close(terminal)
    shown = os.read(controller, 100_000)
    os.close(controller)

    assert done.stdout == b"exported 1 agents, 1,500 memories to memories.jsonl\n"
    assert "━".encode() in shown
