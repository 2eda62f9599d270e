"""
Compiled WebAssembly modules, kept on disk.

To compile Prisma's query compiler to machine code takes two seconds and 150 MB; to load what that gave takes some
milliseconds. The cache is a convenience: whatever is wrong with it, the module is compiled again and nobody is told.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import platform
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import wasmtime

logger: Final = logging.getLogger("agentdb.engine")


def load_module(engine: wasmtime.Engine, source: bytes, *, features: Sequence[str]) -> wasmtime.Module:
    """
    Return *source* compiled, from the cache if it is there, else put into it.

    Args:
        engine: Made with *features*; modules of one configuration do not run in another.
        source: A module as WebAssembly binary or WAT text.
        features: What *engine* was configured with, as part of the cache's key.
    """
    import wasmtime

    directory = _private_directory()
    key = _key(source, features)
    module = _read(engine, directory, key) if directory else None
    if module is None:
        module = wasmtime.Module(engine, source)
        if directory:
            _write(directory, key, module.serialize())
    return module


def cache_directory() -> Path:
    """
    Return where compiled modules are kept, whether or not it exists.

    `AGENTDB_CACHE_DIR`, or "agentdb" in `XDG_CACHE_HOME`, or in the platform's own place for caches.

    Raises:
        RuntimeError: There is no home directory.
    """
    if own := os.environ.get("AGENTDB_CACHE_DIR"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "agentdb"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "agentdb" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "agentdb"
    return Path.home() / ".cache" / "agentdb"


def _key(source: bytes, features: Sequence[str]) -> str:
    environment = " ".join([_wasmtime_version(), sys.platform, platform.machine(), *features])
    return hashlib.sha256(environment.encode() + b"\0" + source).hexdigest()[:32]


@functools.cache
def _wasmtime_version() -> str:
    from importlib import metadata  # here, for it imports much

    try:
        return metadata.version("wasmtime")
    except metadata.PackageNotFoundError:
        return "unknown"  # a frozen application; wasmtime itself still refuses what another version has compiled


def _private_directory() -> Path | None:
    """Return the cache directory, made if need be; None when there is none that nobody else can write to."""
    try:
        directory = cache_directory()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_ours(directory.stat()):
            return directory
    except (OSError, RuntimeError) as error:
        logger.debug("no module cache", extra={"error": str(error)})
    return None


def _is_ours(status: os.stat_result) -> bool:
    """
    Whether only we, or root, can have written it.

    A compiled module is machine code that wasmtime runs as it finds it, so one that somebody else could have put there
    would be theirs to command us. The digest in a file's name does not help there; it finds damage, not malice.
    """
    if sys.platform == "win32":
        return True  # A user's profile is private by its access control list; the mode says nothing.
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _read(engine: wasmtime.Engine, directory: Path, key: str) -> wasmtime.Module | None:
    import wasmtime

    # There can be several: machines that share a home but not a processor refuse each other's.
    for path in list(directory.glob(f"{key}-*.cwasm")):
        try:
            if _is_intact(path):
                # From the file, not from bytes: it is mapped, in 0.3 ms instead of 10, and processes share the pages.
                return wasmtime.Module.deserialize_file(engine, str(path))
        except (OSError, ValueError, wasmtime.WasmtimeError) as error:
            logger.debug("cached module not usable", extra={"path": str(path), "error": str(error)})
    return None


def _is_intact(path: Path) -> bool:
    with open(path, "rb", opener=_open_no_link) as file:
        if not _is_ours(os.fstat(file.fileno())):
            return False
        return path.stem.endswith(hashlib.file_digest(file, "sha256").hexdigest())


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _write(directory: Path, key: str, module: bytes | bytearray) -> None:
    """Write a file whose name holds its digest, so that one rename puts both in place for every other process."""
    import tempfile  # here, for it imports much and is needed once

    path = directory / f"{key}-{hashlib.sha256(module).hexdigest()}.cwasm"
    try:
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=f"{key}-", suffix=".tmp")  # of mode 0600
        try:
            with open(handle, "wb") as file:
                file.write(module)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        logger.debug("module not cached", extra={"path": str(path), "error": str(error)})
