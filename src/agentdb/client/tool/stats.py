"""From rows of recorded calls to what they say of tools: plain functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from agentdb.client.evidence import wilson_interval
from agentdb.models import ToolOverview, ToolStats, from_row

if TYPE_CHECKING:
    from agentdb.postgres.driver import Record

__all__ = ["overview_of", "ranked", "stats_of"]


def stats_of(records: Iterable[Record], *, from_catalogue: bool) -> list[ToolStats]:
    """
    Return the rows of the block `stats` as what they say of each tool, by name.

    Args:
        records: For each tool a row without an agent, then one for each agent.
        from_catalogue: Whether a tool's totals are those that the catalogue keeps; else those of its recorded calls.
    """
    found = []
    for name, rows in groupby(records, itemgetter("name")):
        whole, *parts = rows
        by_agent = {part["agent_id"]: _stats(name, part, {}) for part in parts}
        stats = _stats(name, whole, by_agent)
        if from_catalogue:
            counted = _counted(whole["call_count"], whole["success_count"])
            stats = stats.model_copy(update={**counted, "last_used_at": whole["last_ever_at"]})
        found.append(stats)
    return found


def _stats(name: str, record: Record, by_agent: dict[str, ToolStats]) -> ToolStats:
    last_used_at: datetime | None = record["last_used_at"]
    return from_row(
        ToolStats,
        {
            "name": name,
            **_counted(record["calls"], record["successes"]),
            "p50_ms": record["p50_ms"],
            "p95_ms": record["p95_ms"],
            "last_used_at": last_used_at,
            "by_agent": by_agent,
        },
    )


def _counted(calls: int, successes: int) -> dict[str, object]:
    return {
        "calls": calls,
        "successes": successes,
        "failures": calls - successes,
        "success_rate": successes / calls if calls else None,
        "success_interval": wilson_interval(successes, calls) if calls else None,
    }


def overview_of(stats: Iterable[ToolStats], failing_below: float) -> ToolOverview:
    """
    Return what *stats* say together.

    Args:
        stats: One for each tool.
        failing_below: A tool fails when its success rate is credibly lower: the upper bound of its interval is.
    """
    tools = sorted(stats, key=lambda tool: (-tool.calls, tool.name))
    bounds = [(tool.success_interval[1], tool.name, tool) for tool in tools if tool.success_interval is not None]
    return from_row(
        ToolOverview,
        {
            "tools": tools,
            "never_used": sorted(tool.name for tool in tools if not tool.calls),
            "failing": [tool for bound, _, tool in sorted(bounds, key=itemgetter(0, 1)) if bound < failing_below],
        },
    )


def ranked(stats: Iterable[ToolStats]) -> list[ToolStats]:
    """Return *stats* best first: by the lower bound of the success rate, ties by the quicker, then by name."""

    def place(tool: ToolStats) -> tuple[bool, float, float, str]:
        low = 0.0 if tool.success_interval is None else tool.success_interval[0]
        return not tool.calls, -low, math.inf if tool.p50_ms is None else tool.p50_ms, tool.name

    return sorted(stats, key=place)
