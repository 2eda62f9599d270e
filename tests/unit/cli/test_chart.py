"""Bar charts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentdb.cli.chart import chart, stacked_chart

MARKS = {"failed": "▒", "completed": "█"}


def test_bars_are_as_high_as_their_values() -> None:
    """In eighths of a line; what is missing has no bar."""
    assert chart([0.0, 0.5, 1.0, None, 0.25], top=1.0, height=2) == [
        " 1.0 │      ██      ",
        " 0.5 │   ██ ██    ▄▄",
        "     └───────────────",
    ]


def test_bars_may_begin_below_zero() -> None:
    """Then the lowest line is that of the lowest values."""
    assert chart([-1.0, 0.0, 1.0], top=1.0, bottom=-1.0, height=2, width=1, gap=0) == [
        "   1 │  █",
        "   0 │ ██",
        "     └───",
    ]


def test_counts_are_stacked_by_kind() -> None:
    """The lowest kind first; a line stands for a round number, and what there is at all has a character."""
    columns = [{"completed": 100, "failed": 1}, {}, {"failed": 50, "completed": 49}]

    assert stacked_chart(columns, MARKS, height=2) == [
        " 153 │██    ",
        " 102 │██  ██",
        "  51 │▒▒  ▒▒",
        "     └──────",
    ]


def test_nothing_is_an_empty_chart() -> None:
    """No column, columns of nothing, values that are all the same."""
    assert stacked_chart([], MARKS, height=1) == ["   1 │", "     └"]
    assert stacked_chart([{}, {"failed": 0}], MARKS, height=1) == ["   1 │    ", "     └────"]
    assert chart([0.0, None], top=0.0, height=1, width=1, gap=0) == ["   1 │  ", "     └──"]


@given(st.lists(st.none() | st.floats(0, 7), max_size=30), st.integers(1, 9))
def test_every_line_is_as_long_as_the_others(values: list[float | None], height: int) -> None:
    """However high the chart is."""
    lines = chart(values, top=7.0, height=height)

    assert len(lines) == height + 1
    assert len({len(line) for line in lines[:-1]}) == 1


@given(
    st.lists(st.fixed_dictionaries({"failed": st.integers(0, 10**7), "completed": st.integers(0, 10**7)}), max_size=30),
    st.integers(1, 9),
)
def test_every_count_is_seen(columns: list[dict[str, int]], height: int) -> None:
    """However few of many; and no chart is much higher than was asked for."""
    *lines, _ = stacked_chart(columns, MARKS, height=height, width=1)

    assert height <= len(lines) <= height + len(MARKS)
    assert len({len(line) for line in lines}) <= 1
    for number, column in enumerate(columns):
        drawn = {line.partition("│")[2][number] for line in lines} - {" "}
        assert drawn == {MARKS[kind] for kind, count in column.items() if count}
