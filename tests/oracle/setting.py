"""Sets the scene: the generated client, the two databases, the court."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import asyncpg

import hatch_build
from agentdb.engine.schema import parse_schema
from agentdb.postgres.cluster import SUPERUSER
from agentdb.postgres.embedded import EmbeddedServer
from tests.integration.engine.generation import digest, generate_client, make_ddl
from tests.oracle.court import Court
from tests.oracle.database import Database, prepare
from tests.oracle.interpreter import Interpreter
from tests.oracle.values import Values

SCHEMA = Path(__file__).with_name("schema.prisma")
PACKAGE = "agentdb_oracle_client"
MADE = hatch_build.ROOT / "build" / "oracle"

OURS, THEIRS = "oracle_agentdb", "oracle_prisma"


def missing() -> str | None:
    """Tell what the oracle lacks on this machine; None if it can be asked."""
    if shutil.which("node") is None:
        return "the oracle needs Node.js 20 or later, and node is not on PATH"
    if not (hatch_build.NODE_MODULES / "@prisma" / "client-engine-runtime").is_dir():
        return "the oracle needs prisma/node_modules: run `make setup`"
    return None


def is_required() -> bool:
    """Whether the oracle must not be passed over: in CI."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


async def set_up(server: EmbeddedServer) -> tuple[Court, Values]:
    """Make two equal databases on *server*; return a court that is not yet in session, and the values to ask with."""
    folder = generated()
    url = {name: server.url_for(SUPERUSER, name) for name in ("postgres", OURS, THEIRS)}
    administrator = await asyncpg.connect(url["postgres"])
    try:
        await administrator.execute(f"CREATE DATABASE {OURS}")
        await prepare(url[OURS], (folder / "schema.sql").read_text(encoding="utf-8"))
        await administrator.execute(f"CREATE DATABASE {THEIRS} TEMPLATE {OURS}")
        # A generic plan notices a value that is too large only when there is a row to write it to; Prisma, which
        # prepares nothing, never gets one.
        await administrator.execute(f"ALTER DATABASE {OURS} SET plan_cache_mode = force_custom_plan")
    finally:
        await administrator.close()
    package = import_client(folder)
    datamodel = parse_schema(SCHEMA.read_text(encoding="utf-8"))
    ours, theirs = Database(url[OURS]), Database(url[THEIRS])
    async with Database(url[OURS]) as database:
        values = Values(datamodel, await database.rows(datamodel), package)
    # Node's URL parser wants a host name beside a user's; the socket's folder, as parameter, overrides it.
    interpreter = Interpreter(hatch_build.find_tool("node"), SCHEMA, url[THEIRS].replace("@/", "@localhost/"))
    return Court(package, datamodel, interpreter, ours, theirs), values


def generated() -> Path:
    """Return a folder with the generated package and schema.sql, made again only when what they are of has changed."""
    made = MADE / digest(SCHEMA)
    if not made.exists():
        shutil.rmtree(MADE, ignore_errors=True)
        unfinished = MADE / "unfinished"
        unfinished.mkdir(parents=True)
        (unfinished / "schema.sql").write_text(make_ddl(SCHEMA), encoding="utf-8")
        generate_client(SCHEMA, unfinished / PACKAGE)
        unfinished.rename(made)
    return made


def import_client(folder: Path) -> ModuleType:
    """Return the generated package in *folder*."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(PACKAGE)
    finally:
        sys.path.remove(str(folder))
