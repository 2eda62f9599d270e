"""The benchmarks' arithmetic, on a clock that only the work moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks import harness
from benchmarks.harness import Case, Check, Measurement, Turn, Work, compare


class Clock:
    """Time as the measured work makes it pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def work(self, milliseconds: float) -> Work:
        async def pass_time(given: object) -> None:
            assert given == "prepared"
            self.now += milliseconds / 1000

        return pass_time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the harness reads."""
    made = Clock()
    monkeypatch.setattr(harness, "time", made)
    return made


async def test_compares_with_the_quickest_raw_way(clock: Clock) -> None:
    """The ratio is to the best of the raw ways; what prepares a call is not on the clock."""

    def prepare() -> str:
        clock.now += 5.0
        return "prepared"

    ways = {"slow": clock.work(4.0), "quick": clock.work(2.0)}
    case = Case("x", clock.work(3.0), ways, bar=1.6, prepare=prepare, calls=2, turns=2)

    measured = await compare(case, rounds=3)

    assert measured.raw_way == "quick"
    assert [measured.raw_ms, measured.ours_ms, measured.ratio] == pytest.approx([2.0, 3.0, 1.5])
    assert list(measured.ratios) == pytest.approx([1.5] * 3)
    assert measured.is_met


async def test_compares_with_other_processes_by_their_own_clocks(clock: Clock) -> None:
    """Another process tells its times itself: how long the answer took to arrive does not count."""
    asked: list[Sequence[object]] = []

    async def take_turn(given: Sequence[object]) -> list[float]:
        asked.append(given)
        clock.now += 1.0
        return [9.0] * len(given)

    others: dict[str, Turn] = {"other": take_turn}
    case = Case(
        "x", clock.work(3.0), {"raw": clock.work(2.0)}, 2.0, lambda: "prepared", calls=2, turns=2, others=others
    )

    measured = await compare(case, rounds=3)

    assert measured.others["other"].ms == pytest.approx(9.0)
    assert measured.others["other"].quicker == pytest.approx(3.0)
    assert asked[0] == ["prepared", "prepared"]


async def test_a_throughput_is_better_the_higher_it_is(clock: Clock) -> None:
    """The ratio is turned over, and times are shown for one of the operations that a call stands for."""
    case = Case(
        "x",
        clock.work(8.0),
        {"raw": clock.work(6.0)},
        bar=0.75,
        prepare=lambda: "prepared",
        calls=1,
        turns=1,
        operations=4,
        is_throughput=True,
    )

    measured = await compare(case, rounds=1)

    assert [measured.raw_ms, measured.ours_ms, measured.ratio] == pytest.approx([1.5, 2.0, 0.75])


@pytest.mark.parametrize(
    ("measured", "is_met"),
    [
        (Measurement("x", ours_ms=1.0, bar=2.0, raw_ms=0.4, ratio=2.5), False),
        (Measurement("x", ours_ms=9.0, bar=2.0, raw_ms=9.0, ratio=1.0), True),
        (Measurement("x", ours_ms=90.0, bar=100.0), True),
        (Measurement("x", ours_ms=101.0, bar=100.0), False),
        (Measurement("x", ours_ms=1.0, bar=None, raw_ms=1.0, ratio=1.0), None),
        (Measurement("x", ours_ms=1.0, bar=0.75, raw_ms=1.0, ratio=0.8, is_throughput=True), True),
        (Measurement("x", ours_ms=1.0, bar=0.75, raw_ms=1.0, ratio=0.7, is_throughput=True), False),
        (Check("x", 2000, 2000), True),
        (Check("x", 2001, 2000), False),
        (Check("x", 2001, None), None),
    ],
)
def test_the_bar_is_for_the_ratio_or_else_for_the_time(measured: Measurement | Check, is_met: bool | None) -> None:
    """A ratio is held against a ratio, a start-up against milliseconds."""
    assert measured.is_met is is_met
