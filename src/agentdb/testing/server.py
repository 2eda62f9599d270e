"""
The server of a test run: embedded, in a folder that is gone afterwards.

One run has one folder and one server, whose processes share it as users of one embedded server do: the first starts it,
the last one stops it. The folder belongs to the process that made it, the controller of pytest-xdist if there are
workers, and says so by a lock that the kernel takes back when that process ends, in whatever way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agentdb.testing.aside import run_aside

if TYPE_CHECKING:
    from agentdb.postgres.embedded import EmbeddedServer

__all__ = ["RunFolder", "shared_server"]

_PREFIX: Final = "agentdb-pytest-"
_LOCK: Final = "run.lock"
_BIRTH_SECONDS: Final = 60.0  # how long a folder may be without its lock: nobody takes longer to make it


class RunFolder:
    """
    The folder of one test run; making it removes those of runs that were killed, with their servers.

    Short and not pytest's tmp_path: a socket's path may have 103 characters, and root's server runs as another user.
    """

    path: Path
    """Where it is."""

    def __init__(self) -> None:
        _remove_leftovers()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Under another name until it is locked: one of that name that is not, another run takes for a leftover's.
        unnamed = self.path / f"{_LOCK}.new"
        lock = _lock(unnamed)
        assert lock is not None
        unnamed.rename(self.path / _LOCK)
        self._lock = lock

    def remove(self) -> None:
        """Stop the server, if it still runs, and remove the folder."""
        _remove(self.path)
        os.close(self._lock)


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[EmbeddedServer]:
    """Give the run's server, migrated: started by the first process that asks, stopped by the last one to leave."""
    from agentdb.postgres.embedded import ensure_embedded  # only those who need the server pay for the import

    # Not durable: what a test run stores need not survive a power cut, and writes are several times as fast.
    server = run_aside(ensure_embedded(folder, durable=False))
    try:
        yield server
    finally:
        server.release()


def _remove_leftovers() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            if not (path / _LOCK).exists() and time.time() - path.stat().st_mtime < _BIRTH_SECONDS:
                continue
            lock = _lock(path / _LOCK)
            if lock is not None:  # its run is over
                _remove(path)
                os.close(lock)


def _remove(path: Path) -> None:
    if (path / "postgres").exists():
        from agentdb.postgres.embedded import stop_embedded

        stop_embedded(path)
    shutil.rmtree(path, ignore_errors=True)


def _lock(path: Path) -> int | None:
    """Take the lock *path*, made if missing, until the descriptor that is returned is closed; None: a run has it."""
    import fcntl  # not on Windows, where there is no embedded server either

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
