"""Charts of block characters for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["chart", "stacked_chart"]

_BLOCKS = "▁▂▃▄▅▆▇█"


def chart(
    values: Sequence[float | None],
    *,
    top: float,
    bottom: float = 0.0,
    height: int = 5,
    width: int = 2,
    gap: int = 1,
) -> list[str]:
    """
    Return a bar chart as lines, the highest first.

    Args:
        values: One for each column, *bottom* to *top*; None is no bar.
        top: The value that a bar of full height stands for.
        bottom: The value at which bars begin.
        height: Lines of the chart, beside that of its axis.
        width: Characters of a column.
        gap: Characters between two.
    """
    reach = top - bottom or 1.0
    labels = _labels([bottom + reach * row / height for row in range(1, height + 1)])
    lines = []
    for row in range(height, 0, -1):
        eighths = [0 if value is None else round(8 * (height * (value - bottom) / reach - row + 1)) for value in values]
        cells = (" " * width if each <= 0 else width * _BLOCKS[min(each, 8) - 1] for each in eighths)
        lines.append(f"{labels[row - 1]} │{(' ' * gap).join(cells)}")
    return [*lines, _axis(labels, len(values) * (width + gap))]


def stacked_chart(
    columns: Sequence[Mapping[str, int]], marks: Mapping[str, str], *, height: int = 5, width: int = 2, gap: int = 0
) -> list[str]:
    """
    Return a chart of counts by kind as lines, the highest first.

    Each kind is drawn with a character of its own, for a chart has to be read without colours too; what there is at all
    has a character at least, so the column of a few of many kinds is higher than their sum.

    Args:
        columns: The counts of each column, by kind.
        marks: The character of each kind, the lowest in a column first.
        height: Lines of the chart, beside that of its axis.
        width: Characters of a column.
        gap: Characters between two.
    """
    unit = _round_unit(max((sum(column.values()) for column in columns), default=0) / height)
    drawn = [_drawn(column, marks, unit) for column in columns]
    height = max([height, *map(len, drawn)])
    labels = _labels([unit * row for row in range(1, height + 1)])
    lines = []
    for row in range(height, 0, -1):
        cells = (width * (column[row - 1] if row <= len(column) else " ") for column in drawn)
        lines.append(f"{labels[row - 1]} │{(' ' * gap).join(cells)}")
    return [*lines, _axis(labels, len(columns) * (width + gap))]


def _round_unit(least: float) -> int:
    """Return the next whole number of two digits and zeros."""
    step: int = 10 ** max(0, math.floor(math.log10(max(least, 1))) - 1)
    return step * max(1, math.ceil(least / step))


def _drawn(column: Mapping[str, int], marks: Mapping[str, str], unit: int) -> str:
    """Return a column from the ground up."""
    counts = ((mark, column.get(kind, 0)) for kind, mark in marks.items())
    return "".join(mark * max(round(count / unit), 1) for mark, count in counts if count)


def _labels(values: Sequence[float]) -> list[str]:
    """Return what stands beside each line: something at the lowest, at one in the middle and at the highest."""
    largest = max(abs(value) for value in values)
    is_whole = all(float(value).is_integer() for value in values)
    digits = 0 if is_whole or largest >= 100 else min(6, 1 - math.floor(math.log10(largest or 1)))
    shown = {0, len(values) // 2, len(values) - 1}
    texts = [f"{value:,.{digits}f}" if row in shown else "" for row, value in enumerate(values)]
    size = max(4, *map(len, texts))
    return [f"{text:>{size}}" for text in texts]


def _axis(labels: Sequence[str], length: int) -> str:
    return " " * (len(labels[0]) + 1) + "└" + "─" * length
