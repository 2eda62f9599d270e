"""
agentdb as its users have it: the wheel in a virtual environment of its own, and the projects of `examples/`.

The wheel is built from the sdist, on a PATH without Node. The environment is named after the wheel and what is
installed beside it, and kept in pytest's cache until one of them changes; runs at the same moment share it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLES: Final = ROOT / "examples"
BESIDE_IT: Final = ("anyio", "mypy", "pyright[nodejs]", "pytest", "pytest-asyncio", "pytest-xdist")
KEPT: Final = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
NOT_COPIED: Final = ("__pycache__", ".*_cache", "node_modules", ".env", "*.egg-info")
_SECONDS: Final = 900  # a busy machine is slow, not wrong


@dataclass(frozen=True)
class Installation:
    """
    The virtual environment that the wheel is installed in, with the extra `embedded` and what tests and checks types.

    Attributes:
        wheel: What is installed.
        sdist: What the wheel was built from.
        folder: The environment.
        home: The home directory of what runs in it, empty when the tests start: no setting of the developer's own.
    """

    wheel: Path
    sdist: Path
    folder: Path
    home: Path

    @property
    def bin(self) -> Path:
        """Where its programs are: agentdb, pytest, mypy, pyright."""
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"

    @property
    def site_packages(self) -> Path:
        """Where the wheel lies."""
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of `run`: its programs come first on PATH, and no setting is the developer's."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        path = os.pathsep.join([str(self.bin), kept.pop("PATH", os.defpath)])
        # All runs of mypy share what they learn of agentdb, and pyright does not ask npm whether there is a newer one.
        checkers = {"MYPY_CACHE_DIR": str(self.home / "mypy"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
        return kept | {"PATH": path, "HOME": str(self.home)} | checkers | variables

    def run(
        self, *command: str | Path, cwd: Path, check: bool = True, input: str | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Run *command* in the folder *cwd* and return what it printed.

        Args:
            command: A program of the environment or of the machine, and its arguments.
            cwd: Where it runs.
            check: Fail the test, with all that was printed, unless it exits with 0.
            input: What it reads from stdin; None: nothing.
            variables: Environment variables that it gets besides, DATABASE_URL for one. Without it the embedded server
                keeps its data in *home*, for all tests of a session.
        """
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=self.environment(**variables),
            input=input or "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command} exits with {done.returncode}\n{done.stdout}{done.stderr}"
        return done


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The wheel as its users have it."""
    built = tmp_path_factory.mktemp("built")
    sdist, wheel = build(built)
    cache = getattr(request.config, "cache", None)
    folder = tmp_path_factory.mktemp("environments") if cache is None else cache.mkdir("agentdb-environments")
    requirements = [f"{wheel}[embedded]", *beside_it()]
    # The folder, too: the programs of an environment that was moved would look for its interpreter where it was.
    kind = repr((requirements[1:], sys.version, sys.base_prefix, str(folder)))
    name = hashlib.sha256(wheel.read_bytes() + kind.encode()).hexdigest()[:16]
    with environment(folder, name, lambda made: install(made, requirements)) as made, home_directory() as home:
        yield Installation(wheel, sdist, made, home)


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a project of `examples/` into the test's own folder: `project = example("pytest-suite")`."""

    def copy(name: str) -> Path:
        return shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns(*NOT_COPIED))

    return copy


@contextlib.contextmanager
def home_directory() -> Iterator[Path]:
    """
    Give an empty home directory.

    Not below pytest's own folder, which every run of pytest closes when it starts: the embedded server of another run
    may have to reach its data by another account.
    """
    with tempfile.TemporaryDirectory(prefix="agentdb-home-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and from it, where there is no Node, the wheel; return both."""
    _checked(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder))
    (sdist,) = folder.glob("*.tar.gz")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder))
    _checked(sys.executable, "-m", "pip", "wheel", "-q", *options, str(sdist), PATH="/nonexistent")
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def beside_it() -> list[str]:
    """Return what is installed beside the wheel, in the versions that development takes."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    named = {re.split("[=>]", each)[0]: each for each in groups["dev"] if isinstance(each, str)}
    return [named[name] for name in BESIDE_IT]


def install(folder: Path, requirements: list[str]) -> None:
    """Make the virtual environment *folder*, with *requirements* in it."""
    _checked(sys.executable, "-m", "venv", str(folder))
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    _checked(*pip, *requirements)


@contextlib.contextmanager
def environment(folder: Path, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """
    Give what *make* makes as *name* in *folder*, made once; what it replaces goes when nobody uses it any more.

    Each user holds a shared lock on it, which the kernel takes back from one that is killed.
    """
    wanted = folder / name
    stamp = wanted / "complete"
    with contextlib.ExitStack() as held:
        with _locked(folder / "making.lock", fcntl.LOCK_EX):
            held.enter_context(_locked(folder / f"{name}.lock", fcntl.LOCK_SH))
            if not stamp.exists():
                shutil.rmtree(wanted, ignore_errors=True)
                make(wanted)
                stamp.touch()
            _remove_unused(folder, keep=name)
        yield wanted


def _remove_unused(folder: Path, *, keep: str) -> None:
    for outdated in (path for path in folder.iterdir() if path.is_dir() and path.name != keep):
        lock = folder / f"{outdated.name}.lock"
        with contextlib.suppress(BlockingIOError), _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(outdated)
            lock.unlink()


@contextlib.contextmanager
def _locked(path: Path, operation: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, operation)
        yield


def _checked(*command: str, **variables: Any) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} exits with {done.returncode}\n{done.stdout}{done.stderr}"
