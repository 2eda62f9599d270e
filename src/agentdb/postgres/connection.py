"""
One connection of the pool: prepared statements, codecs, and the tenant it is set to.

A connection is used by one caller at a time and knows nothing of the pool. Errors leave it as the database library
raised them; the driver above translates them once.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from weakref import WeakValueDictionary

import asyncpg

from agentdb.errors import InvalidArgumentError, without_values
from agentdb.postgres.driver import Bind, Binding, Column, PgType
from agentdb.postgres.failures import is_cancellation, is_changed_result, is_known
from agentdb.postgres.vector import encode_vector, vector_text

__all__ = ["TENANT_SETTING", "UNKNOWN_TENANT", "Connection", "PreparedStatement", "StatementFacts", "quoted"]

TENANT_SETTING: Final = "agentdb.organization_id"

# What a connection is set to after a switch of tenants that was not seen to end; equals no organization, nor none.
UNKNOWN_TENANT: Final[Any] = object()

_READ_ONLY_COMMANDS: Final = frozenset(("select", "show", "values", "table", "explain", "begin", "set"))
_WRITING: Final = re.compile(r"\b(insert|update|delete|merge)\b", re.IGNORECASE)
_DEFINING: Final = re.compile(r"\b(create|alter|drop)\b", re.IGNORECASE)
# A statement prepared before a type changed fails with one of these, and works once it is prepared again.
_STALE_SQLSTATES: Final = frozenset(("26000", "42804", "42883", "42846", "42P18"))
# Types of extensions, binary because COPY takes binary codecs only. Without one an empty string in a citext[] would
# crash the process: the library reads arrays of types it does not know as text, and makes a null pointer of "" there.
_EXTENSION_CODECS: Final[dict[str, tuple[Callable[[Any], bytes], Callable[[bytes], str]]]] = {
    "citext": (str.encode, bytes.decode),
    "vector": (encode_vector, vector_text),
}

# A timestamp without time zone is read and written as the UTC moment that it means here, by the library's own codec of
# timestamptz, which has the same binary form: making each value aware in Python took longer than all else of its row.
_ALIASES: Final = {"timestamp": "timestamptz"}

_SPECIAL: Final = _EXTENSION_CODECS.keys() | _ALIASES.keys()

FactsBySql = WeakValueDictionary[str, "StatementFacts"]


class StatementFacts:
    """
    What a `Bind` sees of a statement, with the bindings made of it.

    Connections share the facts of a statement, so a binding is made once per statement and not once per connection.
    """

    __slots__ = ("__weakref__", "_bindings", "columns", "parameter_types", "sql")

    def __init__(self, sql: str, parameter_types: tuple[PgType, ...], columns: tuple[Column, ...]) -> None:
        self.sql: str = sql
        self.parameter_types: tuple[PgType, ...] = parameter_types
        self.columns: tuple[Column, ...] = columns
        self._bindings: dict[Bind, Binding] = {}

    def binding(self, bind: Bind) -> Binding:
        """Return the binding that *bind* makes of this statement."""
        binding = self._bindings.get(bind)
        if binding is None:
            binding = self._bindings[bind] = bind(self)
        return binding

    def describes(self, other: StatementFacts) -> bool:
        """Whether both take and return the same types."""
        return self.parameter_types == other.parameter_types and self.columns == other.columns


class PreparedStatement:
    """
    A statement prepared on one connection.

    Attributes:
        state: What the library's protocol executes. Its own `fetch` around that takes 4 us, a tenth of a round trip.
    """

    __slots__ = ("_moments", "_source", "facts", "has_run", "is_used", "state")

    def __init__(self, source: Any, facts: StatementFacts) -> None:
        self._source = source  # which closes the statement when it is collected
        self.state: Any = source._state
        self.facts: StatementFacts = facts
        self.has_run: bool = False
        self.is_used: bool = True
        self._moments = _places_of_moments(facts.parameter_types)

    def plain(self, arguments: Sequence[object]) -> Sequence[object]:
        """Return *arguments* as the protocol takes them where no binding converts them."""
        return _with_moments(arguments, self._moments) if self._moments else arguments


class Connection:
    """
    One session with the server.

    Attributes:
        raw: The database library's connection.
        tenant: The organization the session is set to; None when it never was set to one.
        is_executing: Whether the statement itself had been sent when an error came. Before that, trying again is safe.
        is_interrupted: Whether a statement was abandoned, so that the session needs cleaning before it serves again.
        is_unsynced: Whether a statement was prepared that has not run. The library ends the exchange when it runs;
            until then the server keeps the locks of it.
        leased_at: When it was handed out, on the monotonic clock; None while it is idle.
        returned_at: When it came back.
        made_at: When it was connected.
    """

    __slots__ = (
        "_cache_size",
        "_codecs",
        "_facts",
        "_protocol",
        "is_executing",
        "is_interrupted",
        "is_unsynced",
        "leased_at",
        "made_at",
        "raw",
        "returned_at",
        "statements",
        "tenant",
    )

    def __init__(self, raw: Any, facts: FactsBySql, cache_size: int) -> None:
        now = time.monotonic()
        self.raw: Any = raw
        self._protocol = raw._protocol
        self.tenant: str | None = None
        self.is_executing: bool = False
        self.is_interrupted: bool = False
        self.is_unsynced: bool = False
        self.leased_at: float | None = now
        self.returned_at: float = now
        self.made_at: float = now
        self.statements: dict[str, PreparedStatement] = {}
        self._facts = facts
        self._cache_size = cache_size
        self._codecs: set[str] = set()

    async def is_pooled(self) -> bool:
        """Whether something between us and the server hands sessions round: it makes up the session's process id."""
        pid = await self.raw.fetchval("SELECT pg_backend_pid()")
        return bool(pid != self.raw.get_server_pid())

    async def set_tenant(self, tenant: str | None) -> None:
        """Bind the session to *tenant*, None to no organization: one round trip."""
        self.tenant = UNKNOWN_TENANT
        await self.raw.execute(f"SELECT {_setting(tenant, is_local=False)}")
        self.tenant = tenant

    async def begin(self, tenant: str | None) -> None:
        """
        Open a transaction of a session that is *tenant*'s: one round trip.

        The session itself is set, not only the transaction: were the setting local, a COMMIT in somebody's raw SQL
        would give the rest of it to the tenant before.
        """
        if self.tenant == tenant:
            await self.script("BEGIN")
            return
        self.tenant = UNKNOWN_TENANT
        await self.script(f"BEGIN; SELECT {_setting(tenant, is_local=False)}; COMMIT; BEGIN")
        self.tenant = tenant

    async def begin_locally(self, tenant: str | None, schema: str | None) -> None:
        """Open a transaction with settings of its own, where a pooler hands the session round: one round trip."""
        settings = [] if tenant is None else [_setting(tenant, is_local=True)]
        if schema is not None:
            settings.append(f"set_config('search_path', {_literal(search_path(schema))}, true)")
        await self.script(f"BEGIN; SELECT {', '.join(settings)}" if settings else "BEGIN")

    async def fetch(self, sql: str, arguments: Sequence[object], bind: Bind | None) -> Any:
        """Run one statement; return its rows, through *bind* if there is one."""
        self.is_executing = False
        statement = self.statements.get(sql)
        if statement is None:
            statement = await self._prepare(sql)
        statement.is_used = True
        binding = None if bind is None else statement.facts.binding(bind)
        values = statement.plain(arguments) if binding is None else binding.encode(arguments)
        self.is_executing = True
        try:
            rows, _, _ = await self._protocol.bind_execute(statement.state, values, "", 0, True, None)
        except asyncpg.OutdatedSchemaCacheError:
            await self.raw.reload_schema_state()
            raise
        statement.has_run = True
        self.is_unsynced = False
        return rows if binding is None else binding.decode(rows)

    async def execute(self, sql: str, arguments: Sequence[object], bind: Bind | None) -> int:
        """Run one statement; return the number of rows it touched."""
        self.is_executing = False
        statement = self.statements.get(sql)
        if statement is None:
            statement = await self._prepare(sql)
        statement.is_used = True
        values = statement.plain(arguments) if bind is None else statement.facts.binding(bind).encode(arguments)
        self.is_executing = True
        try:
            _, status, _ = await self._protocol.bind_execute(statement.state, values, "", 0, True, None)
        except asyncpg.OutdatedSchemaCacheError:
            await self.raw.reload_schema_state()
            raise
        statement.has_run = True
        self.is_unsynced = False
        return _row_count(status.decode())

    async def script(self, sql: str) -> str:
        """Run a text of statements over the simple protocol; return the last command tag, "" if there is none."""
        self.is_executing = False
        _check_text(sql)
        self.is_executing = True
        try:
            tag: str = await self.raw.execute(sql)
        except AttributeError:
            # The library stumbles over the answer to a text without any statement; the session is none the worse.
            if self.raw.is_closed():
                raise
            return ""
        self.is_unsynced = False
        if _DEFINING.search(sql):
            # In a transaction of their own, statements that a table has outgrown could not be run a second time.
            self.statements.clear()
        return tag

    async def copy(
        self,
        table: str,
        columns: Sequence[str],
        records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]],
        schema: str | None,
    ) -> int:
        """Load *records* with COPY; return how many there were."""
        self.is_executing = False
        moments: tuple[int, ...] = ()
        if "vector" not in self._codecs or not self._codecs.isdisjoint(_ALIASES):
            # Preparing this makes the codec known when one of the columns needs it: COPY takes binary codecs only.
            target = ".".join(map(quoted, filter(None, (schema, table))))
            statement = await self._prepare(f"SELECT {', '.join(map(quoted, columns))} FROM {target} LIMIT 0")
            moments = _places_of_moments(column.type for column in statement.facts.columns)
        source = _Records(records, moments)
        self.is_executing = True
        try:
            tag = await self.raw.copy_records_to_table(
                table, records=source.rows(), columns=list(columns), schema_name=schema
            )
        except Exception as error:
            if error is source.error or is_known(error):
                raise
            reason = without_values(str(error))[:200]
            raise InvalidArgumentError(f"A record does not fit the columns: {reason}.") from None  # it may quote values
        self.is_unsynced = False
        return _row_count(tag)

    async def clean(self) -> None:
        """Finish what was abandoned: wait for its cancellation, roll an open transaction back."""
        # The library sends nothing before a pending cancellation is over, so any statement waits for exactly that;
        # only afterwards it is known whether a transaction is open.
        if self.is_interrupted or self.is_unsynced:
            await self.raw.execute("SELECT 1")
            self.is_interrupted = self.is_unsynced = False
        if self.raw.is_in_transaction():
            await self.raw.execute("ROLLBACK")

    def is_stale(self, sql: str, error: BaseException) -> bool:
        """Whether *error* says that *sql* was prepared before the schema changed, and did nothing because of it."""
        if is_changed_result(error):
            return True
        if not isinstance(error, asyncpg.PostgresError) or error.sqlstate not in _STALE_SQLSTATES:
            return False
        statement = self.statements.get(sql)
        # What never worked is not stale but wrong. A CALL may have committed something before it failed.
        return statement is not None and statement.has_run and _command(sql) != "call"

    def was_sent(self, error: BaseException) -> bool:
        """Whether the statement had left for the server when *error* came; if not, trying it again is safe."""
        # The library raises its InterfaceError before it writes anything.
        return self.is_executing and not isinstance(error, asyncpg.InterfaceError)

    def is_in_doubt(self, sql: str, error: BaseException) -> bool:
        """Whether a write had been sent, so that losing the connection leaves its outcome unknown."""
        return self.was_sent(error) and not _only_reads(sql)

    def note(self, error: BaseException) -> None:
        """Remember what *error* means for the session, before it is given back."""
        if isinstance(error, asyncpg.OutdatedSchemaCacheError):
            self.statements.clear()
        elif self.is_executing or is_cancellation(error):
            # After an answer of the server nothing is on its way any more. After a cancellation, a time-out, a value
            # that could not be read or a COPY that broke off, something may be.
            self.is_interrupted |= not isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError)
        if getattr(error, "severity", None) is not None:  # some of the library's own are PostgresErrors too
            self.is_unsynced = False

    async def _prepare(self, sql: str) -> PreparedStatement:
        _check_text(sql)
        self.is_unsynced = True
        source = await self.raw.prepare(sql)
        facts = _facts(sql, source)
        if new := [type_ for type_ in _special_types(facts) if type_.name not in self._codecs]:
            await self._add_codecs(new)
            # The statement still holds the codecs that it was prepared with; and meanwhile the table may have changed.
            source = await self.raw.prepare(sql)
            facts = _facts(sql, source)
        shared = self._facts.get(sql)
        if shared is None or not shared.describes(facts):
            shared = self._facts[sql] = facts
        statement = PreparedStatement(source, shared)
        if len(self.statements) >= self._cache_size:
            self._evict()
        self.statements[sql] = statement
        return statement

    def _evict(self) -> None:
        """Drop one statement that was not used since the last look; the library closes it with the next prepare."""
        while True:
            sql, statement = next(iter(self.statements.items()))
            del self.statements[sql]
            if not statement.is_used:
                return
            # A second chance instead of exact recency: the warm path then sets one flag and moves nothing.
            statement.is_used = False
            self.statements[sql] = statement

    async def _add_codecs(self, types: Iterable[PgType]) -> None:
        for type_ in types:
            if type_.name in _ALIASES:
                await self.raw.set_builtin_type_codec(
                    type_.name, schema=type_.schema, codec_name=_ALIASES[type_.name], format="binary"
                )
            else:
                encoder, decoder = _EXTENSION_CODECS[type_.name]
                await self.raw.set_type_codec(
                    type_.name, schema=type_.schema, encoder=encoder, decoder=decoder, format="binary"
                )
            self._codecs.add(type_.name)
        # What was prepared before holds the old codecs.
        self.statements.clear()


class _Records:
    """Hands the records of a COPY on, and remembers an error that was the caller's own."""

    def __init__(
        self, records: Iterable[Sequence[object]] | AsyncIterable[Sequence[object]], moments: Sequence[int]
    ) -> None:
        self._records = records
        self._moments = moments
        self.error: Exception | None = None

    def rows(self) -> Iterator[Sequence[object]] | AsyncIterator[Sequence[object]]:
        if isinstance(self._records, AsyncIterable):
            return self._asynchronous(self._records)
        return self._synchronous(self._records)

    def _synchronous(self, records: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
        try:
            if self._moments:
                for record in records:
                    yield _with_moments(record, self._moments)
            else:
                yield from records
        except Exception as error:
            self.error = error
            raise

    async def _asynchronous(self, records: AsyncIterable[Sequence[object]]) -> AsyncIterator[Sequence[object]]:
        try:
            async for record in records:
                yield _with_moments(record, self._moments) if self._moments else record
        except Exception as error:
            self.error = error
            raise


def _places_of_moments(types: Iterable[PgType]) -> tuple[int, ...]:
    """Return the places of the timestamps without time zone, whose naive datetimes the library would take for local."""
    return tuple(place for place, type_ in enumerate(types) if (type_.element or type_).name in _ALIASES)


def _with_moments(values: Sequence[object], places: Sequence[int]) -> Sequence[object]:
    changed = list(values)
    for place in places:
        if place < len(changed):
            changed[place] = _moment(changed[place])
    return changed


def _moment(value: object) -> object:
    """Return a naive datetime or a date as the moment that it is in UTC, and in a list each; anything else as it is."""
    match value:
        case datetime():
            return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        case list():
            return [_moment(item) for item in value]
        case _:
            return value


def search_path(schema: str) -> str:
    """
    Return the search path for a URL that names *schema*.

    "public" after it, where extensions usually are; temporary tables last, so that one of somebody's raw SQL never
    stands in for a table of ours in a session that is another organization's next.
    """
    names = [schema] if schema == "public" else [schema, "public"]
    return ", ".join([*map(quoted, names), "pg_temp"])


def _setting(tenant: str | None, *, is_local: bool) -> str:
    return f"set_config('{TENANT_SETTING}', {_literal(tenant or '')}, {'true' if is_local else 'false'})"


def _check_text(sql: object) -> None:
    """Refuse what would break the protocol, and with it the connection."""
    if not isinstance(sql, str):
        raise InvalidArgumentError(f"SQL is text, not {type(sql).__name__}.")
    if "\0" in sql:
        raise InvalidArgumentError("SQL holds a NUL character, which PostgreSQL cannot read.")


def _literal(text: str) -> str:
    """
    Return an SQL expression for *text* that holds nothing of it but hexadecimal digits.

    A setting then needs neither a prepared statement nor a round trip of its own, and no text can break out of it.
    """
    return f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')"


def _facts(sql: str, source: Any) -> StatementFacts:
    columns = tuple(Column(attribute.name, _pg_type(attribute.type)) for attribute in source.get_attributes())
    return StatementFacts(sql, tuple(_pg_type(parameter) for parameter in source.get_parameters()), columns)


def _pg_type(type_: Any) -> PgType:
    element = None
    if type_.kind == "array":
        # The library does not tell the number of an element's type; its name and schema are what conversion needs.
        element = PgType(0, type_.name.removesuffix("[]"), "scalar", type_.schema)
    return PgType(type_.oid, type_.name, type_.kind, type_.schema, element)


def _special_types(facts: StatementFacts) -> list[PgType]:
    """Return the types of a statement that need another codec than the library's."""
    types = (*facts.parameter_types, *(column.type for column in facts.columns))
    found = {scalar.name: scalar for type_ in types if (scalar := type_.element or type_).name in _SPECIAL}
    return list(found.values())


def _only_reads(sql: str) -> bool:
    command = _command(sql)
    if command == "with":
        return _WRITING.search(sql) is None
    return command in _READ_ONLY_COMMANDS


def _command(sql: str) -> str:
    words = sql.split(None, 1)
    return words[0].lower() if words else ""


def _row_count(tag: str | None) -> int:
    last = (tag or "").rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def quoted(name: str) -> str:
    """Return *name* as SQL writes an identifier."""
    return '"' + name.replace('"', '""') + '"'
