"""Thompson sampling, and how likely a variant is to be the best."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdb.client.pattern.variants import Evidence, _Curve, _grid, draw, probabilities_best

counts = st.one_of(st.integers(0, 40), st.integers(0, 5000), st.floats(0, 100))
evidence = st.builds(Evidence, counts, counts)


def _exactly(one: Evidence, other: Evidence) -> float:
    """How likely *other* is better than *one*, for whole numbers: a finite sum (Miller 2015)."""
    a, b, c, d = (1 + float(count) for count in (one.successes, one.failures, other.successes, other.failures))
    return math.fsum(
        math.exp(_log_beta(a + i, b + d) - math.log(d + i) - _log_beta(1 + i, d) - _log_beta(a, b))
        for i in range(int(c))
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@given(*[st.builds(Evidence, st.integers(0, 3000), st.integers(0, 3000))] * 2)
@settings(max_examples=200)
def test_two_variants_against_the_exact_sum(one: Evidence, other: Evidence) -> None:
    """To 0.0002, whether little is known or much, and of both or of one."""
    worse, better = probabilities_best([one, other])

    assert better == pytest.approx(_exactly(one, other), abs=2e-4)
    assert worse + better == pytest.approx(1)


@pytest.mark.parametrize(
    "variants",
    [
        [Evidence(10, 5), Evidence(100, 80), Evidence(3, 1), Evidence(300, 300), Evidence(0, 2)],
        [Evidence(0, 0), Evidence(0.5, 0.25), Evidence(4.5, 1)],
        [Evidence(9, 1), Evidence(9, 1), Evidence(9, 1), Evidence(90_000, 10_000)],
        [Evidence(0, 50), Evidence(50, 0), Evidence(0, 0)],
    ],
)
def test_several_variants_against_draws(variants: list[Evidence]) -> None:
    """400,000 of them agree to three of their standard errors."""
    draws = np.random.default_rng(1).beta(
        [1 + v.successes for v in variants], [1 + v.failures for v in variants], (400_000, len(variants))
    )
    shares = np.bincount(draws.argmax(axis=1), minlength=len(variants)) / len(draws)

    assert probabilities_best(variants) == pytest.approx(shares, abs=3 * 0.5 / math.sqrt(len(draws)))


@given(st.lists(evidence, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_they_are_probabilities_in_the_order_of_the_variants(variants: list[Evidence], chance: Random) -> None:
    """They add up to 1, and another order is the same ones in another order."""
    order = list(range(len(variants)))
    chance.shuffle(order)
    best = probabilities_best(variants)

    assert all(0 <= likely <= 1 + 1e-9 for likely in best)
    assert sum(best) == pytest.approx(1)
    assert probabilities_best([variants[place] for place in order]) == pytest.approx([best[place] for place in order])


@given(st.integers(1, 5), evidence)
def test_equal_variants_are_equally_likely(count: int, variant: Evidence) -> None:
    """Each is the best one time in so many; what was expected of them is no matter."""
    variants = [variant._replace(prior=place / 5, prior_weight=100.0 * place) for place in range(count)]
    assert probabilities_best(variants) == pytest.approx([1 / count] * count)


@pytest.mark.parametrize("scale", [1e3, 1e6, 1e9, 1e12])
def test_large_counts(scale: float) -> None:
    """A sliver of a difference is enough when there are many trials."""
    variants = [
        Evidence(scale, scale),
        Evidence(scale + 3 * math.sqrt(scale), scale - 3 * math.sqrt(scale)),
        Evidence(1, 2),
    ]
    best = probabilities_best(variants)
    # the narrow ones differ by 3 sqrt(scale) / (2 scale), three standard deviations of the difference of their rates
    assert best[0] / best[1] == pytest.approx(math.erfc(3 / math.sqrt(2)) / (2 - math.erfc(3 / math.sqrt(2))), rel=0.25)


@pytest.mark.parametrize("count", [0, 1, 1e3, 1e6, 1e9, 1e12, 1e13, 1e14, 1e15])
@pytest.mark.parametrize("distance", [0, 0.5, 1, 3])
def test_no_count_is_too_large(count: float, distance: float) -> None:
    """Much evidence is as good as a normal distribution, and what never failed has a formula of its own."""
    one, other = Evidence(count / 2, count / 2), Evidence(count, 0)
    half = math.sqrt(count) / 2
    better = Evidence(count / 2 + distance * half, max(0.0, count / 2 - distance * half))
    # Of rates that differ by *distance* standard deviations of one, so many are in the right order.
    expected = 1 - math.erfc(distance / 2) / 2

    assert probabilities_best([one, better])[1] == pytest.approx(expected, abs=2e-3 if count >= 1e3 else 0.5)
    # Beta(a, 1) and Beta(c, 1): a / (a + c)
    half_of_it = Evidence(count / 2, 0)
    assert probabilities_best([other, half_of_it])[0] == pytest.approx((1 + count) / (2 + 1.5 * count), abs=1e-4)


@pytest.mark.parametrize("spread", [0, 1, 100])
def test_the_work_grows_with_the_variants(spread: int) -> None:
    """Points are shared by variants alike: a hundred of them take not much more than ten."""
    chance = Random(1)
    variants = [Evidence(chance.uniform(500, 500 + spread), 500 + chance.random()) for _ in range(100)]
    points = len(_grid([_Curve.of(variant) for variant in variants], -1))

    assert points < 3 * len(_grid([_Curve.of(variant) for variant in variants[:10]], -1))
    assert sum(probabilities_best(variants)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("variant", "mean"),
    [
        (Evidence(0, 0), 1 / 2),
        (Evidence(8, 2), 9 / 12),
        (Evidence(0, 0, 0.9, 8), 8.2 / 10),
        (Evidence(2, 4, 0.5, 2), 4 / 10),
    ],
)
def test_a_variant_is_drawn_as_often_as_it_is_likely_to_be_better(variant: Evidence, mean: float) -> None:
    """Against one that succeeds as often as not, by Beta(1 + s + w p, 1 + f + w (1 - p))."""
    a = 1 + variant.successes + variant.prior_weight * variant.prior
    b = 1 + variant.failures + variant.prior_weight * (1 - variant.prior)
    assert a / (a + b) == pytest.approx(mean)
    other, chance = Evidence(500, 500), Random(1)

    share = Counter(draw([other, variant], chance) for _ in range(10_000))[1] / 10_000

    expected = probabilities_best([other, Evidence(a - 1, b - 1)])[1]
    assert share == pytest.approx(expected, abs=0.02)


def _settles(rates: list[float], seed: int, trials: int) -> tuple[int, int] | None:
    """Return after how many trials an experiment settles, looked at after each one, and on which variant."""
    chance, successes, failures = Random(seed), [0] * len(rates), [0] * len(rates)
    for trial in range(1, trials + 1):
        tried = draw([Evidence(s, f) for s, f in zip(successes, failures, strict=True)], chance)
        count = successes if chance.random() < rates[tried] else failures
        count[tried] += 1
        best = probabilities_best([Evidence(s, f) for s, f in zip(successes, failures, strict=True)])
        if max(best) >= 0.99:
            return trial, best.index(max(best))
    return None


def test_what_settles_is_the_best() -> None:
    """Whatever the rates are, of what settles within 200 trials next to nothing is worse than another one by much."""
    lost = []
    for seed in range(80):
        world = Random(1000 + seed)
        rates = [world.random(), world.random()]
        settled = _settles(rates, seed, 200)
        if settled is not None:
            lost.append(max(rates) - rates[settled[1]])

    assert len(lost) > 40
    assert sum(loss > 0 for loss in lost) <= 3  # 1 % of them, and chance
    assert sum(lost) / len(lost) < 0.005


def test_clear_differences_settle_soon() -> None:
    """One that succeeds four times as often, within 150 trials nine times out of ten."""
    trials = [_settles([0.2, 0.8], seed, 150) for seed in range(40)]

    assert sum(settled is not None and settled[1] == 1 for settled in trials) >= 36
