"""The figures of a pool, and the error that is made of them when a caller has waited too long."""

from __future__ import annotations

from dataclasses import dataclass

from agentdb.errors import PoolTimeoutError

__all__ = ["PoolStats", "time_out"]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """
    The state of a pool at one moment.

    Attributes:
        limit: Most connections it may have.
        size: Connections it has.
        idle: Of these, free to lend.
        in_use: Of these, lent or being cleaned.
        connecting: Connections on their way.
        waiting: Callers that wait for one.
        oldest_lease_seconds: How long the oldest loan has lasted; None when nothing is lent.
    """

    limit: int
    size: int
    idle: int
    in_use: int
    connecting: int
    waiting: int
    oldest_lease_seconds: float | None


def time_out(stats: PoolStats, waited_seconds: float) -> PoolTimeoutError:
    """Return the error for a caller that waited in vain: with the figures that tell a leak from a pool too small."""
    parts = [f"{stats.in_use} of {stats.limit} in use", f"{stats.waiting} waiting"]
    if stats.connecting:
        parts.append(f"{stats.connecting} still connecting")
    if stats.oldest_lease_seconds is not None:
        parts.append(f"the oldest held for {stats.oldest_lease_seconds:.1f} s")
    return PoolTimeoutError(
        f"No database connection became free within {waited_seconds:.1f} s: {', '.join(parts)}. "
        "Look for a transaction that stays open, or raise connection_limit in the URL.",
        waited_seconds=waited_seconds,
        size=stats.limit,
        in_use=stats.in_use,
        waiting=stats.waiting,
        oldest_lease_seconds=stats.oldest_lease_seconds,
    )
