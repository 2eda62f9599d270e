"""Where rows still speak of somebody: every text, list of texts, JSON and sealed value of every table."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from agentdb.client.catalogue import Column, columns_of, quoted
from agentdb.client.encryption.seals import seals_of
from agentdb.client.encryption.values import SEALED, SealedColumn, SealedValues
from agentdb.client.erasure.mentions import Mention, mention_of
from agentdb.errors import EncryptionError, InvalidInputError
from agentdb.validation import check_text

__all__ = ["Residue", "ResidueScan", "scan_sql"]

# As `mentions.spaced`.
_SPACED: Final = r"regexp_replace(replace({0}::text, '\\', chr(1)), '\\[bfnrt]|\\u00[01][0-9a-f]', ' ', 'g')"
# Whether a value holds what is asked for; first in a way that costs little.
_TESTS: Final = {
    "text": "strpos({0}, asked.text) > 0 AND {0} ~ asked.pattern",
    "text[]": "EXISTS (SELECT FROM unnest({0}) AS each WHERE strpos(each, asked.text) > 0 AND each ~ asked.pattern)",
    "jsonb": f"strpos({{0}}::text, asked.json_text) > 0 AND {_SPACED} ~ asked.json_pattern",
}


class Residue(NamedTuple):
    """
    What a scan came to.

    Attributes:
        found: How many rows there are, by "table.column".
        unread: How many sealed values did not open, likewise.
    """

    found: dict[str, int]
    unread: dict[str, int]


class ResidueScan(SealedValues):
    """Looks for what an erasure left."""

    async def residue(self, *, agent_id: str | None = None, subject: str | None = None) -> dict[str, int]:
        """
        Return where the id of an agent, or the text of a subject, still stands: nothing, if an erasure was complete.

        It looks into every text, list of texts, JSON and sealed value of every table of the organization, as they are
        in the catalogue of the database, and reads all rows for it. Found is what stands as a word of its own, capital
        letters being other letters: an e-mail address within a sentence is, "Ann" in "Anna" is not.

        Args:
            agent_id: An agent's id; "scout" is not found in "scout-1".
            subject: Whoever data is about; "Ann" is found in "Ann-Marie".

        Returns:
            How many rows hold it, by "table.column"; never what they hold.

        Raises:
            InvalidInputError: Neither is given, or both.
            EncryptionError: A sealed value does not open.
        """
        if (agent_id is None) == (subject is None):
            raise InvalidInputError("subject", "say either agent_id=… or subject=….")
        return (await self.scan(agent_id, subject, skips_unread=False)).found

    async def scan(self, agent_id: str | None, subject: str | None, *, skips_unread: bool) -> Residue:
        """Like `residue`; sealed values that do not open are counted if *skips_unread*."""
        mention = (
            mention_of(check_text(agent_id, "agent_id"), hyphen_joins=True)
            if agent_id is not None
            else mention_of(check_text(subject, "subject", at_most=1000), hyphen_joins=False)
        )
        found: dict[str, int] = {}
        for table, columns in groupby(await columns_of(self._client.inner_driver), key=attrgetter("table")):
            if sql := scan_sql(table, columns):
                (row,) = await self._fetch(sql, *mention.parameters)
                found |= {f"{table}.{name}": count for name, count in row.items() if count}
        unread: dict[str, int] = {}
        for column in SEALED:
            mentions, closed = await self._in_sealed(column, mention, skips_unread=skips_unread)
            found |= {f"{column.table}.{column.column}": mentions} if mentions else {}
            unread |= {f"{column.table}.{column.column}": closed} if closed else {}
        return Residue(found, unread)

    async def _in_sealed(self, column: SealedColumn, mention: Mention, *, skips_unread: bool) -> tuple[int, int]:
        """Return how many values of a column mention it, and how many did not open."""
        seals, mentions, closed = seals_of(self._client), 0, 0
        async for row in self.values(column):
            try:
                text = seals.open(row["sealed"], column.table, column.column, row["row"])
            except EncryptionError:
                if not skips_unread:
                    raise
                closed += 1
            else:
                mentions += mention.is_in(text)
        return mentions, closed


def scan_sql(table: str, columns: Iterable[Column]) -> str | None:
    """Return the statement that counts the rows of a table that hold what $2 to $5 ask for; None if none ever could."""
    counts = [
        f"count(*) FILTER (WHERE {_TESTS[column.type].format(f't.{quoted(column.name)}')}) AS {quoted(column.name)}"
        for column in columns
        if column.type in _TESTS and column.name != "organization_id" and not column.is_generated
    ]
    if not counts:
        return None
    return (
        "WITH asked AS (SELECT $2::text AS text, $3::text AS pattern, $4::text AS json_text, $5::text AS json_pattern) "
        f"SELECT {', '.join(counts)} FROM {quoted(table)} AS t CROSS JOIN asked WHERE t.organization_id = $1"
    )
