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
    "record a metric": 1.6,
    "store_many of 1,000": 1.15,
    "Prisma find_unique": 1.8,
    "import agentdb": 700.0,
    "engine start, compiler cached": 100.0,
}


def test_measures_everything_that_has_a_bar(tmp_path: Path) -> None:
    """One table on stdout, all figures in the file, exit status 0 whether or not the bars are met."""
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--memories", "100", "--json", str(file)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    measured = {each["name"]: each for each in json.loads(file.read_text())["measurements"]}
    assert {name: measured[name]["bar"] for name in BARS} == BARS
    assert all(name in done.stdout for name in BARS)
    assert measured["store_many of 1,000"]["raw_ways"].keys() == {"executemany", "unnest", "COPY"}
