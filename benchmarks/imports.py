"""What an import from SQLite takes, as a command of its own: seconds and memory, beside COPY of the same rows."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from agentdb.ids import uuid7_text
from benchmarks.database import ORGANIZATION, WRITER, Database
from benchmarks.harness import Check, Measurement

__all__ = ["NOTES", "measure_import"]

NOTES: Final = (
    "agentdb import-sqlite of memories with metadata and a time, from the start of its process to its report: it reads "
    "the file twice, stores, reads back and compares. COPY stores the same rows, read on the clock, as the owner."
)
_MOST_MS_A_ROW: Final = 60_000 / 100_000
_MOST_MB: Final = 300
_SCHEMA: Final = """
CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, metadata TEXT, importance REAL, created_at REAL)
"""
# Between this process and the command: what a process has at most counts from the one that started it.
_WEIGHED: Final = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_FIELDS: Final = (
    "organization_id", "id", "agent_id", "content", "content_hash", "metadata", "importance", "occurred_at",
)  # fmt: skip


async def measure_import(database: Database, *, rows: int, tell: Callable[[str], object]) -> list[Measurement | Check]:
    """Import a file of *rows* memories once, then copy them."""
    with tempfile.TemporaryDirectory(prefix="agentdb-bench-") as folder:
        file = Path(folder, "old.db")
        _make(file, rows)
        tell(f"import of {rows:,} memories from SQLite")
        milliseconds, megabytes = _import(file, database.server.url)
        tell(f"COPY of {rows:,} memories from SQLite")
        started = time.perf_counter()
        await database.owner.copy_records_to_table("agent_memories", columns=_FIELDS, records=_records(file))
        copied = (time.perf_counter() - started) * 1000
    name = f"import of {rows:,} memories from SQLite"
    return [
        Measurement(name, milliseconds, rows * _MOST_MS_A_ROW, raw_ms=copied, raw_way="COPY"),
        Check("  its memory", megabytes, _MOST_MB, "MB"),
    ]


def _make(file: Path, rows: int) -> None:
    made = (
        (n, f"Memory {n} of an old agent: {f'{n:x} ' * 20}", json.dumps({"number": n}), n % 11, 1.7e9 + n)
        for n in range(rows)
    )
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(_SCHEMA)
        connection.executemany("INSERT INTO memories VALUES (?, ?, ?, ?, ?)", made)


def _import(file: Path, url: str) -> tuple[float, float]:
    """Return the milliseconds that the command takes, and the most megabytes that it has."""
    environment = os.environ | {"DATABASE_URL": url, "ORGANIZATION_ID": ORGANIZATION}
    arguments = ["agentdb.cli", "import-sqlite", str(file), "--agent", "imported"]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _WEIGHED, sys.executable, "-m", *arguments],
        env=environment, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    milliseconds = (time.perf_counter() - started) * 1000
    unit = 1 if sys.platform == "darwin" else 1024
    return milliseconds, int(done.stdout) * unit / 1_000_000


def _records(file: Path) -> Iterator[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        for _, content, metadata, importance, at in connection.execute("SELECT * FROM memories"):
            digest = hashlib.sha256(f"{content}\0{metadata}".encode()).digest()
            moment = datetime.fromtimestamp(at, UTC)
            yield ORGANIZATION, uuid7_text(), WRITER, content, digest, metadata, importance / 10, moment
