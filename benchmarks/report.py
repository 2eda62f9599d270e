"""Shows measurements: a table to read, JSON to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Measurement

__all__ = ["print_table", "write_json"]


def print_table(measurements: Sequence[Measurement], facts: Mapping[str, str], console: Console) -> None:
    """Print what was measured, where, and whether it is good enough."""
    table = Table(title="agentdb beside raw asyncpg", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("operation")
    for heading in ("raw", "agentdb", "ratio", "bar", "met"):
        table.add_column(heading, justify="right")
    for measured in measurements:
        table.add_row(*_cells(measured))
    console.print(table)
    for name, value in facts.items():
        console.print(f"[dim]{name}: {value}[/dim]", highlight=False)


def write_json(measurements: Sequence[Measurement], facts: Mapping[str, str], path: Path) -> None:
    """Write all that was measured, round by round, to *path*."""
    document = {"facts": facts, "measurements": [measured.as_dict() for measured in measurements]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _cells(measured: Measurement) -> tuple[str, ...]:
    has_ratio = measured.ratio is not None
    return (
        measured.name + (f" ({measured.raw_way})" if measured.raw_ways and len(measured.raw_ways) > 1 else ""),
        "" if measured.raw_ms is None else _milliseconds(measured.raw_ms),
        _milliseconds(measured.ours_ms),
        f"{measured.ratio:.2f}x" if has_ratio else "",
        "" if measured.bar is None else f"{measured.bar:.2f}x" if has_ratio else _milliseconds(measured.bar),
        {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[measured.is_met],
    )


def _milliseconds(value: float) -> str:
    return f"{value:.3f} ms" if value < 10 else f"{value:.0f} ms"
