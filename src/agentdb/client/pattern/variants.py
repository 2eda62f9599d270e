"""
Choosing among variants by their evidence: Thompson sampling, and when to stop.

A variant with s successes and f failures has a success rate that is distributed as Beta(1 + s, 1 + f), if nothing was
known of it before. Counts need not be whole: evidence may have faded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Final, NamedTuple

__all__ = ["Evidence", "draw", "probabilities_best"]

_STEP: Final = 0.4
_REACH: Final = 7.0
_NOTHING: Final = 1e-15


class Evidence(NamedTuple):
    """
    What is known of a variant.

    Attributes:
        successes: Trials that succeeded, 0 or more.
        failures: Trials that did not, 0 or more.
        prior: The success rate that was expected before the first trial, in [0, 1].
        prior_weight: How many trials that expectation is worth, 0 or more.
    """

    successes: float
    failures: float
    prior: float = 0.0
    prior_weight: float = 0.0


def draw(variants: Sequence[Evidence], chance: Random) -> int:
    """
    Return the place of the variant to try, by Thompson sampling.

    For each one a success rate is drawn from Beta(1 + s + w p, 1 + f + w (1 - p)), with the stated prior p that is
    worth w trials; the highest is tried. So a variant is tried as often as it is likely to be the best. (Thompson
    1933; Chapelle and Li 2011.)
    """
    rates = [
        chance.betavariate(1 + v.successes + v.prior_weight * v.prior, 1 + v.failures + v.prior_weight * (1 - v.prior))
        for v in variants
    ]
    return max(range(len(rates)), key=rates.__getitem__)


def probabilities_best(variants: Sequence[Evidence]) -> list[float]:
    """
    Return how likely each variant is to have the highest success rate, by its trials alone: priors do not count.

    P(i is best) is the integral of f_i times the product of the other F_j, f being the density and F the distribution
    of Beta(1 + s, 1 + f). It is computed on the scale of log odds, where densities are smooth and fade at both ends, at
    the points of a grid that is as fine as the narrowest density there; between two points everything is a cubic with
    the right values and slopes at both. No draws, so that a stop that depends on it does not come and go by chance.
    Within 0.0001 of the exact value, for counts up to 10^15.

    Returns:
        A probability for each, in the order of *variants*; together they are 1.
    """
    if len(variants) == 1:
        return [1.0]
    curves = [_Curve.of(variant) for variant in variants]
    # Below `least` the best one cannot be: some variant is sure to be better.
    least = max(curve.low for curve in curves)
    grid = _grid(curves, least)
    densities = [curve.densities(grid) for curve in curves]
    widths = [right - left for left, right in pairwise(grid)]
    below = [_shares_below(values, slopes, widths) for values, slopes in densities]
    # The product of all F_j, and the sum of all f_j / F_j, by which it rises relatively.
    product, rise = [1.0] * len(grid), [0.0] * len(grid)
    for (values, _), shares in zip(densities, below, strict=True):
        product = [p * share for p, share in zip(product, shares, strict=True)]
        rise = [r + value / share for r, value, share in zip(rise, values, shares, strict=True)]
    areas = []
    for (values, slopes), shares in zip(densities, below, strict=True):
        others = [p / share for p, share in zip(product, shares, strict=True)]
        heights = [value * other for value, other in zip(values, others, strict=True)]
        inclines = [
            other * slope + height * (r - value / share)
            for other, slope, height, r, value, share in zip(others, slopes, heights, rise, values, shares, strict=True)
        ]
        areas.append(_running_integral(heights, inclines, widths)[-1])
    whole = sum(areas)
    return [area / whole for area in areas]


def _grid(curves: Sequence[_Curve], least: float) -> list[float]:
    """Return points from *least* up, where all have begun, as close as the narrowest demands that has not ended."""
    points, point, end = [], least, max(curve.high for curve in curves)
    while point < end:
        points.append(point)
        point += min(curve.step for curve in curves if point < curve.high)
    return [*points, end]


class _Curve(NamedTuple):
    """
    The distribution of a success rate's log odds t: density x^a (1 - x)^b / B(a, b) at x = 1 / (1 + exp(-t)).

    Attributes:
        a: 1 and the successes.
        b: 1 and the failures.
        centre: Where the density is highest.
        low: Below it lies next to nothing.
        high: Above it lies next to nothing.
        step: How far apart points may lie that tell its form.
    """

    a: float
    b: float
    centre: float
    low: float
    high: float
    step: float

    @classmethod
    def of(cls, variant: Evidence) -> _Curve:
        a, b = 1 + variant.successes, 1 + variant.failures
        # The tails fall as exp(a t) and exp(-b t), where there are few trials slower than a normal distribution's.
        centre, spread = math.log(a / b), math.sqrt(1 / a + 1 / b)
        return cls(a, b, centre, centre - _reach(a, spread), centre + _reach(b, spread), _STEP * spread)

    def densities(self, grid: Sequence[float]) -> tuple[list[float], list[float]]:
        """
        Return the density at each point of *grid*, and how steep it is there.

        Both come from the height at the centre and the distance to it. The terms of the formula above are as large as
        the counts, and what they differ by would be lost among 10^13.
        """
        fewer, total, exp, expm1 = min(self.a, self.b), self.a + self.b, math.exp, math.expm1
        share, towards = fewer / total, 1 if self.a <= self.b else -1
        height = math.log(self.a * (self.b / total) / math.tau) / 2 + _stirling(total)
        height -= _stirling(self.a) + _stirling(self.b)
        values, slopes = [], []
        for point in grid:
            distance = towards * (point - self.centre)
            growth = expm1(distance)
            logarithm = height + fewer * distance - total * math.log1p(share * growth)
            value = exp(logarithm) if logarithm > -700 else 0.0
            values.append(value)
            slopes.append(towards * value * fewer * growth * (share - 1) / (1 + share * growth))
        return values, slopes


def _stirling(number: float) -> float:
    """Return what Stirling's formula is short of log gamma: lgamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2)."""
    if number > 1000:
        return 1 / (12 * number)
    return math.lgamma(number) - ((number - 0.5) * math.log(number) - number + math.log(math.tau) / 2)


def _reach(trials: float, spread: float) -> float:
    return max(_REACH * spread, 20 / trials)


def _shares_below(values: Sequence[float], slopes: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return how much of a density lies below each point; what lies below the first is what the rest leaves of 1."""
    sums = _running_integral(values, slopes, widths)
    missing = max(0.0, 1 - sums[-1])
    return [max(_NOTHING, missing + part) for part in sums]  # what is divided by is not zero


def _running_integral(values: Sequence[float], slopes: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Return the integral up to each point of what has *values* and *slopes* at the points, *widths* apart."""
    sums, total = [0.0], 0.0
    for place, width in enumerate(widths):
        area = width / 2 * (values[place] + values[place + 1])
        area += width * width / 12 * (slopes[place] - slopes[place + 1])
        total += area if area > 0 else 0.0
        sums.append(total)
    return sums
