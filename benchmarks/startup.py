"""How long it takes until agentdb can be used, each time in a new process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

import typer

from agentdb.cli.app import app
from benchmarks.harness import Measurement

__all__ = ["measure_startup"]

_IMPORT = "import agentdb"
_NAMES = "from agentdb import *"
_CLIENT = "import agentdb.prisma_client"
# The engine alone: on a pool that is never opened, connecting loads the compiler and parses the schema.
_ENGINE_NEEDS = """
import asyncio
from agentdb.engine import with_engine
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import ConnectionOptions
from agentdb.prisma_client import Prisma
client = with_engine(Prisma)(driver=Pool(ConnectionOptions()).driver())
"""
_ENGINE = "asyncio.run(client.connect())"

_HELP_BAR_MS = 500.0

_CASES = (
    ("import agentdb", "", _IMPORT, 700.0),
    ("import agentdb, every public name", "", _NAMES, 700.0),
    ("import of the generated client", _NAMES, _CLIENT, None),
    ("engine start, compiler cached", _ENGINE_NEEDS, _ENGINE, 100.0),
)


def measure_startup(*, times: int) -> list[Measurement]:
    """Measure each part of the start *times* times."""
    measured = []
    for name, before, code, bar in _CASES:
        _run(before, code)  # fills the caches of Python and of the compiler
        measured.append(Measurement(name, statistics.median(_run(before, code) for _ in range(times)), bar))
    slowest = max((_help_time(command, min(times, 3)), command) for command in _commands())
    measured.append(Measurement(f"agentdb {slowest[1]} --help, the slowest", slowest[0], _HELP_BAR_MS))
    return measured


def _commands() -> list[str]:
    """Return every command and subcommand, and the empty one."""
    root: Any = typer.main.get_command(app)
    names = [""]
    for name, command in root.commands.items():
        names += [name, *(f"{name} {below}" for below in getattr(command, "commands", {}))]
    return names


def _help_time(command: str, times: int) -> float:
    """Return the median of the milliseconds from the start of a process that prints help to its end."""
    arguments = [sys.executable, "-m", "agentdb.cli", *command.split(), "--help"]
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def _run(before: str, code: str) -> float:
    """Return the milliseconds that *code* takes after *before*."""
    script = f"import time\n{before}\nstart = time.perf_counter()\n{code}\nprint((time.perf_counter() - start) * 1000)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout)
