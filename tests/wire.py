"""Counts round trips where they happen: on the wire, by a proxy between the client and the server's socket."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agentdb.postgres.url import parse_url


class Count:
    """How often something was sent to the server after it had answered, while this count was open."""

    def __init__(self) -> None:
        self.trips = 0


class Wire:
    """
    A proxy in front of a server's unix socket.

    A round trip is anything that the client sends after the server's last answer, however many packets it takes.
    """

    def __init__(self, server_socket: Path) -> None:
        self._server_socket = server_socket
        self._directory = Path(tempfile.mkdtemp(prefix="wire-"))
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()
        self._counts: list[Count] = []
        self.trips = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        path = self._directory / ".s.PGSQL.5432"
        self._server = await loop.create_unix_server(lambda: _ClientSide(self), str(path))

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (self._directory / ".s.PGSQL.5432").unlink(missing_ok=True)
        self._directory.rmdir()

    def cut(self) -> None:
        """Break every connection, as a network does."""
        for transport in list(self._transports):
            transport.abort()

    def url(self, url: str) -> str:
        """Return *url* leading through the proxy."""
        parameters = url.partition("?")[2].split("&")
        rest = "".join(f"&{each}" for each in parameters if each and not each.startswith("host="))
        return replace(parse_url(url.partition("?")[0]), host=str(self._directory)).url() + rest

    @contextlib.contextmanager
    def counting(self) -> Iterator[Count]:
        """Count the round trips of the block."""
        count = Count()
        self._counts.append(count)
        try:
            yield count
        finally:
            self._counts.remove(count)

    def _note_trip(self) -> None:
        self.trips += 1
        for count in self._counts:
            count.trips += 1


class _ClientSide(asyncio.Protocol):
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.client: asyncio.Transport | None = None
        self.server: asyncio.Transport | None = None
        self.waiting: list[bytes] = []
        self.is_answered = True
        self.dialing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.client = transport
        self.wire._transports.add(transport)
        self.dialing = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_unix_connection(lambda: _ServerSide(self), str(self.wire._server_socket))
        self.server = transport
        self.wire._transports.add(transport)
        for data in self.waiting:
            transport.write(data)
        self.waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self.is_answered:
            self.is_answered = False
            self.wire._note_trip()
        if self.server is None:
            self.waiting.append(data)
        else:
            self.server.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        assert self.client is not None
        self.wire._transports.discard(self.client)
        if self.server is not None:
            self.server.close()


class _ServerSide(asyncio.Protocol):
    def __init__(self, client_side: _ClientSide) -> None:
        self.client_side = client_side
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.client_side.is_answered = True
        assert self.client_side.client is not None
        self.client_side.client.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is not None:
            self.client_side.wire._transports.discard(self.transport)
        if self.client_side.client is not None:
            self.client_side.client.close()
