"""
What is published: the wheel, and a new user's first minute with it.

That minute is spent in an empty folder, without a network, without Node, with an installation that nobody can change.
"""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Final

import pytest

from tests.examples.conftest import ROOT, Installation, home_directory

README: Final = ROOT / "README.md"
PARTS: Final = {
    "agentdb/py.typed",
    "agentdb/prisma_client/py.typed",
    "agentdb/prisma_client/query_compiler.wasm",
    "agentdb/prisma_client/schema.prisma",
    "agentdb/_prisma/schema.prisma",
    *(f"agentdb/_prisma/migrations/{path.parent.name}/{path.name}" for path in ROOT.glob("prisma/migrations/*/*.sql")),
    *(f"agentdb/client/queries/{path.name}" for path in ROOT.glob("src/agentdb/client/queries/*.sql")),
}
# The installation is mounted so that nothing can be written to it; "$@" is the command.
READ_ONLY: Final = 'mount --bind "$SITE" "$SITE" && mount -o remount,bind,ro "$SITE" && exec "$@"'
NO_NODE: Final = '#!/bin/sh\necho "$0 $*" >> "$STARTED"\nexit 1\n'

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_wheel_holds_what_it_needs_and_nothing_else(installed: Installation) -> None:
    """Code, types, migrations, the query compiler; no test, no command line of the generator, nothing half made."""
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = set(wheel.namelist())

    assert names >= PARTS
    assert {name.partition("/")[0] for name in names} == {"agentdb", "agentdb-0.1.0.dist-info"}
    strange = re.compile(r"__pycache__|node_modules|\.pyc$|\.env|/tests?/|prisma_client/(cli/|__main__)")
    assert [name for name in names if strange.search(name)] == []


def test_nothing_names_the_machine_that_built_it(installed: Installation) -> None:
    """Neither the wheel nor the sdist holds a path of it."""
    places = [str(place).encode() for place in (ROOT, Path(sys.prefix), installed.wheel.parent)]

    with zipfile.ZipFile(installed.wheel) as wheel, tarfile.open(installed.sdist) as sdist:
        contents = {name: wheel.read(name) for name in wheel.namelist()}
        contents |= {each.name: file.read() for each in sdist if (file := sdist.extractfile(each)) is not None}
    assert [name for name, content in contents.items() if any(place in content for place in places)] == []


def test_the_metadata_says_what_it_is(installed: Installation) -> None:
    """Python, extras, typing, the README as it is; the command and the plugin are found."""
    with zipfile.ZipFile(installed.wheel) as wheel:
        metadata: Message = email.message_from_bytes(wheel.read("agentdb-0.1.0.dist-info/METADATA"))
        entry_points = wheel.read("agentdb-0.1.0.dist-info/entry_points.txt").decode()

    assert metadata["Name"] == "agentdb"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True) == README.read_bytes()
    assert set(metadata.get_all("Provides-Extra", [])) == {"embedded", "http", "model2vec", "sentence-transformers"}
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert "agentdb = agentdb.cli:main" in entry_points
    assert "agentdb = agentdb.testing.plugin" in entry_points


@pytest.fixture(scope="module")
def new_home() -> Iterator[Path]:
    """The home directory of somebody who has never run agentdb."""
    with home_directory() as home:
        yield home


@pytest.fixture(scope="module")
def alone(installed: Installation, new_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command as a new user; fails if it starts Node."""
    own = replace(installed, home=new_home)
    stubs = tmp_path_factory.mktemp("no-node")
    started = stubs / "started"
    for name in ("node", "npm", "npx"):
        (stubs / name).write_text(NO_NODE)
        (stubs / name).chmod(0o755)
    prefix = _shut_off(own, stubs)

    def run(*command: str, cwd: Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(own.bin), str(stubs), os.environ.get("PATH", os.defpath)])
        given = {"PATH": path, "SITE": str(own.site_packages), "STARTED": str(started)} | variables
        done = own.run(*prefix, *command, cwd=cwd, check=check, **given)
        assert not started.exists(), started.read_text()
        return done

    return run


def _shut_off(installed: Installation, folder: Path) -> list[str]:
    """Return what runs a command without a network and with the installation read-only, as far as this machine can."""
    for user in ([], ["--user", "--map-root-user"]):
        prefix = ["unshare", *user, "--net", "--mount", "sh", "-c", READ_ONLY, "sh"]
        if not installed.run(
            "sh", "-c", '"$@"', "sh", *prefix, "true", cwd=folder, check=False, SITE=str(folder)
        ).returncode:
            return prefix
    return []


def test_the_first_minute(alone: Run, tmp_path: Path) -> None:
    """Every command that a new user is told to try works in an empty folder, and leaves nothing but `.env` there."""
    assert re.fullmatch(r"agentdb \d+\.\d+\.\d+\n", alone("agentdb", "--version", cwd=tmp_path).stdout)
    assert "doctor" in alone("agentdb", "--help", cwd=tmp_path).stdout
    assert "It answers questions from memory" in alone("agentdb", "demo", cwd=tmp_path).stdout
    assert "row-level security" in alone("agentdb", "doctor", cwd=tmp_path).stdout
    assert list(tmp_path.iterdir()) == []

    alone("agentdb", "init", "--yes", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert "librarian" in alone("agentdb", "stats", cwd=tmp_path).stdout


def test_the_first_sample_runs(alone: Run, tmp_path: Path) -> None:
    """The README's agent, copied into a file, prints what it says; every warning is an error."""
    sample = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "agent.py").write_text(sample, encoding="utf-8")

    said = alone("python", "-W", "error", "agent.py", cwd=tmp_path)

    assert "Moby-Dick is shelved in row 7." in said.stdout
    assert "embedded PostgreSQL" in said.stderr


def test_a_home_that_cannot_be_written_is_named(alone: Run, new_home: Path, tmp_path: Path) -> None:
    """The embedded server needs a place for its data; the error says how to give it one, and nothing else is said."""
    refused = alone("agentdb", "demo", cwd=tmp_path, check=False, HOME="/proc")

    assert refused.returncode == 2
    assert "AGENTDB_DATA_DIR" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert alone("agentdb", "doctor", cwd=tmp_path, HOME="/proc", AGENTDB_DATA_DIR=str(new_home / "data")).stdout
