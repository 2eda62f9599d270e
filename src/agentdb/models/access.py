"""The access log: its entries, what an audit of it finds, and how the writing of it goes."""

from __future__ import annotations

from datetime import datetime

from agentdb.models.base import Row

__all__ = ["AccessEntry", "AccessLogHealth", "Audit"]


class AccessEntry(Row, frozen=True):
    """
    An operation, as the table `access_log` keeps it: who, what, when, how long, with what outcome; never the contents.
    """

    organization_id: str
    id: str
    at: datetime
    """When it began, by the server's clock."""
    agent_id: str | None
    """The agent that did it, if that was known."""
    user_name: str | None
    """On whose behalf, if `acting_as` has said so."""
    operation: str
    """What was called: "memories.store", "prisma.AgentMemory.find_many", "sql.execute", …"""
    table_names: list[str]
    """The tables that it changed; of an operation that changes nothing, those that it read."""
    row_ids: list[str]
    """At most 20 of the rows that it changed, or that it found."""
    row_count: int | None
    """How many rows it changed, or how many things it found; None where that is not known."""
    duration_ms: float | None
    """How long it took, in milliseconds; of a change until this entry was written with it."""
    outcome: str
    """The class of the error that it ended with, or "ok"."""
    position: int | None
    """Its place in the organization's chain, from 1; None for the moment until it has one."""
    digest: bytes
    """The SHA-256 of the entry as it was written, 32 bytes; see `agentdb.security.access_log`."""
    chain: bytes | None
    """The SHA-256 of the chain before, the position and *digest*; None until it has a place."""


class Audit(Row, frozen=True):
    """What was found when the chain of an organization's access log was recomputed."""

    entries: int
    """How many chained entries there are."""
    unchained: int
    """
    How many have no place in the chain yet, because somebody else is giving it to them, or because the audit was in a
    transaction. Nobody would notice if one of these were deleted. Later ones do not count.
    """
    head_position: int
    """The place of the last one; 0 when there is none."""
    head: str
    """
    Where the chain ends, "POSITION:HEX". Kept somewhere else, it shows later that nothing before was changed since, not
    even by somebody who recomputed the whole chain.
    """
    problems: list[str]
    """What is wrong, and where; at most 100 of them."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class AccessLogHealth(Row, frozen=True):
    """How the access log goes in this process."""

    table: bool
    """Whether it is kept in the database, too (AGENTDB_ACCESS_LOG)."""
    waiting: int
    """Entries of reads and failures that are not written yet."""
    lost: int
    """Entries that could not be written."""
