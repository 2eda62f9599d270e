"""Every scalar and native type and its list: what is written is what is read, at the edges too."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest

pytestmark = pytest.mark.postgres

UTC_5 = timezone(timedelta(hours=5))


SCALARS: list[tuple[str, Any, Any]] = [
    ("text", "", ""),
    ("text", 'quote " back\\slash \n\t é 𝄞', 'quote " back\\slash \n\t é 𝄞'),
    ("text", "%0", "%0"),
    ("text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("flag", False, False),
    ("whole", -(2**31), -(2**31)),
    ("whole", 2**31 - 1, 2**31 - 1),
    ("big", -(2**63), -(2**63)),
    ("big", 2**63 - 1, 2**63 - 1),
    ("double", 1e308, 1e308),
    ("double", -0.1, -0.1),
    ("double", 3, 3.0),
    ("exact", Decimal("0.1"), Decimal("0.1")),
    ("exact", Decimal("12345678901234567890.123456789"), Decimal("12345678901234567890.123456789")),
    ("exact", Decimal("1E+20"), Decimal(10**20)),
    ("exact", 5, Decimal(5)),
    ("moment", datetime(2024, 2, 29, 12, 30, 15, 250_000, UTC), datetime(2024, 2, 29, 12, 30, 15, 250_000, UTC)),
    ("moment", datetime(2024, 2, 29, 12, 30, 15, 250_999), datetime(2024, 2, 29, 12, 30, 15, 250_000, UTC)),
    ("moment", datetime(2024, 2, 29, 2, tzinfo=UTC_5), datetime(2024, 2, 28, 21, tzinfo=UTC)),
    ("moment", datetime(1900, 1, 1, 0, 0, 0, 1_000), datetime(1900, 1, 1, 0, 0, 0, 1_000, UTC)),
    ("moment", datetime(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),
    ("moment", datetime(9999, 12, 31, 23, 59, 59), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("role", "ADMIN", "ADMIN"),
    ("char", "ab", "ab  "),
    ("varchar", "0123456789", "0123456789"),
    ("uuid", "0B9EF3A8-6B8B-7C9E-8F00-5F1F7CFB8D01", "0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01"),
    ("inet", "10.0.0.1", "10.0.0.1"),
    ("inet", "10.0.0.0/8", "10.0.0.0/8"),
    ("inet", "::1", "::1"),
    ("citext", "Word", "Word"),
    ("bit", "1010", "1010"),
    ("varbit", "", ""),
    ("varbit", "10101", "10101"),
    ("smallint", -(2**15), -(2**15)),
    ("oid", 2**31 - 1, 2**31 - 1),
    ("real", 1.1, 1.1),
    ("real", 16777216.0, 16777216.0),
    ("real", 0.100000024, 0.100000024),
    ("numeric", Decimal("1.5"), Decimal("1.5")),
    ("numeric", Decimal("1.23456"), Decimal("1.235")),
    ("money", Decimal("-1234.5"), Decimal("-1234.5")),
    ("timestamp", datetime(2024, 2, 29, 12, tzinfo=UTC_5), datetime(2024, 2, 29, 7, tzinfo=UTC)),
    ("timestamptz", datetime(2024, 2, 29, 12, tzinfo=UTC_5), datetime(2024, 2, 29, 7, tzinfo=UTC)),
    ("date", datetime(2024, 2, 29, 23, 59), datetime(2024, 2, 29, tzinfo=UTC)),
    ("date", datetime(1969, 12, 31, 1), datetime(1969, 12, 31, tzinfo=UTC)),
    ("date", datetime(9999, 12, 31), datetime(9999, 12, 31, tzinfo=UTC)),
    ("date", datetime(1, 1, 1), datetime(1, 1, 1, tzinfo=UTC)),
    ("time", datetime(2024, 2, 29, 23, 59, 1), datetime(1970, 1, 1, 23, 59, 1, tzinfo=UTC)),
    ("timetz", datetime(2024, 2, 29, 23, 59, 1), datetime(1970, 1, 1, 23, 59, 1, tzinfo=UTC)),
]
"""Field, what is written, what is read."""


@pytest.mark.parametrize(("field", "value", "read"), SCALARS)
async def test_scalars(db: Any, field: str, value: Any, read: Any) -> None:
    """A value is read as it was written, in the form of its type, and finds its record."""
    created = await db.types.create({field: value})
    assert (getattr(created, field), type(getattr(created, field))) == (read, type(read))
    updated = await db.types.update(where={"id": created.id}, data={field: None})
    assert getattr(updated, field) is None
    await db.types.update(where={"id": created.id}, data={field: value})
    found = await db.types.find_first(where={field: read})
    assert getattr(found, field) == read


@pytest.mark.parametrize("field", ["document", "plain_json"])
@pytest.mark.parametrize(
    "document", [{}, [], {"a": [1, 2.5, None, {"b": "é\n\u0001"}]}, "text", "", 5, True, None, "null", '{"a": 1}']
)
async def test_json(db: Any, client_package: ModuleType, field: str, document: Any) -> None:
    """Any JSON document comes back as the same Python value, text that looks like JSON included."""
    row = await db.types.create({field: client_package.Json(document)})
    assert getattr(row, field) == document


@pytest.mark.parametrize("data", [b"", b"\x00\xff", bytes(range(256)) * 100])
async def test_bytes(db: Any, client_package: ModuleType, data: bytes) -> None:
    """Any bytes come back as they were."""
    row = await db.types.create({"blob": client_package.Base64.encode(data)})
    assert row.blob.decode() == data


LISTS: list[tuple[str, list[Any]]] = [
    ("texts", ["", "a", 'b"\\', "NULL", "{x}"]),
    ("flags", [True, False]),
    ("wholes", [-(2**31), 0, 2**31 - 1]),
    ("bigs", [-(2**63), 2**63 - 1]),
    ("doubles", [0.1, -1e300]),
    ("exacts", [Decimal("0.1"), Decimal(-5)]),
    ("moments", [datetime(2024, 2, 29, 12, 30, 15, 250_000, UTC), datetime(1900, 1, 1, tzinfo=UTC)]),
    ("roles", ["ADMIN", "GUEST"]),
    ("uuids", ["0b9ef3a8-6b8b-7c9e-8f00-5f1f7cfb8d01"]),
    ("citexts", ["Word", "", "word"]),
    ("inets", ["10.0.0.1", "::1", "10.0.0.0/8"]),
    ("bits", ["1010", "0000"]),
    ("smallints", [-(2**15), 2**15 - 1]),
    ("reals", [1.1, -2.5]),
    ("dates", [datetime(2024, 2, 29, tzinfo=UTC)]),
    ("times", [datetime(1970, 1, 1, 12, 30, tzinfo=UTC)]),
    ("instants", [datetime(2024, 2, 29, 12, tzinfo=UTC)]),
]
"""Field, items."""


@pytest.mark.parametrize(("field", "values"), LISTS)
async def test_lists(db: Any, field: str, values: list[Any]) -> None:
    """A list is read as it was written; an empty one and one that never was are both empty."""
    row = await db.lists.create({field: values})
    assert getattr(row, field) == values
    assert getattr(await db.lists.update(where={"id": 1}, data={field: {"set": values[:1]}}), field) == values[:1]
    assert getattr(await db.lists.update(where={"id": 1}, data={field: {"push": values}}), field) == values[:1] + values
    assert getattr(await db.lists.find_first(where={field: {"has": values[0]}}), field) == values[:1] + values
    assert getattr(await db.lists.update(where={"id": 1}, data={field: []}), field) == []
    assert getattr(await db.lists.create({}), field) == []


async def test_lists_of_json_and_bytes(db: Any, client_package: ModuleType) -> None:
    """Documents and bytes come in lists too."""
    json, encode = client_package.Json, client_package.Base64.encode
    row = await db.lists.create(
        {"documents": [json({"a": 1}), json("x"), json(None)], "blobs": [encode(b"a"), encode(b"")]}
    )
    assert row.documents == [{"a": 1}, "x", None]
    assert [blob.decode() for blob in row.blobs] == [b"a", b""]
    assert await db.lists.count(where={"documents": {"equals": [json({"a": 1}), json("x"), json(None)]}}) == 1
    assert await db.lists.count(where={"blobs": {"has": encode(b"a")}}) == 1


async def test_microseconds_written_by_others(db: Any, raw: Any) -> None:
    """A moment is read in milliseconds, all that Prisma has, even if the column holds more."""
    await raw.execute('INSERT INTO "Types" (timestamptz, timestamp) VALUES ($1, $2)', *[
        datetime(2024, 1, 1, 0, 0, 0, 123_456, tzinfo) for tzinfo in (UTC, None)
    ])  # fmt: skip
    row = await db.types.find_first()
    assert row.timestamptz == row.timestamp == datetime(2024, 1, 1, 0, 0, 0, 123_000, UTC)


async def test_numbers_that_are_none(db: Any, raw: Any) -> None:
    """What only others can write is still read: NaN and infinity."""
    await raw.execute("""INSERT INTO "Types" (double, "real") VALUES ('NaN', 'Infinity')""")
    row = await db.types.find_first()
    assert math.isnan(row.double)
    assert row.real == math.inf


async def test_infinite_moments(db: Any, raw: Any) -> None:
    """A moment without end is the last one there is."""
    await raw.execute("INSERT INTO \"Types\" (timestamptz, timestamp) VALUES ('infinity', '-infinity')")
    row = await db.types.find_first()
    assert (row.timestamptz.year, row.timestamp.year) == (9999, 1)
    assert row.timestamptz.tzinfo is row.timestamp.tzinfo is UTC


async def test_moments_as_keys(db: Any) -> None:
    """A record is found by a moment that is its key, given in any zone."""
    await db.moment.create({"at": datetime(2024, 1, 1, 12), "label": "noon"})
    found = await db.moment.find_unique({"at": datetime(2024, 1, 1, 17, tzinfo=UTC_5)})
    assert found.label == "noon"
    page = await db.moment.find_many(cursor={"at": datetime(2024, 1, 1, 12, tzinfo=UTC)}, order={"at": "asc"})
    assert [moment.label for moment in page] == ["noon"]
