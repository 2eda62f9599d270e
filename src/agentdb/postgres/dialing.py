"""Makes connections, and takes leave of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import asyncpg

from agentdb.errors import AgentDBError, ConnectionFailedError
from agentdb.postgres.bits import pack_bits, unpack_bits
from agentdb.postgres.connection import Connection, FactsBySql, search_path
from agentdb.postgres.dates import pack_date, unpack_date
from agentdb.postgres.failures import translate_connect
from agentdb.postgres.url import DEFAULT_STATEMENT_CACHE_SIZE, ConnectionOptions

__all__ = ["dial", "dial_first", "hang_up"]

logger: Final = logging.getLogger("agentdb.postgres")

_SETUP_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 2.0
# How PgBouncer refuses a startup packet that names a setting which it does not track.
_REFUSED_SETTING: Final = "08P01"


async def dial(options: ConnectionOptions, application_name: str, facts: FactsBySql) -> Connection:
    """
    Connect.

    Raises:
        ConnectionFailedError: The server cannot be reached, or refused the role.
        ConfigurationError: A certificate cannot be read.
    """
    connection = await _dial(options, application_name, facts)
    await _put_temporary_tables_last(connection, options)
    return connection


async def dial_first(
    options: ConnectionOptions, application_name: str, facts: FactsBySql
) -> tuple[Connection, ConnectionOptions]:
    """Connect, and find out whether a pooler hands sessions round; return the options with what was found out."""
    if not options.pgbouncer:
        try:
            connection = await _dial(options, application_name, facts)
        except ConnectionFailedError as error:
            if error.sqlstate != _REFUSED_SETTING:
                raise
        else:
            if not await _is_pooled(connection, options):
                await _put_temporary_tables_last(connection, options)
                return connection, options
            connection.raw.terminate()
        # Settings of the session would reach other clients' sessions, and with them another organization's rows.
        logger.warning("a pooler answers at this address; going on as if the URL said pgbouncer=true")
        options = replace(options, pgbouncer=True)
    return await dial(options, application_name, facts), options


async def hang_up(connection: Connection) -> None:
    """Close a connection in order: the server is told to stop a statement that still runs."""
    try:
        await connection.raw.close(timeout=_CLOSE_SECONDS)
    except Exception:  # close() itself cuts off a connection that it cannot take leave of
        logger.debug("a connection did not close in order", exc_info=True)


async def _dial(options: ConnectionOptions, application_name: str, facts: FactsBySql) -> Connection:
    with _translated(options):
        return await _connect(options, application_name, facts)


async def _is_pooled(connection: Connection, options: ConnectionOptions) -> bool:
    try:
        with _translated(options):
            async with asyncio.timeout(_SETUP_SECONDS):
                return await connection.is_pooled()
    except BaseException:
        connection.raw.terminate()
        raise


async def _put_temporary_tables_last(connection: Connection, options: ConnectionOptions) -> None:
    """Keep what the role's search path is, and see to it that no temporary table stands before a table of ours."""
    if options.schema is not None or options.pgbouncer:
        return
    path = "concat_ws(', ', nullif(current_setting('search_path'), ''), 'pg_temp')"
    try:
        with _translated(options):
            async with asyncio.timeout(_SETUP_SECONDS):
                await connection.raw.execute(f"SELECT set_config('search_path', {path}, false)")
    except BaseException:
        connection.raw.terminate()
        raise


@contextmanager
def _translated(options: ConnectionOptions) -> Iterator[None]:
    try:
        yield
    except AgentDBError:
        raise
    except Exception as error:
        raise translate_connect(error, options) or error from error


async def _connect(options: ConnectionOptions, application_name: str, facts: FactsBySql) -> Connection:
    """Connect and set up one session."""
    arguments = options.connect_arguments()
    is_unnamed = options.pgbouncer or options.statement_cache_size == 0
    raw = await asyncpg.connect(
        **arguments,
        statement_cache_size=0 if is_unnamed else options.statement_cache_size,
        max_cached_statement_lifetime=0,
        server_settings=_server_settings(options, application_name),
    )
    try:
        async with asyncio.timeout(_SETUP_SECONDS):
            await _set_text_codecs(raw)
    except BaseException:
        raw.terminate()
        raise
    return Connection(raw, facts, options.statement_cache_size or DEFAULT_STATEMENT_CACHE_SIZE)


def _server_settings(options: ConnectionOptions, application_name: str) -> dict[str, str]:
    settings = {"application_name": options.application_name or application_name}
    if options.pgbouncer:
        # PgBouncer refuses a session whose startup packet names a setting that it does not track.
        return settings
    # jit costs more than it gives on short statements, and is slow on the library's own catalog queries.
    settings["jit"] = "off"
    if options.schema is not None:
        settings["search_path"] = search_path(options.schema)
    return settings | dict(options.settings)


async def _set_text_codecs(raw: Any) -> None:
    # json and bit strings travel as text in both directions; binary, because COPY takes binary codecs only. Nothing is
    # sent for built-in types.
    await raw.set_type_codec("json", schema="pg_catalog", encoder=str.encode, decoder=bytes.decode, format="binary")
    await raw.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )
    await raw.set_type_codec("date", schema="pg_catalog", encoder=pack_date, decoder=unpack_date, format="binary")
    for name in ("bit", "varbit"):
        await raw.set_type_codec(name, schema="pg_catalog", encoder=pack_bits, decoder=unpack_bits, format="binary")


def _encode_jsonb(text: str) -> bytes:
    return b"\x01" + text.encode()


def _decode_jsonb(data: bytes) -> str:
    return data[1:].decode()
