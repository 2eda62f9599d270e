"""A change of keys: what an older key has sealed is sealed anew by the newest, while everything goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from agentdb.client.encryption.seals import Seals
from agentdb.client.execution.sealing import resealed_execution, resealed_step
from agentdb.client.flow import Breath
from agentdb.client.memory.sealing import resealed
from agentdb.client.queries import Bound, load_queries, write_out
from agentdb.client.resource import Resource
from agentdb.client.tool.sealing import resealed_tool, resealed_version
from agentdb.errors import ConfigurationError, ConflictError, EncryptionError
from agentdb.ids import NIL_UUID
from agentdb.validation import check_count, check_flag

if TYPE_CHECKING:
    from agentdb.config import Settings
    from agentdb.postgres.driver import Record
    from agentdb.security.encryption import KeyRing

__all__ = ["KeyRotation", "Rotated"]

_SQL: Final = load_queries("rotation")
_MOST_NAMED: Final = 10
_PASSES: Final = 10
_PAUSE_SECONDS: Final = 0.1
_UNREADABLE: Final = "?"

_Row: TypeAlias = tuple[object, ...]
# How many rows a key has sealed something of, by table and key.
_KeysInUse: TypeAlias = Mapping[tuple[str, str], int]


class Rotated(NamedTuple):
    """What a change of keys came to."""

    key_id: str
    """The newest key, the one that seals."""
    rows: Mapping[str, int]
    """How many rows of each table it has sealed; on a dry run, would."""
    failed: int
    """
    How many rows stay as they are because they do not open, or cannot be read; on a dry run, those whose key is
    missing.
    """
    failures: Sequence[str]
    """What is wrong with the first ten of them."""
    in_use: Mapping[str, int]
    """
    Of how many rows each key has sealed something by now, by its id; "?" stands for what is no sealed value. A key that
    is not there may be removed.
    """

    @property
    def is_complete(self) -> bool:
        """Whether no other key is needed any more."""
        return set(self.in_use) <= {self.key_id}


class KeyRotation(Resource, family="keys"):
    """All that is sealed of an organization."""

    async def rotate(
        self,
        *,
        batch_size: int = 500,
        encrypt_plain: bool = False,
        dry_run: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> Rotated:
        """
        Seal with the newest key what another one has sealed.

        Readers and writers go on, as long as they have both keys. A batch is read by one statement and written by
        another, which leaves alone what somebody has changed since, or is changing; such rows are met again a moment
        later. Broken off at any point, it is resumed by the next call. What does not open stays as it is, and is named.

        Args:
            batch_size: Rows per batch, 1 to 10,000; of large ones it takes fewer.
            encrypt_plain: Seal also what was stored as plain text: sensitive memories, which lose their embedding
                unless AGENTDB_EMBED_SENSITIVE is set; and what AGENTDB_ENCRYPT names.
            dry_run: Change nothing, only count.
            progress: Called after each batch with how many rows are done and how many there were to do.

        Raises:
            ConfigurationError: The client has no key.
            InvalidInputError: An argument does not fit.
        """
        ring = self._client.key_ring
        if ring is None:
            raise ConfigurationError("AGENTDB_ENCRYPTION_KEYS", "not set: there is no key to seal with.")
        size = check_count(batch_size, "batch_size", 10_000)
        seals = Seals(ring, self._client.organization_id)
        tables = _tables(seals, self._client.settings, with_plain=check_flag(encrypt_plain, "encrypt_plain"))
        in_use = await self._keys_in_use()
        planned = _planned(in_use, ring)
        if encrypt_plain:
            plain = {row["name"]: row["count"] for row in await self._fetch(_SQL["plain"])}
            planned.update({table.name: plain[table.name] for table in tables if table.with_plain})
        if check_flag(dry_run, "dry_run"):
            rows = {table.name: planned[table.name] for table in tables}
            return Rotated(ring.newest, rows, *_without_key(in_use, ring), _by_key(in_use))
        tally = _Tally((table.name for table in tables), planned.total(), progress)
        for table in tables:
            await self._seal_table(table, ring.header, size, tally)
        return Rotated(ring.newest, tally.rows, tally.failed, tally.failures, _by_key(await self._keys_in_use()))

    async def _seal_table(self, table: _Table, header: bytes, size: int, tally: _Tally) -> None:
        """Go through a table until nothing is left of it; for some seconds only, if others hold rows that long."""
        for number in range(_PASSES):
            left, after = 0, table.start
            while batch := await self._next(table, after, header, size):
                after = table.cursor(batch[-1])
                rows, errors = await _sealed(batch, table)
                written = await self._write(table, rows)
                left += len(rows) - written
                tally.add(table.name, written, [] if number else errors)  # each is counted once
            if not left:
                return
            await asyncio.sleep((number + 1) * _PAUSE_SECONDS)

    async def _next(self, table: _Table, after: _Row, header: bytes, size: int) -> list[Record]:
        first, *rest = after
        sql, arguments = write_out(_SQL[table.next], first, header, size, table.with_plain, *rest)
        return await self._fetch(sql, *arguments)

    async def _write(self, table: _Table, rows: Sequence[_Row]) -> int:
        """Write rows that are as they were read, and return how many these are."""
        if not rows:
            return 0
        try:
            return await self._send(table, rows, table.constants)
        except ConflictError:
            # Two living memories become equal under the newest key: they were stored by those who had not both keys.
            if self._client.in_transaction:
                raise
            if len(rows) == 1:
                return await self._send(table, rows, table.constants_on_conflict)
        middle = len(rows) // 2
        return await self._write(table, rows[:middle]) + await self._write(table, rows[middle:])

    async def _send(self, table: _Table, rows: Sequence[_Row], constants: _Row) -> int:
        columns = [*zip(*rows, strict=True)]
        return await self._retried(lambda: self._execute(_SQL[table.write], *columns, *constants))

    async def _keys_in_use(self) -> _KeysInUse:
        in_use: Counter[tuple[str, str]] = Counter()
        for row in await self._fetch(_SQL["keys_in_use"]):
            in_use[row["name"], _text(row["key"])] += row["count"]
        return in_use


class _Table(NamedTuple):
    """
    How a table is gone through.

    Attributes:
        name: The table.
        next: The block that reads a batch.
        write: The block that writes it.
        with_plain: Whether plain rows are sealed, too.
        row: What becomes of a row that was read: a value for each array that *write* takes.
        constants: What *write* takes beside.
        constants_on_conflict: The same for one row that cannot be written so: an equal one is found in its place.
        start: What comes before every row.
        cursor: Where a row is, for the batch that comes after it.
    """

    name: str
    next: str
    write: str
    with_plain: bool
    row: Callable[[Record], _Row]
    constants: _Row = ()
    constants_on_conflict: _Row = ()
    start: _Row = (NIL_UUID,)
    cursor: Callable[[Record], _Row] = lambda record: (record["id"],)


class _Tally:
    """Counts what is done."""

    def __init__(self, names: Iterable[str], total: int, progress: Callable[[int, int], object] | None) -> None:
        self.rows = dict.fromkeys(names, 0)
        self.failed = 0
        self.failures: list[str] = []
        self._total = total
        self._progress = progress

    def add(self, name: str, written: int, errors: Sequence[str]) -> None:
        self.rows[name] += written
        self.failed += len(errors)
        self.failures += errors[: _MOST_NAMED - len(self.failures)]
        if self._progress is not None:
            done = sum(self.rows.values()) + self.failed
            self._progress(done, max(done, self._total))


def _tables(seals: Seals, settings: Settings, *, with_plain: bool) -> list[_Table]:
    """Return how each table is gone through; plain rows are sealed where the settings say so."""

    def memory(record: Record) -> _Row:
        return record["id"], record["version"], *resealed(record, seals)

    def execution(record: Record) -> _Row:
        return record["id"], record["version"], *resealed_execution(record, seals)

    def step(record: Record) -> _Row:
        return record["id"], record["version"], resealed_step(record, seals)

    def tool(record: Record) -> _Row:
        return record["id"], record["sealed"], record["parameters"], *resealed_tool(record, seals)

    def version(record: Record) -> _Row:
        return record["tool_id"], record["version"], record["row_version"], resealed_version(record, seals)

    def after_version(record: Record) -> _Row:
        return record["tool_id"], Bound(record["version"])

    executions, tools = (with_plain and what in settings.encrypt for what in ("executions", "tools"))
    embeds = settings.embed_sensitive
    return [
        _Table(
            "agent_memories", "memories_next", "memories_write", with_plain, memory,
            constants=(embeds, False), constants_on_conflict=(embeds, True),
        ),
        _Table("agent_executions", "executions_next", "executions_write", executions, execution),
        _Table("agent_steps", "steps_next", "steps_write", executions, step),
        _Table("agent_tools", "tools_next", "tools_write", tools, tool),
        _Table(
            "agent_tool_versions", "versions_next", "versions_write", tools, version,
            start=(NIL_UUID, Bound(0)), cursor=after_version,
        ),
    ]  # fmt: skip


async def _sealed(batch: Sequence[Record], table: _Table) -> tuple[list[_Row], list[str]]:
    """Return what becomes of the rows of a batch, and why some stay as they are; let others run in between."""
    rows, errors, breath = [], [], Breath()
    for record in batch:
        try:
            rows.append(table.row(record))
        except EncryptionError as error:
            errors.append(str(error))
        except (ValueError, RecursionError):  # plain, and not by agentdb
            errors.append(
                f"{table.name} of {table.cursor(record)[0]}: its JSON is too deep, or holds too long a number."
            )
        await breath.take()
    return rows, errors


def _planned(in_use: _KeysInUse, ring: KeyRing) -> Counter[str]:
    """Return how many rows of each table an older key of the ring has sealed something of."""
    planned: Counter[str] = Counter()
    for (name, key_id), count in in_use.items():
        if key_id in ring.ids[1:]:
            planned[name] += count
    return planned


def _without_key(in_use: _KeysInUse, ring: KeyRing) -> tuple[int, list[str]]:
    """Return how many rows have no key in the ring, and what they are."""
    missing = {place: count for place, count in in_use.items() if place[1] not in ring.ids}
    named = [f"{name}: the key {key_id!r} is missing (rows: {count:,})." for (name, key_id), count in missing.items()]
    return sum(missing.values()), named[:_MOST_NAMED]


def _by_key(in_use: _KeysInUse) -> Mapping[str, int]:
    """Return of how many rows each key has sealed something."""
    counts: Counter[str] = Counter()
    for (_, key_id), count in sorted(in_use.items()):
        counts[key_id] += count
    return counts


def _text(key_id: bytes | None) -> str:
    return key_id.decode() if key_id and key_id.isascii() else _UNREADABLE
