"""Mappings: what a person says of a file's tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from agentdb import InvalidInputError
from agentdb.sqlite.mapping import Mapping, load_mapping, mapping_text, plan_tables, read_mapping
from agentdb.sqlite.tables import Table, read_tables


@pytest.fixture
def tables() -> list[Table]:
    connection = sqlite3.connect(":memory:")
    connection.executescript("""
    CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, importance REAL, mood TEXT);
    CREATE TABLE "odd ""name"" [ü]" (a TEXT, "b.c" TEXT);
    CREATE TABLE metrics (time REAL, speed REAL, load REAL);
    """)
    try:
        return read_tables(connection)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("=", "is not TOML"),
        ("zone = 'UTC'", r"'zone' is not a setting. Did you mean 'timezone'\?"),
        ("timezone = 'Mars/Olympus'", "mapping.timezone: is not a time zone"),
        ("timezone = 7", "expected text"),
        ("tables = 7", "mapping.tables: expected a table"),
        ("[tables.memorys]", r"'memorys' is not a table of the file. Did you mean 'memories'\?"),
        ("[tables.memories]\nkinds = 'memories'", r"'kinds' is not a setting of a table. Did you mean 'kind'\?"),
        ("[tables.memories]\nkind = 'thoughts'", "is none of calls, patterns"),
        ("[tables.memories]\nimportance_scale = 0", "expected a number above 0"),
        ("[tables.memories]\nimportance_scale = true", "expected a number above 0"),
        ("[tables.memories.columns]\ncontents = 'content'", r"Did you mean 'content'\?"),
        ("[tables.memories.columns]\nmood = 'feeling'", "'feeling' is no field of memories. There are content"),
        ("[tables.memories.columns]\nmood = 'content.x'", "is no field of memories"),
        ("[tables.memories.columns]\nmood = 7", "expected text"),
        ("[tables.memories.columns]\nmood = 'pinned'\ncontent = 'pinned'", "say twice what pinned is"),
        ("[tables.memories.columns]\ncontent = 'ignore'\nmood = 'ignore'", "do not say which column is content"),
        ("[tables.memories.constants]\nmood = 'x'", "is no field of memories"),
        ("[tables.memories.constants]\npinned = [1]", "expected text, a number, true or false"),
        ("[tables.memories.only]\nmod = 'x'", r"Did you mean 'mood'\?"),
        ("[tables.'odd \"name\" [ü]'.columns]\na = 'content'", "kind: is missing"),
    ],
)
def test_what_does_not_fit(tables: list[Table], text: str, words: str) -> None:
    """It is named, with what there is or what was meant."""
    with pytest.raises(InvalidInputError, match=words):
        plan_tables(tables, read_mapping(text))


def test_there_and_back(tables: list[Table]) -> None:
    """What is recognised, written as a mapping, gives the same; whatever the names hold."""
    said = read_mapping("""
    timezone = "Europe/Berlin"
    embedding_model = 'm"x'
    [tables.'odd "name" [ü]']
    kind = "memories"
    importance_scale = 7
    [tables.'odd "name" [ü]'.columns]
    a = "content"
    "b.c" = "metadata.d e"
    [tables.'odd "name" [ü]'.constants]
    metadata.origin = "über"
    pinned = true
    [tables.'odd "name" [ü]'.only]
    a = "x"
    """)
    plans = plan_tables(tables, said)
    text = mapping_text(plans, said)
    again = plan_tables(tables, read_mapping(text))

    kept = ("kind", "targets", "constants", "only", "importance_scale")
    assert [[getattr(plan, name) for name in kept] for plan in again] == [
        [getattr(plan, name) for name in kept] for plan in plans
    ]
    assert (read_mapping(text).timezone, read_mapping(text).embedding_model) == ("Europe/Berlin", 'm"x')
    assert plans[1].targets == {"a": "content", "b.c": "metadata.d e"}
    assert plans[1].constants == {"metadata.origin": "über", "pinned": True}


def test_a_small_mapping(tables: list[Table]) -> None:
    """What it does not say stays as it is recognised."""
    memories, odd, metrics = plan_tables(tables, read_mapping('[tables.memories.columns]\nmood = "memory_type"'))
    assert memories.targets == {"id": "key", "content": "content", "importance": "importance", "mood": "memory_type"}
    assert (odd.kind, metrics.targets) == ("ignore", {"time": "recorded_at", "speed": "value", "load": "value"})


def test_a_file(tmp_path: Path) -> None:
    """It is read from a file; one that is not there, or no text, is named."""
    path = tmp_path / "map.toml"
    path.write_text('timezone = "UTC"', encoding="utf-8")
    assert load_mapping(path) == Mapping()
    path.write_bytes(b"\xff")
    for wrong in (path, tmp_path / "none.toml", tmp_path):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            load_mapping(wrong)
