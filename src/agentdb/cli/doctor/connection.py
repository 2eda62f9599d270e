"""The way to the server: how long it is, who may listen, who else uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agentdb.cli.doctor.check import Check, failed, ok, warning

if TYPE_CHECKING:
    from agentdb.cli.doctor.facts import Server
    from agentdb.postgres.pool import Pool
    from agentdb.postgres.url import ConnectionOptions

__all__ = ["encrypted", "limited", "on_time", "pooled", "reached", "writable"]

_OLDEST: Final = 140_000
_FAR_MS: Final = 50.0
_OFF_SECONDS: Final = 1.0
_VERIFYING: Final = ("verify-ca", "verify-full")
_LEFT_FOR_OTHERS: Final = 3


def reached(server: Server, pool: Pool) -> Check:
    """Say where the server is, and how far away."""
    options = pool.options
    name = server.row["version"].split()[0]
    way = f"PostgreSQL {name} at {options.address}, {server.latency_ms:.1f} ms a round trip"
    if server.row["version_number"] < _OLDEST:
        return failed("connection", way, "Upgrade the server: agentdb needs PostgreSQL 14 or later.")
    if server.row["encoding"] != "UTF8":
        remedy = "Make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0;"
        return failed("connection", f"{way}; its encoding is {server.row['encoding']}, not UTF8", remedy)
    if server.latency_ms > _FAR_MS and not options.is_local:  # such a server is slow, and nowhere else
        remedy = "Run agents near the database: each operation takes one round trip or two."
        return warning("connection", way, remedy)
    return ok("connection", way)


def encrypted(server: Server, pool: Pool) -> Check:
    """Say whether TLS protects the way, and whether the server was made sure of."""
    options, tls = pool.options, pool.tls
    beyond = ""
    if options.pgbouncer:
        is_encrypted = server.row["is_encrypted_there"]
        beyond = f"; through a pooler whose own connection is {'' if is_encrypted else 'not '}encrypted"
    if tls is None:
        if options.is_local:
            return ok("tls", f"none, and none is needed: the server is on this machine{beyond}")
        remedy = "Add sslmode=verify-full and sslrootcert=FILE to DATABASE_URL; AGENTDB_REQUIRE_TLS=1 insists on it."
        return warning(
            "tls", f"not encrypted: whoever is on the way reads and changes all that is stored{beyond}", remedy
        )
    how = f"encrypted with {tls.version} ({tls.cipher})"
    if options.ssl_strict or options.ssl_mode in _VERIFYING:
        return ok("tls", f"{how}, the server's certificate verified{beyond}")
    if options.is_local:
        return ok("tls", f"{how}, the server's certificate not verified{beyond}")
    remedy = "Add sslmode=verify-full and sslrootcert=FILE to DATABASE_URL."
    return warning("tls", f"{how}, but any server's certificate is taken{beyond}", remedy)


def writable(server: Server) -> Check:
    """Find a server that takes no writes."""
    if server.row["is_replica"]:
        return failed("writes", "the server is a replica, which takes none", "Let DATABASE_URL lead to the primary.")
    if server.row["is_read_only"]:
        remedy = "As its owner: ALTER ROLE … RESET default_transaction_read_only; or ALTER DATABASE … likewise."
        return failed("writes", "refused: default_transaction_read_only is on for this role or database", remedy)
    return ok("writes", "the server takes them")


def pooled(server: Server, pool: Pool, asked: ConnectionOptions) -> Check:
    """
    Compare the pool with what the server has room for, and the URL with who answers.

    Args:
        asked: What the URL says; the pool's own options know what answered.
    """
    options, row = pool.options, server.row
    wait = "for ever" if options.pool_timeout_seconds is None else f"{options.pool_timeout_seconds:g} s at most"
    size = f"{options.connection_limit} connections a process, each waited for {wait}"
    if options.pgbouncer:
        if not asked.pgbouncer:
            remedy = "Add pgbouncer=true to DATABASE_URL: finding it out takes each process a connection."
            return warning("pool", f"{size}; a pooler answers, and the URL does not say so", remedy)
        return ok("pool", f"{size}; through a pooler in transaction mode")
    room, others = _room(server), max(0, row["sessions"] - 1)
    use = f"{size}; others have {others} of the {room} that the server lets this role have"
    if options.connection_limit > room - others:
        remedy = (
            f"Set connection_limit in DATABASE_URL to {max(1, room - others - _LEFT_FOR_OTHERS)} or less, raise "
            "max_connections, or put PgBouncer between."
        )
        return warning("pool", use, remedy)
    return ok("pool", use)


def limited(server: Server, pool: Pool) -> Check:
    """Say how long statements, locks and open transactions may take."""
    row = server.row
    limits = {"statement_timeout": row["statement_timeout"], "lock_timeout": row["lock_timeout"]}
    limits["idle_in_transaction_session_timeout"] = row["idle_timeout"]
    told = ", ".join(f"{name} {'none' if value == '0' else value}" for name, value in limits.items())
    seconds = pool.options.command_timeout_seconds
    own = f"socket_timeout {'none' if seconds is None else f'{seconds:g} s'}"
    if _milliseconds(row["statement_timeout"]) in range(1, 1000):
        remedy = "ALTER ROLE … SET statement_timeout = '30s': searches among many memories take longer than that."
        return warning("time limits", f"{told}, {own}", remedy)
    return ok("time limits", f"{told}, {own}")


def on_time(server: Server) -> Check:
    """Compare the clocks: times that agents give are held against those that the server gives."""
    ahead, uncertainty = server.clock
    zone = f"server's time zone {server.row['time_zone']}; times are stored in UTC"
    text = f"{abs(ahead) * 1000:,.0f} ms {'ahead of' if ahead > 0 else 'behind'} this machine's"
    finding = f"the server's is {text} (give or take {uncertainty * 1000:.1f} ms), {zone}"
    if abs(ahead) - uncertainty > _OFF_SECONDS:
        remedy = "Set both clocks by NTP: what is measured here shows up there at another time."
        return warning("clock", finding, remedy)
    return ok("clock", finding)


def _room(server: Server) -> int:
    """Return how many connections the role may have at most; a limit of -1 is none."""
    row = server.row
    limits = (row["most_connections"] - row["reserved"], row["role_limit"], row["database_limit"])
    return min(int(limit) for limit in limits if limit is not None and limit >= 0)


def _milliseconds(setting: str) -> int:
    """Return the milliseconds of a setting as the server writes it: "0", "500ms", "30s", "5min", …"""
    units = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
    number = setting.rstrip("dhimns")
    return int(number) * units.get(setting[len(number) :], 1)
