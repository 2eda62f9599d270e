"""What came of an import, table by table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from agentdb.sqlite.kinds import IGNORE
from agentdb.sqlite.recognition import Sureness

__all__ = ["Refusal", "Report", "TableReport"]

SHOWN_REFUSALS: Final = 20
"""How many refusals of a table are kept with their rows; the rest is counted by reason."""


class Refusal(NamedTuple):
    """A row that was not taken, by its rowid, key or place, and why."""

    row: str
    reason: str


@dataclass
class TableReport:
    """
    What came of a table.

    Attributes:
        kind: What it was taken for; "ignore": it was left out.
        sureness: "mapped": a mapping said so; "certain": by name and columns; "likely": by its columns; "no".
        why: What told, or why it was left out.
        columns: What became of each column.
        notes: What else a reader should know: scales, units, what was left out of rows that were taken.
        rows: How many rows it has; of these *passed_over* were to be left out, and *refused* could not be taken.
        made: How many rows of the database they become; a row may be several points of metrics.
        imported: How many rows of the database are new; *known*: were there from an earlier import.
        merged: How many are one with an equal memory, or with the tool or the pattern of that name, that was there.
        differing: How many were there from an earlier import, and have changed since, here or in the file; they stay.
        refusals: The first ones.
        reasons: How often each reason was given.
        failure: Why the table could not be read to its end; nothing of it is imported then.
        source_checksum: Of what the imported and known rows were to be: SHA-256, hexadecimal.
        database_checksum: The same of what the database has, read back.
    """

    name: str
    kind: str
    sureness: Sureness = "no"
    why: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    passed_over: int = 0
    made: int = 0
    refused: int = 0
    imported: int = 0
    known: int = 0
    merged: int = 0
    differing: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    failure: str | None = None
    source_checksum: str | None = None
    database_checksum: str | None = None

    def refuse(self, row: str, reason: str) -> None:
        """Note a row that is not taken."""
        self.refused += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if len(self.refusals) < SHOWN_REFUSALS:
            self.refusals.append(Refusal(row, reason))

    @property
    def is_verified(self) -> bool:
        """Whether the database has what it was to have."""
        return self.source_checksum == self.database_checksum


@dataclass
class Report:
    """
    What came of an import.

    Attributes:
        source: The file.
        agent: The agent's name, and *agent_id* its id; None: nothing was written.
        is_copy: Whether a private copy was read, because a -wal or a journal belongs to the file.
    """

    source: str
    agent: str | None
    agent_id: str | None
    is_copy: bool
    tables: list[TableReport] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether something was recognised, every row of it was taken, and the database has what it was to have."""
        taken = [table for table in self.tables if table.kind != IGNORE]
        return bool(taken) and all(not table.refused and table.failure is None and table.is_verified for table in taken)

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        values = asdict(self)
        for table, each in zip(values["tables"], self.tables, strict=True):
            table["refusals"] = [refusal._asdict() for refusal in each.refusals]
            table["verified"] = None if each.source_checksum is None else each.is_verified
        return {**values, "complete": self.is_complete}
