"""The life of patterns: promoted, quarantined and retired, by evidence or by hand, and all of it undone again."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final, Literal

from agentdb.client.pattern.rows import read_change, read_pattern
from agentdb.client.queries import load_queries
from agentdb.client.resource import Resource, known_uuid
from agentdb.errors import ConflictError, InsufficientEvidenceError, NotFoundError
from agentdb.ids import uuid7_text
from agentdb.validation import check_flag, check_limit, check_number, check_text

if TYPE_CHECKING:
    from agentdb.models import LearningPattern, PatternChange

__all__ = ["PatternLife"]

_SQL: Final = load_queries("pattern_life")
_MAX_REASON: Final = 1000
_MAX_TRIALS: Final = 1e15
_ATTEMPTS: Final = 3


class PatternLife(Resource):
    """What of `client.patterns` changes who sees a pattern, and whether it is used."""

    async def promote(
        self, pattern_id: str, *, min_trials: float = 20, min_confidence: float = 0.6, reason: str = ""
    ) -> LearningPattern:
        """
        Make a pattern the whole organization's, if the evidence is enough; in one round trip.

        One that is the organization's already is returned as it is.

        Args:
            pattern_id: The pattern.
            min_trials: So often it has to have been tried, 0 or more.
            min_confidence: So confident it has to be, in [0, 1].
            reason: For `history`, at most 1000 characters.

        Raises:
            NotFoundError: There is no such pattern.
            ConflictError: It is quarantined or retired.
            InsufficientEvidenceError: It has not proven itself; the error says what it has and needs.
        """
        trials = check_number(min_trials, "min_trials", 0, _MAX_TRIALS)
        confidence = check_number(min_confidence, "min_confidence", 0, 1)
        pattern, is_changed = await self._change(
            pattern_id, "promoted", reason, scope="organization", allowed=["active"], evidence=(trials, confidence)
        )
        if is_changed or (pattern.scope, pattern.status) == ("organization", "active"):
            return pattern
        if pattern.status != "active":
            raise ConflictError(f"The pattern is {pattern.status}; `revert` makes it active again.")
        raise InsufficientEvidenceError(
            trials=pattern.trials, confidence=pattern.confidence, min_trials=trials, min_confidence=confidence
        )

    async def quarantine(self, pattern_id: str, reason: str) -> LearningPattern:
        """
        Take a pattern out of use: it is neither listed nor chosen, until `revert`. One round trip.

        Args:
            pattern_id: The pattern; one that is quarantined already is returned as it is.
            reason: For `history`, 1 to 1000 characters.

        Raises:
            NotFoundError: There is no such pattern.
            ConflictError: It is retired.
        """
        check_text(reason, "reason", at_most=_MAX_REASON)
        pattern, _ = await self._change(pattern_id, "quarantined", reason, status="quarantined", allowed=["active"])
        if pattern.status != "quarantined":
            raise ConflictError("The pattern is retired already.")
        return pattern

    async def retire(self, pattern_id: str, reason: str = "") -> LearningPattern:
        """
        Take a pattern out of use for good: it has been replaced, or its time is over. One round trip.

        It is neither listed nor chosen, keeps its name and its evidence, and `revert` brings it back.

        Args:
            pattern_id: The pattern; one that is retired already is returned as it is.
            reason: For `history`, at most 1000 characters.

        Raises:
            NotFoundError: There is no such pattern.
        """
        allowed = ["active", "quarantined"]
        pattern, _ = await self._change(pattern_id, "retired", reason, status="retired", allowed=allowed)
        return pattern

    async def revert(self, pattern_id: str, reason: str = "") -> LearningPattern:
        """
        Undo the latest change of a pattern that is not undone yet: its promotion, quarantine or retirement.

        Called again, it undoes the change before. Evidence stays; the history shows the change and its undoing.

        Args:
            pattern_id: The pattern.
            reason: For `history`, at most 1000 characters.

        Raises:
            NotFoundError: There is no such pattern.
            ConflictError: There is nothing to undo, or the pattern is not as its latest change left it.
        """
        known = known_uuid("pattern", pattern_id)
        text = check_text(reason, "reason", at_most=_MAX_REASON, at_least=0)
        # A change that came at this moment is seen by the next attempt.
        for _ in range(_ATTEMPTS):
            rows = await self._fetch(_SQL["revert"], known, uuid7_text(), text)
            if not rows:
                raise NotFoundError("pattern", pattern_id)
            if rows[0]["is_changed"]:
                return read_pattern(rows[0])
            if not rows[0]["has_change"]:
                raise ConflictError("Nothing was done to the pattern that could be undone.")
        raise ConflictError("The pattern is not as its latest change left it: it was changed past its history.")

    async def history(self, pattern_id: str, *, limit: int = 100) -> builtins.list[PatternChange]:
        """
        Return what was done to a pattern, newest first, each with its reason and the evidence at that moment.

        Nobody can change or delete an entry; it goes with the pattern.

        Args:
            pattern_id: The pattern.
            limit: Most changes to return, 1 to 1000.

        Raises:
            NotFoundError: There is no such pattern.
        """
        rows = await self._fetch(_SQL["history"], known_uuid("pattern", pattern_id), check_limit(limit))
        if not rows:
            raise NotFoundError("pattern", pattern_id)
        return [read_change(row) for row in rows if row["id"] is not None]

    async def review(
        self,
        agent_id: str | None = None,
        *,
        pattern_type: str | None = None,
        min_trials: float = 20,
        min_confidence: float = 0.6,
        quarantine_below: float = 0.3,
        reason: str = "review",
        dry_run: bool = False,
    ) -> builtins.list[PatternChange]:
        """
        Promote the active patterns that have proven themselves, quarantine those that have failed; in one statement.

        Patterns that somebody else is changing at this moment are left for the next review, those that `recognize`
        recorded are left alone.

        Args:
            agent_id: Only this agent's patterns; None: the organization's.
            pattern_type: Only those of this kind.
            min_trials: So often a pattern has to have been tried to be promoted, 0 or more.
            min_confidence: So confident it has to be then, in [0, 1].
            quarantine_below: Quarantined is what can hardly succeed so often: the upper bound of the Wilson interval
                of its success rate is lower. In [0, *min_confidence*]; 0: nothing.
            reason: For `history`, 1 to 1000 characters.
            dry_run: Change nothing, only say what would be done.

        Returns:
            What was, or would be, done: promotions first, the best proven first.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        confidence = check_number(min_confidence, "min_confidence", 0, 1)
        rows = await self._fetch(
            _SQL["review"],
            None if agent_id is None else check_text(agent_id, "agent_id"),
            None if pattern_type is None else check_text(pattern_type, "pattern_type", at_most=100),
            check_number(min_trials, "min_trials", 0, _MAX_TRIALS),
            confidence,
            check_number(quarantine_below, "quarantine_below", 0, confidence),
            check_text(reason, "reason", at_most=_MAX_REASON),
            check_flag(dry_run, "dry_run"),
        )
        return [read_change(row) for row in rows]

    async def _change(
        self,
        pattern_id: str,
        change: Literal["promoted", "quarantined", "retired"],
        reason: str,
        *,
        scope: str | None = None,
        status: str | None = None,
        allowed: builtins.list[str],
        evidence: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[LearningPattern, bool]:
        """Change a pattern that is in an *allowed* state and has the *evidence*; return it, and whether it changed."""
        rows = await self._fetch(
            _SQL["change"],
            known_uuid("pattern", pattern_id),
            uuid7_text(),
            change,
            check_text(reason, "reason", at_most=_MAX_REASON, at_least=0),
            scope,
            status,
            allowed,
            *evidence,
        )
        if not rows:
            raise NotFoundError("pattern", pattern_id)
        return read_pattern(rows[0]), rows[0]["is_changed"]
