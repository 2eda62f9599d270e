"""Embeddings as they are found."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from array import array

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentdb.sqlite.embeddings import is_pickle, read_embedding
from agentdb.sqlite.values import Refused

VECTORS = st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=32).filter(
    lambda values: sum(value * value for value in values) > 0.01
)


def numpy_file(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


@given(VECTORS)
def test_every_form(values: list[float]) -> None:
    """JSON, 32-bit floats, and NumPy's file of either width give the same vector."""
    wanted = array("f", values)
    raw = wanted.tobytes()
    assume(not is_pickle(raw))
    assert read_embedding(json.dumps(values)) == wanted
    assert read_embedding(raw) == wanted
    assert read_embedding(numpy_file(np.array(values, np.float32))) == wanted
    assert read_embedding(numpy_file(np.array([values], np.float64))) == wanted


def test_wide_floats() -> None:
    """64-bit floats are told from 32-bit ones by what they would be as such."""
    values = np.random.default_rng(7).normal(size=(200, 384))
    for vector in values / np.linalg.norm(values, axis=1, keepdims=True):
        assert read_embedding(vector.tobytes()) == array("f", vector.tolist())
        assert read_embedding(vector.astype(np.float32).tobytes()) == array("f", vector.astype(np.float32).tolist())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 384])
def test_round_numbers(count: int) -> None:
    """A width is told as well where numbers are so round that half of a 64-bit float is 0, and where they are few."""
    ramp = np.arange(1, count + 1)
    for values in (np.ones(count), ramp / 10, ramp, np.eye(count)[0], np.eye(count)[-1], ramp / ramp.sum()):
        for kind in (np.float32, np.float64):
            assert read_embedding(values.astype(kind).tobytes()) == array("f", values.astype(np.float32).tolist())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pickle.dumps([0.1, 0.2]), "never unpickled"),
        (pickle.dumps([0.1, 0.2], protocol=0), "never unpickled"),
        (pickle.dumps(np.zeros(3)), "never unpickled"),
        (numpy_file(np.array([{}], object)), "never unpickled"),
        (numpy_file(np.ones((2, 3))), "no single vector"),
        (numpy_file(np.ones(3, np.int32)), "no single vector"),
        (b"\x93NUMPY\x01\x00", "no single vector"),
        (b"\x93NUMPY\x01\x00\x10\x00__import__('os')", "no single vector"),
        (b"abc", "3 bytes that are neither"),
        (b"", "0 bytes that are neither"),
        (array("f", [float("nan")] * 4).tobytes(), "neither"),
        (bytes(16), "neither"),
        ("[0, 0]", "all zero"),
        ("[]", "has 0 numbers"),
        ('["a"]', "no array of numbers"),
        ("[true]", "no array of numbers"),
        ("[1e300]", "not finite, or too large"),
        ("0.1, 0.2", "no JSON array"),
        (7, "is a number"),
        (json.dumps([0.5] * 16_001), "has 16,001 numbers"),
    ],
)
def test_what_is_none(value: object, words: str) -> None:
    """Each is refused in words, and nothing is run."""
    with pytest.raises(Refused, match=words):
        read_embedding(value)


@given(st.binary(max_size=200))
def test_any_blob(value: bytes) -> None:
    """Whatever a blob holds, it is a vector or refused."""
    for each in (value, b"\x80\x04" + value + b".", b"\x93NUMPY" + value):
        with contextlib.suppress(Refused):
            assert len(read_embedding(each)) >= 1
