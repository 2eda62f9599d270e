"""`EnhancedAgentBase`: what an agent author subclasses. It holds no query."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack

from agentdb.agent.execution import note_attempt, recordable, running_execution
from agentdb.agent.tools import call_tool, tool_definitions
from agentdb.client.sharing import get_agent_client
from agentdb.client.telemetry import agent_span
from agentdb.client.tool.schemas import SchemaStyle, tool_schemas
from agentdb.errors import AgentDBError, InvalidInputError, NotConnectedError, TaskTimeoutError
from agentdb.models import Agent, AgentConfig, AgentHealth, MemoryEntry, from_row
from agentdb.validation import checked

if TYPE_CHECKING:
    from types import TracebackType

    from agentdb.client.client import PrismaAgentClient
    from agentdb.client.execution.running import RunningExecution
    from agentdb.client.memories import SearchOptions
    from agentdb.client.memory.filters import Where
    from agentdb.models import Choice, LearningPattern, SearchResult

__all__ = ["EnhancedAgentBase"]

logger: Final = logging.getLogger("agentdb.agent")


class EnhancedAgentBase(ABC):
    """
    An agent that keeps what it remembers, does and measures in the database.

    A subclass overrides `execute_task` and `get_capabilities`, nothing else:

        class MyAgent(EnhancedAgentBase):
            def __init__(self):
                super().__init__(AgentConfig(name="my_agent", category="OPERATIONAL"))

            async def execute_task(self, task):
                await self.remember(f"was asked {task['question']}")
                return {"answer": 42}

            def get_capabilities(self):
                return self.config.capabilities

        async with MyAgent() as agent:
            await agent.execute_task({"question": "…"})

    Every call of `execute_task`, from outside or from another task, is recorded as an execution with two round trips,
    whatever it logs and whatever tools it calls. `super().execute_task(…)` belongs to the call that makes it and is not
    recorded again. A task that fails, or takes too long, is tried again as the configuration says; attempts are steps
    of the one execution.

    Args:
        config: How the agent registers.

    Raises:
        InvalidInputError: The subclass's `execute_task` is no `async def`.
    """

    config: AgentConfig
    """How the agent registers."""

    def __init__(self, config: AgentConfig) -> None:
        if not isinstance(config, AgentConfig):
            raise InvalidInputError("config", f"expected an AgentConfig, got {type(config).__name__}.")
        _refuse_sync_task(type(self))
        self.config = config
        self._registered: Agent | None = None
        self._client: PrismaAgentClient | None = None
        self._owns_client = False
        self._turns: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        # On the instance: `self.execute_task` is recorded wherever it was defined, `super().execute_task` is not.
        self.execute_task = self._execute_recorded  # type: ignore[method-assign]

    # What a subclass overrides.

    @abstractmethod
    async def execute_task(self, task: Any) -> Any:
        """
        Do *task* and return its result; what of both is JSON is recorded as it is, the rest as text.

        Raises:
            NotConnectedError: The agent is not initialized.
            TaskTimeoutError: It takes longer than `AgentConfig.task_timeout_seconds`.
        """

    @abstractmethod
    def get_capabilities(self) -> Sequence[str]:
        """Return what the agent can do; registered at `initialize`."""

    # Lifecycle.

    async def initialize(self, client: PrismaAgentClient | None = None) -> None:
        """
        Connect, and register the agent and its tools. Doing it twice is fine, also at once.

        Args:
            client: An open client to use, which stays open at `cleanup`. None: the one of `get_agent_client`.

        Raises:
            ConfigurationError: A setting is missing or wrong.
            ConnectionFailedError: The server cannot be reached, or refused the role.
            MigrationError: The database is not migrated, or is newer than this version.
            ConflictError: Another agent has the configured id, or the agent of this name has another id.
        """
        async with self._turn():
            if self._client is None:
                await self._open(client)

    async def _open(self, client: PrismaAgentClient | None) -> None:
        owns_client = client is None
        client = client or get_agent_client()
        if owns_client:
            await client.connect()
        try:
            config = checked(AgentConfig, **{**self.config.model_dump(), "capabilities": list(self.get_capabilities())})
            tools = tool_definitions(self)
            registered = await client.agents.register(config)
            await client.tools.register_all(registered.id, tools)
            # Perhaps its own, from before it was killed; not what runs in this process, which may have been too busy to
            # say so in time.
            await client.executions.beat(client.gathering.heartbeats.running)
        except BaseException:
            if owns_client:
                await client.disconnect()
            raise
        self._client, self._owns_client, self._registered = client, owns_client, registered

    async def cleanup(self) -> None:
        """
        Leave the client; other agents that share it go on. Doing it twice is fine.

        An agent with *max_memories* first lets go of the least valuable of what it has too much.
        """
        async with self._turn():
            client, self._client = self._client, None
            try:
                if client is not None and self.config.max_memories is not None:
                    await self._sweep(client)
            finally:
                if client is not None and self._owns_client:
                    await client.disconnect()

    async def _sweep(self, client: PrismaAgentClient) -> None:
        assert self._registered is not None  # it was opened
        try:
            await client.memories.sweep(agent_id=self._registered.id)
        except AgentDBError:  # leaving matters more; the next sweep does it
            logger.warning("memories beyond the limit were not swept", exc_info=True)

    def _turn(self) -> asyncio.Lock:
        """Return the lock that opening and closing take in turn; a lock serves one event loop only."""
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns[0] is not loop:
            self._turns = loop, asyncio.Lock()
        return self._turns[1]

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cleanup()

    # What an agent knows of itself.

    @property
    def client(self) -> PrismaAgentClient:
        """
        The client of the agent's organization.

        Raises:
            NotConnectedError: The agent is not initialized.
        """
        if self._client is None:
            raise self._not_initialized()
        return self._client

    @property
    def id(self) -> str:
        """
        The agent's id.

        Raises:
            NotConnectedError: The agent was never initialized.
        """
        if self._registered is None:
            raise self._not_initialized()
        return self._registered.id

    @property
    def execution(self) -> RunningExecution:
        """
        The task of this agent that is running: `.usage.add(input=…, output=…)` counts its tokens, `.log("…")` adds a
        line to its trail, `.model`, `.cost` and `.settings` say what it runs with.

        Raises:
            AgentDBError: None is running: it is used outside of `execute_task`.
        """
        execution = None if self._registered is None else running_execution(self._registered)
        if execution is None:
            raise AgentDBError("No task of this agent is running; `agent.execution` is for use within execute_task.")
        return execution

    # What an agent does.

    async def remember(self, content: str, importance: float = 0.5, **metadata: Any) -> str:
        """
        Store a memory and return its id; see `Memories.store`.

        Args:
            content: The text, 1 to 1,000,000 characters.
            importance: In [0, 1].
            metadata: Whatever else is to be kept with it: JSON.

        Raises:
            InvalidInputError: An argument does not fit, or *metadata* is not JSON.
            NotConnectedError: The agent is not initialized.
        """
        entry = checked(MemoryEntry, agent_id=self.id, content=content, importance=importance, metadata=metadata)
        return await self.client.memories.store(entry)

    async def recall(self, query: str | None = None, limit: int = 10, **options: Unpack[SearchOptions]) -> SearchResult:
        """
        Return the memories that fit *query* best, or the newest; see `Memories.search`.

        Args:
            query: What to look for, at most 20,000 characters; None: the newest.
            limit: Most hits to return, 1 to 1000.
            options: What else `Memories.search` takes.

        Raises:
            InvalidInputError: An argument does not fit.
            NotConnectedError: The agent is not initialized.
        """
        return await self.client.memories.search(self.id, query, limit=limit, **options)

    async def forget(self, where: Where | None = None, *, memory_type: str | None = None, dry_run: bool = False) -> int:
        """
        Delete memories of this agent, all without a condition, and return how many; see `Memories.forget`.

        Args:
            where: Only those whose metadata this fits, as in `recall`.
            memory_type: Only those of this type.
            dry_run: Delete nothing, only count.

        Raises:
            InvalidInputError: An argument does not fit.
            NotConnectedError: The agent is not initialized.
        """
        return await self.client.memories.forget(where, agent_id=self.id, memory_type=memory_type, dry_run=dry_run)

    async def record_metric(self, name: str, value: float, unit: str = "") -> None:
        """
        Record one point; see `Metrics.record`.

        Args:
            name: What was measured, 1 to 255 characters.
            value: A number from -1e300 to 1e300.
            unit: Its unit, at most 100 characters.

        Raises:
            InvalidInputError: An argument does not fit.
            NotConnectedError: The agent is not initialized.
        """
        await self.client.metrics.record(self.id, name, value, unit)

    async def learn(
        self,
        pattern_type: str,
        content: Any,
        *,
        name: str = "",
        scope: Literal["agent", "organization"] = "agent",
        prior: float | None = None,
        half_life_days: float | None = None,
    ) -> LearningPattern:
        """
        Record a pattern, to which `outcome` adds evidence; a named one that is there already is returned.

        Args:
            pattern_type: Its kind, 1 to 100 characters, for example "prompt".
            content: What was learned: anything that is JSON.
            name: At most 255 characters; variants that `choose` picks among have one each.
            scope: "agent": for this agent alone; "organization": for every agent.
            prior: The success rate to expect before the first trial, in [0, 1]; never a part of its confidence.
            half_life_days: After so many days evidence counts half, 0.001 or more; None: it does not fade.

        Raises:
            ConflictError: The agent has a pattern of this type and name with another content.
            InvalidInputError: An argument does not fit.
        """
        return await self.client.patterns.record(
            self.id,
            pattern_type,
            content,
            name=name,
            scope=scope,
            prior=prior,
            half_life_days=half_life_days,
        )

    async def call_tool(self, name: str, /, **arguments: Any) -> Any:
        """
        Call one of the agent's own tools by its name, as a language model would; the call is recorded.

        Arguments are made what the signature says, where they can be: "3" becomes the number. Those that do not fit are
        recorded as a call that failed.

        Raises:
            NotFoundError: The agent has no such tool.
            InvalidInputError: The arguments do not fit its signature, or what it returns is nothing that JSON can hold.
        """
        return await call_tool(self, name, arguments)

    def tool_schemas(self, style: SchemaStyle = "openai") -> list[dict[str, Any]]:
        """
        Return the agent's own tools in the form that callers of language models take, as `Tools.schemas` does.

        It needs no database, and the agent need not be initialized.

        Args:
            style: "openai", "anthropic" or "mcp".

        Raises:
            InvalidInputError: There is no such style, or it takes no tool of such a name or signature.
        """
        return tool_schemas(style, tool_definitions(self))

    async def choose(self, pattern_type: str) -> Choice:
        """
        Pick one of the variants of that type, the better the more often; see `Patterns.choose`.

        Which one it was is noted in the running task's settings. Tell `outcome` how it did.

        Raises:
            NotFoundError: There are no variants of that type.
            NotConnectedError: The agent is not initialized.
        """
        return await self.client.patterns.choose(self.id, pattern_type)

    async def outcome(self, choice: Choice | LearningPattern | str, success: bool) -> LearningPattern:
        """
        Count how a choice, or a pattern, did; see `Patterns.outcome`.

        Raises:
            NotFoundError: There is no such pattern.
            InvalidInputError: An argument does not fit.
            NotConnectedError: The agent is not initialized.
        """
        return await self.client.patterns.outcome(choice if isinstance(choice, str) else choice.id, success)

    async def health(self, hours: float = 24) -> AgentHealth:
        """
        Return how the agent, its database and its recent tasks are, in two round trips at once.

        Args:
            hours: How far back tasks count, 0.001 to 1,000,000.

        Raises:
            NotConnectedError: The agent is not initialized.
        """
        client = self.client
        database, figures = await asyncio.gather(client.health_check(), client.executions.stats(self.id, hours=hours))
        return from_row(
            AgentHealth,
            {"agent_id": self.id, "status": database.status, "database": database, "executions": figures.total},
        )

    # Underneath.

    async def _execute_recorded(self, *args: Any, **kwargs: Any) -> Any:
        client, agent = self._opened()
        task = recordable(args[0] if args else kwargs.get("task", kwargs))
        with agent_span(agent.id, agent.name) as span:
            async with client.executions.track(agent.id, task) as execution:
                span.execution = execution
                result = await self._execute(execution, args, kwargs)
                execution.result = recordable(result)
        return result

    async def _execute(self, execution: RunningExecution, args: Any, kwargs: Any) -> Any:
        """Run the task, again if it fails and the policy says so."""
        policy = self.config.retry
        attempt = 1
        while True:
            started = time.perf_counter()
            try:
                return await self._attempt(args, kwargs)
            except policy.retry_on as error:
                if attempt >= policy.attempts:
                    raise
                delay = policy.delay_after(attempt) * random.uniform(0.5, 1)
                note_attempt(execution, error, attempt, (time.perf_counter() - started) * 1000, delay)
            await asyncio.sleep(delay)
            attempt += 1

    async def _attempt(self, args: Any, kwargs: Any) -> Any:
        limit = self.config.task_timeout_seconds
        if limit is None:
            return await type(self).execute_task(self, *args, **kwargs)
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                return await type(self).execute_task(self, *args, **kwargs)
        except TimeoutError as error:
            if clock.expired():
                raise TaskTimeoutError(limit) from error
            raise

    def _opened(self) -> tuple[PrismaAgentClient, Agent]:
        if self._client is None or self._registered is None:
            raise self._not_initialized()
        return self._client, self._registered

    def _not_initialized(self) -> NotConnectedError:
        name = type(self).__name__
        return NotConnectedError(
            f"{name} is not initialized. Use `async with {name}() as agent:`, or `await agent.initialize()` and at the "
            "end `await agent.cleanup()`."
        )


def _refuse_sync_task(kind: type[EnhancedAgentBase]) -> None:
    method = kind.execute_task
    # Anything callable may return an awaitable; only a plain `def` surely was meant to be asynchronous.
    if inspect.isfunction(inspect.unwrap(method)) and not inspect.iscoroutinefunction(inspect.unwrap(method)):
        raise InvalidInputError("execute_task", f"{kind.__name__}.execute_task must be an `async def`.")
