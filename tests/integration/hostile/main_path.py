"""
A program that does what programs with agentdb do, and says which ways out of the process it took.

Run as a process of its own: an audit hook cannot be removed again. Every socket but one to PostgreSQL's Unix socket is
refused, and every look-up of a name; what was refused, and which programs were started, is printed as JSON.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

REFUSED: list[str] = []
STARTED: set[str] = set()
_TO_ADDRESSES = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"}
_OUTWARD = {
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
    "urllib.Request",
    "http.client.connect",
    "ftplib.connect",
    "smtplib.connect",
    "os.system",
}


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what leaves the machine; note the programs that are started."""
    if event == "socket.__new__" and arguments[1] not in (socket.AF_UNIX, -1):
        _refuse(f"a socket of family {arguments[1]}")
    elif event in _TO_ADDRESSES and not _is_postgres(arguments[1]):
        _refuse(f"{event} {arguments[1]}")
    elif event in _OUTWARD:
        _refuse(f"{event} {arguments[0]}")
    elif event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        STARTED.add(Path(os.fsdecode(arguments[0])).name)


def _is_postgres(address: object) -> bool:
    return isinstance(address, str) and address.endswith("/.s.PGSQL.5432")


def _refuse(what: str) -> None:
    REFUSED.append(what)
    raise PermissionError(f"refused: {what}")


def reaches_the_network() -> bool:
    """Whether a packet leaves this process at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(("127.0.0.1", int(os.environ["PROBE_PORT"])))
        except OSError:
            return False
    return True


async def live() -> None:
    """Register, remember, recall, run, measure, learn, encrypt, export, import, erase."""
    from agentdb import AgentConfig, EnhancedAgentBase, MemoryEntry, PrismaAgentClient, get_agent_client, tool
    from agentdb.embedders import SpellingEmbedder

    class Scout(EnhancedAgentBase):
        """Does a bit of everything."""

        def __init__(self) -> None:
            super().__init__(AgentConfig(name="scout", category="OPERATIONAL", capabilities=["scouting"]))

        def get_capabilities(self) -> list[str]:
            """One."""
            return ["scouting"]

        async def execute_task(self, task: Any) -> Any:
            """Remember, call a tool, measure, learn."""
            await self.remember(task["note"], importance=0.8, topic="harbour")
            await self.record_metric("notes", 1, "notes")
            pattern = await self.learn("route", {"by": "sea"})
            await self.client.patterns.outcome(pattern.id, True)
            self.execution.usage.add(input=10, output=5)
            return await self.look_up("harbour")

        @tool
        async def look_up(self, word: str) -> str:
            """Look a word up."""
            return (await self.recall(word))[0].content

    shared = get_agent_client()
    async with shared:
        async with Scout() as scout:
            assert await scout.execute_task({"note": "The harbour freezes in January."})
            await scout.client.executions.tree((await scout.client.executions.list(scout.id))[0].id)
        await shared.health_check()
        await shared.prisma.agentmemory.find_many(where={"importance": {"gte": 0.5}})
    async with PrismaAgentClient(embedder=SpellingEmbedder()) as client:
        await client.memories.store(MemoryEntry(agent_id=scout.id, content="A secret berth.", sensitive=True))
        await client.memories.search(scout.id, "When does the harbour freeze?")
        await client.metrics.series(scout.id, "notes", timezone="Europe/Berlin")
        await client.metrics.roll_up()
        lines = [line async for line in client.export_lines(sealed="plain")]
        await client.for_organization("elsewhere").import_lines(lines)
        await client.rotate_keys()
        await client.verify_access_log()
        await client.erase(subject="nobody")
        await client.for_organization("elsewhere").erase(organization=True)


def command() -> None:
    """Run commands, too."""
    from agentdb.cli.app import run

    for arguments in (
        ["doctor"],
        ["stats", "--json"],
        ["sweep"],
        ["migrate", "status"],
        ["audit", "verify"],
        ["index"],
    ):
        status = run(arguments)
        assert status == 0, (arguments, status)
    assert run(["export", "--sealed", "keep", "-o", "export.jsonl", "--force"]) == 0
    assert run(["import", "export.jsonl"]) == 0


def load() -> None:
    """Import every module there is, but the tools that come with the generated client."""
    import agentdb

    package = Path(agentdb.__file__).parent
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if "prisma_client" not in parts and parts[-1] not in ("__main__", "__init__"):
            importlib.import_module(".".join(parts))


def main() -> None:
    """Do it all; print what was refused, what was started and whether the network could be reached."""
    network = reaches_the_network()
    sys.addaudithook(watch)
    load()
    asyncio.run(live())
    command()
    sys.stderr.write(f"\n{json.dumps({'refused': REFUSED, 'started': sorted(STARTED), 'network': network})}\n")


if __name__ == "__main__":
    main()
