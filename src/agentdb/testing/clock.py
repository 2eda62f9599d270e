"""
A clock that stands still until a test moves it.

Time has two sources, and both follow it. In this process it is `agentdb.moments`. In the database it is `now()` and its
kin: `clock.sql` puts functions of the same names before PostgreSQL's own, which read the one row that says what time it
is; so it takes a database that is the test's own. All statements of all connections then see the same moment, those of
an open transaction, too.

What waits does not follow: time-outs, retries' delays, heartbeats and whatever else sleeps take the time that it takes.
"""

from __future__ import annotations

import contextlib
import importlib.resources
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agentdb.errors import InvalidInputError
from agentdb.moments import stop_at
from agentdb.testing.aside import Aside

if TYPE_CHECKING:
    from agentdb.testing.databases import OwnDatabase

__all__ = ["Clock", "stopped_clock"]


class Clock:
    """
    The time of one test, which stands still at the moment the test began: fixture `agentdb_clock`.

    All that agentdb stamps or compares follows it, in this process and in the test's own database: what is stored when,
    recency in a search, expiry, decay of patterns, silence of executions, windows and buckets of metrics. What waits
    does not: time-outs, delays between attempts, heartbeats. Nor does Python's own `datetime.now()`: an agent that asks
    for the time itself asks whatever it is given for that.

    Example:
        soon = agentdb_clock.now() + timedelta(hours=1)
        await agentdb_client.memories.store(MemoryEntry(agent.id, "the kettle is on", expires_at=soon))
        agentdb_clock.advance(hours=2)
        assert await agent.recall("kettle") == []
    """

    def __init__(self, database: Aside, now: datetime) -> None:
        self._database = database
        self._now = now
        self.move_to(now)

    def __repr__(self) -> str:
        return f"<Clock {self._now.isoformat()}>"

    def now(self) -> datetime:
        """Return the moment that it is, in UTC."""
        return self._now

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0, milliseconds: float = 0
    ) -> datetime:
        """
        Let time go by, or go back where the sum is negative; return the moment that it is then.

        A database that was told of a later moment may refuse an earlier one: no execution ends before it began.

        Raises:
            OverflowError: It would be before the year 1 or after 9999.
        """
        return self.move_to(
            self._now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
        )

    def move_to(self, moment: datetime) -> datetime:
        """
        Let it be *moment*; return it, in UTC.

        Args:
            moment: A naive time is taken as UTC.

        Raises:
            InvalidInputError: *moment* is no datetime.
        """
        if not isinstance(moment, datetime):
            raise InvalidInputError("moment", f"expected a datetime, got {type(moment).__name__}.")
        now = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        self._database.fetch("UPDATE agentdb_clock.moment SET at = $1", now)
        stop_at(now)
        self._now = now
        return now


@contextlib.contextmanager
def stopped_clock(database: OwnDatabase) -> Iterator[Clock]:
    """Put *database* and this process under a clock; the process is let go afterwards, the database is not."""
    aside = Aside(database.admin_url)
    try:
        aside.run(importlib.resources.files(__name__.rpartition(".")[0]).joinpath("clock.sql").read_text("utf-8"))
        yield Clock(aside, datetime.now(UTC))
    finally:
        stop_at(None)
        aside.close()
