"""What calls say of tools, as far as it goes without a database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentdb import ToolStats
from agentdb.client.evidence import wilson_interval
from agentdb.client.tool.stats import overview_of, ranked
from agentdb.models import from_row


def stats(name: str, calls: int, successes: int, p50_ms: float | None = 1.0) -> ToolStats:
    """Figures of a tool."""
    return from_row(
        ToolStats,
        {
            "name": name,
            "calls": calls,
            "successes": successes,
            "failures": calls - successes,
            "success_rate": successes / calls if calls else None,
            "success_interval": wilson_interval(successes, calls) if calls else None,
            "p50_ms": p50_ms,
            "p95_ms": p50_ms,
            "last_used_at": None,
            "by_agent": {},
        },
    )


def names(tools: list[ToolStats]) -> list[str]:
    return [tool.name for tool in tools]


def test_ranking() -> None:
    """Proof before rate, then the quicker, then the name; what was never called comes last."""
    tools = [
        stats("unused", 0, 0, None),
        stats("once", 1, 1),
        stats("cleared", 50, 50, None),
        stats("slow", 50, 50, 9.0),
        stats("quick", 50, 50, 1.0),
        stats("also-quick", 50, 50, 1.0),
        stats("often", 100, 99),
        stats("never-works", 100, 0),
        stats("fails-once", 1, 0, 0.5),
    ]
    expected = ["often", "also-quick", "quick", "slow", "cleared", "once", "fails-once", "never-works", "unused"]

    assert names(ranked(tools)) == expected
    assert names(ranked(reversed(tools))) == expected


def test_overview() -> None:
    """Most used first; failing is what surely fails, the worst first."""
    tools = [stats("b", 0, 0), stats("a", 0, 0), stats("bad", 100, 70), stats("worse", 50, 10), stats("unlucky", 2, 1)]
    overview = overview_of(tools, 0.9)

    assert names(overview.tools) == ["bad", "worse", "unlucky", "a", "b"]
    assert overview.never_used == ["a", "b"]
    assert names(overview.failing) == ["worse", "bad"]
    assert names(overview_of(tools, 1.0).failing) == ["worse", "bad", "unlucky"]
    assert overview_of(tools, 0.0).failing == []


evidence = st.integers(0, 1000).flatmap(lambda calls: st.tuples(st.just(calls), st.integers(0, calls)))


@given(st.lists(evidence, max_size=20), st.floats(0, 1))
def test_every_tool_has_its_place(counts: list[tuple[int, int]], below: float) -> None:
    """Nothing is lost or doubled, and nothing is failing whose rate may be high enough."""
    tools = [stats(f"t{number}", *count) for number, count in enumerate(counts)]
    overview = overview_of(tools, below)

    assert sorted(names(overview.tools)) == sorted(names(ranked(tools))) == sorted(names(tools))
    assert set(overview.never_used) == {tool.name for tool in tools if tool.calls == 0}
    for tool in tools:
        bound = tool.success_interval
        assert (tool in overview.failing) == (bound is not None and bound[1] < below)
