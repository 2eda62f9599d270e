"""Work that is done a moment later, or now."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from agentdb.client.deferred import Deferred


class Work:
    """Takes what there is to do, holds it for some turns of the loop, and has done it then."""

    def __init__(self) -> None:
        self.waiting = 0
        self.done = 0
        self.at_once = 0
        self.runs = 0

    async def run(self) -> bool:
        self.runs += 1
        taken, self.waiting = self.waiting, 0
        self.at_once += 1
        assert self.at_once == 1
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            self.done += taken
        except BaseException:
            self.waiting += taken
            raise
        finally:
            self.at_once -= 1
        return False


@pytest.mark.parametrize("stagger", range(8))
async def test_whoever_asks_now_finds_it_done(stagger: int) -> None:
    """Also when others ask at the same time; one run serves all that wait for it."""
    work = Work()
    deferred = Deferred(work.run, 60)
    asked = 0

    async def ask(turns: int) -> None:
        nonlocal asked
        for _ in range(turns):
            await asyncio.sleep(0)
        work.waiting += 1
        asked += 1
        deferred.ask()
        least = asked
        await deferred.now()
        assert work.done >= least

    await asyncio.gather(*(ask(number * stagger % 13) for number in range(30)))

    assert (work.done, work.waiting) == (30, 0)
    assert work.runs < 30


@pytest.mark.parametrize("turns", range(10))
async def test_one_that_is_cancelled_leaves_it_to_the_next(turns: int) -> None:
    """At whatever moment; nothing is done twice."""
    work = Work()
    deferred = Deferred(work.run, 60)
    work.waiting = 1
    deferred.ask()
    asking = asyncio.create_task(deferred.now())
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await deferred.now()
    deferred.stop()

    assert (work.done, work.waiting, work.at_once) == (1, 0, 0)


async def test_one_that_is_cancelled_is_made_up_for() -> None:
    """Without anybody asking again."""
    work = Work()
    deferred = Deferred(work.run, 0.001, patience=1)
    work.waiting = 1
    asking = asyncio.create_task(deferred.now())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0.1)
    deferred.stop()

    assert (work.done, work.waiting) == (1, 0)


async def test_what_is_asked_for_while_it_runs_is_done_later() -> None:
    """Work need not go on until nobody asks any more."""
    runs = 0

    async def work() -> bool:
        nonlocal runs
        runs += 1
        if runs < 3:
            deferred.ask()
        return False

    deferred = Deferred(work, 0.001)
    deferred.ask()
    await asyncio.sleep(0.05)

    assert runs == 3


async def test_it_rests_for_as_long_as_it_took() -> None:
    """What is slow is done less often: here half of the time at most."""
    loop = asyncio.get_running_loop()
    started: list[float] = []
    ended: list[float] = []
    is_over = asyncio.Event()

    async def work() -> bool:
        started.append(loop.time())
        await asyncio.sleep(0.05)
        ended.append(loop.time())
        if len(ended) == 3:
            is_over.set()
        return not is_over.is_set()

    Deferred(work, 0.0, rest=1).ask()
    await is_over.wait()

    for run in (0, 1):
        assert started[run + 1] - ended[run] >= 0.9 * (ended[run] - started[run])


async def test_it_runs_in_no_callers_context() -> None:
    """What a context variable holds is not kept by work that always has something left to do."""
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def work() -> bool:
        seen.append(variable.get())
        return len(seen) < 2

    deferred = Deferred(work, 0.001, patience=1)
    variable.set("the caller's")
    deferred.ask()
    await asyncio.sleep(0.05)

    assert seen == ["nothing", "nothing"]


async def test_work_that_is_done_now_runs_in_no_callers_context() -> None:
    """As it does a moment later: what the caller is part of, the work is not."""
    variable: ContextVar[str] = ContextVar("variable", default="nobody's")
    seen: list[str] = []

    async def work() -> bool:
        seen.append(variable.get())
        return False

    variable.set("the caller's")
    await Deferred(work, 60).now()

    assert seen == ["nobody's"]
