"""Filters on metadata in PostgreSQL: the same rows as a plain evaluator selects, with and without an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from agentdb.client.memory.filters import filter_path
from agentdb.postgres.url import parse_url
from agentdb.validation import json_text
from tests.conftest import Database

pytestmark = pytest.mark.postgres

FILTERS = 10_000
BATCH = 1000

# ----------------------------------------------------------------------------------------------------- what is expected


def json_type(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "text", list: "array", dict: "object"}
    return "null" if value is None else names[type(value)]


def decimal(number: float) -> Decimal:
    """Return the number that JSON would say."""
    return Decimal(repr(number))


def same(one: Any, other: Any) -> bool:
    if json_type(one) != json_type(other):
        return False
    if json_type(one) == "number":
        return decimal(one) == decimal(other)
    if json_type(one) == "array":
        return len(one) == len(other) and all(map(same, one, other))
    if json_type(one) == "object":
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def order(one: Any, other: Any) -> int | None:
    """Return -1, 0 or 1; None for what has no order."""
    if json_type(one) != json_type(other) or json_type(one) not in ("number", "text", "bool"):
        return None
    if json_type(one) == "number":
        one, other = decimal(one), decimal(other)
    return 0 if one == other else 1 if one > other else -1


def contains(value: Any, operand: Any) -> bool:
    if isinstance(value, list):
        return any(same(item, operand) for item in value)
    return isinstance(value, str) and isinstance(operand, str) and operand in value


def holds(operator: str, value: Any, operand: Any) -> bool:
    """Whether it holds of the value of a key that is there."""
    match operator:
        case "eq":
            return same(value, operand)
        case "ne":
            return json_type(value) == json_type(operand) and not same(value, operand)
        case "gt":
            return order(value, operand) == 1
        case "gte":
            return order(value, operand) in (0, 1)
        case "lt":
            return order(value, operand) == -1
        case "lte":
            return order(value, operand) in (0, -1)
        case "in":
            return any(same(value, item) for item in operand)
        case "nin":
            of_a_type = not operand or json_type(value) in [json_type(item) for item in operand]
            return of_a_type and not any(same(value, item) for item in operand)
        case "contains":
            return contains(value, operand)
    raise AssertionError(operator)


def matches(where: dict[str, Any], metadata: dict[str, Any]) -> bool:
    return all(condition_holds(key, value, metadata) for key, value in where.items())


def condition_holds(key: str, value: Any, metadata: dict[str, Any]) -> bool:
    if key in ("AND", "OR", "NOT"):
        each = [matches(where, metadata) for where in (value if isinstance(value, list) else [value])]
        return {"AND": all(each), "OR": any(each), "NOT": not any(each)}[key]
    for operator, operand in (value if isinstance(value, dict) else {"eq": value}).items():
        if operator == "exists":
            if (key in metadata) != operand:
                return False
        elif key not in metadata or not holds(operator, metadata[key], operand):
            return False
    return True


# ------------------------------------------------------------------------------------------------------- what is tried

KEYS = ["k", "j", "a.b", "$", "", "@", '"', "\\", "and", "$.k", 'k"] || 1 == 1', "ключ", "😀", "\n\x01"]
NUMBERS: list[Any] = [
    0, 1, 1.0, -1, -0.0, 0.1, 0.3, 0.1 + 0.2, 1.5, 2, 3, 1e-5, 5e-324, -5e-324, 2.2250738585072014e-308,
    2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, float(2**53), float(2**53 - 1), float(2**53 + 2), -(2**53) - 1,
    2**63, 10**16, 1e16, 10**23, 1e23, int(1e23), 1e300, 10**300, 10**300 + 1, -1e300, 1.7976931348623157e308, 10**999,
]  # fmt: skip
TEXTS: list[Any] = [
    "", "1", "a", "A", "b", "ab", "abc", "ba", "AND", "null", "true", "array", "number", "eq", '"', "'", "\\", "\\\\",
    '\\"', "a.b", ".", "$", "@", "%", ".*", "***=a", "(?i)A", "[a]", "a|b", "^a", "é", "e\u0301", "😀", "a😀b",
    "\uffff", "\U00010000", "\n", "a\nb", "\u2028", "\x01", "\x7f", "\x85", "\ufeff", " ", "a ", '" || 1 == 1 || "',
    'x" flag "i', "\\u0061", "${a}", "x" * 1000, "ж" * 999 + "a",
]  # fmt: skip
STRUCTURES: list[Any] = [
    [], [1], [1.0], [True], ["1"], [None], [[]], [[1]], [{}], [{"a": 1}], [1, 2], [2, 1], [1, 2, 3], ["a", "b"], ["ab"],
    ["a", ["a"]], [0, False, None, "", [], {}], ["😀", '"'], [2**53, 2**53 + 1], [[[[1]]]],
    {}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": None}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": {"b": [1]}}, {"": 1},
    {"a": []}, {"a": {}}, {"a": [{}]}, {"a": {"a": {"a": []}}}, {"key": 1}, {"value": 1}, {"eq": 1}, {"a.b": 1},
    {"$": "$"},
    {'"': "\\"}, {"a": 1, "b": {"a": 1, "b": None}}, {"b": 1}, {"a": 2**53 + 1},
]  # fmt: skip
ORDERED = ["gt", "gte", "lt", "lte"]
OPERATORS = ["eq", "eq", "ne", "ne", "in", "nin", "exists", "contains", "contains", *ORDERED]


class Maker:
    """Makes values, documents and filters, the same ones in every run."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        # Most are taken of a few, so that what is made matches often.
        self.few = [0, 1, 1.0, True, False, None, "", "1", "a", "ab", [], [1], ["a"], {}, {"a": 1}, 2**53 + 1]

    def key(self) -> str:
        return self.random.choice(KEYS[:2] if self.random.random() < 0.8 else KEYS)

    def value(self, levels: int = 2) -> Any:
        choice = self.random.random()
        if choice < 0.6:
            return self.random.choice(self.few)
        if levels and choice < 0.65:
            return [self.value(levels - 1) for _ in range(self.random.randrange(4))]
        if levels and choice < 0.7:
            return {self.key(): self.value(levels - 1) for _ in range(self.random.randrange(3))}
        return self.random.choice(self.random.choice([NUMBERS, TEXTS, STRUCTURES]))

    def document(self) -> dict[str, Any]:
        return {self.key(): self.value() for _ in range(self.random.randrange(6))}

    def operand(self, operator: str) -> Any:
        match operator:
            case "in" | "nin":
                return [self.value() for _ in range(self.random.choice([0, 1, 2, 3, 8]))]
            case "exists":
                return self.random.random() < 0.5
            case "gt" | "gte" | "lt" | "lte":
                return self.random.choice([*self.random.choice([NUMBERS, TEXTS]), 1, "a", True, False])
        return self.value()

    def conditions(self, levels: int = 4) -> dict[str, Any]:
        return dict(self.condition(levels) for _ in range(self.random.choice([0, 1, 1, 1, 1, 1, 1, 1, 2, 3])))

    def condition(self, levels: int) -> tuple[str, Any]:
        if levels and self.random.random() < 0.4:
            parts = [self.conditions(levels - 1) for _ in range(self.random.choice([0, 1, 1, 2, 2, 3]))]
            return self.random.choice(["AND", "OR", "NOT"]), parts[0] if len(parts) == 1 else parts
        value = self.value()
        if self.random.random() < 0.25 and not isinstance(value, dict):
            return self.key(), value
        operators = self.random.sample(OPERATORS, self.random.choice([1, 1, 1, 1, 2]))
        return self.key(), {operator: self.operand(operator) for operator in operators}


def documents(maker: Maker) -> list[dict[str, Any]]:
    """Return each value under one key, and what *maker* makes."""
    return [{"k": value} for value in NUMBERS + TEXTS + STRUCTURES] + [maker.document() for _ in range(80)]


# ---------------------------------------------------------------------------------------------------------------- tests


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection with the table `docs`, empty."""
    connection = await asyncpg.connect(**parse_url(database.superuser_url).connect_arguments())
    await connection.execute("CREATE TEMP TABLE docs (id int PRIMARY KEY, metadata jsonb NOT NULL)")
    yield connection
    await connection.close()


async def store(connection: asyncpg.Connection, documents: list[dict[str, Any]]) -> None:
    """Store *documents* with an index, which the planner takes whenever it can."""
    rows = [(number, json_text(document)) for number, document in enumerate(documents)]
    await connection.executemany("INSERT INTO docs VALUES ($1, $2)", rows)
    await connection.execute("CREATE INDEX docs_metadata ON docs USING gin (metadata jsonb_path_ops)")
    await connection.execute("ANALYZE docs")
    await connection.execute("SET enable_seqscan = off")


MATCHES = """
    WITH filter AS MATERIALIZED (
        SELECT number, path::jsonpath FROM unnest($1::text[]) WITH ORDINALITY AS given (path, number)
    )
    SELECT filter.number::int - 1 AS filter, docs.id FROM filter JOIN docs ON docs.metadata @@ filter.path
"""


async def found(connection: asyncpg.Connection, filters: list[dict[str, Any]]) -> list[set[int]]:
    """Return for each of *filters* the ids that it selects."""
    selected: list[set[int]] = [set() for _ in filters]
    for row in await connection.fetch(MATCHES, [filter_path(where) or "1 == 1" for where in filters]):
        selected[row["filter"]].add(row["id"])
    return selected


async def check(
    connection: asyncpg.Connection, filters: list[dict[str, Any]], documents: list[dict[str, Any]]
) -> list[set[int]]:
    """Check what *filters* select against the evaluator, the shortest wrong one first; return it."""
    actual = await found(connection, filters)
    expected = [{number for number, doc in enumerate(documents) if matches(where, doc)} for where in filters]
    wrong = [(where, got ^ want) for where, got, want in zip(filters, actual, expected, strict=True) if got != want]
    if wrong:
        where, numbers = min(wrong, key=lambda case: len(repr(case[0])))
        pytest.fail(f"{len(wrong)} wrong; {where} as {filter_path(where)}: {[documents[n] for n in numbers][:5]}")
    return expected


async def plan(connection: asyncpg.Connection, query: str, *arguments: Any) -> str:
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS off) {query}", *arguments))


async def test_filters_select_what_a_plain_evaluator_selects(connection: asyncpg.Connection) -> None:
    """Thousands of random ones, of which many select some documents and not others; with an index and without."""
    maker = Maker(1)
    stored = documents(maker)
    await store(connection, stored)
    filters = [maker.conditions() for _ in range(FILTERS)]

    decisive = 0
    for start in range(0, FILTERS, BATCH):
        batch = filters[start : start + BATCH]
        expected = await check(connection, batch, stored)
        decisive += sum(0 < len(numbers) < len(stored) for numbers in expected)
        async with connection.transaction():
            await connection.execute("SET LOCAL enable_bitmapscan = off")
            assert await found(connection, batch) == expected
    assert decisive > FILTERS * 0.4
    assert "Bitmap Index Scan on docs_metadata" in await plan(connection, MATCHES, [""])


@pytest.mark.parametrize("operator", ["eq", "ne", "contains", "in", "nin", *ORDERED])
async def test_every_value_against_every_value(connection: asyncpg.Connection, operator: str) -> None:
    """Each operator, and its negation."""
    maker = Maker(2)
    stored = documents(maker)
    await store(connection, stored)
    values: list[Any] = [None, True, False, *NUMBERS, *TEXTS, *STRUCTURES]
    if operator in ORDERED:
        values = [True, False, *NUMBERS, *TEXTS]
    operands = [[value] for value in values] if operator in ("in", "nin") else values

    await check(connection, [{"k": {operator: operand}} for operand in operands], stored)
    await check(connection, [{"NOT": {"k": {operator: operand}}} for operand in operands], stored)


async def test_every_character_stays_itself(connection: asyncpg.Connection) -> None:
    """As a key, as a text, inside of a structure and as a substring."""
    characters = [
        chr(point) for point in (*range(1, 0x180), 0x2028, 0x2029, 0xFEFF, 0xFFFF, 0x10000, 0x1F600, 0x10FFFF)
    ]
    stored = [{f"a{character}b": f"{character}c", "k": {character: [character]}} for character in characters]
    await store(connection, stored)

    for filters in (
        [{f"a{character}b": f"{character}c"} for character in characters],
        [{f"a{character}b": {"contains": character}} for character in characters],
        [{"k": {"eq": {character: [character]}}} for character in characters],
    ):
        assert await found(connection, filters) == [{number} for number in range(len(characters))]


async def test_the_largest_filters_there_may_be(connection: asyncpg.Connection) -> None:
    """PostgreSQL takes whatever is within the limits."""
    stored: list[dict[str, Any]] = [{"k": 999, "j": list(range(999))}, {}, {"k": "ж" * 99_999}]
    await store(connection, stored)
    nested: dict[str, Any] = {"OR": [{"k": number} for number in range(999)]}
    brackets: list[Any] = []
    for _ in range(31):
        nested = {"NOT": [nested]}
        brackets = [brackets]
    distinct = "".join(map(chr, range(0x4E00, 0x4E00 + 1000)))
    filters: list[dict[str, Any]] = [
        nested,
        {"OR": [{"k": number} for number in range(1000)]},
        {"AND": [{"NOT": {"k": {"ne": number}}} for number in range(1000)]},
        {"k": {"in": list(range(1000))}},
        {"k": {"nin": list(range(1000, 2000))}},
        {"j": list(range(999))},
        {"j": {"ne": {str(number): number for number in range(999)}}},
        {"k": {"in": brackets}},
        {"k": {"lt": 10**1000 - 1, "gt": -(10**1000) + 1}},
        {"k": "ж" * 99_999},
        {"j" * 99_999: {"exists": False}},
        {"k": {"contains": distinct}},
        {"AND": [{"NOT": {"k": {"contains": distinct[number:]}}} for number in range(50)]},
    ]
    await check(connection, filters, stored)


async def test_a_path_is_a_parameter(connection: asyncpg.Connection) -> None:
    """The driver sends it as it is: one statement serves every filter."""
    await store(connection, [{"k": "a"}, {"k": '"'}])
    statement = await connection.prepare("SELECT id FROM docs WHERE metadata @@ $1::jsonpath")

    assert await statement.fetchval(filter_path({"k": "a"})) == 0
    assert await statement.fetchval(filter_path({"k": '"'})) == 1


@pytest.mark.parametrize(
    "where",
    [
        {"category": "insight"},
        {"category": "insight", "confidence": {"gte": 0.8}},
        {"category": {"in": ["insight", "advice"]}},
        {"AND": [{"OR": [{"category": "insight"}, {"number": 7}]}, {"NOT": {"number": 8}}]},
        {"tags": ["a", {"number": 7}]},
        {"tags": {"contains": 7}},
        {"number": {"eq": 7.0, "exists": True}},
    ],
)
async def test_an_equality_is_found_by_the_index(connection: asyncpg.Connection, where: dict[str, Any]) -> None:
    """Which hands over a few rows of 2,000; of conditions that it cannot serve it would hand over all."""
    stored: list[dict[str, Any]] = [
        {
            "category": "insight" if number % 100 == 0 else "fact",
            "confidence": number % 10 / 10,
            "number": number,
            "tags": ["a", {"number": number}, number],
        }
        for number in range(2000)
    ]
    await store(connection, stored)

    query = "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM docs WHERE metadata @@ $1::jsonpath"
    scan = json.loads(await connection.fetchval(query, filter_path(where)))[0]["Plan"]["Plans"][0]

    assert (scan["Node Type"], scan["Index Name"]) == ("Bitmap Index Scan", "docs_metadata")
    assert scan["Actual Rows"] <= 21
    await check(connection, [where], stored)
