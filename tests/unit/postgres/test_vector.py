"""A vector travels in pgvector's binary form, and prints as pgvector prints it."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.postgres.vector import encode_vector, pack_vector, unpack_vector, vector_text

FLOATS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=50)


class FakeNumpyArray:
    """What pack_vector uses of numpy."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def astype(self, kind: str) -> FakeNumpyArray:
        assert kind == "=f4"
        return self

    def tobytes(self) -> bytes:
        return array("f", self.values).tobytes()


@given(FLOATS)
def test_packing_and_unpacking(values: list[float]) -> None:
    """Both directions agree, for every kind of sequence, and with the format's definition."""
    packed = pack_vector(values)
    assert packed == struct.pack(f">HH{len(values)}f", len(values), 0, *values)
    assert list(unpack_vector(packed)) == values
    kinds: list[Any] = [tuple(values), array("f", values), array("d", values), FakeNumpyArray(values), packed]
    for kind in kinds:
        assert pack_vector(kind) == packed


def test_the_callers_array_is_not_changed() -> None:
    """The byte order is swapped in a copy."""
    values = array("f", [1.0, 2.0])
    pack_vector(values)
    assert list(values) == [1.0, 2.0]


@given(FLOATS)
def test_text_reads_back(values: list[float]) -> None:
    """The text is the shortest that gives the same float32 again."""
    packed = pack_vector(values)
    text = vector_text(packed)
    assert encode_vector(text) == packed
    if values:
        assert all(len(part) <= 15 for part in text[1:-1].split(","))


@pytest.mark.parametrize(("number", "text"), [(1.0, "1"), (0.1, "0.1"), (-2.5e-20, "-2.5e-20"), (1e20, "1e+20")])
def test_numbers_look_as_pgvector_writes_them(number: float, text: str) -> None:
    """No digit more than a float32 has."""
    assert vector_text(pack_vector([number])) == f"[{text}]"


@pytest.mark.parametrize("values", [[float("nan")], [float("inf")], [1.0, float("-inf")], [1e39], [3e38, 1e39]])
def test_what_is_not_finite_is_refused(values: list[float]) -> None:
    """NaN, infinity, and what becomes infinite as a 32-bit float."""
    with pytest.raises((ValueError, OverflowError)):
        pack_vector(values)


def test_large_numbers_whose_sum_overflows_are_fine() -> None:
    """The check is on each number."""
    assert len(unpack_vector(pack_vector([3e38, 3e38, -3e38]))) == 3


def test_what_is_no_vector_is_refused() -> None:
    """By type or by form."""
    with pytest.raises(TypeError):
        pack_vector(["a"])
    with pytest.raises(ValueError, match="at most 65535"):
        pack_vector([0.0] * 65536)
    with pytest.raises(ValueError, match="binary form"):
        unpack_vector(b"\0\2\0\0\0\0\0\0")
    for text in ("1,2", "[1,x]", "[1,2"):
        with pytest.raises(ValueError, match=r"brackets|convert"):
            encode_vector(text)
