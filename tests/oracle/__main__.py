"""
Ask Prisma itself: make programs, have both sides carry them out, and compare. `make oracle` runs this.

Progress goes to stderr, differences and the figures to stdout. Exit code 0: no difference; 1: there are some.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from agentdb.postgres.embedded import start_embedded
from tests.oracle.court import Court
from tests.oracle.hunt import hunt
from tests.oracle.programs import Kind
from tests.oracle.setting import is_required, missing, set_up
from tests.oracle.values import Values


def main() -> int:
    """Run the oracle; return the exit code."""
    options = _options()
    lack = missing()
    if lack is not None:
        sys.stdout.write(f"skipped: {lack}\n")
        return int(is_required())
    warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
    directory = Path(tempfile.mkdtemp(prefix="agentdb-oracle-"))
    with asyncio.Runner() as run:
        server = run.run(start_embedded(directory, durable=False))
        try:
            court, values = run.run(set_up(server))
            run.run(court.__aenter__())
            try:
                return int(_hunt(options, run, court, values) > 0)
            finally:
                run.run(court.__aexit__())
        finally:
            server.stop()
            shutil.rmtree(directory)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description="Compare the engine with Prisma's own.")
    parser.add_argument("--requests", type=int, default=20_000, help="how many to compare (default %(default)s)")
    parser.add_argument("--only", choices=("reads", "writes"), help="compare no others")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other requests (default %(default)s)")
    parser.add_argument("--differences", type=int, default=5, help="stop after so many (default %(default)s)")
    return parser.parse_args()


def _hunt(options: argparse.Namespace, run: asyncio.Runner, court: Court, values: Values) -> int:
    """Hunt, say how it goes, and return how many differences there are."""
    wanted: dict[Kind, int] = {"reads": options.requests // 2, "writes": options.requests // 2}
    if options.only:
        wanted = {options.only: options.requests}
    started, differences = time.monotonic(), 0
    for difference in hunt(run, court, values, wanted, options.seed):
        if difference is not None:
            differences += 1
            sys.stdout.write(f"{'=' * 100}\n{difference}\n")
            sys.stdout.flush()
        seconds, asked = time.monotonic() - started, court.methods.total()
        sys.stderr.write(f"{asked:>7} requests, {asked / seconds:.0f} a second, {differences} differences\n")
        if differences >= options.differences:
            break
    sys.stdout.write(_figures(court, differences, time.monotonic() - started))
    return differences


def _figures(court: Court, differences: int, seconds: float) -> str:
    """The last words: how many requests, of which kinds, and how many differences."""

    def listed(counts: Counter[str]) -> str:
        return ", ".join(f"{name} {count}" for name, count in counts.most_common())

    lines = [
        f"by method: {listed(court.methods)}",
        f"refused by both: {listed(court.errors)}",
        f"refused before there was a request: {listed(court.refused)}",
        f"Prisma's interpreter itself failed: {listed(court.faults) or 'never'}",
        f"{court.methods.total()} requests in {seconds:.0f} s, {differences} differences",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
