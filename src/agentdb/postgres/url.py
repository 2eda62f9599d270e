"""
Reads a DATABASE_URL in Prisma's dialect.

The Node admin app and agentdb share one variable, so the spelling is Prisma's; the libpq spellings that Python users
know from psycopg are taken as well where the two do not collide.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from agentdb.errors import ConfigurationError

__all__ = ["DEFAULT_CONNECTION_LIMIT", "ConnectionOptions", "parse_url"]

logger: Final = logging.getLogger("agentdb.postgres")

DEFAULT_CONNECTION_LIMIT = 10
DEFAULT_POOL_TIMEOUT_SECONDS = 10.0
DEFAULT_CONNECT_TIMEOUT_SECONDS = 5.0
DEFAULT_STATEMENT_CACHE_SIZE = 256

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TOLERANT_SSL_MODES = ("disable", "allow", "prefer")
_SSL_ACCEPT = ("accept_invalid_certs", "strict")
_MASK = "***"


@dataclass(frozen=True, slots=True, repr=False)
class ConnectionOptions:
    """
    How to reach one database. Made by `parse_url`; its repr never shows the password.

    Attributes:
        host: Host name or address, or the directory of a unix socket when it starts with "/".
        port: TCP port; names the socket file when *host* is a directory.
        user: The role to log in as.
        password: Its password; None lets the server, PGPASSWORD or ~/.pgpass decide.
        database: The database.
        schema: The schema that unqualified names resolve to; None leaves the server's search_path alone.
        ssl_mode: As libpq: disable, allow, prefer, require, verify-ca or verify-full.
        ssl_strict: Check the server's certificate against the system's authorities (Prisma's sslaccept=strict).
        ssl_root_cert: File of the authorities to check the server's certificate against.
        ssl_cert: File of the client certificate.
        ssl_key: File of its private key.
        connection_limit: Most connections that the pool opens.
        pool_timeout_seconds: Longest wait for a free connection; None waits for ever.
        connect_timeout_seconds: Longest time to make a connection; None waits for ever.
        command_timeout_seconds: Longest time a statement may take (Prisma's socket_timeout); None is no limit.
        statement_cache_size: Prepared statements kept per connection; 0 uses unnamed statements only.
        pgbouncer: The server is a PgBouncer in transaction mode: rely on no session state.
        application_name: What the server shows in pg_stat_activity; None takes the pool's.
        settings: Further server settings, from `options=-c name=value`.
        variable: Where the URL came from, for error texts.
    """

    host: str = "localhost"
    port: int = 5432
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    schema: str | None = None
    ssl_mode: str = "prefer"
    ssl_strict: bool = False
    ssl_root_cert: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None
    connection_limit: int = DEFAULT_CONNECTION_LIMIT
    pool_timeout_seconds: float | None = DEFAULT_POOL_TIMEOUT_SECONDS
    connect_timeout_seconds: float | None = DEFAULT_CONNECT_TIMEOUT_SECONDS
    command_timeout_seconds: float | None = None
    statement_cache_size: int = DEFAULT_STATEMENT_CACHE_SIZE
    pgbouncer: bool = False
    application_name: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    variable: str = "DATABASE_URL"

    def __repr__(self) -> str:
        return f"ConnectionOptions({self.masked()})"

    @property
    def is_socket(self) -> bool:
        """Whether the server is reached over a unix socket."""
        return self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        return self.is_socket or _is_loopback(self.host)

    @property
    def address(self) -> str:
        """Where the server is, as a person would write it."""
        if self.is_socket:
            return f"{self.host}/.s.PGSQL.{self.port}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def with_tls(self) -> ConnectionOptions:
        """
        Return these options so that nothing is sent unencrypted: allow and prefer become require.

        A unix socket needs no TLS: what goes through it does not leave the machine.

        Raises:
            ConfigurationError: sslmode is disable.
        """
        if self.is_socket or self.ssl_mode not in _TOLERANT_SSL_MODES:
            return self
        if self.ssl_mode == "disable":
            raise ConfigurationError(
                self.variable,
                "says sslmode=disable, and AGENTDB_REQUIRE_TLS refuses what is not encrypted. Use sslmode=verify-full.",
            )
        return replace(self, ssl_mode="require")

    def masked(self) -> str:
        """Return the URL for display: no password, no parameters."""
        login = quote(self.user or "", safe="")
        if self.password:
            login += f":{_MASK}"
        login = f"{login}@" if login else ""
        if self.is_socket:
            return f"postgresql://{login}/{quote(self.database or '', safe='')}?host={self.host}"
        return f"postgresql://{login}{self.address}/{quote(self.database or '', safe='')}"

    def url(self) -> str:
        """Return a URL that reaches the same database, with the password, without the tuning parameters."""
        login = quote(self.user or "", safe="")
        if self.password:
            login += f":{quote(self.password, safe='')}"
        query = {"schema": self.schema, "sslmode": None if self.is_socket else self.ssl_mode}
        query |= {"sslrootcert": self.ssl_root_cert, "sslcert": self.ssl_cert, "sslkey": self.ssl_key}
        query |= {"sslaccept": "strict" if self.ssl_strict else None, "pgbouncer": "true" if self.pgbouncer else None}
        if self.is_socket:
            query |= {"host": self.host, "port": str(self.port) if self.port != 5432 else None}
        text = urlencode({name: value for name, value in query.items() if value is not None}, safe="/")
        place = "" if self.is_socket else self.address
        return f"postgresql://{login}@{place}/{quote(self.database or '', safe='')}" + (f"?{text}" if text else "")

    def connect_arguments(self) -> dict[str, Any]:
        """
        Return what the database library's connect function takes.

        Raises:
            ConfigurationError: A certificate or key cannot be read.
        """
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
            "timeout": self.connect_timeout_seconds,
            "command_timeout": self.command_timeout_seconds,
        }
        if self.is_socket:
            return arguments | {"ssl": False}
        try:
            return arguments | self._ssl_arguments()
        except OSError as error:  # those of TLS are such, too
            reason = f"a TLS certificate or key cannot be read: {_why_unreadable(error)}."
            raise ConfigurationError(self.variable, reason) from error

    def _ssl_arguments(self) -> dict[str, Any]:
        is_strict = self.ssl_strict and self.ssl_mode != "disable"
        files = {"sslrootcert": self.ssl_root_cert, "sslcert": self.ssl_cert, "sslkey": self.ssl_key}
        given = {name: path for name, path in files.items() if path is not None}
        if not given and not is_strict:
            return {"ssl": self.ssl_mode}
        # Where the library makes a context of its own, this one is for its errors: the library's differ by mode.
        if is_strict:
            context = ssl.create_default_context(cafile=self.ssl_root_cert)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if self.ssl_root_cert:
                context.load_verify_locations(self.ssl_root_cert)
        if self.ssl_cert:
            # An empty password, for without one OpenSSL asks at the terminal, and everything waits for the answer.
            context.load_cert_chain(self.ssl_cert, self.ssl_key, password="")
        if is_strict:
            return {"ssl": context}
        # The library takes certificate files only from a DSN; everything else in it is overridden by the arguments.
        return {"dsn": f"postgresql://?{urlencode({'sslmode': self.ssl_mode} | given)}"}


def parse_url(url: str, *, variable: str = "DATABASE_URL", require_tls: bool = False) -> ConnectionOptions:
    """
    Read a PostgreSQL URL in Prisma's dialect.

    Args:
        url: `postgresql://user:password@host:port/database?schema=…&sslmode=…`; special characters percent-encoded.
        variable: Where it came from; errors name it.
        require_tls: Send nothing unencrypted, whatever the URL says; see `ConnectionOptions.with_tls`.

    Raises:
        ConfigurationError: Names the part that is wrong and what would be right; never shows the password.
    """
    options = _UrlReader(url.strip(), variable).read()
    return options.with_tls() if require_tls else options


def _why_unreadable(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "it is malformed, or needs a password"
    return error.strerror or type(error).__name__


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: whatever it resolves to now, it may be another machine tomorrow
        return False


class _UrlReader:
    def __init__(self, url: str, variable: str) -> None:
        self.url = url
        self.variable = variable

    def read(self) -> ConnectionOptions:
        if not self.url:
            raise self._wrong("it is empty; expected postgresql://user:password@host:5432/database.")
        scheme, separator, rest = self.url.partition("://")
        if not separator or scheme.lower() not in ("postgresql", "postgres"):
            # Not echoed: a URL without a scheme may well begin with the password.
            shown = f", not {scheme}://" if separator and scheme.isalnum() else ""
            raise self._wrong(f"it must start with postgresql:// or postgres://{shown}.")
        authority, path, query = self._split(rest)
        login, _, place = authority.rpartition("@")
        user, _, password = login.partition(":")
        host, port = self._place(place)
        parameters = self._parameters(query)
        options = ConnectionOptions(
            host=host or "localhost",
            port=port,
            user=self._decode(user, "the user name") or None,
            password=self._decode(password, "the password") or None,
            database=self._decode(path, "the database name") or None,
            variable=self.variable,
        )
        return self._apply(options, parameters)

    def _split(self, rest: str) -> tuple[str, str, str]:
        before, _, query = rest.partition("?")
        authority, _, path = before.partition("/")
        if "#" in before:
            raise self._wrong("a '#' stands outside the query; write it as %23.")
        if "/" in path or (path and "@" in path and "@" not in authority):
            raise self._wrong(
                "a '/', '?' or '@' stands in the user name or password; percent-encode it (%2F, %3F, %40)."
            )
        if authority.count("@") > 1:
            raise self._wrong("an unescaped '@' stands in the user name or password; write it as %40.")
        return authority, path, query

    def _place(self, place: str) -> tuple[str, int]:
        if "," in place:
            raise self._wrong(
                "it names several hosts; agentdb connects to one (put a pooler or a virtual address in front)."
            )
        if place.startswith("%2F") or place.startswith("%2f"):
            host, _, port = place.partition(":")
            return self._decode(host, "the host"), self._port(port)
        try:
            parts = urlsplit(f"//{place}")
            host = parts.hostname or ""
        except ValueError as error:
            raise self._wrong("the host is malformed; an IPv6 address stands in brackets: [::1].") from error
        if place.count(":") > 1 and not place.startswith("["):
            raise self._wrong("the host is malformed; an IPv6 address stands in brackets: [::1].")
        return unquote(host), self._port(place.rpartition("]")[2].partition(":")[2])

    def _port(self, text: str) -> int:
        if not text:
            return 5432
        # Not echoed: an unescaped ':' or '/' in a password puts a piece of it here.
        if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
            raise self._wrong(
                "the port is not a number from 1 to 65535 (or a ':', '/' or '?' before it should be percent-encoded)."
            )
        return int(text)

    def _decode(self, text: str, part: str) -> str:
        try:
            decoded = unquote(text, errors="strict")
        except UnicodeDecodeError as error:
            raise self._wrong(f"{part} is not valid percent-encoded UTF-8.") from error
        if "\0" in decoded:
            raise self._wrong(f"{part} holds a NUL character.")
        return decoded

    def _parameters(self, query: str) -> dict[str, str]:
        return dict(parse_qsl(query, keep_blank_values=True))

    def _apply(self, options: ConnectionOptions, parameters: dict[str, str]) -> ConnectionOptions:
        changes: dict[str, Any] = {}
        for name, value in parameters.items():
            reader = _PARAMETERS.get(name)
            if reader is None:
                # As Prisma does. The value stays out of the log: it may be a secret of some proxy.
                logger.debug("ignored an unknown parameter of the database URL", extra={"parameter": name})
            else:
                changes |= reader(self, name, value)
        changes = self._certificates(changes)
        return replace(options, **changes)

    def _certificates(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Settle `sslcert`: Prisma means the server's authority by it, libpq the client's certificate."""
        if changes.get("ssl_cert") and not changes.get("ssl_key"):
            changes["ssl_root_cert"] = changes.get("ssl_root_cert") or changes["ssl_cert"]
            changes["ssl_cert"] = None
        if changes.get("ssl_key") and not changes.get("ssl_cert"):
            raise self._wrong("sslkey needs sslcert, the certificate it belongs to.")
        return changes

    def _wrong(self, reason: str) -> ConfigurationError:
        return ConfigurationError(self.variable, reason)

    # One reader per parameter; each returns the options that it changes.

    def host(self, name: str, value: str) -> dict[str, Any]:
        if "," in value:
            raise self._wrong("it names several hosts; agentdb connects to one.")
        return {"host": value} if value else {}

    def port_parameter(self, name: str, value: str) -> dict[str, Any]:
        return {"port": self._port(value)}

    def flag(self, name: str, value: str) -> dict[str, Any]:
        if value.lower() not in ("true", "false", "1", "0", ""):
            raise self._wrong(f"{name} must be true or false.")
        return {name: value.lower() in ("true", "1", "")}

    def ssl_mode(self, name: str, value: str) -> dict[str, Any]:
        if value not in _SSL_MODES:
            raise self._wrong(f"sslmode must be one of {', '.join(_SSL_MODES)}.")
        return {"ssl_mode": value}

    def ssl_accept(self, name: str, value: str) -> dict[str, Any]:
        if value not in _SSL_ACCEPT:
            raise self._wrong(f"sslaccept must be one of {', '.join(_SSL_ACCEPT)}.")
        return {"ssl_strict": value == "strict"}

    def ssl_identity(self, name: str, value: str) -> dict[str, Any]:
        raise self._wrong(f"{name} (a PKCS #12 file) is not supported; give sslcert and sslkey as PEM files instead.")

    def whole(self, name: str, value: str, least: int) -> int:
        if not (value.isascii() and value.isdigit() and least <= int(value) <= 2**31 - 1):
            raise self._wrong(f"{name} must be a whole number, {least} or more.")
        return int(value)

    def connection_limit(self, name: str, value: str) -> dict[str, Any]:
        return {"connection_limit": self.whole(name, value, 1)}

    def statement_cache_size(self, name: str, value: str) -> dict[str, Any]:
        return {"statement_cache_size": self.whole(name, value, 0)}

    def seconds(self, name: str, value: str) -> float | None:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            raise self._wrong(f"{name} must be a number of seconds, 0 for no limit.")
        return seconds or None

    def pool_timeout(self, name: str, value: str) -> dict[str, Any]:
        return {"pool_timeout_seconds": self.seconds(name, value)}

    def connect_timeout(self, name: str, value: str) -> dict[str, Any]:
        return {"connect_timeout_seconds": self.seconds(name, value)}

    def socket_timeout(self, name: str, value: str) -> dict[str, Any]:
        return {"command_timeout_seconds": self.seconds(name, value)}

    def options(self, name: str, value: str) -> dict[str, Any]:
        settings: dict[str, str] = {}
        words = iter(value.split())
        for word in words:
            setting = next(words, "") if word == "-c" else word.removeprefix("-c").removeprefix("--")
            key, separator, text = setting.partition("=")
            if not (word.startswith("-") and separator and key):
                raise self._wrong("options must read '-c name=value', any number of times.")
            settings[key.replace("-", "_")] = text
        return {"settings": settings}


_PARAMETERS: dict[str, Callable[[_UrlReader, str, str], dict[str, Any]]] = {
    "schema": lambda reader, name, value: {"schema": value or None},
    "application_name": lambda reader, name, value: {"application_name": value or None},
    "sslrootcert": lambda reader, name, value: (
        {"ssl_strict": True} if value == "system" else {"ssl_root_cert": value or None}
    ),
    "sslcert": lambda reader, name, value: {"ssl_cert": value or None},
    "sslkey": lambda reader, name, value: {"ssl_key": value or None},
    "user": lambda reader, name, value: {"user": value or None},
    "password": lambda reader, name, value: {"password": value or None},
    "dbname": lambda reader, name, value: {"database": value or None},
    "host": _UrlReader.host,
    "port": _UrlReader.port_parameter,
    "sslmode": _UrlReader.ssl_mode,
    "sslaccept": _UrlReader.ssl_accept,
    "sslidentity": _UrlReader.ssl_identity,
    "sslpassword": _UrlReader.ssl_identity,
    "connection_limit": _UrlReader.connection_limit,
    "pool_timeout": _UrlReader.pool_timeout,
    "connect_timeout": _UrlReader.connect_timeout,
    "socket_timeout": _UrlReader.socket_timeout,
    "statement_cache_size": _UrlReader.statement_cache_size,
    "pgbouncer": _UrlReader.flag,
    "options": _UrlReader.options,
}
