"""Every column that holds sealed values, read value by value."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.client.flow import Breath
from agentdb.client.resource import Resource
from agentdb.ids import NIL_UUID

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["SEALED", "SealedColumn", "SealedValues"]

_PAGE_ROWS: Final = 500
_PAGE_BYTES: Final = 4_000_000


class SealedColumn(NamedTuple):
    """
    Where sealed values stand.

    Attributes:
        row: What a value is bound to beside table and column, as SQL on a row t.
        key: By what the rows are read in order, as SQL on a row t.
        key_type: The type of that.
        first: What comes before every key.
    """

    table: str
    column: str
    row: str = "t.id::text"
    key: str = "t.id"
    key_type: str = "uuid"
    first: str = NIL_UUID

    @property
    def sql(self) -> str:
        """
        The statement that reads a page of values: of organization $1, after the key $2, at most $3, and not more than
        about $4 bytes unless it is one.
        """
        return (
            "SELECT p.key::text AS key, p.row, p.sealed FROM ("
            "SELECT v.*, sum(octet_length(v.sealed)) OVER (ORDER BY v.key) - octet_length(v.sealed) AS before FROM ("
            f"SELECT {self.key} AS key, {self.row} AS row, t.{self.column} AS sealed FROM {self.table} AS t "
            f"WHERE t.organization_id = $1 AND t.{self.column} IS NOT NULL AND {self.key} > $2::{self.key_type} "
            f"ORDER BY {self.key} LIMIT $3) AS v) AS p WHERE p.before < $4 ORDER BY p.key"
        )


SEALED: Final = (
    SealedColumn("agent_memories", "sealed"),
    SealedColumn("agent_executions", "sealed_task"),
    SealedColumn("agent_executions", "sealed_result"),
    SealedColumn("agent_steps", "sealed"),
    SealedColumn("agent_tools", "sealed", row="t.name"),
    SealedColumn(
        "agent_tool_versions",
        "sealed",
        row="(SELECT n.name FROM agent_tools AS n WHERE n.organization_id = $1 AND n.id = t.tool_id)",
        key="(t.tool_id::text || to_char(t.version, '0000000000'))",
        key_type="text",
        first="",
    ),
)
"""All of them; a test compares them with the catalogue."""


class SealedValues(Resource):
    """What of an organization is sealed."""

    async def values(self, column: SealedColumn) -> AsyncGenerator[Record, None]:
        """Yield what stands in *column*, rows of `SealedColumn.sql`, in bounded memory and with room for others."""
        after, breath = column.first, Breath()
        while page := await self._fetch(column.sql, after, _PAGE_ROWS, _PAGE_BYTES):
            for value in page:
                yield value
                await breath.take()
            after = page[-1]["key"]
