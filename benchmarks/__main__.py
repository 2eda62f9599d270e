"""`python -m benchmarks [--quick] [--rounds N] [--memories N] [--json FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import asyncpg
from rich.console import Console

import benchmarks
from benchmarks.cases import make_cases
from benchmarks.database import ORGANIZATIONS, open_database
from benchmarks.harness import Measurement, compare
from benchmarks.report import print_table, write_json
from benchmarks.startup import measure_startup

NOTES = (
    "raw: plain hand-written SQL on a dedicated asyncpg connection of the same role (agentdb_app, row-level security "
    "on, tenant set once); it returns bare records, agentdb models. Its INSERT has no ON CONFLICT; ids, hashes and "
    "JSON are made by both sides. COPY runs as the owner, since it is refused where row-level security applies."
)


def main() -> None:
    """Measure, and print one table."""
    arguments = _parse()
    asyncio.run(_measure(arguments.rounds, arguments.memories, arguments.starts, arguments.json))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds only: shows that it runs, measures little")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per operation (default 15)")
    parser.add_argument("--memories", type=int, metavar="N", default=10_000, help="rows to begin with (default 10000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all that was measured to FILE")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 15)
    arguments.starts = 3 if arguments.quick else 9
    return arguments


async def _measure(rounds: int, memories: int, starts: int, json_file: Path | None) -> None:
    progress = Console(stderr=True)
    console = Console()
    started = time.perf_counter()
    measured: list[Measurement] = []
    with progress.status("starting PostgreSQL") as status:
        async with open_database(memories) as database:
            for case in make_cases(database):
                status.update(case.name.strip())
                measured.append(await compare(case, rounds=rounds))
        status.update("start-up")
        measured += measure_startup(times=starts)
    facts = {
        "PostgreSQL": f"{database.version}, embedded, durable; {memories:,} memories, {ORGANIZATIONS} organizations",
        "Python": f"{platform.python_version()}, asyncpg {asyncpg.__version__}, prisma {metadata.version('prisma')}",
        "machine": f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}",
        "rounds": f"{rounds}, in {time.perf_counter() - started:.0f} s; ratio: the median of the rounds'",
        "sides": NOTES,
    }
    print_table(measured, facts, console)
    if json_file is not None:
        write_json(measured, facts, json_file)


if __name__ == "__main__":
    main()
