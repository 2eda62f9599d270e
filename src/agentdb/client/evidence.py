"""What a count of trials and successes says about a success rate."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Z", "wilson_interval", "wilson_lower_bound"]

Z: Final = 1.96
"""How many standard deviations an interval of 95 % reaches to each side."""


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """
    Return the Wilson interval of a success rate at z = 1.96, in [0, 1]; (0, 1) without trials.

    (s + z^2/2 -+ z sqrt(s (n - s) / n + z^2/4)) / (n + z^2), for s successes of n trials. (Wilson 1927.)

    Args:
        successes: 0 to *trials*; need not be whole, where evidence has faded.
        trials: 0 or more.
    """
    if trials == 0:
        return 0.0, 1.0
    middle, spread = successes + Z * Z / 2, Z * math.sqrt(successes * ((trials - successes) / trials) + Z * Z / 4)
    whole = trials + Z * Z
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def wilson_lower_bound(successes: float, trials: float) -> float:
    """
    Return the lower bound of the Wilson interval of a success rate, in [0, 1]; 0 without trials.

    A rate that few trials back is bounded low: 1 of 1 gives 0.21, 100 of 100 gives 0.96.
    """
    return wilson_interval(successes, trials)[0]
