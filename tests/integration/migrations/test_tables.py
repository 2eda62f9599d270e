"""Every table that the migrations make, present and future: none may forget its organization."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest

from agentdb.client.database import TABLES

pytestmark = pytest.mark.postgres

SCHEMA = Path(__file__).parents[3] / "prisma" / "schema.prisma"
TENANT = "current_setting('agentdb.organization_id'::text, true)"


@pytest.fixture
async def tables(admin_url: str) -> list[asyncpg.Record]:
    """What the catalogue says of each table."""
    connection = await asyncpg.connect(admin_url)
    try:
        return await connection.fetch(
            """
            SELECT c.relname AS name, c.relrowsecurity AS is_guarded,
                (SELECT array_agg(p.polname::text ORDER BY p.polname) FROM pg_policy AS p
                 WHERE p.polrelid = c.oid AND p.polpermissive) AS policies,
                (SELECT min(pg_get_expr(p.polqual, c.oid)) FROM pg_policy AS p
                 WHERE p.polrelid = c.oid AND p.polpermissive) AS reads,
                (SELECT min(pg_get_expr(p.polwithcheck, c.oid)) FROM pg_policy AS p
                 WHERE p.polrelid = c.oid AND p.polpermissive) AS writes,
                has_table_privilege('agentdb_app', c.oid, 'SELECT') AS is_readable,
                has_table_privilege('agentdb_app', c.oid, 'TRUNCATE') AS can_be_emptied,
                (SELECT array_agg(k.conname::text || ' ' || (
                    SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum = k.conkey[1]
                 )) FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f')) AS keys,
                (SELECT array_agg(i.indexrelid::regclass::text || ' ' || (
                    SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum = i.indkey[0]
                 )) FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique) AS unique_indexes
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public' AND c.relname <> '_prisma_migrations'
            """
        )
    finally:
        await connection.close()


def test_all_are_known(tables: list[asyncpg.Record]) -> None:
    """To the schema that Node shares, and to what looks after row-level security."""
    mapped = set(re.findall(r'@@map\("(\w+)"\)', SCHEMA.read_text(encoding="utf-8")))

    assert {table["name"] for table in tables} == set(TABLES) <= mapped


def test_each_is_guarded(tables: list[asyncpg.Record]) -> None:
    """By row-level security with one policy that reads the connection's setting, for reads and for writes."""
    expected = f"(organization_id = {TENANT})"
    for table in tables:
        assert (table["is_guarded"], table["policies"]) == (True, ["tenant_isolation"]), table["name"]
        assert (table["reads"], table["writes"]) == (expected, expected), table["name"]
        assert (table["is_readable"], table["can_be_emptied"]) == (True, False), table["name"]


def test_each_key_begins_with_the_organization(tables: list[asyncpg.Record]) -> None:
    """Primary, unique and foreign ones: no row can stand for, or refer to, another organization's."""
    keys = [key.split() for table in tables for key in [*table["keys"], *table["unique_indexes"]]]

    assert len(keys) > 2 * len(TABLES)
    assert [name for name, first in keys if first != "organization_id"] == []
