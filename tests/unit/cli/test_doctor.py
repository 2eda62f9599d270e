"""Checks whose trouble no test's server can have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdb.cli.doctor import connection
from agentdb.cli.doctor.check import Check
from agentdb.cli.doctor.facts import Clock, Server
from agentdb.cli.doctor.structure import parts_of
from agentdb.postgres.pool import Pool
from agentdb.postgres.url import parse_url

GOOD: dict[str, Any] = {
    "version": "17.2 (Debian)",
    "version_number": 170_002,
    "encoding": "UTF8",
    "is_encrypted_there": False,
    "is_replica": False,
    "is_read_only": False,
    "most_connections": 100,
    "reserved": 3,
    "sessions": 1,
    "role_limit": -1,
    "database_limit": -1,
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_timeout": "0",
    "time_zone": "UTC",
}


def _server(latency_ms: float = 1.0, clock: Clock = Clock(0, 0), **changes: object) -> Server:  # noqa: B008  # immutable
    return Server(GOOD | changes, latency_ms, clock)  # type: ignore[arg-type]  # a mapping does for a record


def _pool(url: str = "postgresql://u:p@db.example/x") -> Pool:
    return Pool(parse_url(url))


@pytest.mark.parametrize(
    ("server", "state", "says"),
    [
        (_server(), "ok", "PostgreSQL 17.2 at db.example:5432, 1.0 ms"),
        (_server(version="13.9", version_number=130_009), "failed", "PostgreSQL 14 or later"),
        (_server(encoding="SQL_ASCII"), "failed", "ENCODING 'UTF8'"),
        (_server(80.0), "warning", "near the database"),
    ],
)
def test_the_server(server: Server, state: str, says: str) -> None:
    """Too old, of another encoding, far away."""
    found = connection.reached(server, _pool())

    assert found.state == state
    assert says in found.finding + found.remedy


def test_a_busy_machine() -> None:
    """A server on this machine is not far away, however long it takes."""
    assert connection.reached(_server(80.0), _pool("postgresql://u:p@localhost/x")).state == "ok"


def test_a_replica() -> None:
    """Nothing can be stored there."""
    found = connection.writable(_server(is_replica=True))

    assert (found.state, found.remedy) == ("failed", "Let DATABASE_URL lead to the primary.")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ok"),
        ({"sessions": 90}, "warning"),  # 97 for all, 89 of them in use, and ten are asked for
        ({"role_limit": 9}, "warning"),
        ({"database_limit": 9}, "warning"),
        ({"most_connections": 12}, "warning"),
    ],
)
def test_the_pool_and_the_servers_room(changes: dict[str, Any], state: str) -> None:
    """By the least of the limits, less what others have."""
    pool = _pool()

    assert connection.pooled(_server(**changes), pool, pool.options).state == state


@pytest.mark.parametrize(("timeout", "state"), [("0", "ok"), ("30s", "ok"), ("1min", "ok"), ("999ms", "warning")])
def test_short_time_limits(timeout: str, state: str) -> None:
    """A limit of less than a second ends searches."""
    assert connection.limited(_server(statement_timeout=timeout), _pool()).state == state


@given(st.floats(-1000, 1000), st.floats(0, 10))
def test_clocks(ahead: float, uncertainty: float) -> None:
    """They differ where they do so for sure."""
    found: Check = connection.on_time(_server(clock=Clock(ahead, uncertainty)))

    assert (found.state == "warning") == (abs(ahead) - uncertainty > 1)


def test_parts_of_migrations() -> None:
    """What is made and not dropped again, in the order of the statements; a comment makes nothing."""
    scripts = [
        'CREATE TABLE a (x int, CONSTRAINT a_check CHECK (x > 0), CONSTRAINT "a_pkey" PRIMARY KEY (x));'
        "-- CREATE INDEX never ON a (x);\n"
        "CREATE INDEX one ON a (x); CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS two ON a (x);",
        "DROP INDEX one; CREATE INDEX three ON a (x); DROP INDEX three; CREATE INDEX three ON a (y);"
        "ALTER TABLE a DROP CONSTRAINT a_check; CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION f();",
    ]

    assert parts_of(scripts) == {("constraint", "a_pkey"), ("index", "two"), ("index", "three"), ("trigger", "t")}
