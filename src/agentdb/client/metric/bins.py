"""
Histograms of any numbers that can be added up, and percentiles from them within one per cent: pure arithmetic.

The bins are those of DDSketch (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", PVLDB 12 (2019)): bin k holds the numbers in (g^(k - 1), g^k], and stands for the one from
which neither end is farther, relatively, than (g - 1) / (g + 1). Here ln g is 0.0198, which makes that 0.99 %; the rest
of the per cent is for rounding. What is nearer to zero than 1e-300 counts as zero.

A key is k + 40,000, which is positive for every number that can be stored; that of a negative number is the negative of
its opposite's, that of zero is 0. So keys sort as the numbers do. The fragment `bin_key` of metrics.sql is `bin_key`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

__all__ = ["FRACTIONS", "RELATIVE_ERROR", "bin_key", "bin_value", "estimated_percentiles"]

FRACTIONS: Final = (0.5, 0.95, 0.99)
"""The percentiles that are kept, as fractions."""

RELATIVE_ERROR: Final = 0.01
"""How far an estimate is from what it stands for, at most, as a part of it."""

_WIDTH: Final = 0.0198
_OFFSET: Final = 40_000
_TINIEST: Final = 1e-300
_LARGEST_EXPONENT: Final = 709.0
_MIDDLE: Final = 2 / (math.exp(_WIDTH) + 1)


def bin_key(value: float) -> int:
    """Return the key of the bin that holds *value*."""
    size = abs(value)
    if size < _TINIEST:
        return 0
    key = math.ceil(math.log(size) / _WIDTH) + _OFFSET
    return key if value > 0 else -key


def bin_value(key: int) -> float:
    """Return the number that stands for those of a bin."""
    if key == 0:
        return 0.0
    size = _MIDDLE * math.exp(min((abs(key) - _OFFSET) * _WIDTH, _LARGEST_EXPONENT))
    return size if key > 0 else -size


def estimated_percentiles(keys: Sequence[int], counts: Sequence[int], low: float, high: float) -> tuple[float, ...]:
    """
    Return the percentiles of `FRACTIONS`, interpolated between neighbours in order as numpy does.

    Args:
        keys: The bins that hold any of the numbers, at least one, in order.
        counts: How many each of them holds.
        low: The least number.
        high: The greatest.

    Returns:
        For each fraction a number from *low* to *high*. Each of the two numbers that it is interpolated between is
        within `RELATIVE_ERROR` of the true one.
    """
    sums = list(accumulate(counts))
    last = sums[-1] - 1

    def number(place: int) -> float:
        """Return what stands for the number at *place* of all in order; the ends are known, and none lies beyond."""
        if place == 0:
            return low
        return high if place == last else min(max(bin_value(keys[bisect_right(sums, place)]), low), high)

    def between(place: float) -> float:
        before, after = number(math.floor(place)), number(math.ceil(place))
        return before + (after - before) * (place - math.floor(place))

    return tuple(between(fraction * last) for fraction in FRACTIONS)
