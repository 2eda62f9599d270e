"""Prisma's own interpreter, in a process of its own: see oracle.mjs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("oracle.mjs")
PATIENCE_SECONDS = 60


class Interpreter:
    """Answers requests in the JSON protocol as Prisma does. Use it as an asynchronous context manager."""

    def __init__(self, node: str, schema: Path, url: str) -> None:
        # pg deprecates something that Prisma does with it
        self._command = [node, "--no-deprecation", str(SCRIPT), str(schema), url]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Interpreter:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**26
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._process is not None
        self._process.stdin.close()  # type: ignore[union-attr]
        await self._process.wait()

    async def ask(self, text: str) -> dict[str, Any]:
        """Return the answer to one request: ``ok``, or ``error`` with its code."""
        answer: dict[str, Any] = await self._exchange(text)
        return answer

    async def ask_together(self, texts: Sequence[str], *, until_error: bool) -> list[dict[str, Any]]:
        """
        Return the answers to several requests in one transaction.

        Args:
            until_error: Stop at the first error and roll back; else go on, and commit in the end.
        """
        together = {"together": list(texts), "untilError": until_error}
        answers: list[dict[str, Any]] = await self._exchange(json.dumps(together, separators=(",", ":")))
        return answers

    async def _exchange(self, line: str) -> Any:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await process.stdout.readline()
        if not answer:
            raise RuntimeError(f"Prisma's interpreter ended on this request: {line}")
        return json.loads(answer)
