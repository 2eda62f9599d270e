"""Programs of Debian that no package of Python has: used where they are installed, else unpacked into a cache."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentdb.postgres.account import Account

__all__ = ["Program", "find_pgbouncer", "find_postgres"]

_LONGEST_SECONDS = 120


@dataclass(frozen=True)
class Program:
    """
    A program that can be run.

    Attributes:
        path: Where it is.
        environment: What it needs to find its libraries.
    """

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    def open_for(self, account: Account | None) -> None:
        """Let *account* run it."""
        if account is not None:
            for path in (str(self.path), *filter(None, self.environment.get("LD_LIBRARY_PATH", "").split(":"))):
                account.let_in(Path(path) / "x")


def find_pgbouncer(cache: pytest.Cache) -> Program:
    """Return PgBouncer, or skip the test and say why there is none."""
    installed = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Program(Path(installed)) if installed else _unpacked("pgbouncer", "usr/sbin/pgbouncer", cache)


def find_postgres(cache: pytest.Cache) -> Program:
    """Return a PostgreSQL server that speaks TLS, which the embedded one does not; or skip the test and say why not."""
    for installed in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True):
        return Program(installed)
    try:
        found = re.search(r"Depends: (postgresql-(\d+))", _ask("apt-cache", "depends", "postgresql"))
    except (OSError, subprocess.SubprocessError):
        found = None
    if found is None:
        pytest.skip("no PostgreSQL with TLS in /usr/lib/postgresql, and apt-get knows of none")
    return _unpacked(found[1], f"usr/lib/postgresql/{found[2]}/bin/postgres", cache)


def _unpacked(package: str, path: str, cache: pytest.Cache) -> Program:
    """Return the program of a package that apt-get fetches; nothing is installed, and no rights are needed."""
    directory = Path(cache.mkdir("debian")) / package
    if not (directory / path).exists():
        why_not = _try_to_fetch(package, directory)
        if why_not:
            pytest.skip(f"{package} is not installed, and {why_not}")
    libraries = ":".join(str(each) for each in directory.glob("**/lib/*-linux-gnu*") if each.is_dir())
    return Program(directory / path, {"LD_LIBRARY_PATH": libraries})


@functools.cache  # where nothing can be reached, finding that out takes long: once, and not for each test
def _try_to_fetch(package: str, directory: Path) -> str | None:
    """Return why it could not be fetched; None if it was."""
    try:
        _fetch(package, directory)
    except FileNotFoundError as error:
        return f"there is no {error.filename} to fetch it with"
    except subprocess.TimeoutExpired as error:
        return f"{error.cmd[0]} could not fetch it within {error.timeout:g} s"
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:] or ["no reason given"]
        return f"{error.cmd[0]} could not fetch it: {last[0]}"
    return None


def _fetch(package: str, directory: Path) -> None:
    new = directory.with_name(f"{package}.new")  # renamed when it is whole
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    _ask("apt-get", "download", package, *_missing_libraries(package), cwd=new)
    for archive in new.glob("*.deb"):
        _run("dpkg", "-x", str(archive), str(new))
        archive.unlink()
    shutil.rmtree(directory, ignore_errors=True)
    new.rename(directory)


def _missing_libraries(package: str) -> list[str]:
    # Without LLVM, which only compiles long queries, and weighs more than all the rest.
    names = set(re.findall(r"Depends: (lib[\w.+-]+)", _ask("apt-cache", "depends", package)))
    return sorted(name for name in names if not name.startswith("libllvm") and not _is_installed(name))


def _ask(*command: str, cwd: Path | None = None) -> str:
    try:
        return _run(*command, cwd=cwd)
    except subprocess.CalledProcessError:  # a fresh container has no list of packages yet, an old one an old list
        _run("apt-get", "update")
        return _run(*command, cwd=cwd)


def _is_installed(package: str) -> bool:
    with contextlib.suppress(subprocess.CalledProcessError):
        return "ok installed" in _run("dpkg-query", "-W", "-f", "${Status}", package)
    return False


def _run(*command: str, cwd: Path | None = None) -> str:
    answer = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=_LONGEST_SECONDS)
    return answer.stdout
