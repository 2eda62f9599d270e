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


class LearningPattern(Row, frozen=True):
    """Something learned, with its evidence."""

    id: str
    agent_id: str
    pattern_type: str
    name: str
    content: Any
    """What was learned, as JSON."""
    trials: int | float
    """
    How often it was tried; *successes* of them worked. Where evidence fades: what is left of it, no whole numbers.
    """
    successes: int | float
    """How many of *trials* worked."""
    confidence: float
    """Lower bound of the Wilson interval of the success rate (z = 1.96), in [0, 1]; 0 without trials."""
    total_trials: int
    """How often it was tried since it was recorded; *total_successes* of them worked."""
    total_successes: int
    """How many of *total_trials* worked."""
    prior: float | None
    """
    The success rate that was expected before the first trial, as good as *prior_weight* trials. It shapes what
    `Patterns.choose` picks, and is no part of the evidence.
    """
    prior_weight: float
    """How many trials *prior* is worth."""
    half_life_days: float | None
    """After so many days evidence counts half; None: it does not fade."""
    scope: Literal["agent", "organization"]
    status: Literal["active", "quarantined", "retired"]
    created_at: datetime
    updated_at: datetime


class PatternChange(Row, frozen=True):
    """Something that was done to a pattern; it is never changed."""

    id: str
    pattern_id: str
    pattern_name: str
    change: Literal["promoted", "quarantined", "retired", "reverted"]
    reason: str
    """Why, in the words of who did it."""
    reverts_id: str | None
    """The change that this one undid."""
    old_scope: Literal["agent", "organization"]
    new_scope: Literal["agent", "organization"]
    old_status: Literal["active", "quarantined", "retired"]
    new_status: Literal["active", "quarantined", "retired"]
    trials: float
    """The evidence at that moment: *successes* of so many trials, and the *confidence* that they gave."""
    successes: float
    """How many of *trials* worked."""
    confidence: float
    """The confidence that they gave, in [0, 1]."""
    at: datetime


class Choice(Row, frozen=True):
    """The variant that was picked."""

    pattern: LearningPattern
    settled: bool
    """Whether the stop rule is met: the evidence says which variant is the best, and that one was picked."""
    probability_best: dict[str, float]
    """By the id of each variant, how likely it is to be the best, by its trials alone."""

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


class Finding(Row, frozen=True):
    """
    A factor that makes a difference: executions with it are compared with those of the same agent and kind without it.
    """

    agent_id: str
    """Whose executions."""
    kind: str | None
    """Of what kind of task; None: those whose kind nobody said."""
    factor: Literal["tool", "model", "setting"]
    """
    "tool": the tool *name* was called; "model": the model was *value*, others had another one; "setting": the setting
    *name* was *value*, others had another one.
    """
    name: str
    """Of the tool or the setting; "model" for a model."""
    value: Any
    """Of the setting or the model; None for a tool."""
    measure: Literal["success", "time", "cost"]
    """What is compared: the share of successes, durations in milliseconds, or costs in US dollars."""
    trials: int
    """Executions with the factor; *successes* of them were completed."""
    successes: int
    """How many of *trials* were completed."""
    other_trials: int
    """Executions without it; *other_successes* of them were completed."""
    other_successes: int
    """How many of *other_trials* were completed."""
    counted: int
    """How many executions with the factor have what *typical* is made of."""
    other_counted: int
    """The same of executions without it."""
    typical: float
    """
    The success rate of executions with the factor; of time and cost their median, in milliseconds or US dollars, over
    the *counted* executions that have it.
    """
    other_typical: float
    """The same of executions without it, over *other_counted*."""
    effect: float
    """
    The difference of the success rates. Of time and cost the probability that an execution with the factor has more
    than one without it, equal ones half: 0.5 is no difference.
    """
    interval: tuple[float, float]
    """Of *effect*, 95 %."""
    p_value: float
    """How likely a difference like this is where there is none."""
    adjusted_p_value: float
    """The same, adjusted for everything that was compared (Benjamini and Hochberg)."""
    is_better: bool
    """Whether executions with the factor succeed more often, take less time or cost less."""
    pattern_id: str | None
    """The pattern it was recorded in; None when it was only looked for."""
