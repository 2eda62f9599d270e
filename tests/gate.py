"""A gate in front of a server's unix socket: TCP, with TLS or without, for a server that has neither."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace
from pathlib import Path

from agentdb.postgres.url import parse_url

__all__ = ["Gate"]

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class Gate:
    """
    Listens on the loopback interface and hands on what it hears, as a proxy that ends TLS does.

    Args:
        server_socket: Where the server listens.
        context: How it speaks TLS; None: it answers no to who asks for it.

    Attributes:
        encrypted: How many connections were encrypted.
        plain: How many were not.
    """

    def __init__(self, server_socket: Path, context: ssl.SSLContext | None = None) -> None:
        self._socket = server_socket
        self._context = context
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.encrypted = 0
        self.plain = 0

    async def __aenter__(self) -> Gate:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def forget_tls(self) -> None:
        """Answer no from now on to who asks for TLS."""
        self._context = None

    def url(self, url: str, host: str = "127.0.0.1", **parameters: str) -> str:
        """Return *url* leading through the gate, which is called *host*."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        plain = replace(parse_url(url), host=host, port=port, ssl_mode="prefer").url().partition("?")[0]
        return plain + "?" + "&".join(f"{name}={value}" for name, value in parameters.items())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # Whoever does not like our certificate hangs up, in one way or another.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                await self._hand_on(reader, writer)
            finally:
                writer.close()
        self._tasks.discard(task)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        if first == _SSL_REQUEST:
            first = b""
            writer.write(b"S" if self._context else b"N")
            await writer.drain()
            if self._context:
                await writer.start_tls(self._context)
        is_encrypted = writer.get_extra_info("ssl_object") is not None
        self.encrypted += is_encrypted
        self.plain += not is_encrypted
        to_reader, to_writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            to_writer.write(first)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, to_writer))
                group.create_task(_pump(to_reader, writer))
        finally:
            to_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
