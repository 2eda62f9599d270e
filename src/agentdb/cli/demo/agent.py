"""The demo's agent: a complete one, to read and to copy from."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from agentdb import AgentConfig, EnhancedAgentBase, MemoryEntry, SearchResult, tool
from agentdb.cli.demo.library import Docstring, find_sources, read_docstrings

__all__ = ["QUESTIONS", "Librarian", "Question"]


class Question(NamedTuple):
    """What to ask, and which metadata the answers must have."""

    question: str
    where: Mapping[str, Any] | None = None


QUESTIONS = [
    Question("How do I find close matches for a misspelled word?"),
    Question("How do I wrap a long paragraph of text to fit a width?"),
    Question("How do I measure the execution time of small code snippets?"),
    Question("How do I suppress exceptions in a with block?"),
    Question("Which function tells me the greatest common divisor?"),
    Question("How do I copy a directory tree recursively?"),
    # Words alone fail: two of them are misspelt, and a named tuple is spelt "namedtuple".
    Question("How do I decompres a gziped string?"),
    Question("What is a named tuple?"),
    Question("Which module compares files?", {"kind": "module"}),
]

_BATCH = 500
_IMPORTANCE = {"module": 0.8, "class": 0.6, "function": 0.6, "method": 0.4}

Watch = Callable[[int, int, int], None]
"""Called with the modules that are done, the modules there are, and the docstrings read so far."""


class Librarian(EnhancedAgentBase):
    """
    Remembers what the standard library's docstrings say, and answers questions from what it remembers.

    Attributes:
        times: What each operation took, in milliseconds.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__(
            AgentConfig(
                name="librarian",
                category="SUPPORT",
                description="Answers questions about Python's standard library from memory.",
                data_sources=["the docstrings of the standard library"],
            )
        )
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self._watch = watch

    def get_capabilities(self) -> Sequence[str]:
        """Return what it can do."""
        return ["reading", "answering"]

    async def execute_task(self, task: dict[str, Any]) -> dict[str, Any]:
        """Answer a question, or read the library; either way the call is recorded as an execution."""
        if "question" in task:
            return await self._answer(Question(**task))
        return await self._read()

    @tool
    async def look_up(self, question: str) -> str | None:
        """Return the name of the docstring that answers a question best; None when nothing does."""
        hits = await self._recall(Question(question), limit=1)
        return hits[0].memory.metadata["name"] if hits else None

    async def count_rows(self) -> dict[str, int]:
        """Count what the agent's organization has in the database: through the generated Prisma client, bound to it."""
        prisma = self.client.prisma
        await prisma.connect()
        counts: dict[str, Callable[[], Awaitable[int]]] = {
            "agents": prisma.agent.count,
            "memories": prisma.agentmemory.count,
            "executions": prisma.agentexecution.count,
            "steps of executions": prisma.agentstep.count,
            "metric points": prisma.agentmetric.count,
        }
        found = {}
        for name, count in counts.items():
            with self._timed("count with Prisma"):
                found[name] = await count()
        return found

    async def _read(self) -> dict[str, Any]:
        started = time.perf_counter()
        before = await self.client.memories.count(self.id, memory_type="note")
        total = 0
        for docstrings in self._batches():
            # One statement: stored whole or, if the process is killed, not at all. What is known is not stored again.
            with self._timed(f"store {_BATCH} memories"):
                await self.client.memories.store_many(map(self._entry, docstrings))
            total += len(docstrings)
        new = await self.client.memories.count(self.id, memory_type="note") - before
        seconds = time.perf_counter() - started
        await self._measure("docstrings_read", total, "docstrings")
        await self._measure("reading_speed", total / seconds, "docstrings/s")
        return {"docstrings": total, "new": new, "known": total - new, "seconds": round(seconds, 2)}

    async def _answer(self, question: Question) -> dict[str, Any]:
        started = time.perf_counter()
        with self._timed("recall"):
            hits = await self._recall(question, limit=2)
        for hit in hits:
            with self._timed("get by id"):
                await self.client.memories.get(hit.id)
        with self._timed("store one memory"):
            await self.client.memories.store(
                MemoryEntry(agent_id=self.id, content=f"I was asked: {question.question}", memory_type="question")
            )
        await self._measure("answer_time", (time.perf_counter() - started) * 1000, "ms")
        if hits:
            await self._measure("best_score", hits[0].score, "score")
        # To compare with: without the embeddings.
        with self._timed("recall by words alone"):
            worded = await self._recall(question, limit=1, weights={"semantic": 0})
        return {
            "hits": [
                {"name": hit.memory.metadata["name"], "note": hit.content, "score": hit.score, "parts": hit.parts}
                for hit in hits
            ],
            "by_words_alone": worded[0].memory.metadata["name"] if worded else None,
        }

    async def _recall(self, question: Question, **options: Any) -> SearchResult:
        # Only its own notes: those of others need not have a name.
        return await self.recall(
            question.question, where=question.where, memory_type="note", include_shared=False, **options
        )

    def _batches(self) -> Iterator[list[Docstring]]:
        sources = find_sources()
        batch: list[Docstring] = []
        read = 0
        for done, source in enumerate(sources, start=1):
            found = read_docstrings(source)
            batch += found
            read += len(found)
            self._watch(done, len(sources), read)
            while len(batch) >= _BATCH:
                yield batch[:_BATCH]
                del batch[:_BATCH]
        if batch:
            yield batch

    def _entry(self, docstring: Docstring) -> MemoryEntry:
        return MemoryEntry(
            agent_id=self.id,
            content=docstring.note,
            memory_type="note",
            importance=_IMPORTANCE[docstring.kind],
            metadata={"name": docstring.name, "module": docstring.module, "kind": docstring.kind},
        )

    async def _measure(self, name: str, value: float, unit: str) -> None:
        with self._timed("record a metric"):
            await self.record_metric(name, value, unit)

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.times[operation].append((time.perf_counter() - started) * 1000)
