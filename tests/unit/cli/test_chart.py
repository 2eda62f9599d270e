"""The demo's bar chart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentdb.cli.demo.show import chart


def test_bars_are_as_high_as_their_values() -> None:
    """In eighths of a line; what is missing has no bar."""
    assert chart([0.0, 0.5, 1.0, None, 0.25], top=1.0, height=2) == [
        " 1.0 │      ██      ",
        " 0.5 │   ██ ██    ▄▄",
        "     └───────────────",
    ]


@given(st.lists(st.none() | st.floats(0, 7), max_size=30), st.integers(1, 9))
def test_every_line_is_as_long_as_the_others(values: list[float | None], height: int) -> None:
    """However high the chart is."""
    lines = chart(values, top=7.0, height=height)

    assert len(lines) == height + 1
    assert len({len(line) for line in lines[:-1]}) == 1
