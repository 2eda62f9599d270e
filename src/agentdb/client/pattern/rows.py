"""Rows of patterns and of their changes, as the models that callers get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentdb.client.evidence import wilson_lower_bound
from agentdb.models import LearningPattern, PatternChange, from_row
from agentdb.validation import parse_json

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["read_change", "read_pattern"]


def read_pattern(record: Record) -> LearningPattern:
    """Return the pattern of a row with the fragment `pattern`; other columns are left out."""
    values = {name: record[name] for name in _STORED}
    values["content"] = parse_json(record["content"])
    fades = values["half_life_days"] is not None
    values["trials"] = record["shown_trials"] if fades else record["total_trials"]
    values["successes"] = record["shown_successes"] if fades else record["total_successes"]
    values["confidence"] = wilson_lower_bound(values["successes"], values["trials"])
    return from_row(LearningPattern, values)


def read_change(record: Record) -> PatternChange:
    """Return the change of a row with the fragment `change`."""
    values = dict(record.items())
    values["confidence"] = wilson_lower_bound(values["successes"], values["trials"])
    return from_row(PatternChange, values)


_STORED = tuple(name for name in LearningPattern.model_fields if name not in {"trials", "successes", "confidence"})
