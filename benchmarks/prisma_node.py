"""Prisma 7 on Node, as another process: Prisma's own client and runtime, installed when it is first asked for."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hatch_build
from benchmarks.harness import Turn

__all__ = ["PLAIN", "PREPARED", "NoNodeError", "PrismaNode", "is_installed", "make_node_client", "open_prisma_node"]

PLAIN = "Prisma 7"
PREPARED = "Prisma 7, statements prepared"

_FOLDER = Path(__file__).parent / "node"
_LOCK = _FOLDER / "package-lock.json"
_STAMP = _FOLDER / "node_modules" / "installed.sha256"
_SIDES = {PLAIN: "plain", PREPARED: "prepared"}
_LONGEST_LINE = 2**24


class NoNodeError(Exception):
    """Prisma 7 cannot run here; the message says why."""


class PrismaNode:
    """
    A running Node process that does and times the operations of `node/driver.mjs`.

    Attributes:
        description: The versions of Prisma and of Node.
    """

    def __init__(self, process: asyncio.subprocess.Process, description: str) -> None:
        self._process = process
        self.description = description

    @property
    def pid(self) -> int:
        """The process, and its main thread."""
        return self._process.pid

    def turns(self, case: str) -> dict[str, Turn]:
        """Return the ways of doing *case*, for `Case.others`."""
        return {name: partial(self._take_turn, side, case) for name, side in _SIDES.items()}

    async def _take_turn(self, side: str, case: str, given: Sequence[Any]) -> Sequence[float]:
        reader, writer = self._process.stdout, self._process.stdin
        assert reader is not None
        assert writer is not None
        writer.write(json.dumps({"side": side, "case": case, "given": given}).encode() + b"\n")
        await writer.drain()
        answer: dict[str, Any] = json.loads(await reader.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(f"Prisma 7 failed in {case}: {answer['error']}")
        times: Sequence[float] = answer["times"]
        return times


def is_installed() -> bool:
    """Whether the packages are there, as the lock file has them."""
    return hatch_build.read_text(_STAMP) == hatch_build.digest(_LOCK)


def make_node_client(schema: Path, target: Path) -> None:
    """
    Generate Prisma's own client of *schema* as the folder *target*, its packages installed first if they are not.

    Raises:
        NoNodeError: There is no Node, or the packages cannot be installed.
    """
    try:
        node = hatch_build.find_tool("node")
        if not is_installed():
            sys.stderr.write("installing Prisma 7 for Node into benchmarks/node (once; 150 MB)\n")
            npm = hatch_build.find_tool("npm")
            hatch_build.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_FOLDER)
            _STAMP.write_text(hatch_build.digest(_LOCK))
        # what it generates looks for Prisma's runtime beside itself
        target.with_name("node_modules").symlink_to(_STAMP.parent)
        # the generator leaves a note of when it ran
        environment = os.environ | {"XDG_CACHE_HOME": str(target.with_name("cache"))}
        hatch_build.run([node, "generate.mjs", str(schema), str(target)], cwd=_FOLDER, env=environment)
    except hatch_build.BuildError as error:
        raise NoNodeError(_cause(str(error))) from error


@asynccontextmanager
async def open_prisma_node(client: Path, url: str, warm_up_ms: int) -> AsyncIterator[PrismaNode]:
    """
    Run the generated *client* on the database of *url*.

    Args:
        warm_up_ms: For how long each operation is repeated before it is timed for the first time.

    Raises:
        NoNodeError: It does not start.
    """
    process = await asyncio.create_subprocess_exec(
        hatch_build.find_tool("node"),
        str(_FOLDER / "driver.mjs"),
        str(client),
        url,
        str(warm_up_ms),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    try:
        assert process.stdout is not None
        description = (await process.stdout.readline()).decode().strip()
        if not description:
            raise NoNodeError("the Node process ended at once")
        yield PrismaNode(process, description)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _cause(message: str) -> str:
    """Return what a reader can use of a failed command's output: its last line that says something."""
    if "on PATH" in message:
        return "node or npm is not on PATH"
    lines = [line for line in message.splitlines() if line.strip() and "A complete log" not in line]
    return lines[-1].strip()[:200]
