"""Makes what the tests need of a Prisma schema: its generated client and its DDL, with Node and prisma/node_modules."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import hatch_build


def generate_client(schema: Path, target: Path) -> None:
    """Generate the client of *schema*, as the build does for agentdb's own, as the package *target*."""
    with (
        tempfile.TemporaryDirectory() as name,
        _schema_folder(schema) as folder,
        mock.patch.object(hatch_build, "PRISMA", folder),
    ):
        shutil.move(hatch_build.run_generator(Path(name)), target)


def generate_in_place(schema: Path, site: Path) -> None:
    """Generate the client of *schema* as is done by default: into the package `prisma`; here into a copy, in *site*."""
    import prisma

    shutil.copytree(Path(prisma.__file__).parent, site / "prisma", ignore=shutil.ignore_patterns("__pycache__"))
    with tempfile.TemporaryDirectory() as name, _schema_folder(schema) as folder:
        path = folder / "schema.prisma"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.strip().startswith("output")), encoding="utf-8")
        with mock.patch.object(hatch_build, "PRISMA", folder), mock.patch.dict(os.environ, PYTHONPATH=str(site)):
            hatch_build.run_generator(Path(name))


def generate_synchronous_client(schema: Path, target: Path) -> None:
    """Generate the client of *schema* with ``interface = "sync"`` as the package *target*."""
    with tempfile.TemporaryDirectory() as name:
        text, count = re.subn(r'"asyncio"', '"sync"', schema.read_text(encoding="utf-8"))
        assert count == 1
        changed = Path(name) / schema.name
        changed.write_text(text, encoding="utf-8")
        generate_client(changed, target)


def make_ddl(schema: Path) -> str:
    """Return the SQL that makes the tables of *schema* in an empty database."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        shutil.copyfile(schema, workspace / "schema.prisma")
        shutil.copytree(hatch_build.PRISMA / "tools", workspace / "tools")
        (workspace / "node_modules").symlink_to(hatch_build.NODE_MODULES)
        command = [hatch_build.find_tool("node"), "tools/schema.mjs", "ddl"]
        return subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=True).stdout


def digest(schema: Path) -> str:
    """Return a digest of all that the generated files depend on."""
    tools = sorted((hatch_build.PRISMA / "tools").glob("*.mjs"))
    files = [schema, Path(__file__), Path(hatch_build.__file__), hatch_build.PRISMA / "package-lock.json", *tools]
    whole = hashlib.sha256(hatch_build.generator_version().encode())
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


@contextmanager
def _schema_folder(schema: Path) -> Iterator[Path]:
    """A folder that holds *schema* under the name that the build expects."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(schema, Path(name) / "schema.prisma")
        yield Path(name)
