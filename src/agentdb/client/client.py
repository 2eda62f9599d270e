"""`PrismaAgentClient`: one organization's way to everything agents store."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, Unpack

from agentdb.client.access.driver import watched_driver
from agentdb.client.access.log import AccessLog
from agentdb.client.agents import Agents
from agentdb.client.archive.transfer import Archive
from agentdb.client.database import Database
from agentdb.client.encryption.rotation import KeyRotation
from agentdb.client.erasure.erasing import Erasure
from agentdb.client.execution.payloads import Payloads, Redact
from agentdb.client.executions import Executions
from agentdb.client.gathering import Gathering
from agentdb.client.memories import Memories, OnDuplicate, SealedAs, SearchOptions
from agentdb.client.memory.embedding import Embedding
from agentdb.client.metrics import Metrics
from agentdb.client.patterns import Patterns
from agentdb.client.prices import Prices
from agentdb.client.tools import Tools
from agentdb.config import Settings, check_encryption, check_organization_id
from agentdb.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from types import TracebackType

    from agentdb.client.archive.transfer import Restored, Tally
    from agentdb.client.encryption.rotation import Rotated
    from agentdb.client.erasure.erasing import Progress
    from agentdb.client.erasure.scope import Erased
    from agentdb.client.memory.embedder import Embedder
    from agentdb.client.prisma import Prisma
    from agentdb.models import (
        Agent,
        AgentConfig,
        Audit,
        Execution,
        HealthReport,
        LearningPattern,
        Memory,
        MemoryEntry,
        MetricSummary,
        TokenUsage,
        Tool,
    )
    from agentdb.postgres.driver import Driver, Transaction
    from agentdb.postgres.pool import Pool
    from agentdb.security.encryption import KeyRing

__all__ = ["PrismaAgentClient"]


class PrismaAgentClient:
    """
    Stores and finds what the agents of one organization remember, do, measure and learn.

    Making a client reads the settings and does nothing else; `async with client:` or `connect()` opens it. A client
    belongs to the event loop in which it was connected.

    Args:
        database_url: Where the database is, in Prisma's dialect; None: DATABASE_URL, else the embedded server.
        organization_id: Whose data; None: ORGANIZATION_ID, else "local" on the embedded server.
        embedder: What makes embeddings of this client's memories.
        redact: What executions keep of tasks, results, errors and steps is what this makes of it, see `redact`.
        settings: Settings to use in place of the environment's; the arguments before go before them.

    Raises:
        ConfigurationError: ORGANIZATION_ID is missing, a variable or the URL cannot be read, or AGENTDB_ENCRYPT is
            set and there is no key.
        InvalidInputError: The organization's id is none, or *settings* are none.
    """

    organization_id: str
    """The organization that everything is bound to."""
    agents: Agents
    """Who there is."""
    memories: Memories
    """What they remember."""
    tools: Tools
    """What they can call."""
    executions: Executions
    """What they did."""
    metrics: Metrics
    """What they measured."""
    patterns: Patterns
    """What they learned."""
    prices: Prices
    """What the tokens of language models cost."""
    access_log: AccessLog
    """Who did what."""
    # For the resources. The embedder as memories ask it, in batches, in time, again if that may help; and what
    # executions keep of what they are given.
    embedding: Embedding | None
    payloads: Payloads

    def __init__(
        self,
        database_url: str | None = None,
        organization_id: str | None = None,
        *,
        embedder: Embedder | None = None,
        redact: Redact | None = None,
        settings: Settings | None = None,
    ) -> None:
        if settings is not None and not isinstance(settings, Settings):
            raise InvalidInputError("settings", f"expected a Settings, got {type(settings).__name__}.")
        if settings is None:
            settings = Settings.load(database_url=database_url, organization_id=organization_id)
        else:
            organization_id = settings.organization_id if organization_id is None else organization_id
            url = database_url or settings.database_url
            settings = replace(settings, database_url=url, organization_id=check_organization_id(organization_id))
        _check_url(settings.database_url)
        check_encryption(settings)
        self._database = Database(settings)
        self.embedder = embedder
        self.redact = redact
        self._is_shared = False
        self._transactions: tuple[Transaction, ...] = ()
        self._bind(settings.organization_id, None)

    @classmethod
    def _shared(
        cls, settings: Settings, embedder: Embedder | None, sibling: PrismaAgentClient | None
    ) -> PrismaAgentClient:
        """Return a client that counts its users, and shares the pool of *sibling* if there is one."""
        client = cls(embedder=embedder, settings=settings)
        client._is_shared = True
        if sibling is not None:
            client._database = sibling._database
        return client

    def _bind(self, organization_id: str, transaction: Transaction | None) -> Self:
        self.organization_id = organization_id
        # The innermost, after those around it.
        self._transactions = () if transaction is None else (*self._transactions, transaction)
        self._transaction = transaction
        self._pool: Pool | None = None
        self._driver: Driver
        self._watched: tuple[Driver, Driver] | None = None
        self._prisma: tuple[Driver, Prisma] | None = None
        self.agents = Agents(self)
        self.memories = Memories(self)
        self.tools = Tools(self)
        self.executions = Executions(self)
        self.metrics = Metrics(self)
        self.patterns = Patterns(self)
        self.prices = Prices(self)
        self.access_log = AccessLog(self)
        return self

    def __repr__(self) -> str:
        return f"<PrismaAgentClient organization_id={self.organization_id!r}>"

    # Opening and closing.

    async def connect(self) -> None:
        """
        Open the client. Opening it twice is fine; a client of `get_agent_client` counts how often.

        Without DATABASE_URL the embedded server is started, and migrated; a line on stderr says where its data lives.

        Raises:
            ConnectionFailedError: The server cannot be reached, or refused the role.
            MigrationError: The database is not migrated, or is newer than this version.
            ConfigurationError: The URL is malformed; there is none and the embedded server is not installed; or
                row-level security does not keep organizations apart and AGENTDB_REQUIRE_RLS is set, or the URL rules
                TLS out and AGENTDB_REQUIRE_TLS is.
            NotConnectedError: It is open in another event loop.
        """
        if self._transaction is None:
            await self._database.open(self, counts=self._is_shared)

    async def disconnect(self) -> None:
        """
        Close the client. Closing it twice is fine; others that share its pool stay open.

        A forked process has no client of its parent's open: there it does nothing.

        Raises:
            NotConnectedError: It is open in another event loop, where it stays open.
        """
        if self._transaction is None:
            await self._database.close(self)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    def for_organization(self, organization_id: str) -> Self:
        """
        Return a client for another organization that shares this one's pool. Cheap; both stay usable.

        It works while this one is open. It may be opened and closed on its own, too.

        Raises:
            InvalidInputError: *organization_id* is none; see `config.check_organization_id`.
        """
        other = copy.copy(self)
        other._is_shared = False
        return other._bind(check_organization_id(organization_id), None)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Self]:
        """
        Open a transaction: a client of which everything is committed when the block ends, or undone when it raises.

        Its Prisma calls and SQL take part. A transaction of a transaction is a savepoint.
        """
        async with self.inner_driver.transaction() as transaction:
            yield copy.copy(self)._bind(self.organization_id, transaction)

    # What makes embeddings, and what calls gather.

    @property
    def embedder(self) -> Embedder | None:
        """
        What makes embeddings of this client's memories; None: searches are by words.

        Raises:
            ConfigurationError: It is set to what is no embedder.
        """
        return self._embedder

    @embedder.setter
    def embedder(self, embedder: Embedder | None) -> None:
        settings = self._database.settings
        self.embedding = (
            None
            if embedder is None
            else Embedding(
                embedder,
                batch_size=settings.embed_batch_size,
                timeout_seconds=settings.embed_timeout_seconds,
                attempts=settings.embed_attempts,
            )
        )
        self._embedder = embedder

    @property
    def redact(self) -> Redact | None:
        """
        Decides what executions keep: called with a value and the name of its field before anything is written.

        `redact(value, field)` gets a copy of its own of each task, result, error, traceback, message of a log and set
        of data, arguments or settings ("task", "result", "error", "traceback", "message", "data", "arguments",
        "settings") and returns what is kept in its place. What it raises never reaches the agent: a mark is kept in
        place of the value.

        Raises:
            ConfigurationError: It is set to what cannot be called, or to an `async def`.
        """
        return self._redact

    @redact.setter
    def redact(self, redact: Redact | None) -> None:
        if redact is not None and not callable(redact):
            raise ConfigurationError("redact", f"expected a function, got {type(redact).__name__}.")
        self._redact = redact
        self.payloads = Payloads(redact, self._database.settings.max_payload_bytes)

    @property
    def key_ring(self) -> KeyRing | None:
        """What encrypts and decrypts, of AGENTDB_ENCRYPTION_KEYS; None where there is no key."""
        return self._database.key_ring

    @property
    def settings(self) -> Settings:
        """What the client was made with; *organization_id* of it is that of the first client that shares its pool."""
        return self._database.settings

    @property
    def gathering(self) -> Gathering:
        """What the calls of this organization gather, whichever client they are of."""
        gatherings = self._database.gatherings
        gathering = gatherings.get(self.organization_id)
        if gathering is None:
            root = copy.copy(self)._bind(self.organization_id, None)
            gathering = gatherings[self.organization_id] = Gathering(root)
        return gathering

    # Ways to the database.

    @property
    def driver(self) -> Driver:
        """
        The way to the database for SQL of your own, which row-level security alone binds to the organization.

        Each statement is an operation of the access log.

        Raises:
            NotConnectedError: The client is not open.
        """
        inner = self.inner_driver
        if self._watched is None or self._watched[0] is not inner:
            self._watched = inner, watched_driver(self, inner)
        return self._watched[1]

    @property
    def inner_driver(self) -> Driver:
        """The same for what is part of an operation already, and tells of it itself."""
        if self._transaction is not None:
            return self._transaction
        pool = self._database.pool
        if self._pool is not pool:
            note_commit = self.gathering.access_log.note_commit if self.keeps_access_log else None
            self._pool, self._driver = pool, pool.driver(self.organization_id, when_committed=note_commit)
        return self._driver

    @property
    def in_transaction(self) -> bool:
        """Whether this is the client of an open transaction."""
        return self._transaction is not None

    @property
    def depth(self) -> int:
        """How many transactions it is in: 0 outside of one, 2 or more in a savepoint."""
        return len(self._transactions)

    @property
    def prisma(self) -> Prisma:
        """
        The generated Prisma client: every call is bound to the organization and refuses a foreign one.

        Raises:
            NotConnectedError: The client is not open.
        """
        from agentdb.client.prisma import scoped_prisma  # a third of a second, so only for those who use it

        driver = self.inner_driver
        if self._prisma is None or self._prisma[0] is not driver:
            schema = self._database.pool.options.schema
            self._prisma = driver, scoped_prisma(driver, self.organization_id, schema_name=schema, client=self)
        return self._prisma[1]

    def sees_rows_of(self, other: PrismaAgentClient) -> bool:
        """Whether what *other* writes is visible here: one database and organization, no transaction between."""
        return (
            self.organization_id == other.organization_id
            and self._database.place == other._database.place
            and other._transactions == self._transactions[: other.depth]
        )

    async def health_check(self) -> HealthReport:
        """
        Return how the database and the way to it are, in one round trip.

        Raises:
            NotConnectedError: The client is not open.
        """
        return await self._database.health(self.inner_driver, self.organization_id, self.gathering)

    @property
    def keeps_access_log(self) -> bool:
        """Whether operations are entered in the table `access_log`."""
        return self._database.settings.access_log

    @property
    def namespace(self) -> str | None:
        """The database, and its schema if the URL names one: "agents" or "agents|public"; None while it is not open."""
        return self._database.namespace

    async def verify_access_log(
        self, expected_head: str | None = None, progress: Callable[[int], object] | None = None
    ) -> Audit:
        """Say whether the access log is what it was; see `AccessLog.verify`."""
        return await self.access_log.verify(expected_head, progress=progress)

    # All tables at once.

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
        """Erase an agent, what is about a person, or all of this organization; see `Erasure.erase`."""
        return await Erasure(self).erase(
            agent_id=agent_id, subject=subject, key=key, organization=organization, dry_run=dry_run, progress=progress
        )

    async def residue(self, *, agent_id: str | None = None, subject: str | None = None) -> dict[str, int]:
        """Return where an agent's id, or a subject's text, still stands; see `ResidueScan.residue`."""
        return await Erasure(self).residue(agent_id=agent_id, subject=subject)

    def export_lines(
        self, agent_id: str | None = None, *, sealed: SealedAs | None = None, progress: Tally | None = None
    ) -> AsyncGenerator[str, None]:
        """Yield an agent, or all of this organization, as lines of text; see `Archive.export_lines`."""
        return Archive(self).export_lines(agent_id, sealed=sealed, progress=progress)

    async def import_lines(
        self,
        lines: AsyncIterable[str] | Iterable[str],
        *,
        agent_id: str | None = None,
        progress: Tally | None = None,
    ) -> Restored:
        """Store what `export_lines` yielded; see `Archive.import_lines`."""
        return await Archive(self).import_lines(lines, agent_id=agent_id, progress=progress)

    async def rotate_keys(
        self,
        *,
        batch_size: int = 500,
        encrypt_plain: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Rotated:
        """Seal with the newest key what others have sealed, *batch_size* rows at a time; see `KeyRotation.rotate`."""
        return await KeyRotation(self).rotate(
            batch_size=batch_size, encrypt_plain=encrypt_plain, dry_run=dry_run, progress=progress
        )

    # The same by flat names: one line each.

    async def register_agent(self, config: AgentConfig) -> Agent:
        """Insert or update an agent by its name; see `Agents.register`."""
        return await self.agents.register(config)

    async def store_memory(self, entry: MemoryEntry, *, on_duplicate: OnDuplicate = "return") -> str:
        """Store one memory and return its id; see `Memories.store`."""
        return await self.memories.store(entry, on_duplicate=on_duplicate)

    async def store_memories(
        self, entries: Iterable[MemoryEntry], *, on_duplicate: OnDuplicate = "return"
    ) -> list[str]:
        """Store memories and return their ids in order; see `Memories.store_many`."""
        return await self.memories.store_many(entries, on_duplicate=on_duplicate)

    async def retrieve_memories(
        self, agent_id: str, query: str | None = None, limit: int = 10, **options: Unpack[SearchOptions]
    ) -> list[Memory]:
        """Return the memories that fit *query* best, or the newest, 1 to 1000; see `Memories.search`."""
        return [hit.memory for hit in await self.memories.search(agent_id, query, limit=limit, **options)]

    async def register_tool(
        self,
        name: str,
        description: str = "",
        parameters: Mapping[str, Any] | None = None,
        *,
        owner_agent_id: str | None = None,
    ) -> Tool:
        """Insert or update a tool by its name; see `Tools.register`."""
        return await self.tools.register(name, description, parameters, owner_agent_id=owner_agent_id)

    async def get_tools(self, *, owner_agent_id: str | None = None) -> list[Tool]:
        """Return the tools of the organization, or of one agent, by name; see `Tools.list`."""
        return await self.tools.list(owner_agent_id=owner_agent_id)

    async def start_execution(
        self, agent_id: str, task: Any, *, parent_id: str | None = None, model: str | None = None
    ) -> Execution:
        """Begin an execution; see `Executions.start`."""
        return await self.executions.start(agent_id, task, parent_id=parent_id, model=model)

    async def complete_execution(
        self, execution_id: str, result: Any = None, *, usage: TokenUsage | None = None
    ) -> Execution:
        """End an execution as completed; see `Executions.finish`."""
        return await self.executions.finish(execution_id, result, usage=usage)

    async def fail_execution(
        self, execution_id: str, error: BaseException | str, *, usage: TokenUsage | None = None
    ) -> Execution:
        """End an execution as failed; see `Executions.fail`."""
        return await self.executions.fail(execution_id, error, usage=usage)

    async def record_metric(self, agent_id: str, name: str, value: float, unit: str = "") -> str:
        """Record one point, *value* of that *unit*, and return its id; see `Metrics.record`."""
        return await self.metrics.record(agent_id, name, value, unit)

    async def get_agent_metrics(self, agent_id: str, hours: float = 24) -> dict[str, MetricSummary]:
        """Return what the points of the last *hours* say together, by name of the metric; see `Metrics.summary`."""
        return await self.metrics.summary(agent_id, hours)

    async def store_learning_pattern(
        self, agent_id: str, pattern_type: str, content: Any, *, name: str = ""
    ) -> LearningPattern:
        """Record a pattern; see `Patterns.record`."""
        return await self.patterns.record(agent_id, pattern_type, content, name=name)

    async def get_learning_patterns(self, agent_id: str, min_confidence: float = 0.0) -> list[LearningPattern]:
        """Return an agent's patterns as confident as that, in [0, 1], most confident first; see `Patterns.list`."""
        return await self.patterns.list(agent_id, min_confidence=min_confidence)


def _check_url(url: object) -> None:
    if url is not None and not isinstance(url, str):
        raise ConfigurationError("DATABASE_URL", f"expected text, got {type(url).__name__}.")
