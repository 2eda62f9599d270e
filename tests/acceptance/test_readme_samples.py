"""The README's code, run as a newcomer would: pasted into a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.samples import Sample, samples

README = Path(__file__).resolve().parents[2] / "README.md"
EXPECTED = {
    "An agent": "Moby-Dick is shelved in row 7.\ncompleted 150 ['store', 'look_up']\n",
    "An agent (2)": "The harbour freezes in January.\n1\n",
}


def numbered(found: list[Sample]) -> dict[str, Sample]:
    """Return the samples by title, the second under one title with a number."""
    named: dict[str, Sample] = {}
    for sample in found:
        count = sum(other.title == sample.title for other in named.values())
        named[f"{sample.title} ({count + 1})" if count else sample.title] = sample
    return named


@pytest.mark.postgres
@pytest.mark.parametrize("title", EXPECTED)
def test_a_readme_sample_prints_what_it_should(title: str, application_environment: None, tmp_path: Path) -> None:
    """Each sample runs as a program of its own and prints the answer."""
    script = tmp_path / "sample.py"
    script.write_text(numbered(samples(README, "python"))[title].code)

    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=os.environ)

    assert done.returncode == 0, done.stderr
    assert without_scores(done.stdout) == EXPECTED[title]


def test_every_readme_sample_is_run_here() -> None:
    """A new sample in the README needs a line here."""
    assert list(numbered(samples(README, "python"))) == list(EXPECTED)


def without_scores(text: str) -> str:
    """Drop the score in front of a hit."""
    return "".join(line.split("  ", 1)[-1] for line in text.splitlines(keepends=True))
