"""`python -m benchmarks` runs; how fast anything is, is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.postgres

REPOSITORY = Path(__file__).parents[3]
BARS = {
    "get by id": 2.0,
    "newest 10": 2.0,
    "store": 1.6,
    "store_many of 1,000": 1.15,
    "Prisma find_unique": 1.8,
    "record a point": 1.4,
    "  20,000 points/s and more": 0.05,
    "24 h by the hour, from points": 1.2,
    "24 h by the hour, from rollups": 5.0,
    "encrypt a memory of 1 kB": 0.06,
    "decrypt it": 0.06,
    "change of keys, per row": 0.5,
    "import of 2,000 memories from SQLite": 1200.0,
    "  its memory": 300,
    "find_unique": 1.6,
    "find_unique, 16 at once, throughput": 0.75,
    "  beside asyncpg.Pool, as large": 0.75,
    "find_many of 50 rows": 1.15,
    "include, 10 parents of 5 each": 1.4,
    "group_by, 20 groups of 50": 1.2,
    "create": 1.5,
    "update": 1.5,
    "create_many of 1,000": 1.3,
    "cold plan: find_unique": 1.0,
    "cold plan: nested create": 4.0,
    "plans kept after 200 shapes": 2000,
    "memory grown by 1,000 calls": 4.0,
    "import agentdb": 700.0,
    "engine start, compiler cached": 100.0,
}


def test_measures_everything_that_has_a_bar(tmp_path: Path) -> None:
    """One table on stdout, all figures in the file, exit status 0 whether or not the bars are met."""
    file = tmp_path / "figures.json"
    arguments = ["--quick", "--rounds", "1", "--memories", "100", "--no-node", "--json", str(file)]
    command = [sys.executable, "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    measured = {each["name"]: each for each in json.loads(file.read_text())["measurements"]}
    assert {name: measured[name]["bar"] for name in BARS} == BARS
    assert all(name in done.stdout for name in BARS)
    assert "Prisma 7: skipped: not asked for" in done.stdout
    assert measured["store_many of 1,000"]["raw_ways"].keys() == {"executemany", "unnest", "COPY"}
