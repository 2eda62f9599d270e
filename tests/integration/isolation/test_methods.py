"""Every public method, asked by one organization for what another has: it is as if that had never been."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from agentdb import (
    AgentConfig,
    AgentDBError,
    MemoryEntry,
    MetricPoint,
    PrismaAgentClient,
    ToolDefinition,
)
from agentdb.client.database import TABLES
from agentdb.client.memory.accesses import Access
from agentdb.client.resource import Resource
from tests.conftest import Database
from tests.integration.isolation.world import (
    MARK,
    OWN,
    Connection,
    Names,
    fingerprint,
    ghosts,
    masked,
    outcome_of,
    populate,
    settings_for,
)

pytestmark = pytest.mark.postgres

Case = Callable[[PrismaAgentClient, Names], Awaitable[object]]

_NOW = datetime.now(UTC)


def _entry(agent: str, **more: Any) -> MemoryEntry:
    return MemoryEntry(agent_id=agent, content="text", **more)


async def _recorder(client: PrismaAgentClient, names: Names) -> object:
    async with client.metrics.recorder() as recorder:
        await recorder.record(names.agent, names.metric, 1.0)
        await recorder.record(OWN, names.metric, 1.0)
    return recorder.undelivered


async def _note_call(client: PrismaAgentClient, names: Names) -> object:
    for agent in (names.agent, OWN):
        client.tools.note_call(names.tool, agent, success=True, duration_ms=1.0)
    await client.gathering.journal.flush()
    return (await client.health_check()).recording


async def _track(client: PrismaAgentClient, agent: str, parent: str | None) -> object:
    async with client.executions.track(agent, "task", parent_id=parent) as running:
        running.log("text")
    return len(await client.executions.list())


async def _rows(lines: Any) -> list[str]:
    return [line async for line in lines]


async def _round_trip(client: PrismaAgentClient, names: Names) -> object:
    """Export what there is, for the other's agent, and read it in again as the other's agent's."""
    kept = await _rows(client.memories.export_lines())
    imported = await client.memories.import_lines(kept, agent_id=names.agent)
    return len(kept), imported


async def _whole_round_trip(client: PrismaAgentClient, names: Names) -> object:
    kept = await _rows(client.export_lines(sealed="plain"))
    return len(kept), await client.import_lines(kept, agent_id=names.agent)


async def _transaction(client: PrismaAgentClient, names: Names) -> object:
    async with client.transaction() as tx:
        return await tx.agents.find(names.agent_name), await tx.memories.count(names.agent), await tx.agents.list()


async def _sql(client: PrismaAgentClient, names: Names) -> object:
    counts = []
    for table in TABLES:
        (row,) = await client.driver.fetch(f"SELECT count(*) FROM {table} WHERE organization_id <> $1", ["own"])
        counts.append((table, row[0] - _mine(table)))
    return counts


def _mine(table: str) -> int:
    return 1 if table == "agents" else 0


async def _health(client: PrismaAgentClient, names: Names) -> object:
    health = await client.health_check()
    return health.status, health.tenancy, health.organization_id, health.recording


async def _entries(client: PrismaAgentClient, names: Names) -> object:
    entries = [*await client.access_log.list(), *await client.access_log.list(agent_id=names.agent)]
    return [(each.operation, each.agent_id, each.table_names, each.row_ids, each.outcome) for each in entries]


async def _no_flag(client: PrismaAgentClient, names: Names) -> object:
    return client.sees_rows_of(client)


# By method: what is asked, by names that are another organization's or nobody's. The caller's own agent is OWN; half of
# the runs have an agent of the same id and name as the other's, too.
CASES: dict[str, list[Case]] = {
    "register_agent": [lambda c, n: c.register_agent(AgentConfig(id=n.agent, name=n.agent_name, category="SUPPORT"))],
    "store_memory": [lambda c, n: c.store_memory(_entry(n.agent))],
    "store_memories": [lambda c, n: c.store_memories([_entry(OWN), _entry(n.agent)])],
    "retrieve_memories": [lambda c, n: c.retrieve_memories(n.agent, MARK), lambda c, n: c.retrieve_memories(n.agent)],
    "register_tool": [lambda c, n: c.register_tool(n.tool, owner_agent_id=n.agent)],
    "get_tools": [lambda c, n: c.get_tools(), lambda c, n: c.get_tools(owner_agent_id=n.agent)],
    "start_execution": [lambda c, n: c.start_execution(n.agent, 1)],
    "complete_execution": [lambda c, n: c.complete_execution(n.execution)],
    "fail_execution": [lambda c, n: c.fail_execution(n.execution, "text")],
    "record_metric": [lambda c, n: c.record_metric(n.agent, n.metric, 1.0)],
    "get_agent_metrics": [lambda c, n: c.get_agent_metrics(n.agent)],
    "store_learning_pattern": [lambda c, n: c.store_learning_pattern(n.agent, n.pattern_type, 1, name=n.pattern_name)],
    "get_learning_patterns": [lambda c, n: c.get_learning_patterns(n.agent)],
    "health_check": [_health],
    "transaction": [_transaction],
    "driver": [_sql],
    "sees_rows_of": [_no_flag],
    "erase": [
        lambda c, n: c.erase(agent_id=n.agent, dry_run=True),
        lambda c, n: c.erase(agent_id=n.agent),
        lambda c, n: c.erase(subject=n.subject),
        lambda c, n: c.erase(organization=True),
    ],
    "residue": [lambda c, n: c.residue(agent_id=n.agent), lambda c, n: c.residue(subject=n.subject)],
    "export_lines": [lambda c, n: _rows(c.export_lines(n.agent, sealed="plain"))],
    "import_lines": [_whole_round_trip],
    "rotate_keys": [lambda c, n: c.rotate_keys(), lambda c, n: c.rotate_keys(dry_run=True)],
    "verify_access_log": [lambda c, n: c.verify_access_log()],
    "access_log.list": [_entries],
    "access_log.verify": [lambda c, n: c.access_log.verify()],
    "agents.register": [
        lambda c, n: c.agents.register(AgentConfig(id=n.agent, name="other", category="SUPPORT")),
        lambda c, n: c.agents.register(AgentConfig(name=n.agent_name, category="SUPPORT")),
    ],
    "agents.get": [lambda c, n: c.agents.get(n.agent)],
    "agents.find": [lambda c, n: c.agents.find(n.agent_name)],
    "agents.list": [lambda c, n: c.agents.list()],
    "agents.heartbeat": [lambda c, n: c.agents.heartbeat(n.agent)],
    "agents.deactivate": [lambda c, n: c.agents.deactivate(n.agent)],
    "agents.delete": [lambda c, n: c.agents.delete(n.agent)],
    "memories.store": [
        lambda c, n: c.memories.store(_entry(n.agent)),
        lambda c, n: c.memories.store(_entry(OWN, id=n.memory)),
        lambda c, n: c.memories.store(_entry(OWN, idempotency_key=n.key)),
        lambda c, n: c.memories.store(MemoryEntry(agent_id=OWN, content=f"{MARK} plain")),
    ],
    "memories.store_many": [lambda c, n: c.memories.store_many([_entry(OWN), _entry(n.agent)])],
    "memories.get": [
        lambda c, n: c.memories.get(n.memory),
        lambda c, n: c.memories.get(n.secret),
        lambda c, n: c.memories.get(n.old, include_superseded=True, include_expired=True),
    ],
    "memories.update": [
        lambda c, n: c.memories.update(n.memory, content="text"),
        lambda c, n: c.memories.update(n.secret, sensitive=False),
    ],
    "memories.delete": [lambda c, n: c.memories.delete(n.memory)],
    "memories.list": [
        lambda c, n: c.memories.list(n.agent, include_expired=True, include_superseded=True),
        lambda c, n: c.memories.list(OWN, include_shared=True),
        lambda c, n: c.memories.list(n.agent, where={n.label: MARK}),
    ],
    "memories.search": [
        lambda c, n: c.memories.search(OWN, MARK),
        lambda c, n: c.memories.search(n.agent, MARK),
        lambda c, n: c.memories.search(OWN, embedding=[1.0, 0.0, 0.0]),
        lambda c, n: c.memories.search(OWN, MARK, embedding=[1.0, 0.0, 0.0], where={n.label: MARK}),
        lambda c, n: c.memories.search(n.agent, where={"subject": n.subject}),
    ],
    "memories.supersede": [
        lambda c, n: c.memories.supersede(n.memory, _entry(OWN)),
        lambda c, n: c.memories.supersede(n.secret, _entry(n.agent)),
    ],
    "memories.history": [lambda c, n: c.memories.history(n.old)],
    "memories.count": [
        lambda c, n: c.memories.count(),
        lambda c, n: c.memories.count(n.agent, where={n.label: MARK}),
        lambda c, n: c.memories.count(OWN, include_shared=True),
    ],
    "memories.forget": [
        lambda c, n: c.memories.forget({n.label: MARK}, dry_run=True),
        lambda c, n: c.memories.forget({n.label: MARK}),
        lambda c, n: c.memories.forget(agent_id=n.agent),
        lambda c, n: c.memories.forget({"NOT": {"k": 1}}),
    ],
    "memories.sweep": [lambda c, n: c.memories.sweep(), lambda c, n: c.memories.sweep(agent_id=n.agent)],
    "memories.reembed": [lambda c, n: c.memories.reembed(), lambda c, n: c.memories.reembed(n.agent)],
    "memories.export_lines": [
        lambda c, n: _rows(c.memories.export_lines()),
        lambda c, n: _rows(c.memories.export_lines(n.agent)),
    ],
    "memories.import_lines": [_round_trip],
    "memories.count_recalls": [
        lambda c, n: c.memories.count_recalls([n.memory, n.secret], [Access(3, _NOW), Access(3, _NOW)])
    ],
    "tools.register": [
        lambda c, n: c.tools.register(n.tool, "text"),
        lambda c, n: c.tools.register("new", owner_agent_id=n.agent),
    ],
    "tools.register_all": [lambda c, n: c.tools.register_all(n.agent, [ToolDefinition(name=n.tool)])],
    "tools.deprecate": [lambda c, n: c.tools.deprecate(n.tool)],
    "tools.get": [lambda c, n: c.tools.get(n.tool)],
    "tools.versions": [lambda c, n: c.tools.versions(n.tool)],
    "tools.list": [
        lambda c, n: c.tools.list(include_deprecated=True),
        lambda c, n: c.tools.list(owner_agent_id=n.agent),
    ],
    "tools.search": [lambda c, n: c.tools.search(MARK), lambda c, n: c.tools.search(n.tool)],
    "tools.record_call": [
        lambda c, n: c.tools.record_call(n.tool, OWN, success=True, duration_ms=1.0),
        lambda c, n: c.tools.record_call(n.tool, n.agent, success=True, duration_ms=1.0, execution_id=n.execution),
    ],
    "tools.note_call": [_note_call],
    "tools.stats": [lambda c, n: c.tools.stats(n.tool), lambda c, n: c.tools.stats(n.tool, agent_id=n.agent)],
    "tools.overview": [lambda c, n: c.tools.overview(), lambda c, n: c.tools.overview(agent_id=n.agent)],
    "tools.rank": [lambda c, n: c.tools.rank(), lambda c, n: c.tools.rank([n.tool])],
    "tools.schemas": [lambda c, n: c.tools.schemas(), lambda c, n: c.tools.schemas(names=[n.tool])],
    "executions.start": [
        lambda c, n: c.executions.start(n.agent, 1),
        lambda c, n: c.executions.start(OWN, 1, parent_id=n.execution),
        lambda c, n: c.executions.start(OWN, 1, idempotency_key=n.key),
    ],
    "executions.finish": [lambda c, n: c.executions.finish(n.execution, 1)],
    "executions.fail": [lambda c, n: c.executions.fail(n.child, "text")],
    "executions.get": [lambda c, n: c.executions.get(n.execution)],
    "executions.list": [
        lambda c, n: c.executions.list(),
        lambda c, n: c.executions.list(n.agent, model=n.model),
        lambda c, n: c.executions.list(parent_id=n.execution),
    ],
    "executions.tree": [lambda c, n: c.executions.tree(n.execution)],
    "executions.log": [lambda c, n: c.executions.log(n.execution, "text")],
    "executions.track": [lambda c, n: _track(c, n.agent, None), lambda c, n: _track(c, OWN, n.execution)],
    "executions.stats": [lambda c, n: c.executions.stats(hours=1), lambda c, n: c.executions.stats(n.agent, hours=1)],
    "executions.retain": [lambda c, n: c.executions.retain(0)],
    "executions.beat": [lambda c, n: c.executions.beat([n.execution, n.child])],
    "executions.sweep_abandoned": [lambda c, n: c.executions.sweep_abandoned(0.001)],
    "metrics.record": [
        lambda c, n: c.metrics.record(n.agent, n.metric, 1.0),
        lambda c, n: c.metrics.record(OWN, n.metric, 1.0, idempotency_key=n.key),
    ],
    "metrics.record_many": [
        lambda c, n: c.metrics.record_many(
            [MetricPoint(agent_id=each, name=n.metric, value=1) for each in (OWN, n.agent)]
        )
    ],
    "metrics.recorder": [_recorder],
    "metrics.summary": [lambda c, n: c.metrics.summary(n.agent), lambda c, n: c.metrics.summary(n.agent, exact=False)],
    "metrics.series": [lambda c, n: c.metrics.series(n.agent, n.metric, hours=1, bucket="1mo")],
    "metrics.roll_up": [lambda c, n: c.metrics.roll_up()],
    "metrics.retain": [lambda c, n: c.metrics.retain(points_days=0.01, rollups_days=0.01)],
    "patterns.record": [
        lambda c, n: c.patterns.record(n.agent, n.pattern_type, 1),
        lambda c, n: c.patterns.record(OWN, n.pattern_type, 1, name=n.pattern_name, idempotency_key=n.key),
    ],
    "patterns.outcome": [
        lambda c, n: c.patterns.outcome(n.pattern, True),
        lambda c, n: c.patterns.outcome(n.pattern, True, idempotency_key=n.key),
    ],
    "patterns.get": [lambda c, n: c.patterns.get(n.pattern)],
    "patterns.list": [
        lambda c, n: c.patterns.list(n.agent, include_inactive=True),
        lambda c, n: c.patterns.list(OWN, include_shared=True, include_inactive=True),
    ],
    "patterns.choose": [
        lambda c, n: c.patterns.choose(OWN, n.pattern_type, random=Random(0)),
        lambda c, n: c.patterns.choose(n.agent, n.pattern_type, random=Random(0)),
    ],
    "patterns.promote": [lambda c, n: c.patterns.promote(n.pattern, min_trials=1, min_confidence=0.0)],
    "patterns.quarantine": [lambda c, n: c.patterns.quarantine(n.pattern, "text")],
    "patterns.retire": [lambda c, n: c.patterns.retire(n.pattern)],
    "patterns.revert": [lambda c, n: c.patterns.revert(n.pattern)],
    "patterns.history": [lambda c, n: c.patterns.history(n.pattern)],
    "patterns.review": [lambda c, n: c.patterns.review(), lambda c, n: c.patterns.review(n.agent)],
    "patterns.recognize": [lambda c, n: c.patterns.recognize(), lambda c, n: c.patterns.recognize(n.agent)],
    "prices.set": [lambda c, n: c.prices.set(n.model, input=1, output=1)],
    "prices.get": [lambda c, n: c.prices.get(n.model)],
    "prices.list": [lambda c, n: c.prices.list(), lambda c, n: c.prices.list(n.model)],
    "prices.delete": [lambda c, n: c.prices.delete(n.model, _NOW)],
}

# What has no rows of an organization, or is asked by what stands above.
ELSEWHERE = {
    "connect": "opens",
    "disconnect": "closes",
    "for_organization": "what every run here is made with",
    "prisma": "has its own test, of every model and action",
    "depth": "of transactions",
    "in_transaction": "says no row",
    "embedder": "makes embeddings",
    "redact": "changes what is written",
    "settings": "says no row",
    "key_ring": "of the process",
    "gathering": "holds what the others leave behind",
    "keeps_access_log": "says no row",
    "inner_driver": "the driver's, below the access log",
    "namespace": "of the database",
    "memories.store_rows": "what store sends",
    "metrics.record_rows": "what record sends",
}


def _methods(client: PrismaAgentClient) -> set[str]:
    """Return the public names of the client and of its resources, without those that all resources have."""
    places = {"": type(client)} | {
        f"{name}.": type(value) for name, value in vars(client).items() if isinstance(value, Resource)
    }
    shared = set(dir(Resource))
    return {
        f"{place}{name}"
        for place, kind in places.items()
        for name in dir(kind)
        if not name.startswith("_")
        and name not in shared
        and (callable(getattr(kind, name)) or inspect.isdatadescriptor(inspect.getattr_static(kind, name)))
    }


def test_every_method_has_a_case() -> None:
    """A new one fails here until somebody says what it must not do."""
    known = _methods(PrismaAgentClient("postgresql://db.invalid/agents", "acme"))

    assert known - CASES.keys() - ELSEWHERE.keys() == set()


@pytest.mark.parametrize("has_twin", [False, True], ids=["another's agent", "an agent of the same id"])
async def test_what_another_has_is_as_if_it_had_never_been(
    shared: PrismaAgentClient, beyond: Connection, database: Database, has_twin: bool
) -> None:
    """
    The same result, or the same error in the same words, as for names that nobody ever had; and none of it is changed.

    Each case runs in an organization of its own, once with another's names and once with nobody's.
    """
    async with PrismaAgentClient(settings=settings_for(database.url)) as other:
        theirs = await populate(other.for_organization("theirs"))
    before = await fingerprint(beyond, "theirs")
    assert [table for table, rows in before.items() if rows.startswith("0")] == []
    numbers = itertools.count()

    async def ask(case: Case, names: Names) -> str:
        organization = f"asker-{next(numbers)}"
        client = shared.for_organization(organization)
        await client.agents.register(AgentConfig(id=OWN, name="own", category="SUPPORT"))
        if has_twin:
            await client.agents.register(AgentConfig(id=names.agent, name=names.agent_name, category="SUPPORT"))
        try:
            outcome: object = "returned", await case(client, names)
        except AgentDBError as error:
            outcome = outcome_of(error)
        return masked(outcome, names, organization)

    known = _methods(shared)
    told, changed = {}, {}
    for method, cases in CASES.items():
        if method not in known:
            continue
        for number, case in enumerate(cases):
            of_theirs, of_nobody = await ask(case, theirs), await ask(case, ghosts())
            if of_theirs != of_nobody or MARK in of_theirs:
                told[f"{method} {number}"] = of_theirs, of_nobody
            after = await fingerprint(beyond, "theirs")
            if after != before:
                changed[f"{method} {number}"] = {table for table in before if after[table] != before[table]}
                before = after
    assert (told, changed) == ({}, {})
