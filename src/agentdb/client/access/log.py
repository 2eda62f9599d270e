"""The `access_log` table: who did what, and whether that is still what it was."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from agentdb.client.access.entries import AccessWrites
from agentdb.client.queries import load_queries, row_offset, row_step, write_out
from agentdb.client.resource import Resource
from agentdb.models import AccessEntry, Audit, from_row
from agentdb.security.access_log import ChainCheck, parse_head
from agentdb.validation import check_flag, check_limit, check_offset, check_text, check_time

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["AccessLog"]

_SQL: Final = load_queries("access_log")
_ATTEMPTS: Final = 100
_PAGE: Final = 250  # to check a thousand would hold the event loop up for 0.04 s
_BEFORE_ALL: Final = -(2**63)  # no place is below 1, but for one that somebody has made up


class AccessLog(Resource, family="access_log"):
    """The access log of the organization, as far as it is kept in the database (AGENTDB_ACCESS_LOG)."""

    async def list(
        self,
        *,
        agent_id: str | None = None,
        user: str | None = None,
        operation: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        failed: bool | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> builtins.list[AccessEntry]:
        """
        Return entries, newest first: those that fit every condition that is given.

        What this process has done is written first.

        Args:
            agent_id: Only what this agent did.
            user: Only what was done on behalf of this one.
            operation: Only calls of this: "memories.delete".
            since: Only what began then or later; a naive time is taken as UTC.
            until: Only what began before.
            failed: True: only what ended with an error; False: only what did not.
            limit: Most entries to return, 1 to 1000.
            offset: How many to pass over first, 0 or more.

        Raises:
            InvalidInputError: An argument does not fit.
        """
        sql, arguments = write_out(
            _SQL["list"],
            None if agent_id is None else check_text(agent_id, "agent_id"),
            None if user is None else check_text(user, "user"),
            None if operation is None else check_text(operation, "operation"),
            check_time(since, "since"),
            check_time(until, "until"),
            None if failed is None else check_flag(failed, "failed"),
            row_step(check_limit(limit)),
            row_offset(check_offset(offset)),
        )
        await self._write_first()
        return [_entry(row) for row in (await self._fetch(sql, *arguments))[:limit]]

    async def verify(
        self, expected_head: str | None = None, *, progress: Callable[[int], object] | None = None
    ) -> Audit:
        """
        Recompute the chain of the whole log, and say what was changed, deleted, inserted or moved, and where.

        Reads in pages, in bounded memory, while others write. Entries that have no place yet are given one first.

        Args:
            expected_head: Where the chain ended at some time, as an audit, or the log "agentdb.access", said:
                "POSITION:HEX". Only this shows whether the newest entries were deleted, or whether somebody who may
                change the table has recomputed the chain.
            progress: Called now and then with how many entries have been read.

        Raises:
            InvalidInputError: *expected_head* is none.
        """
        check = ChainCheck(None if expected_head is None else parse_head(expected_head))
        await self._write_first()
        # In a transaction nobody else could chain until it ends.
        is_chained = not self._client.in_transaction and await AccessWrites(self._client).chain(_ATTEMPTS) is not None
        async for page in self._pages():
            for row in page:
                check.read(_entry(row))
            if progress is not None:
                progress(check.entries)
        check.end()
        return Audit(
            entries=check.entries,
            unchained=0 if is_chained else (await self._fetch(_SQL["unchained"]))[0]["count"],
            head_position=check.head.position,
            head=str(check.head),
            problems=check.problems,
        )

    async def _write_first(self) -> None:
        # In a transaction the entries of that transaction are there already; others are written outside of it.
        if not self._client.in_transaction:
            await self._client.gathering.access_log.flush()

    async def _pages(self) -> AsyncIterator[builtins.list[Record]]:
        after = _BEFORE_ALL
        while page := await self._fetch(_SQL["chained"], after, _PAGE):
            yield page
            after = page[-1]["position"]
            if len(page) < _PAGE:
                return


def _entry(record: Record) -> AccessEntry:
    return from_row(AccessEntry, dict(record.items()))
