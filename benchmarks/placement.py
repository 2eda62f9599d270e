"""
Says on which processor each process runs while it is measured.

A statement takes half the time when client and server happen to share a processor than when one has to wake the other's
up, and where a session's server process lives is the scheduler's whim, for as long as the session lasts: equal
connections, side by side, were seen to take 50 and 110 us for the same statement. So processes are placed.

One call at a time: all on one processor. That is the quickest for all, hence the hardest comparison. Many at once: the
clients on one, the server on another, so that the client's own work is what limits it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import asyncpg

from agentdb.postgres.url import parse_url

__all__ = ["Placement", "place"]

# None where the system has no such call: then the scheduler decides, and the table says so.
_place: Callable[[int, set[int]], None] | None = getattr(os, "sched_setaffinity", None)


class Placement:
    """
    Places the processes of a measurement.

    Args:
        server: The server's first process. What it starts from then on, a process for each session, is placed with it.

    Attributes:
        description: What was done, for the reader of the figures.
    """

    def __init__(self, server: int) -> None:
        self.description = "left to the scheduler"
        self._free = sorted(os.sched_getaffinity(0)) if _place is not None else []
        self._server = server
        self._clients = [0]

    def add(self, client: int) -> None:
        """Place another client too; only its main thread, so that its helpers stay free."""
        self._clients.append(client)

    def remove(self, client: int) -> None:
        """Forget a client that ends."""
        self._clients.remove(client)

    def together(self) -> None:
        """Put all on one processor. Sessions that are open already stay where they are."""
        if self._free and self._move([self._server, *self._clients], {self._free[-1]}):
            self.description = f"client and server share processor {self._free[-1]}"

    def apart(self) -> None:
        """Leave the server where `together` has put it and give the clients another processor, if there is one."""
        self._move(self._clients, set(self._free[:1]))

    def release(self) -> None:
        """Let all go where they want again; what is started now may."""
        self._move([self._server, *self._clients], set(self._free))

    def _move(self, processes: Iterable[int], processors: set[int]) -> bool:
        if _place is None or not processors:
            return False
        try:
            for process in processes:
                _place(process, processors)
        except OSError:  # not allowed, or gone
            return False
        return True


async def place(superuser_url: str) -> Placement:
    """Put this process and the server of the URL on one processor, before anything else connects."""
    connection: asyncpg.Connection = await asyncpg.connect(**parse_url(superuser_url).connect_arguments())
    placement = Placement(
        await connection.fetchval("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
    )
    await connection.close()
    placement.together()
    return placement
