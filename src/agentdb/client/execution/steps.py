"""The `agent_steps` table: the trail that executions leave, and every call of a tool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from agentdb.client.encryption.seals import sealing_of
from agentdb.client.execution.sealing import step_values
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource
from agentdb.ids import uuid7_text
from agentdb.moments import utc_now

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals

__all__ = ["StepKind", "StepRow", "Steps", "new_step", "steps_text"]

StepKind = Literal["attempt", "log", "memory", "tool"]

_SQL: Final = load_queries("steps")


class StepRow(NamedTuple):
    """
    A step on its way to the database. Its texts and *data* have passed redaction and the size cap.

    Attributes:
        id: A UUID that rises with time within a process.
        agent_id: Who did it; of a tool's call, who called; None: the agent of the execution.
        execution_id: Where it happened; None for a tool's call outside of one.
        name: The tool, the level of a log, what was done to a memory.
        data: A JSON object, as text.
        at: When it ended, as ISO 8601 text.
    """

    id: str
    agent_id: str | None
    execution_id: str | None
    kind: StepKind
    name: str
    success: bool | None
    duration_ms: float | None
    message: str | None
    error_type: str | None
    data: str
    at: str

    @property
    def size(self) -> int:
        """How many characters it takes, about."""
        return len(self.data) + len(self.message or "")


def new_step(
    kind: StepKind,
    name: str,
    agent_id: str | None,
    execution_id: str | None,
    *,
    success: bool | None = None,
    duration_ms: float | None = None,
    message: str | None = None,
    error_type: str | None = None,
    data: str = "{}",
) -> StepRow:
    """Return a step that happened now."""
    return StepRow(
        uuid7_text(),
        agent_id,
        execution_id,
        kind,
        name,
        success,
        duration_ms,
        message,
        error_type,
        data,
        utc_now().isoformat(),
    )


def steps_text(steps: Sequence[StepRow], seals: Seals | None) -> str | None:
    """Return steps as the JSON array that the fragment `steps_written` takes, sealed unless *seals* is None."""
    return json.dumps([step_values(step, seals) for step in steps], ensure_ascii=False) if steps else None


class Steps(Resource):
    """Writes steps that have gathered."""

    async def write(self, steps: Sequence[StepRow]) -> int:
        """
        Write steps and count the calls of tools among them, in one statement: all or none.

        Returns:
            How many of them are new: one that was written before, or whose agent, execution or tool is gone, is not.
        """
        seals = sealing_of(self._client, "executions")
        rows = await self._retried(lambda: self._fetch(_SQL["write"], steps_text(steps, seals)))
        written: int = rows[0]["written"]
        return written
