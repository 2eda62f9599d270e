"""Patterns: what was learned, chosen and found."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from agentdb.models.base import Row

__all__ = [
    "Choice",
    "Finding",
    "LearningPattern",
    "PatternChange",
]


class LearningPattern(Row):
    """
    Something learned, with its evidence.

    Attributes:
        trials: How often it was tried; *successes* of them worked. Where evidence fades: what is left of it, no whole
            numbers.
        confidence: Lower bound of the Wilson interval of the success rate (z = 1.96), in [0, 1]; 0 without trials.
        total_trials: How often it was tried since it was recorded; *total_successes* of them worked.
        prior: The success rate that was expected before the first trial, as good as *prior_weight* trials. It shapes
            what `Patterns.choose` picks, and is no part of the evidence.
        half_life_days: After so many days evidence counts half; None: it does not fade.
        scope: "agent" or "organization".
        status: "active", "quarantined" or "retired".
    """

    id: str
    agent_id: str
    pattern_type: str
    name: str
    content: Any
    trials: int | float
    successes: int | float
    confidence: float
    total_trials: int
    total_successes: int
    prior: float | None
    prior_weight: float
    half_life_days: float | None
    scope: Literal["agent", "organization"]
    status: Literal["active", "quarantined", "retired"]
    created_at: datetime
    updated_at: datetime


class PatternChange(Row):
    """
    Something that was done to a pattern; it is never changed.

    Attributes:
        change: "promoted", "quarantined", "retired" or "reverted".
        reason: Why, in the words of who did it.
        reverts_id: The change that this one undid.
        trials: The evidence at that moment: *successes* of so many trials, and the *confidence* that they gave.
    """

    id: str
    pattern_id: str
    pattern_name: str
    change: Literal["promoted", "quarantined", "retired", "reverted"]
    reason: str
    reverts_id: str | None
    old_scope: Literal["agent", "organization"]
    new_scope: Literal["agent", "organization"]
    old_status: Literal["active", "quarantined", "retired"]
    new_status: Literal["active", "quarantined", "retired"]
    trials: float
    successes: float
    confidence: float
    at: datetime


class Choice(Row):
    """
    The variant that was picked.

    Attributes:
        settled: Whether the stop rule is met: the evidence says which variant is the best, and that one was picked.
        probability_best: By the id of each variant, how likely it is to be the best, by its trials alone.
    """

    pattern: LearningPattern
    settled: bool
    probability_best: dict[str, float]

    @property
    def id(self) -> str:
        """The id of the pattern: what `Patterns.outcome` takes."""
        return self.pattern.id

    @property
    def name(self) -> str:
        """The name of the pattern; may be empty."""
        return self.pattern.name

    @property
    def content(self) -> Any:
        """What to use."""
        return self.pattern.content


class Finding(Row):
    """
    A factor that makes a difference: executions with it are compared with those of the same agent and kind without it.

    Attributes:
        agent_id: Whose executions.
        kind: Of what kind of task; None: those whose kind nobody said.
        factor: "tool": the tool *name* was called; "model": the model was *value*, others had another one; "setting":
            the setting *name* was *value*, others had another one.
        name: Of the tool or the setting; "model" for a model.
        value: Of the setting or the model; None for a tool.
        measure: "success", "time" or "cost".
        trials: Executions with the factor; *successes* of them were completed.
        other_trials: Executions without it; *other_successes* of them were completed.
        typical: The success rate of executions with the factor; of time and cost their median, in milliseconds or
            US dollars, over the *counted* executions that have it.
        other_typical: The same of executions without it, over *other_counted*.
        effect: The difference of the success rates. Of time and cost the probability that an execution with the factor
            has more than one without it, equal ones half: 0.5 is no difference.
        interval: Of *effect*, 95 %.
        p_value: How likely a difference like this is where there is none.
        adjusted_p_value: The same, adjusted for everything that was compared (Benjamini and Hochberg).
        is_better: Whether executions with the factor succeed more often, take less time or cost less.
        pattern_id: The pattern it was recorded in; None when it was only looked for.
    """

    agent_id: str
    kind: str | None
    factor: Literal["tool", "model", "setting"]
    name: str
    value: Any
    measure: Literal["success", "time", "cost"]
    trials: int
    successes: int
    other_trials: int
    other_successes: int
    counted: int
    other_counted: int
    typical: float
    other_typical: float
    effect: float
    interval: tuple[float, float]
    p_value: float
    adjusted_p_value: float
    is_better: bool
    pattern_id: str | None
