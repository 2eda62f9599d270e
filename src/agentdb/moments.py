"""The time of day, for all that the client stamps and compares by itself: in one place, so that a test can stop it."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["stop_at", "utc_now"]

_stopped: datetime | None = None


def utc_now() -> datetime:
    """Return the moment that it is, in UTC; the one at which time was stopped, if it was."""
    return _stopped or datetime.now(UTC)


def stop_at(moment: datetime | None) -> None:
    """
    Let time stand still in this process, for tests; what waits and what measures durations goes on.

    Args:
        moment: The moment that it is from now on, aware; None: time goes by again.
    """
    global _stopped
    _stopped = moment
