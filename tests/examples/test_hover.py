"""What an editor shows where the mouse rests, asked of pyright's language server as an editor does."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.examples.conftest import Installation

PROGRAM: Final = """\
from agentdb import AgentConfig, EnhancedAgentBase, InvalidInputError, MemoryEntry, PrismaAgentClient, Settings, tool

async def use(client: PrismaAgentClient, agent: "Reader", entry: MemoryEntry, settings: Settings) -> None:
    (hit,) = await client.memories.search("a", "harbour")
    hit.score
    hit.memory.embedding_error
    entry.importance
    entry.visibility
    settings.embed_timeout_seconds
    (tool_stats,) = await client.tools.rank()
    tool_stats.p95_ms
    (execution,) = await client.executions.list()
    execution.cost
    health = await client.health_check()
    health.latency_ms
    await client.retrieve_memories("a")
    await agent.look_up("harbour")
    try:
        await client.metrics.series("a", "n", bucket="1h")
    except InvalidInputError as error:
        error.reason
    await client.prisma.agentmemory.find_many(where={"importance": {"gte": 0.5}})

class Reader(EnhancedAgentBase):
    @tool
    async def look_up(self, question: str, limit: int = 5) -> list[str]:
        '''Find what is known.'''
        await self.recall(question, limit)
        self.execution.usage.add(input=3)
        return []
"""
SHOWN: Final = {
    "client.memories.search": ["limit: int = 10", "SearchResult", "1 to 1000", "Raises", "DimensionMismatchError"],
    "client.memories": ["Memories", "What they remember."],
    "hit.score": ["float", "higher is better"],
    "hit.memory.embedding_error": ["str | None", "Why it has none"],
    "entry.importance": ["Importance", "In [0, 1]"],
    "entry.visibility": ["Literal['agent', 'organization']", "every agent of the organization"],
    "settings.embed_timeout_seconds": ["float", "Longest wait"],
    "tool_stats.p95_ms": ["float | None", "in milliseconds"],
    "execution.cost": ["Decimal | None", "In US dollars"],
    "health.latency_ms": ["float", "in milliseconds"],
    "client.retrieve_memories": ["list[Memory]", "1 to 1000", "Memories.search"],
    "client.metrics.series": ["0.001 to 1,000,000", "1mo", "IANA", "InvalidInputError"],
    "agent.look_up": ["question: str", "limit: int = 5", "list[str]", "Find what is known."],
    "error.reason": ["str", "What is wrong with it"],
    "client.prisma.agentmemory.find_many": ["where: AgentMemoryWhereInput | None", "List[AgentMemory]", "Raises"],
    "self.recall": ["1 to 1000", "InvalidInputError", "NotConnectedError"],
    "self.execution.usage.add": ["cached_input, cache_write, output, reasoning"],
}


class LanguageServer:
    """Speaks the Language Server Protocol with *process*: messages of JSON, each after its length."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self._ids = itertools.count(1)

    def tell(self, method: str, **parameters: Any) -> None:
        """Send what is not answered."""
        self._send({"method": method, "params": parameters})

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a request and return its result; what the server asks meanwhile has no answer but None."""
        id = next(self._ids)
        self._send({"id": id, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": None})
            elif message.get("id") == id:
                return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self._to.flush()

    def _receive(self) -> dict[str, Any]:
        length = 0
        while (line := self._from.readline().strip()) or not length:
            assert line, "the server has ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self._from.read(length))
        return message


@pytest.fixture(scope="module")
def hover(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What is shown at the last name of each of SHOWN."""
    folder = tmp_path_factory.mktemp("editor")
    uri = (folder / "program.py").as_uri()
    with subprocess.Popen(
        [installed.bin / "pyright-langserver", "--stdio"],
        cwd=folder,
        env=installed.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        server = LanguageServer(process)
        hover = {"contentFormat": ["markdown"]}
        server.ask(
            "initialize",
            processId=None,
            rootUri=folder.as_uri(),
            workspaceFolders=[{"uri": folder.as_uri(), "name": "editor"}],
            capabilities={"textDocument": {"hover": hover}},
        )
        server.tell("initialized")
        document = {"uri": uri, "languageId": "python", "version": 1, "text": PROGRAM}
        server.tell("textDocument/didOpen", textDocument=document)
        yield {name: _shown(server, uri, name) for name in SHOWN}
        server.ask("shutdown")
        server.tell("exit")


def _shown(server: LanguageServer, uri: str, name: str) -> str:
    before = PROGRAM[: PROGRAM.index(name) + name.rindex(".") + 1]
    position = {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}
    found = server.ask("textDocument/hover", textDocument={"uri": uri}, position=position)
    return "" if found is None else str(found["contents"]["value"]).replace("&nbsp;", " ").replace("\\", "")


@pytest.mark.parametrize("name", SHOWN)
def test_an_editor_shows_types_units_and_errors(name: str, hover: dict[str, str]) -> None:
    """Of methods, of fields, of tools, of the generated client."""
    assert [each for each in SHOWN[name] if each not in hover[name]] == [], hover[name]
