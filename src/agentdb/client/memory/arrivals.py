"""Memories that come in from elsewhere, as they were there, and what is there already."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from agentdb.client.memory.resource import MemoryResource
from agentdb.client.memory.sealing import open_memory
from agentdb.client.memory.transfer_rows import TransferRow
from agentdb.client.queries import load_queries
from agentdb.errors import ConflictError, DatabaseError, InvalidInputError, NotFoundError, TransactionConflictError
from agentdb.validation import check_json, parse_json

if TYPE_CHECKING:
    from agentdb.client.encryption.seals import Seals
    from agentdb.models import AgentConfig
    from agentdb.postgres.driver import Record

__all__ = ["Arrivals", "Elsewhere", "MemoryArrivals"]

_SQL: Final = load_queries("memory_transfer")
_REFERENCES: Final = "agent_memories_organization_id_superseded_by_id_fkey"
_ATTEMPTS: Final = 5
_UUID_BYTES: Final = 16
_PLANS: Final = "SET LOCAL plan_cache_mode"
_SUPERSEDED_BY: Final = TransferRow._fields.index("superseded_by")


class Elsewhere:
    """
    Where memories are that are there under another id: 32 bytes for each.

    They are added in the order of their ids, or nearly so.
    """

    def __init__(self) -> None:
        self._ids = bytearray()
        self._places = bytearray()

    def add(self, memory_id: str, place: str) -> None:
        """Note that the memory of this id is the one of the id *place*, unless that is the same."""
        if memory_id == place:
            return
        key = UUID(memory_id).bytes
        at = self._find(key) * _UUID_BYTES
        self._ids[at:at] = key
        self._places[at:at] = UUID(place).bytes

    def get(self, memory_id: str | None) -> str | None:
        """Return the id that the memory of this id has here, itself unless another was noted."""
        if memory_id is None or not self._ids:
            return memory_id
        key = UUID(memory_id).bytes
        at = self._find(key) * _UUID_BYTES
        if self._ids[at : at + _UUID_BYTES] != key:
            return memory_id
        return str(UUID(bytes=bytes(self._places[at : at + _UUID_BYTES])))

    def _find(self, key: bytes) -> int:
        ids = self._ids
        return bisect_left(
            range(len(ids) // _UUID_BYTES),
            key,
            key=lambda place: bytes(ids[place * _UUID_BYTES : (place + 1) * _UUID_BYTES]),
        )


class Arrivals:
    """
    What an import has come to so far.

    Attributes:
        memories: How many are new.
        known: How many were there.
        elsewhere: Which of these are there under another id.
    """

    def __init__(self) -> None:
        self.memories = 0
        self.known = 0
        self.elsewhere: Elsewhere = Elsewhere()


class MemoryArrivals(MemoryResource):
    """What an import asks of the database, in a transaction."""

    async def _await_agents(self, agents: Sequence[AgentConfig], target: str | None) -> None:
        """Register those of *agents* that are not there; or see to it that they are one, and its *target* is there."""
        if target is not None:
            if len(agents) > 1:
                raise InvalidInputError("agent_id", f"takes the memories of one agent; these are of {len(agents)}.")
            if not await self._fetch(_SQL["agents_there"], [target], []):
                raise NotFoundError("agent", target)
            return
        while missing := await self._missing(agents):
            # Again, because somebody may have registered one at this moment.
            records = check_json([agent.model_dump(mode="json") for agent in missing], "agents")
            await self._execute(_SQL["bring_agents"], records)

    async def _missing(self, agents: Sequence[AgentConfig]) -> list[AgentConfig]:
        """Return those of *agents* that are not there; ConflictError when the name of one is another's."""
        rows = await self._fetch(_SQL["agents_there"], [agent.id for agent in agents], [agent.name for agent in agents])
        there = {row["id"] for row in rows}
        names = {row["name"]: row["id"] for row in rows}
        missing = [agent for agent in agents if agent.id not in there]
        for agent in missing:
            if agent.name in names:
                raise _name_is_taken(agent, names[agent.name])
        return missing

    async def _begin_arrivals(self) -> None:
        """Let memories come before those that superseded them."""
        # Statistics know nothing of what this transaction stores: a plan has to be made for the table as it is by then.
        await self._client.inner_driver.script(f"SET CONSTRAINTS {_REFERENCES} DEFERRED; {_PLANS} = force_custom_plan")

    async def _end_arrivals(self) -> None:
        """See to it that all those are there that superseded others."""
        try:
            async with self._client.transaction() as attempt:
                await attempt.inner_driver.script(f"SET CONSTRAINTS {_REFERENCES} IMMEDIATE; {_PLANS} = DEFAULT")
        except DatabaseError as error:
            if error.constraint != _REFERENCES:
                raise
            for row in await self._fetch(_SQL["dangling"]):
                reason = f"of the memory {row['id']} names {row['newer']}, which is neither there nor exported."
                raise InvalidInputError("superseded_by", reason) from error
            raise

    async def _arrive(self, rows: Sequence[TransferRow], arrivals: Arrivals) -> None:
        """Store those of *rows* that are not there, the sensitive ones sealed."""
        rows = [self._sealed(self._storable(row)) for row in rows]
        await self._rekey(rows)
        for _ in range(_ATTEMPTS):
            stored = await self._insert_new(rows, arrivals.elsewhere)
            arrivals.memories += len(stored)
            rest = [row for row in rows if row.id not in stored]
            rows = await self._without_known(rest, arrivals) if rest else ()
            if not rows:
                return
        raise TransactionConflictError("Others store and delete the same memories at the same time; import it again.")

    async def _insert_new(self, rows: Sequence[TransferRow], elsewhere: Elsewhere) -> set[str]:
        """Store those of *rows* that collide with nothing; return their ids."""
        columns = list(zip(*rows, strict=True))[:-1]
        columns[_SUPERSEDED_BY] = tuple(map(elsewhere.get, columns[_SUPERSEDED_BY]))
        agents = ", ".join(sorted({row.agent_id for row in rows}))
        return {row["id"] for row in await self._fetch(_SQL["arrive"], *columns, agent=agents)}

    async def _without_known(self, rows: Sequence[TransferRow], arrivals: Arrivals) -> list[TransferRow]:
        """Return those of *rows* for which there is room now; let others refer to what is there instead of the rest."""
        found = await self._found(rows)
        welcome: list[TransferRow] = []
        gone: list[str] = []
        moved: dict[str, str] = {}
        for row in rows:
            record = found.get(row.id)
            if record is None:
                welcome.append(row)
            elif record["is_in_the_way"]:
                welcome.append(row)
                gone.append(record["there"])
                moved[record["there"]] = row.id
            else:
                arrivals.known += 1
                arrivals.elsewhere.add(row.id, record["there"])
                moved[row.id] = record["there"]
        if gone:
            await self._execute(_SQL["make_room"], gone)
        moves = [(id, place) for id, place in moved.items() if id != place]
        if moves:
            await self._execute(_SQL["redirect"], *map(list, zip(*moves, strict=True)))
        return welcome

    async def _found(self, rows: Sequence[TransferRow]) -> dict[str, Record]:
        """Return what is there of *rows*, by their ids: the one of the same id, or else the living equal."""
        seals = self._seals
        columns = [[row.id for row in rows], [row.content_hash for row in rows], [row.expires_at for row in rows]]
        # Their ids rise. Between these two the planner can do little harm, whatever it believes of the organization.
        found = {record["id"]: record for record in await self._fetch(_SQL["same"], *columns, rows[0].id, rows[-1].id)}
        for row in rows:
            record = found.get(row.id)
            if record is not None and not _is_equal(row, record, seals):
                raise _id_is_taken(row, record["agent_id"])
        if rest := [row for row in rows if row.id not in found and row.superseded_at is None]:
            keys = [(row.id, row.agent_id, row.content_hash, row.expires_at) for row in rest]
            equal = await self._fetch(_SQL["equal"], *map(list, zip(*keys, strict=True)))
            found.update((record["id"], record) for record in equal)
        return found


def _is_equal(row: TransferRow, record: Record, seals: Seals) -> bool:
    if record["agent_id"] != row.agent_id:
        return False
    if record["content_hash"] == row.content_hash:
        return True
    # The database writes 1e22 as 10000000000000000000000, which is another text with another hash. And one of the two
    # may be sealed, or sealed with another key.
    if record["memory_type"] != row.memory_type:
        return False
    return _said(record, seals) == _said(row._asdict(), seals)


def _said(values: Mapping[str, Any] | Record, seals: Seals) -> tuple[str, str]:
    """Return the content of a memory, and its metadata as canonical JSON."""
    if values["sealed"] is None:
        return values["content"], check_json(parse_json(values["metadata"]), "metadata")
    memory = open_memory(values["id"], values["sealed"], seals)
    return memory.content, check_json(memory.metadata, "metadata")


def _id_is_taken(row: TransferRow, agent_id: str) -> ConflictError:
    why = "is another" if agent_id == row.agent_id else f"belongs to the agent {agent_id[:100]!r}"
    return ConflictError(
        f"line {row.line}: the memory {row.id} is in this organization already, and {why}. An import keeps ids, so it "
        "cannot copy or change memories within an organization.",
        constraint="agent_memories_pkey",
    )


def _name_is_taken(agent: AgentConfig, there: str) -> ConflictError:
    return ConflictError(
        f"The agent {agent.name[:100]!r} of the export has another id here, {there[:100]!r}. To put its memories "
        "there, export this agent alone and import with that agent_id.",
        constraint="agents_organization_id_name_key",
    )
