"""Runs several ways of doing the same work in turns, and says how they compare."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

__all__ = ["Case", "Check", "Measurement", "Other", "Turn", "Work", "compare"]

_OURS = "agentdb"

Work = Callable[[Any], Awaitable[object]]
"""Does an operation once, with what `Case.prepare` made for it."""

Turn = Callable[[Sequence[Any]], Awaitable[Sequence[float]]]
"""Does an operation once for each given item and returns the milliseconds of each."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One operation.

    Attributes:
        name: What is done, as the table shows it.
        ours: Does it once with agentdb.
        raw: Ways of doing the same by hand, by name; the quickest one is the measure.
        bar: The highest ratio that is good enough; None: shown for interest. With *is_throughput*, the lowest.
        prepare: Makes what a call gets, before its clock starts: what a caller has in hand.
        calls: How many calls follow each other before it is the other side's turn.
        turns: How often the sides take turns in a round.
        others: Ways of doing it in another process, which has a clock of its own.
        operations: How many operations a call stands for; times are shown for one.
        is_throughput: Compare by how much is done in the same time, instead of by how long the same takes.
        allowance_ms: What ours may take longer on top of the bar.
    """

    name: str
    ours: Work
    raw: Mapping[str, Work]
    bar: float | None
    prepare: Callable[[], object]
    calls: int = 10
    turns: int = 10
    others: Mapping[str, Turn] = field(default_factory=dict)
    operations: int = 1
    is_throughput: bool = False
    allowance_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Other:
    """
    How another process did.

    Attributes:
        ms: Its median.
        quicker: How many times quicker agentdb is: the median of the rounds' ratios.
    """

    ms: float
    quicker: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    What a case, or a start-up, took; times are medians in milliseconds.

    Attributes:
        ratio: The median of the rounds' ratios; *ratios* are these. None where there is nothing to compare with.
        raw_way: The quickest of the raw ways; *raw_ways* are the medians of all.
        bar: The highest ratio that is good enough; where there is no ratio, the highest time in milliseconds.
        others: How other processes did, by name.
        is_throughput: The ratio is that of what is done in the same time, and the bar the lowest one.
        allowance_ms: What ours may take longer on top of the bar.
    """

    name: str
    ours_ms: float
    bar: float | None
    raw_ms: float | None = None
    ratio: float | None = None
    ratios: Sequence[float] = ()
    raw_way: str = ""
    raw_ways: Mapping[str, float] | None = None
    others: Mapping[str, Other] = field(default_factory=dict)
    is_throughput: bool = False
    allowance_ms: float = 0.0

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met; None when there is none."""
        if self.bar is None:
            return None
        figure = self.ours_ms if self.ratio is None else self.ratio
        if self.allowance_ms and self.raw_ms:
            figure -= self.allowance_ms / self.raw_ms
        return figure >= self.bar if self.is_throughput else figure <= self.bar

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self) | {"is_met": self.is_met}


@dataclass(frozen=True, slots=True)
class Check:
    """Something found that is no time, beside the most that it may be; shown for interest where that is None."""

    name: str
    found: float
    bar: float | None
    unit: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether it is not too much; None when there is no bar."""
        return None if self.bar is None else self.found <= self.bar

    def as_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self) | {"is_met": self.is_met}


async def compare(case: Case, *, rounds: int) -> Measurement:
    """Run *case* and return its medians."""
    works = {_OURS: case.ours, **case.raw}
    sides: dict[str, Turn] = {name: partial(_take_turn, work) for name, work in works.items()} | dict(case.others)
    await _round(case, sides)  # prepares the statements and fills the caches of all sides
    medians: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        # who comes second finds the server's caches warmed by the first, so they change places
        order = dict(reversed(sides.items())) if number % 2 else sides
        for name, median in (await _round(case, order)).items():
            medians[name].append(median / case.operations)
    times = {name: statistics.median(taken) for name, taken in medians.items()}
    raw_ways = {name: times[name] for name in case.raw}
    best = min(raw_ways, key=raw_ways.__getitem__)
    ratios = _ratios(medians[_OURS], medians[best])
    if case.is_throughput:
        ratios = [1 / ratio for ratio in ratios]
    return Measurement(
        case.name,
        ours_ms=times[_OURS],
        bar=case.bar,
        raw_ms=raw_ways[best],
        ratio=statistics.median(ratios),
        ratios=ratios,
        raw_way=best,
        raw_ways=raw_ways,
        others={
            name: Other(times[name], statistics.median(_ratios(medians[name], medians[_OURS]))) for name in case.others
        },
        is_throughput=case.is_throughput,
        allowance_ms=case.allowance_ms,
    )


def _ratios(times: Sequence[float], others: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(times, others, strict=True)]


async def _round(case: Case, sides: Mapping[str, Turn]) -> dict[str, float]:
    """Let each side do its calls in turns; return each one's median in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    for _ in range(case.turns):
        for name, take_turn in sides.items():
            times[name] += await take_turn([case.prepare() for _ in range(case.calls)])
    return {name: statistics.median(taken) for name, taken in times.items()}


async def _take_turn(work: Work, given: Sequence[Any]) -> list[float]:
    times = []
    for each in given:
        start = time.perf_counter()
        await work(each)
        times.append((time.perf_counter() - start) * 1000)
    return times
