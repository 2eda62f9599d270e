"""`get_agent_client`: one client per event loop and organization, shared by all who ask for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import NamedTuple

from agentdb.client.client import PrismaAgentClient
from agentdb.client.execution.payloads import Redact
from agentdb.client.memory.embedder import Embedder
from agentdb.config import Settings
from agentdb.errors import ConfigurationError

__all__ = ["get_agent_client"]


class _Place(NamedTuple):
    process: int
    loop: asyncio.AbstractEventLoop | None
    database: tuple[str | None, Path | None]


_clients: dict[_Place, dict[str, PrismaAgentClient]] = {}


def get_agent_client(
    database_url: str | None = None,
    organization_id: str | None = None,
    *,
    embedder: Embedder | None = None,
    redact: Redact | None = None,
) -> PrismaAgentClient:
    """
    Return the client that this event loop shares for a database and organization; the first call makes it.

    Organizations of one database share a pool. Each `connect()` takes part in the client and each `disconnect()` takes
    leave; the last one closes it. A new event loop or process gets a client of its own.

    Args:
        database_url: Where the database is; None: DATABASE_URL, else the embedded server.
        organization_id: Whose data; None: ORGANIZATION_ID, else "local" on the embedded server.
        embedder: What makes embeddings; every caller has to give the same one, or none.
        redact: What executions keep is what this makes of it, see `PrismaAgentClient.redact`; likewise.

    Raises:
        ConfigurationError: A setting is missing or wrong, or another embedder or redaction is in use.
        InvalidInputError: The organization's id is none.
    """
    _drop_closed_loops()
    settings = Settings.load(database_url=database_url, organization_id=organization_id)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None  # asked for before the loop runs: it binds to the one that connects it
    place = _Place(os.getpid(), loop, (settings.database_url, settings.data_dir))
    clients = _clients.setdefault(place, {})
    client = clients.get(settings.organization_id)
    if client is None:
        sibling = next(iter(clients.values()), None)
        client = clients[settings.organization_id] = PrismaAgentClient._shared(settings, embedder, sibling)
    elif embedder is not None and client.embedder is not embedder:
        if client.embedder is not None:
            raise ConfigurationError(
                "embedder", "the shared client has another one; make a PrismaAgentClient of your own."
            )
        client.embedder = embedder
    if redact is not None and client.redact != redact:  # not "is": a bound method is a new object each time
        if client.redact is not None:
            raise ConfigurationError(
                "redact", "the shared client has another one; make a PrismaAgentClient of your own."
            )
        client.redact = redact
    return client


def _drop_closed_loops() -> None:
    for place in [place for place in _clients if place.loop is not None and place.loop.is_closed()]:
        del _clients[place]
