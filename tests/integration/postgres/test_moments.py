"""Timestamps without time zone: UTC here, wherever the process runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from agentdb.postgres.pool import Pool

NOON = datetime(2024, 7, 1, 12)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is in another time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("value", [NOON, NOON.replace(tzinfo=UTC)])
async def test_as_arguments(pool: Pool, value: datetime) -> None:
    """A naive datetime is the moment that it names in UTC, alone and in an array."""
    driver = pool.driver()
    for _ in range(2):
        rows = await driver.fetch("SELECT $1::timestamp AS a, $2::timestamp[] AS b", [value, [value, None]])
        assert [list(row) for row in rows] == [[NOON.replace(tzinfo=UTC), [NOON.replace(tzinfo=UTC), None]]]
    assert await driver.fetch("SELECT $1::timestamp::text", [value]) == [("2024-07-01 12:00:00",)]


@pytest.mark.usefixtures("elsewhere")
async def test_days(pool: Pool) -> None:
    """A day is its midnight."""
    assert await pool.driver().fetch("SELECT $1::timestamp::text", [date(2024, 7, 1)]) == [("2024-07-01 00:00:00",)]


@pytest.mark.usefixtures("elsewhere")
async def test_copied(pool: Pool) -> None:
    """COPY takes them in the same way, the first time and later."""
    driver = pool.driver()
    await driver.script("CREATE TABLE moments (n int, at timestamp)")
    for number in range(2):
        assert await driver.copy("moments", ("n", "at"), [(number, NOON), (number, NOON.replace(tzinfo=UTC))]) == 2
    rows = await driver.fetch("SELECT at::text FROM moments")
    assert {row[0] for row in rows} == {"2024-07-01 12:00:00"}
