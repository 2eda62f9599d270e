"""`create_many`: one plan per shape of row, one statement for all rows, and the rows that `create` would have made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from agentdb.engine import bulk
from agentdb.engine.wasm import QueryCompiler
from tests.integration.engine.test_types import LISTS, SCALARS

pytestmark = pytest.mark.postgres


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests that the compiler has planned from now on."""
    requests: list[Any] = []
    original = QueryCompiler.compile

    def compile(self: QueryCompiler, request: Any) -> Any:
        requests.append(request)
        return original(self, request)

    monkeypatch.setattr(QueryCompiler, "compile", compile)
    return requests


async def test_rows_of_different_fields(db: Any) -> None:
    """Rows may have different fields; each that is missing gets its default, and the order is that of the call."""
    assert await db.user.create_many([{"email": "a", "name": "A"}, {"email": "b", "visits": 2}, {"email": "c"}]) == 3
    users = await db.user.find_many(order={"id": "asc"})
    assert [(user.id, user.email, user.name, user.visits) for user in users] == [
        (1, "a", "A", 0),
        (2, "b", None, 2),
        (3, "c", None, 0),
    ]
    assert users[0].created_at == users[2].created_at


async def test_no_rows(db: Any) -> None:
    """No rows are no error."""
    assert await db.user.create_many([]) == 0


async def test_one_row(db: Any) -> None:
    """Nor is one."""
    assert await db.user.create_many([{"email": "a"}]) == 1


async def test_skip_duplicates(db: Any, client_package: ModuleType) -> None:
    """Rows that are there already are skipped if that is said, and refuse all rows if not."""
    await db.user.create({"email": "b"})
    with pytest.raises(client_package.errors.UniqueViolationError):
        await db.user.create_many([{"email": "a"}, {"email": "b"}])
    assert await db.user.count() == 1
    assert await db.user.create_many([{"email": "a"}, {"email": "b"}, {"email": "a"}], skip_duplicates=True) == 1


@pytest.mark.parametrize(("field", "value", "read"), SCALARS)
async def test_scalars(db: Any, field: str, value: Any, read: Any) -> None:
    """Every type, in all rows and in some."""
    rows = [{field: value}, {field: value}, {field: None}, {}]
    for data in (rows[:2], rows[:3], rows):
        assert await db.types.create_many(data) == len(data)
    found = [getattr(row, field) for row in await db.types.find_many(order={"id": "asc"})]
    assert found == [read] * 4 + [None] + [read] * 2 + [None] * 2


@pytest.mark.parametrize(("field", "values"), LISTS)
async def test_lists(db: Any, field: str, values: list[Any]) -> None:
    """Every type's list, in all rows and in some, of different lengths, in both of its forms."""
    rows = [{field: values}, {field: []}, {field: {"set": values[:1]}}, {}]
    for data in (rows[:2], rows):
        assert await db.lists.create_many(data) == len(data)
    found = [getattr(row, field) for row in await db.lists.find_many(order={"id": "asc"})]
    assert found == [values, [], values, [], values[:1], []]


async def test_documents_and_bytes(db: Any, client_package: ModuleType) -> None:
    """Documents, bytes and lists of them."""
    json, encode = client_package.Json, client_package.Base64.encode
    rows = [
        {"documents": [json({"a": [1, '"']}), json(None)], "blobs": [encode(b"\x00\\"), encode(b"")]},
        {"documents": [], "blobs": [encode(b"x")]},
    ]
    assert await db.lists.create_many(rows) == 2
    first, second = await db.lists.find_many(order={"id": "asc"})
    assert (first.documents, second.documents) == ([{"a": [1, '"']}, None], [])
    assert [[blob.decode() for blob in row.blobs] for row in (first, second)] == [[b"\x00\\", b""], [b"x"]]
    given: list[Any] = [{"a": 1}, [], "s", None]
    documents = [{"document": json(value), "blob": encode(b"x")} for value in given]
    assert await db.types.create_many([*documents, {"document": None, "blob": None}]) == 5
    read = await db.types.find_many(order={"id": "asc"})
    assert [row.document for row in read] == [{"a": 1}, [], "s", None, None]
    assert [row.blob and row.blob.decode() for row in read] == [b"x"] * 4 + [None]


async def test_defaults(db: Any) -> None:
    """Every default, whoever computes it: for each row, where each row has its own."""
    await db.defaults.create({})
    await db.defaults.create_many([{"note": "a"}, {"note": "b"}])
    await db.defaults.create_many(
        [{"note": "c", "texts": ["z"], "exact": Decimal("0.5")}, {"note": "d", "role": "GUEST"}]
    )
    one, *rows = await db.defaults.find_many(order={"number": "asc"})
    for name in ("cuid", "uuid", "uuid_native", "nanoid", "nanoid_8"):
        assert len({getattr(row, name) for row in rows}) == 4
    own = {"texts", "exact", "role", "number", "cuid", "uuid", "uuid_native", "nanoid", "nanoid_8", "now", "updated"}
    for row in rows:
        assert row.model_dump(exclude=own | {"note"}) == one.model_dump(exclude=own | {"note"})
    assert [row.texts for row in rows] == [["x", "y"]] * 2 + [["z"], ["x", "y"]]
    assert [(row.number, row.note) for row in rows] == [(2, "a"), (3, "b"), (4, "c"), (5, "d")]


async def test_a_default_of_the_server_in_some_rows(db: Any) -> None:
    """Where only some rows have a value for what the server numbers, the others still get their number."""
    assert await db.category.create_many([{"id": 7, "name": "a"}, {"name": "b"}]) == 2
    assert [(row.id, row.name) for row in await db.category.find_many(order={"name": "asc"})] == [(7, "a"), (1, "b")]


async def test_one_plan_and_one_statement(db: Any, compiled: list[bytes], statements: list[str]) -> None:
    """However many rows there are, whatever their values: one plan, one text of SQL."""
    for count in (2, 3, 50):
        await db.types.create_many(
            [{"text": f"t{n}", "role": ["ADMIN", "GUEST"][n % 2], "whole": n, "flag": None} for n in range(count)]
        )
    assert len(compiled) == 1
    assert (len(statements), len(set(statements))) == (3, 1)


async def test_a_plan_for_each_set_of_fields(db: Any, compiled: list[bytes], statements: list[str]) -> None:
    """Rows of different fields are one statement still."""
    rows = [[{"char": "a", "oid": 1}, {"char": "b", "real": 1.5}, {"oid": 2, "real": 0.5}][n % 3] for n in range(60)]
    for _ in range(2):
        await db.types.create_many(rows)
    assert (len(compiled), len(set(statements))) == (3, 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"email": "x", "visits": "many"},
        {"email": "x", "visits": 2**31},
        {"email": "x", "role": "KING"},
        {"email": "x", "tags": "t"},
        {"email": "x", "tags": None},
        {"email": None},
        {"name": "no email"},
        {"email": "x", "unknown": 1},
        {"email": "x", "posts": {"create": {"title": "t"}}},
        5,
    ],
)
async def test_a_bad_row_among_many(db: Any, client_package: ModuleType, bad: Any) -> None:
    """It is refused as it would be alone, in no time, and nothing is written."""
    rows = [{"email": f"e{number}"} for number in range(3000)]
    rows.insert(2000, bad)
    started = time.monotonic()
    with pytest.raises(client_package.errors.PrismaError):
        await db.user.create_many(rows)
    assert time.monotonic() - started < 2
    assert await db.user.count() == 0


async def test_more_rows_than_a_statement_takes(
    db: Any, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    """More rows than go into one statement are several, all or none."""
    monkeypatch.setattr(bulk, "MAX_ROWS", 100)
    assert await db.reaction.create_many([{"kind": f"k{number}"} for number in range(250)]) == 250
    assert len([sql for sql in statements if sql.startswith("INSERT")]) == 3
    with pytest.raises(Exception, match="Unique constraint"):
        await db.category.create_many([{"name": f"n{number}"} for number in [*range(249), 0]])
    assert await db.category.count() == 0


async def test_in_a_batch_and_a_transaction(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the fate of what surrounds them."""
    monkeypatch.setattr(bulk, "MAX_ROWS", 2)
    rows: Iterator[Any] = ({"name": f"n{number}"} for number in range(100))
    with pytest.raises(Exception, match="Unique constraint"):
        async with db.batch_() as batch:
            batch.category.create_many([next(rows) for _ in range(5)])
            batch.category.create_many([{"name": "n0"}, {"name": "n9"}])
    with pytest.raises(ZeroDivisionError):
        async with db.tx() as tx:
            assert await tx.category.create_many([next(rows) for _ in range(5)]) == 5
            raise ZeroDivisionError
    assert await db.category.count() == 0
