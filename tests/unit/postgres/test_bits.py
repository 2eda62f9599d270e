from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.postgres.bits import pack_bits, unpack_bits


@given(st.text("01"))
def test_round_trip(text: str) -> None:
    """Any bit string comes back as it was, leading and trailing zeros included."""
    assert unpack_bits(pack_bits(text)) == text


def test_form() -> None:
    """The bits stand after their number, first bit highest."""
    assert pack_bits("101") == b"\0\0\0\3\xa0"
    assert pack_bits("") == b"\0\0\0\0"


@pytest.mark.parametrize("text", ["2", "0b1", " 1", "\uff11"])
def test_other_text(text: str) -> None:
    """Only zeros and ones are bits."""
    with pytest.raises(ValueError, match="0 and 1"):
        pack_bits(text)
