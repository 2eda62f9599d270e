"""
Programs written for the generated client with Prisma's own engine, run on this one: a blog, a job queue and a shop.

Each lies in `programs/`, a project as its author keeps it: schema, partial types, main.py, and outcome.txt, what it
prints. Its client is generated into the package `prisma`, as is the default, and one line of it is changed.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import Database
from tests.integration.engine.generation import digest, generate_in_place, make_ddl

PROGRAMS = Path(__file__).with_name("programs")
NAMES = sorted(path.parent.name for path in PROGRAMS.glob("*/main.py"))

OLD_IMPORT = "from prisma import Prisma\n"
NEW_IMPORT = """\
import prisma
from agentdb.engine import with_engine
Prisma = with_engine(prisma.Prisma)
"""


@pytest.fixture(scope="session")
def projects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each program's folder with its client and schema.sql, kept in pytest's cache until something it is of changes."""
    cache = getattr(request.config, "cache", None)
    folder = tmp_path_factory.mktemp("programs") if cache is None else cache.mkdir("agentdb-programs")
    return {name: generated(PROGRAMS / name, folder) for name in NAMES}


def generated(program: Path, folder: Path) -> Path:
    """Return a copy of *program* under *folder* with its client generated in it, unless it is there already."""
    partials = program / "partial_types.py"
    whole = digest(program / "schema.prisma") + (partials.read_text(encoding="utf-8") if partials.exists() else "")
    made = folder / f"{program.name}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"
    if not made.exists():
        for outdated in folder.glob(f"{program.name}-*"):
            shutil.rmtree(outdated)
        project = folder / f"{program.name}-unfinished"
        shutil.copytree(program, project, ignore=shutil.ignore_patterns("main.py", "outcome.txt", "__pycache__"))
        generate_in_place(project / "schema.prisma", project)
        (project / "schema.sql").write_text(make_ddl(project / "schema.prisma"), encoding="utf-8")
        project.rename(made)
    return made


def changed(name: str) -> str:
    """Return the program with its import of the client changed."""
    source = (PROGRAMS / name / "main.py").read_text(encoding="utf-8")
    assert source.count(OLD_IMPORT) == 1
    return source.replace(OLD_IMPORT, NEW_IMPORT)


async def printed_by(source: str, project: Path, database: Database, folder: Path) -> list[str]:
    """Run a program as its user would, on the tables of *project*, and return the lines that it prints."""
    connection = await asyncpg.connect(database.admin_url)
    await connection.execute((project / "schema.sql").read_text(encoding="utf-8"))
    await connection.close()
    main = folder / "main.py"
    main.write_text(source, encoding="utf-8")
    done = await asyncio.to_thread(run, main, project, database.admin_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def run(main: Path, project: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run *main* with the client of *project*; every warning is an error."""
    path = os.pathsep.join([str(project), *sys.path])
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(main)],
        cwd=main.parent,
        env=os.environ | {"PYTHONPATH": path, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def outcome(name: str) -> list[str]:
    """Return what the program is to print."""
    return (PROGRAMS / name / "outcome.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_only_the_import_changes(name: str) -> None:
    """The program that runs here differs from the one written for Prisma's engine by its import of the client."""
    source = (PROGRAMS / name / "main.py").read_text(encoding="utf-8")

    lines = list(difflib.unified_diff(source.splitlines(), changed(name).splitlines(), n=0, lineterm=""))[3:]

    assert lines == [
        "-from prisma import Prisma",
        "+import prisma",
        "+from agentdb.engine import with_engine",
        "+Prisma = with_engine(prisma.Prisma)",
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_the_program_runs(name: str, projects: dict[str, Path], blank_database: Database, tmp_path: Path) -> None:
    """It prints what its author expects, warns of nothing and leaves no connection open."""
    assert await printed_by(changed(name), projects[name], blank_database, tmp_path) == outcome(name)
