"""A migrated database for a test run."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["run_apart", "temporary_server"]

T = TypeVar("T")


@contextmanager
def temporary_server() -> Iterator[str]:
    """Start an embedded server with its data in a temporary directory; give its URL, and remove it all afterwards."""
    from agentdb.postgres.embedded import ensure_embedded  # only those who need the server pay for the import

    # Short and not pytest's tmp_path: a socket's path may have 103 characters, and root's server runs as another user.
    directory = Path(tempfile.mkdtemp(prefix="agentdb-"))
    try:
        # Not durable: what a test run stores need not survive a power cut, and writes are several times as fast.
        server = run_apart(ensure_embedded(directory, durable=False))
        try:
            yield server.url
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on an event loop of its own in a thread of its own, so that a test framework's loop is left alone."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(asyncio.run, work).result()
