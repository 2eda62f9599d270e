"""Runs two ways of doing the same work in turns, and says how they compare."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Case", "Measurement", "Work", "compare"]

_OURS = "agentdb"

Work = Callable[[Any], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Case:
    """
    One operation.

    Attributes:
        name: What is done, as the table shows it.
        ours: Does it once with agentdb.
        raw: Ways of doing the same by hand, by name; the quickest one is the measure.
        bar: The highest ratio that is good enough; None: shown for interest.
        prepare: Makes what a call gets, before its clock starts: what a caller has in hand.
        calls: How many calls follow each other before it is the other side's turn.
        turns: How often the sides take turns in a round.
    """

    name: str
    ours: Work
    raw: Mapping[str, Work]
    bar: float | None
    prepare: Callable[[], object]
    calls: int = 10
    turns: int = 10


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    What a case, or a start-up, took; times are medians in milliseconds.

    Attributes:
        ratio: The median of the rounds' ratios; *ratios* are these. None where there is nothing to compare with.
        raw_way: The quickest of the raw ways; *raw_ways* are the medians of all.
        bar: The highest ratio that is good enough; where there is no ratio, the highest time in milliseconds.
    """

    name: str
    ours_ms: float
    bar: float | None
    raw_ms: float | None = None
    ratio: float | None = None
    ratios: Sequence[float] = ()
    raw_way: str = ""
    raw_ways: Mapping[str, float] | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None when there is none."""
        if self.bar is None:
            return None
        return (self.ours_ms if self.ratio is None else self.ratio) <= self.bar

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self) | {"is_met": self.is_met}


async def compare(case: Case, *, rounds: int) -> Measurement:
    """Run *case* and return its medians."""
    ways: dict[str, Work] = {_OURS: case.ours, **case.raw}
    await _round(case, ways)  # prepares the statements and fills the caches of both sides
    medians: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        # who comes second finds the server's caches warmed by the first, so they change places
        order = dict(reversed(ways.items())) if number % 2 else ways
        for name, median in (await _round(case, order)).items():
            medians[name].append(median)
    raw_ways = {name: statistics.median(medians[name]) for name in case.raw}
    best = min(raw_ways, key=raw_ways.__getitem__)
    ratios = [ours / raw for ours, raw in zip(medians[_OURS], medians[best], strict=True)]
    return Measurement(
        case.name,
        ours_ms=statistics.median(medians[_OURS]),
        bar=case.bar,
        raw_ms=raw_ways[best],
        ratio=statistics.median(ratios),
        ratios=ratios,
        raw_way=best,
        raw_ways=raw_ways,
    )


async def _round(case: Case, ways: Mapping[str, Work]) -> dict[str, float]:
    """Let each way do its calls in turns; return each one's median in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    gc.collect()
    for _ in range(case.turns):
        for name, work in ways.items():
            for given in [case.prepare() for _ in range(case.calls)]:
                start = time.perf_counter()
                await work(given)
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(taken) for name, taken in times.items()}
