"""Erasing an agent, what is about a person, or all of an organization: in one transaction or in small steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVarTuple

from agentdb.client.database import TABLES
from agentdb.client.erasure.found import KINDS, Found, Kind, SubjectSearch
from agentdb.client.erasure.residue import Residue, ResidueScan
from agentdb.client.erasure.scope import Erased, Scope, erasure_scope
from agentdb.client.queries import load_queries, write_out
from agentdb.errors import NotFoundError
from agentdb.validation import check_flag

if TYPE_CHECKING:
    from agentdb.postgres.driver import Driver

__all__ = ["Erasure", "Progress", "erase_access_log"]

Progress = Callable[[int, int], object]
"""Hears how many rows are erased, and of how many."""

Arguments = TypeVarTuple("Arguments")

_SQL: Final = load_queries("erasure")
_MOST_AT_ONCE: Final = 50_000
_HOURS_AT_ONCE: Final = 5000
_LOG: Final = "access_log"
_COUNT_ALL: Final = "SELECT " + ", ".join(
    f"(SELECT count(*) FROM {table} WHERE organization_id = $1) AS {table}" for table in TABLES if table != _LOG
)
_COUNT_LOG: Final = f"SELECT count(*) AS count FROM {_LOG} WHERE organization_id = $1"


async def erase_access_log(driver: Driver, organization_id: str) -> int:
    """
    Delete an organization's access log, as the owner of the tables; return how many entries that were.

    Nobody can tell any more what was done in it, nor that there was anything.
    """
    return await driver.execute(_SQL["erase_access_log"], (organization_id,))


class Erasure(SubjectSearch, ResidueScan):
    """Erases rows of the client's organization, and of no other."""

    async def erase(
        self,
        *,
        agent_id: str | None = None,
        subject: str | None = None,
        key: str = "subject",
        organization: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Erased:
        """
        Erase an agent, what is about a person, or all of this client's organization. Exactly one has to be named.

        Up to 50,000 rows go in one transaction. More go in steps of some 5,000, each a transaction of its own: what
        is left after each is whole, and an erasure that was broken off is finished by the next. In a transaction of
        the caller's all is part of that. What this process has gathered of it and not written yet goes, too, but not in
        a transaction of the caller's: there it is written afterwards, if it still has something to belong to.

        *An agent* goes with its memories, shared ones too, its executions, their steps, its calls of tools, metrics
        and patterns. Executions of others that it started stay, and are nobody's children. Tools that it owned stay
        in the catalogue without an owner; those that are its methods are deprecated.

        *What is about a person* is what says so at its top under *key*: a memory's metadata, an execution's task,
        settings or result, a step's data, a metric's labels, a pattern's content; sealed values are opened to see. A
        memory goes with its older versions. An execution goes as a whole, with all its steps, also when one of its
        steps says it; those that it started stay unless they say so themselves. Hours of metrics are rolled up anew
        without the points; of an hour whose points retention has deleted, its figures stay.

        *All of the organization* are all rows but those of the access log, which nobody who writes it can delete:
        `agentdb erase` does, as the owner of the tables. Whoever goes on working leaves new rows: *is_complete* tells.

        Args:
            agent_id: This agent.
            subject: Whoever it is that data is about, 1 to 1000 characters: an id, an address. Compared byte for byte:
                other capitals and other Unicode forms are others.
            key: Under which key data says whom it is about.
            organization: True: everything. Which organization it is says the client, and nothing else.
            dry_run: Delete nothing, only count: the same rows that would be deleted.
            progress: Called after each step.

        Returns:
            What was deleted, and where the rest still speaks of it.

        Raises:
            InvalidInputError: None of the three is named, or several.
            NotFoundError: There is no such agent.
            EncryptionError: A sealed value does not open, so nobody can tell whom it is about; nothing was erased.
        """
        scope = erasure_scope(agent_id, subject, key, organization=organization)
        is_rehearsal = check_flag(dry_run, "dry_run")
        await self._settle()
        if scope.agent_id is not None and not await self._fetch(_SQL["agent_is_there"], scope.agent_id):
            raise NotFoundError("agent", scope.agent_id)
        found = await self._found(scope)
        counted = await self._count(scope, found)
        if is_rehearsal:
            return Erased(_counts(counted), {}, {}, is_complete=False)
        steps = _Steps(counted.total(), progress)
        await self._erase(scope, found, steps)
        self._client.gathering.forget_erased()
        if scope.subject is not None:
            await self._client.metrics.roll_up()  # also what one that was broken off left
        await self._settle()
        residue = await self._residue(scope)
        left = await self._count(scope, await self._found(scope))
        return Erased(_counts(steps.rows), residue.found, residue.unread, is_complete=not left.total())

    async def _settle(self) -> None:
        """Write what this process has gathered, so that it is erased, or has nothing to belong to."""
        if not self._client.in_transaction:
            await self._client.gathering.settle()

    # What there is.

    async def _found(self, scope: Scope) -> Found:
        return () if scope.subject is None else await self.find(scope.subject, scope.key)

    async def _count(self, scope: Scope, found: Found) -> Counter[str]:
        """Return how many rows there are to erase, by table."""
        if scope.subject is not None:
            counts: Counter[str] = Counter()
            for kind, ids in found:
                counts += await self._count_ids(kind, ids)
            return counts
        what = (_COUNT_ALL,) if scope.agent_id is None else (_SQL["count_agent"], scope.agent_id)
        (row,) = await self._fetch(*what)
        return Counter(dict(row.items()))

    async def _count_ids(self, kind: Kind, ids: Sequence[str]) -> Counter[str]:
        if not ids:
            return Counter()
        (row,) = await self._fetch(_SQL[kind.count], ids)
        return Counter(dict(row.items()))

    async def _residue(self, scope: Scope) -> Residue:
        """Return what still speaks of it; of an organization that is its access log."""
        if scope.agent_id is not None or scope.subject is not None:
            return await self.scan(scope.agent_id, scope.subject, skips_unread=True)
        (row,) = await self._fetch(_COUNT_LOG)
        return Residue({f"{_LOG}.organization_id": row["count"]} if row["count"] else {}, {})

    # Erasing it.

    async def _erase(self, scope: Scope, found: Found, steps: _Steps) -> None:
        is_small = steps.total <= _MOST_AT_ONCE
        if scope.subject is not None:
            for part in [found] if is_small else _parts(found):
                steps.add(await self._alone(Erasure._erase_found, part))
            return
        if not is_small:
            await self._drain(scope.agent_id, steps)
        if scope.agent_id is None:
            steps.add(await self._alone(Erasure._erase_organization))
        else:
            steps.add(await self._alone(Erasure._erase_agent, scope.agent_id))

    async def _erase_found(self, found: Found) -> Counter[str]:
        """Erase rows by their ids with what hangs on them; return how many rows that were."""
        rows: Counter[str] = Counter()
        for kind, ids in found:
            if ids:
                if kind.lock is not None:
                    await self._fetch(_SQL[kind.lock], ids)  # so that what is counted is what goes
                rows += await self._count_ids(kind, ids)
                await self._execute(_SQL[kind.erase], ids)
        return rows

    async def _erase_agent(self, agent_id: str) -> Counter[str]:
        await self._fetch(_SQL["lock_agent"], agent_id)  # what is counted is what goes, and nothing comes after
        (row,) = await self._fetch(_SQL["count_agent"], agent_id)
        await self._execute(_SQL["erase_elsewhere"], agent_id)
        await self._client.agents.delete(agent_id)
        return Counter(dict(row.items()))

    async def _erase_organization(self) -> Counter[str]:
        for block in ("lock_agents", "lock_tools"):  # likewise
            await self._fetch(_SQL[block])
        (row,) = await self._fetch(_COUNT_ALL)
        for block in ("disown_tools", "erase_agents", "erase_tools", "erase_prices"):
            await self._execute(_SQL[block])
        return Counter(dict(row.items()))

    async def _drain(self, agent_id: str | None, steps: _Steps) -> None:
        """Erase what hangs on an agent, or on all, in small steps; what is left, or comes meanwhile, can go at once."""
        for kind in KINDS:
            ids = await self._some(kind, agent_id)
            while ids:
                steps.add(await self._alone(Erasure._drain_ids, kind, ids, agent_id))
                ids = await self._some(kind, agent_id) if len(ids) == kind.at_once else []
        sql, arguments = write_out(_SQL["erase_rollups"], agent_id, _HOURS_AT_ONCE)
        while hours := await self._retried(lambda: self._execute(sql, *arguments)):
            steps.add(Counter(agent_metric_rollups=hours))

    async def _drain_ids(self, kind: Kind, ids: list[str], agent_id: str | None) -> Counter[str]:
        rows = await self._erase_found([(kind, ids)])
        if kind.table == "agent_metrics":
            sql, arguments = write_out(_SQL["unmark_hours"], agent_id)
            await self._execute(sql, *arguments)
        return rows

    async def _some(self, kind: Kind, agent_id: str | None) -> list[str]:
        sql, arguments = write_out(_SQL[kind.some], agent_id, kind.at_once)
        return [row["id"] for row in await self._fetch(sql, *arguments)]

    async def _alone(
        self, work: Callable[[Erasure, *Arguments], Awaitable[Counter[str]]], *arguments: *Arguments
    ) -> Counter[str]:
        """Do *work* in a transaction of its own, again if it collided with another."""

        async def once() -> Counter[str]:
            async with self._client.transaction() as transaction:
                return await work(Erasure(transaction), *arguments)

        return await self._retried(once)


class _Steps:
    """
    What was erased so far.

    Attributes:
        rows: How many rows, by table.
        total: How many there were to erase.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.rows: Counter[str] = Counter()
        self.total = total
        self._progress = progress

    def add(self, rows: Counter[str]) -> None:
        self.rows += rows
        if self._progress is not None and rows.total():
            self._progress(self.rows.total(), max(self.total, self.rows.total()))


def _parts(found: Found) -> Iterator[Found]:
    """Yield ids in small steps."""
    for kind, ids in found:
        for start in range(0, len(ids), kind.at_once):
            yield [(kind, ids[start : start + kind.at_once])]


def _counts(rows: Counter[str]) -> dict[str, int]:
    """Return the counts of tables of which there are rows, in the order in which all tables are listed."""
    return {table: rows[table] for table in TABLES if rows[table]}
