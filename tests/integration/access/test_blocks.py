"""Every block of queries/*.sql that writes, with its entry, as the server understands it."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from agentdb.client import queries
from agentdb.client.access.statements import ENTRY_PARAMETERS, touched, with_entry
from agentdb.client.queries import load_queries

pytestmark = pytest.mark.postgres

BLOCKS = {
    f"{path.stem}.{name}": sql
    for path in sorted(Path(queries.__file__).parent.glob("*.sql"))
    for name, sql in load_queries(path.stem).items()
    if touched(sql).written and path.stem != "access_log"
}


async def test_each_can_be_sent_with_its_entry(database_url: str) -> None:
    """With the parameters and columns that it has without, and those of the entry; or with a count alone."""
    connection = await asyncpg.connect(database_url)
    try:
        for name, sql in BLOCKS.items():
            plain = await connection.prepare(sql)
            logged = await connection.prepare(with_entry(sql))
            counted = await connection.prepare(with_entry(sql, counts=True, only_if_any=True))

            types = [parameter.name for parameter in logged.get_parameters()]
            assert types[:-ENTRY_PARAMETERS] == [parameter.name for parameter in plain.get_parameters()], name
            assert types[-ENTRY_PARAMETERS:] == ["uuid", "text", "text", "text", "float8"], name
            assert [column.name for column in counted.get_attributes()] == ["count"], name
            if plain.get_attributes():
                assert logged.get_attributes() == plain.get_attributes(), name
    finally:
        await connection.close()


def test_there_are_some() -> None:
    """The test above looks at something."""
    assert len(BLOCKS) > 30
