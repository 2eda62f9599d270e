"""Histograms that can be added up: percentiles within one per cent of numpy's, whatever the numbers."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client.metric.bins import FRACTIONS, RELATIVE_ERROR, bin_key, bin_value, estimated_percentiles
from agentdb.client.metric.parts import Part, joined, part_of_values

NUMBERS = st.floats(-1e300, 1e300) | st.floats(-1000, 1000) | st.sampled_from([0.0, -0.0, 5e-324, -1e-301, 1.0, -1e300])
EQUALS = st.builds(lambda value, count: [value] * count, NUMBERS, st.integers(1, 50))
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=60) | EQUALS


def check_percentiles(found: tuple[float, ...], values: list[float]) -> None:
    ordered = sorted(values)
    for estimate, fraction in zip(found, FRACTIONS, strict=True):
        place = fraction * (len(values) - 1)
        near = max(abs(ordered[math.floor(place)]), abs(ordered[math.ceil(place)]))
        expected = float(numpy.percentile(values, 100 * fraction))
        assert abs(estimate - expected) <= RELATIVE_ERROR * near + 1e-300
        assert min(values) <= estimate <= max(values)


@given(NUMBERS)
def test_a_bin_stands_for_its_numbers(value: float) -> None:
    """Within one per cent; what is all but zero counts as zero."""
    estimate = bin_value(bin_key(value))

    assert abs(estimate - value) <= RELATIVE_ERROR * abs(value) or (abs(value) < 1e-300 and estimate == 0)
    assert bin_key(-value) == -bin_key(value)


@given(NUMBERS, NUMBERS)
def test_keys_sort_as_their_numbers(one: float, other: float) -> None:
    """So that bins in order hold numbers in order."""
    if one <= other:
        assert bin_key(one) <= bin_key(other)


@pytest.mark.parametrize("value", [1.7976931348623157e308, -1.7976931348623157e308, 1e300, 1e-300, 5e-324])
def test_the_ends_of_what_a_float_holds_have_a_bin(value: float) -> None:
    """Also what only SQL by hand can store."""
    assert math.isfinite(bin_value(bin_key(value)))


@given(SAMPLES)
def test_percentiles_are_estimated_within_the_error(values: list[float]) -> None:
    """Of any numbers, and never beyond the least and the greatest."""
    keys, counts = zip(*sorted(Counter(map(bin_key, values)).items()), strict=True)

    check_percentiles(estimated_percentiles(keys, counts, min(values), max(values)), values)


@given(st.lists(SAMPLES, min_size=2, max_size=5))
def test_parts_together_say_what_all_points_say(samples: list[list[float]]) -> None:
    """Count, mean, least and greatest exactly, percentiles within the error, in whatever order they are joined."""
    values = [value for sample in samples for value in sample]
    parts = [part_of_values(sample) for sample in samples]
    largest = max(map(abs, values))

    for whole in (joined(parts), joined([joined(parts[:1]), joined(parts[1:])]), joined(parts[::-1])):
        assert (whole.count, whole.min, whole.max) == (len(values), min(values), max(values))
        mean = float(sum(map(Fraction, values)) / len(values))
        assert whole.avg == pytest.approx(mean, rel=1e-9, abs=1e-12 * largest + 1e-320)
        assert not whole.is_exact
        check_percentiles(tuple(whole.percentiles), values)


def test_a_part_that_stands_alone_is_left_as_it_is() -> None:
    """With its exact percentiles, and without its bins."""
    part = Part(2, 1.5, 1, 2, (1.5, 1.95, 1.99), True, (), ())

    assert joined([part]) is part
