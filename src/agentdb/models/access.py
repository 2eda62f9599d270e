"""The access log: its entries, what an audit of it finds, and how the writing of it goes."""

from __future__ import annotations

from datetime import datetime

from agentdb.models.base import Row

__all__ = ["AccessEntry", "AccessLogHealth", "Audit"]


class AccessEntry(Row):
    """
    An operation, as the table `access_log` keeps it: who, what, when, how long, with what outcome; never the contents.

    Attributes:
        at: When it began, by the server's clock.
        agent_id: The agent that did it, if that was known.
        user_name: On whose behalf, if `acting_as` has said so.
        operation: What was called: "memories.store", "prisma.AgentMemory.find_many", "sql.execute", …
        table_names: The tables that it changed; of an operation that changes nothing, those that it read.
        row_ids: At most 20 of the rows that it changed, or that it found.
        row_count: How many rows it changed, or how many things it found; None where that is not known.
        duration_ms: How long it took, in milliseconds; of a change until this entry was written with it.
        outcome: "ok", or the class of the error that it ended with.
        position: Its place in the organization's chain, from 1; None for the moment until it has one.
        digest: The SHA-256 of the entry as it was written, 32 bytes; see `agentdb.security.access_log`.
        chain: The SHA-256 of the chain before, the position and *digest*; None until it has a place.
    """

    organization_id: str
    id: str
    at: datetime
    agent_id: str | None
    user_name: str | None
    operation: str
    table_names: list[str]
    row_ids: list[str]
    row_count: int | None
    duration_ms: float | None
    outcome: str
    position: int | None
    digest: bytes
    chain: bytes | None


class Audit(Row):
    """
    What was found when the chain of an organization's access log was recomputed.

    Attributes:
        entries: How many chained entries there are.
        unchained: How many have no place in the chain yet, because somebody else is giving it to them, or because the
            audit was in a transaction. Nobody would notice if one of these were deleted. Later ones do not count.
        head_position: The place of the last one; 0 when there is none.
        head: Where the chain ends, "POSITION:HEX". Kept somewhere else, it shows later that nothing before was changed
            since, not even by somebody who recomputed the whole chain.
        problems: What is wrong, and where; at most 100 of them.
    """

    entries: int
    unchained: int
    head_position: int
    head: str
    problems: list[str]

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class AccessLogHealth(Row):
    """
    How the access log goes in this process.

    Attributes:
        table: Whether it is kept in the database, too (AGENTDB_ACCESS_LOG).
        waiting: Entries of reads and failures that are not written yet.
        lost: Entries that could not be written.
    """

    table: bool
    waiting: int
    lost: int
