"""The default package `prisma`, generated in place, beside a package of its own: both in one process, on one engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.engine.conftest import PACKAGE, SCHEMA
from tests.integration.engine.generation import generate_in_place

pytestmark = pytest.mark.postgres

PROGRAM = f"""
import asyncio, sys
import prisma
import {PACKAGE} as other
from agentdb.engine import with_engine

async def main():
    options = dict(datasource={{"url": sys.argv[1]}}, use_dotenv=False)
    async with with_engine(prisma.Prisma)(**options) as one, with_engine(other.Prisma)(**options) as two:
        await one.user.create({{"email": "package", "settings": prisma.Json({{"a": 1}}), "role": "ADMIN"}})
        user = await two.user.find_unique({{"email": "package"}})
        assert type(user) is other.models.User and user.settings == {{"a": 1}}, user
        for client, package in (one, prisma), (two, other):
            try:
                await client.user.create({{"email": "package"}})
            except package.errors.UniqueViolationError as error:
                assert type(error).__module__ == package.__name__ + ".errors"
        assert prisma.errors.UniqueViolationError is not other.errors.UniqueViolationError
        async with one.tx() as tx:
            await tx.user.delete(where={{"email": "package"}})

asyncio.run(main())
print(prisma.__file__)
"""


def test_side_by_side(generated: Path, url: str, tmp_path: Path) -> None:
    """Each gives its own models and raises its own errors, and the engine looks for no binary."""
    generate_in_place(SCHEMA, tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, url],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(generated), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "prisma" / "__init__.py"
