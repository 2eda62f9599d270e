"""Shows measurements: a table to read, JSON to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.harness import Check, Measurement

__all__ = ["QUICKER", "Section", "print_table", "write_json"]

QUICKER = 2.0
"""How many times quicker than Prisma on Node every operation has to be."""

Section = Sequence[Measurement | Check]
"""Rows of the table that belong together."""

_MARKS = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}
_WIDTH = 110


def print_table(sections: Sequence[Section], facts: Mapping[str, str], console: Console, *, other: str) -> None:
    """
    Print what was measured, where, and whether it is good enough.

    Args:
        facts: What has to be known to judge the figures.
        other: Which of the other processes gets a column; it gets none where it was not measured.
    """
    has_other = any(isinstance(row, Measurement) and other in row.others for section in sections for row in section)
    table = Table(title="agentdb beside raw asyncpg", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("operation")
    for heading in ("raw", "agentdb", "ratio", "bar", "met", *((other, "quicker") if has_other else ())):
        table.add_column(heading, justify="right")
    for section in sections:
        for row in section:
            if isinstance(row, Check):
                table.add_row(*_check_cells(row))
            else:
                table.add_row(*_cells(row), *(_other_cells(row, other) if has_other else ()))
        table.add_section()
    if not console.is_terminal:
        console.width = _WIDTH  # a file or a pipe has none, and 80 columns would fold it
    console.print(table)
    for name, value in facts.items():
        console.print(f"[dim]{name}: {value}[/dim]", highlight=False)


def write_json(sections: Sequence[Section], facts: Mapping[str, str], path: Path) -> None:
    """Write all that was measured, round by round, to *path*."""
    document = {"facts": facts, "measurements": [row.as_dict() for section in sections for row in section]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _check_cells(check: Check) -> tuple[str, ...]:
    found, bar = ("" if value is None else f"{value:,.0f} {check.unit}".strip() for value in (check.found, check.bar))
    return check.name, "", found, "", bar, _MARKS[check.is_met]


def _cells(measured: Measurement) -> tuple[str, ...]:
    has_ratio = measured.ratio is not None
    return (
        measured.name + (f" ({measured.raw_way})" if measured.raw_ways and len(measured.raw_ways) > 1 else ""),
        "" if measured.raw_ms is None else _milliseconds(measured.raw_ms),
        _milliseconds(measured.ours_ms),
        f"{measured.ratio:.2f}x" if has_ratio else "",
        _bar(measured),
        _MARKS[measured.is_met],
    )


def _bar(measured: Measurement) -> str:
    if measured.bar is None:
        return ""
    if measured.ratio is None:
        return _milliseconds(measured.bar)
    return f"{measured.bar:.2f}x" + (f" + {measured.allowance_ms:g} ms" if measured.allowance_ms else "")


def _other_cells(measured: Measurement, name: str) -> tuple[str, str]:
    other = measured.others.get(name)
    if other is None:
        return "", ""
    color = "green" if other.quicker >= QUICKER else "red"
    return _milliseconds(other.ms), f"[{color}]{other.quicker:.1f}x[/{color}]"


def _milliseconds(value: float) -> str:
    return f"{value:.3f} ms" if value < 10 else f"{value:.0f} ms"
