"""Every action of `client.prisma` on every model, asked by one organization for what another has."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from agentdb import PrismaAgentClient
from agentdb.client.database import TABLES
from agentdb.client.prisma import _datamodel
from agentdb.client.scope import _RULES, Scope
from agentdb.client.tenancy import TenancyFacts
from agentdb.engine.schema import Field, Model
from agentdb.prisma_client import Json
from agentdb.prisma_client.errors import PrismaError
from tests.conftest import Database
from tests.integration.isolation.world import MARK, Connection, fingerprint, masked, outcome_of, populate, settings_for

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore:Only the client keeps organizations apart"),
]

THEIRS = "theirs"
ORGANIZATION = "organizationId"
MODELS = _datamodel().models
KEPT_BY_THE_DATABASE = {"isShared", "embeddingDimensions"}

Values = dict[str, Any]
Ask = Callable[[Any, "Row"], Any]


@dataclass(frozen=True)
class Row:
    """
    A row of a model as somebody names it: its key, and all that it could be made of.

    Attributes:
        key: The fields of its primary key, without the organization.
        data: Its fields, as a create takes them.
    """

    model: Model
    key: Values
    data: Values

    def without(self, relation: Field | None) -> Values:
        """Return the data without the columns that *relation* brings."""
        brought = set(relation.relation.fields) if relation and relation.relation else set()
        return {name: value for name, value in self.data.items() if name not in brought}

    @property
    def change(self) -> Values:
        """A change of a column that names nothing."""
        name = next(name for name in self.data if name not in _naming(self.model))
        return {name: self.data[name]}

    @property
    def ghost(self) -> Row:
        """The same row, and nobody ever called one so, nor what it refers to."""
        renamed = {name: _never(value) for name, value in self.data.items() if name in _naming(self.model)}
        return replace(self, data=self.data | renamed, key={name: renamed[name] for name in self.key})

    def masked(self, value: object) -> str:
        """Return *value* as text in which this row's names are masked."""
        text = repr(value)
        for name in sorted(_naming(self.model) & self.data.keys()):
            if isinstance(self.data[name], str):
                text = text.replace(self.data[name], f"<{name}>")
        return text


def _naming(model: Model) -> set[str]:
    """Return the fields by which a row is named, or names another: keys and foreign keys."""
    keys = {*model.id_fields, *itertools.chain.from_iterable(unique.fields for unique in model.uniques)}
    foreign = {name for each in model.fields.values() if each.relation for name in each.relation.fields}
    return (keys | foreign | {"executionId"} & model.fields.keys()) - {ORGANIZATION}


def _never(value: Any) -> Any:
    """Return a name of the same kind that nothing was ever called."""
    if isinstance(value, datetime.datetime):
        return value + datetime.timedelta(days=4000)
    if isinstance(value, int):
        return value  # it counts within what the rest of the key names
    try:
        uuid.UUID(value)
    except ValueError:
        return f"never-{uuid.uuid4().hex[:8]}"
    return str(uuid.uuid4())


def _row(model: Model, found: Any) -> Row:
    data = {}
    for each in model.fields.values():
        value = getattr(found, each.name, None)
        if each.kind != "object" and each.name not in {ORGANIZATION, *KEPT_BY_THE_DATABASE} and value is not None:
            data[each.name] = Json(value) if each.type == "Json" else value
    return Row(model, {name: data[name] for name in model.id_fields if name != ORGANIZATION}, data)


async def _rows(client: PrismaAgentClient) -> dict[str, Row]:
    """Return a row of each model that has one: the one that refers to most."""
    rows = {}
    for name, model in MODELS.items():
        found = [_row(model, each) for each in await getattr(client.prisma, name.lower()).find_many()]
        if found:
            rows[name] = max(found, key=lambda row: len(row.data))
    return rows


# What is asked of a model: `actions` are those of the asker, `row` is another's or nobody's.
ACTIONS: dict[str, Ask] = {
    "find_unique": lambda actions, row: actions.find_unique(where=row.key),
    "find_unique by its whole key": lambda actions, row: actions.find_unique(where=_whole(row)),
    "find_unique_or_raise": lambda actions, row: actions.find_unique_or_raise(where=row.key),
    "find_first": lambda actions, row: actions.find_first(where=row.key),
    "find_first_or_raise": lambda actions, row: actions.find_first_or_raise(where=row.key),
    "find_many": lambda actions, row: actions.find_many(where=row.key),
    "find_many by OR": lambda actions, row: actions.find_many(where={"OR": [row.key, {"NOT": [{"NOT": [row.key]}]}]}),
    "find_many by cursor": lambda actions, row: actions.find_many(cursor=row.key, take=5),
    "find_many of another": lambda actions, row: actions.find_many(where={ORGANIZATION: THEIRS}),
    "count": lambda actions, row: actions.count(where=row.key),
    "count by cursor": lambda actions, row: actions.count(cursor=row.key),
    "group_by": lambda actions, row: actions.group_by([*row.key], where=row.key, count=True),
    "create": lambda actions, row: actions.create(row.data),
    "create_many": lambda actions, row: actions.create_many([row.data]),
    "create_many, skipping": lambda actions, row: actions.create_many([row.data], skip_duplicates=True),
    "create for another": lambda actions, row: actions.create({**row.data, ORGANIZATION: THEIRS}),
    "update": lambda actions, row: actions.update(where=row.key, data=row.change),
    "update_many": lambda actions, row: actions.update_many(where=row.key, data=row.change),
    "upsert": lambda actions, row: actions.upsert(where=row.key, data={"create": row.data, "update": row.change}),
    "delete": lambda actions, row: actions.delete(where=row.key),
    "delete_many": lambda actions, row: actions.delete_many(where=row.key),
}


def _whole(row: Row) -> Values:
    return {row.model.id_name: {ORGANIZATION: THEIRS} | row.key}


def _below(relation: Field, mine: Row) -> Iterator[tuple[str, Ask]]:
    """Yield what is asked below *relation* of the asker's own row: *row* is one of the relation's other side."""

    def update(data: Callable[[Row], Any]) -> Ask:
        return lambda actions, row: actions.update(where=mine.key, data={relation.name: data(row)})

    other = _other_side(relation)
    many = (lambda each: [each]) if relation.is_list else (lambda each: each)
    writes: dict[str, Callable[[Row], Any]] = {
        "connect": lambda row: {"connect": many(row.key)},
        "connect_or_create": lambda row: {"connect_or_create": many({"where": row.key, "create": row.without(other)})},
        "create": lambda row: {"create": many(row.without(other))},
    }
    if relation.is_list:
        writes |= {
            "set": lambda row: {"set": [row.key]},
            "disconnect": lambda row: {"disconnect": [row.key]},
            "delete": lambda row: {"delete": [row.key]},
            "create_many": lambda row: {"createMany": {"data": [row.without(other)]}},
            "update": lambda row: {"update": [{"where": row.key, "data": row.change}]},
            "upsert": lambda row: {"upsert": [{"where": row.key, "create": row.without(other), "update": row.change}]},
            "update_many": lambda row: {"updateMany": [{"where": row.key, "data": row.change}]},
            "delete_many": lambda row: {"deleteMany": [row.key]},
        }
    for name, data in writes.items():
        yield f"{relation.name}.{name}", update(data)
    some = "some" if relation.is_list else "is"
    yield f"where {relation.name}", lambda actions, row: actions.find_many(where={relation.name: {some: row.key}})
    if relation.is_list:
        yield (
            f"include {relation.name}",
            lambda actions, row: actions.find_unique(where=mine.key, include={relation.name: {"where": row.key}}),
        )
        yield (
            f"include {relation.name} by cursor",
            lambda actions, row: actions.find_unique(where=mine.key, include={relation.name: {"cursor": row.key}}),
        )
    else:
        yield (
            f"create with {relation.name}",
            lambda actions, row: actions.create({**mine.ghost.without(relation), relation.name: {"connect": row.key}}),
        )


def _other_side(relation: Field) -> Field | None:
    """Return the field of the other side that holds the foreign key; None where this side does."""
    if relation.relation and relation.relation.fields:
        return None
    name = relation.relation.name if relation.relation else None
    owners = [model for model in MODELS.values() if relation in model.fields.values()]
    for each in MODELS[relation.type].fields.values():
        if each.relation and each.relation.fields and each.type == owners[0].name and each.relation.name == name:
            return each
    return None


def test_every_action_is_asked() -> None:
    """A new action of the generated client fails here."""
    asked = {name.partition(" ")[0].rstrip(",") for name in ACTIONS}

    assert asked | {"query_raw", "query_first", "execute_raw"} >= _RULES.keys()


class Asker:
    """
    An organization with rows of its own that asks. It is made anew whenever asking has changed it.

    Attributes:
        mine: A row of its own of each model.
    """

    def __init__(self, shared: PrismaAgentClient, beyond: Connection) -> None:
        self._shared = shared
        self._beyond = beyond
        self._numbers = itertools.count()
        self._before: dict[str, str] = {}

    async def renew(self) -> None:
        self.organization = f"asker-{next(self._numbers)}"
        self.client = self._shared.for_organization(self.organization)
        self.names = await populate(self.client)
        self._before = await fingerprint(self._beyond, self.organization)
        self.mine = await _rows(self.client)

    async def ask(self, ask: Ask, model: str, row: Row) -> str:
        """Return what comes of it, in text."""
        try:
            outcome: object = "returned", await ask(getattr(self.client.prisma, model.lower()), row)
        except Exception as error:  # whatever it is: it is compared
            outcome = outcome_of(error)
        text = masked(row.masked(outcome), self.names, self.organization)
        if await fingerprint(self._beyond, self.organization) != self._before:
            await self.renew()
        return text


@pytest.fixture(params=["url", "admin_url"], ids=["both walls", "the client alone"])
async def asker(request: pytest.FixtureRequest, database: Database, beyond: Connection) -> AsyncIterator[Asker]:
    """Somebody who asks; behind both walls, and as the owner of the tables, behind the client's alone."""
    settings = replace(settings_for(getattr(database, request.param)), access_log=False)
    async with PrismaAgentClient(settings=settings) as shared:
        asker = Asker(shared, beyond)
        await asker.renew()
        yield asker


@dataclass
class Found:
    """
    What asking brought to light.

    Attributes:
        asked: How much was asked.
        told: What came out otherwise than for a row that nobody ever had.
        changed: What changed the other's rows, and in which tables.
    """

    asked: int = 0
    told: dict[str, tuple[str, str]] = field(default_factory=dict)
    changed: dict[str, set[str]] = field(default_factory=dict)


async def _ask_all(asker: Asker, beyond: Connection, theirs: dict[str, Row], models: Iterable[Model]) -> Found:
    """Ask all there is of *models*, once by the rows of another and once by those of nobody."""
    found = Found()
    before = await fingerprint(beyond, THEIRS)

    async def compare(label: str, model: str, row: Row, ask: Callable[[], Ask]) -> None:
        nonlocal before
        found.asked += 1
        of_theirs = await asker.ask(ask(), model, row)
        of_nobody = await asker.ask(ask(), model, row.ghost)
        if of_theirs != of_nobody:
            found.told[f"{model}: {label}"] = of_theirs, of_nobody
        after = await fingerprint(beyond, THEIRS)
        if after != before:
            found.changed[f"{model}: {label}"] = {table for table in before if after[table] != before[table]}
            before = after

    for model in models:
        for label, ask in ACTIONS.items():
            await compare(label, model.name, theirs[model.name], partial(_same, ask))
        for relation in [each for each in model.fields.values() if each.kind == "object"]:
            for label, _ in _below(relation, asker.mine[model.name]):
                below = partial(_ask_below, relation, asker, model.name, label)
                await compare(label, model.name, theirs[relation.type], below)
    return found


def _same(ask: Ask) -> Ask:
    return ask


def _ask_below(relation: Field, asker: Asker, model: str, label: str) -> Ask:
    """Return what is asked below the row that the asker has now: it may have been made anew."""
    return dict(_below(relation, asker.mine[model]))[label]


@pytest.fixture
async def theirs(database: Database, asker: Asker) -> dict[str, Row]:
    """A row of each model of another organization, whose client is gone and writes nothing more."""
    async with PrismaAgentClient(settings=settings_for(database.url)) as other:
        await populate(other.for_organization(THEIRS))
        rows = await _rows(other.for_organization(THEIRS))
    assert rows.keys() == MODELS.keys()
    return rows


async def test_what_another_has_is_as_if_it_had_never_been(
    asker: Asker, beyond: Connection, theirs: dict[str, Row]
) -> None:
    """The same result, or the same error in the same words, as for a row that nobody ever had; and none is changed."""
    found = await _ask_all(asker, beyond, theirs, MODELS.values())

    assert (found.told, found.changed) == ({}, {})
    assert found.asked > 500


@pytest.mark.parametrize("asker", ["admin_url"], indirect=True)
async def test_a_leak_would_be_found(
    asker: Asker, beyond: Connection, theirs: dict[str, Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that takes the other organization for its own, behind no second wall, is told of in both ways."""
    bind = Scope.__init__

    def bind_to_theirs(self: Scope, facts: TenancyFacts, organization_id: str) -> None:
        bind(self, facts, THEIRS)

    monkeypatch.setattr(Scope, "__init__", bind_to_theirs)
    asker.client = asker.client.for_organization(asker.organization)

    found = await _ask_all(asker, beyond, theirs, [MODELS["AgentMetric"]])

    assert {"AgentMetric: find_unique", "AgentMetric: count", "AgentMetric: delete"} <= found.told.keys()
    assert {"AgentMetric: update", "AgentMetric: delete"} & found.changed.keys()


async def test_raw_sql(shared: PrismaAgentClient, beyond: Connection, database: Database) -> None:
    """No condition, no write and no copy of a row reaches another organization's; its rows cannot be made either."""
    async with PrismaAgentClient(settings=settings_for(database.url)) as other:
        await populate(other.for_organization(THEIRS))
    client = shared.for_organization("asker")
    await populate(client)
    before = await fingerprint(beyond, THEIRS)
    for table in TABLES:
        for query in (
            f"SELECT * FROM {table} WHERE organization_id = $1",
            f"SELECT * FROM {table} WHERE organization_id <> 'asker' AND $1 <> ''",
            f"SELECT * FROM {table} AS t WHERE t::text LIKE '%' || $1 || '%'",
        ):
            assert await client.prisma.query_raw(query, THEIRS) == [], query
        for statement in (
            f"DELETE FROM {table} WHERE organization_id = $1",
            f"UPDATE {table} SET organization_id = organization_id WHERE organization_id = $1",
            f"UPDATE {table} SET organization_id = $1",
            f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object('organization_id', $1))).* "
            f"FROM {table} AS t",
        ):
            assert await _refusal(client.prisma.execute_raw(statement, THEIRS)) in ("", "RawQueryError"), statement
    assert await fingerprint(beyond, THEIRS) == before


async def test_sql_by_the_driver(shared: PrismaAgentClient, beyond: Connection, database: Database) -> None:
    """Nor do the driver's own ways: one statement, a script of several, a transaction, and COPY."""
    async with PrismaAgentClient(settings=settings_for(database.url)) as other:
        await populate(other.for_organization(THEIRS))
    driver = shared.for_organization("asker").driver
    before = await fingerprint(beyond, THEIRS)
    for table in TABLES:
        assert await driver.fetch(f"SELECT * FROM {table} WHERE organization_id = $1", (THEIRS,)) == []
        async with driver.transaction() as transaction:
            assert await transaction.fetch(f"SELECT * FROM {table} WHERE organization_id <> 'asker'") == []
        for write in (
            driver.execute(f"DELETE FROM {table} WHERE organization_id = $1", (THEIRS,)),
            driver.script(f"SELECT 1; DELETE FROM {table} WHERE organization_id = '{THEIRS}'"),
            driver.copy(table, ["organization_id"], [(THEIRS,)]),
        ):
            (outcome,) = await asyncio.gather(write, return_exceptions=True)
            # Refused by a privilege, or because COPY is for no role that a policy binds.
            assert outcome in (0, "DELETE 0") or getattr(outcome, "sqlstate", None) in ("42501", "0A000"), table
            assert MARK not in str(outcome)
    assert await fingerprint(beyond, THEIRS) == before


async def _refusal(write: Awaitable[int]) -> str:
    """Return the class of the error by which a write is refused; nothing where it wrote nothing."""
    try:
        assert await write == 0
    except PrismaError as error:  # by a privilege, the policy, or a column that the database keeps
        return "it tells" if MARK in str(error) else type(error).__name__
    return ""
