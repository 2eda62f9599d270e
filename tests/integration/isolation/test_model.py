"""Three organizations against a plain Python model, in whatever order things happen."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from agentdb import AgentConfig, ConflictError, MemoryEntry, NotFoundError, PrismaAgentClient, Settings
from tests.conftest import Database

pytestmark = pytest.mark.postgres

T = TypeVar("T")

ORGANIZATIONS = 3
AGENTS = ("a", "b")  # the same ids in each organization
WORDS = ("harbour", "lighthouse", "tide")

_IN_CI = bool(os.environ.get("CI"))


@dataclass
class Kept:
    """A memory as the model has it."""

    agent: str
    content: str
    metadata: dict[str, Any]
    is_shared: bool
    superseded_by: str | None = None


@dataclass
class Expected:
    """What an organization has."""

    memories: dict[str, Kept] = field(default_factory=dict)
    executions: dict[str, str] = field(default_factory=dict)
    points: list[tuple[str, float]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def living(self, agent: str | None = None, *, with_shared: bool = False) -> dict[str, Kept]:
        """Return the memories that are not superseded, of an agent and what others share, or of all."""
        return {
            id_: memory
            for id_, memory in self.memories.items()
            if memory.superseded_by is None
            and (agent is None or memory.agent == agent or (with_shared and memory.is_shared))
        }

    def with_history(self, ids: set[str]) -> set[str]:
        """Return *ids* and the older versions that these superseded."""
        older = {id_ for id_, memory in self.memories.items() if memory.superseded_by in ids}
        return ids if older <= ids else self.with_history(ids | older)

    def drop(self, ids: set[str]) -> None:
        """Forget memories."""
        for id_ in ids:
            del self.memories[id_]

    def twin(self, agent: str, content: str, metadata: dict[str, Any]) -> str | None:
        """Return the living memory that is equal to what would be stored."""
        for id_, memory in self.living(agent).items():
            if (memory.content, memory.metadata) == (content, metadata):
                return id_
        return None


_organizations = st.integers(0, ORGANIZATIONS - 1)
_agents = st.sampled_from(AGENTS)
_words = st.sampled_from(WORDS)
_metadata = st.sampled_from(({}, {"k": 1}, {"k": 2}))
_anything = st.integers(0, 1000)  # picks one of what there is, whoever's it is


class Organizations(RuleBasedStateMachine):
    """Writes and reads of three organizations; each read is what the model of that organization says."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    client: ClassVar[PrismaAgentClient]

    @initialize()
    def begin(self) -> None:
        """Three organizations that nobody has used before, with the same two agents each."""
        names = [f"machine-{uuid.uuid4().hex}" for _ in range(ORGANIZATIONS)]
        self.clients = [self.client.for_organization(name) for name in names]
        self.expected = [Expected() for _ in names]

        async def register(client: PrismaAgentClient) -> None:
            for agent in AGENTS:
                await client.agents.register(AgentConfig(id=agent, name=agent, category="SUPPORT"))

        for client, expected in zip(self.clients, self.expected, strict=True):
            self.run(register(client))
            expected.names = dict(zip(AGENTS, AGENTS, strict=True))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def memory(self, number: int) -> str:
        """Return the id of a memory of any organization, or one that never was."""
        known = [id_ for expected in self.expected for id_ in expected.memories]
        return known[number % len(known)] if known and number else str(uuid.uuid4())

    def execution(self, number: int) -> str:
        """Return the id of an execution of any organization, or one that never was."""
        known = [id_ for expected in self.expected for id_ in expected.executions]
        return known[number % len(known)] if known and number else str(uuid.uuid4())

    # Writes.

    @rule(at=_organizations, agent=_agents, content=_words, metadata=_metadata, is_shared=st.booleans())
    def store(self, at: int, agent: str, content: str, metadata: dict[str, Any], is_shared: bool) -> None:
        """Store a memory; an equal living one of the own organization is returned."""
        expected = self.expected[at]
        visibility = "organization" if is_shared else "agent"
        entry = MemoryEntry(agent_id=agent, content=content, metadata=metadata, visibility=visibility)
        id_ = self.run(self.clients[at].memories.store(entry))
        twin = expected.twin(agent, content, metadata)
        if twin is None:
            assert all(id_ not in each.memories for each in self.expected)
            expected.memories[id_] = Kept(agent, content, metadata, is_shared)
        else:
            assert id_ == twin

    @rule(at=_organizations, number=_anything, content=_words)
    def update(self, at: int, number: int, content: str) -> None:
        """Change a living memory of one's own; anybody else's is not found."""
        id_, expected = self.memory(number), self.expected[at]
        known = expected.memories.get(id_)
        twin = known and expected.twin(known.agent, content, known.metadata)
        try:
            self.run(self.clients[at].memories.update(id_, content=content))
        except NotFoundError:
            assert id_ not in expected.living()
        except ConflictError:
            assert twin not in (None, id_)
        else:
            assert known is not None
            assert twin in (None, id_)
            known.content = content

    @rule(at=_organizations, number=_anything)
    def delete(self, at: int, number: int) -> None:
        """Delete a memory of one's own with its history; of anybody else's there is nothing."""
        id_, expected = self.memory(number), self.expected[at]
        was_there = self.run(self.clients[at].memories.delete(id_))
        assert was_there == (id_ in expected.memories)
        if was_there:
            expected.drop(expected.with_history({id_}))

    @rule(at=_organizations, number=_anything)
    def supersede(self, at: int, number: int) -> None:
        """Supersede a living memory of one's own."""
        id_, expected = self.memory(number), self.expected[at]
        known = expected.memories.get(id_)
        content = f"new {uuid.uuid4()}"
        agent = known.agent if known else AGENTS[0]
        try:
            new = self.run(self.clients[at].memories.supersede(id_, MemoryEntry(agent_id=agent, content=content)))
        except NotFoundError:
            assert id_ not in expected.living()
        else:
            assert known is not None
            assert known.superseded_by is None
            known.superseded_by = new
            expected.memories[new] = Kept(agent, content, {}, is_shared=False)

    @rule(at=_organizations, value=st.sampled_from((1, 2)), is_trial=st.booleans())
    def forget(self, at: int, value: int, is_trial: bool) -> None:
        """Forget by metadata that memories of every organization have."""
        expected = self.expected[at]
        hit = expected.with_history({id_ for id_, each in expected.memories.items() if each.metadata.get("k") == value})
        assert self.run(self.clients[at].memories.forget({"k": value}, dry_run=is_trial)) == len(hit)
        if not is_trial:
            expected.drop(hit)

    @rule(at=_organizations, agent=_agents)
    def rename(self, at: int, agent: str) -> None:
        """Give an agent another name, by the generated client and by a key that each organization has."""
        name, client = f"name-{uuid.uuid4().hex[:6]}", self.clients[at]
        where: Any = {"id": agent}  # the scope completes the key
        assert self.run(client.prisma.agent.update(where=where, data={"name": name}))
        self.expected[at].names[agent] = name
        found = self.run(client.agents.find(name))
        assert found is not None
        assert found.id == agent

    @rule(at=_organizations, agent=_agents)
    def start(self, at: int, agent: str) -> None:
        """Begin an execution."""
        execution = self.run(self.clients[at].executions.start(agent, "task"))
        self.expected[at].executions[execution.id] = "running"

    @rule(at=_organizations, number=_anything)
    def finish(self, at: int, number: int) -> None:
        """End an execution of one's own that still runs."""
        id_, expected = self.execution(number), self.expected[at]
        try:
            self.run(self.clients[at].executions.finish(id_, "result"))
        except NotFoundError:
            assert id_ not in expected.executions
        except ConflictError:
            assert expected.executions[id_] == "completed"
        else:
            assert id_ in expected.executions
            expected.executions[id_] = "completed"

    @rule(at=_organizations, agent=_agents, value=st.integers(1, 9))
    def measure(self, at: int, agent: str, value: int) -> None:
        """Record a point of a metric."""
        self.run(self.clients[at].metrics.record(agent, "m", value))
        self.expected[at].points.append((agent, value))

    @rule(at=_organizations, other=_organizations, agent=_agents, commits=st.booleans())
    def transact(self, at: int, other: int, agent: str, commits: bool) -> None:
        """Write in a transaction that may be rolled back, and meanwhile in another organization, on the same pool."""
        content, elsewhere = f"tx {uuid.uuid4()}", f"aside {uuid.uuid4()}"

        async def work() -> tuple[str, str]:
            async with self.clients[at].transaction() as tx:
                inside = await tx.memories.store(MemoryEntry(agent_id=agent, content=content))
                aside = await self.client.for_organization(self.clients[other].organization_id).memories.store(
                    MemoryEntry(agent_id=agent, content=elsewhere)
                )
                assert await tx.memories.count() == len(self.expected[at].living()) + 1 + (at == other)
                if not commits:
                    raise _RollBackError(aside)
            return inside, aside

        try:
            inside, aside = self.run(work())
            self.expected[at].memories[inside] = Kept(agent, content, {}, is_shared=False)
        except _RollBackError as error:
            (aside,) = error.args
        self.expected[other].memories[aside] = Kept(agent, elsewhere, {}, is_shared=False)

    @rule(at=_organizations, number=_anything)
    def write_by_prisma(self, at: int, number: int) -> None:
        """Update and delete by the generated client: of anybody else's row there is none."""
        id_, expected = self.memory(number), self.expected[at]
        memories = self.clients[at].prisma.agentmemory
        known = expected.memories.get(id_)
        changed = self.run(memories.update_many(where={"id": id_}, data={"importance": 0.75}))
        assert changed == (known is not None)
        if number % 2:
            deleted = self.run(memories.delete_many(where={"id": id_, "supersedes": {"none": {}}}))
            assert deleted <= changed
            if deleted:
                del expected.memories[id_]

    # Reads.

    @rule(at=_organizations, number=_anything)
    def get(self, at: int, number: int) -> None:
        """Read one memory, in both ways."""
        id_ = self.memory(number)
        known = self.expected[at].memories.get(id_)
        where: Any = {"id": id_}  # the scope completes the key
        row = self.run(self.clients[at].prisma.agentmemory.find_unique(where=where, include={"agent": True}))
        assert (row and (row.content, row.agent and row.agent.name)) == (
            known and (known.content, self.expected[at].names[known.agent])
        )
        if known is None:
            with pytest.raises(NotFoundError) as caught:
                self.run(self.clients[at].memories.get(id_, include_superseded=True))
            assert str(caught.value) == str(NotFoundError("memory", id_))
        else:
            found = self.run(self.clients[at].memories.get(id_, include_superseded=True))
            assert (found.agent_id, found.content, found.metadata) == (known.agent, known.content, known.metadata)

    @rule(at=_organizations, agent=_agents, with_shared=st.booleans())
    def look_over(self, at: int, agent: str, with_shared: bool) -> None:
        """List what an agent has."""
        found = self.run(self.clients[at].memories.list(agent, include_shared=with_shared, limit=1000))
        assert {memory.id for memory in found} == self.expected[at].living(agent, with_shared=with_shared).keys()

    @rule(at=_organizations, agent=_agents, word=_words)
    def search(self, at: int, agent: str, word: str) -> None:
        """Search by a word that memories of every organization hold."""
        hits = self.run(self.clients[at].memories.search(agent, word, limit=1000))
        holders = {
            id_ for id_, memory in self.expected[at].living(agent, with_shared=True).items() if memory.content == word
        }
        assert {hit.memory.id for hit in hits} == holders

    @rule(at=_organizations, agent=_agents)
    def sum_up(self, at: int, agent: str) -> None:
        """Sum up a metric and the executions."""
        expected = self.expected[at]
        summary = self.run(self.clients[at].metrics.summary(agent)).get("m")
        values = [value for each, value in expected.points if each == agent]
        assert (summary.count if summary else 0) == len(values)
        assert not summary or summary.avg == pytest.approx(sum(values) / len(values))
        executions = self.run(self.clients[at].executions.list(limit=1000))
        assert {each.id: each.status for each in executions} == expected.executions

    @invariant()
    def counts(self) -> None:
        """Each organization has as much as its model, whatever was done just now, and by whom."""
        if not hasattr(self, "clients"):
            return

        async def count(client: PrismaAgentClient) -> tuple[int, int]:
            # One statement at a time, so that the connections change hands.
            (row,) = await client.driver.fetch(
                "SELECT (SELECT count(*) FROM agent_memories), (SELECT count(*) FROM agent_executions)"
            )
            return row[0], row[1]

        async def count_all() -> list[tuple[int, int]]:
            return await asyncio.gather(*map(count, self.clients))

        assert self.run(count_all()) == [(len(each.memories), len(each.executions)) for each in self.expected]


class _RollBackError(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def opened(database: Database) -> Iterator[type[Organizations]]:
    """The machine on a pool of this test's database; every run has organizations of its own there."""

    class Machine(Organizations):
        loop = asyncio.new_event_loop()
        client = PrismaAgentClient(settings=Settings(organization_id="nobody", database_url=database.url, pool_size=3))

    Machine.loop.run_until_complete(Machine.client.connect())
    yield Machine
    Machine.loop.run_until_complete(Machine.client.disconnect())
    Machine.loop.run_until_complete(Machine.loop.shutdown_asyncgens())
    Machine.loop.close()


def test_each_sees_its_own(opened: type[Organizations]) -> None:
    """Every read equals the model of its own organization; 500 runs of 30 operations in CI, fewer on a desk."""
    run_state_machine_as_test(
        opened,
        settings=settings(
            max_examples=500 if _IN_CI else 60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
