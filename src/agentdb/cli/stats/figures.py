"""What `agentdb stats` shows. What the client has no method for is asked in SQL here, of its organization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from agentdb.cli.agents import find_agent_id
from agentdb.client.client import PrismaAgentClient
from agentdb.client.database import TABLES

if TYPE_CHECKING:
    from agentdb.client.metric.buckets import BucketWidth
    from agentdb.models import Execution, ExecutionReport, MetricSeries, MetricSummary, ToolOverview
    from agentdb.postgres.driver import Driver, Record

__all__ = ["STATUSES", "Figures", "Metric", "OfType", "Span", "Table", "bucket_of", "find", "find_metric", "spans"]

STATUSES: Final = ("failed", "abandoned", "cancelled", "completed", "running")
"""What may become of an execution; what went wrong first."""

_MOST_FAILURES: Final = 5
_MOST_BUCKETS: Final = 32
_BUCKETS: Final[Sequence[tuple[BucketWidth, timedelta]]] = (
    ("1m", timedelta(minutes=1)),
    ("5m", timedelta(minutes=5)),
    ("15m", timedelta(minutes=15)),
    ("1h", timedelta(hours=1)),
    ("6h", timedelta(hours=6)),
    ("1d", timedelta(days=1)),
    ("1w", timedelta(weeks=1)),
)
_MONDAY: Final = datetime(2001, 1, 1, tzinfo=UTC)

_OVER_TIME: Final = """
SELECT date_bin($3, started_at, $4) AS start, status, count(*) AS executions FROM agent_executions
WHERE organization_id = $1 AND started_at >= $2 AND ($5::text IS NULL OR agent_id = $5)
GROUP BY 1, 2
"""
_MEMORIES: Final = """
SELECT a.name AS agent, m.memory_type AS type, count(*) AS memories, count(m.embedding_dimensions) AS embedded,
    count(*) FILTER (WHERE m.sensitive) AS sensitive
FROM agent_memories AS m JOIN agents AS a ON a.organization_id = m.organization_id AND a.id = m.agent_id
WHERE m.organization_id = $1 AND ($2::text IS NULL OR m.agent_id = $2)
    AND m.superseded_by_id IS NULL AND (m.expires_at IS NULL OR m.expires_at > now())
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
# What the planner believes: counting would read every row, and row-level security shows those of one organization.
_TABLES: Final = """
SELECT relname::text AS name, greatest(reltuples, 0)::bigint AS rows, pg_total_relation_size(oid) AS size_bytes
FROM pg_class WHERE oid = ANY ($1::text[]::regclass[]) ORDER BY 3 DESC, 1
"""


class Span(NamedTuple):
    """How many executions began in a span of time, by what became of them."""

    start: datetime
    counts: dict[str, int]


class OfType(NamedTuple):
    """How many living memories of one type an agent has, and how many of these have an embedding or are sensitive."""

    agent: str
    type: str
    memories: int
    embedded: int
    sensitive: int


class Table(NamedTuple):
    """What a table takes with its indexes, of all organizations; *rows* is the database's estimate."""

    name: str
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Figures:
    """
    What there is to show.

    Attributes:
        bucket: How long a span of *over_time* is: "1h", …
        over_time: The newest spans, oldest first, empty ones too.
        names: The names of agents that ran something, by id.
        tables: The largest first.
    """

    hours: float
    bucket: str
    over_time: Sequence[Span]
    report: ExecutionReport
    names: dict[str, str]
    tools: ToolOverview
    failures: Sequence[Execution]
    memories: Sequence[OfType]
    tables: Sequence[Table]


@dataclass(frozen=True)
class Metric:
    """A metric; *others* are names that the agent has recorded in its place where there is none."""

    agent: str
    hours: float
    series: MetricSeries
    summary: MetricSummary | None
    others: Sequence[str]


async def find(agent: str | None, hours: float) -> Figures:
    """
    Return the figures of the last *hours*, of one agent or of all.

    Raises:
        NotFoundError: There is no such agent.
        InvalidInputError: *hours* is out of range.
    """
    async with PrismaAgentClient() as client:
        agent_id = await find_agent_id(client, agent)
        report = await client.executions.stats(agent_id, hours=hours)
        now = datetime.now(UTC)
        since = now - timedelta(hours=hours)
        name, length = bucket_of(hours)
        driver, organization = client.driver, client.organization_id
        counted = await driver.fetch(_OVER_TIME, (organization, since, length, _MONDAY, agent_id))
        tools = await client.tools.overview(agent_id=agent_id, since=since)
        failures = await client.executions.list(
            agent_id, status="failed", since=since, limit=_MOST_FAILURES, must_open=False
        )
        memories = [OfType(**row) for row in await driver.fetch(_MEMORIES, (organization, agent_id))]
        tables = await _tables(driver)
    names = {each.agent_id: each.agent_name for each in report if each.agent_id and each.agent_name}
    over_time = spans(counted, since, now, length)
    return Figures(hours, name, over_time, report, names, tools, failures, memories, tables)


async def find_metric(agent: str, name: str, hours: float) -> Metric:
    """
    Return a metric of an agent over the last *hours*.

    Raises:
        NotFoundError: There is no such agent.
        InvalidInputError: *hours* is out of range, or *name* is no name.
    """
    async with PrismaAgentClient() as client:
        agent_id = await find_agent_id(client, agent)
        assert agent_id is not None  # for *agent* is not
        series = await client.metrics.series(agent_id, name, hours=hours, bucket=bucket_of(hours)[0], exact=False)
        summaries = await client.metrics.summary(agent_id, hours=hours, exact=False)
    return Metric(agent, hours, series, summaries.get(name), sorted(summaries.keys() - {name}))


def bucket_of(hours: float) -> tuple[BucketWidth, timedelta]:
    """Return the shortest bucket of which *hours* are not too many for a terminal, else the longest."""
    fitting = (bucket for bucket in _BUCKETS if hours * 3600 <= (_MOST_BUCKETS - 1) * bucket[1].total_seconds())
    return next(fitting, _BUCKETS[-1])


def spans(counted: Sequence[Record], since: datetime, until: datetime, length: timedelta) -> list[Span]:
    """Return every span that the time from *since* to *until* touches, the newest ones, with what was *counted*."""
    counts: dict[datetime, dict[str, int]] = {}
    for row in counted:
        counts.setdefault(row["start"], {})[row["status"]] = row["executions"]
    first, last = ((moment - _MONDAY) // length for moment in (since, until))
    starts = [_MONDAY + number * length for number in range(max(first, last - _MOST_BUCKETS + 1), last + 1)]
    return [Span(start, {status: counts.get(start, {}).get(status, 0) for status in STATUSES}) for start in starts]


async def _tables(driver: Driver) -> list[Table]:
    return [Table(**row) for row in await driver.fetch(_TABLES, ([*TABLES],))]
