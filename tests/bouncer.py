"""A real PgBouncer in front of the tests' server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agentdb.postgres.account import server_account
from agentdb.postgres.embedded import APPLICATION_ROLE, OWNER_ROLE, EmbeddedServer
from agentdb.postgres.url import parse_url
from tests.debian import Program

__all__ = ["Bouncer", "running_bouncer"]

_PORT = 6432
_CONFIGURATION = """
[databases]
* = host={server}
[pgbouncer]
unix_socket_dir = {directory}
listen_port = {port}
auth_type = trust
auth_file = {directory}/users.txt
pool_mode = transaction
default_pool_size = {sessions}
server_idle_timeout = 1
logfile = {directory}/log
pidfile =
{more}
"""


@dataclass(frozen=True)
class Bouncer:
    """
    A running PgBouncer.

    Attributes:
        directory: Where its socket is.
        port: That it listens on; of TCP only where it was told so.
    """

    directory: Path
    port: int

    def url(self, url: str, *, host: str | None = None, **parameters: str) -> str:
        """Return *url* leading through it, which the URL does not say."""
        there = replace(parse_url(url), host=host or str(self.directory), port=self.port).url()
        place, _, query = there.partition("?")
        kept = query if host is None else ""
        more = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"{place}?{'&'.join(filter(None, (kept, more)))}"


@contextlib.contextmanager
def running_bouncer(
    program: Program, server: EmbeddedServer, *, sessions: int = 3, more: str = "", files: Iterable[Path] = ()
) -> Iterator[Bouncer]:
    """
    Run PgBouncer in transaction mode.

    Args:
        program: PgBouncer.
        server: Where it leads.
        sessions: How many it opens there for each database and role.
        more: Further lines of its configuration; `{directory}` stands for that of its files.
        files: Files to put there.
    """
    directory = Path(tempfile.mkdtemp(prefix="bouncer-"))
    port = _free_port() if "listen_addr" in more else _PORT
    (directory / "users.txt").write_text("".join(f'"{role}" ""\n' for role in (OWNER_ROLE, APPLICATION_ROLE)))
    (directory / "pgbouncer.ini").write_text(
        _CONFIGURATION.format(
            server=parse_url(server.url).host,
            directory=directory,
            port=port,
            sessions=sessions,
            more=more.replace("{directory}", str(directory)),
        )
    )
    for file in files:
        shutil.copy(file, directory)
    # It does not run as root either; and whoever runs the server may enter the directory of its socket.
    account = server_account(directory)
    program.open_for(account)
    if account is not None:
        for path in (directory, *directory.iterdir()):
            account.own(path)
    process = subprocess.Popen(
        [str(program.path), "-q", str(directory / "pgbouncer.ini")],
        env=program.environment,
        stderr=subprocess.DEVNULL,
        **(account.run_arguments() if account else {}),
    )
    try:
        deadline = time.monotonic() + 30
        while not _listens(directory / f".s.PGSQL.{port}"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((directory / "log").read_text() if (directory / "log").exists() else "no log")
            time.sleep(0.02)
        yield Bouncer(directory, port)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
