"""Nothing leaves the machine: a program that uses everything, with every socket but PostgreSQL's refused."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import Database

pytestmark = pytest.mark.postgres

PROGRAM: Final = Path(__file__).with_name("main_path.py")
# What makes and runs the embedded server; useradd where everything is root, since PostgreSQL refuses to be.
PROGRAMS: Final = {"initdb", "pg_ctl", "psql", "useradd", "ps", "setfacl", "getfacl", "ldconfig", "uname"}


def _without_network() -> list[str] | None:
    """Return what runs a command in a network namespace of its own, where there is no network; None: nothing does."""
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
        ):
            return command
    return None


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def _server(database: Database) -> dict[str, str]:
    return {
        "DATABASE_URL": database.url,
        "AGENTDB_MIGRATION_URL": database.admin_url,
        "ORGANIZATION_ID": "acme",
    }


def _run(port: int, folder: Path, prefix: list[str], **variables: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PROBE_PORT": str(port),
        "AGENTDB_ENCRYPTION_KEYS": f"k:{base64.b64encode(bytes(32)).decode()}",
        "AGENTDB_ACCESS_LOG": "1",
        "AGENTDB_DATA_DIR": str(folder / "data"),
        **variables,
    }
    done = subprocess.run(
        [*prefix, sys.executable, "-W", "error", str(PROGRAM)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stderr.strip().splitlines()[-1])
    return said


@pytest.mark.parametrize("where", ["embedded", "server"])
def test_no_socket_but_postgres_is_opened(where: str, port: int, database: Database, tmp_path: Path) -> None:
    """Nor a name looked up, nor a program started but those of the embedded server."""
    variables = {} if where == "embedded" else _server(database)
    said = _run(port, tmp_path, [], **variables)

    assert said["refused"] == []
    assert set(said["started"]) <= (PROGRAMS if where == "embedded" else set())
    assert said["network"]  # the program looks at something


@pytest.mark.parametrize("where", ["embedded", "server"])
def test_all_works_where_there_is_no_network(where: str, port: int, database: Database, tmp_path: Path) -> None:
    """In a network namespace of its own, which holds for libraries that are no Python, too."""
    prefix = _without_network()
    if prefix is None:
        pytest.skip("unshare --net is not allowed here")
    variables = {} if where == "embedded" else _server(database)
    said = _run(port, tmp_path, prefix, **variables)

    assert said["refused"] == []
    assert not said["network"]
