"""The `learning_patterns` table: what agents learned, with the evidence for it."""

from __future__ import annotations

import builtins
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, Final, Literal

from agentdb.client.evidence import wilson_lower_bound
from agentdb.client.execution.running import running_id, visible_execution
from agentdb.client.pattern.life import PatternLife
from agentdb.client.pattern.recognition import RECOGNIZED, PatternRecognition
from agentdb.client.pattern.rows import read_pattern
from agentdb.client.pattern.variants import Evidence, draw, probabilities_best
from agentdb.client.queries import load_queries
from agentdb.client.resource import known_uuid
from agentdb.errors import ConflictError, InvalidInputError, NotFoundError
from agentdb.ids import keyed_uuid, uuid7_text
from agentdb.models import Choice, LearningPattern, from_row
from agentdb.validation import check_flag, check_json, check_limit, check_number, check_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentdb.postgres.driver import Record

__all__ = ["Patterns", "wilson_lower_bound"]

_SQL: Final = load_queries("patterns")
_ATTEMPTS: Final = 3
_MAX_PRIOR_WEIGHT: Final = 1e6
_MAX_HALF_LIFE_DAYS: Final = 36_500
_chance: Final = SystemRandom()  # needs no seed, so that a forked process does not choose what its parent does


class Patterns(PatternLife, PatternRecognition):
    """
    What agents learned. Its confidence is computed from trials and successes, never taken from a caller.

    Variants of one thing, a prompt for example, are patterns of one agent and type: `choose` picks one, `outcome` says
    how it did.
    """

    async def record(
        self,
        agent_id: str,
        pattern_type: str,
        content: Any,
        *,
        name: str = "",
        scope: Literal["agent", "organization"] = "agent",
        prior: float | None = None,
        prior_weight: float | None = None,
        half_life_days: float | None = None,
        idempotency_key: str | None = None,
    ) -> LearningPattern:
        """
        Record a pattern, without evidence yet; `outcome` adds it. One round trip.

        A name stands for one pattern of an agent and type: recorded again with equal content, the one that is there is
        returned as it is, promoted or quarantined and with its evidence, whatever the other arguments say. So an agent
        may record its variants whenever it starts. Content never changes, for the evidence is about it: another content
        takes another name. Without a name every call records another pattern.

        Args:
            agent_id: The agent that learned it.
            pattern_type: Its kind, 1 to 100 characters, for example "prompt"; not "recognized".
            content: What was learned: anything that is JSON.
            name: At most 255 characters.
            scope: "agent": for this agent alone; "organization": for every agent.
            prior: The success rate to expect before the first trial, in [0, 1]. It shapes what `choose` picks, and is
                no part of trials and confidence.
            prior_weight: How many trials the prior is worth, 0 to 1,000,000; 2 when there is a prior.
            half_life_days: After so many days evidence counts half, 0.001 to 36,500, so that a pattern that was good
                once has to prove itself again. None: evidence does not fade.
            idempotency_key: A write that is retried with the same key lands once.

        Raises:
            NotFoundError: The agent is not registered.
            ConflictError: The idempotency key belongs to another pattern, or the name to another content.
            InvalidInputError: *content* is not JSON, or another argument does not fit.
        """
        if scope not in ("agent", "organization"):
            raise InvalidInputError("scope", 'expected "agent" or "organization".')
        if pattern_type == RECOGNIZED:
            raise InvalidInputError("pattern_type", f'"{RECOGNIZED}" is kept for what `recognize` finds.')
        agent = check_text(agent_id, "agent_id")
        key = None if idempotency_key is None else check_text(idempotency_key, "idempotency_key")
        id = uuid7_text() if key is None else str(keyed_uuid(agent, key))
        row = (
            check_text(pattern_type, "pattern_type", at_most=100),
            check_text(name, "name", at_least=0),
            check_json(content, "content"),
            scope,
            *_prior(prior, prior_weight),
            _half_life(half_life_days),
        )
        # Who records the same name at the same moment is seen by the next attempt.
        for _ in range(_ATTEMPTS):
            rows = await self._fetch(_SQL["record"], id, agent, *row, agent=agent)
            if rows:
                return _recorded(rows, id)
        raise ConflictError("The pattern was recorded and deleted again meanwhile.")

    async def outcome(
        self,
        pattern_id: str,
        success: bool,
        *,
        execution_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> LearningPattern:
        """
        Count a trial of a pattern, and whether it succeeded; concurrent outcomes are all counted. One round trip.

        Args:
            pattern_id: The pattern, also one that was quarantined or retired meanwhile.
            success: Whether it worked.
            execution_id: The execution in which it was tried; None: the one that is running now, if there is one.
            idempotency_key: An outcome that is retried with the same key counts once.

        Returns:
            The pattern with its new evidence.

        Raises:
            NotFoundError: There is no such pattern or execution.
            ConflictError: The idempotency key belongs to another outcome.
            InvalidInputError: *success* is neither True nor False, or the key does not fit.
        """
        known = known_uuid("pattern", pattern_id)
        key = None if idempotency_key is None else check_text(idempotency_key, "idempotency_key")
        id = uuid7_text() if key is None else str(keyed_uuid(str(known), key))
        execution = running_id(self._client) if execution_id is None else str(known_uuid("execution", execution_id))
        worked, is_named = check_flag(success, "success"), execution_id is not None
        rows = await self._retried(
            lambda: self._fetch(_SQL["outcome"], known, id, worked, execution, is_named, pattern=pattern_id)
        )
        if not rows:
            raise NotFoundError("pattern", pattern_id)
        if not rows[0]["execution_known"] and rows[0]["recorded"] is None:
            raise NotFoundError("execution", str(execution_id))
        if rows[0]["recorded"] not in (None, worked):
            raise ConflictError("The idempotency key belongs to another outcome.", constraint="learning_outcomes_pkey")
        return read_pattern(rows[0])

    async def get(self, pattern_id: str) -> LearningPattern:
        """
        Return one pattern, whatever its status.

        Raises:
            NotFoundError: There is no such pattern.
        """
        rows = await self._fetch(_SQL["get"], known_uuid("pattern", pattern_id))
        if not rows:
            raise NotFoundError("pattern", pattern_id)
        return read_pattern(rows[0])

    async def list(
        self,
        agent_id: str,
        *,
        min_confidence: float = 0.0,
        pattern_type: str | None = None,
        include_shared: bool = True,
        include_inactive: bool = False,
        limit: int = 100,
    ) -> builtins.list[LearningPattern]:
        """
        Return an agent's active patterns, most confident first, ties by newest.

        Args:
            agent_id: Whose patterns.
            min_confidence: Only those at least this confident, in [0, 1].
            pattern_type: Only those of this kind.
            include_shared: Also those of the whole organization.
            include_inactive: Also those that are quarantined or retired.
            limit: Most patterns to return, 1 to 1000.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        rows = await self._fetch(
            _SQL["list"],
            check_text(agent_id, "agent_id"),
            check_flag(include_shared, "include_shared"),
            None if pattern_type is None else check_text(pattern_type, "pattern_type", at_most=100),
            check_number(min_confidence, "min_confidence", 0, 1),
            check_limit(limit),
            check_flag(include_inactive, "include_inactive"),
        )
        return [read_pattern(row) for row in rows]

    async def choose(
        self, agent_id: str, pattern_type: str, *, settle_at: float = 0.99, random: Random | None = None
    ) -> Choice:
        """
        Pick one of the variants of something, by how they did so far; in one round trip.

        Thompson sampling: each is picked as often as it is likely to be the best, so that what fails is tried less and
        less. It counts nothing: `outcome` does. The stop rule: once the evidence says with a probability of *settle_at*
        that one variant is the best, the choice is settled, and that one is picked as long as the evidence says so.

        Inside of an execution the choice is noted among its settings, under *pattern_type*: its name, or its id where
        it has none.

        Args:
            agent_id: Whose variants: the agent's active patterns of that type, and those of the whole organization.
            pattern_type: What to choose, for example "prompt".
            settle_at: How likely the best one has to be, in [0.5, 1); 1: never settle. A single variant is settled.
            random: Where chance comes from; None: the operating system.

        Raises:
            NotFoundError: There are no variants.
        """
        kind = check_text(pattern_type, "pattern_type", at_most=100)
        threshold = check_number(settle_at, "settle_at", 0.5, 1)
        if random is not None and not isinstance(random, Random):
            raise InvalidInputError("random", f"expected a random.Random, got {type(random).__name__}.")
        rows = await self._fetch(_SQL["variants"], check_text(agent_id, "agent_id"), kind)
        if not rows:
            raise NotFoundError(
                "pattern", kind, f"The agent has no active pattern of the type {kind[:100]!r} to choose from."
            )
        choice = _choice([read_pattern(row) for row in rows], threshold, _chance if random is None else random)
        running = visible_execution(self._client)
        if running is not None:
            running.settings[kind] = choice.name or choice.id
        return choice


def _recorded(rows: Sequence[Record], id: str) -> LearningPattern:
    """Return the pattern that was recorded, now or before; ConflictError when it is another one."""
    row = next((row for row in rows if row["id"] == id), rows[0])
    if not row["is_same"]:
        if row["id"] == id:
            raise ConflictError("The idempotency key belongs to another pattern.", constraint="learning_patterns_pkey")
        raise ConflictError(
            "The agent has a pattern of this type and name with another content already; record it under another name, "
            "so that it gathers evidence of its own.",
            constraint="learning_patterns_name_key",
        )
    return read_pattern(row)


def _choice(patterns: builtins.list[LearningPattern], threshold: float, chance: Random) -> Choice:
    variants = [Evidence(p.successes, p.trials - p.successes, p.prior or 0.0, p.prior_weight) for p in patterns]
    best = probabilities_best(variants)
    leader = max(range(len(best)), key=best.__getitem__)
    settled = len(best) == 1 or (threshold < 1 and best[leader] >= threshold)
    chosen = patterns[leader if settled else draw(variants, chance)]
    by_id = {pattern.id: likely for pattern, likely in zip(patterns, best, strict=True)}
    return from_row(Choice, {"pattern": chosen, "settled": settled, "probability_best": by_id})


def _prior(prior: float | None, weight: float | None) -> tuple[float | None, float]:
    if prior is None:
        if weight is not None:
            raise InvalidInputError("prior_weight", "weighs a prior, and there is none.")
        return None, 0.0
    weighs = 2.0 if weight is None else check_number(weight, "prior_weight", 0, _MAX_PRIOR_WEIGHT)
    return check_number(prior, "prior", 0, 1), weighs


def _half_life(days: float | None) -> float | None:
    return None if days is None else check_number(days, "half_life_days", 0.001, _MAX_HALF_LIFE_DAYS)
