"""Two groups compared, against published figures, by counting pairs, and where there is nothing to find."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.evidence import wilson_interval
from agentdb.client.pattern.comparisons import adjust, compare_order, compare_rates
from agentdb.client.pattern.recognition import found_among


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ],
)
def test_the_interval_of_a_difference(one: tuple[int, int], other: tuple[int, int], low: float, high: float) -> None:
    """Table II of Newcombe 1998, method 10."""
    compared = compare_rates(*one, *other)

    assert compared.effect == pytest.approx(one[0] / one[1] - other[0] / other[1])
    assert compared.interval == pytest.approx((low, high), abs=1e-4)


def test_the_score_test() -> None:
    """z^2 is Pearson's chi-square of the table: 56 of 70 and 48 of 80 give 7.0 by (ad - bc)^2 n / (r1 r2 c1 c2)."""
    chi_square = (56 * 32 - 14 * 48) ** 2 * 150 / (70 * 80 * 104 * 46)

    assert compare_rates(56, 70, 48, 80).p_value == pytest.approx(math.erfc(math.sqrt(chi_square / 2)))
    assert compare_rates(20, 20, 20, 20).p_value == compare_rates(0, 20, 0, 30).p_value == 1.0


def test_the_test_of_mann_and_whitney() -> None:
    """The example of scipy's documentation, whose asymptotic p-value is 0.11134688653314041."""
    compared = _ordered([19, 22, 16, 29, 24], [20, 11, 17, 12])

    assert compared.effect == 17 / 20
    assert compared.p_value == pytest.approx(0.11134688653314041, rel=1e-12)


@given(*[st.lists(st.integers(0, 8), min_size=1, max_size=30)] * 2)
def test_the_effect_is_the_share_of_pairs(values: list[int], others: list[int]) -> None:
    """In which the first is greater, equal ones half; turned round, everything is turned round."""
    compared, turned = _ordered(values, others), _ordered(others, values)
    pairs = [(value > other) + (value == other) / 2 for value, other in product(values, others)]

    assert compared.effect == pytest.approx(sum(pairs) / len(pairs))
    assert turned.effect == pytest.approx(1 - compared.effect)
    assert turned.p_value == pytest.approx(compared.p_value)
    low, high = compared.interval
    assert 0 <= low <= compared.effect + 1e-12
    assert compared.effect - 1e-12 <= high <= 1


def test_no_number_of_values_is_beyond_doubt() -> None:
    """Twenty values above twenty others do not say that it is always so; of one pair it says what one trial does."""
    low, high = _ordered([*range(20, 40)], [*range(20)]).interval
    assert (round(low, 2), high) == (0.90, 1.0)
    assert _ordered([2], [1]).interval == pytest.approx(wilson_interval(1, 1), abs=1e-8)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0, 3.0])
def test_the_interval_of_an_effect_holds_what_it_says(shift: float) -> None:
    """The true effect of normal values that lie *shift* apart, 95 times in 100, or more often where it is near 1."""
    world, true = np.random.default_rng(7), 1 - math.erfc(shift / 2) / 2
    held = 0
    for _ in range(800):
        low, high = _ordered(world.normal(shift, 1, 20).tolist(), world.normal(0, 1, 30).tolist()).interval
        held += low <= true <= high
    assert held / 800 > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 800)


def test_what_is_all_equal_does_not_differ() -> None:
    """No order, no evidence."""
    assert _ordered([7] * 30, [7] * 40)[0::2] == (0.5, 1.0)


def test_adjusted_p_values() -> None:
    """The example of Benjamini and Hochberg 1995: 4 of 15 at q = 0.05."""
    p_values = [
        0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
        0.7590, 1.0,
    ]  # fmt: skip
    adjusted = adjust(p_values)

    assert [value <= 0.05 for value in adjusted] == [True] * 4 + [False] * 11
    assert adjusted[3] == pytest.approx(0.0095 * 15 / 4)
    assert adjusted == sorted(adjusted)
    assert adjust(p_values[::-1]) == adjusted[::-1]
    assert adjust([]) == []


@given(st.lists(st.floats(0, 1), max_size=40))
def test_adjusting_never_lowers(p_values: list[float]) -> None:
    """And keeps the order."""
    adjusted = adjust(p_values)
    assert all(p_value <= value + 1e-15 and value <= 1 for p_value, value in zip(p_values, adjusted, strict=True))
    by_p = [value for _, value in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


@pytest.mark.parametrize("kind", ["rates", "continuous", "ties"])
def test_chance_is_found_as_often_as_it_is_said(kind: str) -> None:
    """Where there is no difference, one p-value in twenty is below 0.05."""
    world = np.random.default_rng(3)
    p_values = []
    for _ in range(3000):
        if kind == "rates":
            one, other = world.binomial(40, 0.7), world.binomial(90, 0.7)
            p_values.append(compare_rates(int(one), 40, int(other), 90).p_value)
        else:
            values = world.lognormal(0, 2, 130) if kind == "continuous" else world.integers(0, 5, 130)
            p_values.append(_ordered(values[:40].tolist(), values[40:].tolist()).p_value)

    # 0.05, three standard errors of 3000 to each side; counts are coarse, and the continuity correction is careful
    assert 0.03 < sum(p_value <= 0.05 for p_value in p_values) / len(p_values) < 0.064


def test_nothing_is_found_where_there_is_nothing() -> None:
    """Of 300 looks at 12 factors each that make no difference, about one in twenty finds any."""
    world = np.random.default_rng(5)
    lucky = sum(bool(found_among([_row(world, n) for n in range(12)], 20, 0.05)) for _ in range(300))

    assert lucky / 300 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_what_makes_a_difference_is_found_among_what_does_not() -> None:
    """The surest first, and in the right direction."""
    world = np.random.default_rng(5)
    rows = [_row(world, number) for number in range(12)]
    rows[3] |= {"successes": 95, "other_successes": 60}
    rows[7] |= {"successes": 55, "other_successes": 90}

    found = found_among(rows, 20, 0.01)

    assert [(factor.name, values["measure"], values["is_better"]) for factor, values in found] == [
        ("factor 3", "success", True),
        ("factor 7", "success", False),
    ]
    assert found_among(rows, 101, 0.01) == []


def _row(world: np.random.Generator, number: int) -> dict[str, Any]:
    """A row of `compare`, of 100 executions with and 100 without a factor that makes no difference."""
    successes, others = (int(count) for count in world.binomial(100, 0.7, 2))
    ranks = world.permutation(200)[:100] + 1
    return {
        "agent_id": "a", "kind": "task", "factor": "setting", "name": f"factor {number}", "value": '"x"',
        "trials": 100, "successes": successes, "other_trials": 100, "other_successes": others,
        "timed": 100, "other_timed": 100, "ms_ranks": float(ranks.sum()), "ms_ties": 0.0,
        "priced": 0, "other_priced": 0, "cost_ranks": None, "cost_ties": None,
    }  # fmt: skip


def _ordered(values: list[Any], others: list[Any]) -> Any:
    """Compare two groups, their ranks worked out one by one."""
    both = values + others
    ranks = [sum(other < value for other in both) + (sum(other == value for other in both) + 1) / 2 for value in values]
    ties = sum(both.count(value) ** 3 - both.count(value) for value in set(both))
    return compare_order(sum(ranks), len(values), len(others), ties)
