"""The hunt: programs by the thousand, until there are enough, or enough differences."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky, FlakyFailure

from tests.oracle.court import Court
from tests.oracle.programs import Kind, Program, programs
from tests.oracle.values import Values

ROUND = 200
"""How many programs are asked in one run of hypothesis."""

SHRINKING_SECONDS = 20
"""For how long a difference is made smaller."""


class DifferenceError(AssertionError):
    """Both sides do not do the same."""


class _ShrunkEnoughError(BaseException):
    """Ends a run of hypothesis, which catches every `Exception`."""


class Trial:
    """
    The property: on every program, both sides do the same.

    Attributes:
        difference: The difference on the smallest program tried so far that has one.
    """

    def __init__(self, run: asyncio.Runner, court: Court) -> None:
        self.difference: str | None = None
        self._run, self._court = run, court
        self._ends_at = math.inf

    def __call__(self, program: Program) -> None:
        """
        Try one program.

        Raises:
            DifferenceError: There is a difference.
        """
        if time.monotonic() > self._ends_at:
            raise _ShrunkEnoughError
        difference = self._run.run(self._court.judge(program))
        if difference is None:
            return
        if self.difference is None:
            self._ends_at = time.monotonic() + SHRINKING_SECONDS
        self.difference = min(filter(None, (self.difference, difference)), key=len)
        raise DifferenceError(difference)


def ask(trial: Trial, values: Values, kind: Kind, count: int, number: int | None) -> str | None:
    """
    Ask for *count* programs of a kind; return the first difference, as small as could be made, or None.

    Args:
        number: What makes these programs others than those of another number; None for always the same ones.
    """
    asked = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=number is None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )

    @given(programs(values, kind))
    def both_do_the_same(program: Program) -> None:
        trial(program)

    try:
        asked(both_do_the_same if number is None else seed(number)(both_do_the_same))()
    except (DifferenceError, Flaky, FlakyFailure, _ShrunkEnoughError):
        if trial.difference is None:
            raise
    return trial.difference


def hunt(
    run: asyncio.Runner, court: Court, values: Values, wanted: Mapping[Kind, int], first_number: int
) -> Iterator[str | None]:
    """
    Ask for *wanted*, a number of requests of each kind, in rounds; yield each round's difference, or None.

    Rounds are short: hypothesis slows down as a run gets longer.
    """
    asked: Counter[Kind] = Counter()
    for number in itertools.count(first_number):
        kind = min(wanted, key=lambda kind: asked[kind] / wanted[kind])
        if asked[kind] >= wanted[kind]:
            return
        before = court.methods.total()
        yield ask(Trial(run, court), values, kind, ROUND, number)
        asked[kind] += court.methods.total() - before
