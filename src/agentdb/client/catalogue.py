"""What the database's own catalogue says of the tables, so that work on all of them can forget none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from agentdb.postgres.driver import Driver

__all__ = ["Column", "columns_of", "quoted"]

_COLUMNS: Final = """
SELECT c.relname::text AS table_name, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attgenerated <> '' AS is_generated
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'agents'::regclass) AND c.relkind IN ('r', 'p')
    AND EXISTS (SELECT FROM pg_attribute AS o WHERE o.attrelid = c.oid AND o.attname = 'organization_id')
    AND has_column_privilege(c.oid, a.attnum, 'SELECT')
ORDER BY c.relname, a.attnum
"""


class Column(NamedTuple):
    """
    A column of a table whose rows are organizations'.

    Attributes:
        type: As PostgreSQL writes it: "text", "text[]", "timestamp(6) with time zone", …
        is_generated: Whether the database fills it from the others.
    """

    table: str
    name: str
    type: str
    is_generated: bool


async def columns_of(driver: Driver) -> Sequence[Column]:
    """Return the columns of every table with an organization in each row, by table and in the table's order."""
    return [Column(*row) for row in await driver.fetch(_COLUMNS)]


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
