"""The base class as it was: every agent has an SQLite file of its own."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS memories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, content TEXT NOT NULL, metadata TEXT, importance INTEGER DEFAULT 5,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS tools (name TEXT PRIMARY KEY, description TEXT, usage_count INTEGER, success_count INTEGER);
CREATE TABLE IF NOT EXISTS tool_usage (
    id INTEGER PRIMARY KEY, tool_name TEXT, arguments TEXT, success BOOLEAN, execution_time REAL, timestamp REAL
);
CREATE TABLE IF NOT EXISTS task_history (
    id INTEGER PRIMARY KEY, task TEXT, result TEXT, status TEXT, duration_ms REAL, created_at REAL
);
CREATE TABLE IF NOT EXISTS performance_metrics (timestamp REAL, response_time REAL, accuracy REAL);
CREATE TABLE IF NOT EXISTS learning_patterns (
    id INTEGER PRIMARY KEY, pattern_type TEXT, pattern_data TEXT, confidence REAL, created_at REAL
);
CREATE TABLE IF NOT EXISTS glossary (term TEXT PRIMARY KEY, meaning TEXT, checked_on TEXT);
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT);
"""


class EnhancedAgentBase:
    """Remembers, and keeps what it did, in the file *path*."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.executescript(SCHEMA)

    def remember(self, content: str, importance: int = 5, **metadata: Any) -> None:
        """Store a memory; *importance* is from 0 to 10."""
        self.db.execute(
            "INSERT INTO memories (content, metadata, importance) VALUES (?, ?, ?)",
            (content, json.dumps(metadata), importance),
        )
        self.db.commit()

    def used_tool(self, name: str, arguments: dict[str, Any], success: bool, seconds: float) -> None:
        """Note a call of a tool."""
        self.db.execute(
            "INSERT INTO tools VALUES (?, '', 1, ?) ON CONFLICT (name) DO UPDATE "
            "SET usage_count = usage_count + 1, success_count = success_count + excluded.success_count",
            (name, success),
        )
        self.db.execute(
            "INSERT INTO tool_usage (tool_name, arguments, success, execution_time, timestamp) VALUES (?, ?, ?, ?, ?)",
            (name, json.dumps(arguments), success, seconds, time.time()),
        )
        self.db.commit()

    def finished(self, task: dict[str, Any], result: str | None, status: str, milliseconds: float) -> None:
        """Note a task that has ended."""
        self.db.execute(
            "INSERT INTO task_history (task, result, status, duration_ms, created_at) VALUES (?, ?, ?, ?, ?)",
            (json.dumps(task), result, status, milliseconds, time.time()),
        )
        self.db.execute("INSERT INTO performance_metrics VALUES (?, ?, ?)", (time.time(), milliseconds / 1000, None))
        self.db.commit()

    def learned(self, kind: str, pattern: str, confidence: float) -> None:
        """Note what was learned, and how sure the agent claims to be."""
        self.db.execute(
            "INSERT INTO learning_patterns (pattern_type, pattern_data, confidence, created_at) VALUES (?, ?, ?, ?)",
            (kind, pattern, confidence, time.time()),
        )
        self.db.commit()
