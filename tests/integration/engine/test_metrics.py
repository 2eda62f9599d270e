"""`get_metrics` and `log_queries`: what a client tells of its work."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.postgres

COUNTERS = [
    "prisma_client_queries_total",
    "prisma_datasource_queries_total",
    "prisma_pool_connections_closed_total",
    "prisma_pool_connections_opened_total",
]
GAUGES = [
    "prisma_client_queries_active",
    "prisma_client_queries_wait",
    "prisma_pool_connections_busy",
    "prisma_pool_connections_idle",
    "prisma_pool_connections_open",
]
HISTOGRAMS = [
    "prisma_client_queries_duration_histogram_ms",
    "prisma_client_queries_wait_histogram_ms",
    "prisma_datasource_queries_duration_histogram_ms",
]


async def values(client: Any) -> dict[str, Any]:
    """Return every metric's value by its name."""
    metrics = await client.get_metrics()
    return {metric.key: metric.value for metric in (*metrics.counters, *metrics.gauges, *metrics.histograms)}


class TestJson:
    async def test_names_and_labels(self, db: Any) -> None:
        """The metrics are those that Prisma documents, in order, each with a description and the labels asked for."""
        await db.user.create({"email": "a"})
        metrics = await db.get_metrics(format="json", global_labels={"host": "one"})
        assert [metric.key for metric in metrics.counters] == COUNTERS
        assert [metric.key for metric in metrics.gauges] == GAUGES
        assert [metric.key for metric in metrics.histograms] == HISTOGRAMS
        for metric in (*metrics.counters, *metrics.gauges, *metrics.histograms):
            assert metric.labels == {"host": "one"}
            assert metric.description
        assert json.loads(metrics.model_dump_json())["counters"][0]["value"] == 1

    async def test_queries(self, db: Any) -> None:
        """A call of the client counts once, however many statements it takes; so does each query of a batch."""
        await db.get_metrics()  # from now on statements are counted too
        await db.user.create({"email": "a", "posts": {"create": {"title": "t"}}})  # 2 statements, or more
        await db.query_raw("SELECT 1")
        async with db.batch_() as batch:
            batch.user.create({"email": "b"})
            batch.user.create({"email": "c"})
        found = await values(db)
        assert found["prisma_client_queries_total"] == 4
        assert found["prisma_datasource_queries_total"] > 4
        histogram = found["prisma_client_queries_duration_histogram_ms"]
        assert histogram.count == sum(count for _, count in histogram.buckets) == 4
        assert histogram.sum > 0
        assert [bound for bound, _ in histogram.buckets] == [0, 1, 5, 10, 50, 100, 500, 1000, 5000, 50000]
        statements = found["prisma_datasource_queries_duration_histogram_ms"]
        assert statements.count == found["prisma_datasource_queries_total"]

    async def test_failed_queries(self, db: Any, client_package: Any) -> None:
        """A query that fails is a query."""
        with pytest.raises(client_package.errors.RawQueryError):
            await db.query_raw("SELECT * FROM nowhere")
        assert (await values(db))["prisma_client_queries_total"] == 1

    async def test_transactions(self, db: Any) -> None:
        """BEGIN and COMMIT are statements of their own, and a nested one's savepoint too."""
        await db.get_metrics()
        async with db.tx() as tx:
            await tx.query_raw("SELECT 1")
        assert (await values(db))["prisma_datasource_queries_total"] == 3

    async def test_the_pool(self, prisma_class: type[Any], url: str, db: Any) -> None:
        """The gauges show connections at work, resting and waited for, and return to rest."""
        client = prisma_class(datasource={"url": f"{url}&connection_limit=2"}, use_dotenv=False)
        async with client:
            await client.get_metrics()
            tasks = [asyncio.create_task(client.query_raw("SELECT pg_sleep(0.3)")) for _ in range(3)]
            await asyncio.sleep(0.15)
            busy = await values(client)
            await asyncio.gather(*tasks)
            rest = await values(client)
        shown = ("queries_active", "queries_wait", "connections_busy", "connections_idle", "connections_open")
        names = [next(name for name in GAUGES if name.endswith(end)) for end in shown]
        assert [busy[name] for name in names] == [3, 1, 2, 0, 2]
        assert [rest[name] for name in names] == [0, 0, 0, 2, 2]
        assert rest["prisma_pool_connections_opened_total"] == 2
        assert rest["prisma_client_queries_wait_histogram_ms"].sum > 100
        assert rest["prisma_client_queries_wait_histogram_ms"].count == 3

    async def test_closed_connections(self, db: Any, raw: Any) -> None:
        """A connection that was lost is closed, and the one after it opened."""
        await db.query_raw("SELECT 1")
        await raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0.1)
        await db.query_raw("SELECT 1")
        found = await values(db)
        assert found["prisma_pool_connections_closed_total"] == 1
        assert found["prisma_pool_connections_opened_total"] == 2

    async def test_not_connected(self, prisma_class: type[Any], client_package: Any) -> None:
        """A client that is not connected has none."""
        with pytest.raises(client_package.errors.ClientNotConnectedError):
            await prisma_class(use_dotenv=False).get_metrics()


class TestPrometheus:
    async def test_text(self, db: Any) -> None:
        """The text form has a help line, a type line and samples for each metric."""
        await db.user.create({"email": "a"})
        text = await db.get_metrics(format="prometheus")
        blocks = text.split("\n\n")
        assert [block.split()[2] for block in blocks if block] == [*COUNTERS, *GAUGES, *HISTOGRAMS]
        assert blocks[0].splitlines() == [
            "# HELP prisma_client_queries_total Total number of Prisma Client queries executed",
            "# TYPE prisma_client_queries_total counter",
            "prisma_client_queries_total 1",
        ]

    async def test_buckets_add_up(self, db: Any) -> None:
        """A bucket holds all that is no longer than its bound; the last one everything."""
        await db.get_metrics()
        for number in range(3):
            await db.user.create({"email": str(number)})
        text = await db.get_metrics(format="prometheus")
        found = re.findall(r'^prisma_client_queries_duration_histogram_ms_bucket\{le="(.+)"\} (\d+)$', text, re.M)
        assert " ".join(bound for bound, _ in found) == "0 1 5 10 50 100 500 1000 5000 50000 +Inf"
        counts = [int(count) for _, count in found]
        assert counts == sorted(counts)
        assert counts[-1] == 3
        assert "prisma_client_queries_duration_histogram_ms_count 3\n" in text

    async def test_labels(self, db: Any) -> None:
        """Labels stand on every sample, sorted, their values escaped."""
        text = await db.get_metrics(format="prometheus", global_labels={"b-c": 'say "hi"\n', "a": "1"})
        labels = r'a="1",b_c="say \"hi\"\n"'
        assert f"prisma_client_queries_total{{{labels}}} 0\n" in text
        assert f'prisma_client_queries_duration_histogram_ms_bucket{{{labels},le="+Inf"}} 0\n' in text
        assert all(labels in line for line in text.splitlines() if line and not line.startswith("#"))


class TestLogQueries:
    @pytest.fixture
    def lines(self, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Any]]:
        return lambda: [json.loads(line)["fields"] for line in capsys.readouterr().out.splitlines()]

    async def test_on(self, prisma_class: type[Any], url: str, db: Any, lines: Any) -> None:
        """With log_queries every statement is a line of JSON on the standard output, without its values."""
        async with prisma_class(datasource={"url": url}, use_dotenv=False, log_queries=True) as client:
            await client.user.create({"email": "secret@example.org"})
            async with client.tx() as tx:
                await tx.execute_raw("DELETE FROM users WHERE email = $1", "secret@example.org")
        logged = lines()
        queries = [line["query"] for line in logged]
        assert queries[0].startswith("INSERT INTO")
        assert queries[1:] == ["BEGIN", "DELETE FROM users WHERE email = $1", "COMMIT"]
        assert all(line["is_query"] and line["duration_ms"] >= 0 for line in logged)
        assert "secret" not in str(logged)

    async def test_off(self, db: Any, lines: Any) -> None:
        """Without it nothing is printed."""
        await db.user.count()
        assert lines() == []
