"""
The embedded server: PostgreSQL without installing one, for when no DATABASE_URL is set.

Processes of one user share the server. It stops when the last of them ends, and stays up only where that was asked for
(`keep_running`, which `agentdb embedded url` uses) until `agentdb embedded stop`. Who uses it is a shared lock that
each process holds on a file, so the kernel forgets a process that is killed; a server that was left behind by such a
process stops with its next user's end.

The database is reached over a unix socket that only its user may open (directory and socket mode 0700), so there is no
password. Applications act as agentdb_app, which is no superuser and owns nothing: row-level security is real from the
first day. Migrations run as agentdb_owner.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from agentdb.errors import ConfigurationError
from agentdb.postgres import migrate
from agentdb.postgres.cluster import SUPERUSER, Cluster

__all__ = ["EmbeddedServer", "default_data_dir", "ensure_embedded", "find_embedded", "start_embedded", "stop_embedded"]

logger: Final = logging.getLogger("agentdb.postgres")

DATABASE: Final = "agentdb"
APPLICATION_ROLE: Final = "agentdb_app"
OWNER_ROLE: Final = "agentdb_owner"

_ROLES: Final = f"""
DO $$ BEGIN
    IF to_regrole('{OWNER_ROLE}') IS NULL THEN CREATE ROLE {OWNER_ROLE} LOGIN CREATEDB; END IF;
    IF to_regrole('{APPLICATION_ROLE}') IS NULL THEN CREATE ROLE {APPLICATION_ROLE} LOGIN; END IF;
END $$
"""


class EmbeddedServer:
    """
    A running embedded server, and this process's share in it.

    Attributes:
        data_dir: Where its data lives.
        url: For applications: role agentdb_app, bound by row-level security.
        admin_url: For migrations: role agentdb_owner, which owns the tables.
    """

    def __init__(self, data_dir: Path, cluster: Cluster, share: int | None) -> None:
        self.data_dir = data_dir
        self._cluster = cluster
        self._share = share
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.data_dir}>"

    @property
    def url(self) -> str:
        """The URL for applications."""
        return self.url_for(APPLICATION_ROLE)

    @property
    def admin_url(self) -> str:
        """The URL for migrations."""
        return self.url_for(OWNER_ROLE)

    @property
    def superuser_url(self) -> str:
        """The URL of the server's administrator."""
        return self.url_for(SUPERUSER)

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._cluster.log

    @property
    def is_running(self) -> bool:
        """Whether it accepts connections."""
        return self._cluster.is_running()

    def url_for(self, role: str, database: str = DATABASE) -> str:
        """Return the URL for *role* in *database*."""
        directory = self._cluster.socket_directory
        return f"postgresql://{quote(role, safe='')}@/{quote(database, safe='')}?host={quote(str(directory))}"

    def release(self) -> bool:
        """
        Say that this process no longer needs the server; the last one to say so stops it.

        Called when the process ends. Does nothing for a server that was told to keep running. Returns whether the
        server was stopped.
        """
        share, self._share = self._share, None
        if share is None or self._process != os.getpid():
            return False  # A forked child shares its parent's lock, and must not end it.
        _forget(self)
        try:
            if not self.data_dir.is_dir():
                return False  # somebody removed it; the server finds out by itself
            with _exclusive(self.data_dir):
                is_last = _try_lock(share, exclusive=True)
                return is_last and not _keep_note(self.data_dir).exists() and self._cluster.stop()
        finally:
            os.close(share)

    def stop(self) -> bool:
        """Stop the server now, also for other processes. Return whether it was running."""
        return stop_embedded(self.data_dir)

    def _drop_share(self) -> None:
        share, self._share = self._share, None
        _forget(self)
        if share is not None:
            os.close(share)


_servers: dict[Path, EmbeddedServer] = {}
_servers_guard = threading.Lock()


def default_data_dir() -> Path:
    """Return where the embedded server keeps its data: AGENTDB_DATA_DIR, else the user's data directory."""
    chosen = os.environ.get("AGENTDB_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "agentdb"
    base = os.environ.get("XDG_DATA_HOME", "")
    # The specification says that a relative path is to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "agentdb"


async def ensure_embedded(data_dir: Path | None = None, *, durable: bool = True) -> EmbeddedServer:
    """
    Return the embedded server, running and migrated. Takes some 20 ms when nothing is to do.

    Args:
        data_dir: Where its data lives; None takes `default_data_dir`.
        durable: As in `start_embedded`.

    Raises:
        ConfigurationError: It is not installed, or cannot live in that directory.
        ConnectionFailedError: It does not start; the text quotes its log.
        MigrationError: A migration failed.
    """
    server = await start_embedded(data_dir, durable=durable)
    await migrate.deploy(server.admin_url)
    return server


async def start_embedded(
    data_dir: Path | None = None, *, durable: bool = True, keep_running: bool = False
) -> EmbeddedServer:
    """
    Start the embedded server, or join the one that runs already. Does not migrate.

    Args:
        data_dir: Where its data lives; made if missing. None takes `default_data_dir`.
        durable: False trades safety after a crash for speed; for tests. Has no effect on a server that runs already.
        keep_running: Leave the server up when its last user ends, until `stop_embedded`.

    Raises:
        ConfigurationError: It is not installed, or cannot live in that directory.
        ConnectionFailedError: It does not start; the text quotes its log.
    """
    directory = (data_dir or default_data_dir()).expanduser().absolute()
    return await asyncio.to_thread(_start, directory, durable, keep_running)


def find_embedded(data_dir: Path | None = None) -> EmbeddedServer | None:
    """Return the embedded server if it is running, without taking a share in it."""
    directory = (data_dir or default_data_dir()).expanduser().absolute()
    cluster = Cluster(directory)
    return EmbeddedServer(directory, cluster, None) if cluster.is_running() else None


def stop_embedded(data_dir: Path | None = None) -> bool:
    """Stop the embedded server, also for other processes. Return whether it was running."""
    directory = (data_dir or default_data_dir()).expanduser().absolute()
    ours = _servers.get(directory)
    if ours is not None:
        ours._drop_share()
    if not directory.is_dir():
        return False
    with _exclusive(directory):
        _keep_note(directory).unlink(missing_ok=True)
        return Cluster(directory).stop()


def _start(directory: Path, durable: bool, keep_running: bool) -> EmbeddedServer:
    if sys.platform == "win32":
        raise ConfigurationError(
            "DATABASE_URL", "not set; the embedded server runs on Linux and macOS only. Set DATABASE_URL."
        )
    cluster = Cluster(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _exclusive(directory):
            known = _servers.get(directory)
            share = known._share if known is not None else _open_lock(directory / "users.lock")
            assert share is not None
            _try_lock(share, exclusive=False)
            try:
                if not cluster.is_running():
                    cluster.start(durable=durable)
                _prepare(cluster)
            except BaseException:
                if known is None:
                    os.close(share)
                raise
            if keep_running:
                _keep_note(directory).touch()
            return known or _remember(EmbeddedServer(directory, cluster, share))
    except OSError as error:
        raise ConfigurationError(
            "AGENTDB_DATA_DIR", f"the embedded server cannot keep its data in {directory}: {error.strerror}."
        ) from error


def _prepare(cluster: Cluster) -> None:
    """Make the roles and the database; done once, and again if it was interrupted."""
    note = cluster.directory / "prepared"
    if note.exists():
        return
    cluster.run_sql(_ROLES)
    cluster.run_sql(
        f"SELECT format('CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}') "
        f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec"
    )
    cluster.run_sql("CREATE EXTENSION IF NOT EXISTS vector", DATABASE)
    note.touch()


def _remember(server: EmbeddedServer) -> EmbeddedServer:
    with _servers_guard:
        _servers[server.data_dir] = server
    atexit.register(server.release)
    return server


def _forget(server: EmbeddedServer) -> None:
    with _servers_guard:
        if _servers.get(server.data_dir) is server:
            del _servers[server.data_dir]
    atexit.unregister(server.release)


def _keep_note(directory: Path) -> Path:
    return directory / "keep-running"


@contextlib.contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    """Let one process at a time start or stop the server."""
    lock = _open_lock(directory / "start.lock")
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
