"""What is about a subject: the rows that say so, plain ones by SQL and sealed ones one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentdb.client.encryption.seals import seals_of
from agentdb.client.encryption.values import SEALED, SealedValues
from agentdb.client.erasure.mentions import says
from agentdb.client.queries import load_queries
from agentdb.validation import parse_json

__all__ = ["KINDS", "Found", "Kind", "SubjectSearch"]

_SQL: Final = load_queries("erasure")


@dataclass(frozen=True)
class Kind:
    """
    Rows that are erased by their ids, with what hangs on them, and the blocks of queries/erasure.sql for them.

    Attributes:
        table: Where they are.
        find: Those that are about somebody.
        some: Some of an agent's, or of all.
        count: How many rows go with them, by table.
        erase: Delete them.
        lock: Keep others from hanging more on them meanwhile; None where nothing can.
        at_once: How many are one step.
    """

    table: str
    find: str
    some: str
    count: str
    erase: str
    lock: str | None = None
    at_once: int = 5000


KINDS: Final = (
    # each has some ten steps, which go with it
    Kind(
        "agent_executions", "find_executions", "some_executions", "count_executions", "erase_executions",
        lock="lock_executions", at_once=500,
    ),
    # calls of tools outside of executions
    Kind("agent_steps", "find_steps", "some_steps", "count_steps", "erase_steps"),
    Kind("agent_memories", "find_memories", "some_memories", "count_memories", "erase_memories"),
    Kind("agent_metrics", "find_metrics", "some_metrics", "count_metrics", "erase_metrics"),
    Kind(
        "learning_patterns", "find_patterns", "some_patterns", "count_patterns", "erase_patterns", lock="lock_patterns"
    ),
)  # fmt: skip
"""What is erased by its ids; everything else goes along with these, with its agent, or with the organization."""

Found = Sequence[tuple[Kind, list[str]]]
"""The ids of what is about somebody."""


class SubjectSearch(SealedValues):
    """Finds what is about somebody."""

    async def find(self, subject: str, key: str) -> Found:
        """
        Return what is about *subject*.

        Raises:
            EncryptionError: A sealed value does not open, so nobody can tell whom it is about.
        """
        found = {kind.table: {row["id"] for row in await self._fetch(_SQL[kind.find], subject, key)} for kind in KINDS}
        sealed_steps = await self._sealed("agent_steps", subject, key)
        places = await self._fetch(_SQL["executions_of_steps"], sealed_steps) if sealed_steps else []
        found["agent_executions"].update(row["execution_id"] for row in places if row["execution_id"])
        found["agent_executions"].update(await self._sealed("agent_executions", subject, key))
        found["agent_steps"].update(row["id"] for row in places if not row["execution_id"])
        found["agent_memories"].update(await self._sealed("agent_memories", subject, key))
        return [(kind, sorted(found[kind.table])) for kind in KINDS]

    async def _sealed(self, table: str, subject: str, key: str) -> list[str]:
        """Return the ids of rows of *table* with a sealed value that says it is about *subject*."""
        seals, ids = seals_of(self._client), []
        for column in SEALED:
            if column.table != table:
                continue
            async for row in self.values(column):
                value = parse_json(seals.open(row["sealed"], column.table, column.column, row["row"]))
                if says(_document(column.table, column.column, value), key, subject):
                    ids.append(row["key"])
        return ids


def _document(table: str, column: str, value: Any) -> Any:
    """Return what of a sealed value may say whom it is about."""
    if column == "sealed_task":
        return value
    return value[{"agent_memories": "metadata", "agent_executions": "result", "agent_steps": "data"}[table]]
