"""`agentdb embedded`."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from agentdb.postgres.embedded import stop_embedded
from agentdb.postgres.url import parse_url
from tests.integration.cli.conftest import Command

pytestmark = pytest.mark.postgres


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory of its own, its server stopped at the end."""
    directory = Path(tempfile.mkdtemp(prefix="agentdb-cli-"))
    yield directory
    stop_embedded(directory)
    shutil.rmtree(directory, ignore_errors=True)


def test_url_starts_a_server_that_stays(data_dir: Path, agentdb: Command) -> None:
    """It is migrated, reached at the URL that was printed, and runs until `stop`."""
    before = agentdb("embedded", AGENTDB_DATA_DIR=str(data_dir))
    url = agentdb("embedded", "url").out.strip()
    admin_url = agentdb("embedded", "url", "--admin").out.strip()
    running = json.loads(agentdb("embedded", "--json").out)
    owners = asyncio.run(_users(url, admin_url))
    stopped = agentdb("embedded", "stop")
    again = agentdb("embedded", "stop")

    assert before.out == f"stopped, data in {data_dir}\n"
    assert running == {"running": True, "data_dir": str(data_dir), "url": url}
    assert owners == ["agentdb_app", "agentdb_owner"]
    assert [(each.status, each.out) for each in (stopped, again)] == [(0, "stopped\n"), (0, "not running\n")]


async def _users(*urls: str) -> list[str]:
    found = []
    for url in urls:
        connection = await asyncpg.connect(**parse_url(url).connect_arguments())
        assert await connection.fetchval("SELECT count(*) FROM agent_memories") == 0
        found.append(await connection.fetchval("SELECT current_user::text"))
        await connection.close()
    return found
