"""Confidence, and recency."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.evidence import wilson_interval, wilson_lower_bound
from agentdb.client.memory.retrieval import HALF_LIFE, recency

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("successes", "trials", "bound"), [(0, 0, 0.0), (1, 1, 0.2065), (8, 10, 0.4902), (100, 100, 0.9630), (0, 10, 0.0)]
)
def test_the_wilson_lower_bound(successes: int, trials: int, bound: float) -> None:
    """Against figures worked out by hand."""
    assert wilson_lower_bound(successes, trials) == pytest.approx(bound, abs=5e-5)


@given(st.integers(0, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_bound_is_below_the_rate_and_rises_with_success(evidence: tuple[int, int]) -> None:
    """It lies in [0, rate], and one more success never lowers it."""
    successes, trials = evidence
    bound = wilson_lower_bound(successes, trials)

    assert 0 <= bound <= (successes / trials if trials else 0)
    assert wilson_lower_bound(successes + 1, trials + 1) >= bound


@given(st.floats(0, 1e6), st.floats(1e-9, 1e6))
def test_the_interval_holds_the_rate_and_turns_round_with_it(successes: float, failures: float) -> None:
    """For evidence that has faded too: failures are bounded as successes are."""
    trials = successes + failures
    low, high = wilson_interval(successes, trials)

    assert 0 <= low <= successes / trials + 1e-9
    assert successes / trials - 1e-9 <= high <= 1
    assert wilson_interval(failures, trials) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_without_trials_everything_is_possible() -> None:
    """And nothing is confident."""
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_recency_halves() -> None:
    """Every half-life; what is yet to come has not begun to fade."""
    assert recency(NOW, NOW) == 1.0
    assert recency(NOW - HALF_LIFE, NOW) == 0.5
    assert recency(NOW - 2 * HALF_LIFE, NOW) == 0.25
    assert recency(NOW + timedelta(days=1), NOW) == 1.0
    assert 0 <= recency(datetime.min.replace(tzinfo=UTC), NOW) < math.ulp(1.0)
