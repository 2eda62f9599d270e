"""The `learning_patterns` table: what agents learned, with the evidence for it."""

from __future__ import annotations

import builtins
import math
from typing import TYPE_CHECKING, Any, Final, Literal

from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource, known_uuid
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import LearningPattern, from_row
from agentdb.validation import check_flag, check_json, check_limit, check_number, check_text, parse_json

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["Patterns", "wilson_lower_bound"]

_SQL: Final = load_queries("patterns")
_Z: Final = 1.96


def wilson_lower_bound(successes: int, trials: int) -> float:
    """
    Return the lower bound of the Wilson interval of a success rate at z = 1.96, in [0, 1]; 0 without trials.

    A rate that few trials back is bounded low: 1 of 1 gives 0.21, 100 of 100 gives 0.96. (Wilson 1927.)
    """
    if trials == 0:
        return 0.0
    spread = _Z * math.sqrt(successes * (trials - successes) / trials + _Z * _Z / 4)
    return max(0.0, (successes + _Z * _Z / 2 - spread) / (trials + _Z * _Z))


class Patterns(Resource):
    """What agents learned. Its confidence is computed from trials and successes, never taken from a caller."""

    async def record(
        self,
        agent_id: str,
        pattern_type: str,
        content: Any,
        *,
        name: str = "",
        scope: Literal["agent", "organization"] = "agent",
        idempotency_key: str | None = None,
    ) -> LearningPattern:
        """
        Record a pattern, without evidence yet; `outcome` adds it. One round trip.

        Args:
            agent_id: The agent that learned it.
            pattern_type: Its kind, 1 to 100 characters, for example "prompt".
            content: What was learned: anything that is JSON.
            name: At most 255 characters.
            scope: "agent": for this agent alone; "organization": for every agent.
            idempotency_key: A write that is retried with the same key lands once.

        Raises:
            NotFoundError: The agent is not registered.
            ConflictError: The idempotency key belongs to another pattern.
            InvalidInputError: An argument does not fit.
        """
        if scope not in ("agent", "organization"):
            raise InvalidInputError("scope", 'expected "agent" or "organization".')
        agent = check_text(agent_id, "agent_id")
        key = None if idempotency_key is None else check_text(idempotency_key, "idempotency_key")
        text = check_json(content, "content")
        rows = await self._fetch(
            _SQL["record"],
            uuid7_text() if key is None else keyed_uuid(agent, key),
            agent,
            check_text(pattern_type, "pattern_type", at_most=100),
            check_text(name, "name", at_least=0),
            text,
            scope,
            agent=agent,
        )
        pattern = _pattern(rows[0])
        if key is not None and (pattern.pattern_type, pattern.content) != (pattern_type, parse_json(text)):
            raise ConflictError("The idempotency key belongs to another pattern.", constraint="learning_patterns_pkey")
        return pattern

    async def outcome(self, pattern_id: str, success: bool) -> LearningPattern:
        """
        Count a trial of a pattern, and whether it succeeded; concurrent outcomes are all counted.

        Returns:
            The pattern with its new evidence.

        Raises:
            NotFoundError: There is no such pattern.
        """
        rows = await self._fetch(_SQL["outcome"], known_uuid("pattern", pattern_id), bool(success))
        if not rows:
            raise NotFoundError("pattern", pattern_id)
        return _pattern(rows[0])

    async def list(
        self,
        agent_id: str,
        *,
        min_confidence: float = 0.0,
        pattern_type: str | None = None,
        include_shared: bool = True,
        limit: int = 100,
    ) -> builtins.list[LearningPattern]:
        """
        Return an agent's active patterns, most confident first, ties by newest.

        Args:
            agent_id: Whose patterns.
            min_confidence: Only those at least this confident, in [0, 1].
            pattern_type: Only those of this kind.
            include_shared: Also those of the whole organization.
            limit: Most patterns to return, 1 to 1000.
        """
        rows = await self._fetch(
            _SQL["list"],
            check_text(agent_id, "agent_id"),
            check_flag(include_shared, "include_shared"),
            None if pattern_type is None else check_text(pattern_type, "pattern_type", at_most=100),
            check_number(min_confidence, "min_confidence", 0, 1),
            check_limit(limit),
        )
        return [_pattern(row) for row in rows]


def _pattern(record: Record) -> LearningPattern:
    values = dict(record.items())
    values["content"] = parse_json(values["content"])
    values["confidence"] = wilson_lower_bound(values["successes"], values["trials"])
    return from_row(LearningPattern, values)
