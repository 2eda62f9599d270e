"""Databases as old agents left them, each a shape that is told apart by its test."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

MEMORIES = """
CREATE TABLE memories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL, metadata TEXT, importance REAL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)
"""


def write(path: Path, script: str, *inserts: tuple[str, list[tuple[object, ...]]]) -> Path:
    """Make a database of a script, and of rows for tables: ("memories(content, importance)", [("x", 1), …])."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        for target, rows in inserts:
            if rows:
                connection.executemany(f"INSERT INTO {target} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.commit()
    return path


def memories(path: Path, count: int = 3, first: int = 0) -> Path:
    """The plainest shape: texts, JSON in text, importance from 0 to 10, times as SQLite writes them."""
    rows: list[tuple[object, ...]] = [
        (f"memory {n}", json.dumps({"topic": n % 3}), n % 11, f"2024-01-{n % 28 + 1:02} 10:00:00")
        for n in range(first, first + count)
    ]
    target = "memories(content, metadata, importance, created_at)"
    if path.exists():
        return write(path, "", (target, rows))
    return write(path, MEMORIES, (target, rows))


def everything(path: Path) -> Path:
    """The SQLite base class of old: a table for each kind, and one that is none."""
    vector = struct.pack("<4f", 0.5, 0.5, 0.5, 0.5)
    script = """
    CREATE TABLE agent_memory (
        memory_id TEXT PRIMARY KEY, memory TEXT, importance TEXT, memory_type TEXT, tags TEXT, source TEXT,
        embedding BLOB, access_count INTEGER, timestamp REAL
    );
    CREATE TABLE conversation_history (
        session_id TEXT, turn INTEGER, user_input TEXT, agent_response TEXT, timestamp TEXT,
        PRIMARY KEY (session_id, turn)
    ) WITHOUT ROWID;
    CREATE TABLE tools (
        name TEXT PRIMARY KEY, description TEXT, parameters TEXT, usage_count INTEGER, success_count INTEGER
    );
    CREATE TABLE tool_usage (
        id INTEGER PRIMARY KEY, tool_name TEXT, parameters TEXT, success BOOLEAN, error TEXT, execution_time REAL,
        timestamp INTEGER
    );
    CREATE TABLE task_history (
        id INTEGER PRIMARY KEY, task TEXT, result TEXT, status TEXT, error_message TEXT, started_at TEXT,
        completed_at TEXT, model TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, cost REAL, session_id TEXT
    );
    CREATE TABLE metrics (id INTEGER PRIMARY KEY, metric_name TEXT, value REAL, unit TEXT, recorded_at TEXT, host TEXT);
    CREATE TABLE performance_metrics (timestamp REAL, response_time REAL, accuracy REAL);
    CREATE TABLE learning_patterns (
        id INTEGER PRIMARY KEY, pattern_type TEXT, pattern_data TEXT, confidence REAL, usage_count INTEGER,
        created_at TEXT
    );
    CREATE TABLE config (key TEXT PRIMARY KEY, value TEXT);
    CREATE VIEW recent_memories AS SELECT * FROM agent_memory;
    """
    return write(
        path,
        script,
        (
            "agent_memory",
            [
                ("m1", "The harbour freezes.", "high", "fact", '["sea"]', "web", vector, 7, 1_700_000_000.25),
                ("m2", "Ships wait.", "low", "fact", '["sea", "ships"]', None, None, 0, 1_700_000_001.5),
            ],
        ),
        ("conversation_history", [("s1", 1, "When?", "In January.", "2024-01-01T10:00:00+01:00")]),
        ("tools", [("search", "Searches.", '{"type": "object"}', 9, 9), ("idle", "Waits.", None, 0, 0)]),
        (
            "tool_usage",
            [
                (1, "search", '{"q": "ice"}', 1, None, 0.25, 1_700_000_000_000),
                (2, "search", '{"q": "ice"}', 0, "timed out", 1.5, 1_700_000_001_000),
                (3, "unlisted", None, 1, None, None, 1_700_000_002_000),
            ],
        ),
        (
            "task_history",
            [
                (
                    1,
                    '{"do": "read"}',
                    "done",
                    "success",
                    None,
                    "2024-01-01 10:00",
                    "2024-01-01 10:01",
                    "m",
                    10,
                    5,
                    0.25,
                    "s1",
                ),
                (
                    2,
                    "fail",
                    None,
                    "FAILED",
                    "no ice",
                    "2024-01-02",
                    "2024-01-02 00:00:02",
                    None,
                    None,
                    None,
                    None,
                    None,
                ),
                (3, "half", None, "running", None, "2024-01-03", None, None, None, None, None, None),
            ],
        ),
        (
            "metrics",
            [(1, "latency", 1.5, "s", "2024-01-01", "alpha"), (2, "latency", "2.5", "s", "2024-01-02", "alpha")],
        ),
        ("performance_metrics", [(1_700_000_000, 0.5, 0.9), (1_700_000_060, 0.7, None)]),
        ("learning_patterns", [(1, "prompt", "be brief", 0.8, 12, "2024-01-01")]),
        ("config", [("version", "3")]),
    )


def write_ahead(path: Path) -> Callable[[], None]:
    """WAL mode, with memories that are in the -wal alone; returns what closes the connection that holds them there."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.executescript(MEMORIES)
    connection.execute("INSERT INTO memories(content) VALUES ('checkpointed')")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO memories(content) VALUES ('in the -wal')")
    connection.commit()
    return connection.close


def damage(path: Path, text: bytes) -> None:
    """Overwrite the page that holds *text*, as a failing disk does."""
    content = path.read_bytes()
    page = content.index(text) // 4096
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xff" * 4096)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What is in a folder: the bytes of each file, and when it was changed."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in sorted(folder.iterdir())}
