"""Ten thousand operations of twenty organizations at once, on five connections: directly, and through PgBouncer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from agentdb import AgentConfig, MemoryEntry, NotFoundError, PrismaAgentClient, Settings
from agentdb.postgres.embedded import EmbeddedServer
from tests.bouncer import running_bouncer
from tests.conftest import Database
from tests.debian import find_pgbouncer
from tests.integration.isolation.world import Connection

pytestmark = pytest.mark.postgres

OPERATIONS = 10_000
ORGANIZATIONS = 20
WORKERS = 2  # of each organization; a worker has an agent of its own
WORD = "harbour"


@pytest.fixture(params=["direct", "pgbouncer"])
def url(
    request: pytest.FixtureRequest, server: EmbeddedServer, database: Database, pytestconfig: pytest.Config
) -> Iterator[str]:
    """The application's URL, straight to the server or through PgBouncer in transaction mode."""
    if request.param == "direct":
        yield database.url
        return
    with running_bouncer(find_pgbouncer(pytestconfig.cache), server) as bouncer:
        yield bouncer.url(database.url)


@dataclass
class Worker:
    """
    Does one thing after another for one agent, and checks every answer.

    Attributes:
        everybody: Whose memory an id names, of all organizations.
        memories: What its agent remembers, by id.
        points: What it measured.
        executions: How many it ended.
    """

    client: PrismaAgentClient
    agent: str
    everybody: dict[str, str]
    dice: Random
    memories: dict[str, str] = field(default_factory=dict)
    points: list[float] = field(default_factory=list)
    executions: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.organization = self.client.organization_id

    async def work(self, operations: int) -> None:
        """Do so many operations."""
        for _ in range(operations):
            await self.dice.choice(_OPERATIONS)(self)

    def content(self) -> str:
        """Return a text that nobody else has, which tells whose it is."""
        return f"{self.organization} {self.agent} {next(self.numbers)} {WORD}"

    def check(self, contents: list[str]) -> None:
        """See to it that *contents* are this organization's."""
        foreign = [content for content in contents if content.split()[0] != self.organization]
        assert foreign == [], f"{self.organization} was shown {foreign[:3]}"

    async def store(self) -> None:
        content = self.content()
        id_ = await self.client.memories.store(MemoryEntry(agent_id=self.agent, content=content))
        self.memories[id_] = content
        self.everybody[id_] = self.organization

    async def get(self) -> None:
        if self.memories:
            id_ = self.dice.choice(list(self.memories))
            assert (await self.client.memories.get(id_)).content == self.memories[id_]

    async def get_anybodys(self) -> None:
        """Read a memory: of another organization there is none, and of the own one it may just be deleted."""
        if self.everybody:
            id_ = self.dice.choice(list(self.everybody))
            try:
                found = [await self.client.memories.get(id_)]
            except NotFoundError:
                found = []
            where: Any = {"id": id_}  # the scope completes the key
            row = await self.client.prisma.agentmemory.find_unique(where=where)
            self.check([memory.content for memory in found])
            self.check([row.content] if row else [])
            assert self.everybody[id_] == self.organization or (found, row) == ([], None)

    async def list(self) -> None:
        found = await self.client.memories.list(self.agent, limit=1000)
        assert {memory.id: memory.content for memory in found} == self.memories

    async def search(self) -> None:
        hits = await self.client.memories.search(self.agent, WORD, limit=1000)
        assert {hit.memory.id: hit.memory.content for hit in hits} == self.memories

    async def update(self) -> None:
        if self.memories:
            id_ = self.dice.choice(list(self.memories))
            self.memories[id_] = self.content()
            await self.client.memories.update(id_, content=self.memories[id_])

    async def delete_anybodys(self) -> None:
        """Delete a memory of one's own, or of another organization, where there is none."""
        if self.everybody:
            id_ = self.dice.choice(list(self.everybody))
            if id_ in self.memories or self.everybody[id_] != self.organization:
                assert await self.client.memories.delete(id_) == (id_ in self.memories)
                self.memories.pop(id_, None)

    async def transact(self) -> None:
        content, commits = self.content(), self.dice.random() < 0.5
        with contextlib.suppress(_RollBackError):
            async with self.client.transaction() as tx:
                id_ = await tx.memories.store(MemoryEntry(agent_id=self.agent, content=content))
                self.check([memory.content for memory in await tx.memories.list(self.agent, limit=1000)])
                with contextlib.suppress(_RollBackError):
                    async with tx.transaction() as inner:
                        await inner.metrics.record(self.agent, "never", 1)
                        raise _RollBackError
                if not commits:
                    raise _RollBackError
            self.memories[id_] = content
            self.everybody[id_] = self.organization

    async def measure(self) -> None:
        self.points.append(float(self.dice.randrange(100)))
        await self.client.metrics.record(self.agent, "m", self.points[-1])

    async def sum_up(self) -> None:
        summary = await self.client.metrics.summary(self.agent)
        assert (summary["m"].count if summary else 0) == len(self.points)
        assert "never" not in summary

    async def execute(self) -> None:
        async with self.client.executions.track(self.agent, self.organization) as running:
            running.log(self.organization)
        self.executions += 1
        found = await self.client.executions.list(self.agent, limit=1)
        self.check([str(found[0].task)])

    async def use_prisma(self) -> None:
        found = await self.client.prisma.agentmemory.find_many(
            where={"agentId": self.agent}, include={"agent": True}, take=5, order={"createdAt": "desc"}
        )
        self.check([row.content for row in found])
        self.check([row.agent.organizationId for row in found if row.agent])
        assert await self.client.prisma.agentmemory.count(where={"agentId": self.agent}) == len(self.memories)

    async def use_sql(self) -> None:
        rows = await self.client.driver.fetch("SELECT DISTINCT organization_id FROM agents")
        assert [row[0] for row in rows] == [self.organization]

    async def be_cancelled(self) -> None:
        """Give up a read in the middle: its connection may be handed to anybody next."""
        reading = asyncio.create_task(self.client.memories.list(self.agent))
        await asyncio.sleep(self.dice.random() * 0.003)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.check([memory.content for memory in await reading])


class _RollBackError(Exception):
    """Rolls a transaction back."""


_OPERATIONS = (
    *[Worker.store] * 4,
    Worker.get,
    Worker.get_anybodys,
    Worker.list,
    Worker.search,
    Worker.update,
    *[Worker.delete_anybodys] * 2,
    Worker.transact,
    Worker.measure,
    Worker.sum_up,
    Worker.execute,
    Worker.use_prisma,
    Worker.use_sql,
    Worker.be_cancelled,
)


async def test_nobody_sees_anybody_else(url: str, beyond: Connection) -> None:
    """Every answer holds rows of the asker's organization alone, and in the end there is what was written."""
    dice = Random(20)
    everybody: dict[str, str] = {}
    settings = Settings(organization_id="nobody", database_url=url, pool_size=5, pool_timeout_seconds=0)
    async with PrismaAgentClient(settings=settings) as shared:
        clients = [shared.for_organization(f"org{number:02}") for number in range(ORGANIZATIONS)]
        workers = [
            Worker(client, f"agent{number}", everybody, Random(dice.random()))
            for client in clients
            for number in range(WORKERS)
        ]
        for worker in workers:
            await worker.client.agents.register(AgentConfig(id=worker.agent, name=worker.agent, category="SUPPORT"))
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.work(OPERATIONS // len(workers)))
        assert (await shared.health_check()).pool.size == 5

    rows = await beyond.fetch("SELECT organization_id, agent_id, id::text, content FROM agent_memories")
    kept = {(worker.organization, worker.agent, *item) for worker in workers for item in worker.memories.items()}
    assert {tuple(row) for row in rows} == kept
    points = await beyond.fetch("SELECT organization_id, agent_id, value FROM agent_metrics ORDER BY id")
    for worker in workers:
        own = [row[2] for row in points if (row[0], row[1]) == (worker.organization, worker.agent)]
        assert sorted(own) == sorted(worker.points)
    for table in ("agent_executions", "agent_steps"):
        counted = await beyond.fetch(f"SELECT organization_id, agent_id, count(*) FROM {table} GROUP BY 1, 2")
        assert {tuple(row) for row in counted} == {
            (worker.organization, worker.agent, worker.executions) for worker in workers if worker.executions
        }
