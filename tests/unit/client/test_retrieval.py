"""The weights of a search, and the formulas that stand in Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from agentdb import InvalidInputError, SearchWeights
from agentdb.client.memory.retrieval import HALF_LIFE, index_name, recency

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_recency_halves() -> None:
    """1 now and for what is yet to come; never below 0, however old."""
    assert recency(NOW, NOW) == recency(NOW + timedelta(days=9), NOW) == 1
    assert recency(NOW - HALF_LIFE, NOW) == 0.5
    assert recency(NOW - timedelta(days=2), NOW, timedelta(days=1)) == 0.25
    assert 0 <= recency(datetime(1, 1, 2, tzinfo=UTC), NOW, timedelta(microseconds=1)) < 1e-9


def test_weights_are_given_as_they_are_or_in_part() -> None:
    """What is not named is as by default."""
    assert SearchWeights.of(None) == SearchWeights() == SearchWeights.of({})
    assert SearchWeights.of({"recency": 0}) == SearchWeights(recency=0)
    some = SearchWeights(lexical=2)
    assert SearchWeights.of(some) is some


def test_weights_are_checked_when_they_are_made() -> None:
    """Not when they are first used."""
    for wrong in (
        {"recency": 1.1},
        {"importance": -0.1},
        {"lexical": "1"},
        {"semantic": True},
        {"lexical": 0, "semantic": 0},
    ):
        with pytest.raises(InvalidInputError) as caught:
            SearchWeights(**wrong)
        assert caught.value.field.startswith("weights")


def test_half_lives_travel_as_json() -> None:
    """In seconds; nothing where there are none."""
    assert SearchWeights().as_parameters() == (0.5, 0.5, 0.2, 0.2, None, HALF_LIFE.total_seconds())
    weights = SearchWeights(half_life=timedelta(hours=1), half_lives={'a "type"': timedelta(seconds=1.5)})
    assert weights.as_parameters()[-1] == 3600
    assert json.loads(weights.as_parameters()[-2] or "") == {'a "type"': 1.5}


def test_an_index_is_named_after_model_and_length() -> None:
    """Within the 63 bytes that PostgreSQL keeps, whatever the model is called."""
    names = {index_name(model, dimensions) for model in ("a", "b", "é" * 255, "'\"\\") for dimensions in (3, 16_000)}
    assert len(names) == 8
    assert all(len(name.encode()) < 63 and name.isascii() for name in names)
