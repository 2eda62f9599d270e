"""Metrics and their two forms."""

from __future__ import annotations

import re

from agentdb.engine.metrics import BOUNDS_MS, Histogram, Metrics


def test_a_bound_belongs_to_its_bucket() -> None:
    """A value that equals a bound counts in that bucket, one beyond all bounds in the last."""
    histogram = Histogram()
    for milliseconds in (0, 1, 1.5, 5, 50_000, 50_001):
        histogram.add(milliseconds / 1000)
    assert histogram.counts == [1, 1, 2, 0, 0, 0, 0, 0, 0, 1, 1]
    assert (histogram.count, histogram.sum_ms) == (6, 100_008.5)


def test_both_forms_tell_the_same() -> None:
    """JSON counts a value in one bucket, Prometheus in every bucket that it fits."""
    metrics = Metrics()
    for milliseconds in (0.5, 7, 7, 60_000):
        metrics.queries.add(milliseconds / 1000)
    report = metrics.report(None)["histograms"][0]
    assert [count for _, count in report["value"]["buckets"]] == [0, 1, 0, 2, 0, 0, 0, 0, 0, 0]
    assert [bound for bound, _ in report["value"]["buckets"]] == list(BOUNDS_MS)
    assert (report["value"]["count"], report["value"]["sum"]) == (4, 60_014.5)
    text = metrics.prometheus(None)
    assert re.findall(r"queries_duration_histogram_ms_bucket{le=\S+} (\d+)", text)[:11] == list("01133333334")
    assert "prisma_client_queries_duration_histogram_ms_sum 60014.5\n" in text


def test_those_who_did_not_wait() -> None:
    """A statement that found a free connection waited for nothing, and counts so."""
    metrics = Metrics()
    for _ in range(3):
        metrics.statements.add(0.002)
    metrics.waits.add(0.02)
    waits = metrics.report(None)["histograms"][1]["value"]
    assert (waits["count"], waits["sum"]) == (3, 20)
    assert waits["buckets"][0] == [0, 2]


def test_without_a_pool() -> None:
    """An engine whose pool is somebody else's knows nothing of it."""
    report = Metrics().report(None, {"a": "b"})
    assert {metric["value"] for metric in (*report["counters"], *report["gauges"])} == {0}
    assert all(metric["labels"] == {"a": "b"} for metric in report["gauges"])
