"""What narrows a question about memories: a caller's words, checked, as the parameters that every block takes first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from agentdb.client.encryption.seals import Seals
from agentdb.client.memory.filters import Where, filter_path, is_indexed, lookup_path
from agentdb.client.memory.sealing import lookup_hashes
from agentdb.errors import InvalidInputError
from agentdb.validation import check_flag, check_number, check_text, check_time

__all__ = ["MemoryScope"]


@dataclass(frozen=True, slots=True)
class MemoryScope:
    """
    Which memories of the organization.

    Attributes:
        agent_id: Whose; None: everybody's.
        include_shared: Also what others share with the organization.
        memory_type: Only those of this type.
        min_importance: Only those at least this important, in [0, 1].
        since: Only what happened then or later.
        until: Only what happened before.
        path: Only those whose metadata this jsonpath fits.
        lookup_path: And sealed ones whose hashes this jsonpath fits; None: none of them, where there is a *path*.
        is_indexed: Whether an index knows most of what the jsonpath does not fit.
        as_of: As they were at that time.
    """

    agent_id: str | None
    include_shared: bool
    memory_type: str | None
    min_importance: float | None
    since: datetime | None
    until: datetime | None
    path: str | None
    lookup_path: str | None
    is_indexed: bool
    as_of: datetime | None

    @classmethod
    def of(
        cls,
        agent_id: str | None,
        seals: Seals,
        *,
        include_shared: bool = False,
        memory_type: str | None = None,
        min_importance: float | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        where: Where | None = None,
        as_of: datetime | None = None,
    ) -> MemoryScope:
        """
        Check what a caller asks for.

        Args:
            agent_id: Whose memories; None: everybody's.
            seals: What sealed memories are found with.
            include_shared: As the attribute of this name, and so are the others.
            memory_type: One type.
            min_importance: In [0, 1].
            since: A naive time is taken as UTC.
            until: A naive time is taken as UTC.
            where: A filter on metadata.
            as_of: A naive time is taken as UTC.

        Raises:
            InvalidInputError: An argument is out of range, or *since* is after *until*.
        """
        start, end = check_time(since, "since"), check_time(until, "until")
        if start is not None and end is not None and start > end:
            raise InvalidInputError("since", "is after until.")
        return cls(
            None if agent_id is None else check_text(agent_id, "agent_id"),
            check_flag(include_shared, "include_shared"),
            None if memory_type is None else check_text(memory_type, "memory_type", at_most=100),
            None if min_importance is None else check_number(min_importance, "min_importance", 0, 1),
            start,
            end,
            filter_path(where),
            None if seals.ring is None else lookup_path(where, partial(lookup_hashes, seals=seals)),
            is_indexed(where),
            check_time(as_of, "as_of"),
        )

    def block(self, name: str) -> str:
        """Return what the variant of a block is called that reads the memories of this scope as quickly as can be."""
        return f"{name}_filtered" if self.is_indexed else name

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The parameters $2 to $11 of a block with the fragment `scope`."""
        return (
            self.agent_id,
            self.include_shared,
            self.agent_id is None,
            self.memory_type,
            self.min_importance,
            self.since,
            self.until,
            self.path,
            self.lookup_path,
            self.as_of,
        )
