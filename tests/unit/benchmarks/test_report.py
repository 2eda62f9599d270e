"""The table of the benchmarks."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from benchmarks.harness import Check, Measurement, Other
from benchmarks.report import print_table, write_json

QUICK = Measurement("quick", 0.1, 1.5, 0.1, 1.0, others={"Prisma 7": Other(0.5, 5.0)})
SLOW = Measurement("slow", 0.4, 1.5, 0.2, 2.0, others={"Prisma 7": Other(0.5, 1.25)})
CHECK = Check("plans kept", 1999, 2000)


def _print(*sections: list[Measurement | Check]) -> list[str]:
    text = io.StringIO()
    print_table(sections, {"machine": "quiet"}, Console(file=text), other="Prisma 7")
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


def test_one_line_says_how_an_operation_did_beside_all_sides() -> None:
    """Raw, ours, ratio, bar, whether it is met, the other process, and how many times quicker ours is."""
    lines = _print([QUICK, SLOW], [CHECK])

    assert "quick 0.100 ms 0.100 ms 1.00x 1.50x yes 0.500 ms 5.0x" in lines
    assert "slow 0.200 ms 0.400 ms 2.00x 1.50x no 0.500 ms 1.2x" in lines
    assert "plans kept 1,999 2,000 yes" in lines
    assert "machine: quiet" in lines


def test_has_no_column_for_a_process_that_was_not_measured() -> None:
    """Without Node the table is the old one."""
    lines = _print([Measurement("import", 90.0, 100.0)])

    assert "operation raw agentdb ratio bar met" in lines
    assert "import 90 ms 100 ms yes" in lines


def test_the_file_holds_all_that_was_measured(tmp_path: Path) -> None:
    """Every row of every section, with the other processes."""
    write_json([[QUICK], [CHECK]], {"machine": "quiet"}, tmp_path / "figures.json")

    document = json.loads((tmp_path / "figures.json").read_text())
    assert document["facts"] == {"machine": "quiet"}
    assert [row["name"] for row in document["measurements"]] == ["quick", "plans kept"]
    assert document["measurements"][0]["others"] == {"Prisma 7": {"ms": 0.5, "quicker": 5.0}}
