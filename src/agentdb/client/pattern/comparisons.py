"""
Two groups compared: rates of success, and quantities of which only the order counts. How much they differ, within which
bounds, and how likely such a difference is by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from agentdb.client.evidence import Z, wilson_interval

__all__ = ["Comparison", "adjust", "compare_order", "compare_rates"]


class Comparison(NamedTuple):
    """
    How the first group differs from the second.

    Attributes:
        effect: The difference of rates, in [-1, 1]; or the probability that one of the first group is greater than one
            of the second, equal ones half, in [0, 1].
        interval: Of *effect*, 95 %.
        p_value: How likely a difference like this, to either side, is where there is none.
    """

    effect: float
    interval: tuple[float, float]
    p_value: float


def compare_rates(successes: int, trials: int, other_successes: int, other_trials: int) -> Comparison:
    """
    Compare two rates of success: the score test with the pooled rate, and Newcombe's interval of their difference.

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)), with p the rate of both together. The interval combines the Wilson
    intervals of the two rates. (Newcombe 1998, Statistics in Medicine 17:873, method 10.)

    Args:
        successes: 0 to *trials*.
        trials: 1 or more.
        other_successes: 0 to *other_trials*.
        other_trials: 1 or more.
    """
    rate, other = successes / trials, other_successes / other_trials
    pooled = (successes + other_successes) / (trials + other_trials)
    variance = pooled * (1 - pooled) * (1 / trials + 1 / other_trials)
    effect = rate - other
    low, high = wilson_interval(successes, trials)
    other_low, other_high = wilson_interval(other_successes, other_trials)
    interval = (
        effect - math.hypot(rate - low, other_high - other),
        effect + math.hypot(high - rate, other - other_low),
    )
    return Comparison(effect, interval, 1.0 if variance == 0 else _two_sided(effect / math.sqrt(variance)))


def compare_order(rank_sum: float, count: int, other_count: int, ties: float) -> Comparison:
    """
    Compare two groups by the ranks of their values among each other: the test of Mann and Whitney.

    U = R1 - n1 (n1 + 1) / 2 counts the pairs in which the first group's value is the greater. Its variance, where the
    groups do not differ, is n1 n2 / 12 ((n + 1) - sum(t^3 - t) / (n (n - 1))), for ties of t values each. By the normal
    approximation, with continuity corrected by 1/2. (Mann and Whitney 1947; Hollander, Wolfe and Chicken 2014, section
    4.1.) Neither scale nor outliers matter, and half of the values may lie anywhere above the others.

    The effect is U / (n1 n2). Its interval (Newcombe 2006, Statistics in Medicine 25:559, method 5) holds all from
    which it lies no further than z of the standard deviations that *they* would give it: so it has a width also where
    every value of one group is above all of the other.

    Args:
        rank_sum: Sum of the ranks of the first group's values among all values, 1 for the lowest; equal values share
            the mean of their ranks.
        count: How many values the first group has, 1 or more.
        other_count: How many values the other one has, 1 or more.
        ties: The sum of t^3 - t over every value that occurs, t being how often it does.
    """
    pairs, whole = count * other_count, count + other_count
    greater = rank_sum - count * (count + 1) / 2
    variance = pairs / 12 * ((whole + 1) - ties / (whole * (whole - 1)))
    distance = max(0.0, abs(greater - pairs / 2) - 0.5)
    p_value = 1.0 if variance <= 0 else _two_sided(distance / math.sqrt(variance))
    effect = greater / pairs
    low, high = (_bound(effect, count, other_count, end) for end in (0.0, 1.0))
    return Comparison(effect, (low, high), p_value)


def adjust(p_values: Sequence[float]) -> list[float]:
    """
    Return the p-values adjusted for how many there are, in their order.

    Of what is at most q then, no more than the share q is chance, on average. (Benjamini and Hochberg 1995.)
    """
    adjusted = [1.0] * len(p_values)
    lowest = 1.0
    for rank, place in sorted(enumerate(sorted(range(len(p_values)), key=p_values.__getitem__), 1), reverse=True):
        lowest = min(lowest, p_values[place] * len(p_values) / rank)
        adjusted[place] = lowest
    return adjusted


def _two_sided(z: float) -> float:
    """Return how likely a standard normal variable lies at least as far from 0 as *z*."""
    return math.erfc(abs(z) / math.sqrt(2))


def _bound(effect: float, count: int, other_count: int, end: float) -> float:
    """Return how far towards *end* the true effect may lie, by halving, to 1e-9."""
    within, beyond = effect, end
    for _ in range(30):
        middle = (within + beyond) / 2
        if (middle - effect) ** 2 <= Z * Z * _effect_variance(middle, count, other_count):
            within = middle
        else:
            beyond = middle
    return within


def _effect_variance(effect: float, count: int, other_count: int) -> float:
    half = (count + other_count) / 2 - 1
    return (
        effect
        * (1 - effect)
        * (1 + half * ((1 - effect) / (2 - effect) + effect / (1 + effect)))
        / (count * other_count)
    )
