"""What a statement touches, over every block of queries/*.sql and over SQL of anybody's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.client import queries
from agentdb.client.access.statements import may_write, named_tables, stands_alone, touched, with_entry
from agentdb.client.database import TABLES
from agentdb.client.queries import load_queries

BLOCKS = {
    f"{path.stem}.{name}": sql
    for path in sorted(Path(queries.__file__).parent.glob("*.sql"))
    for name, sql in load_queries(path.stem).items()
}


@pytest.mark.parametrize("block", BLOCKS)
def test_what_a_block_writes_is_seen(block: str) -> None:
    """Every table that INSERT INTO, UPDATE … SET or DELETE FROM names anywhere in it, and no other."""
    sql = BLOCKS[block]
    writes = re.findall(r"\b(?:INSERT INTO|(?<!NO KEY )(?<!FOR )(?<!DO )UPDATE|DELETE FROM) (\w+)", sql)

    assert set(touched(sql).written) == set(writes) & set(TABLES)
    assert bool(touched(sql).written) == bool(writes)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_names_a_table(block: str) -> None:
    """Those that it writes are among them."""
    found = touched(BLOCKS[block])
    assert found.named
    assert set(found.written) <= set(found.named)


@pytest.mark.parametrize("block", [name for name, sql in BLOCKS.items() if not touched(sql).written])
def test_what_only_reads_takes_no_entry_along(block: str) -> None:
    """There is nothing that it would have to be committed with."""
    with pytest.raises(ValueError, match="writes nothing"):
        with_entry(BLOCKS[block])


def test_a_literal_is_no_sql() -> None:
    """Parentheses and quotes in what `write_out` has written out close nothing."""
    sql = (
        "WITH found AS (SELECT E'a\\'b)(' || ')' || '('')' AS x), "
        "gone AS (DELETE FROM agents WHERE organization_id = $1) SELECT x FROM found"
    )

    text = with_entry(sql)

    assert touched(sql).written == ("agents",)
    assert "gone AS (DELETE FROM agents WHERE organization_id = $1 RETURNING 1)" in text
    assert "agentdb_operation AS (SELECT x FROM found)" in text


@given(st.text())
def test_any_text_can_be_asked(sql: str) -> None:
    """Raw SQL may be anything, also what is no SQL at all."""
    assert set(named_tables(sql)) <= set(TABLES)
    assert may_write(f"{sql} ; INSERT INTO x")
    assert stands_alone(f"{sql} ; COMMIT")


@pytest.mark.parametrize(
    ("sql", "writes", "alone"),
    [
        ("SELECT * FROM agents", False, False),
        ("select id into copy from agents", True, False),
        ("WITH x AS (DELETE FROM agents RETURNING *) SELECT * FROM x", True, False),
        ("SET LOCAL enable_sort = off", False, False),
        ("SELECT 1 FOR UPDATE", True, False),
        ("TRUNCATE agents", True, False),
        ("BEGIN; DELETE FROM agents; COMMIT", True, True),
        ("VACUUM agents", True, True),
        ("CREATE INDEX CONCURRENTLY i ON agents (id)", True, True),
        ("DELETE FROM agents WHERE name = 'begin'", True, False),
        ("-- all of it\nVACUUM agents", True, True),
        ("/* all of it */ VACUUM agents", True, True),
        ("SELECT 1" + " " * 100_000, True, True),
    ],
)
def test_what_raw_sql_may_do(sql: str, writes: bool, alone: bool) -> None:
    """Whether it may change something, and whether it can share a transaction."""
    assert (may_write(sql), stands_alone(sql)) == (writes, alone)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT * FROM "public"."agents" AS a, agent_steps s', ("agents", "agent_steps")),
        ("delete from only Agent_Memories", ("agent_memories",)),
        ("SELECT * FROM others WHERE name = 'agents'", ()),
        ("TRUNCATE TABLE agents", ("agents",)),
        ("COPY INTO agent_metrics", ("agent_metrics",)),
    ],
)
def test_which_tables_raw_sql_names(sql: str, tables: tuple[str, ...]) -> None:
    """Of ours, however they are spelled."""
    assert named_tables(sql) == tables
